/*
 * tests/unit/test_base_json.c - the JSON parser and writer: what is taken, what is refused and where, and
 * that what is written reads back the same.
 */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/json.h"
#include "daemon/base/rng.h"

static struct fr_arena *ar;

static void setup(void)
{
    ck_assert_int_eq(fr_arena_new(4096, 0, &ar), FR_OK);
}

static void teardown(void)
{
    fr_arena_free(ar);
}

#define OK(text) {FR_STR_LIT(text), FR_OK, 0}
#define NO(text, err, offset) {FR_STR_LIT(text), FR_##err, offset}

static const struct row {
    struct fr_str text;
    enum fr_err err;
    size_t offset;
} rows[] = {
    /* structure */
    OK("[]"),
    OK("{}"),
    OK(" \t\r\n[ ] \n"),
    OK("null"),
    OK("true"),
    OK("false"),
    OK("\"\""),
    OK("[1,[2,{\"a\":[]}],{}]"),
    OK("{\"a\":1,\"b\":2}"),
    OK("{\"a\":1,\"A\":2,\"\":3}"),
    OK("{\"a\":{\"a\":{\"a\":0}}}"),
    NO("", ESYNTAX, 0),
    NO("  ", ESYNTAX, 2),
    NO("[", ESYNTAX, 1),
    NO("[1", ESYNTAX, 2),
    NO("[1,", ESYNTAX, 3),
    NO("[1,]", ESYNTAX, 3),
    NO("[,1]", ESYNTAX, 1),
    NO("[1 2]", ESYNTAX, 3),
    NO("[1}", ESYNTAX, 2),
    NO("]", ESYNTAX, 0),
    NO("{", ESYNTAX, 1),
    NO("{\"a\"}", ESYNTAX, 4),
    NO("{\"a\":}", ESYNTAX, 5),
    NO("{\"a\":1,}", ESYNTAX, 7),
    NO("{a:1}", ESYNTAX, 1),
    NO("{'a':1}", ESYNTAX, 1),
    NO("{1:1}", ESYNTAX, 1),
    NO("{\"a\":1]", ESYNTAX, 6),
    NO("{\"a\" 1}", ESYNTAX, 5),
    NO("{\"a\":1 \"b\":2}", ESYNTAX, 7),
    NO("1 2", ESYNTAX, 2),
    NO("[]x", ESYNTAX, 2),
    NO("[]\0", ESYNTAX, 2),
    NO("{}}", ESYNTAX, 2),
    NO("// no\n1", ESYNTAX, 0),
    NO("[1,/**/2]", ESYNTAX, 3),
    NO("\xef\xbb\xbf[]", ESYNTAX, 0),
    NO("\f[]", ESYNTAX, 0),
    NO("\xc2\xa0[]", ESYNTAX, 0),
    NO("tru", ESYNTAX, 0),
    NO("True", ESYNTAX, 0),
    NO("nul", ESYNTAX, 0),
    NO("truex", ESYNTAX, 4),
    /* numbers */
    OK("0"),
    OK("-0"),
    OK("-1"),
    OK("1.5"),
    OK("-0.0e-0"),
    OK("1e5"),
    OK("1E+5"),
    OK("1e-400"),
    OK("1.7976931348623157e308"),
    OK("9223372036854775807"),
    OK("-9223372036854775808"),
    OK("9223372036854775808"),
    NO("01", ESYNTAX, 0),
    NO("-01", ESYNTAX, 1),
    NO("00", ESYNTAX, 0),
    NO("-", ESYNTAX, 1),
    NO("+1", ESYNTAX, 0),
    NO(".5", ESYNTAX, 0),
    NO("1.", ESYNTAX, 2),
    NO("1.e1", ESYNTAX, 2),
    NO("1e", ESYNTAX, 2),
    NO("1e+", ESYNTAX, 3),
    NO("1.2.3", ESYNTAX, 3),
    NO("0x10", ESYNTAX, 1),
    NO("1_000", ESYNTAX, 1),
    NO("NaN", ESYNTAX, 0),
    NO("Infinity", ESYNTAX, 0),
    NO("-Infinity", ESYNTAX, 1),
    NO("1e309", ERANGE, 0),
    NO("[-1e999]", ERANGE, 1),
    /* strings */
    OK("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\""),
    OK("\"\\u0000\""),
    OK("\"\\ud83d\\ude00\""),
    OK("\"\\uD834\\uDd1E\""),
    OK("\"\x7f\""),
    OK("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""),
    OK("\"\xf4\x8f\xbf\xbf\xef\xbf\xbf\""),
    NO("\"abc", ESYNTAX, 4),
    NO("\"abc\\\"", ESYNTAX, 6),
    NO("\"\\", ESYNTAX, 2),
    NO("\"a\nb\"", ESYNTAX, 2),
    NO("\"a\tb\"", ESYNTAX, 2),
    NO("\"a\0b\"", ESYNTAX, 2),
    NO("\"\x1f\"", ESYNTAX, 1),
    NO("\"a\\x41\"", ESYNTAX, 2),
    NO("\"\\a\"", ESYNTAX, 1),
    NO("\"\\\n\"", ESYNTAX, 1),
    NO("\"\\u12\"", ESYNTAX, 1),
    NO("\"\\u12g4\"", ESYNTAX, 1),
    NO("\"\\u\"", ESYNTAX, 1),
    NO("\"\\U0041\"", ESYNTAX, 1),
    NO("\"\\ud800\"", EUTF8, 1),
    NO("\"\\udc00\"", EUTF8, 1),
    NO("\"\\ud800\\ud800\"", EUTF8, 1),
    NO("\"\\ud800\\n\"", EUTF8, 1),
    NO("\"ab\\ud800x\"", EUTF8, 3),
    NO("\"\\ud800\",\"\\udc00\"", EUTF8, 1),
    NO("\"\x80\"", EUTF8, 1),
    NO("\"a\xff\"", EUTF8, 2),
    NO("\"\xc0\xaf\"", EUTF8, 1),
    NO("\"\xc1\xbf\"", EUTF8, 1),
    NO("\"\xe0\x80\xaf\"", EUTF8, 1),
    NO("\"\xf0\x80\x80\xaf\"", EUTF8, 1),
    NO("\"\xed\xa0\x80\"", EUTF8, 1),
    NO("\"\xf4\x90\x80\x80\"", EUTF8, 1),
    NO("\"\xf5\x80\x80\x80\"", EUTF8, 1),
    NO("\"\xc3\"", EUTF8, 1),
    NO("\"\xe2\x82\"", EUTF8, 1),
    NO("\"\xe2\x82", EUTF8, 1),
    NO("{\"\xff\":1}", EUTF8, 2),
    /* duplicate keys */
    NO("{\"a\":1,\"a\":1}", EDUPLICATE, 7),
    NO("{\"a\":1,\"\\u0061\":1}", EDUPLICATE, 7),
    NO("{\"\":1,\"\":1}", EDUPLICATE, 6),
    NO("[{\"a\":1,\"b\":{\"a\":2},\"a\":1}]", EDUPLICATE, 20),
};

START_TEST(parse__table)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct fr_json *const untouched = (const struct fr_json *)rows;
        const struct fr_json *root = untouched;
        struct fr_json_error je = {FR_OK, 12345, NULL};
        enum fr_err e = fr_json_parse(ar, rows[i].text, &root, &je);

        ck_assert_msg(e == rows[i].err, "row %zu '%s': %s, not %s", i, rows[i].text.p, fr_err_name(e),
                      fr_err_name(rows[i].err));
        if (e == FR_OK) {
            ck_assert(root != untouched && root != NULL && root->next == NULL);
        } else {
            ck_assert_ptr_eq(root, untouched);
            ck_assert_msg(je.offset == rows[i].offset && je.err == e && je.what != NULL,
                          "row %zu '%s': offset %zu, not %zu", i, rows[i].text.p, je.offset, rows[i].offset);
            ck_assert_int_eq(fr_json_parse(ar, rows[i].text, &root, NULL), e);
        }
        fr_arena_reset(ar);
    }
}
END_TEST

START_TEST(parse__values)
{
    struct fr_str in = FR_STR_LIT("{\"i\":-7,\"f\":2.50,\"big\":18446744073709551616,\"s\":\"\\u00e9\\ud83d\\ude00\\u0000z\","
                                  "\"a\":[1,2,3],\"t\":true,\"n\":null,\"raw\":\"plain\"}");
    const struct fr_json *root, *v;

    ck_assert_int_eq(fr_json_parse(ar, in, &root, NULL), FR_OK);
    ck_assert_int_eq(root->type, FR_JSON_OBJECT);
    ck_assert_uint_eq(root->n, 8);
    v = fr_json_get(root, "i");
    ck_assert(v->type == FR_JSON_NUMBER && v->is_int && v->i == -7 && v->num == -7.0);
    ck_assert_uint_eq(v->offset, 5);
    v = fr_json_get(root, "f");
    ck_assert(!v->is_int && v->num == 2.5 && fr_str_eqz(v->str, "2.50"));
    v = fr_json_get(root, "big");
    ck_assert(!v->is_int && v->num == 18446744073709551616.0);
    v = fr_json_get(root, "s");
    ck_assert(fr_str_eq(v->str, FR_STR_LIT("\xc3\xa9\xf0\x9f\x98\x80\0z")));
    v = fr_json_get(root, "a");
    ck_assert(v->type == FR_JSON_ARRAY && v->n == 3 && v->child->next->i == 2 && v->child->next->next->next == NULL);
    ck_assert(fr_json_get(root, "t")->b && fr_json_get(root, "n")->type == FR_JSON_NULL);
    v = fr_json_get(root, "raw");
    ck_assert(v->str.p > in.p && v->str.p < in.p + in.n); /* no copy */
    ck_assert_ptr_null(fr_json_get(root, "absent"));
    ck_assert_int_eq(fr_json_parse(ar, FR_STR_LIT("-0"), &v, NULL), FR_OK); /* the sign of zero is kept */
    ck_assert(v->is_int && v->i == 0 && v->num == 0.0 && signbit(v->num));
    ck_assert_ptr_null(fr_json_get(NULL, "i"));
    ck_assert_ptr_null(fr_json_get(fr_json_get(root, "a"), "i"));
    ck_assert_ptr_null(fr_json_get(fr_json_get(root, "i"), "i"));
}
END_TEST

START_TEST(parse__depth_limit)
{
    char text[4 * FR_JSON_MAX_DEPTH + 8];

    for (int d = FR_JSON_MAX_DEPTH - 1; d <= FR_JSON_MAX_DEPTH + 1; d++) {
        const struct fr_json *root;
        struct fr_json_error je;
        enum fr_err e;

        memset(text, '[', (size_t)d);
        memset(text + d, ']', (size_t)d);
        e = fr_json_parse(ar, (struct fr_str){text, 2 * (size_t)d}, &root, &je);
        ck_assert_int_eq(e, d <= FR_JSON_MAX_DEPTH ? FR_OK : FR_EDEPTH);
        if (e != FR_OK)
            ck_assert_uint_eq(je.offset, FR_JSON_MAX_DEPTH);
    }
}
END_TEST

/* Every duplicate is found, at its place, in objects on both sides of any switch of method. */
START_TEST(parse__duplicates_in_large_objects)
{
    for (int n = 1; n <= 300; n += n < 40 ? 1 : 37) {
        for (int dup = -1; dup < n; dup += n < 40 ? 1 : 11) {
            const struct fr_json *root;
            struct fr_json_error je;
            struct fr_buf b;
            size_t at;

            fr_buf_init(&b);
            fr_buf_putc(&b, '{');
            for (int i = 0; i < n; i++)
                fr_buf_printf(&b, "\"k%d\":%d,", i, i);
            at = b.n;
            fr_buf_printf(&b, "\"k%d\":0}", dup < 0 ? n : dup);
            ck_assert_int_eq(fr_buf_err(&b), FR_OK);
            if (dup < 0) {
                ck_assert_int_eq(fr_json_parse(ar, fr_buf_str(&b), &root, &je), FR_OK);
                ck_assert_uint_eq(root->n, (size_t)n + 1);
                ck_assert_int_eq(fr_json_get(root, "k0")->i, 0);
            } else {
                ck_assert_int_eq(fr_json_parse(ar, fr_buf_str(&b), &root, &je), FR_EDUPLICATE);
                ck_assert_uint_eq(je.offset, at);
            }
            fr_arena_reset(ar);
            fr_buf_done(&b);
        }
    }
}
END_TEST

/* ---- the writer ---- */

static void random_text(struct fr_rng *rng, char *p, size_t *n)
{
    static const char *const pieces[] = {"a", "\"", "\\", "/", "\n", "\x01", "\x1f", "\x7f", "\xc3\xa9",
                                         "\xe2\x82\xac", "\xf0\x9f\x98\x80", " ", "\t", "\xef\xbf\xbf"};
    *n = 0;
    for (uint64_t k = fr_rng_below(rng, 9); k > 0; k--) {
        uint64_t which = fr_rng_below(rng, sizeof(pieces) / sizeof(pieces[0]) + 1);
        if (which == sizeof(pieces) / sizeof(pieces[0])) {
            p[(*n)++] = '\0';
            continue;
        }
        memcpy(p + *n, pieces[which], strlen(pieces[which]));
        *n += strlen(pieces[which]);
    }
}

static void random_value(struct fr_rng *rng, struct fr_jsonw *w, int depth)
{
    char text[64];
    size_t n;
    double d;
    uint64_t bits;

    switch (fr_rng_below(rng, depth < 6 ? 8 : 6)) {
    case 0:
        fr_jsonw_null(w);
        break;
    case 1:
        fr_jsonw_bool(w, fr_rng_below(rng, 2) == 1);
        break;
    case 2:
        fr_jsonw_i64(w, (int64_t)(fr_rng_u64(rng) >> fr_rng_below(rng, 64)));
        break;
    case 3:
        bits = fr_rng_u64(rng);
        memcpy(&d, &bits, sizeof(d));
        fr_jsonw_f64(w, d);
        break;
    case 4:
        fr_jsonw_u64(w, fr_rng_u64(rng));
        break;
    case 5:
        random_text(rng, text, &n);
        fr_jsonw_str(w, (struct fr_str){text, n});
        break;
    case 6:
        fr_jsonw_array(w);
        for (uint64_t k = fr_rng_below(rng, 5); k > 0; k--)
            random_value(rng, w, depth + 1);
        fr_jsonw_end(w, ']');
        break;
    default:
        fr_jsonw_object(w);
        for (uint64_t k = fr_rng_below(rng, 5); k > 0; k--) {
            random_text(rng, text, &n);
            text[n++] = (char)('0' + k); /* no duplicates */
            fr_jsonw_keys(w, (struct fr_str){text, n});
            random_value(rng, w, depth + 1);
        }
        fr_jsonw_end(w, '}');
        break;
    }
}

static void write_tree(struct fr_jsonw *w, const struct fr_json *v)
{
    uint64_t u;

    switch (v->type) {
    case FR_JSON_NULL:
        fr_jsonw_null(w);
        break;
    case FR_JSON_BOOL:
        fr_jsonw_bool(w, v->b);
        break;
    case FR_JSON_NUMBER:
        if (v->is_int)
            fr_jsonw_i64(w, v->i);
        else if (fr_str_to_u64(v->str, &u) == FR_OK)
            fr_jsonw_u64(w, u);
        else
            fr_jsonw_f64(w, v->num);
        break;
    case FR_JSON_STRING:
        fr_jsonw_str(w, v->str);
        break;
    case FR_JSON_ARRAY:
    case FR_JSON_OBJECT:
        if (v->type == FR_JSON_OBJECT)
            fr_jsonw_object(w);
        else
            fr_jsonw_array(w);
        for (const struct fr_json *c = v->child; c != NULL; c = c->next) {
            if (v->type == FR_JSON_OBJECT)
                fr_jsonw_keys(w, c->key);
            write_tree(w, c);
        }
        fr_jsonw_end(w, v->type == FR_JSON_OBJECT ? '}' : ']');
        break;
    }
}

START_TEST(round_trip__random_documents)
{
    struct fr_rng rng;
    struct fr_buf a, b;
    struct fr_jsonw w;

    fr_rng_seed(&rng, 20);
    fr_buf_init(&a);
    fr_buf_init(&b);
    for (int i = 0; i < 5000; i++) {
        const struct fr_json *root;
        struct fr_json_error je = {FR_OK, 0, NULL};
        enum fr_err e;

        fr_buf_clear(&a);
        fr_buf_clear(&b);
        fr_jsonw_init(&w, &a);
        random_value(&rng, &w, 0);
        fr_buf_putc(&a, '\0'); /* for the messages */
        ck_assert_int_eq(fr_buf_err(&a), FR_OK);
        e = fr_json_parse(ar, (struct fr_str){a.p, a.n - 1}, &root, &je);
        ck_assert_msg(e == FR_OK, "document %d at %zu (%s): %s", i, je.offset, je.what, a.p);
        fr_jsonw_init(&w, &b);
        write_tree(&w, root);
        ck_assert_msg(b.n == a.n - 1 && memcmp(a.p, b.p, b.n) == 0, "document %d: %s / %.*s", i, a.p, (int)b.n, b.p);
        fr_arena_reset(ar);
    }
    fr_buf_done(&a);
    fr_buf_done(&b);
}
END_TEST

/* The text of one string value, and what reading it back gives. */
static void check_str(struct fr_str in, const char *want, struct fr_str back)
{
    const struct fr_json *root;
    struct fr_buf b;
    struct fr_jsonw w;

    fr_buf_init(&b);
    fr_jsonw_init(&w, &b);
    fr_jsonw_str(&w, in);
    ck_assert_int_eq(fr_buf_err(&b), FR_OK);
    if (want != NULL)
        ck_assert_msg(fr_str_eqz(fr_buf_str(&b), want), "%.*s", (int)b.n, b.p);
    ck_assert_int_eq(fr_json_parse(ar, fr_buf_str(&b), &root, NULL), FR_OK);
    ck_assert(fr_str_eq(root->str, back));
    fr_buf_done(&b);
}

START_TEST(writer__escapes)
{
    check_str(FR_STR_LIT("a\"b\\c/"), "\"a\\\"b\\\\c/\"", FR_STR_LIT("a\"b\\c/"));
    for (int c = 0; c < 256; c++) { /* every byte alone */
        char one = (char)c;
        struct fr_str s = {&one, 1};
        check_str(s, NULL, c < 0x80 ? s : FR_STR_LIT("\xef\xbf\xbd"));
    }
    check_str(FR_STR_LIT("a\xff"
                         "b\xed\xa0\x80"),
              NULL,
              FR_STR_LIT("a\xef\xbf\xbd"
                         "b\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"));
    check_str(FR_STR_LIT("\xe2\x82"), NULL, FR_STR_LIT("\xef\xbf\xbd\xef\xbf\xbd"));
    check_str((struct fr_str){NULL, 0}, "\"\"", FR_STR_LIT(""));
}
END_TEST

START_TEST(writer__numbers_and_commas)
{
    struct fr_buf b;
    struct fr_jsonw w;

    fr_buf_init(&b);
    fr_jsonw_init(&w, &b);
    fr_jsonw_object(&w);
    fr_jsonw_key(&w, "a");
    fr_jsonw_array(&w);
    fr_jsonw_i64(&w, INT64_MIN);
    fr_jsonw_u64(&w, UINT64_MAX);
    fr_jsonw_f64(&w, (double)NAN);
    fr_jsonw_f64(&w, (double)-INFINITY);
    fr_jsonw_f32(&w, INFINITY);
    fr_jsonw_f64(&w, 0.1);
    fr_jsonw_end(&w, ']');
    fr_jsonw_key(&w, "b\n");
    fr_jsonw_object(&w);
    fr_jsonw_end(&w, '}');
    fr_jsonw_key(&w, "c");
    fr_jsonw_z(&w, "z");
    fr_jsonw_end(&w, '}');
    ck_assert_int_eq(fr_buf_err(&b), FR_OK);
    ck_assert_msg(fr_str_eqz(fr_buf_str(&b), "{\"a\":[-9223372036854775808,18446744073709551615,null,null,null,0.1],"
                                             "\"b\\n\":{},\"c\":\"z\"}"),
                  "%.*s", (int)b.n, b.p);
    fr_buf_done(&b);
}
END_TEST

START_TEST(writer__floats_read_back_the_same)
{
    struct fr_rng rng;
    struct fr_buf b;
    struct fr_jsonw w;

    fr_rng_seed(&rng, 21);
    fr_buf_init(&b);
    for (int i = 0; i < 20000; i++) {
        const struct fr_json *root;
        uint32_t bits = (uint32_t)fr_rng_u64(&rng);
        float f, back;

        memcpy(&f, &bits, sizeof(f));
        if (!isfinite(f))
            continue;
        fr_buf_clear(&b);
        fr_jsonw_init(&w, &b);
        fr_jsonw_f32(&w, f);
        ck_assert_int_eq(fr_json_parse(ar, fr_buf_str(&b), &root, NULL), FR_OK);
        back = (float)root->num;
        ck_assert_msg(back == f, "%.*s", (int)b.n, b.p);
        fr_arena_reset(ar);
    }
    fr_buf_done(&b);
}
END_TEST

START_TEST(writer__nesting_past_64_is_an_error)
{
    for (int depth = 60; depth <= 70; depth++) {
        struct fr_buf b;
        struct fr_jsonw w;

        fr_buf_init(&b);
        fr_jsonw_init(&w, &b);
        for (int i = 0; i < depth; i++)
            fr_jsonw_array(&w);
        for (int i = 0; i < depth; i++)
            fr_jsonw_end(&w, ']');
        if (depth < 64)
            ck_assert_int_eq(fr_buf_err(&b), FR_OK);
        else if (depth > 64)
            ck_assert_int_eq(fr_buf_err(&b), FR_EINTERNAL);
        fr_buf_done(&b);
    }
}
END_TEST

/* Whichever allocation fails, the answer is FR_ENOMEM and the next parse works. */
START_TEST(parse__out_of_memory)
{
    struct fr_buf b;
    uint64_t nth = 1;
    enum fr_err e = FR_ENOMEM;

    fr_buf_init(&b);
    fr_buf_putc(&b, '{');
    for (int i = 0; i < 400; i++)
        fr_buf_printf(&b, "%s\"k%d\":[\"\\n%d\"]", i > 0 ? "," : "", i, i);
    fr_buf_putc(&b, '}');
    ck_assert_int_eq(fr_buf_err(&b), FR_OK);
    for (; e != FR_OK; nth++) {
        struct fr_arena *small;
        const struct fr_json *root = NULL;
        struct fr_json_error je;

        ck_assert_int_eq(fr_arena_new(256, 0, &small), FR_OK);
        fr_alloc_fail_at(nth);
        e = fr_json_parse(small, fr_buf_str(&b), &root, &je);
        fr_alloc_fail_at(0);
        if (e == FR_OK)
            ck_assert_uint_eq(root->n, 400);
        else
            ck_assert(e == FR_ENOMEM && je.err == FR_ENOMEM && je.offset <= b.n && root == NULL);
        fr_arena_free(small);
    }
    ck_assert_uint_gt(nth, 10);
    fr_buf_done(&b);
}
END_TEST

/* Text cut short is never taken, and the offset stays within it. */
START_TEST(parse__every_prefix_is_refused)
{
    struct fr_str in = FR_STR_LIT("{\"a\":[1.5e3,true,null,\"\\u00e9\xc3\xa9\"],\"b\":{\"c\":\"\\ud83d\\ude00\"}}");
    const struct fr_json *root;
    struct fr_json_error je;

    ck_assert_int_eq(fr_json_parse(ar, in, &root, &je), FR_OK);
    for (size_t n = 0; n < in.n; n++) {
        char copy[128];
        memcpy(copy, in.p, n);
        ck_assert_int_ne(fr_json_parse(ar, (struct fr_str){copy, n}, &root, &je), FR_OK);
        ck_assert_uint_le(je.offset, n);
    }
}
END_TEST

START_TEST(utf8_valid__all_short_sequences)
{
    for (uint32_t c = 0; c <= 0x10ffff; c += c < 0x11000 ? 1 : 251) { /* what an encoder makes is valid */
        char p[12] = "aaaaaaaa";
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        for (size_t i = n; i-- > 1;)
            p[i] = (char)(0x80 | ((c >> (6 * (n - 1 - i))) & 0x3f));
        p[0] = (char)(n == 1 ? c : (0xf00U >> n & 0xffU) | c >> (6 * (n - 1)));
        ck_assert_int_eq(fr_utf8_valid((struct fr_str){p, n}), c < 0xd800 || c > 0xdfff);
        if (n > 1)
            ck_assert(!fr_utf8_valid((struct fr_str){p, n - 1}));
    }
    ck_assert(fr_utf8_valid((struct fr_str){NULL, 0}));
    ck_assert(!fr_utf8_valid(FR_STR_LIT("aaaaaaaaaaaaaaaa\x80")));
    ck_assert(!fr_utf8_valid(FR_STR_LIT("\xf4\x90\x80\x80")));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/json");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, parse__table);
    tcase_add_test(t, parse__values);
    tcase_add_test(t, parse__depth_limit);
    tcase_add_test(t, parse__duplicates_in_large_objects);
    tcase_add_test(t, round_trip__random_documents);
    tcase_add_test(t, writer__escapes);
    tcase_add_test(t, writer__numbers_and_commas);
    tcase_add_test(t, writer__floats_read_back_the_same);
    tcase_add_test(t, writer__nesting_past_64_is_an_error);
    tcase_add_test(t, parse__out_of_memory);
    tcase_add_test(t, parse__every_prefix_is_refused);
    tcase_add_test(t, utf8_valid__all_short_sequences);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
