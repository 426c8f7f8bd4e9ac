/*
 * tests/redis/test_store_redis.c - the store seam over a real redis-server: conformance, and what a
 * server can do to us.
 */
#include "features/store_redis.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "features/spec.h"
#include "features/user.h"
#include "features/user_codec.h"
#include "tests/support/redis_server.h"
#include "tests/support/store_conformance.h"

#include <hiredis/hiredis.h>

static struct redis_server *rs;

static struct fr_store *make(void)
{
    char address[300];
    struct fr_store_redis_config c = {.address = address,
                                      .prefix = "t",
                                      .group = "g",
                                      .connect_timeout_ms = 1000,
                                      .command_timeout_ms = 500};
    struct fr_store *st;

    if (rs == NULL)
        rs = redis_server_start(NULL);
    ck_assert_ptr_nonnull(rs);
    snprintf(address, sizeof(address), "unix:%s", redis_server_socket(rs));
    ck_assert_int_eq(fr_store_redis_new(&c, &st, NULL), FR_OK);
    return st;
}

static void drop(void)
{
    redis_server_free(rs);
    rs = NULL;
}

static redisReply *ask(const char *fmt, const char *arg)
{
    redisContext *c = redisConnectUnix(redis_server_socket(rs));
    redisReply *r = redisCommand(c, fmt, arg);

    ck_assert_ptr_nonnull(r);
    redisFree(c);
    return r;
}

static void run(const char *fmt, const char *arg)
{
    redisReply *r = ask(fmt, arg);

    ck_assert_msg(r->type != REDIS_REPLY_ERROR, "%s: %s", fmt, r->str);
    freeReplyObject(r);
}

static const int64_t first[1] = {5};
static struct fr_arena *ar;

static struct fr_store *owner(void)
{
    struct fr_store *st = make();
    struct fr_store_taken t;

    ck_assert_int_eq(fr_arena_new(4096, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_store_init_group(st, first, 1, NULL), FR_OK);
    ck_assert_int_eq(fr_store_take(st, 0, 7, ar, &t), FR_OK);
    return st;
}

static enum fr_err put(struct fr_store *st, int64_t r, int64_t new_r, int64_t expire_ms)
{
    struct fr_str id = fr_str_z("u1"), rec = fr_str_z("x"), seen = {NULL, 0};
    struct fr_store_commit q = {.token = 7, .r = r, .new_r = new_r, .n = 1, .user_id = &id, .record = &rec, .seen = &seen, .expire_ms = expire_ms};
    enum fr_err e = fr_store_commit(st, &q, 1);

    return e == FR_OK ? q.err : e;
}

START_TEST(functions_flushed__loaded_again)
{
    struct fr_store *st = owner();

    run("FUNCTION FLUSH%s", "");
    ck_assert_int_eq(put(st, 5, 6, 0), FR_OK);
    run("FUNCTION FLUSH%s", "");
    ck_assert_int_eq(fr_store_check(st, 0, 7, 6), FR_OK);
    fr_store_free(st);
    fr_arena_free(ar);
}
END_TEST

START_TEST(wrong_type__refused_before_any_write)
{
    struct fr_store *st = owner();

    run("LPUSH t:{g:0}:u:u1 %s", "a");
    ck_assert_int_eq(put(st, 5, 6, 0), FR_EREFUSED);
    ck_assert_int_eq(fr_store_check(st, 0, 7, 5), FR_OK); /* R did not move */
    fr_store_free(st);
    fr_arena_free(ar);
}
END_TEST

START_TEST(expire__set_with_the_record)
{
    struct fr_store *st = owner();
    redisReply *r;

    ck_assert_int_eq(put(st, 5, 6, 100000), FR_OK);
    r = ask("PTTL t:{g:0}:u:%s", "u1");
    ck_assert_int_gt(r->integer, 90000);
    freeReplyObject(r);
    ck_assert_int_eq(put(st, 6, 7, 0), FR_OK);
    r = ask("PTTL t:{g:0}:u:%s", "u1");
    ck_assert_int_eq(r->integer, -1);
    freeReplyObject(r);
    fr_store_free(st);
    fr_arena_free(ar);
}
END_TEST

static enum fr_err check_until(struct fr_store *st, enum fr_err want)
{
    enum fr_err e = FR_EIO;

    for (int i = 0; i < 400 && e != want; i++) {
        struct timespec ts = {0, 10000000};
        e = fr_store_check(st, 0, 7, 5);
        if (e != want)
            nanosleep(&ts, NULL);
    }
    return e;
}

START_TEST(server_killed_and_back__passing_error_then_fenced_or_ok)
{
    struct fr_store *st = owner();

    ck_assert(redis_server_kill9(rs));
    ck_assert(fr_err_retriable(fr_store_check(st, 0, 7, 5)));
    ck_assert(fr_err_retriable(fr_store_check(st, 0, 7, 5)));
    ck_assert(redis_server_restart(rs));
    /* without AOF everything is gone: that must look like another owner, not like an empty user */
    ck_assert_int_eq(check_until(st, FR_EFENCED), FR_EFENCED);
    fr_store_free(st);
    fr_arena_free(ar);
}
END_TEST

START_TEST(server_frozen__times_out_and_recovers)
{
    struct fr_store *st = owner();

    ck_assert(redis_server_freeze(rs));
    ck_assert_int_eq(fr_store_check(st, 0, 7, 5), FR_ETIMEOUT);
    ck_assert(redis_server_thaw(rs));
    ck_assert_int_eq(check_until(st, FR_OK), FR_OK);
    fr_store_free(st);
    fr_arena_free(ar);
}
END_TEST

START_TEST(address__malformed__refused)
{
    static const char *const bad[] = {"", "host", "host:", ":1", "host:0", "host:70000", "unix:rel", "host:1x"};
    struct fr_fault fault;
    struct fr_store *st;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fr_store_redis_config c = {.address = bad[i], .prefix = "p", .group = "g"};
        ck_assert_int_eq(fr_store_redis_new(&c, &st, &fault), FR_EINVAL);
        ck_assert_ptr_nonnull(strstr(fault.msg, "redis.address"));
    }
}
END_TEST

/* The public reader function gives the same decayed counts as our own code. */
START_TEST(freshet_user__record__decayed_as_of_ms)
{
    struct fr_store *st = owner();
    struct fr_spec_input in;
    struct fr_spec *spec;
    struct fr_user *u;
    struct fr_event ev;
    struct fr_applied done;
    struct fr_buf rec;
    struct fr_str id = fr_str_z("u1"), body, seen = {NULL, 0};
    struct fr_store_commit q = {.token = 7, .r = 5, .new_r = 6, .n = 1, .user_id = &id, .record = &body, .seen = &seen};
    int64_t t = INT64_C(1790000000000);
    redisReply *r;
    int found = 0;

    fr_spec_input_default(&in);
    ck_assert_int_eq(fr_spec_compile(&in, &spec, NULL), FR_OK);
    ck_assert_int_eq(fr_user_new(spec, ar, &u), FR_OK);
    memset(&ev, 0, sizeof(ev));
    ev.event_id = fr_str_z("e1");
    ev.user_id = id;
    ev.item_id = fr_str_z("item-1");
    ev.type = 1;
    ev.ts = t;
    ev.position = -1;
    fr_event_hash(&ev, spec->key);
    ck_assert_int_eq(fr_user_apply(spec, u, ar, &ev, 5, &done), FR_OK);
    fr_buf_init(&rec);
    fr_user_encode(spec, u, &rec);
    body = fr_buf_str(&rec);
    ck_assert_int_eq(fr_store_commit(st, &q, 1), FR_OK);
    ck_assert_int_eq(q.err, FR_OK);
    r = ask("FCALL_RO freshet_user 1 t:{g:0}:u:u1 %s", "1790003600000");
    ck_assert_int_eq(r->type, REDIS_REPLY_ARRAY);
    for (size_t i = 0; i + 1 < r->elements; i += 2) {
        const char *key = r->element[i]->str, *value = r->element[i + 1]->str;
        for (int k = 0; k < FR_HALF_LIVES; k++) {
            char want[80];
            snprintf(want, sizeof(want), "count:%s:%lld", spec->type[1].name,
                     (long long)spec->user_half_life_ms[k]);
            if (strcmp(key, want) == 0) {
                double v = strtod(value, NULL), own = fr_user_count(spec, u, 1U << 1, k, t + 3600000);
                ck_assert_double_eq_tol(v, own, 1e-12);
                found++;
            }
        }
        if (strcmp(key, "history") == 0) {
            ck_assert_str_eq(value, "[\"item-1\"]");
            found++;
        }
    }
    ck_assert_int_eq(found, 3);
    freeReplyObject(r);
    run("SET t:{g:0}:u:u1 %s", "junk");
    r = ask("FCALL_RO freshet_user 1 %s", "t:{g:0}:u:u1");
    ck_assert_int_eq(r->type, REDIS_REPLY_ERROR);
    freeReplyObject(r);
    fr_buf_done(&rec);
    fr_spec_free(spec);
    fr_store_free(st);
    fr_arena_free(ar);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("features/store_redis");
    TCase *conf = tcase_create("conformance"), *own = tcase_create("server");
    SRunner *sr;
    int failed;

    (void)signal(SIGPIPE, SIG_IGN);
    if (!redis_server_available()) {
        printf("SKIP redis: no redis-server program\n");
        return 77;
    }
    tcase_add_checked_fixture(conf, NULL, drop);
    store_conformance_add(conf, make);
    tcase_add_checked_fixture(own, NULL, drop);
    tcase_set_timeout(own, 30);
    tcase_add_test(own, functions_flushed__loaded_again);
    tcase_add_test(own, wrong_type__refused_before_any_write);
    tcase_add_test(own, expire__set_with_the_record);
    tcase_add_test(own, server_killed_and_back__passing_error_then_fenced_or_ok);
    tcase_add_test(own, server_frozen__times_out_and_recovers);
    tcase_add_test(own, address__malformed__refused);
    tcase_add_test(own, freshet_user__record__decayed_as_of_ms);
    suite_add_tcase(s, conf);
    suite_add_tcase(s, own);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
