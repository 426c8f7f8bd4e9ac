/*
 * tests/unit/test_pipeline_group.c - daemon/pipeline/group: a changed partition count stops reading, and
 * the same count lets it go on; a reload's configuration reaches the lane between batches.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/pipeline/spec_config.h"
#include "tests/support/lane_rig.h"

static struct rig r;

static void setup(void)
{
    static const char *const set[] = {"recommend.repeat=allow", "state.item_flush_ms=10", NULL};

    rig_init(&r, 4, false, set);
    for (int i = 0; i < 5; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "i%d", i);
        rig_item(&r, id);
    }
    rig_start(&r, 0);
}

static void teardown(void)
{
    rig_done(&r);
}

START_TEST(check_count__changed_and_back__refuses_with_the_remedy_then_takes)
{
    struct fr_group *g = &r.in[0].group;
    char reason[FR_FAULT_MSG];

    rig_give(&r, 0);
    (void)rig_event(&r, "u1", "e1", "click", "i1", 1000);
    rig_settle(&r, 0, 2000);
    ck_assert(!fr_group_check_count(g, 0));
    r.eng.n_partitions = 3; /* as if the log's four were news */
    ck_assert(fr_group_check_count(g, 0));
    ck_assert(!fr_group_check_count(g, 0)); /* once */
    fr_group_reason(g, reason);
    ck_assert_ptr_nonnull(strstr(reason, "has 4 partitions now, the state was made with 3"));
    ck_assert_ptr_nonnull(strstr(reason, "kafka.group"));
    rig_give(&r, 0);
    (void)rig_event(&r, "u1", "e2", "click", "i2", 2000);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(rig_step(&r, 0), 0); /* nothing is read */
    ck_assert_int_eq(atomic_load(&g->refused), 4);
    r.eng.n_partitions = 4;
    ck_assert(fr_group_check_count(g, 0));
    rig_give(&r, 0);
    rig_settle(&r, 0, 2000);
    ck_assert_int_eq(atomic_load(&g->refused), 0);
    fr_group_reason(g, reason);
    ck_assert_str_eq(reason, "");
    ck_assert_uint_eq(rig_counter(&r, 0, FR_C_EVENTS_APPLIED), 2);
}
END_TEST

/* Recommendations in all partitions of the output. */
static int lists(void)
{
    int n = 0;

    for (int32_t p = 0; p < 4; p++)
        for (int64_t o = 0; rig_output(&r, FR_TOPIC_RECOMMENDATIONS, p, o) != NULL; o++)
            n++;
    return n;
}

/* A lane's engine follows `live`; one list is made by what it began with. */
static void follow(const struct fr_live *_Atomic *live)
{
    rig_crash(&r, 0);
    r.eng.live = live; /* lanes copy the engine when they are made */
    rig_start(&r, 0);
    rig_give(&r, 0);
    (void)rig_event(&r, "u1", "e1", "click", "i1", 1000);
    rig_settle(&r, 0, 2000);
    ck_assert_int_eq(lists(), 1);
}

/* Triggers are purchases only. */
static struct fr_live purchases(struct fr_config *cfg)
{
    struct fr_spec *spec;

    ck_assert_int_eq(fr_config_init(cfg, NULL), FR_OK);
    ck_assert_int_eq(fr_config_set(cfg, "recommend.repeat=allow", NULL), FR_OK);
    ck_assert_int_eq(fr_config_set(cfg, "recommend.on=purchase", NULL), FR_OK);
    ck_assert_int_eq(fr_spec_from_config(cfg, &spec, NULL), FR_OK);
    return (struct fr_live){cfg, spec};
}

static void unfollow(struct fr_config *cfg, struct fr_live *pub)
{
    rig_stop(&r, 0);
    r.eng.live = NULL;
    fr_spec_free((struct fr_spec *)(uintptr_t)pub->spec);
    fr_config_done(cfg);
}

START_TEST(live__new_triggers_and_settings__taken_over_between_batches)
{
    const struct fr_live *_Atomic live = NULL;
    struct fr_config next;
    struct fr_live pub;

    follow(&live);
    pub = purchases(&next);
    atomic_store(&live, &pub);
    (void)rig_event(&r, "u1", "e2", "click", "i2", 2000);
    rig_settle(&r, 0, 2000);
    ck_assert_int_eq(lists(), 1);
    (void)rig_event(&r, "u1", "e3", "purchase", "i2", 3000);
    rig_settle(&r, 0, 2000);
    ck_assert_int_eq(lists(), 2);
    unfollow(&next, &pub);
}
END_TEST

static void *wait_for_records(void *lane)
{
    (void)fr_lane_step(lane, 20000);
    return NULL;
}

START_TEST(live__published_while_the_lane_waits__holds_for_what_comes_then)
{
    const struct fr_live *_Atomic live = NULL;
    struct fr_config next;
    struct fr_live pub;
    struct fr_lane_status was, now;
    pthread_t lane;

    follow(&live);
    pub = purchases(&next);
    fr_lane_peek(r.in[0].lane, &was);
    ck_assert_int_eq(pthread_create(&lane, NULL, wait_for_records, r.in[0].lane), 0);
    do
        fr_lane_peek(r.in[0].lane, &now);
    while (now.turns == was.turns); /* the turn has begun */
    atomic_store(&live, &pub);
    (void)rig_event(&r, "u1", "e2", "click", "i2", 2000);
    ck_assert_int_eq(pthread_join(lane, NULL), 0);
    rig_settle(&r, 0, 2000);
    ck_assert_int_eq(lists(), 1);
    unfollow(&next, &pub);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pipeline/group");
    TCase *tc = tcase_create("group");
    SRunner *sr;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, check_count__changed_and_back__refuses_with_the_remedy_then_takes);
    tcase_add_test(tc, live__new_triggers_and_settings__taken_over_between_batches);
    tcase_add_test(tc, live__published_while_the_lane_waits__holds_for_what_comes_then);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
