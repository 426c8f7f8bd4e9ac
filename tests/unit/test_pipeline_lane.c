/*
 * tests/unit/test_pipeline_lane.c - a lane over the in-process log and the memory store: what goes in,
 * what must come out; and a random world of crashes, zombies, roll-backs and lost replies.
 */
#include "daemon/pipeline/lane.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/rng.h"
#include "daemon/stream/event_codec.h"
#include "daemon/stream/recommendation_codec.h"
#include "features/item_stats.h"
#include "features/user_codec.h"
#include "tests/support/lane_rig.h"

#define T0 INT64_C(1790000000000)

static const char *const plain[] = {"recommend.repeat=allow", "kafka.commit_interval_ms=1",
                                    "state.item_flush_ms=10", NULL};
static struct rig rig;

static void start_one(const char *const *set)
{
    rig_init(&rig, 2, false, set);
    rig_item(&rig, "a");
    rig_item(&rig, "b");
    rig_item(&rig, "c");
    rig_start(&rig, 0);
    rig_give(&rig, 0);
}

/* Newest-first recommendations of a user; decoded into the rig's arena. */
static int lists_of(const char *user, struct fr_recommendation *out, int max)
{
    int32_t p = rig_partition(&rig, user);
    int n = 0;

    for (int64_t o = 0; n < max; o++) {
        const struct fr_memory_record *rec = rig_output(&rig, FR_TOPIC_RECOMMENDATIONS, p, o);
        struct fr_codec_error ce = {FR_OK, 0, NULL, NULL};
        if (rec == NULL)
            break;
        if (!fr_str_eqz(rec->key, user))
            continue;
        ck_assert_msg(fr_recommendation_decode(rig.ar, rec->value, &out[n], &ce) == FR_OK, "%s: %s",
                      ce.field, ce.what);
        n++;
    }
    return n;
}

START_TEST(step__events__state_committed_and_lists_with_lineage)
{
    struct fr_recommendation rec[8];
    int n;

    start_one(plain);
    (void)rig_event(&rig, "u1", "e1", "click", "a", T0);
    (void)rig_event(&rig, "u1", "e2", "click", "b", T0 + 1000);
    (void)rig_event(&rig, "u2", "e3", "click", "c", T0 + 2000);
    rig_settle(&rig, 0, 200);
    ck_assert_uint_eq(rig_counter(&rig, 0, FR_C_EVENTS_APPLIED), 3);
    n = lists_of("u1", rec, 8);
    ck_assert_int_eq(n, 2);
    ck_assert_uint_eq(rec[0].n_items, 1);
    ck_assert(fr_str_eqz(rec[0].items[0].item_id, "a"));
    ck_assert_uint_eq(rec[1].n_items, 2);
    ck_assert(fr_str_eqz(rec[1].items[0].item_id, "b"));
    ck_assert(fr_str_eqz(rec[1].items[0].source, "history"));
    ck_assert(fr_str_eqz(rec[1].trigger_event_id, "e2"));
    ck_assert_int_eq(rec[1].trigger_partition, rig_partition(&rig, "u1"));
    ck_assert_int_eq(rec[1].ts_event, T0 + 1000);
    ck_assert_int_ge(rec[1].ts_features, rec[1].ts_received);
    ck_assert_int_ge(rec[1].ts_embedded, rec[1].ts_features);
    ck_assert_int_ge(rec[1].ts_scored, rec[1].ts_retrieved);
    ck_assert_int_ge(rec[1].ts_emitted, rec[1].ts_scored);
    ck_assert(!rec[1].regenerated);
    rig_done(&rig);
}
END_TEST

START_TEST(step__duplicate_event_id__applied_once)
{
    struct fr_recommendation rec[8];

    start_one(plain);
    (void)rig_event(&rig, "u1", "e1", "click", "a", T0);
    (void)rig_event(&rig, "u1", "e1", "click", "a", T0);
    rig_settle(&rig, 0, 200);
    ck_assert_uint_eq(rig_counter(&rig, 0, FR_C_EVENTS_APPLIED), 1);
    ck_assert_uint_eq(rig_counter(&rig, 0, FR_C_EVENTS_DUPLICATE), 1);
    ck_assert_int_eq(lists_of("u1", rec, 8), 1);
    rig_done(&rig);
}
END_TEST

static struct fr_str header_of(const struct fr_memory_record *rec, const char *name)
{
    for (int i = 0; i < rec->n_headers; i++)
        if (strcmp(rec->headers[i].name, name) == 0)
            return rec->headers[i].value;
    return (struct fr_str){NULL, 0};
}

START_TEST(step__poison_among_good_events__dead_letter_and_on_it_goes)
{
    struct fr_recommendation rec[8];
    const struct fr_memory_record *dead;
    int32_t p;

    start_one(plain);
    p = rig_partition(&rig, "u1");
    (void)rig_event(&rig, "u1", "e1", "click", "a", T0);
    (void)rig_append(&rig, FR_TOPIC_EVENTS, "u1", "{\"event_id\":\"x\",", T0);
    (void)rig_event(&rig, "u1", "e2", "dance", "a", T0);
    (void)rig_event(&rig, "u1", "e3", "click", "b", T0 + INT64_C(1) * 5 * 3600000);
    (void)rig_event(&rig, "u1", "e4", "click", "b", T0 + 1);
    rig_settle(&rig, 0, 200);
    ck_assert_uint_eq(rig_counter(&rig, 0, FR_C_EVENTS_APPLIED), 3);
    ck_assert_uint_eq(rig_counter(&rig, 0, FR_C_EVENTS_DEAD), 2);
    ck_assert_int_eq(lists_of("u1", rec, 8), 3);
    dead = rig_output(&rig, FR_TOPIC_DEAD_LETTERS, p, 0);
    ck_assert_ptr_nonnull(dead);
    ck_assert(fr_str_eqz(dead->value, "{\"event_id\":\"x\","));
    ck_assert(fr_str_eqz(dead->key, "u1"));
    ck_assert(fr_str_eqz(header_of(dead, "freshet.errors.code"), "syntax"));
    ck_assert(fr_str_eqz(header_of(dead, "freshet.errors.topic"), "events"));
    ck_assert(fr_str_eqz(header_of(dead, "freshet.errors.stage"), "ingest"));
    ck_assert(fr_str_eqz(header_of(dead, "freshet.errors.attempt"), "1"));
    dead = rig_output(&rig, FR_TOPIC_DEAD_LETTERS, p, 1);
    ck_assert(fr_str_eqz(header_of(dead, "freshet.errors.code"), "schema"));
    ck_assert_ptr_nonnull(strstr(header_of(dead, "freshet.errors.message").p, "type"));
    rig_done(&rig);
}
END_TEST

START_TEST(step__mis_keyed_record__dead_letter)
{
    struct fr_memory_record rec = {0, T0, fr_str_z("u1"), fr_str_z("{\"event_id\":\"e\",\"type\":\"click\",\"user_id\":\"u1\",\"item_id\":\"a\"}"), NULL, 0};
    const struct fr_memory_record *dead;

    start_one(plain);
    ck_assert_int_eq(fr_memory_log_append(rig.log, "events", 1 - rig_partition(&rig, "u1"), &rec, NULL, NULL), FR_OK);
    rig_settle(&rig, 0, 200);
    dead = rig_output(&rig, FR_TOPIC_DEAD_LETTERS, rig_partition(&rig, "u1"), 0);
    ck_assert_ptr_nonnull(dead);
    ck_assert(fr_str_eqz(header_of(dead, "freshet.errors.code"), "mis_keyed"));
    ck_assert_uint_eq(rig_counter(&rig, 0, FR_C_EVENTS_APPLIED), 0);
    rig_done(&rig);
}
END_TEST

START_TEST(step__request__answered_rank_only_and_excluded)
{
    struct fr_recommendation rec[8];
    int n;

    start_one(plain);
    (void)rig_event(&rig, "u1", "e1", "click", "a", T0);
    (void)rig_event(&rig, "u1", "e2", "click", "b", T0 + 1);
    rig_settle(&rig, 0, 200);
    (void)rig_append(&rig, FR_TOPIC_REQUESTS, "u1", "{\"request_id\":\"r1\",\"user_id\":\"u1\",\"exclude\":[\"b\"]}", fr_clock_wall_ms(&rig.clock));
    (void)rig_append(&rig, FR_TOPIC_REQUESTS, "u1", "{\"request_id\":\"r2\",\"user_id\":\"u1\",\"candidates\":[\"c\",\"nosuch\",\"a\"],\"n\":2}", fr_clock_wall_ms(&rig.clock));
    (void)rig_append(&rig, FR_TOPIC_REQUESTS, "u1", "{\"request_id\":\"r3\",\"user_id\":\"u1\"}", T0);
    rig_settle(&rig, 0, 200);
    n = lists_of("u1", rec, 8);
    ck_assert_int_eq(n, 4);
    ck_assert(fr_str_eqz(rec[2].request_id, "r1"));
    ck_assert_uint_eq(rec[2].n_items, 1);
    ck_assert(fr_str_eqz(rec[2].items[0].item_id, "a"));
    ck_assert(fr_str_eqz(rec[3].request_id, "r2"));
    ck_assert_uint_eq(rec[3].n_items, 2);
    ck_assert(fr_str_eqz(rec[3].items[0].source, "request"));
    ck_assert_uint_eq(rig_counter(&rig, 0, FR_C_REQUESTS_EXPIRED), 1);
    rig_done(&rig);
}
END_TEST

START_TEST(policy__last_and_forever__repeats_filtered)
{
    static const char *const last[] = {"recommend.repeat=last", "kafka.commit_interval_ms=1", NULL};
    static const char *const forever[] = {"recommend.repeat=forever", "kafka.commit_interval_ms=1", NULL};
    struct fr_recommendation rec[8];

    start_one(last);
    (void)rig_event(&rig, "u1", "e1", "click", "a", T0);
    (void)rig_event(&rig, "u1", "e2", "click", "b", T0 + 1);
    rig_settle(&rig, 0, 200);
    ck_assert_int_eq(lists_of("u1", rec, 8), 1); /* the first trigger had nothing but its own item */
    ck_assert_uint_eq(rec[0].n_items, 1);
    ck_assert(fr_str_eqz(rec[0].items[0].item_id, "a"));
    rig_done(&rig);
    start_one(forever);
    (void)rig_event(&rig, "u1", "e1", "click", "a", T0);
    (void)rig_event(&rig, "u1", "e2", "click", "b", T0 + 1);
    rig_settle(&rig, 0, 200);
    ck_assert_int_eq(lists_of("u1", rec, 8), 0);
    rig_done(&rig);
}
END_TEST

static bool holds(const struct fr_recommendation *rec, const char *item)
{
    for (uint32_t i = 0; i < rec->n_items; i++)
        if (fr_str_eqz(rec->items[i].item_id, item))
            return true;
    return false;
}

/* Others made all three items popular, so that only the policy can keep an item out of a list. */
static void popular_items(const char *policy)
{
    const char *set[] = {policy, "kafka.commit_interval_ms=1", "state.item_flush_ms=10", "state.tick_ms=1000", NULL};
    static const char *const items[] = {"a", "b", "c"};

    rig_init(&rig, 1, true, set); /* deterministic: counts of items are published at their event times */
    for (int i = 0; i < 3; i++)
        rig_item(&rig, items[i]);
    rig_start(&rig, 0);
    rig_give(&rig, 0);
    for (int i = 0; i < 9; i++) {
        char id[16];
        snprintf(id, sizeof(id), "p%d", i);
        (void)rig_event(&rig, "u2", id, "click", items[i % 3], T0 + i * 1000);
    }
    rig_settle(&rig, 0, 400);
    (void)rig_event(&rig, "u1", "e1", "click", "a", T0 + 20000);
    (void)rig_event(&rig, "u1", "e2", "click", "b", T0 + 20001);
    rig_settle(&rig, 0, 200);
}

START_TEST(policy__each__keeps_its_items_out_of_a_list_of_popular_ones)
{
    static const char *const policy[] = {"recommend.repeat=allow", "recommend.repeat=last", "recommend.repeat=forever"};
    struct fr_recommendation rec[8];

    popular_items(policy[_i]);
    ck_assert_int_eq(lists_of("u1", rec, 8), 2);
    ck_assert(holds(&rec[1], "c"));
    ck_assert_int_eq(holds(&rec[1], "a"), _i < 2);
    ck_assert_int_eq(holds(&rec[1], "b"), _i < 1);
    rig_done(&rig);
}
END_TEST

START_TEST(request__rank_only__no_repeat_policy_but_unavailable_items_stay_out)
{
    struct fr_item_record gone;
    struct fr_recommendation rec[8];
    int n;

    popular_items(_i == 0 ? "recommend.repeat=last" : "recommend.repeat=forever");
    memset(&gone, 0, sizeof(gone));
    gone.item_id = fr_str_z("c");
    gone.item = fr_id_hash(rig.spec->key, gone.item_id);
    ck_assert_int_eq(fr_epochs_put(rig.epochs, &gone, 1), FR_OK);
    (void)rig_append(&rig, FR_TOPIC_REQUESTS, "u1",
                     "{\"request_id\":\"r1\",\"user_id\":\"u1\",\"candidates\":[\"b\",\"c\",\"a\"]}",
                     fr_clock_wall_ms(&rig.clock));
    rig_settle(&rig, 0, 200);
    n = lists_of("u1", rec, 8);
    ck_assert_int_eq(n, 3);
    ck_assert(fr_str_eqz(rec[2].request_id, "r1"));
    ck_assert_uint_eq(rec[2].n_items, 2);
    ck_assert(holds(&rec[2], "a") && holds(&rec[2], "b"));
    ck_assert_uint_eq(rig_counter(&rig, 0, FR_C_DROP_UNAVAILABLE), 1);
    rig_done(&rig);
}
END_TEST

START_TEST(restart__clean__continues_without_repeats)
{
    struct fr_recommendation rec[8];

    start_one(plain);
    (void)rig_event(&rig, "u1", "e1", "click", "a", T0);
    rig_settle(&rig, 0, 200);
    rig_stop(&rig, 0);
    (void)rig_event(&rig, "u1", "e2", "click", "b", T0 + 1);
    rig_start(&rig, 0);
    rig_give(&rig, 0);
    rig_settle(&rig, 0, 200);
    ck_assert_int_eq(lists_of("u1", rec, 8), 2);
    ck_assert_uint_eq(rec[1].n_items, 2);
    ck_assert_uint_eq(rig_counter(&rig, 0, FR_C_EVENTS_REREAD), 0);
    rig_done(&rig);
}
END_TEST

START_TEST(refused__retention_passed_the_offset__remedy_named)
{
    start_one(plain);
    (void)rig_event(&rig, "u1", "e1", "click", "a", T0);
    (void)rig_event(&rig, "u1", "e2", "click", "a", T0);
    rig_settle(&rig, 0, 200);
    rig_stop(&rig, 0);
    (void)rig_event(&rig, "u1", "e3", "click", "a", T0);
    (void)rig_event(&rig, "u1", "e4", "click", "a", T0);
    ck_assert_int_eq(fr_memory_log_truncate(rig.log, "events", rig_partition(&rig, "u1"), 3), FR_OK);
    rig_start(&rig, 0);
    rig_give(&rig, 0);
    (void)rig_step(&rig, 0);
    ck_assert_int_eq(atomic_load(&rig.in[0].group.refused), 1);
    ck_assert_ptr_nonnull(strstr(rig.in[0].group.reason, "outside the log"));
    ck_assert_ptr_nonnull(strstr(rig.in[0].group.reason, "new group"));
    rig_done(&rig);
}
END_TEST

/* ---- the random world ---- */

#define USERS 8
#define EVENTS 60

/* Every event of the log through the same state code, once, in offset order: what must be stored. */
struct reference {
    struct fr_user *u[USERS];
    struct fr_item_stats *items[2];
    int64_t triggers[USERS][EVENTS];
    int n_triggers[USERS];
    int poison;
};

static void build_reference(struct reference *ref)
{
    memset(ref, 0, sizeof(*ref));
    for (int i = 0; i < USERS; i++)
        ck_assert_int_eq(fr_user_new(rig.spec, rig.ar, &ref->u[i]), FR_OK);
    for (int32_t p = 0; p < 2; p++) {
        ck_assert_int_eq(fr_item_stats_new(rig.spec, &ref->items[p]), FR_OK);
        for (int64_t o = 0;; o++) {
            const struct fr_memory_record *rec = rig_output(&rig, FR_TOPIC_EVENTS, p, o);
            struct fr_codec_error ce;
            struct fr_applied done;
            struct fr_event ev;
            int who;
            if (rec == NULL)
                break;
            if (fr_event_decode(rig.spec, rig.ar, rec->key, rec->value, rec->ts_ms, &ev, &ce) != FR_OK) {
                ref->poison++;
                continue;
            }
            who = ev.user_id.p[1] - '0';
            ck_assert_int_eq(fr_user_apply(rig.spec, ref->u[who], rig.ar, &ev, o, &done), FR_OK);
            if (done.result != FR_APPLIED)
                continue;
            ck_assert_int_eq(fr_item_stats_apply(ref->items[p], &ev), FR_OK);
            if (fr_user_trigger(rig.spec, ref->u[who], &ev, o))
                ref->triggers[who][ref->n_triggers[who]++] = o;
        }
    }
}

static void check_users(const struct reference *ref, uint64_t seed)
{
    struct fr_store *st;

    ck_assert_int_eq(fr_store_memory_new(rig.data, &st), FR_OK);
    for (int i = 0; i < USERS; i++) {
        char user[4] = {'u', (char)('0' + i), 0, 0};
        struct fr_str record, seen;
        struct fr_buf want;

        fr_buf_init(&want);
        if (ref->u[i]->n > 0)
            fr_user_encode(rig.spec, ref->u[i], &want);
        ck_assert_int_eq(fr_store_get_user(st, rig_partition(&rig, user), fr_str_z(user), rig.ar, &record, &seen), FR_OK);
        ck_assert_msg(record.n == want.n && (want.n == 0 || memcmp(record.p, want.p, want.n) == 0),
                      "seed %llu: state of %s differs from the replay", (unsigned long long)seed, user);
        fr_buf_done(&want);
    }
    fr_store_free(st);
}

struct row_check {
    const struct fr_item_stats *want;
    const struct fr_spec *spec;
    uint32_t n;
    uint64_t seed;
};

static enum fr_err check_row(void *ctx, struct fr_str id, struct fr_str row)
{
    struct row_check *c = ctx;
    struct fr_item_stats *one;
    uint64_t item = fr_id_hash(c->spec->key, id);

    ck_assert_int_eq(fr_item_stats_new(c->spec, &one), FR_OK);
    ck_assert_int_eq(fr_item_stats_load(one, id, row, NULL), FR_OK);
    for (int k = 0; k < FR_HALF_LIVES; k++) {
        double got = fr_item_stats_count(one, item, UINT32_MAX, k, T0 + 3600000);
        double want = fr_item_stats_count(c->want, item, UINT32_MAX, k, T0 + 3600000);
        ck_assert_msg(got - want < 1e-9 * want && want - got < 1e-9 * want,
                      "seed %llu: item %.*s counts %.12g, the replay %.12g", (unsigned long long)c->seed,
                      FR_STR_ARG(id), got, want);
    }
    fr_item_stats_free(one);
    c->n++;
    return FR_OK;
}

static void check_items(const struct reference *ref, uint64_t seed)
{
    struct fr_store *st;

    ck_assert_int_eq(fr_store_memory_new(rig.data, &st), FR_OK);
    for (int32_t p = 0; p < 2; p++) {
        struct row_check c = {ref->items[p], rig.spec, 0, seed};
        struct fr_store_taken t;
        ck_assert_int_eq(fr_store_take(st, p, 99, rig.ar, &t), FR_OK);
        ck_assert_int_eq(t.v, t.r);
        ck_assert_int_eq(fr_store_load_items(st, p, 99, check_row, &c), FR_OK);
        ck_assert_uint_eq(c.n, fr_item_stats_size(ref->items[p]));
    }
    fr_store_free(st);
}

/* Every trigger is covered by an output of that user with the same or a later trigger offset. */
static void check_outputs(const struct reference *ref, uint64_t seed)
{
    for (int i = 0; i < USERS; i++) {
        char user[4] = {'u', (char)('0' + i), 0, 0};
        static struct fr_recommendation rec[4 * EVENTS * 4];
        int n = lists_of(user, rec, (int)(sizeof(rec) / sizeof(rec[0])));
        int64_t best = -1;

        for (int k = 0; k < n; k++) {
            bool known = false;
            best = rec[k].trigger_offset > best ? rec[k].trigger_offset : best;
            for (int t = 0; t < ref->n_triggers[i]; t++)
                known = known || ref->triggers[i][t] == rec[k].trigger_offset;
            ck_assert_msg(known, "seed %llu: %s has a list for offset %lld, which is no trigger",
                          (unsigned long long)seed, user, (long long)rec[k].trigger_offset);
        }
        if (ref->n_triggers[i] > 0)
            ck_assert_msg(best >= ref->triggers[i][ref->n_triggers[i] - 1],
                          "seed %llu: the newest trigger %lld of %s has no list (newest %lld)",
                          (unsigned long long)seed, (long long)ref->triggers[i][ref->n_triggers[i] - 1],
                          user, (long long)best);
    }
}

static void check_dead(const struct reference *ref, uint64_t seed)
{
    bool found[2][EVENTS] = {{false}};
    int n = 0;

    for (int32_t p = 0; p < 2; p++) {
        const struct fr_memory_record *rec;
        for (int64_t o = 0; (rec = rig_output(&rig, FR_TOPIC_DEAD_LETTERS, p, o)) != NULL; o++) {
            int64_t part, off;
            ck_assert_int_eq(fr_str_to_i64(header_of(rec, "freshet.errors.partition"), &part), FR_OK);
            ck_assert_int_eq(fr_str_to_i64(header_of(rec, "freshet.errors.offset"), &off), FR_OK);
            n += !found[part][off];
            found[part][off] = true;
        }
    }
    ck_assert_msg(n == ref->poison, "seed %llu: %d of %d poison records in the dead letters",
                  (unsigned long long)seed, n, ref->poison);
}

static void random_event(struct fr_rng *rng, int number)
{
    char user[4] = {'u', (char)('0' + fr_rng_below(rng, USERS)), 0, 0};
    char id[16], item[2] = {(char)('a' + fr_rng_below(rng, 3)), 0};
    int dup = fr_rng_below(rng, 100) < 12 && number > 0;

    if (fr_rng_below(rng, 100) < 6) {
        (void)rig_append(&rig, FR_TOPIC_EVENTS, user, "{\"poison\":1}", T0);
        return;
    }
    snprintf(id, sizeof(id), "e%d", dup ? number - 1 : number);
    (void)rig_event(&rig, user, id, "click", item, T0 + number * 1000);
}

static void misfortune(struct fr_rng *rng, bool *snapped)
{
    int i = (int)fr_rng_below(rng, RIG_MAX);
    struct rig_instance *in = &rig.in[i];
    enum fr_err err = fr_rng_below(rng, 2) ? FR_EIO : FR_ETIMEOUT;

    switch (fr_rng_below(rng, 8)) {
    case 0:
        rig_crash(&rig, i);
        rig_start(&rig, i);
        break;
    case 1: /* the old owner is not told: a zombie */
        rig_give(&rig, i);
        break;
    case 2:
        rig_tell_lost(&rig, i);
        break;
    case 3:
        ck_assert_int_eq(fr_store_memory_snapshot(rig.data), FR_OK);
        *snapped = true;
        break;
    case 4: /* Redis lost its tail */
        if (*snapped)
            ck_assert_int_eq(fr_store_memory_rollback(rig.data), FR_OK);
        break;
    case 5: /* replies lost, calls failed */
        fr_store_memory_fail(in->store_lane, (int)fr_rng_below(rng, 3), err, fr_rng_below(rng, 2) == 0);
        break;
    case 6:
        fr_memory_source_fail_commits(in->src, err, (int)fr_rng_below(rng, 3));
        break;
    default: /* acknowledgements shuffled, failed */
        fr_memory_sink_shuffle(in->sink, fr_rng_u64(rng) & 1 ? fr_rng_u64(rng) : 0);
        fr_memory_sink_fail(in->sink, (int)fr_rng_below(rng, 3), (int)fr_rng_below(rng, 3), FR_ETIMEOUT,
                            fr_rng_below(rng, 2) == 0);
        break;
    }
}

START_TEST(random_world__misfortunes__features_once_and_every_trigger_covered)
{
    static const char *const set[] = {"recommend.repeat=allow", "kafka.commit_interval_ms=1",
                                      "state.item_flush_ms=10", "batch.max_events=5", NULL};
    uint64_t seed = (uint64_t)_i + 1;
    struct reference ref;
    struct fr_rng rng;
    bool snapped = false;

    fr_rng_seed(&rng, seed);
    rig_init(&rig, 2, false, set);
    rig_item(&rig, "a");
    rig_item(&rig, "b");
    rig_item(&rig, "c");
    for (int i = 0; i < RIG_MAX; i++)
        rig_start(&rig, i);
    rig_give(&rig, 0);
    for (int n = 0; n < EVENTS;) {
        uint64_t x = fr_rng_below(&rng, 100);
        if (x < 30)
            random_event(&rng, n++);
        else if (x < 40)
            misfortune(&rng, &snapped);
        else
            (void)rig_step(&rig, (int)fr_rng_below(&rng, RIG_MAX));
    }
    /* peace: one fresh daemon takes everything */
    for (int i = 0; i < RIG_MAX; i++)
        rig_crash(&rig, i);
    rig_start(&rig, 0);
    rig_give(&rig, 0);
    rig_settle(&rig, 0, 3000);
    rig_stop(&rig, 0);
    build_reference(&ref);
    check_users(&ref, seed);
    check_items(&ref, seed);
    check_outputs(&ref, seed);
    check_dead(&ref, seed);
    for (int p = 0; p < 2; p++)
        fr_item_stats_free(ref.items[p]);
    rig_done(&rig);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pipeline/lane");
    TCase *tc = tcase_create("core"), *world = tcase_create("world");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, step__events__state_committed_and_lists_with_lineage);
    tcase_add_test(tc, step__duplicate_event_id__applied_once);
    tcase_add_test(tc, step__poison_among_good_events__dead_letter_and_on_it_goes);
    tcase_add_test(tc, step__mis_keyed_record__dead_letter);
    tcase_add_test(tc, step__request__answered_rank_only_and_excluded);
    tcase_add_test(tc, policy__last_and_forever__repeats_filtered);
    tcase_add_loop_test(tc, policy__each__keeps_its_items_out_of_a_list_of_popular_ones, 0, 3);
    tcase_add_loop_test(tc, request__rank_only__no_repeat_policy_but_unavailable_items_stay_out, 0, 2);
    tcase_add_test(tc, restart__clean__continues_without_repeats);
    tcase_add_test(tc, refused__retention_passed_the_offset__remedy_named);
    tcase_set_timeout(tc, 20);
    tcase_add_loop_test(world, random_world__misfortunes__features_once_and_every_trigger_covered, 0, 60);
    tcase_set_timeout(world, 30);
    suite_add_tcase(s, tc);
    suite_add_tcase(s, world);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
