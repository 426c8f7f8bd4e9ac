/*
 * tests/kafka/test_faults.c - what the daemon stands on fails while input flows: Redis is killed and comes
 * back, also without its last writes; the broker is killed and comes back. The daemon is never restarted,
 * nothing is lost, and the time until lists flow again is printed.
 * ctest: labels proc
 * ctest: timeout 600
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/kafka_world.h"

static struct fr_rng rng;
static struct kafka_server *broker;
static int lists_before;

static void open_world(enum redis_aof aof, bool own_broker)
{
    fr_rng_seed(&rng, 31);
    broker = own_broker ? kafka_server_start(NULL) : NULL;
    ck_assert(!own_broker || broker != NULL);
    world_open(own_broker ? kafka_server_bootstrap(broker) : NULL, aof);
    world_catalogue();
    world_start(NULL);
    ck_assert_msg(world_wait_ready(60000), "%s", world_log());
}

static void close_world(void)
{
    world_close();
    kafka_server_free(broker);
    broker = NULL;
}

static int lists_now(void)
{
    return world_read(FR_TOPIC_RECOMMENDATIONS, NULL, NULL);
}

/* Go on producing until a list appears that was not there; milliseconds since `start`. */
static int64_t time_to_new_list(int64_t start)
{
    int64_t end = start + proc_deadline_ms(90000);

    do {
        world_events(&rng, 5, 10);
        ck_assert_msg(proc_now_ms() < end, "no list came after the fault; daemon says:\n%s",
                      world_log());
        ck_assert_msg(proc_running(world_daemon()), "the daemon has ended:\n%s", world_log());
    } while (lists_now() <= lists_before);
    return proc_now_ms() - start;
}

static void finish(void)
{
    ck_assert_msg(proc_running(world_daemon()), "the daemon has ended:\n%s", world_log());
    world_flush();
    world_settle();
    ck_assert(world_wait_ready(30000));
    (void)proc_signal(world_daemon(), SIGTERM);
    ck_assert_int_eq(proc_wait(world_daemon(), 30000), 0);
}

START_TEST(redis__killed_twice_with_aof__nothing_lost)
{
    open_world(REDIS_AOF_ALWAYS, false);
    for (int i = 0; i < 2; i++) {
        world_events(&rng, 400, 5);
        ck_assert(redis_server_kill9(world_redis()));
        world_events(&rng, 200, 10);
        lists_before = lists_now();
        ck_assert(redis_server_restart(world_redis()));
        printf("redis killed and back (AOF always): lists again after %lld ms\n", (long long)time_to_new_list(proc_now_ms()));
    }
    finish();
}
END_TEST

/* The append-only file is cut: records, R, V and token go back together, and the stream is read again. */
START_TEST(redis__loses_its_last_writes__taken_again_from_r)
{
    open_world(REDIS_AOF_EVERYSEC, false);
    for (int i = 0; i < 3; i++) {
        int64_t keep;

        world_events(&rng, 300, 5);
        keep = redis_server_aof_bytes(world_redis());
        ck_assert_int_gt(keep, 0);
        world_events(&rng, 300, 5);
        ck_assert(redis_server_kill9(world_redis()));
        ck_assert_int_gt(redis_server_aof_bytes(world_redis()), keep);
        ck_assert(redis_server_cut_aof(world_redis(), keep));
        world_events(&rng, 100, 10);
        lists_before = lists_now();
        ck_assert(redis_server_restart(world_redis()));
        printf("redis back without its last %s: lists again after %lld ms\n", "second and more",
               (long long)time_to_new_list(proc_now_ms()));
    }
    finish();
}
END_TEST

START_TEST(redis__hangs__goes_on_when_it_wakes)
{
    open_world(REDIS_AOF_NO, false);
    world_events(&rng, 300, 5);
    ck_assert(redis_server_freeze(world_redis()));
    world_events(&rng, 300, 10);
    proc_pause_ms(3000); /* longer than redis.command_timeout_ms */
    lists_before = lists_now();
    ck_assert(redis_server_thaw(world_redis()));
    printf("redis hung for over 3 s and awake: lists again after %lld ms\n", (long long)time_to_new_list(proc_now_ms()));
    finish();
}
END_TEST

START_TEST(broker__killed_and_back__nothing_lost)
{
    int64_t down;

    open_world(REDIS_AOF_NO, true);
    world_events(&rng, 400, 5);
    world_flush();
    lists_before = lists_now();
    ck_assert(kafka_server_kill9(broker));
    down = proc_now_ms();
    world_events(&rng, 200, 10);
    proc_pause_ms(1000);
    ck_assert(kafka_server_restart(broker));
    down = proc_now_ms() - down;
    printf("broker killed and back after %lld ms: lists again after %lld ms\n", (long long)down,
           (long long)time_to_new_list(proc_now_ms()));
    world_events(&rng, 200, 5);
    finish();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("faults");
    TCase *tc = tcase_create("kafka");
    SRunner *sr;
    int failed, rc = kafka_server_require("kafka.faults");

    if (rc != 0)
        return rc;
    if (!redis_server_available()) {
        printf("SKIP kafka.faults: no redis-server program\n");
        return 77;
    }
    tcase_add_checked_fixture(tc, NULL, close_world);
    tcase_set_timeout(tc, 240);
    tcase_add_test(tc, redis__killed_twice_with_aof__nothing_lost);
    tcase_add_test(tc, redis__loses_its_last_writes__taken_again_from_r);
    tcase_add_test(tc, redis__hangs__goes_on_when_it_wakes);
    tcase_add_test(tc, broker__killed_and_back__nothing_lost);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
