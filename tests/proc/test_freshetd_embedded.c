/*
 * tests/proc/test_freshetd_embedded.c - the real daemon with its embedded broker: other processes are
 * its clients, clicks become recommendations, nothing stays behind.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/arena.h"
#include "daemon/stream/recommendation_codec.h"
#include "tests/support/daemon_rig.h"

#define USERS 20

static struct daemon_rig d;

static void setup(void)
{
    daemon_rig_init(&d, false);
}

static void teardown(void)
{
    daemon_rig_done(&d);
}

static struct fr_arena *ar;
static int bad_lists;

static void look_at_list(void *ctx, const struct fr_record *rec)
{
    struct fr_recommendation r;
    struct fr_codec_error ce;

    (void)ctx;
    if (fr_recommendation_decode(ar, rec->value, &r, &ce) != FR_OK || r.n_items == 0 ||
        !fr_str_eq(rec->key, r.user_id) || r.ts_emitted < r.ts_received)
        bad_lists++;
}

static void clicks(const char *round)
{
    for (int i = 0; i < USERS; i++) {
        char user[16], id[32], item[16];
        (void)snprintf(user, sizeof(user), "u%d", i);
        (void)snprintf(id, sizeof(id), "%s-%d", round, i);
        (void)snprintf(item, sizeof(item), "i%d", i % 10);
        daemon_click(&d, user, id, item);
    }
    daemon_flush(&d);
}

START_TEST(embedded__clicks_of_another_process__recommendations_then_clean_end)
{
    static const char *const set[] = {"recommend.repeat=allow", NULL};
    uint16_t port;

    daemon_start(&d, set);
    daemon_wait_ready(&d);
    ck_assert_ptr_nonnull(strstr(daemon_log(&d), "for trying out"));
    ck_assert_int_eq(strncmp(d.brokers, "127.0.0.1:", 10), 0);
    daemon_catalogue(&d, 30);
    ck_assert(daemon_get_until(&d, "/metrics", 200, "freshet_catalogue_items 30\n", 30000));
    clicks("a");
    ck_assert_msg(daemon_read_until(&d, FR_TOPIC_RECOMMENDATIONS, USERS, 30000), "%s", daemon_log(&d));
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    (void)daemon_read(&d, FR_TOPIC_RECOMMENDATIONS, look_at_list, NULL);
    fr_arena_free(ar);
    ck_assert_int_eq(bad_lists, 0);
    ck_assert_int_eq(daemon_get(&d, "/v1/users/u3"), 200);
    port = (uint16_t)strtol(d.brokers + 10, NULL, 10);
    ck_assert(proc_wait_port(port, 1000));
    daemon_stop(&d);
    ck_assert(!proc_wait_port(port, 50));
    ck_assert(!proc_wait_port((uint16_t)d.http_port, 50));
}
END_TEST

START_TEST(embedded__sigint__ends_with_0)
{
    daemon_start(&d, NULL);
    daemon_wait_ports(&d); /* before the group has given anything */
    (void)proc_signal(d.proc, SIGINT);
    ck_assert_int_eq(proc_wait(d.proc, 30000), 0);
}
END_TEST

START_TEST(embedded__redis_of_an_older_log__refused_with_the_remedy)
{
    static const char *const other[] = {"kafka.group=another", NULL};

    daemon_start(&d, NULL);
    daemon_wait_ready(&d);
    daemon_catalogue(&d, 5);
    clicks("a");
    ck_assert(daemon_get_until(&d, "/v1/users/u3", 200, NULL, 30000));
    (void)proc_signal(d.proc, SIGKILL); /* its log is gone, Redis is not */
    daemon_start(&d, NULL);
    ck_assert_int_eq(proc_wait(d.proc, 30000), 1);
    ck_assert_msg(strstr(daemon_log(&d), "older embedded log") != NULL && strstr(daemon_log(&d), "kafka.group") != NULL,
                  "%s", daemon_log(&d));
    ck_assert_msg(strstr(daemon_log(&d), "embedded_brokers=") == NULL, "%s", daemon_log(&d));
    daemon_start(&d, other);
    daemon_wait_ready(&d);
    daemon_stop(&d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("freshetd/embedded");
    TCase *tc = tcase_create("proc");
    SRunner *sr;
    int failed;

    if (!redis_server_available()) {
        printf("SKIP proc.freshetd_embedded: no redis-server program\n");
        return 77;
    }
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, embedded__clicks_of_another_process__recommendations_then_clean_end);
    tcase_add_test(tc, embedded__sigint__ends_with_0);
    tcase_add_test(tc, embedded__redis_of_an_older_log__refused_with_the_remedy);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
