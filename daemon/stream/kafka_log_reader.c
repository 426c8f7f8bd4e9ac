/*
 * daemon/stream/kafka_log_reader.c - a whole topic by librdkafka's consumer without a group.
 *
 * The legacy consume_start interface: no group id, no rebalance, and each partition is started
 * straight onto our queue, so there is no forward that could be lost. Partition EOF events tell the
 * position past trailing records that compaction or transactions have hidden.
 */
#include "daemon/stream/kafka_log_reader.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/log.h"
#include "daemon/stream/kafka_conf_priv.h"

#define DEFAULT_TIMEOUT_MS 10000

struct kafka_log_reader {
    struct fr_log_reader base;
    rd_kafka_t *rk;
    rd_kafka_topic_t *rkt;
    rd_kafka_queue_t *q;
    enum fr_topic_role role;
    int32_t n;
    int64_t *position; /* by partition */
    int64_t *target;
    int32_t started; /* partitions [0, started) are being fetched */
    bool caught_up;
};

static struct kafka_log_reader *self(struct fr_log_reader *lr)
{
    return (struct kafka_log_reader *)lr;
}

static enum fr_err
refused(struct kafka_log_reader *kr, const rd_kafka_message_t *m, struct fr_record *out)
{
    enum fr_err why = fr_kafka_partition_err(m->err);
    if (why == FR_EKAFKA || m->rkt == NULL) {
        fr_log(FR_LOG_WARN,
               "kafka",
               "what=\"log reader\" partition=%d text=\"%s\"",
               (int)m->partition,
               rd_kafka_err2str(m->err));
        return FR_EKAFKA;
    }
    *out = (struct fr_record){.role = kr->role,
                              .partition = m->partition,
                              .offset = m->offset,
                              .ts_ms = -1,
                              .refused = why};
    return FR_EREFUSED;
}

static enum fr_err reader_poll(struct fr_log_reader *lr, int timeout_ms, struct fr_record *out)
{
    struct kafka_log_reader *kr = self(lr);
    int64_t deadline = fr_kafka_now_ms() + timeout_ms;
    for (;;) {
        int64_t left = deadline - fr_kafka_now_ms();
        rd_kafka_poll(kr->rk, 0);
        rd_kafka_message_t *m = rd_kafka_consume_queue(kr->q, (int)(left < 0 ? 0 : left));
        if (m == NULL)
            return FR_EAGAIN;
        bool ours = m->partition >= 0 && m->partition < kr->n;
        if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR && ours) {
            kr->position[m->partition] = m->offset + 1;
            fr_kafka_record(m, kr->role, out);
            return FR_OK;
        }
        if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && ours) {
            if (m->offset > kr->position[m->partition])
                kr->position[m->partition] = m->offset;
            rd_kafka_message_destroy(m);
            continue;
        }
        enum fr_err e = refused(kr, m, out);
        rd_kafka_message_destroy(m);
        return e;
    }
}

static void reader_release(struct fr_log_reader *lr, struct fr_record *rec)
{
    (void)lr;
    rd_kafka_message_destroy(rec->opaque);
}

static enum fr_err reader_header(const struct fr_record *rec, int i, struct fr_header *out)
{
    return fr_kafka_header(rec->opaque, i, out);
}

static int32_t reader_partitions(const struct fr_log_reader *lr)
{
    return ((const struct kafka_log_reader *)lr)->n;
}

static int64_t reader_position(const struct fr_log_reader *lr, int32_t partition)
{
    const struct kafka_log_reader *kr = (const struct kafka_log_reader *)lr;
    return partition < 0 || partition >= kr->n ? FR_OFFSET_NONE : kr->position[partition];
}

static int64_t reader_target(const struct fr_log_reader *lr, int32_t partition)
{
    const struct kafka_log_reader *kr = (const struct kafka_log_reader *)lr;
    return partition < 0 || partition >= kr->n ? FR_OFFSET_NONE : kr->target[partition];
}

static bool reader_caught_up(struct fr_log_reader *lr)
{
    struct kafka_log_reader *kr = self(lr);
    for (int32_t p = 0; !kr->caught_up && p < kr->n; p++)
        if (kr->position[p] < kr->target[p])
            return false;
    kr->caught_up = true;
    return true;
}

static void reader_free(struct fr_log_reader *lr)
{
    struct kafka_log_reader *kr = self(lr);
    for (int32_t p = 0; p < kr->started; p++)
        rd_kafka_consume_stop(kr->rkt, p);
    if (kr->q != NULL)
        rd_kafka_queue_destroy(kr->q);
    if (kr->rkt != NULL)
        rd_kafka_topic_destroy(kr->rkt);
    if (kr->rk != NULL)
        rd_kafka_destroy(kr->rk);
    fr_free(kr->position);
    fr_free(kr->target);
    fr_free(kr);
}

static const struct fr_log_reader_ops OPS = {
    .poll = reader_poll,
    .release = reader_release,
    .header = reader_header,
    .partitions = reader_partitions,
    .position = reader_position,
    .target = reader_target,
    .caught_up = reader_caught_up,
    .free = reader_free,
};

static enum fr_err make_client(struct kafka_log_reader *kr,
                               const struct fr_kafka_log_reader_opts *o,
                               int timeout_ms,
                               struct fr_fault *fault)
{
    const struct fr_kafka_default own[] = {
        {"enable.auto.commit", "false", 0},
        {"enable.auto.offset.store", "false", 0},
        {"auto.offset.reset", "error", 0},
        {"enable.partition.eof", "true", 0},
        {"queued.max.messages.kbytes", NULL, 16384},
        {"fetch.min.bytes", NULL, 1},
        {"fetch.wait.max.ms", NULL, o->fetch_wait_max_ms == 0 ? 500 : o->fetch_wait_max_ms},
        {"fetch.error.backoff.ms",
         NULL,
         o->fetch_error_backoff_ms == 0 ? 500 : o->fetch_error_backoff_ms},
        {NULL, NULL, 0},
    };
    rd_kafka_conf_t *conf = NULL;
    enum fr_err e = fr_kafka_conf_new(&o->conn, own, &conf, fault);
    if (e == FR_OK)
        e = fr_kafka_client_new(RD_KAFKA_CONSUMER, &conf, &kr->rk, fault);
    if (e != FR_OK)
        return e;
    kr->rkt = rd_kafka_topic_new(kr->rk, o->topic, NULL);
    if (kr->rkt == NULL)
        return fr_fault(fault, FR_EINVAL, "kafka: bad topic name \"%s\"", o->topic);
    kr->q = rd_kafka_queue_new(kr->rk);
    if (kr->q == NULL)
        return fr_fault(fault, FR_ENOMEM, "kafka: out of memory");
    return fr_kafka_count_partitions(kr->rk, o->topic, timeout_ms, &kr->n, fault);
}

/* Where each partition starts and where it is caught up. */
static enum fr_err resolve(struct kafka_log_reader *kr,
                           const struct fr_kafka_log_reader_opts *o,
                           int timeout_ms,
                           struct fr_fault *fault)
{
    if (o->start != NULL && o->n_start != kr->n)
        return fr_fault(fault,
                        FR_EMISMATCH,
                        "kafka: \"%s\" has %d partitions, start offsets are for %d",
                        o->topic,
                        (int)kr->n,
                        (int)o->n_start);
    kr->position = fr_calloc((size_t)kr->n, sizeof *kr->position);
    kr->target = fr_calloc((size_t)kr->n, sizeof *kr->target);
    if (kr->position == NULL || kr->target == NULL)
        return fr_fault(fault, FR_ENOMEM, "kafka: out of memory");
    for (int32_t p = 0; p < kr->n; p++) {
        int64_t low = 0, high = 0;
        enum fr_err e = fr_kafka_watermarks(kr->rk, o->topic, p, timeout_ms, &low, &high);
        if (e != FR_OK)
            return fr_fault(fault,
                            e,
                            "kafka: offsets of \"%s\" partition %d: %s",
                            o->topic,
                            (int)p,
                            fr_err_text(e));
        kr->target[p] = high;
        kr->position[p] = o->start == NULL ? low : o->start[p];
        if (kr->position[p] < low || kr->position[p] > high)
            return fr_fault(fault,
                            FR_ERANGE,
                            "kafka: \"%s\" partition %d: offset %lld is outside of [%lld, %lld]",
                            o->topic,
                            (int)p,
                            (long long)kr->position[p],
                            (long long)low,
                            (long long)high);
    }
    return FR_OK;
}

enum fr_err fr_kafka_log_reader_new(const struct fr_kafka_log_reader_opts *opts,
                                    struct fr_log_reader **out_reader,
                                    struct fr_fault *fault)
{
    if (opts->topic == NULL || opts->topic[0] == '\0')
        return fr_fault(fault, FR_EINVAL, "kafka: no topic given");
    struct kafka_log_reader *kr = fr_calloc(1, sizeof *kr);
    if (kr == NULL)
        return fr_fault(fault, FR_ENOMEM, "kafka: out of memory");
    int timeout_ms = opts->timeout_ms == 0 ? DEFAULT_TIMEOUT_MS : opts->timeout_ms;
    kr->base.ops = &OPS;
    kr->role = opts->role;
    enum fr_err e = make_client(kr, opts, timeout_ms, fault);
    if (e == FR_OK)
        e = resolve(kr, opts, timeout_ms, fault);
    for (int32_t p = 0; e == FR_OK && p < kr->n; p++) {
        if (rd_kafka_consume_start_queue(kr->rkt, p, kr->position[p], kr->q) != 0)
            e = fr_fault(fault,
                         FR_EKAFKA,
                         "kafka: \"%s\" partition %d can't be read: %s",
                         opts->topic,
                         (int)p,
                         rd_kafka_err2str(rd_kafka_last_error()));
        else
            kr->started = p + 1;
    }
    if (e != FR_OK) {
        reader_free(&kr->base);
        return e;
    }
    *out_reader = &kr->base;
    return FR_OK;
}
