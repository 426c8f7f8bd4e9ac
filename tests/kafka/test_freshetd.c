/*
 * tests/kafka/test_freshetd.c - the real daemon on a real Kafka and a real Redis: a click becomes a
 * recommendation, killed at random and named moments, with the state compared to a replay.
 * ctest: labels proc
 * ctest: timeout 600
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/kafka_world.h"

#define KILLS 8

static void setup(void)
{
    world_open(NULL, REDIS_AOF_NO);
}

START_TEST(freshetd__clicks__recommendations_lineage_and_http)
{
    static char body[200000];
    struct fr_rng rng;

    fr_rng_seed(&rng, 1);
    world_catalogue();
    world_start(NULL);
    ck_assert_msg(world_wait_ready(60000), "%s", world_log());
    for (int i = 0; i < 300; i++)
        world_event(&rng);
    world_flush();
    world_settle();
    ck_assert_int_eq(world_get("/healthz", body, sizeof(body)), 200);
    ck_assert_int_eq(world_get("/metrics", body, sizeof(body)), 200);
    ck_assert_ptr_nonnull(strstr(body, "freshet_recommendation_freshness_seconds_bucket"));
    ck_assert_ptr_nonnull(strstr(body, "freshet_events_total{result=\"applied\"}"));
    ck_assert_ptr_nonnull(strstr(body, "freshet_input_lag_records{topic=\"events\""));
    ck_assert_int_eq(world_get("/v1/users/u1", body, sizeof(body)), 200);
    ck_assert_ptr_nonnull(strstr(body, "\"u1\""));
    ck_assert_int_eq(world_get("/v1/users/nobody", body, sizeof(body)), 404);
    ck_assert_int_eq(world_get("/nowhere", body, sizeof(body)), 404);
    (void)proc_signal(world_daemon(), SIGTERM);
    ck_assert_int_eq(proc_wait(world_daemon(), 30000), 0);
}
END_TEST

/* ---- outputs made again ---- */

static uint64_t rec_id[400000];
static int n_ids;

static void take_id(void *ctx, const struct fr_record *rec)
{
    const char mark[] = "\"rec_id\":\"";
    char id[17] = "";

    (void)ctx;
    for (size_t i = 0; i + sizeof(mark) + 16 <= rec->value.n && id[0] == '\0'; i++)
        if (memcmp(rec->value.p + i, mark, sizeof(mark) - 1) == 0)
            memcpy(id, rec->value.p + i + sizeof(mark) - 1, 16);
    ck_assert_int_lt(n_ids, (int)(sizeof(rec_id) / sizeof(rec_id[0])));
    rec_id[n_ids++] = strtoull(id, NULL, 16);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Lists in the topic so far that repeat a rec_id. */
static int repeats(void)
{
    int n = 0;

    n_ids = 0;
    (void)world_read(FR_TOPIC_RECOMMENDATIONS, take_id, NULL);
    qsort(rec_id, (size_t)n_ids, sizeof(rec_id[0]), by_value);
    for (int i = 1; i < n_ids; i++)
        n += rec_id[i] == rec_id[i - 1];
    return n;
}

/* Say where the new take found R and C. @return does a partition have outputs to make again? */
static bool say_offsets(int kill, const char *where)
{
    struct world_offsets o;
    bool behind = false;

    world_offsets(&o);
    printf("kill %2d (%s):", kill, where);
    for (int p = 0; p < WORLD_PARTITIONS; p++) {
        if (o.r[p] < 0)
            continue;
        printf("  %d: R=%lld C=%lld", p, (long long)o.r[p], (long long)o.c[p]);
        behind = behind || o.c[p] < o.r[p];
    }
    printf("%s\n", o.taken == 0 ? "  no partition was taken before the next kill" : "");
    return behind;
}

/* $FRESHET_KILLS kills (8), five of them at named points, until five of them found C < R. */
START_TEST(freshetd__killed_while_input_flows__features_once_every_trigger_covered)
{
    static const char *const points[] = {"after_commit:3", "after_produce:2", "before_commit:2", "in_take:2", "after_commit:9"};
    const char *asked = getenv("FRESHET_KILLS");
    int kills = asked == NULL ? KILLS : (int)strtol(asked, NULL, 10), behind = 0, again, k;
    struct fr_rng rng;

    fr_rng_seed(&rng, asked == NULL ? 2 : 25);
    world_catalogue();
    world_start(points[0]);
    for (k = 1; k <= kills || (asked != NULL && behind < 5 && k < 2 * kills); k++) {
        const char *was = k <= 5 ? points[k - 1] : "random moment", *next = k < 5 ? points[k] : NULL;
        int64_t until = proc_now_ms() + 600 + (int64_t)fr_rng_below(&rng, 1500);

        while (proc_now_ms() < until && proc_running(world_daemon()))
            world_events(&rng, 5, 10);
        world_kill();
        again = repeats();
        world_start(next);
        (void)world_wait_taken(20000);
        behind += say_offsets(k, was);
        printf("          lists so far %d, of them made again %d\n", n_ids, again);
        (void)fflush(stdout);
    }
    world_kill();
    world_flush();
    world_start(NULL);
    world_settle();
    again = repeats();
    printf("%d kills, %d of them with C < R in a partition; %d lists, %d made again\n", k, behind, n_ids, again);
    if (asked != NULL)
        ck_assert_int_ge(behind, 5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("freshetd");
    TCase *tc = tcase_create("kafka");
    SRunner *sr;
    int failed, rc = kafka_server_require("kafka.freshetd");

    if (rc != 0)
        return rc;
    if (!redis_server_available()) {
        printf("SKIP kafka.freshetd: no redis-server program\n");
        return 77;
    }
    tcase_add_checked_fixture(tc, setup, world_close);
    tcase_set_timeout(tc, getenv("FRESHET_KILLS") == NULL ? 180 : 1800);
    tcase_add_test(tc, freshetd__clicks__recommendations_lineage_and_http);
    tcase_add_test(tc, freshetd__killed_while_input_flows__features_once_every_trigger_covered);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
