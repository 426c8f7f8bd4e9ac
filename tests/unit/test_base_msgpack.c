/* MessagePack: our own bytes against the specification's, truncation everywhere, and hostile input. */
#include "daemon/base/msgpack.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/rng.h"

#define P53 (INT64_C(1) << 53)

static struct fr_mp_value next_ok(const void *p, size_t n)
{
    struct fr_mp_reader r;
    struct fr_mp_value v;
    fr_mp_reader_init(&r, (struct fr_str){p, n});
    ck_assert_int_eq(fr_mp_next(&r, &v), FR_OK);
    ck_assert_uint_eq(r.at, n);
    ck_assert(fr_mp_at_end(&r));
    return v;
}

/* The value is refused with this error, the cursor and the output stay. */
static void next_bad(const void *p, size_t n, enum fr_err want)
{
    struct fr_mp_reader r;
    struct fr_mp_value v, before;
    memset(&v, 0x5a, sizeof(v));
    before = v;
    fr_mp_reader_init(&r, (struct fr_str){p, n});
    ck_assert_msg(fr_mp_next(&r, &v) == want, "tag %02x, %zu bytes", n > 0 ? *(const unsigned char *)p : 0, n);
    ck_assert_uint_eq(r.at, 0);
    ck_assert_mem_eq(&v, &before, sizeof(v));
}

#define GOOD(lit) next_ok((lit), sizeof(lit) - 1)
#define BAD(lit, e) next_bad((lit), sizeof(lit) - 1, (e))

START_TEST(next__bytes_of_the_specification__values)
{
    struct fr_mp_value v;
    ck_assert_int_eq(GOOD("\xc0").type, FR_MP_NIL);
    ck_assert(!GOOD("\xc2").b);
    v = GOOD("\xc3");
    ck_assert(v.type == FR_MP_BOOL && v.b);
    ck_assert_int_eq(GOOD("\x7f").i, 127);
    ck_assert_int_eq(GOOD("\xe0").i, -32);
    ck_assert_int_eq(GOOD("\xff").i, -1);
    ck_assert_int_eq(GOOD("\xcc\xff").i, 255);
    ck_assert_int_eq(GOOD("\xcd\x01\x02").i, 258);
    ck_assert_int_eq(GOOD("\xce\xff\xff\xff\xff").i, UINT32_MAX);
    ck_assert_int_eq(GOOD("\xcf\x00\x20\x00\x00\x00\x00\x00\x00").i, P53);
    ck_assert_int_eq(GOOD("\xd0\x80").i, -128);
    ck_assert_int_eq(GOOD("\xd0\x7f").i, 127);
    ck_assert_int_eq(GOOD("\xd1\x80\x00").i, -32768);
    ck_assert_int_eq(GOOD("\xd2\x80\x00\x00\x00").i, INT32_MIN);
    ck_assert_int_eq(GOOD("\xd3\xff\xe0\x00\x00\x00\x00\x00\x00").i, -P53);
    ck_assert_double_eq(GOOD("\xd3\xff\xe0\x00\x00\x00\x00\x00\x00").f, -0x1p53);
    v = GOOD("\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00");
    ck_assert(v.type == FR_MP_F64 && v.f == 1.5 && v.i == 0);
    v = GOOD("\xcb\x40\x08\x00\x00\x00\x00\x00\x00"); /* 3.0: an integer too */
    ck_assert(v.type == FR_MP_F64 && v.f == 3 && v.i == 3);
    v = GOOD("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00");
    ck_assert(v.type == FR_MP_F64 && isnan(v.f) && v.i == 0);
    v = GOOD("\xcb\xff\xf0\x00\x00\x00\x00\x00\x00");
    ck_assert(v.type == FR_MP_F64 && isinf(v.f) && v.i == 0);
    v = GOOD("\xcb\x7f\xef\xff\xff\xff\xff\xff\xff"); /* DBL_MAX: no integer of ours */
    ck_assert(v.type == FR_MP_F64 && v.i == 0);
    ck_assert(fr_str_eqz(GOOD("\xa3" "abc").s, "abc"));
    ck_assert_uint_eq(GOOD("\xa0").s.n, 0);
    ck_assert(fr_str_eqz(GOOD("\xd9\x02\xC3\xA4").s, "\xC3\xA4"));
    ck_assert(fr_str_eqz(GOOD("\xda\x00\x01z").s, "z")); /* longer form than needed */
    ck_assert(fr_str_eqz(GOOD("\xdb\x00\x00\x00\x01z").s, "z"));
}
END_TEST

START_TEST(next__outside_the_subset__refused_in_place)
{
    const unsigned char tags[] = {0xc1, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8};
    for (size_t i = 0; i < sizeof(tags); i++) {
        unsigned char room[32] = {0};
        room[0] = tags[i]; /* never used, bin, ext, float32, fixext */
        next_bad(room, sizeof(room), FR_ESYNTAX);
    }
    BAD("", FR_ESYNTAX);
    BAD("\xcf\x00\x20\x00\x00\x00\x00\x00\x01", FR_ERANGE);
    BAD("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", FR_ERANGE);
    BAD("\xd3\xff\xdf\xff\xff\xff\xff\xff\xff", FR_ERANGE);
    BAD("\xd3\x80\x00\x00\x00\x00\x00\x00\x00", FR_ERANGE);
    BAD("\xd3\x7f\xff\xff\xff\xff\xff\xff\xff", FR_ERANGE);
    BAD("\xa2\xC3(", FR_EUTF8);
    BAD("\xa3\xED\xA0\x80", FR_EUTF8);
    BAD("\xa1\xff", FR_EUTF8);
    /* counts that cannot be true: a billion elements in five bytes */
    BAD("\xdd\x40\x00\x00\x00", FR_ESYNTAX);
    BAD("\xdf\x80\x00\x00\x00\x01\x01", FR_ESYNTAX);
    BAD("\xdb\xff\xff\xff\xff" "abc", FR_ESYNTAX);
    BAD("\x92\x01", FR_ESYNTAX);
    BAD("\x81\x01", FR_ESYNTAX);
}
END_TEST

static size_t int_width(int64_t v)
{
    if (v >= 0)
        return v < 128 ? 1 : v < 256 ? 2 : v < 65536 ? 3 : v <= UINT32_MAX ? 5 : 9;
    return v >= -32 ? 1 : v >= -128 ? 2 : v >= -32768 ? 3 : v >= INT32_MIN ? 5 : 9;
}

/* Around every power of two: the smallest form, and the same number back. */
START_TEST(int__every_boundary__smallest_form_round_trip)
{
    struct fr_buf b;
    fr_buf_init(&b);
    for (int k = 0; k <= 53; k++) {
        for (int64_t d = -2; d <= 2; d++) {
            for (int sign = -1; sign <= 1; sign += 2) {
                int64_t v = sign * ((INT64_C(1) << k) + d);
                fr_buf_clear(&b);
                fr_mp_put_int(&b, v);
                if (v > P53 || v < -P53) {
                    ck_assert_int_eq(fr_buf_err(&b), FR_ERANGE);
                    ck_assert_uint_eq(b.n, 0);
                    continue;
                }
                ck_assert_uint_eq(b.n, int_width(v));
                struct fr_mp_value got = next_ok(b.p, b.n);
                ck_assert_int_eq(got.type, FR_MP_INT);
                ck_assert_int_eq(got.i, v);
                ck_assert_double_eq(got.f, (double)v);
            }
        }
    }
    fr_buf_clear(&b);
    fr_mp_put_int(&b, INT64_MIN);
    ck_assert_int_eq(fr_buf_err(&b), FR_ERANGE);
    fr_mp_put_int(&b, 1); /* sticky */
    ck_assert_uint_eq(b.n, 0);
    fr_buf_done(&b);
}
END_TEST

START_TEST(str_array_map__every_boundary__smallest_head_round_trip)
{
    const uint32_t at[] = {0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 70000};
    static char text[70000];
    struct fr_buf b;
    fr_buf_init(&b);
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        uint32_t n = at[i];
        size_t str_head = n < 32 ? 1 : n < 256 ? 2 : n < 65536 ? 3 : 5;
        size_t head = n < 16 ? 1 : n < 65536 ? 3 : 5;
        struct fr_mp_reader r;
        struct fr_mp_value v;
        fr_buf_clear(&b);
        fr_mp_put_str(&b, (struct fr_str){text, n});
        ck_assert_uint_eq(b.n, str_head + n);
        v = next_ok(b.p, b.n);
        ck_assert(v.type == FR_MP_STR && fr_str_eq(v.s, (struct fr_str){text, n}));
        for (int map = 0; map < 2; map++) {
            fr_buf_clear(&b);
            if (map)
                fr_mp_put_map(&b, n);
            else
                fr_mp_put_array(&b, n);
            ck_assert_uint_eq(b.n, head);
            for (uint32_t k = 0; k < n * (map ? 2 : 1); k++)
                fr_mp_put_nil(&b);
            fr_mp_reader_init(&r, fr_buf_str(&b));
            ck_assert_int_eq(fr_mp_next(&r, &v), FR_OK);
            ck_assert_int_eq(v.type, map ? FR_MP_MAP : FR_MP_ARRAY);
            ck_assert_uint_eq(v.n, n);
            ck_assert_uint_eq(r.at, head);
            fr_mp_reader_init(&r, fr_buf_str(&b));
            ck_assert_int_eq(fr_mp_skip(&r), FR_OK);
            ck_assert(fr_mp_at_end(&r));
        }
    }
    fr_buf_done(&b);
}
END_TEST

/* A random document, written depth first; containers in `left` are filled before they are left. */
static void random_document(struct fr_rng *r, struct fr_buf *b)
{
    static const char *const strings[] = {"", "a", "history", "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x8D\xB5",
                                          "a string that is longer than thirty-one bytes"};
    uint64_t left[8] = {1};
    int depth = 0;
    while (depth >= 0) {
        if (left[depth] == 0) {
            depth--;
            continue;
        }
        left[depth]--;
        uint64_t what = fr_rng_below(r, depth == 0 ? 2 : depth < 7 ? 8 : 6) + (depth == 0 ? 6 : 0);
        uint32_t n = (uint32_t)fr_rng_below(r, fr_rng_below(r, 8) == 0 ? 40 : 6);
        switch (what) {
        case 0:
            fr_mp_put_nil(b);
            break;
        case 1:
            fr_mp_put_bool(b, n % 2 == 0);
            break;
        case 2:
        case 3:
            fr_mp_put_int(b, (int64_t)(fr_rng_u64(r) >> (11 + fr_rng_below(r, 53))) * (n % 2 == 0 ? 1 : -1));
            break;
        case 4:
            fr_mp_put_f64(b, fr_rng_normal(r));
            break;
        case 5:
            fr_mp_put_str(b, fr_str_z(strings[n % 5]));
            break;
        case 6:
            fr_mp_put_array(b, n);
            left[++depth] = n;
            break;
        default:
            fr_mp_put_map(b, n);
            left[++depth] = 2 * (uint64_t)n;
            break;
        }
    }
}

/* Cut at every byte: skip fails, says so, and stays where it was; whole: skip ends exactly at the end. */
START_TEST(skip__random_documents_cut_at_every_byte__syntax_error_in_place)
{
    struct fr_rng rng;
    struct fr_buf b;
    size_t total = 0;
    fr_buf_init(&b);
    fr_rng_seed(&rng, 81);
    for (int doc = 0; doc < 300; doc++) {
        struct fr_mp_reader r;
        fr_buf_clear(&b);
        random_document(&rng, &b);
        ck_assert_int_eq(fr_buf_err(&b), FR_OK);
        if (b.n > 3000)
            continue;
        total += b.n;
        fr_mp_reader_init(&r, fr_buf_str(&b));
        ck_assert_int_eq(fr_mp_skip(&r), FR_OK);
        ck_assert(fr_mp_at_end(&r));
        for (size_t cut = 0; cut < b.n; cut++) {
            char *exact = malloc(cut == 0 ? 1 : cut); /* so that ASan sees a read past the cut */
            enum fr_err e;
            memcpy(exact, b.p, cut);
            fr_mp_reader_init(&r, (struct fr_str){exact, cut});
            e = fr_mp_skip(&r);
            if (e != FR_ESYNTAX && e != FR_EUTF8)
                ck_abort_msg("document %d cut at %zu: %s", doc, cut, fr_err_name(e));
            if (r.at != 0)
                ck_abort_msg("the cursor moved");
            free(exact);
        }
    }
    ck_assert_uint_gt(total, 10000);
    fr_buf_done(&b);
}
END_TEST

/* One byte changed anywhere: an error or an end within the input, never beyond. */
START_TEST(skip__one_byte_changed__never_beyond_the_input)
{
    struct fr_rng rng;
    struct fr_buf b;
    fr_buf_init(&b);
    fr_rng_seed(&rng, 82);
    for (int doc = 0; doc < 300; doc++) {
        fr_buf_clear(&b);
        random_document(&rng, &b);
        for (int k = 0; k < 100 && b.n > 0; k++) {
            size_t at = (size_t)fr_rng_below(&rng, b.n);
            char was = b.p[at];
            struct fr_mp_reader r;
            b.p[at] = (char)fr_rng_u64(&rng);
            fr_mp_reader_init(&r, fr_buf_str(&b));
            if (fr_mp_skip(&r) != FR_OK ? r.at != 0 : r.at > b.n || r.at == 0)
                ck_abort_msg("document %d, byte %zu", doc, at);
            b.p[at] = was;
        }
    }
    fr_buf_done(&b);
}
END_TEST

/* The limit counts levels of values: 31 arrays around a scalar are 32 levels. */
START_TEST(skip__depth__thirty_two_levels)
{
    for (int n = 1; n <= 2000; n = n < 40 ? n + 1 : n * 2) {
        struct fr_buf b;
        struct fr_mp_reader r;
        fr_buf_init(&b);
        for (int i = 0; i < n; i++)
            fr_mp_put_array(&b, 1);
        fr_mp_put_nil(&b);
        fr_mp_reader_init(&r, fr_buf_str(&b));
        ck_assert_int_eq(fr_mp_skip(&r), n <= 31 ? FR_OK : FR_EDEPTH);
        ck_assert_uint_eq(r.at, n <= 31 ? b.n : 0);
        fr_buf_done(&b);
    }
}
END_TEST

START_TEST(f64__any_bits__the_same_bits_back)
{
    struct fr_rng rng;
    struct fr_buf b;
    fr_buf_init(&b);
    fr_rng_seed(&rng, 83);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = i == 0 ? 0 : i == 1 ? UINT64_C(1) << 63 : fr_rng_u64(&rng);
        double v;
        struct fr_mp_reader r;
        struct fr_mp_value got;
        memcpy(&v, &bits, sizeof(v));
        if (isnan(v))
            continue;
        fr_buf_clear(&b);
        fr_mp_put_f64(&b, v);
        fr_mp_reader_init(&r, fr_buf_str(&b));
        if (b.n != 9 || fr_mp_next(&r, &got) != FR_OK || got.type != FR_MP_F64 ||
            memcmp(&got.f, &v, sizeof(v)) != 0)
            ck_abort_msg("%a", v);
    }
    fr_buf_done(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/msgpack");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, next__bytes_of_the_specification__values);
    tcase_add_test(tc, next__outside_the_subset__refused_in_place);
    tcase_add_test(tc, int__every_boundary__smallest_form_round_trip);
    tcase_add_test(tc, str_array_map__every_boundary__smallest_head_round_trip);
    tcase_add_test(tc, skip__random_documents_cut_at_every_byte__syntax_error_in_place);
    tcase_add_test(tc, skip__one_byte_changed__never_beyond_the_input);
    tcase_add_test(tc, skip__depth__thirty_two_levels);
    tcase_add_test(tc, f64__any_bits__the_same_bits_back);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
