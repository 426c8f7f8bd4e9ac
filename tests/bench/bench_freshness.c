/*
 * tests/bench/bench_freshness.c - click to recommendation on a real Kafka, timed from outside, beside a
 * null relay (consume, produce) with the same client settings, interleaved in the same run.
 *
 *   bench_freshness BOOTSTRAP REDIS_ADDRESS [--rate N] [--events N] [--stream FILE --catalogue FILE]
 *                   [--set k=v]...
 *
 * Prints p50 and p99 of: daemon (event time to the outside consumer), relay, and the daemon's own
 * histogram (status 1 when its mean is not within 10 % of the outside one, or a click got no list).
 * Event times have whole milliseconds, so events are sent at the start of one. Topics and group are new
 * ones. Without --stream: 1,000 users, 200 items, lists from the user's history and
 * decayed-popular. With it: users and items of that file of events in its order, the items of
 * --catalogue, and the bundles that --set names (models.retrieval, models.ranker), trained on them.
 */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/base/arena.h"
#include "daemon/base/buf.h"
#include "daemon/base/clock.h"
#include "daemon/base/json.h"
#include "daemon/base/rng.h"
#include "daemon/cli/demo_metrics.h"
#include "daemon/cli/lines.h"
#include "daemon/stream/kafka_log_reader.h"
#include "daemon/stream/kafka_sink.h"
#include "daemon/stream/kafka_topics.h"
#include "daemon/stream/recommendation_codec.h"
#include "tests/support/kafka_server.h"
#include "tests/support/proc.h"

#define PARTITIONS 4
#define USERS 1000
#define ITEMS 200
#define MAX_SAMPLES 200000
#define WARM_UP 400

struct samples {
    int64_t us[MAX_SAMPLES];
    _Atomic int n;
};

static struct samples from_daemon, from_relay;
static struct fr_kafka_conn conn;
static struct fr_topic_names names;
static char relay_in[80], relay_out[80];
static _Atomic bool stop;
static struct fr_clock wall;
static const char *stream_path, *catalogue_path;
static struct fr_lines *stream;
static struct fr_arena *arena;

static void no_ack(void *ctx, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset)
{
    (void)ctx;
    (void)cookie;
    (void)partition;
    (void)offset;
    if (err != FR_OK)
        fprintf(stderr, "delivery failed: %s\n", fr_err_text(err));
}

static struct fr_sink *new_sink(void)
{
    struct fr_kafka_sink_opts o = {.conn = conn, .names = &names, .ack = no_ack};
    struct fr_sink *sk;
    struct fr_fault fault;

    if (fr_kafka_sink_new(&o, &sk, &fault) != FR_OK) {
        fprintf(stderr, "%s\n", fault.msg);
        exit(1);
    }
    return sk;
}

static struct fr_log_reader *new_reader(const char *topic)
{
    struct fr_kafka_log_reader_opts o = {.conn = conn, .topic = topic, .fetch_wait_max_ms = 100};
    struct fr_log_reader *lr;
    struct fr_fault fault;

    if (fr_kafka_log_reader_new(&o, &lr, &fault) != FR_OK) {
        fprintf(stderr, "%s\n", fault.msg);
        exit(1);
    }
    return lr;
}

static void sample(struct samples *s, int64_t us)
{
    int i = atomic_load(&s->n);

    if (i < MAX_SAMPLES) {
        s->us[i] = us;
        atomic_store(&s->n, i + 1);
    }
}

/* The null relay: what comes in goes out. */
static void *relay_main(void *arg)
{
    struct fr_log_reader *lr = new_reader(relay_in);
    struct fr_sink *sk = new_sink();

    (void)arg;
    while (!atomic_load(&stop)) {
        struct fr_record rec;
        struct fr_outgoing m = {.role = FR_TOPIC_EVENTS, .topic = relay_out, .partition = FR_PARTITION_BY_KEY};
        (void)fr_sink_poll(sk, 0);
        if (fr_log_reader_poll(lr, 5, &rec) != FR_OK)
            continue;
        m.key = rec.key;
        m.value = rec.value;
        if (fr_sink_produce(sk, &m) != FR_OK)
            fprintf(stderr, "relay: produce failed\n");
        fr_log_reader_release(lr, &rec);
    }
    if (fr_sink_flush(sk, 5000) != FR_OK)
        fprintf(stderr, "relay: not all was delivered\n");
    fr_sink_free(sk);
    fr_log_reader_free(lr);
    return NULL;
}

/* Event times stand in the values with microseconds: "us":<n>. */
static int64_t sent_us(struct fr_str value, const char *mark)
{
    char tmp[4096];
    const char *at;
    size_t n = value.n < sizeof(tmp) - 1 ? value.n : sizeof(tmp) - 1;

    memcpy(tmp, value.p, n);
    tmp[n] = '\0';
    at = strstr(tmp, mark);
    return at == NULL ? 0 : strtoll(at + strlen(mark), NULL, 10);
}

static void *relay_reader(void *arg)
{
    struct fr_log_reader *lr = new_reader(relay_out);

    (void)arg;
    while (!atomic_load(&stop)) {
        struct fr_record rec;
        if (fr_log_reader_poll(lr, 5, &rec) != FR_OK)
            continue;
        sample(&from_relay, fr_clock_wall_us(&wall) - sent_us(rec.value, "\"us\":"));
        fr_log_reader_release(lr, &rec);
    }
    fr_log_reader_free(lr);
    return NULL;
}

static void *list_reader(void *arg)
{
    struct fr_log_reader *lr = new_reader(names.name[FR_TOPIC_RECOMMENDATIONS]);

    (void)arg;
    while (!atomic_load(&stop)) {
        struct fr_record rec;
        if (fr_log_reader_poll(lr, 5, &rec) != FR_OK)
            continue;
        /* the event id is its time in microseconds */
        sample(&from_daemon, fr_clock_wall_us(&wall) - sent_us(rec.value, "\"event_id\":\""));
        fr_log_reader_release(lr, &rec);
    }
    fr_log_reader_free(lr);
    return NULL;
}

static void make_topics(void)
{
    struct fr_topic_spec specs[FR_TOPIC_COUNT + 2];
    struct fr_topic_report reports[FR_TOPIC_COUNT + 2];
    struct fr_fault fault;
    int n = fr_kafka_topics_default(&names, PARTITIONS, 1, specs);

    specs[n] = (struct fr_topic_spec){.name = relay_in, .partitions = PARTITIONS, .replication = 1};
    specs[n + 1] = (struct fr_topic_spec){.name = relay_out, .partitions = PARTITIONS, .replication = 1};
    if (fr_kafka_topics_ensure(&conn, specs, n + 2, true, 30000, reports, &fault) != FR_OK) {
        fprintf(stderr, "%s\n", fault.msg);
        exit(1);
    }
}

/* One line's member as text, "" if absent; ids only. */
static void member(const struct fr_json *obj, const char *key, char out[64])
{
    const struct fr_json *v = fr_json_get(obj, key);

    out[0] = '\0';
    if (v != NULL && v->str.n < 64) {
        memcpy(out, v->str.p, v->str.n);
        out[v->str.n] = '\0';
    }
}

/* User and item of the next event: of the stream (from its start again at its end), or random ones. */
static void next_pair(struct fr_rng *rng, char user[64], char item[64])
{
    struct fr_json_error je;
    const struct fr_json *obj;
    struct fr_str line;
    struct fr_fault fault;

    if (stream_path == NULL) {
        snprintf(user, 64, "u%d", (int)fr_rng_below(rng, USERS));
        snprintf(item, 64, "i%d", (int)fr_rng_below(rng, ITEMS));
        return;
    }
    for (int tries = 0; tries < 2; tries++) {
        if (stream == NULL && fr_lines_open(stream_path, 1 << 20, &stream, &fault) != FR_OK) {
            fprintf(stderr, "%s\n", fault.msg);
            exit(1);
        }
        fr_arena_reset(arena);
        if (fr_lines_next(stream, &line) == FR_OK && fr_json_parse(arena, line, &obj, &je) == FR_OK) {
            member(obj, "user_id", user);
            member(obj, "item_id", item);
            if (user[0] != '\0' && item[0] != '\0')
                return;
        }
        fr_lines_free(stream);
        stream = NULL;
    }
    fprintf(stderr, "%s: no event with user_id and item_id\n", stream_path);
    exit(1);
}

static void send_event(struct fr_sink *sk, struct fr_rng *rng, bool relay)
{
    static char user[64], item[64];
    char json[400];
    struct fr_outgoing m = {.role = FR_TOPIC_EVENTS, .partition = FR_PARTITION_BY_KEY};
    struct timespec rest = {0, (long)(1000 - fr_clock_wall_us(&wall) % 1000) * 1000};
    int64_t us;

    (void)nanosleep(&rest, NULL);
    if (!relay) /* the relay gets the same record after the daemon */
        next_pair(rng, user, item);
    us = fr_clock_wall_us(&wall);
    snprintf(json, sizeof(json),
             "{\"event_id\":\"%lld\",\"type\":\"click\",\"user_id\":\"%s\",\"item_id\":\"%s\",\"ts\":%lld,\"us\":%lld}",
             (long long)us, user, item, (long long)(us / 1000), (long long)us);
    if (relay)
        m.topic = relay_in;
    m.key = fr_str_z(user);
    m.value = fr_str_z(json);
    while (fr_sink_produce(sk, &m) == FR_EFULL)
        (void)fr_sink_poll(sk, 1);
}

static void send_catalogue(struct fr_sink *sk)
{
    struct fr_outgoing m = {.role = FR_TOPIC_ITEMS, .partition = FR_PARTITION_BY_KEY};
    struct fr_lines *in;
    struct fr_fault fault;
    struct fr_json_error je;
    const struct fr_json *obj;
    char id[64];

    if (fr_lines_open(catalogue_path, 1 << 20, &in, &fault) != FR_OK) {
        fprintf(stderr, "%s\n", fault.msg);
        exit(1);
    }
    while (fr_lines_next(in, &m.value) == FR_OK) {
        fr_arena_reset(arena);
        if (fr_json_parse(arena, m.value, &obj, &je) != FR_OK)
            continue;
        member(obj, "item_id", id);
        m.key = fr_str_z(id);
        while (fr_sink_produce(sk, &m) == FR_EFULL)
            (void)fr_sink_poll(sk, 1);
    }
    fr_lines_free(in);
    if (fr_sink_flush(sk, 60000) != FR_OK)
        exit(1);
}

static void send_items(struct fr_sink *sk)
{
    for (int i = 0; i < ITEMS; i++) {
        char id[16], json[100];
        struct fr_outgoing m = {.role = FR_TOPIC_ITEMS, .partition = FR_PARTITION_BY_KEY};
        snprintf(id, sizeof(id), "i%d", i);
        snprintf(json, sizeof(json), "{\"item_id\":\"%s\",\"title\":\"Item %d\"}", id, i);
        m.key = fr_str_z(id);
        m.value = fr_str_z(json);
        if (fr_sink_produce(sk, &m) != FR_OK)
            exit(1);
    }
    if (fr_sink_flush(sk, 20000) != FR_OK)
        exit(1);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static void print_samples(const char *what, struct samples *s)
{
    int n = atomic_load(&s->n) - WARM_UP;
    int64_t *v = s->us + WARM_UP;

    if (n < 1) {
        printf("%-28s no samples\n", what);
        return;
    }
    qsort(v, (size_t)n, sizeof(*v), by_value);
    printf("%-28s n %6d  p50 %7.2f ms  p90 %7.2f ms  p99 %7.2f ms  max %8.2f ms\n", what, n,
           (double)v[n / 2] / 1000, (double)v[n * 9 / 10] / 1000, (double)v[n * 99 / 100] / 1000,
           (double)v[n - 1] / 1000);
}

static void beside(const char *what, double own, double outside)
{
    printf("  %-5s daemon's own %7.2f ms, outside %7.2f ms: %+.1f %%\n", what, own, outside,
           (own - outside) / outside * 100);
}

/* The daemon's histogram beside the outside consumer's samples, since `before`. Its quantiles are as
 * coarse as its buckets, its mean is exact: that decides. @return the means are within 10 %, and both have
 * seen every one of the `events` clicks (a few of the warm-up's may fall behind `before`) */
static bool own_figures(int port, const struct fr_demo_metrics *before, struct samples *s, int events)
{
    struct fr_demo_metrics m;
    const struct fr_demo_buckets *b = &m.recommendation, *b0 = &before->recommendation;
    int n = atomic_load(&s->n) - WARM_UP;
    const int64_t *v = s->us + WARM_UP;
    double own, outside = 0, counted;

    if (n < 1 || fr_demo_metrics_read(port, &m) != FR_OK) {
        printf("the daemon's own histogram could not be read\n");
        return false;
    }
    for (int i = 0; i < n; i++)
        outside += (double)v[i] / 1000 / n;
    own = fr_demo_buckets_mean_ms(b, b0);
    beside("mean", own, outside);
    beside("p50", fr_demo_buckets_ms(b, b0, 0.5), (double)v[n / 2] / 1000);
    beside("p99", fr_demo_buckets_ms(b, b0, 0.99), (double)v[n * 99 / 100] / 1000);
    counted = b->n == 0 ? 0 : b->count[b->n - 1] - (b0->n == 0 ? 0 : b0->count[b0->n - 1]);
    if (n != events || fabs(counted - events) > 0.01 * events) {
        printf("of %d clicks, %d lists came outside, %.0f in the daemon's own histogram\n", events, n, counted);
        return false;
    }
    return fabs(own - outside) <= 0.1 * outside;
}

/* Port of the daemon's HTTP server, off its log. */
static int http_port(struct proc *d)
{
    const char *at = strstr(proc_output(d, 2, 0), "http_port=");

    return at == NULL ? 0 : (int)strtol(at + 10, NULL, 10);
}

int main(int argc, char **argv)
{
    struct fr_demo_metrics before;
    bool ok;
    char set[4][300], unique[40], prefix[48];
    const char *dargv[64] = {FR_BENCH_DAEMON};
    struct fr_rng rng;
    struct fr_sink *sk;
    struct proc *d;
    pthread_t t[3];
    int rate = 200, events = 4000, n = 1;
    int64_t next;

    if (argc < 3) {
        fprintf(stderr, "usage: bench_freshness BOOTSTRAP REDIS_ADDRESS [--rate N] [--events N] [--set k=v]...\n");
        return 2;
    }
    fr_clock_init_real(&wall);
    fr_rng_seed(&rng, 7);
    conn = (struct fr_kafka_conn){.brokers = argv[1]};
    kafka_server_unique("bf", unique, sizeof(unique));
    snprintf(prefix, sizeof(prefix), "%s.", unique);
    snprintf(relay_in, sizeof(relay_in), "%srelay-in", prefix);
    snprintf(relay_out, sizeof(relay_out), "%srelay-out", prefix);
    if (fr_topic_names_init(&names, prefix) != FR_OK)
        return 1;
    snprintf(set[0], sizeof(set[0]), "kafka.brokers=%s", argv[1]);
    snprintf(set[1], sizeof(set[1]), "redis.address=%s", argv[2]);
    snprintf(set[2], sizeof(set[2]), "topics.prefix=%s", prefix);
    snprintf(set[3], sizeof(set[3]), "kafka.group=%s", unique);
    for (int i = 0; i < 4; i++) {
        dargv[n++] = "--set";
        dargv[n++] = set[i];
    }
    dargv[n++] = "--set";
    dargv[n++] = "http.port=0";
    dargv[n++] = "--set";
    dargv[n++] = "recommend.repeat=allow";
    for (int i = 3; i + 1 < argc && n < 60; i += 2) {
        if (strcmp(argv[i], "--rate") == 0)
            rate = (int)strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--events") == 0)
            events = (int)strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--stream") == 0)
            stream_path = argv[i + 1];
        else if (strcmp(argv[i], "--catalogue") == 0)
            catalogue_path = argv[i + 1];
        else {
            dargv[n++] = "--set";
            dargv[n++] = argv[i + 1];
        }
    }
    if (fr_arena_new(1 << 16, 0, &arena) != FR_OK)
        return 1;
    make_topics();
    sk = new_sink();
    if (catalogue_path != NULL)
        send_catalogue(sk);
    else
        send_items(sk);
    d = proc_spawn(dargv, NULL);
    if (d == NULL || !proc_wait_text(d, 2, "taken", 30000)) {
        fprintf(stderr, "the daemon did not start: %s\n", d == NULL ? "" : proc_output(d, 2, 0));
        return 1;
    }
    (void)pthread_create(&t[0], NULL, relay_main, NULL);
    (void)pthread_create(&t[1], NULL, relay_reader, NULL);
    (void)pthread_create(&t[2], NULL, list_reader, NULL);
    proc_pause_ms(1500);
    next = fr_clock_mono_us(&wall);
    memset(&before, 0, sizeof(before));
    for (int i = 0; i < 2 * (events + WARM_UP); i++) {
        if (i == 2 * WARM_UP) {
            proc_pause_ms(200);
            if (fr_demo_metrics_read(http_port(d), &before) != FR_OK)
                fprintf(stderr, "the daemon's metrics cannot be read\n");
            next = fr_clock_mono_us(&wall);
        }
        send_event(sk, &rng, (i & 1) != 0); /* one for the daemon, one for the relay */
        (void)fr_sink_poll(sk, 0);
        next += 1000000 / (2 * rate);
        while (fr_clock_mono_us(&wall) < next)
            (void)fr_sink_poll(sk, 1);
    }
    proc_pause_ms(1500);
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        (void)pthread_join(t[i], NULL);
    printf("rate %d/s each, %d partitions, outside consumer\n", rate, PARTITIONS);
    print_samples("click -> recommendation", &from_daemon);
    print_samples("null relay", &from_relay);
    ok = own_figures(http_port(d), &before, &from_daemon, events);
    (void)proc_signal(d, SIGTERM);
    (void)proc_wait(d, 20000);
    proc_free(d);
    fr_sink_free(sk);
    fr_lines_free(stream);
    fr_arena_free(arena);
    return ok ? 0 : 1;
}
