/* Items on tables: attributes, limits, tombstones, refusals. */
#include "daemon/stream/item_codec.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features/event.h"
#include "tests/support/feat.h"

static struct fr_spec *spec;
static struct fr_arena *ar;

static void set_up(void)
{
    spec = feat_spec(NULL);
    ar = feat_arena();
}

static void tear_down(void)
{
    fr_arena_free(ar);
    fr_spec_free(spec);
}

static enum fr_err
decode(const char *key, const char *json, struct fr_item_record *r, struct fr_codec_error *ce)
{
    memset(ce, 0, sizeof *ce);
    return fr_item_decode(spec, ar, fr_str_z(key), fr_str_z(json), r, ce);
}

START_TEST(decode__every_field__all_there)
{
    struct fr_item_record r;
    struct fr_codec_error ce;
    ck_assert_int_eq(
        decode("i7",
               "{\"item_id\":\"i7\",\"title\":\"Caf\\u00e9\",\"categories\":[\"a\",12],\"brand\":"
               "\"b\","
               "\"price\":9.5,\"tags\":[\"t\"],\"created_ts\":1700000000000,\"available\":false,"
               "\"vector\":[1,-0.5,2e-3],\"attributes\":{\"x\":1}}",
               &r,
               &ce),
        FR_OK);
    ck_assert(fr_str_eqz(r.item_id, "i7"));
    ck_assert_uint_eq(r.item, fr_id_hash(spec->key, FR_STR_LIT("i7")));
    ck_assert(!r.deleted);
    ck_assert(fr_str_eqz(r.title, "Caf\xc3\xa9"));
    ck_assert_uint_eq(r.n_categories, 2);
    ck_assert(fr_str_eqz(r.categories[1], "12"));
    ck_assert(fr_str_eqz(r.brand, "b"));
    ck_assert(r.has_price && r.price == 9.5);
    ck_assert_uint_eq(r.n_tags, 1);
    ck_assert_int_eq(r.created_ts, 1700000000000);
    ck_assert(!r.available);
    ck_assert_uint_eq(r.n_vector, 3);
    ck_assert(r.vector[1] == -0.5f);
}
END_TEST

START_TEST(decode__least__available_and_nothing_else)
{
    struct fr_item_record r;
    struct fr_codec_error ce;
    ck_assert_int_eq(decode("7", "{\"item_id\":7}", &r, &ce), FR_OK);
    ck_assert(fr_str_eqz(r.item_id, "7"));
    ck_assert(r.available && !r.deleted && !r.has_price && r.vector == NULL);
    ck_assert_uint_eq(r.n_categories + r.n_tags + (unsigned)r.title.n + (unsigned)r.brand.n, 0);
}
END_TEST

START_TEST(decode__null_value__deletes_the_key)
{
    static const struct {
        struct fr_str key;
        enum fr_err err;
    } t[] = {{{"i7", 2}, FR_OK},
             {{NULL, 0}, FR_ESCHEMA},
             {{"", 0}, FR_ESCHEMA},
             {{"\xff\xfe", 2}, FR_ESCHEMA},
             {{"a\nb", 3}, FR_ESCHEMA}};
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct fr_item_record r;
        struct fr_codec_error ce;
        memset(&ce, 0, sizeof ce);
        ck_assert_int_eq(fr_item_decode(spec, ar, t[i].key, (struct fr_str){NULL, 0}, &r, &ce),
                         t[i].err);
        if (t[i].err == FR_OK) {
            ck_assert(r.deleted);
            ck_assert(fr_str_eqz(r.item_id, "i7"));
            ck_assert_uint_eq(r.item, fr_id_hash(spec->key, FR_STR_LIT("i7")));
        } else {
            ck_assert_str_eq(ce.field, "key");
        }
    }
}
END_TEST

START_TEST(decode__long_lists_and_title__cut_at_the_limits)
{
    struct fr_buf b = {0};
    struct fr_item_record r;
    struct fr_codec_error ce;
    fr_buf_puts(&b, "{\"item_id\":\"i\",\"title\":\"");
    for (int i = 0; i < 400; i++)
        fr_buf_puts(&b, "\xc3\xa9"); /* 2 bytes each: the limit of 512 falls between characters */
    fr_buf_puts(&b, "x\",\"categories\":[");
    for (int i = 0; i < 40; i++)
        fr_buf_printf(&b, "%s%d", i == 0 ? "" : ",", i);
    fr_buf_puts(&b, "],\"tags\":[");
    for (int i = 0; i < 40; i++)
        fr_buf_printf(&b, "%s\"t%d\"", i == 0 ? "" : ",", i);
    fr_buf_puts(&b, "]}");
    ck_assert_int_eq(fr_buf_err(&b), FR_OK);
    memset(&ce, 0, sizeof ce);
    ck_assert_int_eq(fr_item_decode(spec, ar, FR_STR_LIT("i"), fr_buf_str(&b), &r, &ce), FR_OK);
    ck_assert_uint_eq(r.title.n, FR_TITLE_MAX);
    ck_assert(fr_utf8_valid(r.title));
    ck_assert_uint_eq(r.n_categories, FR_MAX_CATEGORIES);
    ck_assert_uint_eq(r.n_tags, FR_MAX_TAGS);
    ck_assert(fr_str_eqz(r.categories[15], "15"));
    fr_buf_done(&b);
}
END_TEST

static const struct {
    const char *json;
    enum fr_err err;
    const char *field;
} BAD[] = {
    {"", FR_ESYNTAX, NULL},
    {"7", FR_ESCHEMA, NULL},
    {"{}", FR_ESCHEMA, "item_id"},
    {"{\"item_id\":\"j\"}", FR_ESCHEMA, "key"},
    {"{\"item_id\":\"i\",\"title\":3}", FR_ESCHEMA, "title"},
    {"{\"item_id\":\"i\",\"categories\":\"a\"}", FR_ESCHEMA, "categories"},
    {"{\"item_id\":\"i\",\"categories\":[null]}", FR_ESCHEMA, "categories"},
    {"{\"item_id\":\"i\",\"categories\":[\"\"]}", FR_ESCHEMA, "categories"},
    {"{\"item_id\":\"i\",\"tags\":[[]]}", FR_ESCHEMA, "tags"},
    {"{\"item_id\":\"i\",\"brand\":[]}", FR_ESCHEMA, "brand"},
    {"{\"item_id\":\"i\",\"price\":-0.01}", FR_ESCHEMA, "price"},
    {"{\"item_id\":\"i\",\"price\":\"1\"}", FR_ESCHEMA, "price"},
    {"{\"item_id\":\"i\",\"created_ts\":-5}", FR_ERANGE, "created_ts"},
    {"{\"item_id\":\"i\",\"available\":1}", FR_ESCHEMA, "available"},
    {"{\"item_id\":\"i\",\"vector\":[]}", FR_ESCHEMA, "vector"},
    {"{\"item_id\":\"i\",\"vector\":[1,\"2\"]}", FR_ESCHEMA, "vector"},
    {"{\"item_id\":\"i\",\"vector\":[1e31]}", FR_ESCHEMA, "vector"},
    {"{\"item_id\":\"i\",\"vector\":[1e400]}", FR_ERANGE, NULL},
};

START_TEST(decode__bad__refused_with_field)
{
    struct fr_item_record r;
    struct fr_codec_error ce;
    ck_assert_int_eq(decode("i", BAD[_i].json, &r, &ce), BAD[_i].err);
    ck_assert_ptr_nonnull(ce.what);
    if (BAD[_i].field == NULL)
        ck_assert_ptr_null(ce.field);
    else
        ck_assert_str_eq(ce.field, BAD[_i].field);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream/item_codec");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, decode__every_field__all_there);
    tcase_add_test(tc, decode__least__available_and_nothing_else);
    tcase_add_test(tc, decode__null_value__deletes_the_key);
    tcase_add_test(tc, decode__long_lists_and_title__cut_at_the_limits);
    tcase_add_loop_test(tc, decode__bad__refused_with_field, 0, sizeof BAD / sizeof BAD[0]);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
