/* Requests on tables. */
#include "daemon/stream/request_codec.h"

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

static enum fr_err decode(struct fr_str json, struct fr_request *rq, struct fr_codec_error *ce)
{
    memset(ce, 0, sizeof *ce);
    return fr_request_decode(spec, ar, FR_STR_LIT("u"), json, 1790000000000, rq, ce);
}

START_TEST(decode__full_and_least__fields_and_defaults)
{
    struct fr_request rq;
    struct fr_codec_error ce;
    ck_assert_int_eq(
        decode(
            FR_STR_LIT("{\"request_id\":\"r\",\"user_id\":\"u\",\"n\":500,\"candidates\":[\"a\",5],"
                       "\"exclude\":[\"x\"],\"ts\":1789999999999,\"context\":{\"device\":\"tv\"}}"),
            &rq,
            &ce),
        FR_OK);
    ck_assert(fr_str_eqz(rq.request_id, "r"));
    ck_assert_uint_eq(rq.user, fr_id_hash(spec->key, FR_STR_LIT("u")));
    ck_assert_uint_eq(rq.n, 500);
    ck_assert(rq.rank_only);
    ck_assert_uint_eq(rq.n_candidates, 2);
    ck_assert(fr_str_eqz(rq.candidates[1].item_id, "5"));
    ck_assert_uint_eq(rq.candidates[1].item, fr_id_hash(spec->key, FR_STR_LIT("5")));
    ck_assert_uint_eq(rq.n_exclude, 1);
    ck_assert_int_eq(rq.ts, 1789999999999);
    ck_assert(fr_str_eqz(rq.device, "tv"));

    ck_assert_int_eq(decode(FR_STR_LIT("{\"request_id\":1,\"user_id\":\"u\"}"), &rq, &ce), FR_OK);
    ck_assert(!rq.rank_only);
    ck_assert_uint_eq(rq.n + rq.n_candidates + rq.n_exclude, 0);
    ck_assert_int_eq(rq.ts, 1790000000000);

    ck_assert_int_eq(
        decode(FR_STR_LIT("{\"request_id\":1,\"user_id\":\"u\",\"candidates\":[]}"), &rq, &ce),
        FR_OK);
    ck_assert(rq.rank_only);
    ck_assert_int_eq(
        decode(FR_STR_LIT("{\"request_id\":1,\"user_id\":\"u\",\"candidates\":null}"), &rq, &ce),
        FR_OK);
    ck_assert(!rq.rank_only);
}
END_TEST

static const struct {
    const char *json;
    enum fr_err err;
    const char *field;
} BAD[] = {
    {"null", FR_ESCHEMA, NULL},
    {"{\"user_id\":\"u\"}", FR_ESCHEMA, "request_id"},
    {"{\"request_id\":\"r\"}", FR_ESCHEMA, "user_id"},
    {"{\"request_id\":\"r\",\"user_id\":\"v\"}", FR_ESCHEMA, "key"},
    {"{\"request_id\":\"r\",\"user_id\":\"u\",\"n\":0}", FR_ERANGE, "n"},
    {"{\"request_id\":\"r\",\"user_id\":\"u\",\"n\":501}", FR_ERANGE, "n"},
    {"{\"request_id\":\"r\",\"user_id\":\"u\",\"n\":\"5\"}", FR_ESCHEMA, "n"},
    {"{\"request_id\":\"r\",\"user_id\":\"u\",\"candidates\":{}}", FR_ESCHEMA, "candidates"},
    {"{\"request_id\":\"r\",\"user_id\":\"u\",\"candidates\":[\"a\",null]}",
     FR_ESCHEMA,
     "candidates"},
    {"{\"request_id\":\"r\",\"user_id\":\"u\",\"exclude\":[1.5]}", FR_ESCHEMA, "exclude"},
    {"{\"request_id\":\"r\",\"user_id\":\"u\",\"ts\":-1}", FR_ERANGE, "ts"},
    {"{\"request_id\":\"r\",\"user_id\":\"u\",\"context\":1}", FR_ESCHEMA, "context"},
};

START_TEST(decode__bad__refused_with_field)
{
    struct fr_request rq;
    struct fr_codec_error ce;
    ck_assert_int_eq(decode(fr_str_z(BAD[_i].json), &rq, &ce), BAD[_i].err);
    ck_assert_ptr_nonnull(ce.what);
    if (BAD[_i].field == NULL)
        ck_assert_ptr_null(ce.field);
    else
        ck_assert_str_eq(ce.field, BAD[_i].field);
}
END_TEST

START_TEST(decode__a_thousand_candidates__one_more_is_too_many)
{
    for (int n = FR_MAX_REQUEST_ITEMS; n <= FR_MAX_REQUEST_ITEMS + 1; n++) {
        struct fr_buf b = {0};
        struct fr_request rq;
        struct fr_codec_error ce;
        fr_buf_puts(&b, "{\"request_id\":\"r\",\"user_id\":\"u\",\"candidates\":[");
        for (int i = 0; i < n; i++)
            fr_buf_printf(&b, "%s%d", i == 0 ? "" : ",", i);
        fr_buf_puts(&b, "]}");
        enum fr_err e = decode(fr_buf_str(&b), &rq, &ce);
        ck_assert_int_eq(e, n == FR_MAX_REQUEST_ITEMS ? FR_OK : FR_ETOOLARGE);
        if (e == FR_OK)
            ck_assert_uint_eq(rq.n_candidates, (unsigned)n);
        fr_buf_done(&b);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream/request_codec");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, decode__full_and_least__fields_and_defaults);
    tcase_add_loop_test(tc, decode__bad__refused_with_field, 0, sizeof BAD / sizeof BAD[0]);
    tcase_add_test(tc, decode__a_thousand_candidates__one_more_is_too_many);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
