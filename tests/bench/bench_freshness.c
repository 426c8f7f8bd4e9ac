/*
 * tests/bench/bench_freshness.c - click to recommendation on a real Kafka, timed from outside, beside a
 * null relay (consume, produce) with the same client settings, interleaved in the same run.
 *
 *   bench_freshness BOOTSTRAP REDIS_ADDRESS [--rate N] [--events N] [--set k=v]...
 *
 * Prints p50 and p99 of: daemon (event time to the outside consumer), relay, and the daemon's own
 * histogram. Topics and group are new ones. Users: 1,000; items: 200; lists from the user's history
 * and decayed-popular, and from the models if --set names bundles.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/rng.h"
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

static void send_event(struct fr_sink *sk, struct fr_rng *rng, bool relay)
{
    char user[16], json[300];
    int64_t us = fr_clock_wall_us(&wall);
    struct fr_outgoing m = {.role = FR_TOPIC_EVENTS, .partition = FR_PARTITION_BY_KEY};

    snprintf(user, sizeof(user), "u%d", (int)fr_rng_below(rng, USERS));
    snprintf(json, sizeof(json),
             "{\"event_id\":\"%lld\",\"type\":\"click\",\"user_id\":\"%s\",\"item_id\":\"i%d\",\"ts\":%lld,\"us\":%lld}",
             (long long)us, user, (int)fr_rng_below(rng, ITEMS), (long long)(us / 1000), (long long)us);
    if (relay)
        m.topic = relay_in;
    m.key = fr_str_z(user);
    m.value = fr_str_z(json);
    while (fr_sink_produce(sk, &m) == FR_EFULL)
        (void)fr_sink_poll(sk, 1);
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

int main(int argc, char **argv)
{
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
    dargv[n++] = "http.listen=";
    dargv[n++] = "--set";
    dargv[n++] = "recommend.repeat=allow";
    for (int i = 3; i + 1 < argc && n < 60; i += 2) {
        if (strcmp(argv[i], "--rate") == 0)
            rate = (int)strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--events") == 0)
            events = (int)strtol(argv[i + 1], NULL, 10);
        else {
            dargv[n++] = "--set";
            dargv[n++] = argv[i + 1];
        }
    }
    make_topics();
    sk = new_sink();
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
    for (int i = 0; i < 2 * (events + WARM_UP); i++) {
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
    (void)proc_signal(d, SIGTERM);
    (void)proc_wait(d, 20000);
    proc_free(d);
    fr_sink_free(sk);
    return 0;
}
