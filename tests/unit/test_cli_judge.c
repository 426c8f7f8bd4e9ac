/* The judge on streams small enough to work out by hand; judge_ref.py does the large random ones. */
#include "daemon/cli/judge.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/buf.h"
#include "daemon/base/json.h"
#include "daemon/cli/judge_baseline.h"
#include "daemon/cli/judge_bootstrap.h"
#include "daemon/cli/judge_report.h"
#include "daemon/cli/judge_stream.h"

static const char *const types[] = {"click", NULL};

/* ---- the protocol ---- */

/* user, item, time */
static const struct fr_judge_event small[] = {
    {0, 0, 1000}, {1, 1, 1000}, {0, 2, 1000}, {0, 3, 2000}, {1, 0, 3000}, {0, 2, 3000},
};
static const uint32_t no_lists[] = {FR_JUDGE_NONE, FR_JUDGE_NONE, FR_JUDGE_NONE,
                                    FR_JUDGE_NONE, FR_JUDGE_NONE, FR_JUDGE_NONE};

static struct fr_judge_input input(const uint32_t *list_of, const uint32_t *start, const uint32_t *items)
{
    return (struct fr_judge_input){small, 6, 2, 4, list_of, start, items};
}

static struct fr_judge_report judge(const struct fr_judge_input *in, const struct fr_judge_opts *o)
{
    struct fr_judge_report r;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};

    ck_assert_msg(fr_judge_run(in, o, &r, &fault) == FR_OK, "%s", fault.msg);
    return r;
}

static struct fr_judge_opts options(void)
{
    struct fr_judge_opts o;

    fr_judge_opts_init(&o);
    o.bootstrap = 0;
    return o;
}

START_TEST(a_label_is_the_users_next_event)
{
    /* lists 0 of event 0 holds item 2 (a hit, place 2); list 1 of event 3 misses; event 4 has none after it */
    static const uint32_t of[] = {0, FR_JUDGE_NONE, FR_JUDGE_NONE, 1, 2, FR_JUDGE_NONE};
    static const uint32_t start[] = {0, 2, 3, 4}, items[] = {3, 2, 1, 0};
    struct fr_judge_input in = input(of, start, items);
    struct fr_judge_opts o = options();
    struct fr_judge_report r = judge(&in, &o);

    ck_assert_uint_eq(r.all.labels, 4); /* 0->2, 1->4, 2->3, 3->5 */
    ck_assert_uint_eq(r.lists, 3);
    ck_assert_uint_eq(r.lists_counted, 2);
    ck_assert_uint_eq(r.missing, 2);
    ck_assert_uint_eq(r.all.hits[FR_JUDGE_LISTS], 1);
    ck_assert_double_eq_tol(r.all.rr[FR_JUDGE_LISTS], 0.5, 1e-12);
    ck_assert_uint_eq(r.coverage[FR_JUDGE_LISTS], 3);
    fr_judge_report_done(&r);
}
END_TEST

START_TEST(strict_wants_a_later_time_and_the_newest_list_before_it)
{
    /* events 0 and 2 are of the same second: both have the label 3; the list of 2 is the newer */
    static const uint32_t of[] = {0, FR_JUDGE_NONE, 1, FR_JUDGE_NONE, FR_JUDGE_NONE, FR_JUDGE_NONE};
    static const uint32_t start[] = {0, 1, 2}, items[] = {3, 0};
    struct fr_judge_input in = input(of, start, items);
    struct fr_judge_opts o = options();
    struct fr_judge_report r;

    o.strict = true;
    r = judge(&in, &o);
    ck_assert_uint_eq(r.all.labels, 3); /* 2->3, 1->4, 3->5 */
    ck_assert_uint_eq(r.lists_counted, 1);
    ck_assert_uint_eq(r.all.hits[FR_JUDGE_LISTS], 0); /* list 0 would have hit, but it is not the newest */
    fr_judge_report_done(&r);
}
END_TEST

START_TEST(the_repeat_policy_strikes_from_every_list)
{
    static const uint32_t of[] = {FR_JUDGE_NONE, FR_JUDGE_NONE, FR_JUDGE_NONE, 0, FR_JUDGE_NONE, FR_JUDGE_NONE};
    static const uint32_t start[] = {0, 3}, items[] = {3, 3, 2};
    struct fr_judge_input in = input(of, start, items);
    struct fr_judge_opts o = options();
    struct fr_judge_report r;

    o.n = 1;
    r = judge(&in, &o);
    ck_assert_uint_eq(r.all.hits[FR_JUDGE_LISTS], 0); /* item 3 fills the one place */
    fr_judge_report_done(&r);
    o.repeat = FR_JUDGE_LAST; /* item 3 was just used: struck twice, and item 2 moves up */
    r = judge(&in, &o);
    ck_assert_uint_eq(r.struck, 2);
    ck_assert_uint_eq(r.all.hits[FR_JUDGE_LISTS], 1);
    ck_assert_uint_eq(r.forbidden, 0);
    ck_assert(r.has[FR_JUDGE_REPEAT]);
    fr_judge_report_done(&r);
    o.repeat = FR_JUDGE_FOREVER; /* item 2 was used before: the label itself is forbidden */
    r = judge(&in, &o);
    ck_assert_uint_eq(r.all.hits[FR_JUDGE_LISTS], 0);
    ck_assert_uint_eq(r.forbidden, 1);
    ck_assert(!r.has[FR_JUDGE_REPEAT]);
    fr_judge_report_done(&r);
}
END_TEST

/* Weights grow as 2^(events / half-life) and are scaled down at 1e200: here after some 2,000 events. */
START_TEST(popularity_is_the_same_before_and_after_its_weights_are_scaled_down)
{
    static double naive[6];
    struct fr_judge_popular p;
    uint64_t x = 88172645463325252u;
    int moved = 0;

    memset(naive, 0, sizeof(naive));
    ck_assert_int_eq(fr_judge_popular_init(&p, 6, 3), FR_OK);
    for (int n = 0; n < 4500; n++) {
        uint32_t item, first = p.n > 0 ? p.order[0] : 6;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        item = (uint32_t)(x % 6);
        for (int k = 0; k < 6; k++)
            naive[k] *= exp2(-1.0 / 3);
        naive[item] += 1;
        fr_judge_popular_add(&p, item);
        moved += p.order[0] != first;
        for (uint32_t r = 1; r < p.n; r++)
            ck_assert_msg(naive[p.order[r - 1]] > naive[p.order[r]] * (1 - 1e-9), "event %d, place %u", n, r);
        ck_assert_double_le(p.weight, 1e201);
    }
    ck_assert_int_gt(moved, 100);
    fr_judge_popular_done(&p);
}
END_TEST

START_TEST(baselines_by_hand)
{
    struct fr_judge_input in = input(NULL, NULL, NULL);
    struct fr_judge_opts o = options();
    struct fr_judge_report r;

    o.n = 1;
    o.popular_half_life = 1e9;
    r = judge(&in, &o);
    ck_assert(!r.has[FR_JUDGE_LISTS]);
    /* newest first of the user's own: 0, 1, 2, 3 against the labels 2, 0, 3, 2: never at place 1 */
    ck_assert_uint_eq(r.all.hits[FR_JUDGE_REPEAT], 0);
    fr_judge_report_done(&r);
    o.n = 2; /* event 3: own items 3, 2: a hit at place 2 */
    r = judge(&in, &o);
    ck_assert_uint_eq(r.all.hits[FR_JUDGE_REPEAT], 1 + 1); /* and event 1: own item 1, filled with 0 */
    ck_assert_uint_eq(r.known.labels, 0);
    ck_assert_uint_eq(r.fresh.labels, 4);
    ck_assert_uint_eq(r.history[0].labels, 2);
    ck_assert_uint_eq(r.history[1].labels, 1);
    ck_assert_uint_eq(r.history[2].labels, 1);
    fr_judge_report_done(&r);
    o.from_event = 4; /* labels 4 and 5, of users known by then */
    o.segments = 2;
    r = judge(&in, &o);
    ck_assert_uint_eq(r.all.labels, 2);
    ck_assert_uint_eq(r.known.labels, 2);
    ck_assert_uint_eq(r.n_segments, 2);
    ck_assert_uint_eq(r.segment[0].labels, 1);
    ck_assert_uint_eq(r.segment[1].labels, 1);
    fr_judge_report_done(&r);
}
END_TEST

START_TEST(wrong_input_is_refused)
{
    struct fr_judge_input in = input(no_lists, NULL, NULL);
    struct fr_judge_opts o = options();
    struct fr_judge_report r;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};

    o.n = FR_JUDGE_N_MAX + 1;
    ck_assert_int_eq(fr_judge_run(&in, &o, &r, &fault), FR_EINVAL);
    o = options();
    o.popular_half_life = (double)NAN;
    ck_assert_int_eq(fr_judge_run(&in, &o, &r, &fault), FR_EINVAL);
    o = options();
    in.n_items = 3;
    ck_assert_int_eq(fr_judge_run(&in, &o, &r, &fault), FR_EINVAL);
    in.n_events = 0;
    ck_assert_int_eq(fr_judge_run(&in, &o, &r, &fault), FR_EINVAL);
    in = input(no_lists, NULL, NULL);
    o.segment_ms = 1; /* 2001 segments are fine, 5000 are not */
    ck_assert_int_eq(fr_judge_run(&in, &o, &r, &fault), FR_OK);
    fr_judge_report_done(&r);
}
END_TEST

/* ---- baselines alone ---- */

START_TEST(popularity_decays_and_survives_rescaling)
{
    struct fr_judge_popular p;
    uint32_t mark[2][3] = {{0}};
    struct fr_judge_filter none = {mark[0], 1}, in_list = {mark[1], 0};
    struct fr_judge_list list;

    ck_assert_int_eq(fr_judge_popular_init(&p, 3, 1.0), FR_OK);
    fr_judge_popular_add(&p, 0);
    fr_judge_popular_add(&p, 0);
    fr_judge_popular_add(&p, 1); /* half-life of one event: 1 against 1/2 + 1/4 */
    for (int i = 0; i < 2000; i++)
        fr_judge_popular_add(&p, 2); /* 2^2000: past any double without rescaling */
    memset(&list, 0, sizeof(list));
    fr_judge_popular_fill(&p, &none, &in_list, 3, &list);
    ck_assert_int_eq(list.n, 3);
    ck_assert_uint_eq(list.item[0], 2);
    ck_assert_uint_eq(list.item[1], 1);
    ck_assert_uint_eq(list.item[2], 0);
    fr_judge_popular_done(&p);
}
END_TEST

START_TEST(rules_sum_over_recent_items)
{
    struct fr_judge_rules r;
    uint32_t mark[5] = {0};
    struct fr_judge_filter none = {mark, 1};
    static const uint32_t recent[] = {1, 0};
    struct fr_judge_list list;

    ck_assert_int_eq(fr_judge_rules_init(&r, 5), FR_OK);
    ck_assert_int_eq(fr_judge_rules_add(&r, 0, 2, 1.0), FR_OK);
    ck_assert_int_eq(fr_judge_rules_add(&r, 0, 2, 0.5), FR_OK);
    ck_assert_int_eq(fr_judge_rules_add(&r, 1, 3, 0.7), FR_OK);
    ck_assert_int_eq(fr_judge_rules_add(&r, 1, 4, 0.7), FR_OK);
    fr_judge_rules_list(&r, recent, 2, &none, 5, &list); /* 2: 1.5 / 2; 3 and 4: 0.7, lower number first */
    ck_assert_int_eq(list.n, 3);
    ck_assert_uint_eq(list.item[0], 2);
    ck_assert_double_eq_tol(list.score[0], 0.75, 1e-12);
    ck_assert_uint_eq(list.item[1], 3);
    ck_assert_uint_eq(list.item[2], 4);
    mark[2] = 1;
    fr_judge_rules_list(&r, recent, 2, &none, 1, &list);
    ck_assert_int_eq(list.n, 1);
    ck_assert_uint_eq(list.item[0], 3);
    fr_judge_rules_done(&r);
}
END_TEST

START_TEST(intervals_hold_the_mean_and_shrink_with_users)
{
    double width[2];

    for (int k = 0; k < 2; k++) {
        uint32_t users = k == 0 ? 50 : 5000;
        struct fr_judge_bootstrap b;
        struct fr_judge_interval hr[1], mrr[1];

        ck_assert_int_eq(fr_judge_bootstrap_init(&b, users, 1), FR_OK);
        for (uint32_t u = 0; u < users; u++) {
            int place = u % 4 == 0 ? 2 : 0; /* HR .25, MRR .125 */
            fr_judge_bootstrap_add(&b, u, &place);
        }
        fr_judge_bootstrap_run(&b, 400, 1, hr, mrr);
        ck_assert_double_lt(hr[0].low, 0.25);
        ck_assert_double_gt(hr[0].high, 0.25);
        ck_assert_double_lt(mrr[0].low, 0.125);
        ck_assert_double_gt(mrr[0].high, 0.125);
        width[k] = hr[0].high - hr[0].low;
        fr_judge_bootstrap_done(&b);
    }
    ck_assert_double_lt(width[1], width[0] / 5); /* a hundred times the users: a tenth */
}
END_TEST

/* ---- messages ---- */

static enum fr_err ev(struct fr_judge_stream *js, int p, int64_t o, const char *json)
{
    return fr_judge_stream_event(js, p, o, -1, fr_str_z(json), NULL);
}

START_TEST(expected_lists_that_never_come_are_misses)
{
    for (int expect = 0; expect < 2; expect++) {
        struct fr_judge_stream *js;
        struct fr_judge_input in;
        struct fr_judge_opts o;
        struct fr_judge_report r;

        ck_assert_int_eq(fr_judge_stream_new(types, &js), FR_OK);
        ck_assert_int_eq(ev(js, 0, 0, "{\"type\":\"click\",\"user_id\":\"a\",\"item_id\":\"x\",\"ts\":1}"), FR_OK);
        ck_assert_int_eq(ev(js, 0, 1, "{\"type\":\"click\",\"user_id\":\"a\",\"item_id\":\"y\",\"ts\":2}"), FR_OK);
        if (expect)
            fr_judge_stream_expect_lists(js);
        ck_assert_int_eq(fr_judge_stream_finish(js, FR_JUDGE_MATCH_AUTO, &in), FR_OK);
        fr_judge_opts_init(&o);
        ck_assert_int_eq(fr_judge_run(&in, &o, &r, NULL), FR_OK);
        ck_assert_int_eq(r.has[FR_JUDGE_LISTS], expect);
        ck_assert_uint_eq(r.lists, 0);
        ck_assert_uint_eq(r.missing, 1); /* of the one label, whether the row is shown or not */
        fr_judge_report_done(&r);
        fr_judge_stream_free(js);
    }
}
END_TEST

START_TEST(messages_are_merged_joined_and_counted)
{
    struct fr_judge_stream *js;
    const struct fr_judge_stream_counts *c;
    struct fr_judge_input in;

    ck_assert_int_eq(fr_judge_stream_new(types, &js), FR_OK);
    ck_assert_int_eq(ev(js, 0, 0, "{\"type\":\"click\",\"user_id\":\"a\",\"item_id\":\"x\",\"ts\":10,\"event_id\":\"1\"}"), FR_OK);
    ck_assert_int_eq(ev(js, 0, 1, "{\"type\":\"click\",\"user_id\":\"a\",\"item_id\":\"y\",\"ts\":30,\"event_id\":\"2\"}"), FR_OK);
    ck_assert_int_eq(ev(js, 0, 2, "{\"type\":\"click\",\"user_id\":\"b\",\"item_id\":\"y\",\"ts\":5,\"event_id\":\"3\"}"), FR_OK);
    ck_assert_int_eq(ev(js, 1, 0, "{\"type\":\"click\",\"user_id\":\"a\",\"item_id\":5,\"ts\":20}"), FR_OK);
    ck_assert_int_eq(ev(js, 1, 1, "{\"type\":\"click\",\"user_id\":\"c\",\"item_id\":\"z\",\"ts\":40,\"event_id\":\"2\"}"), FR_OK);
    ck_assert_int_eq(ev(js, 1, 2, "{\"type\":\"impressions\",\"user_id\":\"a\",\"items\":[],\"ts\":40}"), FR_OK);
    ck_assert_int_eq(ev(js, 1, 3, "{\"type\":\"click\",\"user_id\":\"a\",\"item_id\":\"x\"}"), FR_ESCHEMA);
    ck_assert_int_eq(ev(js, 1, 4, "[]"), FR_ESCHEMA);
    ck_assert_int_eq(ev(js, 1, 5, "{\"user_id\":\"a\",\"item_id\":\"x\",\"ts\":1}"), FR_ESCHEMA);
    ck_assert_int_eq(ev(js, 70000, 0, "{}"), FR_EFULL);
    ck_assert_int_eq(fr_judge_stream_list(js, FR_STR_LIT("{\"items\":[{\"item_id\":\"y\"}],\"trigger\":{\"partition\":0,\"offset\":0}}"), NULL), FR_OK);
    ck_assert_int_eq(fr_judge_stream_list(js, FR_STR_LIT("{\"items\":[{\"item_id\":\"q\"}],\"trigger\":{\"partition\":9,\"offset\":9,\"event_id\":\"1\"}}"), NULL), FR_OK);
    ck_assert_int_eq(fr_judge_stream_list(js, FR_STR_LIT("{\"items\":[],\"trigger\":{\"partition\":1,\"offset\":77}}"), NULL), FR_OK);
    ck_assert_int_eq(fr_judge_stream_list(js, FR_STR_LIT("{\"items\":[],\"trigger\":null}"), NULL), FR_OK);
    ck_assert_int_eq(fr_judge_stream_list(js, FR_STR_LIT("{\"items\":[{}],\"trigger\":{\"partition\":1,\"offset\":0}}"), NULL), FR_ESCHEMA);
    ck_assert_int_eq(fr_judge_stream_finish(js, FR_JUDGE_MATCH_AUTO, &in), FR_OK);
    ck_assert_uint_eq(in.n_events, 4);
    /* by the newest time of the partition so far: (0,0) 10, (1,0) 20, (0,1) 30, (0,2) 30 */
    ck_assert_int_eq(in.events[0].ts, 10);
    ck_assert_int_eq(in.events[1].ts, 20);
    ck_assert_int_eq(in.events[2].ts, 30);
    ck_assert_int_eq(in.events[3].ts, 5);
    ck_assert_uint_eq(in.n_users, 3); /* the users a of two partitions are two */
    ck_assert_uint_ne(in.events[0].user, in.events[1].user);
    ck_assert_uint_eq(in.list_of[0], 0);
    ck_assert_uint_eq(in.list_of[1], FR_JUDGE_NONE);
    c = fr_judge_stream_counts(js);
    ck_assert_uint_eq(c->events_bad, 3);
    ck_assert_uint_eq(c->events_other, 1);
    ck_assert_uint_eq(c->events_again, 1);
    ck_assert_uint_eq(c->lists_again, 1); /* by its event_id it is event 0's second */
    ck_assert_uint_eq(c->lists_lost, 1);
    ck_assert_uint_eq(c->lists_asked, 1);
    ck_assert_uint_eq(c->lists_bad, 1);
    ck_assert_int_eq(c->skew_ms, 25);
    fr_judge_stream_free(js);
}
END_TEST

START_TEST(the_report_is_json)
{
    struct fr_judge_input in = input(NULL, NULL, NULL);
    struct fr_judge_opts o = options();
    struct fr_judge_report r;
    const struct fr_json *root, *v;
    struct fr_arena *ar;
    struct fr_buf b;

    o.bootstrap = 20;
    r = judge(&in, &o);
    fr_buf_init(&b);
    fr_judge_json(&b, &r, NULL);
    ck_assert_int_eq(fr_buf_err(&b), FR_OK);
    ck_assert_int_eq(fr_arena_new(4096, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_json_parse(ar, fr_buf_str(&b), &root, NULL), FR_OK);
    ck_assert_int_eq(fr_json_get(root, "labels")->i, 4);
    v = fr_json_get(fr_json_get(root, "systems"), "popular");
    ck_assert_ptr_nonnull(fr_json_get(v, "hr@20"));
    ck_assert_ptr_nonnull(fr_json_get(v, "hr_interval"));
    ck_assert_ptr_null(fr_json_get(fr_json_get(root, "systems"), "lists"));
    fr_arena_free(ar);
    fr_buf_done(&b);
    fr_judge_report_done(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli_judge");
    TCase *tc = tcase_create("judge");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, popularity_is_the_same_before_and_after_its_weights_are_scaled_down);
    tcase_add_test(tc, a_label_is_the_users_next_event);
    tcase_add_test(tc, strict_wants_a_later_time_and_the_newest_list_before_it);
    tcase_add_test(tc, the_repeat_policy_strikes_from_every_list);
    tcase_add_test(tc, baselines_by_hand);
    tcase_add_test(tc, wrong_input_is_refused);
    tcase_add_test(tc, popularity_decays_and_survives_rescaling);
    tcase_add_test(tc, rules_sum_over_recent_items);
    tcase_add_test(tc, intervals_hold_the_mean_and_shrink_with_users);
    tcase_add_test(tc, expected_lists_that_never_come_are_misses);
    tcase_add_test(tc, messages_are_merged_joined_and_counted);
    tcase_add_test(tc, the_report_is_json);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
