/* The recommendation: exact text, there and back, refusals; rec_id. */
#include "daemon/stream/recommendation_codec.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/feat.h"

static struct fr_recommended_item items[FR_MAX_RECOMMENDED];

static struct fr_recommendation sample(uint32_t n)
{
    struct fr_recommendation r = {
        .rec_id = "0123456789abcdef",
        .user_id = FR_STR_LIT("u\"42"),
        .items = items,
        .n_items = n,
        .trigger_topic = FR_STR_LIT("events"),
        .trigger_partition = 3,
        .trigger_offset = 812,
        .trigger_event_id = FR_STR_LIT("e1"),
        .trigger_ts = 1790000000123,
        .retrieval = FR_STR_LIT("two_tower@17"),
        .ranker = FR_STR_LIT("deepfm@41"),
        .arm = FR_STR_LIT("control"),
        .index_generation = 906,
        .item_generation = 7,
        .ts_event = 1,
        .ts_received = 2,
        .ts_features = 3,
        .ts_embedded = 4,
        .ts_retrieved = 5,
        .ts_scored = 6,
        .ts_emitted = 7,
    };
    for (uint32_t i = 0; i < n; i++)
        items[i] = (struct fr_recommended_item){FR_STR_LIT("i7"), 0.83f, FR_STR_LIT("ann"), 1.0};
    return r;
}

START_TEST(encode__sample__exactly_this_text)
{
    struct fr_recommendation r = sample(1);
    struct fr_buf b = {0};
    fr_recommendation_encode(&r, &b);
    fr_buf_putc(&b, '\0');
    ck_assert_int_eq(fr_buf_err(&b), FR_OK);
    ck_assert_str_eq(
        b.p,
        "{\"schema\":\"freshet.recommendation.v1\",\"rec_id\":\"0123456789abcdef\",\"user_id\":"
        "\"u\\\"42\","
        "\"request_id\":null,\"items\":[{\"item_id\":\"i7\",\"score\":0.829999983,\"source\":"
        "\"ann\","
        "\"propensity\":1}],\"trigger\":{\"topic\":\"events\",\"partition\":3,\"offset\":812,"
        "\"event_id\":\"e1\",\"ts\":1790000000123},\"model\":{\"retrieval\":\"two_tower@17\","
        "\"ranker\":\"deepfm@41\",\"arm\":\"control\"},\"index\":{\"generation\":906},"
        "\"item_generation\":7,\"ts\":{\"event\":1,\"received\":2,\"features\":3,\"embedded\":4,"
        "\"retrieved\":5,\"scored\":6,\"emitted\":7}}");
    fr_buf_done(&b);
}
END_TEST

START_TEST(decode__what_was_encoded__equal)
{
    static const uint32_t sizes[] = {0, 1, 20, FR_MAX_RECOMMENDED};
    char id[130];
    memset(id, 'x', 128);
    struct fr_arena *ar = feat_arena();
    struct fr_recommendation r = sample(sizes[_i]), got;
    struct fr_buf b = {0};
    struct fr_codec_error ce = {FR_OK, 0, NULL, NULL};
    for (uint32_t i = 0; i < r.n_items; i++)
        items[i].item_id = (struct fr_str){id, 128}; /* 500 of these are more than 64 kB */
    r.request_id = FR_STR_LIT("rq");
    r.regenerated = _i % 2 == 1;
    r.fallback = _i % 2 == 0;
    fr_recommendation_encode(&r, &b);
    ck_assert_int_eq(fr_buf_err(&b), FR_OK);
    ck_assert_int_eq(fr_recommendation_decode(ar, fr_buf_str(&b), &got, &ce), FR_OK);
    ck_assert_str_eq(got.rec_id, r.rec_id);
    ck_assert(fr_str_eq(got.user_id, r.user_id));
    ck_assert(fr_str_eq(got.request_id, r.request_id));
    ck_assert_uint_eq(got.n_items, r.n_items);
    for (uint32_t i = 0; i < r.n_items; i++) {
        ck_assert(fr_str_eq(got.items[i].item_id, items[i].item_id));
        ck_assert(fr_str_eq(got.items[i].source, items[i].source));
        ck_assert(got.items[i].score == items[i].score);
        ck_assert(got.items[i].propensity == 1.0);
    }
    ck_assert(fr_str_eq(got.trigger_topic, r.trigger_topic));
    ck_assert_int_eq(got.trigger_partition, 3);
    ck_assert_int_eq(got.trigger_offset, 812);
    ck_assert(fr_str_eq(got.trigger_event_id, r.trigger_event_id));
    ck_assert_int_eq(got.trigger_ts, r.trigger_ts);
    ck_assert(fr_str_eq(got.retrieval, r.retrieval) && fr_str_eq(got.ranker, r.ranker) &&
              fr_str_eq(got.arm, r.arm));
    ck_assert_uint_eq(got.index_generation, 906);
    ck_assert_uint_eq(got.item_generation, 7);
    ck_assert_int_eq(
        got.ts_event + 10 * got.ts_received + 100 * got.ts_features + 1000 * got.ts_embedded, 4321);
    ck_assert_int_eq(got.ts_retrieved + 10 * got.ts_scored + 100 * got.ts_emitted, 765);
    ck_assert_int_eq(got.regenerated, r.regenerated);
    ck_assert_int_eq(got.fallback, r.fallback);
    /* and every truncation of it is refused */
    for (size_t n = 0; n < b.n; n += 1 + b.n / 97)
        ck_assert_int_ne(fr_recommendation_decode(ar, (struct fr_str){b.p, n}, &got, &ce), FR_OK);
    fr_buf_done(&b);
    fr_arena_free(ar);
}
END_TEST

START_TEST(rec_id__any_part_changes__id_changes)
{
    char a[FR_REC_ID], b[FR_REC_ID];
    fr_rec_id("events", 3, 812, 1790000000123, a);
    ck_assert_uint_eq(strlen(a), 16);
    ck_assert_uint_eq(strspn(a, "0123456789abcdef"), 16);
    fr_rec_id("events", 3, 812, 1790000000123, b);
    ck_assert_str_eq(a, b);
    fr_rec_id("event", 3, 812, 1790000000123, b);
    ck_assert_str_ne(a, b);
    fr_rec_id("events", 38, 12, 1790000000123, b);
    ck_assert_str_ne(a, b);
    fr_rec_id("events", 3, 813, 1790000000123, b);
    ck_assert_str_ne(a, b);
    fr_rec_id("events", 3, 812, 1790000000124, b);
    ck_assert_str_ne(a, b);
}
END_TEST

static const struct {
    const char *json;
    const char *field;
} BAD[] = {
    {"{}", "rec_id"},
    {"{\"rec_id\":\"short\"}", "rec_id"},
    {"{\"rec_id\":\"0123456789abcdef\"}", "user_id"},
    {"{\"rec_id\":\"0123456789abcdef\",\"user_id\":\"u\"}", "items"},
    {"{\"rec_id\":\"0123456789abcdef\",\"user_id\":\"u\",\"items\":[3]}", "items"},
    {"{\"rec_id\":\"0123456789abcdef\",\"user_id\":\"u\",\"items\":[{}]}", "item_id"},
    {"{\"rec_id\":\"0123456789abcdef\",\"user_id\":\"u\",\"items\":[]}", "trigger"},
    {"{\"rec_id\":\"0123456789abcdef\",\"user_id\":\"u\",\"items\":[],\"trigger\":{\"partition\":-"
     "1}}",
     "partition"},
    {"{\"rec_id\":\"0123456789abcdef\",\"user_id\":\"u\",\"items\":[],\"trigger\":{}}", "model"},
    {"{\"rec_id\":\"0123456789abcdef\",\"user_id\":\"u\",\"items\":[],\"trigger\":{},\"model\":{}}",
     "index"},
    {"{\"rec_id\":\"0123456789abcdef\",\"user_id\":\"u\",\"items\":[],\"trigger\":{},\"model\":{},"
     "\"index\":{}}",
     "ts"},
};

START_TEST(decode__bad__refused_with_field)
{
    struct fr_arena *ar = feat_arena();
    struct fr_recommendation r;
    struct fr_codec_error ce = {FR_OK, 0, NULL, NULL};
    ck_assert_int_ne(fr_recommendation_decode(ar, fr_str_z(BAD[_i].json), &r, &ce), FR_OK);
    ck_assert_str_eq(ce.field, BAD[_i].field);
    fr_arena_free(ar);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream/recommendation_codec");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, encode__sample__exactly_this_text);
    tcase_add_loop_test(tc, decode__what_was_encoded__equal, 0, 4);
    tcase_add_test(tc, rec_id__any_part_changes__id_changes);
    tcase_add_loop_test(tc, decode__bad__refused_with_field, 0, sizeof BAD / sizeof BAD[0]);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
