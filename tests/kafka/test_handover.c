/*
 * tests/kafka/test_handover.c - two daemons of one group while input flows: a second one joins and takes
 * partitions, the first ends on SIGTERM and the second takes the rest, and so on around. The
 * state equals the replay and every trigger is covered.
 * ctest: labels proc
 * ctest: timeout 300
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/kafka_world.h"

#define JOIN_MS 60000

static struct fr_rng rng;

static void setup(void)
{
    fr_rng_seed(&rng, 47);
    /* static members do not say that they leave: partitions move when the session is over */
    ck_assert_int_eq(setenv("FRESHET_KAFKA_SESSION_TIMEOUT_MS", "6000", 1), 0);
    world_open(NULL, REDIS_AOF_NO);
    world_catalogue();
    world_start(NULL);
    ck_assert_msg(world_wait_ready(60000), "%s", world_log());
}

static int taken(void)
{
    struct world_offsets o;

    world_offsets(&o);
    return o.taken;
}

/* Input flows until the daemon has once taken at least n partitions. */
static int64_t flow_until_taken(int n)
{
    int64_t start = proc_now_ms(), end = start + proc_deadline_ms(JOIN_MS);

    while (taken() < n) {
        world_events(&rng, 5, 10);
        ck_assert_msg(proc_running(world_daemon()), "the daemon has ended:\n%s", world_log());
        ck_assert_msg(proc_now_ms() < end, "%d of %d partitions were taken:\n%s", taken(), n, world_log());
    }
    return proc_now_ms() - start;
}

/* A second daemon joins; the first ends; the second has it all. The present place is then the second's. */
static void hand_over(void)
{
    int64_t joined, ended;

    world_other();
    world_start(NULL);
    joined = flow_until_taken(1);
    world_events(&rng, 200, 5);
    world_other();
    ck_assert_msg(proc_running(world_daemon()), "the first daemon has ended:\n%s", world_log());
    ended = proc_now_ms();
    (void)proc_signal(world_daemon(), SIGTERM);
    ck_assert_msg(proc_wait(world_daemon(), 30000) == 0, "%s", world_log());
    ended = proc_now_ms() - ended;
    world_kill(); /* releases it */
    world_other();
    printf("a second daemon joins: partitions after %lld ms; the first ends in %lld ms; ", (long long)joined,
           (long long)ended);
    printf("the second has all after %lld ms\n", (long long)flow_until_taken(WORLD_PARTITIONS));
    (void)fflush(stdout);
}

START_TEST(two_daemons__rolling_restart__nothing_lost)
{
    world_events(&rng, 200, 5);
    for (int i = 0; i < 3; i++)
        hand_over();
    world_events(&rng, 200, 5);
    world_flush();
    world_settle();
    (void)proc_signal(world_daemon(), SIGTERM);
    ck_assert_int_eq(proc_wait(world_daemon(), 30000), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("handover");
    TCase *tc = tcase_create("kafka");
    SRunner *sr;
    int failed, rc = kafka_server_require("kafka.handover");

    if (rc != 0)
        return rc;
    if (!redis_server_available()) {
        printf("SKIP kafka.handover: no redis-server program\n");
        return 77;
    }
    tcase_add_checked_fixture(tc, setup, world_close);
    tcase_set_timeout(tc, 240);
    tcase_add_test(tc, two_daemons__rolling_restart__nothing_lost);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
