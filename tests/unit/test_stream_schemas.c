/* deploy/schemas against what the codecs really write, and against what the decoders really take:
 * a document is valid under the schema if and only if its decoder accepts it. */
#include "daemon/stream/example_codec.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/rng.h"
#include "daemon/stream/dead_letter.h"
#include "daemon/stream/event_codec.h"
#include "daemon/stream/item_codec.h"
#include "daemon/stream/request_codec.h"
#include "tests/support/feat.h"
#include "tests/support/json_schema.h"

static char why[200];

#define VALID(name, text)                                                                          \
    ck_assert_msg(json_schema_valid(name, text, why, sizeof why), "%s: %s", name, why)
#define INVALID(name, z)                                                                           \
    ck_assert_msg(!json_schema_valid(name, fr_str_z(z), why, sizeof why), "%s takes %s", name, z)

static struct fr_recommended_item items[3] = {{{"i\"1", 3}, 0.5f, {"ann", 3}, 1.0},
                                              {{"2", 1}, -3e-7f, {"popular", 7}, 0.25},
                                              {{"\xc3\xa9", 2}, 0, {"history", 7}, 1.0}};

static struct fr_recommendation sample(void)
{
    struct fr_recommendation r = {.user_id = FR_STR_LIT("u"),
                                  .items = items,
                                  .n_items = 3,
                                  .trigger_topic = FR_STR_LIT("events"),
                                  .trigger_event_id = FR_STR_LIT("e"),
                                  .retrieval = FR_STR_LIT("two_tower@1"),
                                  .ranker = FR_STR_LIT("deepfm@2"),
                                  .arm = FR_STR_LIT("control"),
                                  .ts_emitted = 1790000000123};
    fr_rec_id("events", 1, 2, 3, r.rec_id);
    return r;
}

START_TEST(recommendation__as_encoded__valid_and_a_changed_one_not)
{
    struct fr_recommendation r = sample();
    struct fr_buf b = {0};
    for (int i = 0; i < 4; i++) {
        r.regenerated = i & 1;
        r.fallback = (i & 2) != 0;
        r.request_id = i == 3 ? FR_STR_LIT("rq") : (struct fr_str){NULL, 0};
        r.trigger_event_id = i == 3 ? (struct fr_str){NULL, 0} : FR_STR_LIT("e");
        r.retrieval = r.ranker = i == 2 ? (struct fr_str){NULL, 0} : FR_STR_LIT("m@1");
        fr_buf_clear(&b);
        fr_recommendation_encode(&r, &b);
        ck_assert_int_eq(fr_buf_err(&b), FR_OK);
        VALID("recommendations", fr_buf_str(&b));
    }
    /* each of these changes must be seen, else the schema or its checker says nothing */
    static const char *const CUT[][2] = {{"\"rec_id\":\"", "\"rec_id\":\"X"},
                                         {"freshet.recommendation.v1", "v2"},
                                         {"\"propensity\":1", "\"propensity\":2"},
                                         {"\"partition\":", "\"p\":"},
                                         {"\"emitted\":", "\"emitted\":1.5,\"x\":"},
                                         {"\"items\":[", "\"items\":[1,"}};
    for (size_t i = 0; i < sizeof CUT / sizeof CUT[0]; i++) {
        struct fr_buf c = {0};
        fr_buf_putc(&b, '\0');
        const char *at = strstr(b.p, CUT[i][0]);
        ck_assert_ptr_nonnull(at);
        fr_buf_put(&c, b.p, (size_t)(at - b.p));
        fr_buf_puts(&c, CUT[i][1]);
        fr_buf_puts(&c, at + strlen(CUT[i][0]));
        b.n--;
        ck_assert_int_eq(fr_buf_err(&c), FR_OK);
        ck_assert_msg(!json_schema_valid("recommendations", fr_buf_str(&c), why, sizeof why),
                      "change %d passes",
                      (int)i);
        fr_buf_done(&c);
    }
    fr_buf_done(&b);
}
END_TEST

START_TEST(example__shipped_declaration_random_cells__valid)
{
    struct fr_spec *spec = feat_spec(NULL);
    const struct fr_field_set *fs = &spec->fields;
    struct fr_recommendation r = sample();
    struct fr_rng rng;
    struct fr_cell *cells[FR_ENTITY_COUNT];
    uint32_t row[3] = {2, 0, 1};
    struct fr_buf b = {0};
    fr_rng_seed(&rng, 3);
    for (int e = 0; e < FR_ENTITY_COUNT; e++) {
        uint32_t n = fs->n_cells[e] * 3 + 1;
        cells[e] = fr_calloc(n, sizeof **cells);
        ck_assert_ptr_nonnull(cells[e]);
        for (uint32_t i = 0; i < n; i++)
            if (fr_rng_below(&rng, 3) > 0)
                cells[e][i] = (struct fr_cell){fr_rng_u64(&rng), (float)fr_rng_normal(&rng)};
    }
    struct fr_example ex = {fs,
                            &r,
                            cells[FR_ENTITY_USER],
                            cells[FR_ENTITY_CONTEXT],
                            cells[FR_ENTITY_ITEM],
                            cells[FR_ENTITY_CROSS],
                            row,
                            sizeof row[0]};
    fr_example_encode(&ex, &b);
    ck_assert_int_eq(fr_buf_err(&b), FR_OK);
    VALID("examples", fr_buf_str(&b));
    for (int e = 0; e < FR_ENTITY_COUNT; e++)
        fr_free(cells[e]);
    fr_buf_done(&b);
    fr_spec_free(spec);
}
END_TEST

START_TEST(dead_letter__headers_of_every_code__valid)
{
    struct fr_arena *ar = feat_arena();
    for (int code = 1; code < FR_ERR_COUNT; code++) {
        struct fr_record rec = {.partition = 3, .offset = 812, .ts_ms = 5};
        struct fr_outgoing m;
        struct fr_buf b = {0};
        struct fr_jsonw w;
        struct fr_dead_letter_input in = {
            NULL, &rec, "events", "ingest", (enum fr_err)code, "why", "g", 10};
        ck_assert_int_eq(fr_dead_letter_build(&in, ar, &m), FR_OK);
        fr_jsonw_init(&w, &b);
        fr_jsonw_object(&w);
        for (int i = 0; i < m.n_headers; i++) {
            fr_jsonw_key(&w, m.headers[i].name);
            fr_jsonw_str(&w, m.headers[i].value);
        }
        fr_jsonw_end(&w, '}');
        ck_assert_int_eq(fr_buf_err(&b), FR_OK);
        VALID("dead-letters", fr_buf_str(&b));
        fr_buf_done(&b);
    }
    INVALID("dead-letters", "{}");
    fr_arena_free(ar);
}
END_TEST

/* Documents whose key is "u" (events, requests) or "i" (items). */
static const struct {
    const char *schema, *json;
} DOCS[] = {
    {"events", "{\"event_id\":\"e\",\"type\":\"click\",\"user_id\":\"u\",\"item_id\":\"i\"}"},
    {"events",
     "{\"event_id\":7,\"type\":\"view\",\"user_id\":\"u\",\"item_id\":-3,\"ts\":0,\"value\":1e-3,"
     "\"x\":[]}"},
    {"events",
     "{\"event_id\":\"e\",\"type\":\"view\",\"user_id\":\"u\",\"item_id\":\"i\",\"ts\":null,"
     "\"context\":null}"},
    {"events",
     "{\"event_id\":\"e\",\"type\":\"view\",\"user_id\":\"u\",\"item_id\":\"i\",\"context\":{"
     "\"device\":3}}"},
    {"events",
     "{\"event_id\":\"e\",\"type\":\"view\",\"user_id\":\"u\",\"item_id\":\"i\",\"context\":{"
     "\"device\":[]}}"},
    {"events",
     "{\"event_id\":\"e\",\"type\":\"impressions\",\"user_id\":\"u\",\"items\":[{\"item_id\":\"a\","
     "\"position\":0}]}"},
    {"events", "{\"event_id\":\"e\",\"type\":\"impressions\",\"user_id\":\"u\",\"items\":[]}"},
    {"events", "{\"event_id\":\"e\",\"type\":\"impressions\",\"user_id\":\"u\",\"item_id\":\"i\"}"},
    {"events",
     "{\"event_id\":\"e\",\"type\":\"impressions\",\"user_id\":\"u\",\"items\":[{\"position\":1}]"
     "}"},
    {"events", "{\"event_id\":\"e\",\"type\":\"click\",\"user_id\":\"u\"}"},
    {"events", "{\"event_id\":\"e\",\"type\":\"click\",\"user_id\":\"u\",\"item_id\":\"\"}"},
    {"events", "{\"event_id\":\"e\",\"type\":\"click\",\"user_id\":\"u\",\"item_id\":\"a\\tb\"}"},
    {"events",
     "{\"event_id\":\"e\",\"type\":\"click\",\"user_id\":\"u\",\"item_id\":\"a\\u0000b\"}"},
    {"events", "{\"event_id\":true,\"type\":\"click\",\"user_id\":\"u\",\"item_id\":\"i\"}"},
    {"events",
     "{\"event_id\":\"e\",\"type\":\"click\",\"user_id\":\"u\",\"item_id\":\"i\",\"ts\":-1}"},
    {"events",
     "{\"event_id\":\"e\",\"type\":\"click\",\"user_id\":\"u\",\"item_id\":\"i\",\"value\":\"1\"}"},
    {"events",
     "{\"event_id\":\"e\",\"type\":\"click\",\"user_id\":\"u\",\"item_id\":\"i\",\"position\":"
     "1000001}"},
    {"events", "[]"},
    {"items", "{\"item_id\":\"i\"}"},
    {"items",
     "{\"item_id\":\"i\",\"title\":\"t\",\"categories\":[1,\"b\"],\"price\":0,\"vector\":[1,2.5],"
     "\"available\":true}"},
    {"items",
     "{\"item_id\":\"i\",\"title\":null,\"categories\":null,\"brand\":null,\"price\":null,\"tags\":"
     "null,\"available\":null}"},
    {"items", "{\"item_id\":\"i\",\"price\":-1}"},
    {"items", "{\"item_id\":\"i\",\"categories\":[null]}"},
    {"items", "{\"item_id\":\"i\",\"categories\":{}}"},
    {"items", "{\"item_id\":\"i\",\"vector\":[]}"},
    {"items", "{\"item_id\":\"i\",\"vector\":[1e31]}"},
    {"items", "{\"item_id\":\"i\",\"available\":\"yes\"}"},
    {"items", "{\"title\":\"t\"}"},
    {"requests", "{\"request_id\":\"r\",\"user_id\":\"u\"}"},
    {"requests",
     "{\"request_id\":1,\"user_id\":\"u\",\"n\":500,\"candidates\":[\"a\",2],\"exclude\":[],\"ts\":"
     "5}"},
    {"requests", "{\"request_id\":1,\"user_id\":\"u\",\"n\":null,\"candidates\":null}"},
    {"requests", "{\"request_id\":1,\"user_id\":\"u\",\"n\":0}"},
    {"requests", "{\"request_id\":1,\"user_id\":\"u\",\"n\":501}"},
    {"requests", "{\"request_id\":1,\"user_id\":\"u\",\"candidates\":\"a\"}"},
    {"requests", "{\"request_id\":1,\"user_id\":\"u\",\"exclude\":[{}]}"},
    {"requests", "{\"user_id\":\"u\"}"},
};

START_TEST(schema_and_decoder__each_document__same_verdict)
{
    struct fr_spec *spec = feat_spec(NULL);
    struct fr_arena *ar = feat_arena();
    struct fr_codec_error ce = {FR_OK, 0, NULL, NULL};
    struct fr_str json = fr_str_z(DOCS[_i].json);
    union {
        struct fr_event ev;
        struct fr_request rq;
        struct fr_item_record it;
    } out;
    enum fr_err e =
        strcmp(DOCS[_i].schema, "events") == 0
            ? fr_event_decode(spec, ar, FR_STR_LIT("u"), json, 1790000000000, &out.ev, &ce)
        : strcmp(DOCS[_i].schema, "items") == 0
            ? fr_item_decode(spec, ar, FR_STR_LIT("i"), json, &out.it, &ce)
            : fr_request_decode(spec, ar, FR_STR_LIT("u"), json, 1790000000000, &out.rq, &ce);
    bool ok = json_schema_valid(DOCS[_i].schema, json, why, sizeof why);
    ck_assert_msg(ok == (e == FR_OK),
                  "%s: schema says %s (%s), decoder %s (%s)",
                  DOCS[_i].json,
                  ok ? "yes" : "no",
                  why,
                  fr_err_name(e),
                  ce.what == NULL ? "" : ce.what);
    fr_arena_free(ar);
    fr_spec_free(spec);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream/schemas");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, recommendation__as_encoded__valid_and_a_changed_one_not);
    tcase_add_test(tc, example__shipped_declaration_random_cells__valid);
    tcase_add_test(tc, dead_letter__headers_of_every_code__valid);
    tcase_add_loop_test(
        tc, schema_and_decoder__each_document__same_verdict, 0, sizeof DOCS / sizeof DOCS[0]);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
