/* Rows: cells against naive computations, and a cut that later events cannot touch. */
#include "features/row.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/rng.h"
#include "features/buckets.h"
#include "features/user_codec.h"
#include "tests/support/feat.h"

#define T0 INT64_C(1790000000000) /* 2026-09-21T14:13:20Z, a Monday */
#define SECOND INT64_C(1000)
#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)

/* Check's own float checks promote to double, which our warnings refuse. */
#define check_float(got, want) ck_assert_double_eq((double)(got), (double)(want))
#define check_near(got, want, tol)                                                                 \
    ck_assert_double_eq_tol((double)(got), (double)(want), (double)(tol))

static struct fr_spec *spec;
static struct fr_arena *ar;
static struct fr_user *u;
static struct fr_item_table *table;
static int64_t next_offset;

/* The default declaration and the numeric twins of its bucket features. */
static void edit(struct fr_spec_input *in)
{
    static const char *const more[] = {
        "n_events = event_count(as=number)",
        "n_click = decayed_count(type=click, half_life=1h, as=number)",
        "n_recency = recency(type=purchase, as=number)",
        "c_type = context(field=type)",
        "purchases = history(n=5, types=purchase)",
        "i_rate = ratio(over=click, of=shown, half_life=3h, prior=0.1, strength=10, as=number)",
        "i_pop = decayed_count(entity=item, type=click, half_life=3h, as=number)",
        "i_first = first_seen(entity=item)",
        "i_age = item_age(as=number)",
        "x_count = history_count(types=purchase, as=number)",
        "x_place = history_recency(field=position, types=click, as=number)",
        "x_age = history_recency(field=age, as=number)",
        "x_share = category_share(n=3, as=number)",
        "x_share_buy = category_share(n=50, types=purchase, as=number)",
        "x_seen = seen()",
        "x_index = source_rank(source=index, as=number)",
    };
    static struct fr_str lines[FR_MAX_FIELDS];
    int n;
    const char *const *def = fr_spec_default_lines(&n);
    for (int i = 0; i < n; i++)
        lines[i] = fr_str_z(def[i]);
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
        lines[n++] = fr_str_z(more[i]);
    in->features = lines;
    in->n_features = n;
}

static void setup(void)
{
    spec = feat_spec(edit);
    ar = feat_arena();
    next_offset = 0;
    ck_assert_int_eq(fr_user_new(spec, ar, &u), FR_OK);
    ck_assert_int_eq(fr_item_table_new(spec, 0, &table), FR_OK);
}
static void teardown(void)
{
    fr_item_table_free(table);
    fr_arena_free(ar);
    fr_spec_free(spec);
}

static struct fr_cut *event(const char *type, const char *item, int64_t ts)
{
    struct fr_applied done;
    struct fr_cut *cut;
    struct fr_event ev = feat_event(spec, ar, type, "u", item, ts, (uint64_t)next_offset);
    ck_assert_int_eq(fr_user_apply(spec, u, ar, &ev, next_offset, &done), FR_OK);
    struct fr_row_context ctx = fr_row_context_of(&ev, next_offset++);
    ck_assert_int_eq(fr_row_cut(spec, u, &ctx, ar, &cut), FR_OK);
    return cut;
}

static const struct fr_field *field(const char *name)
{
    int i = fr_field_find(&spec->fields, fr_str_z(name));
    ck_assert_msg(i >= 0, "%s", name);
    return &spec->fields.f[i];
}
static const struct fr_cell *user_cell(const struct fr_cut *c, const char *name)
{
    return c->user_cells + field(name)->first;
}
static uint64_t context_id(const struct fr_cut *c, const char *name)
{
    return c->context_cells[field(name)->first].id;
}
static uint64_t hash(const char *z)
{
    return fr_id_hash(spec->key, fr_str_z(z));
}

START_TEST(cut__user_cells__as_declared)
{
    event("click", "a", T0);
    event("purchase", "b", T0 + 10 * SECOND);
    event("skip", "z", T0 + 20 * SECOND);
    struct fr_cut *c = event("click", "c", T0 + HOUR);

    ck_assert_uint_eq(c->n_events, 4);
    ck_assert_uint_eq(user_cell(c, "user_id")->id, hash("u"));
    ck_assert_uint_eq(user_cell(c, "user_events")->id, fr_bucket_count(4));
    check_near(user_cell(c, "n_events")->x, (float)log(5), 1e-6f);
    check_near(user_cell(c, "n_click")->x, (float)log(2.5), 1e-6f); /* 1 + 1/2 */
    ck_assert_uint_eq(user_cell(c, "user_positive_1h")->id, fr_bucket_count(1 + 0.5 + 0.501));
    check_near(user_cell(c, "n_recency")->x, (float)log(1 + 3590), 1e-5f);
    ck_assert_uint_eq(user_cell(c, "user_recency")->id, fr_bucket_age(0));
    ck_assert_uint_eq(user_cell(c, "user_age")->id, fr_bucket_age(3600));
    ck_assert_uint_eq(context_id(c, "hour"), 15 + 1);
    ck_assert_uint_eq(context_id(c, "weekday"), 1);
    ck_assert_uint_eq(context_id(c, "c_type"),
                      (uint64_t)fr_spec_type(spec, FR_STR_LIT("click")) + 1);
    ck_assert_uint_eq(context_id(c, "device"), 0);
}
END_TEST

START_TEST(cut__history__newest_first_with_normalised_weights)
{
    for (int i = 0; i < 60; i++) {
        char id[32];
        snprintf(id, sizeof id, "i%d", i);
        event(i % 10 == 0 ? "purchase" : "click", id, T0 + i * SECOND);
    }
    struct fr_cut *c = event("click", "last", T0 + 100 * SECOND);
    const struct fr_cell *h = user_cell(c, "history");
    double sum = 0, harmonic = 0;
    for (int k = 1; k <= 50; k++)
        harmonic += 1.0 / k;
    ck_assert_uint_eq(c->n_history, 50);
    for (int k = 0; k < 50; k++) {
        char id[32];
        snprintf(id, sizeof id, "i%d", 60 - k);
        ck_assert_uint_eq(h[k].id, k == 0 ? hash("last") : hash(id));
        check_near(h[k].x, (float)(1.0 / (k + 1) / harmonic), 1e-7f);
        sum += (double)h[k].x;
    }
    ck_assert_double_eq_tol(sum, 1, 1e-6);
    const struct fr_cell *p = user_cell(c, "purchases");
    ck_assert_uint_eq(p[0].id, hash("i50"));
    ck_assert_uint_eq(p[3].id, hash("i20"));
    ck_assert_uint_eq(p[4].id, 0); /* i10 has left the history of 50 */
    check_float(p[4].x, 0.0f);
    check_near(p[0].x, (float)(1 / (1 + 1 / 2.0 + 1 / 3.0 + 1 / 4.0)), 1e-6f);
}
END_TEST

START_TEST(cut__cold_user_and_request__unknown_cells)
{
    struct fr_row_context ctx = {hash("u"), T0, FR_NO_OFFSET, -1, FR_STR_LIT("phone")};
    struct fr_cut *c;
    ck_assert_int_eq(fr_row_cut(spec, u, &ctx, ar, &c), FR_OK);
    ck_assert_uint_eq(c->n_events, 0);
    ck_assert_uint_eq(c->n_history, 0);
    ck_assert_uint_eq(user_cell(c, "user_events")->id, 1);
    ck_assert_uint_eq(user_cell(c, "user_recency")->id, 0);
    ck_assert_uint_eq(user_cell(c, "user_age")->id, 0);
    ck_assert_uint_eq(user_cell(c, "history")->id, 0);
    check_float(user_cell(c, "history")->x, 0.0f);
    ck_assert_uint_eq(context_id(c, "device"), hash("phone"));
    ck_assert_uint_eq(context_id(c, "c_type"), 0);
    ctx.ts = -1;
    ck_assert_int_eq(fr_row_cut(spec, u, &ctx, ar, &c), FR_EINVAL);
    ctx.ts = 0;
    ctx.type = spec->n_types;
    ck_assert_int_eq(fr_row_cut(spec, u, &ctx, ar, &c), FR_EINVAL);
}
END_TEST

START_TEST(cut__request_past_the_ttl__empty_row_and_state_untouched)
{
    event("click", "a", T0);
    struct fr_user before = *u;
    struct fr_row_context ctx = {hash("u"), T0 + 90 * DAY, FR_NO_OFFSET, -1, {NULL, 0}};
    struct fr_cut *c;
    ck_assert_int_eq(fr_row_cut(spec, u, &ctx, ar, &c), FR_OK);
    ck_assert_uint_eq(c->n_events, 1);
    ck_assert_uint_eq(c->n_history, 1);
    ctx.ts++;
    ck_assert_int_eq(fr_row_cut(spec, u, &ctx, ar, &c), FR_OK);
    ck_assert_uint_eq(c->n_events, 0);
    ck_assert_uint_eq(c->n_history, 0);
    ck_assert_uint_eq(fr_seen_size(&c->seen), 0);
    ck_assert_uint_eq(user_cell(c, "user_id")->id, hash("u"));
    ck_assert_uint_eq(user_cell(c, "user_recency")->id, 0);
    ck_assert_mem_eq(&before, u, sizeof before);
}
END_TEST

/* ---- the leak test: whatever comes after a cut, the cut and all its rows keep their bits ---- */

static uint64_t row_hash(const struct fr_cut *c)
{
    static struct fr_cell cross[64];
    struct fr_cross *cx;
    struct fr_arena_mark m = fr_arena_mark(ar);
    uint64_t h = fr_cells_hash(c->user_cells, spec->fields.n_cells[FR_ENTITY_USER]);
    h = fr_mix64(h ^ fr_cells_hash(c->context_cells, spec->fields.n_cells[FR_ENTITY_CONTEXT]));
    ck_assert_uint_le(spec->fields.n_cells[FR_ENTITY_CROSS], 64);
    ck_assert_int_eq(fr_cross_init(spec, c, table, ar, &cx), FR_OK);
    for (int i = 0; i < 40; i++) {
        char id[32];
        snprintf(id, sizeof id, "i%d", i);
        struct fr_candidate cand = {.idx = fr_item_table_find(table, hash(id)), .item = hash(id)};
        fr_row_cross(cx, &cand, cross);
        h = fr_mix64(h ^ fr_cells_hash(cross, spec->fields.n_cells[FR_ENTITY_CROSS]));
    }
    fr_arena_release(ar, m);
    return h;
}

static void fill_table(void)
{
    static const char *const cats[] = {"a", "b|c", "c", "a|d", NULL};
    for (int i = 0; i < 40; i++) {
        char id[32];
        snprintf(id, sizeof id, "i%d", i);
        struct fr_item_record r = feat_item(spec, ar, id, cats[i % 5], NULL);
        ck_assert_int_eq(fr_item_table_put(table, &r, NULL), FR_OK);
    }
}

START_TEST(cut__later_events_late_events_and_expiry__keeps_its_bits)
{
    enum { N = 300 };
    static const char *const types[] = {"click", "view", "purchase", "skip"};
    static struct fr_cut *cut[N];
    static uint64_t at_cut[N];
    struct fr_rng r;
    fr_rng_seed(&r, 41);
    fill_table();
    for (int i = 0; i < N; i++) {
        char id[32];
        snprintf(id, sizeof id, "i%d", (int)fr_rng_below(&r, 40));
        int64_t ts = T0 + (int64_t)fr_rng_below(&r, 100) * 60 * SECOND + (i > 200 ? 100 * DAY : 0);
        cut[i] = event(types[fr_rng_below(&r, 4)], id, ts);
        at_cut[i] = row_hash(cut[i]);
    }
    int distinct = 0;
    for (int i = 0; i < N; i++) {
        ck_assert_uint_eq(row_hash(cut[i]), at_cut[i]);
        distinct += i > 0 && at_cut[i] != at_cut[i - 1];
    }
    ck_assert_int_ge(distinct, N - 10); /* the hash sees the rows */
}
END_TEST

/* The same events through save and load after each of them, as with batches of one: equal bits. */
START_TEST(cut__state_saved_and_loaded_between_events__same_bits)
{
    static const char *const types[] = {"click", "view", "purchase", "skip"};
    struct fr_rng r;
    struct fr_buf rec = {0}, seen = {0};
    struct fr_user *one = u; /* never saved */
    fr_rng_seed(&r, 42);
    fill_table();
    for (int i = 0; i < 200; i++) {
        char id[32];
        snprintf(id, sizeof id, "i%d", (int)fr_rng_below(&r, 40));
        const char *type = types[fr_rng_below(&r, 4)];
        int64_t ts = T0 + (int64_t)fr_rng_below(&r, 100) * 3600 * SECOND;
        u = one;
        uint64_t want = row_hash(event(type, id, ts));
        next_offset--;
        struct fr_user *two;
        char *a = fr_memdup0(rec.p, rec.n), *b = fr_memdup0(seen.p, seen.n);
        ck_assert_int_eq(fr_user_decode(spec, ar, (struct fr_str){a, rec.n}, &two, NULL), FR_OK);
        ck_assert_int_eq(
            fr_seen_decode(&two->seen, spec->seen_cap, (struct fr_str){b, seen.n}, NULL), FR_OK);
        u = two;
        ck_assert_uint_eq(row_hash(event(type, id, ts)), want);
        fr_buf_clear(&rec);
        fr_buf_clear(&seen);
        fr_user_encode(spec, two, &rec);
        fr_seen_encode(&two->seen, &seen);
        ck_assert_int_eq(fr_buf_err(&rec), FR_OK);
        fr_free(a);
        fr_free(b);
    }
    fr_buf_done(&rec);
    fr_buf_done(&seen);
}
END_TEST

/* ---- item cells ---- */

START_TEST(item__statistics_and_age__of_the_generation)
{
    struct fr_item_stats *st;
    struct fr_item_snapshot *snap;
    struct fr_item_generation *g;
    struct fr_cell out[128];
    struct fr_item_record r = feat_item(spec, ar, "a", "c", NULL);
    uint32_t idx, idx_b;

    ck_assert_uint_le(spec->fields.n_cells[FR_ENTITY_ITEM], 128);
    r.created_ts = T0 - DAY;
    ck_assert_int_eq(fr_item_table_put(table, &r, &idx), FR_OK);
    r = feat_item(spec, ar, "b", NULL, NULL);
    ck_assert_int_eq(fr_item_table_put(table, &r, &idx_b), FR_OK);
    ck_assert_int_eq(fr_item_stats_new(spec, &st), FR_OK);
    for (int i = 0; i < 10; i++) {
        struct fr_event ev =
            feat_event(spec, ar, i < 3 ? "click" : "impression", "u", "a", T0, (uint64_t)i);
        ck_assert_int_eq(fr_item_stats_apply(st, &ev), FR_OK);
    }
    ck_assert_int_eq(fr_item_stats_snapshot(st, T0 + 3 * HOUR, &snap), FR_OK);
    const struct fr_item_snapshot *in[1] = {snap};
    ck_assert_int_eq(fr_item_generation_build(spec, in, 1, 1, &g), FR_OK);

    fr_row_item(spec, table, idx, g, T0 + 6 * HOUR, out);
    check_near(out[field("i_pop")->first].x, (float)log(1 + 1.5), 1e-6f);
    check_near(out[field("i_rate")->first].x, (float)((1.5 + 1) / (3.5 + 10)), 1e-6f);
    ck_assert_uint_eq(out[field("item_popular_3h")->first].id, fr_bucket_count(1.5));
    ck_assert_uint_eq(out[field("item_age")->first].id, fr_bucket_age(30 * 3600));
    ck_assert_uint_eq(out[field("i_first")->first].id, fr_bucket_age(6 * 3600));
    ck_assert_uint_eq(out[field("item_id")->first].id, hash("a"));
    ck_assert_uint_eq(out[field("item_category")->first].id, hash("c"));
    /* b: in the catalogue, no statistics, no created_ts */
    fr_row_item(spec, table, idx_b, g, T0, out);
    ck_assert_uint_eq(out[field("item_id")->first].id, hash("b"));
    ck_assert_uint_eq(out[field("item_popular_3h")->first].id, 0);
    ck_assert_uint_eq(out[field("item_age")->first].id, 0);
    fr_row_item(spec, table, idx, NULL, T0, out);
    ck_assert_uint_eq(out[field("item_popular_3h")->first].id, 0);
    fr_row_item(spec, table, 999, g, T0, out);
    for (uint32_t i = 0; i < spec->fields.n_cells[FR_ENTITY_ITEM]; i++)
        ck_assert_uint_eq(out[i].id, 0);
    fr_item_generation_unref(g);
    fr_item_snapshot_free(snap);
    fr_item_stats_free(st);
}
END_TEST

/* ---- cross cells against loops over the history ---- */

static bool shares_category(const char *a, const char *b)
{
    const struct fr_item *x = fr_item_table_get(table, fr_item_table_find(table, hash(a)));
    const struct fr_item *y = fr_item_table_get(table, fr_item_table_find(table, hash(b)));
    for (uint32_t i = 0; x != NULL && y != NULL && i < x->n_category; i++)
        for (uint32_t k = 0; k < y->n_category; k++)
            if (x->category[i] == y->category[k])
                return true;
    return false;
}

START_TEST(cross__random_history__equals_the_naive_loops)
{
    static const char *const types[] = {"click", "view", "purchase"};
    struct fr_rng r;
    struct fr_cell out[64];
    fr_rng_seed(&r, 43);
    fill_table();
    for (int i = 0; i < 150; i++) {
        char id[32];
        snprintf(id, sizeof id, "i%d", (int)fr_rng_below(&r, 45)); /* 40..44 are in no catalogue */
        struct fr_cut *c = event(types[fr_rng_below(&r, 3)], id, T0 + i * 30 * SECOND);
        struct fr_cross *cx;
        if (i % 5 != 0)
            continue;
        ck_assert_int_eq(fr_cross_init(spec, c, table, ar, &cx), FR_OK);
        for (int k = 0; k < 45; k++) {
            char cid[32];
            int times = 0, buys = 0, place = 0, clicks = 0, click_place = 0;
            int n3 = 0, in3 = 0, n_buy = 0, in_buy = 0, in_all = 0;
            int64_t newest = -1;
            snprintf(cid, sizeof cid, "i%d", k);
            bool has_cat = k < 40 && k % 5 != 4;
            for (uint32_t h = 0; h < u->h_n; h++) {
                char hid[32];
                snprintf(hid, sizeof hid, "%.*s", FR_STR_ARG(u->h[h].id));
                bool same = strcmp(hid, cid) == 0;
                bool cat = shares_category(hid, cid);
                bool buy = u->h[h].type == fr_spec_type(spec, FR_STR_LIT("purchase"));
                bool click = u->h[h].type == fr_spec_type(spec, FR_STR_LIT("click"));
                times += same;
                buys += same && buy;
                if (same && place == 0) {
                    place = (int)h + 1;
                    newest = u->h[h].ts;
                }
                clicks += click;
                if (same && click && click_place == 0)
                    click_place = clicks;
                in3 += n3 < 3 && cat;
                n3 += n3 < 3;
                in_buy += buy && cat;
                n_buy += buy;
                in_all += cat;
            }
            struct fr_candidate cand = {.idx = fr_item_table_find(table, hash(cid)),
                                        .item = hash(cid),
                                        .has_score = true,
                                        .score = 0.25f,
                                        .rank = {(uint16_t)(k + 1), 0, 3, 0}};
            fr_row_cross(cx, &cand, out);
            ck_assert_uint_eq(out[field("times_in_history")->first].id,
                              fr_bucket_times((uint32_t)times));
            check_near(out[field("x_count")->first].x, (float)log(1 + buys), 1e-6f);
            ck_assert_uint_eq(out[field("place_in_history")->first].id,
                              fr_bucket_place((uint32_t)place));
            check_near(out[field("x_place")->first].x,
                       click_place == 0 ? 0.0f : (float)(1.0 / click_place),
                       1e-6f);
            double s = (double)(c->ts - newest) / 1000;
            check_near(out[field("x_age")->first].x,
                       place == 0 ? 0.0f : (float)(1 / (1 + log(1 + s))),
                       1e-6f);
            ck_assert_uint_eq(out[field("time_in_history")->first].id,
                              place == 0 ? 1 : 1 + fr_bucket_age(s));
            check_near(out[field("x_share")->first].x,
                       has_cat && n3 > 0 ? (float)((double)in3 / n3) : 0.0f,
                       1e-6f);
            check_near(out[field("x_share_buy")->first].x,
                       has_cat && n_buy > 0 ? (float)((double)in_buy / n_buy) : 0.0f,
                       1e-6f);
            ck_assert_uint_eq(out[field("category_share")->first].id,
                              has_cat ? fr_bucket_share((double)in_all / u->h_n) : 0);
            ck_assert_uint_eq(out[field("x_seen")->first].id,
                              fr_seen_has(&u->seen, fr_str_z(cid)) ? 2 : 1);
            check_float(out[field("retrieval_score")->first].x, 0.25f);
            ck_assert_uint_eq(out[field("index_rank")->first].id, fr_bucket_rank((uint32_t)k + 1));
            check_near(out[field("x_index")->first].x, (float)(1.0 / (k + 1)), 1e-6f);
            ck_assert_uint_eq(out[field("popular_rank")->first].id, 1);
            ck_assert_uint_eq(out[field("history_rank")->first].id, 3);
        }
    }
}
END_TEST

START_TEST(cut_and_cross__every_allocation_fails__clean)
{
    fill_table();
    for (int i = 0; i < 60; i++)
        event("click", i % 2 ? "i1" : "i3", T0 + i * SECOND);
    int failures = 0;
    for (uint64_t nth = 1; nth < 50; nth++) {
        struct fr_arena *small = NULL;
        struct fr_cut *c = NULL;
        struct fr_cross *cx = NULL;
        struct fr_row_context ctx = {hash("u"), T0, 5, 0, {NULL, 0}};
        fr_alloc_fail_at(nth);
        enum fr_err e = fr_arena_new(512, 0, &small);
        if (e == FR_OK)
            e = fr_row_cut(spec, u, &ctx, small, &c);
        if (e == FR_OK)
            e = fr_cross_init(spec, c, table, small, &cx);
        fr_alloc_fail_at(0);
        fr_arena_free(small);
        if (e == FR_OK)
            break;
        ck_assert_int_eq(e, FR_ENOMEM);
        failures++;
    }
    ck_assert_int_ge(failures, 5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("features/row");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, cut__user_cells__as_declared);
    tcase_add_test(tc, cut__history__newest_first_with_normalised_weights);
    tcase_add_test(tc, cut__cold_user_and_request__unknown_cells);
    tcase_add_test(tc, cut__request_past_the_ttl__empty_row_and_state_untouched);
    tcase_add_test(tc, cut__later_events_late_events_and_expiry__keeps_its_bits);
    tcase_add_test(tc, cut__state_saved_and_loaded_between_events__same_bits);
    tcase_add_test(tc, item__statistics_and_age__of_the_generation);
    tcase_add_test(tc, cross__random_history__equals_the_naive_loops);
    tcase_add_test(tc, cut_and_cross__every_allocation_fails__clean);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
