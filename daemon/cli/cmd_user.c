/*
 * daemon/cli/cmd_user.c - `freshet user ID`: the state of one user, or the key it is stored under.
 */
#include "daemon/cli/cmd_user.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/hash.h"
#include "daemon/cli/settings.h"
#include "daemon/pipeline/spec_config.h"
#include "daemon/stream/kafka_topics.h"
#include "features/spec.h"
#include "features/store_redis.h"
#include "features/user_codec.h"

/* Decode and print. */
static int show(const struct fr_settings *s, struct fr_str id, struct fr_str record, struct fr_arena *ar)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_clock clock;
    struct fr_spec *spec;
    struct fr_user *u;
    struct fr_buf out;
    int rc = FR_EXIT_FAILURE;

    if (fr_spec_from_config(&s->cfg, &spec, &fault) != FR_OK) {
        fprintf(stderr, "freshet user: %s\n", fault.msg);
        return rc;
    }
    fr_clock_init_real(&clock);
    fr_buf_init(&out);
    if (fr_user_decode(spec, ar, record, &u, &fault) != FR_OK) {
        fprintf(stderr, "freshet user: the stored record is corrupt: %s\n", fault.msg);
    } else {
        fr_user_to_json(spec, u, id, fr_clock_wall_ms(&clock), &out);
        if (fr_buf_err(&out) == FR_OK) {
            printf("%.*s\n", (int)out.n, out.p);
            rc = FR_EXIT_OK;
        }
    }
    fr_buf_done(&out);
    fr_spec_free(spec);
    return rc;
}

static int fetch(const struct fr_settings *s, struct fr_str id, int32_t partition)
{
    struct fr_store *st = fr_settings_store(s, "user");
    struct fr_str record, seen;
    struct fr_arena *ar;
    int rc = FR_EXIT_FAILURE;
    enum fr_err e;

    if (st == NULL)
        return rc;
    e = fr_arena_new(1 << 16, 0, &ar);
    if (e == FR_OK) {
        e = fr_store_get_user(st, partition, id, ar, &record, &seen);
        if (e != FR_OK)
            fprintf(stderr, "freshet user: Redis: %s\n", fr_err_text(e));
        else if (record.p == NULL)
            fprintf(stderr, "freshet user: no such user\n");
        else
            rc = show(s, id, record, ar);
        fr_arena_free(ar);
    }
    fr_store_free(st);
    return rc;
}

static int find(const struct fr_settings *s, struct fr_str id, int64_t partitions, bool key_only)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    int32_t n = (int32_t)partitions, partition;
    char key[512];

    if (n == 0 && fr_kafka_topics_count(&s->conn, s->names.name[FR_TOPIC_EVENTS], 10000, &n, &fault) != FR_OK) {
        fprintf(stderr, "freshet user: %s (or give --partitions)\n", fault.msg);
        return FR_EXIT_FAILURE;
    }
    partition = fr_kafka_partition(id, n);
    if (!key_only)
        return fetch(s, id, partition);
    if (fr_store_redis_user_key(s->cfg.redis_prefix, s->cfg.kafka_group, partition, id, key, sizeof(key)) == 0)
        return FR_EXIT_FAILURE;
    printf("%s\n", key);
    return FR_EXIT_OK;
}

static int run(int argc, char **argv)
{
    struct fr_settings s = {0};
    const char *id[1] = {NULL};
    bool key = false;
    int64_t partitions = 0;
    const struct fr_arg flags[] = {
        FR_SETTINGS_ARGS(&s),
        {"key", FR_ARG_BOOL, &key, 0, 0, NULL, "print the Redis key only"},
        {"partitions", FR_ARG_INT, &partitions, 1, 100000, "N", "partitions of events; default: ask Kafka"}};
    struct fr_args a = {"user ID [flags]", "Show a user's features as of now, as JSON.", flags, 4, id, 1, 0};
    int rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    if (a.n_positional != 1 || id[0][0] == '\0' || strlen(id[0]) > FR_ID_MAX)
        return fr_args_usage("user", "an id of 1 to 128 bytes is needed");
    (void)signal(SIGPIPE, SIG_IGN);
    rc = fr_settings_load(&s, "user");
    if (rc == FR_ARGS_GO_ON)
        rc = find(&s, fr_str_z(id[0]), partitions, key);
    fr_settings_done(&s);
    return rc;
}

const struct fr_command fr_cmd_user = {"user", "show a user's state", run};
