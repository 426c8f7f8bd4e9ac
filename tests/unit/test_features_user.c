/* What an event does to a user, against a naive twin that keeps every event. */
#include "features/user.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/rng.h"
#include "features/decay.h"
#include "tests/support/feat.h"

#define T0 INT64_C(1790000000000)
#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)

static struct fr_spec *spec;
static struct fr_arena *ar;
static struct fr_user *u;

static void setup_with(void (*edit)(struct fr_spec_input *))
{
    spec = feat_spec(edit);
    ar = feat_arena();
    ck_assert_int_eq(fr_user_new(spec, ar, &u), FR_OK);
}
static void setup(void)
{
    setup_with(NULL);
}
static void teardown(void)
{
    fr_arena_free(ar);
    fr_spec_free(spec);
}

static struct fr_applied
apply(const char *type, const char *item, int64_t ts, uint64_t event, int64_t offset)
{
    struct fr_applied done;
    struct fr_event ev = feat_event(spec, ar, type, "u", item, ts, event);
    ck_assert_int_eq(fr_user_apply(spec, u, ar, &ev, offset, &done), FR_OK);
    return done;
}

/* ---- naive twin: all events, everything computed from scratch ---- */

struct seen_event {
    int type;
    int item;
    int64_t ts;
    int order;
};

static int newest_first(const void *a, const void *b)
{
    const struct seen_event *x = a, *y = b;
    if (x->ts != y->ts)
        return x->ts > y->ts ? -1 : 1;
    return y->order - x->order;
}

START_TEST(apply__random_out_of_order_events__equals_the_naive_twin)
{
    struct fr_rng r;
    static const char *const types[] = {"view", "click", "purchase", "skip"};
    struct seen_event all[300];
    int n = 0;

    fr_rng_seed(&r, 21);
    for (int i = 0; i < 300; i++) {
        char item[32];
        struct seen_event e = {(int)fr_rng_below(&r, 4),
                               (int)fr_rng_below(&r, 40),
                               T0 + (int64_t)fr_rng_below(&r, 50) * 600000,
                               i};
        snprintf(item, sizeof item, "i%d", e.item);
        struct fr_applied done = apply(types[e.type], item, e.ts, (uint64_t)i, i);
        ck_assert_int_eq(done.result, FR_APPLIED);
        all[n++] = e;

        int64_t first = INT64_MAX, last = 0;
        for (int k = 0; k < n; k++) {
            first = all[k].ts < first ? all[k].ts : first;
            last = all[k].ts > last ? all[k].ts : last;
        }
        ck_assert_int_eq(done.late, e.ts < last);
        ck_assert_int_eq(u->first_ts, first);
        ck_assert_int_eq(u->last_ts, last);
        ck_assert_uint_eq(u->n, (uint64_t)n);
        if (i % 7 != 0)
            continue;
        for (int t = 0; t < 4; t++) {
            int ours = fr_spec_type(spec, fr_str_z(types[t]));
            int64_t newest = 0;
            for (int hl = 0; hl < FR_HALF_LIVES; hl++) {
                double want = 0;
                int64_t now = last + 12345;
                for (int k = 0; k < n; k++)
                    if (all[k].type == t) {
                        want +=
                            exp2(-(double)(now - all[k].ts) / (double)spec->user_half_life_ms[hl]);
                        newest = all[k].ts > newest ? all[k].ts : newest;
                    }
                double got = fr_user_count(spec, u, 1u << ours, hl, now);
                ck_assert_double_le(fabs(got - want), 1e-9 * want);
            }
            ck_assert_int_eq(fr_user_newest(spec, u, 1u << ours), newest);
        }
        struct seen_event sorted[300];
        int m = 0;
        for (int k = 0; k < n; k++)
            if (all[k].type != 3) /* skip is not in the history */
                sorted[m++] = all[k];
        qsort(sorted, (size_t)m, sizeof sorted[0], newest_first);
        if (m > (int)spec->history_length)
            m = (int)spec->history_length;
        /* among equal times at the full end, which one fell out depends on when it was full:
         * compare all that are strictly newer than the oldest kept, and the number */
        ck_assert_uint_eq(u->h_n, (uint32_t)m);
        for (int k = 0; k < m; k++) {
            ck_assert_int_eq(u->h[k].ts, sorted[k].ts);
            if (sorted[k].ts == sorted[m - 1].ts)
                continue;
            snprintf(item, sizeof item, "i%d", sorted[k].item);
            ck_assert(fr_str_eqz(u->h[k].id, item));
            ck_assert_int_eq(u->h[k].type, fr_spec_type(spec, fr_str_z(types[sorted[k].type])));
        }
    }
}
END_TEST

START_TEST(apply__same_event_id_within_window__dropped_and_after_it_applied)
{
    for (uint64_t i = 0; i < 16; i++)
        ck_assert_int_eq(apply("click", "x", T0, i, (int64_t)i).result, FR_APPLIED);
    for (uint64_t i = 0; i < 16; i++)
        ck_assert_int_eq(apply("click", "x", T0, i, (int64_t)(16 + i)).result, FR_APPLY_DUPLICATE);
    ck_assert_uint_eq(u->n, 16);
    ck_assert_int_eq(u->applied, 31);
    /* a duplicate does not push the ring on: one new event drops exactly the oldest key */
    ck_assert_int_eq(apply("click", "x", T0, 100, 32).result, FR_APPLIED);
    ck_assert_int_eq(apply("click", "x", T0, 1, 33).result, FR_APPLY_DUPLICATE);
    ck_assert_int_eq(apply("click", "x", T0, 0, 34).result, FR_APPLIED);
    ck_assert_uint_eq(u->n, 18);
}
END_TEST

START_TEST(apply__offset_at_or_below_applied__nothing_changes)
{
    apply("click", "x", T0, 1, 10);
    struct fr_user before = *u;
    ck_assert_int_eq(apply("click", "y", T0 + 5, 2, 10).result, FR_APPLY_BELOW);
    ck_assert_int_eq(apply("click", "y", T0 + 5, 3, 9).result, FR_APPLY_BELOW);
    ck_assert_mem_eq(&before, u, sizeof before);
}
END_TEST

static void no_dedup(struct fr_spec_input *in)
{
    in->dedup_window = 0;
}

START_TEST(apply__window_zero__nothing_is_a_duplicate)
{
    teardown();
    setup_with(no_dedup);
    apply("click", "x", T0, 1, 0);
    ck_assert_int_eq(apply("click", "x", T0, 1, 1).result, FR_APPLIED);
    ck_assert_uint_eq(u->dedup_n, 0);
}
END_TEST

START_TEST(apply__impressions__counted_once_and_in_no_history)
{
    struct fr_impression list[3] = {{.item_id = FR_STR_LIT("a")}, {.item_id = FR_STR_LIT("b")}};
    struct fr_event ev = feat_event(spec, ar, "impressions", "u", NULL, T0, 1);
    struct fr_applied done;
    ev.impressions = list;
    ev.n_impressions = 2;
    ck_assert_int_eq(fr_user_apply(spec, u, ar, &ev, 0, &done), FR_OK);
    ck_assert_double_eq_tol(fr_user_count(spec, u, 1u << ev.type, 0, T0), 1, 1e-12);
    ck_assert_uint_eq(u->h_n, 0);
    ck_assert(!done.seen_added);
}
END_TEST

START_TEST(apply__type_or_time_out_of_range__refused)
{
    struct fr_event ev = feat_event(spec, ar, "click", "u", "x", T0, 1);
    struct fr_applied done;
    ev.type = spec->n_types;
    ck_assert_int_eq(fr_user_apply(spec, u, ar, &ev, 0, &done), FR_EINVAL);
    ev.type = -1;
    ck_assert_int_eq(fr_user_apply(spec, u, ar, &ev, 0, &done), FR_EINVAL);
    ev.type = 0;
    ev.ts = FR_TS_MAX + 1;
    ck_assert_int_eq(fr_user_apply(spec, u, ar, &ev, 0, &done), FR_EINVAL);
    ev.ts = -1;
    ck_assert_int_eq(fr_user_apply(spec, u, ar, &ev, 0, &done), FR_EINVAL);
    ck_assert(!u->dirty);
}
END_TEST

START_TEST(check_time__too_far_ahead__future)
{
    ck_assert_int_eq(fr_user_check_time(spec, T0 + HOUR, T0), FR_OK);
    ck_assert_int_eq(fr_user_check_time(spec, T0 + HOUR + 1, T0), FR_EFUTURE);
    ck_assert_int_eq(fr_user_check_time(spec, T0 - 100 * DAY, T0), FR_OK);
}
END_TEST

START_TEST(count__asked_in_the_past__as_of_the_newest_event)
{
    apply("click", "x", T0, 1, 0);
    apply("click", "x", T0 + HOUR, 2, 1);
    int click = fr_spec_type(spec, FR_STR_LIT("click"));
    double at_last = fr_user_count(spec, u, 1u << click, 0, T0 + HOUR);
    ck_assert_double_eq_tol(at_last, 1.5, 1e-12);
    ck_assert_double_eq(fr_user_count(spec, u, 1u << click, 0, T0 - 1000 * DAY), at_last);
}
END_TEST

static void intervals(struct fr_spec_input *in)
{
    in->min_interval_ms = 1000;
}

static bool trigger(const char *type, int64_t ts, int64_t offset)
{
    struct fr_event ev = feat_event(spec, ar, type, "u", "x", ts, (uint64_t)offset);
    struct fr_applied done;
    ck_assert_int_eq(fr_user_apply(spec, u, ar, &ev, offset, &done), FR_OK);
    return fr_user_trigger(spec, u, &ev, offset);
}

START_TEST(trigger__min_interval__event_time_since_the_last_trigger)
{
    teardown();
    setup_with(intervals);
    ck_assert(!trigger("skip", T0, 0)); /* not in recommend.on */
    ck_assert_int_eq(u->trig, FR_NO_OFFSET);
    ck_assert(trigger("click", T0, 1));
    ck_assert_int_eq(u->trig, 1);
    ck_assert_int_eq(u->trig_ts, T0);
    ck_assert(!trigger("click", T0 + 999, 2));
    ck_assert_int_eq(u->trig, 1);
    ck_assert(
        trigger("click", T0 + 1000, 3)); /* counted from the trigger, not from the event between */
    ck_assert(!trigger("click", T0 - DAY, 4)); /* late */
    ck_assert_int_eq(u->trig, 3);
    ck_assert_int_eq(u->trig_ts, T0 + 1000);
}
END_TEST

START_TEST(trigger__no_interval__every_event_of_the_types)
{
    ck_assert(trigger("click", T0, 1));
    ck_assert(trigger("click", T0, 2));
    ck_assert(trigger("view", T0 - DAY, 3));
    ck_assert_int_eq(u->trig, 3);
    ck_assert_int_eq(u->trig_ts, T0);
}
END_TEST

START_TEST(expire__past_ttl__empty_but_offsets_stay)
{
    apply("click", "x", T0, 1, 7);
    struct fr_event ev = feat_event(spec, ar, "click", "u", "x", T0, 1);
    ck_assert(fr_user_trigger(spec, u, &ev, 7));
    ck_assert(!fr_user_expire(spec, u, T0 + 90 * DAY));
    ck_assert(!fr_user_expire(spec, u, T0 - DAY));
    ck_assert_uint_eq(u->n, 1);
    ck_assert(fr_user_expire(spec, u, T0 + 90 * DAY + 1));
    ck_assert_uint_eq(u->n, 0);
    ck_assert_uint_eq(u->h_n, 0);
    ck_assert_uint_eq(fr_seen_size(&u->seen), 0);
    ck_assert(u->seen.dirty);
    ck_assert_int_eq(u->applied, 7);
    ck_assert_int_eq(u->trig, 7);
    ck_assert_int_eq(u->trig_ts, T0);
    ck_assert_double_eq(fr_user_count(spec, u, ~0u, 0, T0), 0);
}
END_TEST

START_TEST(apply__past_ttl__starts_empty)
{
    apply("click", "x", T0, 1, 0);
    apply("purchase", "y", T0, 2, 1);
    struct fr_seen cut = u->seen;
    struct fr_applied done =
        apply("click", "z", T0 + 91 * DAY, 1, 2); /* event_id of long ago: new */
    ck_assert_int_eq(done.result, FR_APPLIED);
    ck_assert(done.expired);
    ck_assert(!done.late);
    ck_assert(done.seen_added);
    ck_assert_uint_eq(u->n, 1);
    ck_assert_uint_eq(u->h_n, 1);
    ck_assert_int_eq(u->first_ts, T0 + 91 * DAY);
    ck_assert_uint_eq(fr_seen_size(&u->seen), 1);
    ck_assert(fr_seen_has(&u->seen, FR_STR_LIT("z")));
    ck_assert_uint_eq(fr_seen_size(&cut), 2);
    ck_assert_int_eq(u->type_ts[fr_spec_type(spec, FR_STR_LIT("purchase"))], 0);
}
END_TEST

START_TEST(landmarks__each_half_life__own_grid_and_exact_rebase)
{
    apply("click", "x", T0, 1, 0);
    double before = u->c[fr_spec_type(spec, FR_STR_LIT("click"))][0];
    for (int k = 0; k < FR_HALF_LIVES; k++) {
        ck_assert_int_eq(u->landmark[k] % spec->user_half_life_ms[k], 0);
        ck_assert_int_eq(u->landmark[k], fr_decay_landmark(T0, spec->user_half_life_ms[k]));
    }
    apply("view", "x", T0 + 5 * HOUR, 2, 1);
    ck_assert_int_eq(u->landmark[0], fr_decay_landmark(T0 + 5 * HOUR, HOUR));
    ck_assert_double_eq(u->c[fr_spec_type(spec, FR_STR_LIT("click"))][0], before / 32);
}
END_TEST

START_TEST(apply__every_allocation_fails__user_unchanged)
{
    char id[FR_ID_MAX + 1];
    memset(id, 'x', FR_ID_MAX);
    id[FR_ID_MAX] = '\0';
    int failures = 0;
    for (int i = 0; i < 3000; i++) {
        id[0] = (char)('a' + i % 26);
        id[1] = (char)('a' + i / 26 % 26);
        id[2] = (char)('a' + i / 676);
        struct fr_event ev = feat_event(spec, ar, "click", "u", NULL, T0 + i, (uint64_t)i);
        struct fr_applied done;
        ev.item_id = (struct fr_str){id, FR_ID_MAX};
        ev.item = fr_id_hash(spec->key, ev.item_id);
        struct fr_user before = *u;
        fr_alloc_fail_at(1);
        enum fr_err e = fr_user_apply(spec, u, ar, &ev, i, &done);
        fr_alloc_fail_at(0);
        if (e == FR_ENOMEM) {
            failures++;
            ck_assert_mem_eq(&before, u, sizeof before);
            ck_assert_int_eq(fr_user_apply(spec, u, ar, &ev, i, &done), FR_OK);
        }
        ck_assert_int_eq(done.result, FR_APPLIED);
    }
    ck_assert_int_gt(failures, 3);
    ck_assert_uint_eq(u->n, 3000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("features/user");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, apply__random_out_of_order_events__equals_the_naive_twin);
    tcase_add_test(tc, apply__same_event_id_within_window__dropped_and_after_it_applied);
    tcase_add_test(tc, apply__offset_at_or_below_applied__nothing_changes);
    tcase_add_test(tc, apply__window_zero__nothing_is_a_duplicate);
    tcase_add_test(tc, apply__impressions__counted_once_and_in_no_history);
    tcase_add_test(tc, apply__type_or_time_out_of_range__refused);
    tcase_add_test(tc, check_time__too_far_ahead__future);
    tcase_add_test(tc, count__asked_in_the_past__as_of_the_newest_event);
    tcase_add_test(tc, trigger__min_interval__event_time_since_the_last_trigger);
    tcase_add_test(tc, trigger__no_interval__every_event_of_the_types);
    tcase_add_test(tc, expire__past_ttl__empty_but_offsets_stay);
    tcase_add_test(tc, apply__past_ttl__starts_empty);
    tcase_add_test(tc, landmarks__each_half_life__own_grid_and_exact_rebase);
    tcase_add_test(tc, apply__every_allocation_fails__user_unchanged);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
