/*
 * tests/redis/test_support_redis_server.c - the redis-server helper: what survives which end.
 */
#include "tests/support/redis_server.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "tests/support/proc.h"

/* One command on a fresh connection; the reply's text ("(nil)", "(error)", "(none)" for no connection). */
static const char *ask(const struct redis_server *rs, const char *command)
{
    static char text[128];
    redisContext *c = redisConnectUnix(redis_server_socket(rs));
    redisReply *r = c && !c->err ? redisCommand(c, command) : NULL;
    if (!r)
        snprintf(text, sizeof text, "(none)");
    else if (r->type == REDIS_REPLY_NIL)
        snprintf(text, sizeof text, "(nil)");
    else if (r->type == REDIS_REPLY_INTEGER)
        snprintf(text, sizeof text, "%lld", r->integer);
    else
        snprintf(text, sizeof text, "%s%.100s", r->type == REDIS_REPLY_ERROR ? "(error)" : "", r->str);
    if (r)
        freeReplyObject(r);
    if (c)
        redisFree(c);
    return text;
}

START_TEST(start__default__answers_on_its_socket_and_keeps_nothing)
{
    struct redis_server *rs = redis_server_start(NULL);
    ck_assert_ptr_nonnull(rs);
    ck_assert_uint_eq(redis_server_port(rs), 0);
    ck_assert_str_eq(ask(rs, "SET k v"), "OK");
    ck_assert(redis_server_stop(rs));
    ck_assert_int_eq(redis_server_pid(rs), 0);
    ck_assert_str_eq(ask(rs, "GET k"), "(none)");
    ck_assert(redis_server_restart(rs));
    ck_assert_str_eq(ask(rs, "GET k"), "(nil)");
    redis_server_free(rs);
}
END_TEST

START_TEST(kill9__append_only__values_survive)
{
    struct redis_server_opt opt = {.aof = REDIS_AOF_EVERYSEC};
    struct redis_server *rs = redis_server_start(&opt);
    ck_assert_ptr_nonnull(rs);
    pid_t first = redis_server_pid(rs);
    ck_assert_str_eq(ask(rs, "SET k v"), "OK");
    ck_assert(redis_server_kill9(rs));
    ck_assert(redis_server_restart(rs));
    ck_assert_int_ne(redis_server_pid(rs), first);
    ck_assert_str_eq(ask(rs, "GET k"), "v");
    redis_server_free(rs);
}
END_TEST

START_TEST(cut_aof__to_an_earlier_length__later_write_lost)
{
    struct redis_server_opt opt = {.aof = REDIS_AOF_ALWAYS};
    struct redis_server *rs = redis_server_start(&opt);
    ck_assert_ptr_nonnull(rs);
    ck_assert_str_eq(ask(rs, "SET a 1"), "OK");
    int64_t keep = redis_server_aof_bytes(rs);
    ck_assert_int_gt(keep, 0);
    ck_assert_str_eq(ask(rs, "SET b 2"), "OK");
    ck_assert_int_gt(redis_server_aof_bytes(rs), keep);
    ck_assert(!redis_server_cut_aof(rs, keep)); /* refused while it runs */
    ck_assert(redis_server_kill9(rs));
    ck_assert(redis_server_cut_aof(rs, keep + 5)); /* half a command is dropped at load */
    ck_assert(redis_server_restart(rs));
    ck_assert_str_eq(ask(rs, "GET a"), "1");
    ck_assert_str_eq(ask(rs, "GET b"), "(nil)");
    redis_server_free(rs);
}
END_TEST

START_TEST(freeze__server_hangs__answers_again_after_thaw)
{
    const char *const extra[] = {"--maxmemory", "16mb", NULL};
    struct redis_server_opt opt = {.tcp = true, .extra = extra};
    struct redis_server *rs = redis_server_start(&opt);
    ck_assert_ptr_nonnull(rs);
    ck_assert_uint_gt(redis_server_port(rs), 0);
    ck_assert(proc_wait_port(redis_server_port(rs), 1000));
    struct timeval limit = {.tv_usec = 200000};
    redisContext *c = redisConnectUnix(redis_server_socket(rs));
    ck_assert(c && !c->err);
    redisSetTimeout(c, limit);
    ck_assert(redis_server_freeze(rs));
    ck_assert_ptr_null(redisCommand(c, "PING"));
    redisFree(c);
    ck_assert(redis_server_thaw(rs));
    ck_assert_str_eq(ask(rs, "PING"), "PONG");
    redis_server_free(rs);
}
END_TEST

START_TEST(start__two_at_once__separate)
{
    struct redis_server *a = redis_server_start(NULL), *b = redis_server_start(NULL);
    ck_assert(a && b);
    ck_assert_str_eq(ask(a, "SET k a"), "OK");
    ck_assert_str_eq(ask(b, "GET k"), "(nil)");
    ck_assert_str_ne(redis_server_dir(a), redis_server_dir(b));
    redis_server_free(a);
    ck_assert_str_eq(ask(b, "PING"), "PONG");
    redis_server_free(b);
}
END_TEST

START_TEST(start__bad_option__null)
{
    const char *const extra[] = {"--no-such-option", "x", NULL};
    struct redis_server_opt opt = {.extra = extra};
    ck_assert_ptr_null(redis_server_start(&opt));
}
END_TEST

int main(void)
{
    if (!redis_server_available()) {
        puts("SKIP redis.support_redis_server: no redis-server program");
        return 77;
    }
    Suite *s = suite_create("support/redis_server");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, start__default__answers_on_its_socket_and_keeps_nothing);
    tcase_add_test(tc, kill9__append_only__values_survive);
    tcase_add_test(tc, cut_aof__to_an_earlier_length__later_write_lost);
    tcase_add_test(tc, freeze__server_hangs__answers_again_after_thaw);
    tcase_add_test(tc, start__two_at_once__separate);
    tcase_add_test(tc, start__bad_option__null);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
