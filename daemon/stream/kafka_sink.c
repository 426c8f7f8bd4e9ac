/*
 * daemon/stream/kafka_sink.c - the idempotent producer of one lane, replaced when it dies.
 *
 * Payloads are copied by librdkafka (F_COPY), so a failed produce call leaves nothing to free.
 * Every accepted record gets exactly one delivery report; when a producer is replaced, purging it
 * makes the missing ones. The delivery report's error text is rd_kafka_err2str(m->err):
 * rd_kafka_message_errstr() returned the payload there (measured on 2.0.2).
 */
#include "daemon/stream/kafka_sink.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/log.h"
#include "daemon/stream/kafka_conf_priv.h"

#define COPY_MAX 200           /* most pass-through settings */
#define REPLACE_BACKOFF_MS 200 /* between attempts to make a new producer */
#define PURGE_TRIES 100

struct kafka_sink {
    struct fr_sink base;
    rd_kafka_t *rk; /* NULL while it can't be made */
    rd_kafka_topic_t *rkt[FR_TOPIC_COUNT];
    struct fr_topic_names names;
    rd_kafka_conf_t *conf; /* template: every producer is made from a copy */
    fr_sink_ack_fn ack;
    void *ack_ctx;
    void (*wake)(void *ctx); /* nullable; see fr_kafka_sink_on_acks() */
    void *wake_ctx;
    uint64_t in_flight;
    int delivered; /* acks during the present poll */
    bool dead;     /* fatal error seen: to be replaced */
    int64_t retry_at_ms;
    _Atomic uint64_t produced, acked, failed, full, replacements;
    _Atomic bool broker_down;
};

_Static_assert(sizeof(void *) >= sizeof(uint64_t), "cookies travel in a pointer");

static struct kafka_sink *self(struct fr_sink *sk)
{
    return (struct kafka_sink *)sk;
}

static void bump(_Atomic uint64_t *c)
{
    atomic_fetch_add_explicit(c, 1, memory_order_relaxed);
}

static void on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
    struct kafka_sink *ks = opaque;
    if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        atomic_store_explicit(&ks->broker_down, true, memory_order_relaxed);
    if (err == RD_KAFKA_RESP_ERR__FATAL && rk == ks->rk)
        ks->dead = true;
    fr_log(FR_LOG_WARN,
           "kafka_sink",
           "err=%s text=\"%s\"",
           rd_kafka_err2name((rd_kafka_resp_err_t)err),
           reason);
}

/* Delivery reports: run inside rd_kafka_poll() and rd_kafka_flush(), so on the lane. */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct kafka_sink *ks = opaque;
    (void)rk;
    enum fr_err e = fr_kafka_err(m->err);
    if (e == FR_ENOTFOUND)
        e = FR_EREFUSED;
    if (e == FR_EFENCED || e == FR_EFULL)
        e = FR_EAGAIN;
    if (e == FR_OK) {
        bump(&ks->acked);
        atomic_store_explicit(&ks->broker_down, false, memory_order_relaxed);
    } else {
        bump(&ks->failed);
    }
    ks->in_flight--;
    ks->delivered++;
    ks->ack(ks->ack_ctx,
            (uint64_t)(uintptr_t)m->_private,
            e,
            m->partition,
            e == FR_OK ? m->offset : FR_OFFSET_NONE);
}

static void on_event(rd_kafka_t *rk, void *opaque)
{
    const struct kafka_sink *ks = opaque;
    (void)rk;
    ks->wake(ks->wake_ctx);
}

/* Tell the client's main queue whom to call, or nobody. */
static void set_event(struct kafka_sink *ks, bool on)
{
    rd_kafka_queue_t *q = ks->rk == NULL ? NULL : rd_kafka_queue_get_main(ks->rk);
    if (q == NULL)
        return;
    rd_kafka_queue_cb_event_enable(q, on ? on_event : NULL, ks);
    rd_kafka_queue_destroy(q);
}

void fr_kafka_sink_on_acks(struct fr_sink *sk, void (*fn)(void *ctx), void *ctx)
{
    struct kafka_sink *ks = self(sk);

    set_event(ks, false); /* nobody reads the two fields while they change */
    ks->wake_ctx = ctx;
    ks->wake = fn;
    set_event(ks, fn != NULL);
}

static void drop_client(struct kafka_sink *ks)
{
    for (int r = 0; r < FR_TOPIC_COUNT; r++) {
        if (ks->rkt[r] != NULL)
            rd_kafka_topic_destroy(ks->rkt[r]);
        ks->rkt[r] = NULL;
    }
    if (ks->rk != NULL)
        rd_kafka_destroy(ks->rk);
    ks->rk = NULL;
}

static enum fr_err make_client(struct kafka_sink *ks, struct fr_fault *fault)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(ks->conf);
    if (conf == NULL)
        return FR_ENOMEM;
    ks->dead = false;
    enum fr_err e = fr_kafka_client_new(RD_KAFKA_PRODUCER, &conf, &ks->rk, fault);
    if (e != FR_OK)
        return e;
    for (int r = 0; r < FR_TOPIC_COUNT; r++) {
        ks->rkt[r] = rd_kafka_topic_new(ks->rk, ks->names.name[r], NULL);
        if (ks->rkt[r] == NULL) {
            drop_client(ks);
            return fr_fault(fault, FR_EINVAL, "kafka: bad topic name \"%s\"", ks->names.name[r]);
        }
    }
    if (ks->wake != NULL)
        set_event(ks, true);
    return FR_OK;
}

/* Give up the producer: everything in flight is acknowledged (FR_EAGAIN), then a new one is made.
 * An idempotent producer whose requests were purged has a hole in its sequence, so purging without
 * replacing would be a fatal error a little later. */
static void replace(struct kafka_sink *ks)
{
    rd_kafka_t *old = ks->rk;
    ks->dead = true; /* acks that produce again get FR_EAGAIN until the new one is there */
    if (old != NULL) {
        for (int i = 0; i < PURGE_TRIES && rd_kafka_outq_len(old) > 0; i++) {
            rd_kafka_purge(old, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
            rd_kafka_poll(old, 10);
        }
        drop_client(ks);
        bump(&ks->replacements);
    }
    if (fr_kafka_now_ms() < ks->retry_at_ms)
        return;
    ks->retry_at_ms = fr_kafka_now_ms() + REPLACE_BACKOFF_MS;
    struct fr_fault fault = {0};
    if (make_client(ks, &fault) != FR_OK)
        fr_log(FR_LOG_ERROR, "kafka_sink", "what=\"no new producer\" text=\"%s\"", fault.msg);
}

static rd_kafka_headers_t *copy_headers(const struct fr_outgoing *msg, enum fr_err *e)
{
    *e = FR_OK;
    if (msg->n_headers == 0)
        return NULL;
    rd_kafka_headers_t *hs = rd_kafka_headers_new((size_t)msg->n_headers);
    if (hs == NULL) {
        *e = FR_ENOMEM;
        return NULL;
    }
    for (int i = 0; i < msg->n_headers; i++) {
        const struct fr_header *h = &msg->headers[i];
        if (rd_kafka_header_add(
                hs, h->name, -1, h->value.p, h->value.p == NULL ? 0 : (ssize_t)h->value.n) !=
            RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_headers_destroy(hs);
            *e = FR_EINVAL;
            return NULL;
        }
    }
    return hs;
}

static enum fr_err produce_err(struct kafka_sink *ks, rd_kafka_resp_err_t re)
{
    enum fr_err e = fr_kafka_err(re);
    if (e == FR_EFULL)
        bump(&ks->full);
    if (re == RD_KAFKA_RESP_ERR__FATAL)
        ks->dead = true;
    if (e == FR_ENOTFOUND)
        e = FR_EINVAL;
    return e;
}

static enum fr_err sink_produce(struct fr_sink *sk, const struct fr_outgoing *msg)
{
    struct kafka_sink *ks = self(sk);
    if (msg->topic == NULL && (unsigned)msg->role >= FR_TOPIC_COUNT)
        return FR_EINVAL;
    if (ks->rk == NULL || ks->dead)
        return FR_EAGAIN;
    enum fr_err e;
    rd_kafka_headers_t *hs = copy_headers(msg, &e);
    if (e != FR_OK)
        return e;
    rd_kafka_vu_t vu[8];
    size_t n = 0;
    if (msg->topic != NULL)
        vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = msg->topic};
    else
        vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = ks->rkt[msg->role]};
    vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_PARTITION,
                              .u.i32 = msg->partition < 0 ? RD_KAFKA_PARTITION_UA : msg->partition};
    /* librdkafka's struct wants non-const pointers; F_COPY: it only reads them */
    vu[n++] =
        (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_VALUE,
                        .u.mem = {.ptr = (void *)(uintptr_t)msg->value.p, .size = msg->value.n}};
    vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_KEY,
                              .u.mem = {.ptr = (void *)(uintptr_t)msg->key.p, .size = msg->key.n}};
    vu[n++] =
        (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)msg->cookie};
    vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY};
    vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_TIMESTAMP,
                              .u.i64 = msg->ts_ms > 0 ? msg->ts_ms : 0};
    if (hs != NULL)
        vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = hs};
    rd_kafka_error_t *error = rd_kafka_produceva(ks->rk, vu, n);
    if (error == NULL) {
        ks->in_flight++;
        bump(&ks->produced);
        return FR_OK;
    }
    e = produce_err(ks, rd_kafka_error_code(error));
    rd_kafka_error_destroy(error);
    if (hs != NULL)
        rd_kafka_headers_destroy(hs); /* taken only on success */
    return e;
}

static int sink_poll(struct fr_sink *sk, int timeout_ms)
{
    struct kafka_sink *ks = self(sk);
    ks->delivered = 0;
    if (ks->rk != NULL)
        rd_kafka_poll(ks->rk, timeout_ms);
    if (ks->rk == NULL || ks->dead)
        replace(ks);
    return ks->delivered;
}

static enum fr_err sink_flush(struct fr_sink *sk, int timeout_ms)
{
    struct kafka_sink *ks = self(sk);
    int64_t deadline = fr_kafka_now_ms() + timeout_ms;
    for (;;) {
        int64_t left = deadline - fr_kafka_now_ms();
        ks->delivered = 0;
        if (ks->rk != NULL) /* short slices: a fatal error must be seen in time */
            rd_kafka_flush(ks->rk, (int)(left < 0 ? 0 : left > 100 ? 100 : left));
        if (ks->rk == NULL || ks->dead)
            replace(ks);
        if (ks->in_flight == 0)
            return FR_OK;
        if (fr_kafka_now_ms() >= deadline)
            return FR_ETIMEOUT;
    }
}

static uint64_t sink_in_flight(const struct fr_sink *sk)
{
    return ((const struct kafka_sink *)sk)->in_flight;
}

static void sink_purge(struct fr_sink *sk)
{
    struct kafka_sink *ks = self(sk);
    if (ks->in_flight > 0)
        replace(ks);
}

static void sink_stats(const struct fr_sink *sk, struct fr_sink_stats *out)
{
    const struct kafka_sink *ks = (const struct kafka_sink *)sk;
    *out = (struct fr_sink_stats){
        .produced = atomic_load_explicit(&ks->produced, memory_order_relaxed),
        .acked = atomic_load_explicit(&ks->acked, memory_order_relaxed),
        .failed = atomic_load_explicit(&ks->failed, memory_order_relaxed),
        .full = atomic_load_explicit(&ks->full, memory_order_relaxed),
        .replacements = atomic_load_explicit(&ks->replacements, memory_order_relaxed),
        .broker_down = atomic_load_explicit(&ks->broker_down, memory_order_relaxed),
    };
}

static void no_ack(void *ctx, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset)
{
    (void)ctx;
    (void)cookie;
    (void)err;
    (void)partition;
    (void)offset;
}

static void sink_free(struct fr_sink *sk)
{
    struct kafka_sink *ks = self(sk);
    ks->ack = no_ack;
    if (ks->rk != NULL && rd_kafka_outq_len(ks->rk) > 0) {
        rd_kafka_purge(ks->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_poll(ks->rk, 0);
    }
    drop_client(ks);
    if (ks->conf != NULL)
        rd_kafka_conf_destroy(ks->conf);
    fr_free(ks);
}

static const struct fr_sink_ops OPS = {
    .produce = sink_produce,
    .poll = sink_poll,
    .flush = sink_flush,
    .in_flight = sink_in_flight,
    .purge = sink_purge,
    .stats = sink_stats,
    .free = sink_free,
};

static enum fr_err
make_conf(struct kafka_sink *ks, const struct fr_kafka_sink_opts *o, struct fr_fault *fault)
{
    const struct fr_kafka_default own[] = {
        {"enable.idempotence", "true", 0},
        {"max.in.flight.requests.per.connection", NULL, 1},
        {"partitioner", "murmur2_random", 0},
        {"linger.ms", NULL, o->linger_ms},
        {"queue.buffering.max.messages",
         NULL,
         o->queue_max_messages == 0 ? 100000 : o->queue_max_messages},
        {"queue.buffering.max.kbytes", NULL, 131072},
        {"message.max.bytes", NULL, o->message_max_bytes == 0 ? 1000000 : o->message_max_bytes},
        {"delivery.timeout.ms",
         NULL,
         o->delivery_timeout_ms == 0 ? 120000 : o->delivery_timeout_ms},
        /* a producer keeps to the old partitions for minutes after some were added, unless asked */
        {"topic.metadata.refresh.interval.ms", NULL, 5000},
        {"compression.type",
         o->compression == NULL || o->compression[0] == '\0' ? "none" : o->compression,
         0},
        {NULL, NULL, 0},
    };
    if (o->conn.n_settings > COPY_MAX)
        return fr_fault(fault, FR_EINVAL, "kafka: more than %d settings", COPY_MAX);
    enum fr_err e = fr_kafka_conf_new(&o->conn, own, &ks->conf, fault);
    if (e != FR_OK)
        return e;
    rd_kafka_conf_set_opaque(ks->conf, ks);
    rd_kafka_conf_set_error_cb(ks->conf, on_error);
    rd_kafka_conf_set_dr_msg_cb(ks->conf, on_delivery);
    return FR_OK;
}

enum fr_err fr_kafka_sink_new(const struct fr_kafka_sink_opts *opts,
                              struct fr_sink **out_sink,
                              struct fr_fault *fault)
{
    if (opts->names == NULL || opts->ack == NULL)
        return fr_fault(fault, FR_EINVAL, "kafka sink: topic names and an ack function are needed");
    struct kafka_sink *ks = fr_calloc(1, sizeof *ks);
    if (ks == NULL)
        return fr_fault(fault, FR_ENOMEM, "kafka: out of memory");
    ks->base.ops = &OPS;
    ks->names = *opts->names;
    ks->ack = opts->ack;
    ks->ack_ctx = opts->ack_ctx;
    enum fr_err e = make_conf(ks, opts, fault);
    if (e == FR_OK)
        e = make_client(ks, fault);
    if (e != FR_OK) {
        sink_free(&ks->base);
        return e;
    }
    *out_sink = &ks->base;
    return FR_OK;
}

enum fr_err fr_kafka_sink_test_fatal(struct fr_sink *sk)
{
    struct kafka_sink *ks = self(sk);
    if (ks->rk == NULL)
        return FR_ESTATE;
    rd_kafka_resp_err_t e = rd_kafka_test_fatal_error(
        ks->rk, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "asked for by a test");
    return e == RD_KAFKA_RESP_ERR_NO_ERROR ? FR_OK : FR_ESTATE;
}
