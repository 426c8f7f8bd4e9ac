/*
 * tests/unit/test_cli_shop_loop.c - the closed loop in memory, with a tiny recommender that is random, perfect,
 * silent, slow or broken: what it publishes, what it counts, and the regret it reports.
 */
#include "daemon/cli/shop_loop.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/json.h"
#include "daemon/base/rng.h"
#include "daemon/stream/memory_sink.h"
#include "daemon/stream/memory_source.h"
#include "tests/support/json_schema.h"

#define USERS 100
#define ITEMS 300

enum who { RANDOM, ORACLE, SILENT };

/* The shop, its loop, and the recommender at the other end of the log. */
struct world {
    struct fr_clock clock;
    struct fr_memory_log *log;
    struct fr_topic_names names;
    struct fr_shop *shop;
    struct fr_sink *sink;
    struct fr_log_reader *lists;
    struct fr_shop_loop *loop;
    struct fr_rng rng;
    struct fr_arena *ar;
    int64_t next[2]; /* offsets of the recommender, by partition */
    enum who who;
    int twice;
    uint64_t shown;
    double fresh_ms;
};

static void on_list(void *ctx, const struct fr_shop_loop_list *l)
{
    struct world *w = ctx;

    ck_assert(l->n >= 1 && l->user < USERS && l->trigger_item < fr_shop_items(w->shop));
    ck_assert(l->odds.oracle > 0 && l->reaction.examined >= 1);
    w->shown++;
    w->fresh_ms = (double)l->freshness_us / 1000;
}

static void build(struct world *w, enum who who)
{
    struct fr_shop_conf c;
    struct fr_memory_sink_opts so = {0};
    struct fr_shop_loop_opts o = {0};

    memset(w, 0, sizeof(*w));
    w->who = who;
    fr_rng_seed(&w->rng, 77);
    fr_clock_init_manual(&w->clock, 1790000000000000);
    ck_assert_int_eq(fr_arena_new(1 << 16, 1 << 22, &w->ar), FR_OK);
    ck_assert_int_eq(fr_topic_names_init(&w->names, ""), FR_OK);
    ck_assert_int_eq(fr_memory_log_new(&w->log), FR_OK);
    ck_assert_int_eq(fr_memory_log_create_all(w->log, &w->names, 2), FR_OK);
    fr_shop_conf_default(&c);
    c.users = USERS;
    c.items = ITEMS;
    c.n = 10;
    c.start_ms = 1767225600000; /* not now: the loop shifts */
    ck_assert_int_eq(fr_shop_new(&c, &w->shop, NULL), FR_OK);
    so.log = w->log;
    so.names = &w->names;
    so.ack = fr_shop_loop_ack;
    ck_assert_int_eq(fr_memory_sink_new(&so, &w->sink), FR_OK);
    ck_assert_int_eq(fr_memory_log_reader_new(w->log, "recommendations", FR_TOPIC_RECOMMENDATIONS, NULL, 0,
                                              &w->lists),
                     FR_OK);
    o.shop = w->shop;
    o.sink = w->sink;
    o.lists = w->lists;
    o.clock = &w->clock;
    o.id_prefix = "run7-";
    o.timeout_ms = 500;
    o.on_list = on_list;
    o.ctx = w;
    ck_assert_int_eq(fr_shop_loop_new(&o, &w->loop), FR_OK);
}

static void tear(struct world *w)
{
    fr_shop_loop_free(w->loop);
    fr_log_reader_free(w->lists);
    fr_sink_free(w->sink);
    fr_memory_log_free(w->log);
    fr_shop_free(w->shop);
    fr_arena_free(w->ar);
}

static void append_list(struct world *w, const char *user, const char *event, const uint32_t *list, int n)
{
    char text[4000], id[FR_SHOP_NAME];
    size_t at;
    struct fr_memory_record rec = {.ts_ms = 1};

    at = (size_t)snprintf(text, sizeof(text), "{\"schema\":\"x\",\"rec_id\":\"r-%s\",\"user_id\":\"%s\",\"items\":[",
                          event, user);
    for (int i = 0; i < n; i++) {
        fr_shop_item_id(list[i], id);
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s{\"item_id\":\"%s\",\"score\":1}", i ? "," : "", id);
    }
    at += (size_t)snprintf(text + at, sizeof(text) - at, "],\"trigger\":{\"event_id\":\"%s\"}}", event);
    rec.key = fr_str_z(user);
    rec.value = (struct fr_str){text, at};
    ck_assert_int_eq(fr_memory_log_append(w->log, "recommendations", -1, &rec, NULL, NULL), FR_OK);
}

static void text_of(const struct fr_json *v, char *out, size_t cap)
{
    ck_assert(v != NULL && v->type == FR_JSON_STRING && v->str.n < cap);
    memcpy(out, v->str.p, v->str.n);
    out[v->str.n] = '\0';
}

/* Answer one event record, as freshetd would. */
static void answer(struct world *w, const struct fr_memory_record *rec)
{
    const struct fr_json *ev;
    char type[20], user[32], id[80];
    uint32_t list[FR_SHOP_LIST_MAX], u;
    int n = 10;

    fr_arena_reset(w->ar);
    ck_assert_int_eq(fr_json_parse(w->ar, rec->value, &ev, NULL), FR_OK);
    text_of(fr_json_get(ev, "type"), type, sizeof(type));
    text_of(fr_json_get(ev, "user_id"), user, sizeof(user));
    text_of(fr_json_get(ev, "event_id"), id, sizeof(id));
    ck_assert(rec->key.n == strlen(user) && memcmp(rec->key.p, user, rec->key.n) == 0);
    if (strcmp(type, "impressions") == 0 || w->who == SILENT)
        return;
    u = fr_shop_find_user(w->shop, user, strlen(user));
    ck_assert_uint_lt(u, USERS);
    if (w->who == ORACLE)
        n = fr_shop_best(w->shop, u, 0, list); /* the shop's own newest moment */
    else
        for (int i = 0; i < n; i++)
            list[i] = fr_shop_alive_at(w->shop, (uint32_t)(fr_rng_below(&w->rng, fr_shop_alive(w->shop) / 10) * 10) +
                                                    (uint32_t)i);
    append_list(w, user, id, list, n);
    if (w->twice)
        append_list(w, user, id, list, n);
}

static void recommend(struct world *w)
{
    for (int32_t p = 0; p < 2; p++) {
        const struct fr_memory_record *rec;

        while (fr_memory_log_read(w->log, "events", p, w->next[p], &rec) == FR_OK) {
            answer(w, rec);
            w->next[p] = rec->offset + 1;
        }
    }
}

/* Live for so long: a step, the recommender, delay, a step. */
static void live(struct world *w, int seconds)
{
    int64_t end = fr_clock_wall_us(&w->clock) + (int64_t)seconds * 1000000;

    while (fr_clock_wall_us(&w->clock) < end) {
        ck_assert_int_eq(fr_shop_loop_step(w->loop, 0), FR_OK);
        recommend(w);
        fr_clock_advance(&w->clock, 5000);
    }
}

static struct fr_shop_loop_stats stats(const struct world *w)
{
    struct fr_shop_loop_stats st;

    fr_shop_loop_stats(w->loop, &st);
    return st;
}

START_TEST(step__oracle_and_random_recommenders__capture_one_and_zero)
{
    struct world w;
    struct fr_shop_loop_stats st;

    build(&w, ORACLE);
    live(&w, 30);
    st = stats(&w);
    ck_assert_msg(fabs((double)st.visits - 1500) < 5 * sqrt(1500), "%llu visits in half a minute at 50/s",
                  (unsigned long long)st.visits);
    ck_assert_uint_gt(st.result.lists, 1700); /* many stay for another */
    ck_assert_uint_eq(st.result.lists, w.shown);
    ck_assert_msg(st.result.captured.v > .97 && st.result.captured.v <= 1 + 1e-9, "%g", st.result.captured.v);
    ck_assert(st.result.captured_realised.lo < 1 && st.result.captured_realised.hi > st.result.captured.v - .05);
    ck_assert_uint_eq(st.missing + st.empty + st.unknown_items + st.dead_items + st.undelivered + st.unreadable, 0);
    ck_assert(st.fresh_p50_ms >= 5 && st.fresh_p99_ms <= 10.001 && w.fresh_ms >= 5);
    tear(&w);
    build(&w, RANDOM);
    live(&w, 30);
    st = stats(&w);
    ck_assert_msg(fabs(st.result.captured.v) < .03, "%g", st.result.captured.v);
    tear(&w);
}
END_TEST

/* One record of the events topic against its schema; clicks of lists carry rec_id and position. */
struct seen {
    int impressions, from_list, browsed, purchases;
    char rec_id[USERS][100];
    char item[USERS][10][16];
    int n[USERS];
};

static void check_event(struct world *w, const struct fr_memory_record *rec, struct seen *s)
{
    const struct fr_json *ev, *x;
    char why[200], type[20], user[32], rec_id[100];
    uint32_t u;

    ck_assert_msg(json_schema_valid("events", rec->value, why, sizeof(why)), "%s: %.*s", why, FR_STR_ARG(rec->value));
    fr_arena_reset(w->ar);
    ck_assert_int_eq(fr_json_parse(w->ar, rec->value, &ev, NULL), FR_OK);
    text_of(fr_json_get(ev, "type"), type, sizeof(type));
    text_of(fr_json_get(ev, "user_id"), user, sizeof(user));
    u = fr_shop_find_user(w->shop, user, strlen(user));
    x = fr_json_get(ev, "ts");
    ck_assert(x->i >= 1790000000000 && x->i <= fr_clock_wall_ms(&w->clock)); /* wall time, not the shop's */
    x = fr_json_get(ev, "rec_id");
    if (x == NULL) {
        s->browsed++;
        ck_assert(fr_json_get(ev, "position") == NULL);
        return;
    }
    text_of(x, rec_id, sizeof(rec_id));
    if (strcmp(type, "impressions") == 0) {
        s->impressions++;
        memcpy(s->rec_id[u], rec_id, sizeof(rec_id));
        s->n[u] = 0;
        for (x = fr_json_get(ev, "items")->child; x != NULL; x = x->next)
            text_of(fr_json_get(x, "item_id"), s->item[u][s->n[u]++], 16);
        return;
    }
    s->from_list++;
    s->purchases += strcmp(type, "purchase") == 0;
    ck_assert_str_eq(rec_id, s->rec_id[u]); /* the list whose impressions came just before */
    x = fr_json_get(ev, "position");
    ck_assert(x != NULL && x->i >= 0 && x->i < s->n[u]);
    ck_assert(fr_str_eqz(fr_json_get(ev, "item_id")->str, s->item[u][x->i]));
}

START_TEST(step__events__are_valid_and_clicks_carry_their_list)
{
    struct world w;
    struct seen *s = fr_calloc(1, sizeof(*s));
    struct fr_shop_loop_stats st;

    build(&w, ORACLE);
    live(&w, 20);
    for (int32_t p = 0; p < 2; p++) { /* a user's events are all in one partition, in order */
        const struct fr_memory_record *rec;

        for (int64_t o = 0; fr_memory_log_read(w.log, "events", p, o, &rec) == FR_OK; o++)
            check_event(&w, rec, s);
    }
    st = stats(&w);
    ck_assert_int_eq((int)st.result.lists, s->impressions);
    ck_assert_int_eq((int)st.visits, s->browsed);
    ck_assert_int_eq((int)st.result.clicks, s->from_list - s->purchases);
    ck_assert_int_gt(s->purchases, 20);
    ck_assert_int_eq((int)st.events, s->impressions + s->browsed + s->from_list);
    fr_free(s);
    tear(&w);
}
END_TEST

START_TEST(catalogue__births_then_deaths__items_and_nulls_with_shifted_times)
{
    struct world w;
    struct fr_shop_loop_stats st;
    const struct fr_memory_record *rec;
    char why[200];
    uint64_t births = 0, deaths = 0;

    build(&w, SILENT);
    ck_assert_int_eq(fr_shop_loop_catalogue(w.loop, 1000), FR_OK);
    st = stats(&w);
    ck_assert_uint_eq(st.births, ITEMS);
    fr_clock_advance(&w.clock, 60000000); /* however long the daemon takes to start */
    live(&w, 30);
    for (int32_t p = 0; p < 2; p++)
        for (int64_t o = 0; fr_memory_log_read(w.log, "items", p, o, &rec) == FR_OK; o++) {
            const struct fr_json *it;
            uint32_t item = fr_shop_find_item(w.shop, rec->key.p, rec->key.n);

            ck_assert_uint_ne(item, FR_SHOP_ITEM_NONE);
            deaths += rec->value.p == NULL;
            if (rec->value.p == NULL) {
                ck_assert(!fr_shop_is_alive(w.shop, item));
                continue;
            }
            births++;
            ck_assert_msg(json_schema_valid("items", rec->value, why, sizeof(why)), "%s", why);
            fr_arena_reset(w.ar);
            ck_assert_int_eq(fr_json_parse(w.ar, rec->value, &it, NULL), FR_OK);
            ck_assert(llabs(fr_json_get(it, "created_ts")->i - 1790000000000) < 130000);
        }
    st = stats(&w);
    ck_assert_uint_eq(st.births, births);
    ck_assert_uint_eq(st.deaths, deaths);
    ck_assert(births > ITEMS && deaths > 0);
    ck_assert_uint_eq(st.behind, 0); /* the wait was before the first visit */
    tear(&w);
}
END_TEST

START_TEST(step__no_answer_or_a_late_one__is_missing)
{
    struct world w;
    struct fr_shop_loop_stats st;
    uint64_t late;

    build(&w, SILENT);
    live(&w, 20);
    ck_assert_int_eq(fr_shop_loop_finish(w.loop, 0) == FR_OK, 1);
    st = stats(&w);
    ck_assert_uint_gt(st.missing, 500);
    ck_assert_uint_eq(st.result.lists, 0);
    ck_assert(isnan(st.fresh_p50_ms) && isnan(st.result.captured.v));
    w.who = RANDOM; /* and now all the old ones come at once */
    w.next[0] = w.next[1] = 0;
    recommend(&w);
    fr_clock_advance(&w.clock, 1000000);
    for (int i = 0; i < 200; i++)
        ck_assert_int_eq(fr_shop_loop_step(w.loop, 0), FR_OK);
    late = stats(&w).unasked;
    ck_assert_msg(late > 500, "%llu", (unsigned long long)late);
    tear(&w);
}
END_TEST

START_TEST(step__every_list_twice__is_looked_at_once)
{
    struct world w;
    struct fr_shop_loop_stats st;

    build(&w, RANDOM);
    w.twice = 1;
    live(&w, 10);
    st = stats(&w);
    ck_assert_uint_gt(st.result.lists, 400);
    ck_assert_uint_eq(st.result.lists, w.shown);
    ck_assert_uint_ge(st.unasked, st.result.lists - 20);
    tear(&w);
}
END_TEST

START_TEST(step__broken_lists__are_counted_and_harm_nothing)
{
    static const char *const bad[] = {"", "{", "[]", "{\"user_id\":\"u000001\"}", "{\"user_id\":7,\"items\":[]}",
                                      "{\"user_id\":\"nobody\",\"items\":[]}", "{\"user_id\":\"u000001\",\"items\":{}}"};
    struct world w;
    struct fr_shop_loop_stats st;
    struct fr_memory_record rec = {.ts_ms = 1, .key = FR_STR_LIT("k")};
    uint64_t before;

    build(&w, RANDOM);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        rec.value = fr_str_z(bad[i]);
        ck_assert_int_eq(fr_memory_log_append(w.log, "recommendations", 0, &rec, NULL, NULL), FR_OK);
    }
    rec.value = (struct fr_str){NULL, 0};
    ck_assert_int_eq(fr_memory_log_append(w.log, "recommendations", 0, &rec, NULL, NULL), FR_OK);
    ck_assert_int_eq(fr_shop_loop_step(w.loop, 0), FR_OK);
    st = stats(&w);
    ck_assert_uint_eq(st.unreadable, sizeof(bad) / sizeof(bad[0]) + 1);
    live(&w, 2);
    /* without a trigger, as from another system: whoever waits takes it; unknown and odd items hold places */
    w.who = SILENT;
    live(&w, 1);
    before = stats(&w).result.lists;
    for (uint32_t u = 0; u < USERS; u++) {
        char text[200], id[FR_SHOP_NAME];

        fr_shop_user_id(u, id);
        snprintf(text, sizeof(text), "{\"user_id\":\"%s\",\"items\":[\"i000003\",{\"item_id\":\"other\"},{},7]}", id);
        rec.value = fr_str_z(text);
        ck_assert_int_eq(fr_memory_log_append(w.log, "recommendations", 0, &rec, NULL, NULL), FR_OK);
    }
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(fr_shop_loop_step(w.loop, 0), FR_OK);
    st = stats(&w);
    ck_assert_uint_gt(st.result.lists, before + 5);
    ck_assert_uint_eq(st.unknown_items, 3 * (st.result.lists - before));
    tear(&w);
}
END_TEST

START_TEST(step__a_long_pause__lets_visits_pass)
{
    struct world w;
    struct fr_shop_loop_stats st;
    uint64_t visits;

    build(&w, RANDOM);
    live(&w, 5);
    visits = stats(&w).visits;
    fr_clock_advance(&w.clock, 3600000000);
    ck_assert_int_eq(fr_shop_loop_step(w.loop, 0), FR_OK);
    st = stats(&w);
    ck_assert_uint_eq(st.behind, 1);
    ck_assert_uint_le(st.visits, visits + 5); /* not an hour's worth */
    tear(&w);
}
END_TEST

START_TEST(step__records_the_broker_refuses__are_counted)
{
    struct world w;
    struct fr_shop_loop_opts o = {0};
    struct fr_shop_loop *lp = NULL;

    build(&w, RANDOM);
    ck_assert_int_eq(fr_shop_loop_new(&o, &lp), FR_EINVAL);
    fr_memory_sink_fail(w.sink, 0, 3, FR_EKAFKA, false);
    live(&w, 2);
    ck_assert_uint_eq(stats(&w).undelivered, 3);
    tear(&w);
}
END_TEST

START_TEST(new__every_allocation_failing_in_turn__is_clean)
{
    struct world w;

    build(&w, RANDOM);
    for (uint64_t nth = 1;; nth++) {
        struct fr_shop_loop_opts o = {.shop = w.shop, .sink = w.sink, .lists = w.lists, .clock = &w.clock,
                                      .id_prefix = "x"};
        struct fr_shop_loop *lp = NULL;
        enum fr_err e;

        fr_alloc_fail_at(nth);
        e = fr_shop_loop_new(&o, &lp);
        fr_alloc_fail_at(0);
        if (e == FR_OK) {
            ck_assert_uint_gt(nth, 4);
            fr_shop_loop_free(lp);
            break;
        }
        ck_assert_int_eq(e, FR_ENOMEM);
        ck_assert(lp == NULL);
    }
    tear(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli/shop_loop");
    TCase *tc = tcase_create("loop");
    SRunner *sr;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, step__oracle_and_random_recommenders__capture_one_and_zero);
    tcase_add_test(tc, step__events__are_valid_and_clicks_carry_their_list);
    tcase_add_test(tc, catalogue__births_then_deaths__items_and_nulls_with_shifted_times);
    tcase_add_test(tc, step__no_answer_or_a_late_one__is_missing);
    tcase_add_test(tc, step__every_list_twice__is_looked_at_once);
    tcase_add_test(tc, step__broken_lists__are_counted_and_harm_nothing);
    tcase_add_test(tc, step__a_long_pause__lets_visits_pass);
    tcase_add_test(tc, new__every_allocation_failing_in_turn__is_clean);
    tcase_add_test(tc, step__records_the_broker_refuses__are_counted);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
