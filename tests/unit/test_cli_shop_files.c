/*
 * tests/unit/test_cli_shop_files.c - a history as files: valid under deploy/schemas, the same bytes for the
 * same seed, what was shown and clicked hangs together, and nothing half-written when it fails.
 */
#include "daemon/cli/shop_files.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/arena.h"
#include "daemon/base/file.h"
#include "daemon/base/json.h"
#include "tests/support/json_schema.h"
#include "tests/support/tmpdir.h"

#define EVENTS 3000

static char *read_all(const char *dir, const char *name, size_t *n)
{
    char path[4096], *data = NULL;
    struct fr_fault fault;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ck_assert_msg(fr_file_read(path, (size_t)1 << 26, &data, n, &fault) == FR_OK, "%s", fault.msg);
    return data;
}

static void write_shop(const char *dir, uint64_t seed, uint64_t events, enum fr_err want)
{
    struct fr_shop_conf c;
    struct fr_shop *sh = NULL;
    struct fr_shop_policy policy;
    struct fr_shop_history h = {.policy = &policy, .events = events, .id_prefix = "t"};
    struct fr_fault fault = {FR_OK, NULL, 0, ""};

    fr_shop_conf_default(&c);
    c.seed = seed;
    c.users = 50;
    c.items = 300;
    c.births_per_day = c.deaths_per_day = 60;
    c.start_ms = 1767225600000;
    ck_assert_int_eq(fr_shop_new(&c, &sh, NULL), FR_OK);
    fr_shop_policy_init(&policy, seed);
    h.shop = sh;
    ck_assert_msg(fr_shop_files_write(&h, dir, &fault) == want, "%s", fault.msg);
    ck_assert(want == FR_OK || fault.msg[0] != '\0');
    fr_shop_free(sh);
}

/* Walks the lines of a text. */
static bool next_line(struct fr_str *rest, struct fr_str *line)
{
    const char *end;

    if (rest->n == 0)
        return false;
    end = memchr(rest->p, '\n', rest->n);
    ck_assert_msg(end != NULL, "the last line has no end");
    *line = (struct fr_str){rest->p, (size_t)(end - rest->p)};
    rest->n -= line->n + 1;
    rest->p = end + 1;
    return true;
}

static void check_schema(const char *dir, const char *name, const char *schema)
{
    size_t n;
    char *data = read_all(dir, name, &n), why[300];
    struct fr_str rest = {data, n}, line;

    while (next_line(&rest, &line))
        ck_assert_msg(json_schema_valid(schema, line, why, sizeof(why)), "%s: %.*s", why, FR_STR_ARG(line));
    fr_free(data);
}

START_TEST(write__every_line__is_valid_under_its_schema)
{
    char *dir = tmpdir_make();

    write_shop(dir, 1, EVENTS, FR_OK);
    check_schema(dir, "events.jsonl", "events");
    check_schema(dir, "items.jsonl", "items");
    tmpdir_free(dir);
}
END_TEST

START_TEST(write__same_seed__same_bytes_and_a_longer_history_begins_the_same)
{
    char *dir[4];
    size_t n[4];
    char *ev[4], *it[4];
    const uint64_t seed[4] = {1, 1, 2, 1}, events[4] = {EVENTS, EVENTS, EVENTS, EVENTS + 500};

    for (int i = 0; i < 4; i++) {
        size_t m;

        dir[i] = tmpdir_make();
        write_shop(dir[i], seed[i], events[i], FR_OK);
        ev[i] = read_all(dir[i], "events.jsonl", &n[i]);
        it[i] = read_all(dir[i], "items.jsonl", &m);
    }
    ck_assert_uint_eq(n[0], n[1]);
    ck_assert(memcmp(ev[0], ev[1], n[0]) == 0);
    ck_assert_str_eq(it[0], it[1]);
    ck_assert(n[0] != n[2] || memcmp(ev[0], ev[2], n[0]) != 0);
    ck_assert_uint_gt(n[3], n[0]);
    ck_assert(memcmp(ev[0], ev[3], n[0]) == 0);
    for (int i = 0; i < 4; i++) {
        fr_free(ev[i]);
        fr_free(it[i]);
        tmpdir_free(dir[i]);
    }
}
END_TEST

static const struct fr_json *must(const struct fr_json *obj, const char *key)
{
    const struct fr_json *v = fr_json_get(obj, key);

    ck_assert_msg(v != NULL, "%s is missing", key);
    return v;
}

/* What one user saw last. */
struct last_seen {
    char item[100][16];
    int n, clicked;
};

START_TEST(write__events__are_counted_ordered_and_clicks_follow_their_list)
{
    char *dir = tmpdir_make(), id[32];
    struct last_seen *seen = fr_calloc(50, sizeof(*seen));
    struct fr_arena *ar = NULL;
    struct fr_str rest, line;
    const struct fr_json *ev;
    uint64_t lines = 0, impressions = 0, from_list = 0, purchases = 0;
    int64_t last_ts = 0;
    size_t n;
    char *data;

    ck_assert_int_eq(fr_arena_new(1 << 16, 1 << 22, &ar), FR_OK);
    write_shop(dir, 3, EVENTS, FR_OK);
    data = read_all(dir, "events.jsonl", &n);
    for (rest = (struct fr_str){data, n}; next_line(&rest, &line); lines++) {
        const struct fr_json *pos;
        struct last_seen *u;
        unsigned user;

        fr_arena_reset(ar);
        ck_assert_int_eq(fr_json_parse(ar, line, &ev, NULL), FR_OK);
        snprintf(id, sizeof(id), "t%llu", (unsigned long long)lines + 1);
        ck_assert(fr_str_eqz(must(ev, "event_id")->str, id));
        ck_assert(must(ev, "ts")->i >= last_ts);
        last_ts = must(ev, "ts")->i;
        ck_assert_int_eq(sscanf(must(ev, "user_id")->str.p, "u%u", &user), 1);
        ck_assert_uint_lt(user, 50);
        u = &seen[user];
        pos = fr_json_get(ev, "position");
        if (fr_str_eqz(must(ev, "type")->str, "impressions")) {
            int i = 0;

            impressions++;
            ck_assert(pos == NULL);
            for (const struct fr_json *x = must(ev, "items")->child; x != NULL; x = x->next, i++) {
                ck_assert_int_eq(must(x, "position")->i, i);
                snprintf(u->item[i], sizeof(u->item[i]), "%.*s", FR_STR_ARG(must(x, "item_id")->str));
            }
            ck_assert(i >= 1 && i <= 20);
            u->n = i;
            continue;
        }
        purchases += fr_str_eqz(must(ev, "type")->str, "purchase");
        if (pos == NULL)
            continue;
        from_list++;
        ck_assert(pos->i >= 0 && pos->i < u->n);
        ck_assert(fr_str_eqz(must(ev, "item_id")->str, u->item[pos->i]));
    }
    ck_assert_uint_eq(lines, EVENTS);
    ck_assert_uint_gt(impressions, EVENTS / 3);
    ck_assert_uint_gt(from_list, 40);
    ck_assert_uint_gt(purchases, 3);
    fr_free(data);
    fr_free(seen);
    fr_arena_free(ar);
    tmpdir_free(dir);
}
END_TEST

static enum fr_err refuse(void *ctx, struct fr_str value)
{
    (void)value;
    return ++*(int *)ctx < 100 ? FR_OK : FR_EIO;
}

static bool stop(void *ctx, uint64_t done)
{
    (void)ctx;
    return done < 2000;
}

START_TEST(run__failing_or_stopped__says_so_and_leaves_no_file)
{
    char *dir = tmpdir_make();
    struct fr_shop_conf c;
    struct fr_shop *sh = NULL;
    struct fr_shop_policy policy;
    struct fr_shop_history h = {.policy = &policy, .events = EVENTS, .id_prefix = "t", .event = refuse};
    int calls = 0, files = 0;
    DIR *d;

    fr_shop_conf_default(&c);
    ck_assert_int_eq(fr_shop_new(&c, &sh, NULL), FR_OK);
    fr_shop_policy_init(&policy, 1);
    h.shop = sh;
    h.ctx = &calls;
    ck_assert_int_eq(fr_shop_history_run(&h), FR_EIO);
    ck_assert_int_eq(calls, 100);
    h.event = NULL;
    h.progress = stop;
    ck_assert_int_eq(fr_shop_files_write(&h, dir, NULL), FR_ECLOSED);
    d = opendir(dir);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        files += e->d_name[0] != '.';
    closedir(d);
    ck_assert_int_eq(files, 0);
    fr_shop_free(sh);
    write_shop("/dev/null/x", 1, 10, FR_EIO);
    tmpdir_free(dir);
}
END_TEST

static enum fr_err ignore(void *ctx, struct fr_str value)
{
    (void)ctx;
    ck_assert_uint_gt(value.n, 40);
    return FR_OK;
}

START_TEST(run__every_allocation_failing_in_turn__is_clean_and_tells)
{
    for (uint64_t nth = 1;; nth++) {
        struct fr_shop_conf c;
        struct fr_shop *sh = NULL;
        struct fr_shop_policy policy;
        struct fr_shop_history h = {.policy = &policy, .events = 2000, .id_prefix = "t", .event = ignore};
        struct fr_shop_change ch;
        enum fr_err e;

        fr_shop_conf_default(&c);
        c.users = 20;
        c.items = 127; /* the next power of two is near: the catalogue grows */
        c.births_per_day = 40;
        ck_assert_int_eq(fr_shop_new(&c, &sh, NULL), FR_OK);
        fr_shop_policy_init(&policy, 1);
        h.shop = sh;
        fr_alloc_fail_at(nth);
        e = fr_shop_history_run(&h);
        fr_alloc_fail_at(0);
        for (uint32_t k = 0; k < fr_shop_alive(sh); k++)
            ck_assert(fr_shop_is_alive(sh, fr_shop_alive_at(sh, k)));
        while (fr_shop_next_change(sh, &ch))
            ck_assert_uint_lt(ch.item, fr_shop_items(sh));
        fr_shop_free(sh);
        if (e == FR_OK) {
            ck_assert_uint_gt(nth, 3);
            break;
        }
        ck_assert_int_eq(e, FR_ENOMEM);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli/shop_files");
    TCase *tc = tcase_create("files");
    SRunner *sr;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, write__every_line__is_valid_under_its_schema);
    tcase_add_test(tc, write__same_seed__same_bytes_and_a_longer_history_begins_the_same);
    tcase_add_test(tc, write__events__are_counted_ordered_and_clicks_follow_their_list);
    tcase_add_test(tc, run__failing_or_stopped__says_so_and_leaves_no_file);
    tcase_add_test(tc, run__every_allocation_failing_in_turn__is_clean_and_tells);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
