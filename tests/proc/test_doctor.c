/*
 * tests/proc/test_doctor.c - `freshet doctor` against private services: every problem it looks for, made
 * on purpose, is found with its remedy; exit codes; --json.
 */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/arena.h"
#include "daemon/base/cpu.h"
#include "daemon/base/json.h"
#include "models/gemm_core.h"
#include "tests/support/daemon_rig.h"

static struct daemon_rig d;
static char out[20000], brokers_set[300], redis_set[340];

static void setup(void)
{
    daemon_rig_init(&d, true);
    (void)snprintf(brokers_set, sizeof(brokers_set), "kafka.brokers=%s", d.brokers);
    (void)snprintf(redis_set, sizeof(redis_set), "redis.address=%s", d.redis_address);
}

static void teardown(void)
{
    daemon_rig_done(&d);
}

/* Run it with further --set values (NULL-terminated) and an environment; standard output is in `out`. */
static int doctor(bool json, const char *const *env, const char *const *set)
{
    const char *argv[40] = {FR_BUILD_DIR "/freshet", "doctor", "--set", brokers_set, "--set", redis_set};
    struct proc_opt opt = {.env = env};
    struct proc *p;
    int n = 6, status;

    if (json)
        argv[n++] = "--json";
    for (int i = 0; set != NULL && set[i] != NULL; i++) {
        argv[n++] = "--set";
        argv[n++] = set[i];
    }
    argv[n] = NULL;
    p = proc_spawn(argv, &opt);
    ck_assert_ptr_nonnull(p);
    status = proc_wait(p, 60000);
    (void)snprintf(out, sizeof(out), "%s", proc_output(p, 1, 0));
    proc_free(p);
    return status;
}

/* A line that begins so and holds `text`, and the next one holds the remedy. */
static void expect_problem(const char *check, const char *text, const char *remedy)
{
    char head[60];
    const char *line, *next, *end;

    (void)snprintf(head, sizeof(head), "PROBLEM   %-10s ", check);
    for (line = strstr(out, head); line != NULL; line = strstr(line + 1, head)) {
        next = strchr(line, '\n');
        ck_assert_ptr_nonnull(next);
        end = strchr(next + 1, '\n');
        ck_assert_ptr_nonnull(end);
        if (strstr(line, text) != NULL && strstr(line, text) < next && strstr(next, remedy) != NULL &&
            strstr(next, remedy) < end && strstr(next, "-> ") != NULL)
            return;
    }
    ck_abort_msg("no problem %s \"%s\" with remedy \"%s\" in:\n%s", check, text, remedy, out);
}

START_TEST(all_well__exit_0_and_no_problem)
{
    ck_assert_msg(doctor(false, NULL, NULL) == 0, "%s", out);
    ck_assert_ptr_null(strstr(out, "PROBLEM"));
    ck_assert_ptr_nonnull(strstr(out, "Redis' clock is 0."));
    ck_assert_ptr_nonnull(strstr(out, "maxmemory-policy noeviction"));
    ck_assert_ptr_nonnull(strstr(out, "events: as it should be"));
}
END_TEST

START_TEST(kafka__unreachable__named)
{
    char set[60];
    const char *sets[] = {set, NULL};

    (void)snprintf(set, sizeof(set), "kafka.brokers=127.0.0.1:%u", (unsigned)proc_free_port());
    ck_assert_int_eq(doctor(false, NULL, sets), 1);
    expect_problem("kafka", set + strlen("kafka.brokers="), "kafka.brokers");
    ck_assert_ptr_nonnull(strstr(out, "ok        redis")); /* the others are looked at all the same */
}
END_TEST

START_TEST(kafka__embedded__nothing_to_reach)
{
    static const char *const set[] = {"kafka.brokers=embedded", NULL};

    ck_assert_msg(doctor(false, NULL, set) == 0, "%s", out);
    ck_assert_ptr_nonnull(strstr(out, "inside freshetd"));
}
END_TEST

START_TEST(redis__unreachable__named)
{
    ck_assert(redis_server_stop(d.redis));
    ck_assert_int_eq(doctor(false, NULL, NULL), 1);
    expect_problem("redis", redis_server_socket(d.redis), "redis.address");
    ck_assert_ptr_nonnull(strstr(out, "ok        kafka"));
    ck_assert_ptr_nonnull(strstr(out, "ok        clock"));
}
END_TEST

static void redis_cli(const char *a, const char *b, const char *c, const char *e)
{
    const char *argv[] = {"redis-cli", "-s", redis_server_socket(d.redis), a, b, c, e, NULL};
    char text[200];

    ck_assert_msg(proc_run(argv, 10000, text, sizeof(text)) == 0 && strncmp(text, "OK", 2) == 0, "%s", text);
}

START_TEST(redis__evicts__named)
{
    redis_cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
    ck_assert_int_eq(doctor(false, NULL, NULL), 1);
    expect_problem("eviction", "allkeys-lru", "maxmemory-policy noeviction");
}
END_TEST

START_TEST(redis__no_permission__named)
{
    redis_cli("CONFIG", "SET", "requirepass", "a-secret-word");
    ck_assert_int_eq(doctor(false, NULL, NULL), 1);
    expect_problem("redis", "", "redis.password_file");
    ck_assert_ptr_null(strstr(out, "a-secret-word"));
}
END_TEST

START_TEST(blas__wrong_kernel_forced__named)
{
    static const char *const env[] = {"OPENBLAS_CORETYPE=Prescott", "FRESHET_OPENBLAS=keep", NULL};

    if (fr_cpu_openblas_core() == NULL || fr_gemm_core_rank(fr_cpu_openblas_core()) < 1)
        return; /* a machine on which that kernel is right */
    ck_assert_int_eq(doctor(false, env, NULL), 1);
    expect_problem("blas", "Prescott", "OPENBLAS_CORETYPE");
}
END_TEST

START_TEST(topics__unequal_counts__named)
{
    static const char *const set[] = {"topics.requests=narrow", NULL};

    ck_assert_int_eq(fr_kafka_embedded_create_topic(d.broker, "narrow", 2), FR_OK);
    ck_assert_int_eq(doctor(false, NULL, set), 1);
    expect_problem("partitions", "events has 4, narrow has 2", "--topic narrow --partitions 4");
}
END_TEST

START_TEST(topics__another_count_than_configured__fine_when_equal)
{
    static const char *const set[] = {"topics.partitions=7", NULL};

    ck_assert_msg(doctor(false, NULL, set) == 0, "%s", out);
}
END_TEST

START_TEST(models__no_such_bundle__named)
{
    static const char *const set[] = {"models.ranker=/nonexistent/bundle", NULL};

    ck_assert_int_eq(doctor(false, NULL, set), 1);
    expect_problem("ranker", "/nonexistent/bundle", "freshet train");
}
END_TEST

START_TEST(limits__few_files__named)
{
    char command[1200], text[20000];
    const char *argv[] = {"/bin/sh", "-c", command, NULL};

    (void)snprintf(command, sizeof(command), "ulimit -n 256; exec '%s/freshet' doctor --set '%s' --set '%s'", FR_BUILD_DIR,
                   brokers_set, redis_set);
    ck_assert_int_eq(proc_run(argv, 60000, text, sizeof(text)), 1);
    (void)snprintf(out, sizeof(out), "%s", text);
    expect_problem("limits", "256 open files", "ulimit -n 1024");
}
END_TEST

/* ---- a Redis whose clock is wrong ---- */

static int listener;

/* Take what comes until nothing more does for a moment: one command may come in pieces. False: closed. */
static bool take_request(int fd, char *in, size_t cap)
{
    struct pollfd pf = {fd, POLLIN, 0};
    size_t n = 0;

    do {
        ssize_t k = recv(fd, in + n, cap - 1 - n, 0);
        if (k <= 0)
            return false;
        n += (size_t)k;
    } while (n < cap - 1 && poll(&pf, 1, 50) > 0);
    in[n] = '\0';
    return true;
}

static void *false_redis(void *arg)
{
    static char in[40000];
    int64_t skew_s = *(const int64_t *)arg;
    int fd = accept(listener, NULL, NULL);

    while (fd >= 0 && take_request(fd, in, sizeof(in))) {
        char info[300], reply[400];
        int n, len;
        len = snprintf(info, sizeof(info),
                       "# Server\r\nredis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\nserver_time_usec:%lld\r\n",
                       (long long)(time(NULL) + skew_s) * 1000000);
        if (strstr(in, "$4\r\nINFO\r\n") != NULL)
            n = snprintf(reply, sizeof(reply), "$%d\r\n%s\r\n", len, info);
        else
            n = snprintf(reply, sizeof(reply), "+OK\r\n");
        (void)send(fd, reply, (size_t)n, MSG_NOSIGNAL);
    }
    (void)close(fd);
    return NULL;
}

START_TEST(clock__minutes_apart__named)
{
    static const int64_t skews[] = {-600, 600};
    int64_t skew = skews[_i];
    struct sockaddr_in a;
    socklen_t an = sizeof(a);
    char set[60];
    const char *sets[] = {set, NULL};
    pthread_t t;

    memset(&a, 0, sizeof(a));
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
    ck_assert_int_eq(listen(listener, 4), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&a, &an), 0);
    (void)snprintf(set, sizeof(set), "redis.address=127.0.0.1:%u", (unsigned)ntohs(a.sin_port));
    ck_assert_int_eq(pthread_create(&t, NULL, false_redis, &skew), 0);
    ck_assert_int_eq(doctor(false, NULL, sets), 1);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    (void)close(listener);
    expect_problem("clock", skew < 0 ? "s behind" : "s ahead of", "synchronise");
}
END_TEST

START_TEST(json__one_object_on_one_line__same_verdicts)
{
    static const char *const set[] = {"models.ranker=/nonexistent/bundle", "topics.requests=thin", NULL};
    struct fr_arena *ar;
    const struct fr_json *doc;
    const struct fr_json *checks;
    int problems = 0;

    ck_assert_int_eq(fr_kafka_embedded_create_topic(d.broker, "thin", 1), FR_OK);
    ck_assert_int_eq(doctor(true, NULL, set), 1);
    ck_assert_ptr_eq(strchr(out, '\n'), out + strlen(out) - 1);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_json_parse(ar, fr_str_z(out), &doc, NULL), FR_OK);
    ck_assert_int_eq(fr_json_get(doc, "ok")->type, FR_JSON_BOOL);
    ck_assert(!fr_json_get(doc, "ok")->b);
    checks = fr_json_get(doc, "checks");
    ck_assert_int_eq(checks->type, FR_JSON_ARRAY);
    ck_assert_int_gt((int)checks->n, 10);
    for (const struct fr_json *c = checks->child; c != NULL; c = c->next) {
        bool ok = fr_json_get(c, "ok")->b;
        problems += !ok;
        ck_assert((fr_json_get(c, "remedy") == NULL) == ok);
    }
    ck_assert_int_eq(problems, 2);
    fr_arena_free(ar);
    ck_assert_int_eq(doctor(true, NULL, NULL), 0);
    ck_assert_ptr_nonnull(strstr(out, "\"ok\":true}\n"));
}
END_TEST

START_TEST(usage__unknown_flag__2)
{
    static const char *const argv[] = {FR_BUILD_DIR "/freshet", "doctor", "--jsin", NULL};

    ck_assert_int_eq(proc_run(argv, 10000, out, sizeof(out)), 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli/cmd_doctor");
    TCase *tc = tcase_create("proc");
    SRunner *sr;
    int failed;

    if (!redis_server_available()) {
        printf("SKIP proc.doctor: no redis-server program\n");
        return 77;
    }
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 90);
    tcase_add_test(tc, all_well__exit_0_and_no_problem);
    tcase_add_test(tc, kafka__unreachable__named);
    tcase_add_test(tc, kafka__embedded__nothing_to_reach);
    tcase_add_test(tc, redis__unreachable__named);
    tcase_add_test(tc, redis__evicts__named);
    tcase_add_test(tc, redis__no_permission__named);
    tcase_add_test(tc, blas__wrong_kernel_forced__named);
    tcase_add_test(tc, topics__unequal_counts__named);
    tcase_add_test(tc, topics__another_count_than_configured__fine_when_equal);
    tcase_add_test(tc, models__no_such_bundle__named);
    tcase_add_test(tc, limits__few_files__named);
    tcase_add_loop_test(tc, clock__minutes_apart__named, 0, 2);
    tcase_add_test(tc, json__one_object_on_one_line__same_verdicts);
    tcase_add_test(tc, usage__unknown_flag__2);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
