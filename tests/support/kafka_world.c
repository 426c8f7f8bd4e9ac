/*
 * tests/support/kafka_world.c - see kafka_world.h.
 */
#include "tests/support/kafka_world.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/config.h"
#include "daemon/pipeline/spec_config.h"
#include "daemon/stream/event_codec.h"
#include "daemon/stream/kafka_log_reader.h"
#include "daemon/stream/kafka_sink.h"
#include "daemon/stream/kafka_topics.h"
#include "daemon/stream/recommendation_codec.h"
#include "features/store_redis.h"
#include "features/user_codec.h"

#define LOG_TAIL 3000 /* Check's messages are bounded */
#define PARTITIONS WORLD_PARTITIONS
#define USERS WORLD_USERS
#define ITEMS WORLD_ITEMS

static struct redis_server *rs;
static char prefix[64], group[64], redis_address[300];
static struct fr_topic_names names;
static struct fr_kafka_conn conn;
static struct fr_sink *sink;
static int unacked, failed_acks;
static struct proc *daemon_proc, *other_proc;
static const char *instance = "one", *other_instance = "two";

const char *world_log(void)
{
    const char *all = daemon_proc == NULL ? "" : proc_output(daemon_proc, 2, 0);
    size_t n = strlen(all);

    return n > LOG_TAIL ? all + n - LOG_TAIL : all;
}

static void on_ack(void *ctx, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset)
{
    (void)ctx;
    (void)cookie;
    (void)partition;
    (void)offset;
    ck_assert_msg(err == FR_OK || fr_err_retriable(err), "%s", fr_err_text(err));
    failed_acks += err != FR_OK;
    unacked--;
}

void world_open(const char *brokers, enum redis_aof aof)
{
    struct fr_topic_spec specs[FR_TOPIC_COUNT];
    struct fr_topic_report reports[FR_TOPIC_COUNT];
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_kafka_sink_opts ko;
    char unique[62];
    int n;

    (void)signal(SIGPIPE, SIG_IGN);
    rs = redis_server_start(&(struct redis_server_opt){.aof = aof});
    ck_assert_ptr_nonnull(rs);
    snprintf(redis_address, sizeof(redis_address), "unix:%s", redis_server_socket(rs));
    kafka_server_unique("fd", unique, sizeof(unique));
    snprintf(prefix, sizeof(prefix), "%s.", unique);
    kafka_server_unique("g", group, sizeof(group));
    ck_assert_int_eq(fr_topic_names_init(&names, prefix), FR_OK);
    conn = (struct fr_kafka_conn){.brokers = brokers != NULL ? brokers : kafka_server_shared()};
    n = fr_kafka_topics_default(&names, PARTITIONS, 1, specs);
    ck_assert_msg(fr_kafka_topics_ensure(&conn, specs, n, true, 30000, reports, &fault) == FR_OK, "%s",
                  fault.msg);
    ko = (struct fr_kafka_sink_opts){.conn = conn, .names = &names, .ack = on_ack};
    ck_assert_int_eq(fr_kafka_sink_new(&ko, &sink, &fault), FR_OK);
}

void world_close(void)
{
    proc_free(daemon_proc);
    proc_free(other_proc);
    daemon_proc = other_proc = NULL;
    fr_sink_free(sink);
    redis_server_free(rs);
}

static void produce(enum fr_topic_role role, const char *key, const char *value)
{
    struct fr_outgoing m = {.role = role,
                            .partition = FR_PARTITION_BY_KEY,
                            .key = fr_str_z(key),
                            .value = value == NULL ? (struct fr_str){NULL, 0} : fr_str_z(value)};

    ck_assert_int_eq(fr_sink_produce(sink, &m), FR_OK);
    unacked++;
}

void world_flush(void)
{
    ck_assert_int_eq(fr_sink_flush(sink, (int)proc_deadline_ms(30000)), FR_OK);
}

void world_start(const char *crash_at)
{
    char set[5][400], env[100];
    const char *argv[20] = {FR_BUILD_DIR "/freshetd"};
    const char *envs[] = {NULL, NULL};
    struct proc_opt opt = {.env = envs};
    int n = 1;

    snprintf(set[0], sizeof(set[0]), "kafka.brokers=%s", conn.brokers);
    snprintf(set[1], sizeof(set[1]), "kafka.group=%s", group);
    snprintf(set[2], sizeof(set[2]), "topics.prefix=%s", prefix);
    snprintf(set[3], sizeof(set[3]), "redis.address=%s", redis_address);
    snprintf(set[4], sizeof(set[4]), "kafka.instance=%s", instance);
    for (int i = 0; i < 5; i++) {
        argv[n++] = "--set";
        argv[n++] = set[i];
    }
    argv[n++] = "--set";
    argv[n++] = "http.port=0";
    argv[n++] = "--set";
    argv[n++] = "recommend.repeat=allow";
    argv[n++] = "--set";
    argv[n++] = "kafka.commit_interval_ms=50";
    argv[n] = NULL;
    snprintf(env, sizeof(env), "FRESHET_CRASH_AT=%s", crash_at == NULL ? "" : crash_at);
    envs[0] = env;
    daemon_proc = proc_spawn(argv, &opt);
    ck_assert_ptr_nonnull(daemon_proc);
}

void world_other(void)
{
    struct proc *p = daemon_proc;
    const char *name = instance;

    daemon_proc = other_proc;
    instance = other_instance;
    other_proc = p;
    other_instance = name;
}

void world_kill(void)
{
    if (proc_running(daemon_proc))
        (void)proc_signal(daemon_proc, SIGKILL);
    proc_free(daemon_proc);
    daemon_proc = NULL;
}

/* ---- reading topics from outside ---- */

int world_read(enum fr_topic_role role, world_record_fn each, void *ctx)
{
    struct fr_kafka_log_reader_opts o = {.conn = conn, .topic = names.name[role], .role = role, .fetch_wait_max_ms = 20};
    struct fr_log_reader *lr;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    int n = 0;
    int64_t end = proc_now_ms() + proc_deadline_ms(60000);

    ck_assert_msg(fr_kafka_log_reader_new(&o, &lr, &fault) == FR_OK, "%s", fault.msg);
    while (!fr_log_reader_caught_up(lr)) {
        struct fr_record rec;
        ck_assert_msg(proc_now_ms() < end, "topic %s was not read to its end", names.name[role]);
        if (fr_log_reader_poll(lr, 100, &rec) != FR_OK)
            continue;
        n++;
        if (each != NULL)
            each(ctx, &rec);
        fr_log_reader_release(lr, &rec);
    }
    fr_log_reader_free(lr);
    return n;
}

/* ---- the reference: every event once, in offset order, through the state code ---- */

static struct fr_spec *spec;
static struct fr_arena *ar;
static struct fr_user *ref_user[USERS];
static int64_t ref_trigger[USERS], out_trigger[USERS];
static int ref_applied, ref_duplicate, ref_dead, bad_lineage, lists;

static int user_number(struct fr_str id)
{
    return id.n < 2 ? 0 : (int)strtol(id.p + 1, NULL, 10);
}

static void ref_event(void *ctx, const struct fr_record *rec)
{
    struct fr_codec_error ce;
    struct fr_applied done;
    struct fr_event ev;
    struct fr_str key, value;
    int who;

    (void)ctx;
    ck_assert_int_eq(fr_arena_dup(ar, rec->key, &key), FR_OK);
    ck_assert_int_eq(fr_arena_dup(ar, rec->value, &value), FR_OK);
    if (fr_event_decode(spec, ar, key, value, rec->ts_ms, &ev, &ce) != FR_OK) {
        ref_dead++;
        return;
    }
    who = user_number(ev.user_id);
    ck_assert_int_lt(who, USERS);
    ck_assert_int_eq(fr_user_apply(spec, ref_user[who], ar, &ev, rec->offset, &done), FR_OK);
    if (done.result != FR_APPLIED) {
        ref_duplicate++;
        return;
    }
    ref_applied++;
    if (fr_user_trigger(spec, ref_user[who], &ev, rec->offset))
        ref_trigger[who] = rec->offset;
}

static void out_list(void *ctx, const struct fr_record *rec)
{
    struct fr_recommendation r;
    struct fr_codec_error ce;
    char id[FR_REC_ID];

    (void)ctx;
    lists++;
    if (fr_recommendation_decode(ar, rec->value, &r, &ce) != FR_OK) {
        bad_lineage++;
        return;
    }
    if (r.n_items == 0 || r.trigger_event_id.n == 0 || r.ts_event <= 0 || r.ts_received < r.ts_event - 60000 ||
        r.ts_features < r.ts_received || r.ts_emitted < r.ts_scored || r.ts_scored < r.ts_retrieved ||
        !fr_str_eqz(r.trigger_topic, names.name[FR_TOPIC_EVENTS]))
        bad_lineage++;
    memcpy(id, r.rec_id, sizeof(id));
    if (r.trigger_offset > out_trigger[user_number(r.user_id)])
        out_trigger[user_number(r.user_id)] = r.trigger_offset;
}

static void make_spec(void)
{
    struct fr_config cfg;

    ck_assert_int_eq(fr_config_init(&cfg, NULL), FR_OK);
    ck_assert_int_eq(fr_config_set(&cfg, "recommend.repeat=allow", NULL), FR_OK);
    ck_assert_int_eq(fr_spec_from_config(&cfg, &spec, NULL), FR_OK);
    fr_config_done(&cfg);
    ck_assert_int_eq(fr_arena_new(1 << 20, 0, &ar), FR_OK);
    for (int i = 0; i < USERS; i++) {
        ck_assert_int_eq(fr_user_new(spec, ar, &ref_user[i]), FR_OK);
        ref_trigger[i] = out_trigger[i] = -1;
    }
}

static int produced;

void world_event(struct fr_rng *rng)
{
    struct fr_clock clock;
    char user[16], json[300];
    int id = fr_rng_below(rng, 10) == 0 && produced > 0 ? produced - 1 : produced;

    fr_clock_init_real(&clock);
    snprintf(user, sizeof(user), "u%d", (int)fr_rng_below(rng, USERS));
    if (fr_rng_below(rng, 50) == 0)
        snprintf(json, sizeof(json), "{\"broken\":%d", produced);
    else
        snprintf(json, sizeof(json),
                 "{\"event_id\":\"%s-%d\",\"type\":\"click\",\"user_id\":\"%s\",\"item_id\":\"i%d\",\"ts\":%lld}",
                 user, id, user, (int)fr_rng_below(rng, ITEMS), (long long)fr_clock_wall_ms(&clock));
    produce(FR_TOPIC_EVENTS, user, json);
    produced++;
}

void world_catalogue(void)
{
    for (int i = 0; i < ITEMS; i++) {
        char id[16], json[200];
        snprintf(id, sizeof(id), "i%d", i);
        snprintf(json, sizeof(json), "{\"item_id\":\"%s\",\"title\":\"Item %d\",\"categories\":[\"c%d\"]}", id, i, i % 5);
        produce(FR_TOPIC_ITEMS, id, json);
    }
    world_flush();
}

/* Both states as JSON, for whoever reads the failure. */
static void show_difference(const char *user, struct fr_str record, const struct fr_user *want)
{
    struct fr_user *got;
    struct fr_buf b;

    fr_buf_init(&b);
    fr_user_to_json(spec, want, fr_str_z(user), want->last_ts, &b);
    fprintf(stderr, "replay: %.*s\n", (int)b.n, b.p);
    fr_buf_clear(&b);
    if (record.p != NULL && fr_user_decode(spec, ar, record, &got, NULL) == FR_OK) {
        fr_user_to_json(spec, got, fr_str_z(user), want->last_ts, &b);
        fprintf(stderr, "stored: %.*s\n", (int)b.n, b.p);
        fprintf(stderr, "offsets: applied %lld, replay %lld; trigger %lld, replay %lld\n",
                (long long)got->applied, (long long)want->applied, (long long)got->trig,
                (long long)want->trig);
    }
    fr_buf_done(&b);
}

/* Every event's user is in Redis as the replay has it? */
static int differing_users(struct fr_store *st, bool show)
{
    int bad = 0;

    for (int i = 0; i < USERS; i++) {
        char user[16];
        struct fr_str record, seen;
        struct fr_buf want;
        struct fr_arena *tmp;

        snprintf(user, sizeof(user), "u%d", i);
        ck_assert_int_eq(fr_arena_new(4096, 0, &tmp), FR_OK);
        fr_buf_init(&want);
        if (ref_user[i]->n > 0)
            fr_user_encode(spec, ref_user[i], &want);
        if (fr_store_get_user(st, fr_kafka_partition(fr_str_z(user), PARTITIONS), fr_str_z(user), tmp, &record, &seen) != FR_OK)
            bad++;
        else if (record.n != want.n || (want.n > 0 && memcmp(record.p, want.p, want.n) != 0)) {
            bad++;
            if (show)
                show_difference(user, record, ref_user[i]);
        }
        fr_buf_done(&want);
        fr_arena_free(tmp);
    }
    return bad;
}

static bool outputs_complete(void)
{
    for (int i = 0; i < USERS; i++)
        if (out_trigger[i] < ref_trigger[i])
            return false;
    return true;
}

void world_settle(void)
{
    struct fr_store_redis_config c = {.address = redis_address, .prefix = "freshet", .group = group, .connect_timeout_ms = 1000, .command_timeout_ms = 2000};
    struct fr_store *st;
    int64_t end = proc_now_ms() + proc_deadline_ms(60000);
    int bad = -1, dead = 0, records;
    bool complete = false;

    make_spec();
    records = world_read(FR_TOPIC_EVENTS, ref_event, NULL);
    ck_assert_int_eq(ref_applied + ref_duplicate + ref_dead, records);
    ck_assert_int_ge(ref_applied + ref_duplicate + ref_dead, produced - failed_acks);
    ck_assert_int_eq(fr_store_redis_new(&c, &st, NULL), FR_OK);
    while (proc_now_ms() < end && (bad != 0 || !complete || dead < ref_dead)) {
        bad = differing_users(st, false);
        lists = bad_lineage = 0;
        (void)world_read(FR_TOPIC_RECOMMENDATIONS, out_list, NULL);
        complete = outputs_complete();
        dead = world_read(FR_TOPIC_DEAD_LETTERS, NULL, NULL);
        proc_pause_ms(50);
    }
    printf("events %d: applied %d, duplicate %d, dead letters %d (%d written); lists %d\n", produced,
           ref_applied, ref_duplicate, ref_dead, dead, lists);
    if (bad != 0)
        (void)differing_users(st, true);
    ck_assert_msg(bad == 0, "%d users differ from the replay; daemon says:\n%s", bad, world_log());
    ck_assert_msg(complete, "a trigger has no list with its own or a later offset; daemon says:\n%s", world_log());
    ck_assert_int_ge(dead, ref_dead);
    ck_assert_int_eq(bad_lineage, 0);
    fr_store_free(st);
    fr_spec_free(spec);
    fr_arena_free(ar);
}

/* ---- HTTP, by hand ---- */

static int http_port(void)
{
    const char *at;

    ck_assert_msg(proc_wait_text(daemon_proc, 2, "http_port=", 30000), "%s", world_log());
    at = strstr(proc_output(daemon_proc, 2, 0), "http_port=");
    return (int)strtol(at + 10, NULL, 10);
}

int world_get(const char *path, char *body, size_t cap)
{
    char url[200], out[200000];
    const char *argv[] = {"python3", "-c",
                          "import sys,urllib.request,urllib.error\n"
                          "try:\n r=urllib.request.urlopen(sys.argv[1],timeout=5); c=r.status\n"
                          "except urllib.error.HTTPError as e: r=e; c=e.code\n"
                          "print(c); sys.stdout.write(r.read().decode())",
                          url, NULL};
    char *nl;

    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", http_port(), path);
    if (proc_run(argv, 20000, out, sizeof(out)) != 0)
        return -1;
    nl = strchr(out, '\n');
    snprintf(body, cap, "%s", nl == NULL ? "" : nl + 1);
    return (int)strtol(out, NULL, 10);
}

static bool is_ready(void *arg)
{
    char body[4000];

    (void)arg;
    return world_get("/readyz", body, sizeof(body)) == 200;
}

bool world_wait_ready(int64_t deadline_ms)
{
    return proc_poll(is_ready, NULL, deadline_ms);
}

/* ---- what the log says ---- */

void world_offsets(struct world_offsets *out)
{
    const char *log = proc_output(daemon_proc, 2, 0), *at = log; /* valid until it is asked for again */

    out->taken = 0;
    for (int p = 0; p < PARTITIONS; p++)
        out->r[p] = out->c[p] = -1;
    while ((at = strstr(at, " taken R=")) != NULL) {
        const char *line = at, *c = strstr(at, " C=");
        int p;
        while (line > log && line[-1] != '\n')
            line--;
        line = strstr(line, "partition=");
        p = line == NULL || line > at ? -1 : (int)strtol(line + 10, NULL, 10);
        if (p >= 0 && p < PARTITIONS && c != NULL) {
            out->taken += out->r[p] < 0;
            out->r[p] = strtoll(at + 9, NULL, 10);
            out->c[p] = strtoll(c + 3, NULL, 10);
        }
        at++;
    }
}

bool world_wait_taken(int64_t deadline_ms)
{
    int64_t end = proc_now_ms() + proc_deadline_ms(deadline_ms);
    struct world_offsets o;

    do {
        world_offsets(&o);
        if (o.taken == PARTITIONS)
            return true;
        proc_pause_ms(5);
    } while (proc_running(daemon_proc) && proc_now_ms() < end);
    return false;
}

struct proc *world_daemon(void)
{
    return daemon_proc;
}

struct redis_server *world_redis(void)
{
    return rs;
}

const struct fr_topic_names *world_names(void)
{
    return &names;
}

int world_produced(void)
{
    return produced;
}

void world_events(struct fr_rng *rng, int n, int pause_ms)
{
    for (int i = 0; i < n; i++) {
        world_event(rng);
        (void)fr_sink_poll(sink, 0);
        if (i % 5 == 4 && pause_ms > 0)
            proc_pause_ms(pause_ms);
    }
}
