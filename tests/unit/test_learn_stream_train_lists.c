/*
 * What the trainer learns from is what would have been served: the rows of a replay for training equal
 * the `examples` that the daemon's lane publishes for the same stream, byte for byte, with a tower, a
 * ranker and an index between.
 * ctest: timeout 120
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/buf.h"
#include "daemon/base/rng.h"
#include "daemon/learn/stream_train.h"
#include "daemon/pipeline/stage3_embed.h"
#include "daemon/pipeline/stage4_candidates.h"
#include "daemon/pipeline/stage5_score.h"
#include "daemon/stream/example_codec.h"
#include "models/model.h"
#include "tests/support/lane_rig.h"
#include "tests/support/tmpdir.h"

#define EVENTS 900
#define ITEMS 120
#define T0 1790000000000LL

static struct rig rig;
static struct fr_buf events, items;
static struct fr_metrics mx;
static char *dir;
static bool late_cut; /* planted leak: rows cut with the state after the label's event */

static void make_stream(void)
{
    struct fr_rng r;

    fr_buf_init(&events);
    fr_buf_init(&items);
    fr_rng_seed(&r, 11);
    for (int i = 0; i < ITEMS; i++)
        fr_buf_printf(&items, "{\"item_id\":\"i%d\",\"title\":\"i%d\"}\n", i, i);
    for (int n = 0; n < EVENTS; n++) {
        int user = (int)fr_rng_below(&r, 25), item = (user % 5 * 24 + (int)fr_rng_below(&r, 24)) % ITEMS;
        fr_buf_printf(&events, "{\"event_id\":\"e%d\",\"type\":\"%s\",\"user_id\":\"u%d\",\"item_id\":\"i%d\",\"ts\":%lld}\n",
                      n, fr_rng_below(&r, 4) == 0 ? "view" : "click", user, item, T0 + n * 4000LL);
    }
}

static void load(struct fr_epochs *ep)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_model *tower = NULL, *ranker = NULL;
    char path[512];

    snprintf(path, sizeof(path), "%s/two_tower", dir);
    ck_assert_msg(fr_model_load(path, &rig.spec->fields, &tower, &fault) == FR_OK, "%s", fault.msg);
    snprintf(path, sizeof(path), "%s/deepfm", dir);
    ck_assert_msg(fr_model_load(path, &rig.spec->fields, &ranker, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_msg(fr_epochs_set_models(ep, &tower, &ranker, &fault) == FR_OK, "%s", fault.msg);
}

/* The daemon: one lane, deterministic, all events in batches. */
static void serve(const char *batch)
{
    const char *set[] = {batch, "recommend.repeat=allow", NULL};

    rig_init(&rig, 1, true, set);
    for (int i = 0; i < ITEMS; i++) {
        char id[16];
        snprintf(id, sizeof(id), "i%d", i);
        rig_item(&rig, id);
    }
}

static void train(void)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_stream_train_config c;
    struct fr_stream_train_result r;

    fr_stream_train_config_default(&c);
    c.in = (struct fr_stream_input){.spec = rig.spec, .events = fr_buf_str(&events), .items = fr_buf_str(&items)};
    c.cfg = &rig.cfg;
    c.dir = dir;
    c.epochs = 1;
    c.ranker_epochs = 1;
    ck_assert_msg(fr_stream_train(&c, &r, &fault) == FR_OK, "%s", fault.msg);
}

/* Everything of an example but its first members, which name the record. */
static struct fr_str body(struct fr_str example)
{
    const char *at = strstr(example.p, "\"schema_hash\"");

    ck_assert(at != NULL && at < example.p + example.n);
    return (struct fr_str){at, example.n - (size_t)(at - example.p)};
}

struct compared {
    int n;
    int differ;
    bool loaded;
};

/* The record of examples that was made for this trigger: lists are published in order. */
static struct fr_str published(uint64_t line)
{
    for (int64_t o = 0;; o++) {
        const struct fr_memory_record *rec = rig_output(&rig, FR_TOPIC_RECOMMENDATIONS, 0, o);
        char want[40];
        char *text;
        bool hit;

        ck_assert_msg(rec != NULL, "no list for line %llu", (unsigned long long)line);
        snprintf(want, sizeof(want), "\"offset\":%llu,", (unsigned long long)line);
        text = fr_memdup0(rec->value.p, rec->value.n);
        hit = strstr(text, want) != NULL;
        fr_free(text);
        if (hit) {
            rec = rig_output(&rig, FR_TOPIC_EXAMPLES, 0, o);
            ck_assert_ptr_nonnull(rec);
            return rec->value;
        }
    }
}

static enum fr_err compare(void *ctx, const struct fr_stream_trigger *t)
{
    struct compared *cmp = ctx;
    struct fr_candidate_policy pol = fr_candidate_policy_of(&rig.cfg);
    struct fr_score_policy score = {20, {1, 0}};
    struct fr_work work = {.kind = FR_WORK_EVENT, .ev = *t->ev};
    struct fr_trigger tr = {.work = &work, .cut = t->cut, .generation = t->generation}, *one = &tr;
    struct fr_recommended_item listed[64];
    struct fr_recommendation rec = {.rec_id = "", .items = listed};
    struct fr_epoch view;
    struct fr_buf b;
    struct fr_str got, want;
    bool differ;

    if (!cmp->loaded) /* as the lane had it: the catalogue first, its vectors in one go */
        load(t->ep);
    cmp->loaded = true;
    if (t->line % 5 != 0 && t->line < EVENTS - 250)
        return FR_OK;
    fr_epochs_pin(t->ep, &view);
    ck_assert_int_eq(fr_stage_embed(&view, FR_SCORE_DETERMINISTIC, t->ar, &one, 1), FR_OK);
    ck_assert_int_eq(fr_stage_candidates(rig.spec, &pol, &view, t->ar, &mx, &tr), FR_OK);
    ck_assert_int_eq(fr_stage_score(rig.spec, &score, &view, FR_SCORE_DETERMINISTIC, t->ar, NULL, &tr), FR_OK);
    ck_assert_int_eq(fr_stage_rows(rig.spec, &view, t->ar, &tr), FR_OK); /* what the trainer keeps */
    for (uint32_t i = 0; i < tr.n_list; i++)
        listed[i] = (struct fr_recommended_item){tr.cand_id[tr.list[i].cand], tr.list[i].score, {"", 0}, 1.0};
    rec.n_items = tr.n_list;
    rec.user_id = t->ev->user_id;
    rec.item_generation = tr.generation_number;
    rec.ts_event = t->cut->ts;
    if (late_cut && t->cut->n_history > 0)
        t->cut->user_cells[0].x += 1;
    fr_buf_init(&b);
    fr_example_encode(&(struct fr_example){&rig.spec->fields, &rec, t->cut->user_cells, t->cut->context_cells,
                                           tr.item_cells, tr.cross_cells, &tr.list[0].cand,
                                           sizeof(tr.list[0])},
                      &b);
    fr_buf_putc(&b, '\0');
    got = body((struct fr_str){b.p, b.n - 1});
    want = body(published(t->line));
    differ = got.n != want.n || memcmp(got.p, want.p, got.n) != 0;
    if (differ && !late_cut && cmp->differ == 0)
        fprintf(stderr, "line %llu:\ntrained on %.*s\nserved     %.*s\n", (unsigned long long)t->line, (int)got.n, got.p,
                (int)want.n, want.p);
    cmp->differ += differ;
    cmp->n++;
    fr_buf_done(&b);
    fr_epochs_unpin(t->ep, &view);
    return FR_OK;
}

static void replay(struct compared *cmp)
{
    struct fr_stream_input in = {.spec = rig.spec, .events = fr_buf_str(&events), .items = fr_buf_str(&items)};
    struct fr_epochs_config ec = {.m = 16, .ef_construction = 100, .ef_search = 100, .flat = true};
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_stream_labels labels;
    struct fr_epochs *ep;

    memset(cmp, 0, sizeof(*cmp));
    ck_assert_int_eq(fr_epochs_new(rig.spec, &ec, &ep), FR_OK);
    ck_assert_int_eq(fr_stream_labels_find(&in, &labels, &fault), FR_OK);
    ck_assert_msg(fr_stream_replay(&in, &labels, ep, compare, cmp, &fault) == FR_OK, "%s", fault.msg);
    fr_stream_labels_done(&labels);
    fr_epochs_free(ep);
}

START_TEST(rows_are_those_that_were_served)
{
    static const char *const batch[] = {"batch.max_events=1", "batch.max_events=256"};
    struct compared cmp;
    const char *p, *nl;
    int64_t ts = T0;

    make_stream();
    dir = tmpdir_make();
    serve(batch[_i]);
    train();
    load(rig.epochs);
    for (p = events.p; p < events.p + events.n; p = nl + 1, ts += 4000) {
        char line[256], user[16];
        const char *u = strstr(p, "\"u");
        nl = strchr(p, '\n');
        snprintf(line, sizeof(line), "%.*s", (int)(nl - p), p);
        u = strstr(line, "\"user_id\":\"");
        snprintf(user, sizeof(user), "%.*s", (int)strcspn(u + 11, "\""), u + 11);
        (void)rig_append(&rig, FR_TOPIC_EVENTS, user, line, ts);
    }
    rig_start(&rig, 0);
    rig_give(&rig, 0);
    rig_settle(&rig, 0, 100000);
    replay(&cmp);
    ck_assert_int_ge(cmp.n, 200);
    ck_assert_int_eq(cmp.differ, 0);
    late_cut = true;
    replay(&cmp);
    ck_assert_int_eq(cmp.differ, cmp.n);
    rig_done(&rig);
    fr_buf_done(&events);
    fr_buf_done(&items);
    tmpdir_free(dir);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn_stream_train_lists");
    TCase *tc = tcase_create("rows");
    SRunner *sr;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, rows_are_those_that_were_served, 0, 2);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
