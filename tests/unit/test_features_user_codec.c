/* The stored user record: exact bytes, round trips, other configurations, hostile bytes. */
#include "features/user_codec.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/json.h"
#include "daemon/base/msgpack.h"
#include "daemon/base/rng.h"
#include "features/decay.h"
#include "tests/support/feat.h"

#define T0 INT64_C(1790000000000)
#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)

static struct fr_spec *spec;
static struct fr_arena *ar;
static struct fr_buf rec;

static void setup(void)
{
    spec = feat_spec(NULL);
    ar = feat_arena();
}
static void teardown(void)
{
    fr_buf_done(&rec);
    fr_arena_free(ar);
    fr_spec_free(spec);
}

static struct fr_user *make_user(uint64_t seed, int events)
{
    static const char *const types[] = {"view", "click", "purchase", "like", "skip"};
    struct fr_rng r;
    struct fr_user *u;
    fr_rng_seed(&r, seed);
    ck_assert_int_eq(fr_user_new(spec, ar, &u), FR_OK);
    for (int i = 0; i < events; i++) {
        char item[32];
        struct fr_applied done;
        snprintf(item, sizeof item, "item-%d", (int)fr_rng_below(&r, 50));
        struct fr_event ev = feat_event(spec,
                                        ar,
                                        types[fr_rng_below(&r, 5)],
                                        "u",
                                        item,
                                        T0 + (int64_t)fr_rng_below(&r, 20 * (uint64_t)DAY),
                                        (uint64_t)i);
        ck_assert_int_eq(fr_user_apply(spec, u, ar, &ev, i * 3, &done), FR_OK);
        (void)fr_user_trigger(spec, u, &ev, i * 3);
    }
    return u;
}

static void check_equal(const struct fr_user *a, const struct fr_user *b)
{
    ck_assert_int_eq(a->first_ts, b->first_ts);
    ck_assert_int_eq(a->last_ts, b->last_ts);
    ck_assert_uint_eq(a->n, b->n);
    ck_assert_mem_eq(a->landmark, b->landmark, sizeof a->landmark);
    ck_assert_mem_eq(a->c, b->c, sizeof a->c);
    ck_assert_mem_eq(a->type_ts, b->type_ts, sizeof a->type_ts);
    ck_assert_uint_eq(a->dedup_n, b->dedup_n);
    ck_assert_mem_eq(a->dedup, b->dedup, a->dedup_n * sizeof a->dedup[0]);
    ck_assert_int_eq(a->trig, b->trig);
    ck_assert_int_eq(a->trig_ts, b->trig_ts);
    ck_assert_int_eq(a->applied, b->applied);
    ck_assert_uint_eq(a->h_n, b->h_n);
    for (uint32_t i = 0; i < a->h_n; i++) {
        ck_assert(fr_str_eq(a->h[i].id, b->h[i].id));
        ck_assert_int_eq(a->h[i].ts, b->h[i].ts);
        ck_assert_int_eq(a->h[i].type, b->h[i].type);
    }
}

static struct fr_user *decode(struct fr_str bytes)
{
    struct fr_user *u = NULL;
    struct fr_fault f = {0};
    enum fr_err e = fr_user_decode(spec, ar, bytes, &u, &f);
    ck_assert_msg(e == FR_OK, "%s", f.msg);
    return u;
}

START_TEST(decode__of_encode__the_same_user_and_the_same_bytes)
{
    static const int sizes[] = {0, 1, 3, 16, 17, 60, 200};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        struct fr_user *u = make_user(k, sizes[k]);
        struct fr_buf again = {0};
        fr_buf_clear(&rec);
        fr_user_encode(spec, u, &rec);
        ck_assert_int_eq(fr_buf_err(&rec), FR_OK);
        struct fr_user *back = decode(fr_buf_str(&rec));
        check_equal(u, back);
        ck_assert(!back->dirty);
        fr_user_encode(spec, back, &again);
        ck_assert_uint_eq(again.n, rec.n);
        ck_assert_mem_eq(again.p, rec.p, rec.n);
        fr_buf_done(&again);
    }
}
END_TEST

/* The pairs of our own record in reverse order: another writer may use any order. */
START_TEST(decode__keys_in_another_order__the_same_user)
{
    struct fr_user *u = make_user(4, 80);
    struct fr_mp_reader r;
    struct fr_mp_value v;
    size_t from[20], n = 0;
    struct fr_buf turned = {0};

    fr_user_encode(spec, u, &rec);
    fr_mp_reader_init(&r, fr_buf_str(&rec));
    ck_assert_int_eq(fr_mp_next(&r, &v), FR_OK);
    uint32_t pairs = v.n;
    for (; n < pairs; n++) {
        from[n] = r.at;
        ck_assert_int_eq(fr_mp_skip(&r), FR_OK);
        ck_assert_int_eq(fr_mp_skip(&r), FR_OK);
    }
    from[n] = r.at;
    fr_mp_put_map(&turned, pairs);
    while (n-- > 0)
        fr_buf_put(&turned, rec.p + from[n], from[n + 1] - from[n]);
    ck_assert_uint_eq(turned.n, rec.n);
    check_equal(u, decode(fr_buf_str(&turned)));
    /* the strings of the history point into `turned` */
    fr_buf_done(&turned);
}
END_TEST

START_TEST(decode__no_bytes__empty_user)
{
    struct fr_user *u = decode((struct fr_str){NULL, 0});
    ck_assert_uint_eq(u->n, 0);
    ck_assert_int_eq(u->applied, FR_NO_OFFSET);
    ck_assert_int_eq(u->trig, FR_NO_OFFSET);
}
END_TEST

/* The documented bytes, written out by hand: what Lua and Python readers rely on. */
START_TEST(encode__one_click__documented_bytes)
{
    struct fr_user *u;
    struct fr_applied done;
    struct fr_event ev = feat_event(spec, ar, "click", "u", "i7", 2 * HOUR, 1);
    struct fr_buf want = {0};

    ck_assert_int_eq(fr_user_new(spec, ar, &u), FR_OK);
    ev.event_key = 5;
    ck_assert_int_eq(fr_user_apply(spec, u, ar, &ev, 9, &done), FR_OK);
    fr_user_encode(spec, u, &rec);
#define PUT(s) fr_buf_put(&want, s, sizeof(s) - 1)
    PUT("\x8e\xa1v\x01");
    PUT("\xa1"
        "f\xce\x00\x6d\xdd\x00");
    PUT("\xa1l\xce\x00\x6d\xdd\x00");
    PUT("\xa1n\x01");
    PUT("\xa2ty\x91\xa5"
        "click");
    PUT("\xa2hl\x92\xce\x00\x36\xee\x80\xce\x24\x0c\x84\x00");
    PUT("\xa1L\x92\xce\x00\x6d\xdd\x00\x00");
    PUT("\xa1"
        "c\x92\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\xcb");
    ck_assert_uint_ge(rec.n, want.n + 8);
    ck_assert_mem_eq(rec.p, want.p, want.n);
    fr_buf_put(&want, rec.p + want.n, 8); /* the weight at the second half-life */
    PUT("\xa1r\x91\xce\x00\x6d\xdd\x00");
    PUT("\xa1h\x93\xa2i7\x00\xce\x00\x6d\xdd\x00");
    PUT("\xa1"
        "d\x91\x05");
    PUT("\xa1g\xc0");
    PUT("\xa2gt\x00");
    PUT("\xa1o\x09");
#undef PUT
    ck_assert_uint_eq(rec.n, want.n);
    ck_assert_mem_eq(rec.p, want.p, want.n);
    fr_buf_done(&want);
}
END_TEST

START_TEST(encode__fifty_item_history__at_most_two_kilobytes)
{
    struct fr_user *u = make_user(5, 300);
    fr_user_encode(spec, u, &rec);
    ck_assert_uint_eq(u->h_n, 50);
    ck_assert_uint_lt(rec.n, 2048);
}
END_TEST

/* ---- other configurations ---- */

static void other_types(struct fr_spec_input *in)
{
    static const struct fr_type_input t[] = {
        {.name = {"share", 5}, .history = true},
        {.name = {"purchase", 8}, .positive = 1, .history = true, .seen = true},
        {.name = {"click", 5}, .positive = 1, .history = true, .seen = true},
    };
    in->types = t;
    in->n_types = 3;
}

START_TEST(decode__config_with_other_types__matched_by_name)
{
    struct fr_user *u = make_user(3, 100);
    int click = fr_spec_type(spec, FR_STR_LIT("click"));
    int purchase = fr_spec_type(spec, FR_STR_LIT("purchase"));
    fr_user_encode(spec, u, &rec);

    struct fr_spec *other = feat_spec(other_types);
    struct fr_user *v;
    ck_assert_int_eq(fr_user_decode(other, ar, fr_buf_str(&rec), &v, NULL), FR_OK);
    for (int k = 0; k < FR_HALF_LIVES; k++) {
        ck_assert_double_eq(v->c[0][k], 0);
        ck_assert_double_eq(v->c[1][k], u->c[purchase][k]);
        ck_assert_double_eq(v->c[2][k], u->c[click][k]);
    }
    ck_assert_int_eq(v->type_ts[2], u->type_ts[click]);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < u->h_n; i++)
        if (u->h[i].type == click || u->h[i].type == purchase) {
            ck_assert(fr_str_eq(v->h[kept].id, u->h[i].id));
            ck_assert_int_eq(v->h[kept++].type, u->h[i].type == click ? 2 : 1);
        }
    ck_assert_uint_eq(v->h_n, kept);
    ck_assert_uint_gt(kept, 5);
    ck_assert_uint_eq(v->n, u->n);
    fr_spec_free(other);
}
END_TEST

static void other_half_lives(struct fr_spec_input *in)
{
    static const struct fr_str line[] = {{"x = recency()", 13}};
    in->user_half_life_ms[0] = 7 * DAY; /* the old second one */
    in->user_half_life_ms[1] = 30 * DAY;
    in->features = line;
    in->n_features = 1;
    in->history_length = 5;
}

START_TEST(decode__other_half_lives_and_shorter_history__known_ones_kept)
{
    struct fr_user *u = make_user(3, 100);
    int click = fr_spec_type(spec, FR_STR_LIT("click"));
    fr_user_encode(spec, u, &rec);
    struct fr_spec *other = feat_spec(other_half_lives);
    struct fr_user *v;
    ck_assert_int_eq(fr_user_decode(other, ar, fr_buf_str(&rec), &v, NULL), FR_OK);
    ck_assert_double_eq(v->c[click][0], u->c[click][1]);
    ck_assert_int_eq(v->landmark[0], u->landmark[1]);
    ck_assert_double_eq(v->c[click][1], 0);
    ck_assert_int_eq(v->landmark[1], fr_decay_landmark(u->last_ts, 30 * DAY));
    ck_assert_uint_eq(v->h_n, 5);
    fr_spec_free(other);
}
END_TEST

/* ---- hostile bytes ---- */

/* A record with one key's value replaced by raw msgpack bytes (NULL: the key left out). */
static void write_with(struct fr_buf *b, const char *key, const char *raw, size_t n)
{
    static const struct {
        const char *key;
        const char *raw;
        size_t n;
    } base[] = {
        {"v", "\x01", 1},
        {"f", "\x05", 1},
        {"l", "\x09", 1},
        {"n", "\x02", 1},
        {"ty",
         "\x92\xa5"
         "click\xa1z",
         9},
        {"hl", "\x92\xce\x00\x36\xee\x80\xce\x24\x0c\x84\x00", 11},
        {"L", "\x92\x00\x00", 3},
        {"c", "\x94\x01\x02\x03\x04", 5},
        {"r", "\x92\x09\x05", 3},
        {"h", "\x96\xa1x\x00\x09\xa1y\x01\x05", 9},
        {"d", "\x92\x01\x02", 3},
        {"g", "\xc0", 1},
        {"gt", "\x00", 1},
        {"o", "\x07", 1},
    };
    const uint32_t total = sizeof base / sizeof base[0];
    fr_buf_clear(b);
    fr_mp_put_map(b, raw == NULL ? total - 1 : total);
    for (uint32_t i = 0; i < total; i++) {
        bool ours = strcmp(base[i].key, key) == 0;
        if (ours && raw == NULL)
            continue;
        fr_mp_put_str(b, fr_str_z(base[i].key));
        fr_buf_put(b, ours ? raw : base[i].raw, ours ? n : base[i].n);
    }
}

START_TEST(decode__hand_made_record__read)
{
    struct fr_user *u;
    write_with(&rec, "", "", 0);
    u = decode(fr_buf_str(&rec));
    int click = fr_spec_type(spec, FR_STR_LIT("click"));
    ck_assert_double_eq(u->c[click][0], 1);
    ck_assert_double_eq(u->c[click][1], 2);
    ck_assert_uint_eq(u->h_n, 1); /* type z is not ours */
    ck_assert_int_eq(u->applied, 7);
    /* an integer that came back from Lua as a float64 */
    write_with(&rec, "l", "\xcb\x40\x22\x00\x00\x00\x00\x00\x00", 9);
    ck_assert_int_eq(decode(fr_buf_str(&rec))->last_ts, 9);
    /* an empty Lua table written as a map */
    write_with(&rec, "d", "\x80", 1);
    ck_assert_uint_eq(decode(fr_buf_str(&rec))->dedup_n, 0);
}
END_TEST

#define RAW(s) s, sizeof(s) - 1
static const struct {
    const char *key;
    const char *raw;
    size_t n;
    enum fr_err err;
} hostile[] = {
    {"v", RAW("\x02"), FR_EVERSION},
    {"v", RAW("\xa1x"), FR_ECORRUPT},
    {"v", NULL, 0, FR_ECORRUPT},
    {"f", RAW("\xff"), FR_ECORRUPT},
    {"f", RAW("\x0a"), FR_ECORRUPT}, /* after l */
    {"f", RAW("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"), FR_ECORRUPT},
    {"l", RAW("\xcb\x40\x22\x80\x00\x00\x00\x00\x00"), FR_ECORRUPT}, /* 9.25 */
    {"n", RAW("\xc0"), FR_ECORRUPT},
    {"n", NULL, 0, FR_ECORRUPT},
    {"ty",
     RAW("\x92\xa5"
         "click\xa5"
         "click"),
     FR_ECORRUPT},
    {"ty",
     RAW("\x92\xa5"
         "click\x01"),
     FR_ECORRUPT},
    {"ty",
     RAW("\x91\xa5"
         "click"),
     FR_ECORRUPT}, /* c, r and h do not fit */
    {"ty", RAW("\xdc\xff\xff"), FR_ECORRUPT},
    {"hl", RAW("\x91\x01"), FR_ECORRUPT},
    {"hl", RAW("\x92\x00\x01"), FR_ECORRUPT},
    {"hl", RAW("\x93\x01\x01\x01"), FR_ECORRUPT},
    {"L", RAW("\x92\x01\x00"), FR_ECORRUPT}, /* off the grid */
    {"L", RAW("\x91\x00"), FR_ECORRUPT},
    {"c", RAW("\x93\x01\x02\x03"), FR_ECORRUPT},
    {"c", RAW("\x94\x01\x02\x03\xff"), FR_ECORRUPT},
    {"c", RAW("\x94\x01\x02\x03\xa1x"), FR_ECORRUPT},
    {"c", RAW("\x94\x01\x02\x03\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"), FR_ECORRUPT},
    {"c", RAW("\x94\x01\x02\x03\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), FR_ECORRUPT},
    {"r", RAW("\x91\x01"), FR_ECORRUPT},
    {"r", RAW("\x92\x01\xa0"), FR_ECORRUPT},
    {"h", RAW("\x92\xa1x\x00"), FR_ECORRUPT},
    {"h", RAW("\x93\xa1x\x02\x09"), FR_ECORRUPT},
    {"h", RAW("\x93\xa0\x00\x09"), FR_ECORRUPT},
    {"h", RAW("\x93\x01\x00\x09"), FR_ECORRUPT},
    {"h", RAW("\x96\xa1x\x00\x05\xa1y\x00\x09"), FR_ECORRUPT}, /* not newest first */
    {"h", RAW("\xdd\x7f\xff\xff\xff"), FR_ECORRUPT},
    {"d", RAW("\x91\x00"), FR_ECORRUPT},
    {"d", RAW("\x91\xc0"), FR_ECORRUPT},
    {"d", RAW("\xdc\x00\x41"), FR_ECORRUPT},
    {"g", RAW("\xff"), FR_ECORRUPT},
    {"gt", RAW("\xc0"), FR_ECORRUPT},
    {"o", RAW("\xa1x"), FR_ECORRUPT},
    {"o", RAW("\x07\x00"), FR_ECORRUPT}, /* trailing byte */
    {"o", RAW("\xc1"), FR_ECORRUPT},
};
#undef RAW

START_TEST(decode__one_bad_key__refused_naming_it)
{
    struct fr_user *u = NULL;
    struct fr_fault f = {0};
    write_with(&rec, hostile[_i].key, hostile[_i].raw, hostile[_i].n);
    ck_assert_int_eq(fr_user_decode(spec, ar, fr_buf_str(&rec), &u, &f), hostile[_i].err);
    ck_assert_ptr_null(u);
    ck_assert_uint_ne(strlen(f.msg), 0);
}
END_TEST

START_TEST(decode__truncated_anywhere__refused)
{
    struct fr_user *u = make_user(9, 40);
    fr_user_encode(spec, u, &rec);
    for (size_t n = 1; n < rec.n; n++) {
        struct fr_user *v = NULL;
        struct fr_arena_mark m = fr_arena_mark(ar);
        char *copy = fr_memdup0(rec.p, n); /* exact size, so that ASan sees a read past the end */
        ck_assert_int_eq(fr_user_decode(spec, ar, (struct fr_str){copy, n}, &v, NULL), FR_ECORRUPT);
        fr_free(copy);
        fr_arena_release(ar, m);
    }
}
END_TEST

START_TEST(decode__random_flips__no_crash_and_what_is_taken_encodes)
{
    struct fr_user *u = make_user(10, 40);
    struct fr_rng r;
    struct fr_buf out = {0};
    fr_rng_seed(&r, 99);
    fr_user_encode(spec, u, &rec);
    char *copy = fr_memdup0(rec.p, rec.n);
    int taken = 0;
    for (int i = 0; i < 20000; i++) {
        struct fr_arena_mark m = fr_arena_mark(ar);
        struct fr_user *v = NULL;
        memcpy(copy, rec.p, rec.n);
        for (int k = 0; k < 1 + i % 3; k++)
            copy[fr_rng_below(&r, rec.n)] = (char)fr_rng_u64(&r);
        if (fr_user_decode(spec, ar, (struct fr_str){copy, rec.n}, &v, NULL) == FR_OK) {
            struct fr_user *w = NULL;
            taken++;
            fr_buf_clear(&out);
            fr_user_encode(spec, v, &out);
            ck_assert_int_eq(fr_buf_err(&out), FR_OK);
            ck_assert_int_eq(fr_user_decode(spec, ar, fr_buf_str(&out), &w, NULL), FR_OK);
            check_equal(v, w);
        }
        fr_arena_release(ar, m);
    }
    ck_assert_int_gt(taken, 100);
    fr_free(copy);
    fr_buf_done(&out);
}
END_TEST

START_TEST(decode_and_encode__every_allocation_fails__clean)
{
    struct fr_user *u = make_user(12, 60);
    fr_user_encode(spec, u, &rec);
    int failures = 0;
    for (uint64_t nth = 1; nth < 50; nth++) {
        struct fr_arena *small = NULL;
        struct fr_buf out = {0};
        struct fr_user *v = NULL;
        fr_alloc_fail_at(nth);
        enum fr_err e = fr_arena_new(256, 0, &small);
        if (e == FR_OK)
            e = fr_user_decode(spec, small, fr_buf_str(&rec), &v, NULL);
        if (e == FR_OK) {
            fr_user_encode(spec, v, &out);
            e = fr_buf_err(&out);
        }
        fr_alloc_fail_at(0);
        fr_buf_done(&out);
        fr_arena_free(small);
        if (e == FR_OK)
            break;
        ck_assert_int_eq(e, FR_ENOMEM);
        failures++;
    }
    ck_assert_int_ge(failures, 3);
}
END_TEST

START_TEST(to_json__a_user__valid_with_decay_as_of_now)
{
    struct fr_user *u = make_user(3, 30);
    const struct fr_json *root;
    fr_user_to_json(spec, u, FR_STR_LIT("u\"1"), u->last_ts + HOUR, &rec);
    ck_assert_int_eq(fr_buf_err(&rec), FR_OK);
    ck_assert_int_eq(fr_json_parse(ar, fr_buf_str(&rec), &root, NULL), FR_OK);
    ck_assert(fr_str_eqz(fr_json_get(root, "user_id")->str, "u\"1"));
    ck_assert_int_eq(fr_json_get(root, "events")->i, 30);
    const struct fr_json *click = fr_json_get(fr_json_get(root, "counts"), "click");
    int t = fr_spec_type(spec, FR_STR_LIT("click"));
    ck_assert_double_eq(fr_json_get(click, "decayed")->child->num,
                        fr_user_count(spec, u, 1u << t, 0, u->last_ts + HOUR));
    ck_assert_uint_eq(fr_json_get(root, "history")->n, u->h_n);
    fr_buf_clear(&rec);
    fr_user_to_json(spec, u, FR_STR_LIT("u"), u->last_ts + 91 * DAY, &rec);
    ck_assert_int_eq(fr_json_parse(ar, fr_buf_str(&rec), &root, NULL), FR_OK);
    ck_assert(fr_json_get(root, "expired")->b);
    ck_assert_int_eq(fr_json_get(root, "events")->i, 0);
    ck_assert_ptr_null(fr_json_get(root, "history"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("features/user_codec");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, decode__of_encode__the_same_user_and_the_same_bytes);
    tcase_add_test(tc, decode__keys_in_another_order__the_same_user);
    tcase_add_test(tc, decode__no_bytes__empty_user);
    tcase_add_test(tc, encode__one_click__documented_bytes);
    tcase_add_test(tc, encode__fifty_item_history__at_most_two_kilobytes);
    tcase_add_test(tc, decode__config_with_other_types__matched_by_name);
    tcase_add_test(tc, decode__other_half_lives_and_shorter_history__known_ones_kept);
    tcase_add_test(tc, decode__hand_made_record__read);
    tcase_add_loop_test(
        tc, decode__one_bad_key__refused_naming_it, 0, sizeof hostile / sizeof hostile[0]);
    tcase_add_test(tc, decode__truncated_anywhere__refused);
    tcase_add_test(tc, decode__random_flips__no_crash_and_what_is_taken_encodes);
    tcase_add_test(tc, decode_and_encode__every_allocation_fails__clean);
    tcase_add_test(tc, to_json__a_user__valid_with_decay_as_of_now);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
