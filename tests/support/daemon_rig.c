/*
 * tests/support/daemon_rig.c - see daemon_rig.h.
 */
#include "tests/support/daemon_rig.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/cli/http_get.h"
#include "daemon/stream/kafka_log_reader.h"
#include "daemon/stream/kafka_sink.h"

#define MAX_ARGS 80

static void on_ack(void *ctx, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset)
{
    struct daemon_rig *d = ctx;

    (void)cookie;
    (void)partition;
    (void)offset;
    d->unacked--;
    if (err != FR_OK)
        d->failed_acks++;
}

static void make_sink(struct daemon_rig *d)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_kafka_sink_opts o = {
        .conn = {.brokers = d->brokers}, .names = &d->names, .ack = on_ack, .ack_ctx = d};

    fr_sink_free(d->sink);
    d->sink = NULL;
    d->unacked = 0;
    ck_assert_msg(fr_kafka_sink_new(&o, &d->sink, &fault) == FR_OK, "%s", fault.msg);
}

void daemon_rig_init(struct daemon_rig *d, bool own_broker)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};

    (void)signal(SIGPIPE, SIG_IGN);
    memset(d, 0, sizeof(*d));
    fr_buf_init(&d->body);
    d->redis = redis_server_start(NULL);
    ck_assert_ptr_nonnull(d->redis);
    (void)snprintf(d->redis_address, sizeof(d->redis_address), "unix:%s", redis_server_socket(d->redis));
    ck_assert_int_eq(fr_topic_names_init(&d->names, ""), FR_OK);
    if (!own_broker)
        return;
    ck_assert_msg(fr_kafka_embedded_new(1, &d->broker, &fault) == FR_OK, "%s", fault.msg);
    for (int r = 0; r < FR_TOPIC_COUNT; r++)
        ck_assert_int_eq(fr_kafka_embedded_create_topic(d->broker, d->names.name[r], DAEMON_PARTITIONS), FR_OK);
    (void)snprintf(d->brokers, sizeof(d->brokers), "%s", fr_kafka_embedded_brokers(d->broker));
    make_sink(d);
}

void daemon_rig_done(struct daemon_rig *d)
{
    proc_free(d->proc);
    d->proc = NULL;
    fr_sink_free(d->sink);
    d->sink = NULL;
    fr_kafka_embedded_free(d->broker);
    d->broker = NULL;
    redis_server_free(d->redis);
    d->redis = NULL;
    fr_buf_done(&d->body);
}

void daemon_start(struct daemon_rig *d, const char *const *set)
{
    char brokers[300], redis[340];
    const char *argv[MAX_ARGS] = {FR_BUILD_DIR "/freshetd"};
    const char *fixed[] = {brokers, redis, "http.port=0", "kafka.commit_interval_ms=50",
                           "kafka.fetch_wait_max_ms=5", "kafka.session_timeout_ms=6000", NULL};
    int n = 1;

    (void)snprintf(brokers, sizeof(brokers), "kafka.brokers=%s", d->broker == NULL ? "embedded" : d->brokers);
    (void)snprintf(redis, sizeof(redis), "redis.address=%s", d->redis_address);
    for (int i = 0; fixed[i] != NULL; i++) {
        argv[n++] = "--set";
        argv[n++] = fixed[i];
    }
    for (int i = 0; set != NULL && set[i] != NULL && n < MAX_ARGS - 3; i++) {
        if (strncmp(set[i], "--", 2) == 0) {
            argv[n++] = set[i++];
            argv[n++] = set[i];
            continue;
        }
        argv[n++] = "--set";
        argv[n++] = set[i];
    }
    argv[n] = NULL;
    proc_free(d->proc);
    d->http_port = 0;
    d->proc = proc_spawn(argv, NULL);
    ck_assert_ptr_nonnull(d->proc);
}

const char *daemon_log(struct daemon_rig *d)
{
    return proc_output(d->proc, 2, 0);
}

/* The text after `name` in the log, up to white space. */
static bool log_value(struct daemon_rig *d, const char *name, char *out, size_t cap)
{
    const char *at;
    size_t n;

    if (!proc_wait_text(d->proc, 2, name, 30000))
        return false;
    at = strstr(daemon_log(d), name) + strlen(name);
    n = strcspn(at, " \n");
    if (n == 0 || n >= cap || (at[n] != '\n' && at[n] != ' '))
        return false; /* the line is still being written: not in practice, one write() a line */
    memcpy(out, at, n);
    out[n] = '\0';
    return true;
}

void daemon_wait_ports(struct daemon_rig *d)
{
    char port[32];

    ck_assert_msg(log_value(d, "http_port=", port, sizeof(port)), "%s", daemon_log(d));
    d->http_port = (int)strtol(port, NULL, 10);
    if (d->broker == NULL) {
        ck_assert_msg(log_value(d, "embedded_brokers=", d->brokers, sizeof(d->brokers)), "%s", daemon_log(d));
        make_sink(d);
    }
}

void daemon_wait_ready(struct daemon_rig *d)
{
    daemon_wait_ports(d);
    ck_assert_msg(daemon_get_until(d, "/readyz", 200, NULL, 60000), "%.*s\n%s", (int)d->body.n, d->body.p,
                  daemon_log(d));
}

void daemon_stop(struct daemon_rig *d)
{
    int status;

    (void)proc_signal(d->proc, SIGTERM);
    status = proc_wait(d->proc, 30000);
    ck_assert_msg(status == 0, "exit status %d; daemon says:\n%s", status, daemon_log(d));
}

int daemon_get(struct daemon_rig *d, const char *path)
{
    int status = 0;
    enum fr_err e;

    fr_buf_clear(&d->body);
    e = fr_http_get(d->http_port, path, (int)proc_deadline_ms(5000), &status, &d->body);
    fr_buf_putc(&d->body, '\0');
    return e == FR_OK ? status : 0;
}

bool daemon_get_until(struct daemon_rig *d, const char *path, int status, const char *text, int64_t deadline_ms)
{
    int64_t end = proc_now_ms() + proc_deadline_ms(deadline_ms);

    for (;;) {
        if (daemon_get(d, path) == status && (text == NULL || strstr(d->body.p, text) != NULL))
            return true;
        if (proc_now_ms() >= end)
            return false;
        proc_pause_ms(10);
    }
}

void daemon_produce(struct daemon_rig *d, enum fr_topic_role role, const char *key, const char *value)
{
    struct fr_outgoing m = {.role = role,
                            .partition = FR_PARTITION_BY_KEY,
                            .key = fr_str_z(key),
                            .value = value == NULL ? (struct fr_str){NULL, 0} : fr_str_z(value)};

    ck_assert_int_eq(fr_sink_produce(d->sink, &m), FR_OK);
    d->unacked++;
}

void daemon_click(struct daemon_rig *d, const char *user, const char *event_id, const char *item)
{
    struct fr_clock clock;
    char json[400];

    fr_clock_init_real(&clock);
    (void)snprintf(json, sizeof(json),
                   "{\"event_id\":\"%s\",\"type\":\"click\",\"user_id\":\"%s\",\"item_id\":\"%s\",\"ts\":%lld}",
                   event_id, user, item, (long long)fr_clock_wall_ms(&clock));
    daemon_produce(d, FR_TOPIC_EVENTS, user, json);
}

void daemon_catalogue(struct daemon_rig *d, int n)
{
    for (int i = 0; i < n; i++) {
        char id[16], json[200];
        (void)snprintf(id, sizeof(id), "i%d", i);
        (void)snprintf(json, sizeof(json), "{\"item_id\":\"%s\",\"title\":\"Item %d\",\"categories\":[\"c%d\"]}", id, i,
                       i % 5);
        daemon_produce(d, FR_TOPIC_ITEMS, id, json);
    }
    daemon_flush(d);
}

void daemon_flush(struct daemon_rig *d)
{
    ck_assert_int_eq(fr_sink_flush(d->sink, (int)proc_deadline_ms(30000)), FR_OK);
    ck_assert_int_eq(d->unacked, 0);
    ck_assert_int_eq(d->failed_acks, 0);
}

int daemon_read(struct daemon_rig *d, enum fr_topic_role role, daemon_record_fn each, void *ctx)
{
    struct fr_kafka_log_reader_opts o = {.conn = {.brokers = d->brokers},
                                         .topic = d->names.name[role],
                                         .role = role,
                                         .fetch_wait_max_ms = FR_KAFKA_EMBEDDED_FETCH_WAIT_MS,
                                         .fetch_error_backoff_ms = FR_KAFKA_EMBEDDED_FETCH_BACKOFF_MS};
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    int64_t end = proc_now_ms() + proc_deadline_ms(30000);
    struct fr_log_reader *lr;
    int n = 0;

    ck_assert_msg(fr_kafka_log_reader_new(&o, &lr, &fault) == FR_OK, "%s", fault.msg);
    while (!fr_log_reader_caught_up(lr)) {
        struct fr_record rec;
        ck_assert_msg(proc_now_ms() < end, "topic %s was not read to its end", d->names.name[role]);
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

bool daemon_read_until(struct daemon_rig *d, enum fr_topic_role role, int n, int64_t deadline_ms)
{
    int64_t end = proc_now_ms() + proc_deadline_ms(deadline_ms);

    while (daemon_read(d, role, NULL, NULL) < n) {
        if (proc_now_ms() >= end)
            return false;
        proc_pause_ms(20);
    }
    return true;
}
