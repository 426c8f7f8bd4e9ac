/*
 * daemon/stream/kafka_conf.c - librdkafka configuration, error mapping, metadata.
 *
 * The settings that Freshet's delivery rules rest on (RESERVED) can't be overridden by the user's
 * pass-through settings: a changed partitioner or an automatic commit would lose or misplace
 * records without any error.
 */
#include "daemon/stream/kafka_conf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/base/log.h"
#include "daemon/stream/kafka_conf_priv.h"

/* name -> why it is ours */
static const struct {
    const char *name;
    const char *why;
} RESERVED[] = {
    {"bootstrap.servers", "set kafka.brokers"},
    {"metadata.broker.list", "set kafka.brokers"},
    {"group.id", "set kafka.group"},
    {"group.instance.id", "set kafka.instance_id"},
    {"enable.auto.commit", "offsets move only when their effects are safe"},
    {"enable.auto.offset.store", "offsets move only when their effects are safe"},
    {"auto.commit.enable", "offsets move only when their effects are safe"},
    {"auto.offset.reset", "a missing offset must be refused, not jumped over"},
    {"partition.assignment.strategy", "inputs are co-partitioned by range"},
    {"enable.partition.eof", "used internally"},
    {"enable.idempotence", "always on"},
    {"max.in.flight", "1, for order and latency"},
    {"max.in.flight.requests.per.connection", "1, for order and latency"},
    {"partitioner", "murmur2_random, as in other clients"},
    {"acks", "all"},
    {"request.required.acks", "all"},
    {"transactional.id", "reserved for delivery: exactly_once"},
    {"test.mock.num.brokers", "use the embedded broker"},
    {"delivery.report.only.error", "every record needs its acknowledgement"},
};

const char *fr_kafka_version(void)
{
    return rd_kafka_version_str();
}

int64_t fr_kafka_now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Runs on any librdkafka thread: touches nothing but the log. */
static void on_log(const rd_kafka_t *rk, int level, const char *fac, const char *buf)
{
    (void)rk;
    enum fr_log_level l = level <= 3   ? FR_LOG_ERROR
                          : level <= 4 ? FR_LOG_WARN
                          : level <= 6 ? FR_LOG_INFO
                                       : FR_LOG_DEBUG;
    fr_log(l, "librdkafka", "facility=%s text=\"%s\"", fac, buf);
}

static enum fr_err
set_one(rd_kafka_conf_t *conf, const char *name, const char *value, struct fr_fault *fault)
{
    char text[256];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK)
        return FR_OK;
    /* librdkafka's text repeats the value: that of a password must not reach a log */
    if (strstr(name, "password") != NULL || strstr(name, "secret") != NULL ||
        strstr(name, "pem") != NULL)
        return fr_fault(fault, FR_EINVAL, "kafka.%s: value refused by librdkafka", name);
    return fr_fault(fault, FR_EINVAL, "kafka.%s: %s", name, text);
}

static enum fr_err
set_user(rd_kafka_conf_t *conf, const struct fr_kafka_conn *conn, struct fr_fault *fault)
{
    for (int i = 0; i < conn->n_settings; i++) {
        const struct fr_kafka_setting *s = &conn->settings[i];
        if (s->name == NULL || s->value == NULL)
            return fr_fault(fault, FR_EINVAL, "kafka: setting %d has no name or no value", i);
        for (size_t r = 0; r < sizeof RESERVED / sizeof RESERVED[0]; r++)
            if (strcmp(s->name, RESERVED[r].name) == 0)
                return fr_fault(
                    fault, FR_EINVAL, "kafka.%s can't be set: %s", s->name, RESERVED[r].why);
        enum fr_err e = set_one(conf, s->name, s->value, fault);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

rd_kafka_conf_t *fr_kafka_conf_bare(void)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (conf != NULL)
        rd_kafka_conf_set_log_cb(conf, on_log);
    return conf;
}

enum fr_err fr_kafka_conf_new(const struct fr_kafka_conn *conn,
                              const struct fr_kafka_default *own,
                              rd_kafka_conf_t **out_conf,
                              struct fr_fault *fault)
{
    if (conn->brokers == NULL || conn->brokers[0] == '\0')
        return fr_fault(fault, FR_EINVAL, "kafka.brokers is empty");
    rd_kafka_conf_t *conf = fr_kafka_conf_bare();
    if (conf == NULL)
        return fr_fault(fault, FR_ENOMEM, "kafka: out of memory");
    enum fr_err e = set_one(conf, "bootstrap.servers", conn->brokers, fault);
    if (e == FR_OK)
        e = set_one(
            conf, "client.id", conn->client_id == NULL ? "freshet" : conn->client_id, fault);
    /* measured: a broker that was away for 3 s is used again after 15 s instead of 17-20 s */
    if (e == FR_OK)
        e = set_one(conf, "reconnect.backoff.max.ms", "1000", fault);
    for (const struct fr_kafka_default *d = own; e == FR_OK && d != NULL && d->name != NULL; d++) {
        char number[24];
        snprintf(number, sizeof number, "%" PRId64, d->number);
        e = set_one(conf, d->name, d->value == NULL ? number : d->value, fault);
    }
    if (e == FR_OK)
        e = set_user(conf, conn, fault);
    if (e != FR_OK) {
        rd_kafka_conf_destroy(conf);
        return e;
    }
    *out_conf = conf;
    return FR_OK;
}

enum fr_err fr_kafka_conn_check(const struct fr_kafka_conn *conn, struct fr_fault *fault)
{
    rd_kafka_conf_t *conf = NULL;
    enum fr_err e = fr_kafka_conf_new(conn, NULL, &conf, fault);
    if (e == FR_OK)
        rd_kafka_conf_destroy(conf);
    return e;
}

enum fr_err fr_kafka_client_new(rd_kafka_type_t type,
                                rd_kafka_conf_t **take_conf,
                                rd_kafka_t **out_rk,
                                struct fr_fault *fault)
{
    char text[256];
    rd_kafka_conf_t *conf = *take_conf;
    *take_conf = NULL;
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof text);
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        return fr_fault(fault, FR_EKAFKA, "kafka: client not created: %s", text);
    }
    *out_rk = rk;
    return FR_OK;
}

enum fr_err fr_kafka_err(rd_kafka_resp_err_t e)
{
    switch ((int)e) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return FR_OK;
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
    case RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
        return FR_EFENCED;
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
        return FR_ETIMEOUT;
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
    case RD_KAFKA_RESP_ERR__FATAL:
        return FR_EAGAIN;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return FR_EFULL;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        return FR_ETOOLARGE;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return FR_ENOTFOUND;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        return FR_EREFUSED;
    default:
        return FR_EKAFKA;
    }
}

enum fr_err fr_kafka_partition_err(rd_kafka_resp_err_t e)
{
    switch ((int)e) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        return FR_ERANGE;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return FR_ENOTFOUND;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        return FR_EREFUSED;
    default:
        return FR_EKAFKA;
    }
}

static void short_pause(void)
{
    struct timespec pause = {0, 50 * 1000000};
    nanosleep(&pause, NULL);
}

enum fr_err fr_kafka_watermarks(rd_kafka_t *rk,
                                const char *topic,
                                int32_t partition,
                                int timeout_ms,
                                int64_t *out_low,
                                int64_t *out_high)
{
    int64_t deadline = fr_kafka_now_ms() + timeout_ms;
    for (;;) {
        int64_t left = deadline - fr_kafka_now_ms();
        enum fr_err e = fr_kafka_err(rd_kafka_query_watermark_offsets(
            rk, topic, partition, out_low, out_high, (int)(left < 1 ? 1 : left)));
        if (e != FR_EAGAIN)
            return e;
        if (fr_kafka_now_ms() >= deadline)
            return FR_ETIMEOUT;
        short_pause();
    }
}

/* One metadata request; *why is librdkafka's reason. */
static enum fr_err ask_count(
    rd_kafka_t *rk, rd_kafka_topic_t *rkt, int timeout_ms, int32_t *out_n, rd_kafka_resp_err_t *why)
{
    const struct rd_kafka_metadata *md = NULL;
    *why = rd_kafka_metadata(rk, 0, rkt, &md, timeout_ms);
    if (*why != RD_KAFKA_RESP_ERR_NO_ERROR)
        return fr_kafka_err(*why);
    enum fr_err e = FR_ENOTFOUND;
    if (md->topic_cnt == 1) {
        *why = md->topics[0].err;
        e = fr_kafka_err(*why);
        if (e == FR_OK && md->topics[0].partition_cnt <= 0)
            e = FR_ENOTFOUND;
        if (e == FR_OK)
            *out_n = (int32_t)md->topics[0].partition_cnt;
    }
    rd_kafka_metadata_destroy(md);
    return e;
}

enum fr_err fr_kafka_count_partitions(
    rd_kafka_t *rk, const char *topic, int timeout_ms, int32_t *out_n, struct fr_fault *fault)
{
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    if (rkt == NULL)
        return fr_fault(fault, FR_EINVAL, "kafka: bad topic name \"%s\"", topic);
    int64_t deadline = fr_kafka_now_ms() + timeout_ms;
    rd_kafka_resp_err_t why = RD_KAFKA_RESP_ERR_NO_ERROR;
    enum fr_err e;
    for (;;) {
        int64_t left = deadline - fr_kafka_now_ms();
        e = ask_count(rk, rkt, (int)(left < 1 ? 1 : left > 2000 ? 2000 : left), out_n, &why);
        bool passing =
            e == FR_EAGAIN || e == FR_ETIMEOUT || why == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
        if (!passing || fr_kafka_now_ms() >= deadline)
            break;
        struct timespec pause = {0, 50 * 1000000};
        nanosleep(&pause, NULL);
    }
    rd_kafka_topic_destroy(rkt);
    if (e == FR_OK)
        return FR_OK;
    if (e == FR_EAGAIN)
        e = FR_ETIMEOUT;
    if (e == FR_ENOTFOUND)
        return fr_fault(
            fault, e, "kafka: topic \"%s\" does not exist: run `freshet topics create`", topic);
    return fr_fault(
        fault, e, "kafka: no metadata of topic \"%s\": %s", topic, rd_kafka_err2str(why));
}

void fr_kafka_record(rd_kafka_message_t *m, enum fr_topic_role role, struct fr_record *out)
{
    rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    int64_t ts = rd_kafka_message_timestamp(m, &type);
    *out = (struct fr_record){
        .role = role,
        .partition = m->partition,
        .offset = m->offset,
        .ts_ms = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : ts,
        .key = {m->key, m->key == NULL ? 0 : m->key_len},
        .value = {m->payload, m->payload == NULL ? 0 : m->len},
        .refused = FR_OK,
        .opaque = m,
    };
}

enum fr_err fr_kafka_header(const rd_kafka_message_t *m, int i, struct fr_header *out)
{
    rd_kafka_headers_t *hs = NULL;
    const char *name = NULL;
    const void *value = NULL;
    size_t size = 0;
    if (i < 0 || rd_kafka_message_headers(m, &hs) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return FR_ENOTFOUND;
    if (rd_kafka_header_get_all(hs, (size_t)i, &name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return FR_ENOTFOUND;
    *out = (struct fr_header){name, {value, value == NULL ? 0 : size}};
    return FR_OK;
}
