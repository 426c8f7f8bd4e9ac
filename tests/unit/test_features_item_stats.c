/* Item counters, their records, snapshots, and the generation that sums them. */
#include "features/item_stats.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/rng.h"
#include "features/item_codec.h"
#include "features/item_generation.h"
#include "tests/support/feat.h"

#define T0 INT64_C(1790000000000)
#define HOUR INT64_C(3600000)
#define N_ITEMS 40
#define N_EVENTS 800

static struct fr_spec *spec;
static struct fr_arena *ar;

static void setup(void)
{
    spec = feat_spec(NULL);
    ar = feat_arena();
}
static void teardown(void)
{
    fr_arena_free(ar);
    fr_spec_free(spec);
}

static struct fr_item_stats *new_stats(void)
{
    struct fr_item_stats *st;
    ck_assert_int_eq(fr_item_stats_new(spec, &st), FR_OK);
    return st;
}

static uint64_t item_hash(int i)
{
    char id[32];
    snprintf(id, sizeof id, "i%d", i);
    return fr_id_hash(spec->key, fr_str_z(id));
}

/* ---- the stream and its naive sums ---- */

struct one {
    int item, type, partition;
    int64_t ts;
};
static struct one all[N_EVENTS];
static const char *const type_names[] = {"click", "view", "purchase", "impression"};

static void make_stream(uint64_t seed)
{
    struct fr_rng r;
    fr_rng_seed(&r, seed);
    for (int i = 0; i < N_EVENTS; i++)
        all[i] = (struct one){(int)fr_rng_below(&r, N_ITEMS),
                              (int)fr_rng_below(&r, 4),
                              (int)fr_rng_below(&r, 3),
                              T0 + (int64_t)fr_rng_below(&r, 200) * 600000};
}

static void apply(struct fr_item_stats *st, const struct one *o, int n)
{
    char id[32];
    snprintf(id, sizeof id, "i%d", o->item);
    struct fr_event ev = feat_event(spec, ar, type_names[o->type], "u", id, o->ts, (uint64_t)n);
    ck_assert_int_eq(fr_item_stats_apply(st, &ev), FR_OK);
}

static double naive(int item, int type, int half_life, int64_t at)
{
    double sum = 0;
    for (int i = 0; i < N_EVENTS; i++)
        if (all[i].item == item && all[i].type == type)
            sum += exp2(-(double)(at - all[i].ts) / (double)spec->item_half_life_ms[half_life]);
    return sum;
}

static int64_t newest(void)
{
    int64_t t = 0;
    for (int i = 0; i < N_EVENTS; i++)
        t = all[i].ts > t ? all[i].ts : t;
    return t;
}

START_TEST(apply__random_late_events__equals_the_naive_sum)
{
    struct fr_item_stats *st = new_stats();
    make_stream(1);
    for (int i = 0; i < N_EVENTS; i++)
        apply(st, &all[i], i);
    int64_t at = newest() + HOUR;
    ck_assert_int_eq(fr_item_stats_watermark(st), newest());
    for (int item = 0; item < N_ITEMS; item++)
        for (int t = 0; t < 4; t++)
            for (int k = 0; k < FR_HALF_LIVES; k++) {
                int type = fr_spec_type(spec, fr_str_z(type_names[t]));
                double want = naive(item, t, k, at);
                double got = fr_item_stats_count(st, item_hash(item), 1u << type, k, at);
                ck_assert_double_le(fabs(got - want), 1e-9 * want);
            }
    ck_assert_double_eq(fr_item_stats_count(st, 99, ~0u, 0, at), 0);
    fr_item_stats_free(st);
}
END_TEST

START_TEST(dirty__rows_saved_and_loaded__the_same_counters_to_the_bit)
{
    struct fr_item_stats *st = new_stats(), *back = new_stats();
    struct fr_buf b = {0};
    uint32_t n;
    make_stream(2);
    for (int i = 0; i < N_EVENTS; i++)
        apply(st, &all[i], i);
    const uint32_t *rows = fr_item_stats_dirty(st, &n);
    ck_assert_uint_eq(n, fr_item_stats_size(st));
    for (uint32_t i = 0; i < n; i++) {
        fr_buf_clear(&b);
        fr_item_stats_encode(st, rows[i], &b);
        ck_assert_int_eq(fr_buf_err(&b), FR_OK);
        ck_assert_int_eq(
            fr_item_stats_load(back, fr_item_stats_id(st, rows[i]), fr_buf_str(&b), NULL), FR_OK);
        ck_assert_int_eq(
            fr_item_stats_load(back, fr_item_stats_id(st, rows[i]), fr_buf_str(&b), NULL),
            FR_EDUPLICATE);
    }
    fr_item_stats_clean(st);
    fr_item_stats_dirty(st, &n);
    ck_assert_uint_eq(n, 0);
    fr_item_stats_dirty(back, &n);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(fr_item_stats_watermark(back), fr_item_stats_watermark(st));
    for (int item = 0; item < N_ITEMS; item++)
        for (int k = 0; k < FR_HALF_LIVES; k++)
            ck_assert_double_eq(fr_item_stats_count(st, item_hash(item), ~0u, k, newest()),
                                fr_item_stats_count(back, item_hash(item), ~0u, k, newest()));
    /* one more event makes exactly one row dirty, twice the same row once */
    apply(st, &all[0], 9000);
    apply(st, &all[0], 9001);
    fr_item_stats_dirty(st, &n);
    ck_assert_uint_eq(n, 1);
    fr_buf_done(&b);
    fr_item_stats_free(st);
    fr_item_stats_free(back);
}
END_TEST

START_TEST(apply__impressions_list__each_item_once)
{
    struct fr_item_stats *st = new_stats();
    struct fr_impression list[5];
    struct fr_event ev = feat_event(spec, ar, "impressions", "u", NULL, T0, 1);
    for (int i = 0; i < 5; i++) {
        char id[32];
        snprintf(id, sizeof id, "i%d", i);
        ck_assert_int_eq(fr_arena_dup(ar, fr_str_z(id), &list[i].item_id), FR_OK);
        list[i].item = item_hash(i);
    }
    ev.impressions = list;
    ev.n_impressions = 5;
    ck_assert_int_eq(fr_item_stats_apply(st, &ev), FR_OK);
    ck_assert_uint_eq(fr_item_stats_size(st), 5);
    for (int i = 0; i < 5; i++)
        ck_assert_double_eq_tol(
            fr_item_stats_count(st, item_hash(i), 1u << ev.type, 0, T0), 1, 1e-12);
    ev.n_impressions = FR_MAX_IMPRESSIONS + 1;
    ck_assert_int_eq(fr_item_stats_apply(st, &ev), FR_EINVAL);
    fr_item_stats_free(st);
}
END_TEST

START_TEST(apply__every_allocation_fails__nothing_counted)
{
    struct fr_item_stats *st = new_stats();
    int failures = 0;
    uint64_t items = 0;
    for (int round = 0; round < 300; round++) {
        struct fr_impression list[9];
        struct fr_event ev = feat_event(spec, ar, "impressions", "u", NULL, T0, (uint64_t)round);
        for (int i = 0; i < 9; i++) {
            char id[32];
            snprintf(id, sizeof id, "r%d-%d", round, i);
            ck_assert_int_eq(fr_arena_dup(ar, fr_str_z(id), &list[i].item_id), FR_OK);
            list[i].item = fr_id_hash(spec->key, list[i].item_id);
        }
        ev.impressions = list;
        ev.n_impressions = 9;
        enum fr_err e = FR_ENOMEM;
        for (uint64_t nth = 1; e == FR_ENOMEM; nth++) {
            fr_alloc_fail_at(nth);
            e = fr_item_stats_apply(st, &ev);
            fr_alloc_fail_at(0);
            if (e == FR_ENOMEM) {
                failures++;
                ck_assert_uint_eq(fr_item_stats_size(st), items);
                for (int i = 0; i < 9; i++)
                    ck_assert_double_eq(fr_item_stats_count(st, list[i].item, ~0u, 0, T0), 0);
            }
            ck_assert_uint_lt(nth, 50);
        }
        ck_assert_int_eq(e, FR_OK);
        items += 9;
        ck_assert_uint_eq(fr_item_stats_size(st), items);
    }
    ck_assert_int_gt(failures, 10);
    fr_item_stats_free(st);
}
END_TEST

START_TEST(due__watermark_crosses_a_tick__once)
{
    struct fr_item_stats *st = new_stats();
    const int64_t tick = spec->item_tick_ms;
    const int64_t base = T0 / tick * tick;
    int64_t at = -1;
    struct one o = {1, 0, 0, base + 5};
    ck_assert(!fr_item_stats_due(st, base, &at)); /* nothing to publish yet */
    apply(st, &o, 1);
    ck_assert(!fr_item_stats_due(st, base + tick - 1, &at));
    ck_assert(!fr_item_stats_due(st, base - 5 * tick, &at));
    ck_assert(fr_item_stats_due(st, base + tick, &at));
    ck_assert_int_eq(at, base + tick);
    ck_assert(fr_item_stats_due(st, base + 7 * tick + 3, &at));
    ck_assert_int_eq(at, base + 7 * tick);
    o.ts = base + tick;
    apply(st, &o, 2);
    ck_assert(!fr_item_stats_due(st, base + tick + 1, &at));
    fr_item_stats_free(st);
}
END_TEST

/* 320 items: after a snapshot the next tick waits for 20 events. */
START_TEST(due__few_events_since_the_last_snapshot__tick_passed_over)
{
    struct fr_item_stats *st = new_stats();
    struct fr_item_snapshot *snap;
    const int64_t tick = spec->item_tick_ms;
    int64_t t = T0 / tick * tick, at;
    for (int i = 0; i < 320; i++) {
        struct one o = {i, 0, 0, t};
        apply(st, &o, i);
    }
    ck_assert(fr_item_stats_due(st, t + tick, &at)); /* none yet */
    ck_assert_int_eq(fr_item_stats_snapshot(st, at, &snap), FR_OK);
    fr_item_snapshot_free(snap);
    for (int i = 0; i < 20; i++) {
        t += tick;
        ck_assert(!fr_item_stats_due(st, t, &at));
        struct one o = {i, 0, 0, t};
        apply(st, &o, i);
    }
    ck_assert(!fr_item_stats_due(st, t + tick - 1, &at)); /* enough events, but no tick */
    ck_assert(fr_item_stats_due(st, t + tick, &at));
    ck_assert_int_eq(at, t + tick);
    fr_item_stats_free(st);
}
END_TEST

/* ---- generation ---- */

struct ranked {
    double pop;
    uint64_t item;
};

static int best_first(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->pop != y->pop)
        return x->pop > y->pop ? -1 : 1;
    return x->item < y->item ? -1 : 1;
}

static void check_generation(const struct fr_item_generation *g)
{
    struct ranked want[N_ITEMS];
    int rate = fr_field_find(&spec->fields, FR_STR_LIT("item_click_rate"));
    int pop7 = fr_field_find(&spec->fields, FR_STR_LIT("item_popular_7d"));
    for (int item = 0; item < N_ITEMS; item++) {
        uint32_t i = fr_item_generation_find(g, item_hash(item));
        double c[4][FR_HALF_LIVES];
        for (int t = 0; t < 4; t++)
            for (int k = 0; k < FR_HALF_LIVES; k++)
                c[t][k] = naive(item, t, k, g->tick_ts);
        ck_assert_uint_ne(i, FR_MAP_NONE);
        const double *v = g->value + (size_t)i * (size_t)g->n_columns;
        double got = v[spec->feat[pop7].column];
        double sum = c[0][1] + c[1][1] + c[2][1];
        ck_assert_double_le(fabs(got - sum), 1e-9 * sum);
        got = v[spec->feat[rate].column];
        double ctr = (sum + 20 * 0.05) / (c[3][1] + 20);
        ck_assert_double_le(fabs(got - ctr), 1e-9 * ctr);
        double pop = 1 * c[0][0] + 0.2 * c[1][0] + 3 * c[2][0];
        ck_assert_double_le(fabs(g->pop[i] - pop), 1e-9 * pop);
        want[item] = (struct ranked){g->pop[i], item_hash(item)};
        int64_t first = INT64_MAX;
        for (int k = 0; k < N_EVENTS; k++)
            if (all[k].item == item && all[k].ts < first)
                first = all[k].ts;
        ck_assert_int_eq(g->first_ts[i], first);
    }
    qsort(want, N_ITEMS, sizeof want[0], best_first);
    ck_assert_uint_eq(g->n_top, N_ITEMS < spec->popular_top ? N_ITEMS : spec->popular_top);
    for (uint32_t k = 0; k < g->n_top; k++)
        ck_assert_uint_eq(g->item[g->top[k]], want[k].item);
}

static void build_from_partitions(int n_parts, struct fr_item_generation **out)
{
    struct fr_item_stats *st[3];
    struct fr_item_snapshot *snap[4] = {NULL};
    int64_t tick = newest() + HOUR;
    for (int p = 0; p < n_parts; p++)
        st[p] = new_stats();
    for (int i = 0; i < N_EVENTS; i++)
        apply(st[all[i].partition % n_parts], &all[i], i);
    for (int p = 0; p < n_parts; p++)
        ck_assert_int_eq(fr_item_stats_snapshot(st[p], tick - p, &snap[p + (p > 0)]), FR_OK);
    /* snap[1] stays NULL: a partition that has not published yet */
    const struct fr_item_snapshot *in[4] = {snap[0], snap[1], snap[2], snap[3]};
    ck_assert_int_eq(fr_item_generation_build(spec, in, 4, 77, out), FR_OK);
    ck_assert_int_eq((*out)->tick_ts, tick);
    ck_assert_uint_eq((*out)->number, 77);
    for (int p = 0; p < 4; p++)
        fr_item_snapshot_free(snap[p]);
    for (int p = 0; p < n_parts; p++)
        fr_item_stats_free(st[p]);
}

START_TEST(build__one_and_three_partitions__equal_the_naive_sums)
{
    for (int n_parts = 1; n_parts <= 3; n_parts += 2) {
        struct fr_item_generation *g;
        make_stream(3);
        build_from_partitions(n_parts, &g);
        ck_assert_uint_eq(g->n, N_ITEMS);
        check_generation(g);
        fr_item_generation_unref(fr_item_generation_ref(g));
        fr_item_generation_unref(g);
    }
}
END_TEST

static void short_list(struct fr_spec_input *in)
{
    in->popular_top = 7;
}

START_TEST(build__list_shorter_than_the_items__the_best_of_all)
{
    struct fr_item_generation *g;
    fr_spec_free(spec);
    spec = feat_spec(short_list);
    make_stream(4);
    build_from_partitions(3, &g);
    ck_assert_uint_eq(g->n_top, 7);
    check_generation(g);
    fr_item_generation_unref(g);
}
END_TEST

START_TEST(build__no_snapshots__empty)
{
    struct fr_item_generation *g;
    ck_assert_int_eq(fr_item_generation_build(spec, NULL, 0, 1, &g), FR_OK);
    ck_assert_uint_eq(g->n, 0);
    ck_assert_uint_eq(g->n_top, 0);
    ck_assert_uint_eq(fr_item_generation_find(g, 5), FR_MAP_NONE);
    ck_assert_uint_eq(fr_item_generation_find(NULL, 5), FR_MAP_NONE);
    fr_item_generation_unref(g);
    fr_item_generation_unref(NULL);
}
END_TEST

START_TEST(snapshot__later_events__do_not_change_it)
{
    struct fr_item_stats *st = new_stats();
    struct fr_item_snapshot *a, *b;
    make_stream(5);
    for (int i = 0; i < 100; i++)
        apply(st, &all[i], i);
    ck_assert_int_eq(fr_item_stats_snapshot(st, T0, &a), FR_OK);
    ck_assert_int_eq(fr_item_stats_snapshot(st, T0, &b), FR_OK);
    for (int i = 100; i < N_EVENTS; i++)
        apply(st, &all[i], i);
    ck_assert_uint_eq(a->n, b->n);
    ck_assert_mem_eq(a->row, b->row, a->n * sizeof *a->row);
    ck_assert_mem_eq(a->c, b->c, a->n * (size_t)a->n_types * FR_HALF_LIVES * sizeof *a->c);
    fr_item_snapshot_free(a);
    fr_item_snapshot_free(b);
    fr_item_stats_free(st);
}
END_TEST

START_TEST(build__every_allocation_fails__clean)
{
    struct fr_item_stats *st = new_stats();
    struct fr_item_snapshot *snap;
    struct fr_item_generation *g = NULL;
    enum fr_err e = FR_ENOMEM;
    uint64_t nth = 0;
    make_stream(6);
    for (int i = 0; i < N_EVENTS; i++)
        apply(st, &all[i], i);
    ck_assert_int_eq(fr_item_stats_snapshot(st, T0, &snap), FR_OK);
    const struct fr_item_snapshot *in[1] = {snap};
    while (e == FR_ENOMEM) {
        fr_alloc_fail_at(++nth);
        e = fr_item_generation_build(spec, in, 1, 1, &g);
        fr_alloc_fail_at(0);
        ck_assert((g != NULL) == (e == FR_OK));
        ck_assert_uint_lt(nth, 50);
    }
    ck_assert_uint_gt(nth, 5);
    fr_item_generation_unref(g);
    fr_item_snapshot_free(snap);
    fr_item_stats_free(st);
}
END_TEST

/* ---- hostile rows ---- */

#define RAW(s) s, sizeof(s) - 1
#define HEAD                                                                                       \
    "\xa1v\x01\xa1"                                                                                \
    "f\x01\xa1l\x02"
#define GOOD                                                                                       \
    HEAD "\xa2ty\x91\xa5"                                                                          \
         "click\xa2hl\x92\x04\x05\xa1L\x92\x00\x00\xa1"                                            \
         "c\x92\x01\x02"
static const struct {
    const char *p;
    size_t n;
    enum fr_err err;
} rows[] = {
    {RAW("\x87" GOOD), FR_OK},
    {RAW("\x88" GOOD "\xa3new\x90"), FR_OK},
    {RAW(""), FR_ECORRUPT},
    {RAW("\x90"), FR_ECORRUPT},
    {RAW("\x87" GOOD "\x00"), FR_ECORRUPT},
    {RAW("\x88" GOOD "\xa1v\x01"), FR_ECORRUPT},
    {RAW("\x83" HEAD), FR_ECORRUPT},
    {RAW("\x87\xa1v\x02\xa1"
         "f\x01\xa1l\x02\xa2ty\x90\xa2hl\x92\x04\x05\xa1L\x92\x00\x00\xa1"
         "c\x90"),
     FR_EVERSION},
    {RAW("\x87" HEAD "\xa2ty\x90\xa2hl\x92\x04\x05\xa1L\x92\x00\x00\xa1"
         "c\x91\x01"),
     FR_ECORRUPT},
    {RAW("\x87" HEAD "\xa2ty\x90\xa2hl\x92\x00\x05\xa1L\x92\x00\x00\xa1"
         "c\x90"),
     FR_ECORRUPT},
    {RAW("\x87" HEAD "\xa2ty\x90\xa2hl\x92\x04\x05\xa1L\x92\x01\x00\xa1"
         "c\x90"),
     FR_ECORRUPT},
    {RAW("\x87" HEAD "\xa2ty\x90\xa2hl\x91\x04\xa1L\x92\x00\x00\xa1"
         "c\x90"),
     FR_ECORRUPT},
    {RAW("\x87" HEAD "\xa2ty\x91\xa5"
         "click\xa2hl\x92\x04\x05\xa1L\x92\x00\x00\xa1"
         "c\x92\x01\xff"),
     FR_ECORRUPT},
    {RAW("\x87\xa1v\x01\xa1"
         "f\x03\xa1l\x02\xa2ty\x90\xa2hl\x92\x04\x05\xa1L\x92\x00\x00\xa1"
         "c\x90"),
     FR_ECORRUPT},
};

START_TEST(load__hostile_row__refused_and_nothing_added)
{
    struct fr_item_stats *st = new_stats();
    struct fr_fault f = {0};
    char *copy = fr_memdup0(rows[_i].p, rows[_i].n);
    enum fr_err e = fr_item_stats_load(st, FR_STR_LIT("x"), (struct fr_str){copy, rows[_i].n}, &f);
    ck_assert_msg(e == rows[_i].err, "%s", f.msg);
    ck_assert_uint_eq(fr_item_stats_size(st), rows[_i].err == FR_OK ? 1 : 0);
    ck_assert_int_eq(fr_item_stats_load(st, FR_STR_LIT(""), (struct fr_str){copy, rows[_i].n}, &f),
                     FR_ECORRUPT);
    fr_free(copy);
    fr_item_stats_free(st);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("features/item_stats");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, apply__random_late_events__equals_the_naive_sum);
    tcase_add_test(tc, dirty__rows_saved_and_loaded__the_same_counters_to_the_bit);
    tcase_add_test(tc, apply__impressions_list__each_item_once);
    tcase_add_test(tc, apply__every_allocation_fails__nothing_counted);
    tcase_add_test(tc, due__watermark_crosses_a_tick__once);
    tcase_add_test(tc, due__few_events_since_the_last_snapshot__tick_passed_over);
    tcase_add_test(tc, build__one_and_three_partitions__equal_the_naive_sums);
    tcase_add_test(tc, build__list_shorter_than_the_items__the_best_of_all);
    tcase_add_test(tc, build__no_snapshots__empty);
    tcase_add_test(tc, snapshot__later_events__do_not_change_it);
    tcase_add_test(tc, build__every_allocation_fails__clean);
    tcase_add_loop_test(
        tc, load__hostile_row__refused_and_nothing_added, 0, sizeof rows / sizeof rows[0]);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
