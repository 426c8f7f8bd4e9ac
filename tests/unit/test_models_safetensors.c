/* Round trip, and a table of broken files: each is refused with its reason. */
#include "models/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "tests/support/model_fixture.h"

/* A file: header length, header, data. */
static struct fr_str make(const char *header, uint64_t claimed, const void *data, size_t data_n)
{
    static _Alignas(16) char file[4096];
    size_t n = strlen(header);
    ck_assert_uint_lt(8 + n + data_n, sizeof(file));
    for (int i = 0; i < 8; i++)
        file[i] = (char)(claimed >> (8 * i));
    memcpy(file + 8, header, n);
    if (data_n > 0)
        memcpy(file + 8 + n, data, data_n);
    return (struct fr_str){file, 8 + n + data_n};
}

/* The file reader does as the parser of memory does, and every tensor is aligned and its own. */
static void check_read(struct fr_str file, enum fr_err want, const struct fr_tensor *t, int n)
{
    char path[] = "/tmp/freshet-safetensors-XXXXXX";
    struct fr_fault f = {0};
    struct fr_arena *ar = NULL;
    struct fr_tensor *got = NULL;
    void **own = NULL;
    int n_got = 0, fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    (void)unlink(path);
    ck_assert_int_eq((int)write(fd, file.p, file.n), (int)file.n);
    ck_assert_int_eq(fr_arena_new(1 << 14, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_safetensors_read(fd, file.n, ar, &got, &own, &n_got, &f), want);
    ck_assert_int_eq(f.err, want);
    for (int i = 0; want == FR_OK && i < n; i++) {
        ck_assert_int_eq(n_got, n);
        ck_assert_str_eq(got[i].name, t[i].name);
        ck_assert_ptr_eq(got[i].data, own[i]);
        ck_assert_uint_eq((uintptr_t)own[i] % 64, 0);
        ck_assert_mem_eq(got[i].dim, t[i].dim, sizeof(t[i].dim));
        ck_assert_mem_eq(own[i], t[i].data, fr_tensor_count(&t[i]) * fr_dtype_size(t[i].dtype));
        fr_free(own[i]);
    }
    fr_arena_free(ar);
    (void)close(fd);
}

static enum fr_err parse(struct fr_str file, struct fr_tensor **t, int *n, struct fr_fault *f)
{
    static struct fr_arena *ar;
    if (ar == NULL)
        ck_assert_int_eq(fr_arena_new(1 << 14, 0, &ar), FR_OK);
    fr_arena_reset(ar);
    enum fr_err e = fr_safetensors_parse(file, ar, t, n, f);
    check_read(file, e, *t, *n);
    return e;
}

START_TEST(read__file_shorter_than_said_or_memory_out__refused_without_a_leak)
{
    static const float x[2000] = {1};
    struct fr_tensor in[2] = {{"a", FR_DTYPE_F32, 1, {2000}, x}, {"b", FR_DTYPE_F32, 1, {7}, x}}, *t = NULL;
    char path[] = "/tmp/freshet-safetensors-XXXXXX";
    struct fr_arena *ar = NULL;
    void **own = NULL;
    struct fr_buf b;
    int n = 0, fd = mkstemp(path), failed = 0;
    ck_assert_int_ge(fd, 0);
    (void)unlink(path);
    fr_buf_init(&b);
    ck_assert_int_eq(fr_safetensors_write(in, 2, &b), FR_OK);
    ck_assert_int_eq((int)write(fd, b.p, b.n), (int)b.n);
    for (uint64_t nth = 1; nth < 50; nth++) {
        ck_assert_int_eq(fr_arena_new(1 << 14, 0, &ar), FR_OK);
        fr_alloc_fail_at(nth);
        enum fr_err e = fr_safetensors_read(fd, b.n, ar, &t, &own, &n, NULL);
        fr_alloc_fail_at(0);
        failed += e == FR_ENOMEM;
        ck_assert(e == FR_OK || e == FR_ENOMEM);
        for (int i = 0; e == FR_OK && i < n; i++)
            fr_free(own[i]);
        fr_arena_free(ar);
    }
    ck_assert_int_ge(failed, 2);
    ck_assert_int_eq(ftruncate(fd, (off_t)b.n - 1), 0);
    ck_assert_int_eq(fr_arena_new(1 << 14, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_safetensors_read(fd, b.n, ar, &t, &own, &n, NULL), FR_ERANGE);
    fr_arena_free(ar);
    fr_buf_done(&b);
    (void)close(fd);
}
END_TEST

START_TEST(write_then_parse__every_type_and_rank__same_bytes)
{
    static const float m[6] = {1, -2, 3.5f, 0, 1e-30f, 1e30f};
    static const uint64_t keys[3] = {0, UINT64_MAX, 77};
    static const int32_t small[1] = {-5};
    static const int64_t big[4] = {INT64_MIN, -1, 0, INT64_MAX};
    struct fr_tensor in[4] = {
        {"embedding.item.weight", FR_DTYPE_F32, 2, {2, 3}, m},
        {"vocab.item", FR_DTYPE_U64, 1, {3}, keys},
        {"odd/name", FR_DTYPE_I32, 1, {1}, small},
        {"four", FR_DTYPE_I64, 4, {2, 1, 2, 1}, big},
    };
    struct fr_tensor *t = NULL;
    struct fr_fault f = {0};
    struct fr_buf b;
    int n = 0;
    fr_buf_init(&b);
    ck_assert_int_eq(fr_safetensors_write(in, 4, &b), FR_OK);
    ck_assert_msg(parse(fr_buf_str(&b), &t, &n, &f) == FR_OK, "%s", f.msg);
    ck_assert_int_eq(n, 4);
    for (int i = 0; i < 4; i++) {
        const struct fr_tensor *got = fr_tensor_find(t, n, in[i].name);
        ck_assert_ptr_nonnull(got);
        ck_assert_int_eq(got->dtype, in[i].dtype);
        ck_assert_int_eq(got->ndim, in[i].ndim);
        ck_assert_uint_eq((uintptr_t)got->data % fr_dtype_size(got->dtype), 0);
        ck_assert_int_eq(
            memcmp(got->data, in[i].data, fr_tensor_count(got) * fr_dtype_size(got->dtype)), 0);
    }
    fr_buf_done(&b);
}
END_TEST

START_TEST(parse__odd_header_length_metadata_empty__accepted)
{
    struct fr_tensor *t = NULL;
    int n = 0;
    const float x[2] = {1, 2};
    const char *h = "{\"__metadata__\":{\"format\":\"pt\"},"
                    "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}} ";
    for (int pad = 0; pad < 4; pad++) {
        char header[256];
        (void)snprintf(header, sizeof(header), "%s%*s", h, pad, "");
        ck_assert_int_eq(parse(make(header, strlen(header), x, 8), &t, &n, NULL), FR_OK);
        ck_assert_int_eq(n, 1);
        mf_float_eq(((const float *)t[0].data)[1], 2);
    }
    ck_assert_int_eq(parse(make("{}", 2, NULL, 0), &t, &n, NULL), FR_OK);
    ck_assert_int_eq(n, 0);
}
END_TEST

#define T(name, dtype, shape, offsets)                                                             \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define LEN UINT64_MAX /* the true length */

/* Each row: a header over 16 bytes of data, and why it is refused. */
static const struct {
    const char *what;
    const char *header;
    uint64_t claimed;
    enum fr_err err;
    const char *reason;
} broken[] = {
    {"header past the end", "{}", 1000, FR_ERANGE, "past the end"},
    {"header length huge", "{}", UINT64_C(1) << 62, FR_ETOOLARGE, "limit"},
    {"not JSON", "{\"a\":", LEN, FR_ESYNTAX, "header byte"},
    {"no object", "[1,2]", LEN, FR_ESCHEMA, "not an object"},
    {"duplicate name",
     "{" T("a", "F32", "[2]", "[0,8]") "," T("a", "F32", "[2]", "[8,16]") "}",
     LEN,
     FR_EDUPLICATE,
     "duplicate"},
    {"overlap",
     "{" T("a", "F32", "[3]", "[0,12]") "," T("b", "F32", "[2]", "[8,16]") "}",
     LEN,
     FR_ERANGE,
     "overlaps"},
    {"same place",
     "{" T("a", "F32", "[4]", "[0,16]") "," T("b", "F32", "[4]", "[0,16]") "}",
     LEN,
     FR_ERANGE,
     "overlaps"},
    {"gap",
     "{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[2]", "[8,16]") "}",
     LEN,
     FR_ERANGE,
     "gap"},
    {"bytes left over", "{" T("a", "F32", "[2]", "[0,8]") "}", LEN, FR_ERANGE, "after the last"},
    {"end past the data", "{" T("a", "F32", "[8]", "[0,32]") "}", LEN, FR_ERANGE, "outside"},
    {"begin after end", "{" T("a", "F32", "[2]", "[16,8]") "}", LEN, FR_ERANGE, "outside"},
    {"negative offset", "{" T("a", "F32", "[2]", "[-8,0]") "}", LEN, FR_ERANGE, "outside"},
    {"span is not shape", "{" T("a", "F32", "[3]", "[0,16]") "}", LEN, FR_ERANGE, "span"},
    {"huge dims",
     "{" T("a", "F32", "[4611686018427387904,4]", "[0,16]") "}",
     LEN,
     FR_EOVERFLOW,
     "overflows"},
    {"product wraps to the span",
     "{" T("a", "F32", "[4294967296,4294967297]", "[0,16]") "}",
     LEN,
     FR_EOVERFLOW,
     "overflows"},
    {"zero dim", "{" T("a", "F32", "[0,4]", "[0,0]") "}", LEN, FR_ESCHEMA, "above 0"},
    {"negative dim", "{" T("a", "F32", "[-4]", "[0,16]") "}", LEN, FR_ESCHEMA, "above 0"},
    {"fractional dim", "{" T("a", "F32", "[4.0]", "[0,16]") "}", LEN, FR_ESCHEMA, "above 0"},
    {"five dims", "{" T("a", "F32", "[1,1,1,1,4]", "[0,16]") "}", LEN, FR_ESCHEMA, "1..4"},
    {"no dims", "{" T("a", "F32", "[]", "[0,4]") "}", LEN, FR_ESCHEMA, "1..4"},
    {"wrong dtype", "{" T("a", "F16", "[8]", "[0,16]") "}", LEN, FR_EMISMATCH, "dtype"},
    {"dtype is a number",
     "{\"a\":{\"dtype\":3,\"shape\":[4],\"data_offsets\":[0,16]}}",
     LEN,
     FR_ESCHEMA,
     "dtype"},
    {"no offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}", LEN, FR_ESCHEMA, "data_offsets"},
    {"three offsets", "{" T("a", "F32", "[4]", "[0,8,16]") "}", LEN, FR_ESCHEMA, "data_offsets"},
    {"entry is no object", "{\"a\":[0,16]}", LEN, FR_ESCHEMA, "object"},
    {"empty name", "{" T("", "F32", "[4]", "[0,16]") "}", LEN, FR_ESCHEMA, "name"},
    {"control character in a name",
     "{" T("a\\u0001b", "F32", "[4]", "[0,16]") "}",
     LEN,
     FR_ESCHEMA,
     "name"},
    {"NUL in a name", "{" T("a\\u0000b", "F32", "[4]", "[0,16]") "}", LEN, FR_ESCHEMA, "name"},
    {"NaN", "{" T("a", "F32", "[4]", "[0,16]") "}", LEN, FR_ENONFINITE, "tensor a"},
};

START_TEST(parse__broken_file__refused_with_its_reason)
{
    float data[4] = {1, 2, 3, 4};
    struct fr_tensor *t = NULL;
    struct fr_fault f = {0};
    int n = -7;
    const char *h = broken[_i].header;
    uint64_t claimed = broken[_i].claimed == LEN ? strlen(h) : broken[_i].claimed;
    if (broken[_i].err == FR_ENONFINITE)
        data[3] = NAN;
    enum fr_err e = parse(make(h, claimed, data, 16), &t, &n, &f);
    ck_assert_msg(e == broken[_i].err, "%s: %s (%s)", broken[_i].what, fr_err_name(e), f.msg);
    ck_assert_msg(
        strstr(f.msg, broken[_i].reason) != NULL, "%s: message: %s", broken[_i].what, f.msg);
    ck_assert_ptr_null(t);
    ck_assert_int_eq(n, -7);
}
END_TEST

START_TEST(parse__truncated_at_every_byte_and_flipped_bits__never_crashes)
{
    const float x[4] = {1, 2, 3, 4};
    const char *h = "{" T("a", "F32", "[2,2]", "[0,16]") "}";
    struct fr_str whole = make(h, strlen(h), x, 16);
    struct fr_tensor *t = NULL;
    int n = 0;
    for (size_t cut = 0; cut < whole.n; cut++) {
        char *p = fr_malloc_array(cut + 1, 1); /* exact size: ASan sees an over-read */
        ck_assert_ptr_nonnull(p);
        memcpy(p, whole.p, cut);
        ck_assert_int_ne(parse((struct fr_str){p, cut}, &t, &n, NULL), FR_OK);
        fr_free(p);
    }
    for (size_t bit = 0; bit < whole.n * 8; bit++) {
        char copy[512];
        memcpy(copy, whole.p, whole.n);
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
        enum fr_err e = parse((struct fr_str){copy, whole.n}, &t, &n, NULL);
        ck_assert(e == FR_OK || !fr_err_retriable(e));
    }
}
END_TEST

START_TEST(write__bad_input__refused)
{
    float x[2] = {1, NAN};
    struct fr_tensor t[2] = {{"a", FR_DTYPE_F32, 1, {2}, x}, {"a", FR_DTYPE_F32, 1, {1}, x}};
    struct fr_buf b;
    fr_buf_init(&b);
    ck_assert_int_eq(fr_safetensors_write(t, 1, &b), FR_ENONFINITE);
    x[1] = 2;
    ck_assert_int_eq(fr_safetensors_write(t, 2, &b), FR_EINVAL);
    t[0].dim[0] = 0;
    ck_assert_int_eq(fr_safetensors_write(t, 1, &b), FR_EINVAL);
    ck_assert_uint_eq(b.n, 0);
    fr_buf_done(&b);
}
END_TEST

START_TEST(head_then_parse__metadata__same_texts)
{
    static const float m[2] = {1, 2};
    const struct fr_tensor in = {"a", FR_DTYPE_F32, 1, {2}, m};
    const struct fr_st_note notes[2] = {{"first", FR_STR_LIT("a \"quoted\" text")}, {"second", FR_STR_LIT("")}};
    const struct fr_json *meta = NULL;
    struct fr_tensor *t = NULL;
    struct fr_arena *ar = NULL;
    struct fr_fault f = {0};
    struct fr_buf b;
    int n = 0;

    fr_buf_init(&b);
    ck_assert_int_eq(fr_arena_new(1 << 14, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_safetensors_head(&in, 1, notes, 2, &b), FR_OK);
    ck_assert_uint_eq(b.n % 8, 0);
    fr_buf_put(&b, m, sizeof(m));
    ck_assert_msg(fr_safetensors_parse_meta(fr_buf_str(&b), ar, &t, &n, &meta, &f) == FR_OK, "%s", f.msg);
    ck_assert_int_eq(n, 1);
    ck_assert(fr_str_eqz(fr_json_get(meta, "first")->str, "a \"quoted\" text"));
    ck_assert(fr_str_eqz(fr_json_get(meta, "second")->str, ""));
    fr_buf_clear(&b);
    ck_assert_int_eq(fr_safetensors_write(&in, 1, &b), FR_OK);
    ck_assert_int_eq(fr_safetensors_parse_meta(fr_buf_str(&b), ar, &t, &n, &meta, &f), FR_OK);
    ck_assert_ptr_null(meta); /* none is none */
    fr_buf_done(&b);
    fr_arena_free(ar);
}
END_TEST

START_TEST(parse_meta__no_object_of_texts__refused)
{
    static const char *const bad[] = {"{\"__metadata__\":3}", "{\"__metadata__\":{\"a\":1}}", "{\"__metadata__\":{\"a\":{}}}"};
    const struct fr_json *meta = NULL;
    struct fr_tensor *t = NULL;
    struct fr_arena *ar = NULL;
    int n = 0;

    ck_assert_int_eq(fr_arena_new(1 << 14, 0, &ar), FR_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fr_fault f = {0};

        ck_assert_int_eq(fr_safetensors_parse_meta(make(bad[i], strlen(bad[i]), NULL, 0), ar, &t, &n, &meta, &f), FR_ESCHEMA);
        ck_assert_ptr_nonnull(strstr(f.msg, "__metadata__"));
    }
    fr_arena_free(ar);
}
END_TEST

START_TEST(head__longer_than_a_reader_takes__refused)
{
    static char text[FR_ST_MAX_HEADER];
    const struct fr_st_note note = {"a", {text, sizeof(text)}};
    struct fr_buf b;

    memset(text, 'x', sizeof(text));
    fr_buf_init(&b);
    ck_assert_int_eq(fr_safetensors_head(NULL, 0, &note, 1, &b), FR_ETOOLARGE);
    ck_assert_uint_eq(b.n, 0);
    fr_buf_done(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/safetensors");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, read__file_shorter_than_said_or_memory_out__refused_without_a_leak);
    tcase_add_test(tc, write_then_parse__every_type_and_rank__same_bytes);
    tcase_add_test(tc, parse__odd_header_length_metadata_empty__accepted);
    tcase_add_loop_test(tc,
                        parse__broken_file__refused_with_its_reason,
                        0,
                        (int)(sizeof(broken) / sizeof(broken[0])));
    tcase_add_test(tc, parse__truncated_at_every_byte_and_flipped_bits__never_crashes);
    tcase_add_test(tc, write__bad_input__refused);
    tcase_add_test(tc, head_then_parse__metadata__same_texts);
    tcase_add_test(tc, parse_meta__no_object_of_texts__refused);
    tcase_add_test(tc, head__longer_than_a_reader_takes__refused);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
