/*
 * daemon/stream/kafka_source.c - the consumer group: serve, poll, seek, commit.
 *
 *   librdkafka's fetchers ─► partition queue ─forward─► lane queue ─► fr_source_poll(lane)
 *   group, errors          ─► consumer queue            ─► fr_source_serve()
 *
 * Measured and decided (DESIGN 16): one message at a time, never the batch API, never pause;
 * forward inside the assign callback only; seek by rd_kafka_seek() on the lane's thread.
 */
#include "daemon/stream/kafka_source.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/log.h"
#include "daemon/stream/kafka_source_priv.h"

#define START_TIMEOUT_MS 10000 /* for the first answer of a broker */
#define SEEK_TIMEOUT_MS                                                                            \
    5000 /* an operation inside the client; only a stuck client needs longer                       \
          */
#define CLOSE_SLICE_MS 50
#define PROBE_EVERY_MS 1000
#define PROBE_TIMEOUT_MS 200

static struct kafka_source *self(struct fr_source *src)
{
    return (struct kafka_source *)src;
}

void fr_kafka_source_report(struct kafka_source *ks,
                            enum fr_err err,
                            enum fr_topic_role role,
                            int32_t partition,
                            const char *what)
{
    atomic_fetch_add_explicit(&ks->errors, 1, memory_order_relaxed);
    if (ks->cb.on_error != NULL)
        ks->cb.on_error(ks->cb.ctx, err, role, partition, what);
}

/* ---- main thread ---- */

static void on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
    struct kafka_source *ks = opaque;
    (void)rk;
    if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        atomic_store(&ks->broker_down, true);
    fr_kafka_source_report(ks, fr_kafka_err((rd_kafka_resp_err_t)err), FR_TOPIC_COUNT, -1, reason);
}

/* results of asynchronous commits */
static void on_commit(rd_kafka_t *rk,
                      rd_kafka_resp_err_t err,
                      rd_kafka_topic_partition_list_t *list,
                      void *opaque)
{
    struct kafka_source *ks = opaque;
    (void)rk;
    if (err == RD_KAFKA_RESP_ERR__NO_OFFSET)
        return;
    for (int i = 0; list != NULL && i < list->cnt; i++) {
        rd_kafka_resp_err_t one = err != RD_KAFKA_RESP_ERR_NO_ERROR ? err : list->elems[i].err;
        if (one == RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        atomic_fetch_add_explicit(&ks->commit_errors, 1, memory_order_relaxed);
        fr_kafka_source_report(ks,
                               fr_kafka_err(one),
                               fr_topic_names_find(&ks->names, list->elems[i].topic),
                               list->elems[i].partition,
                               rd_kafka_err2str(one));
    }
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        atomic_store(&ks->broker_down, false);
}

/* A message on the consumer queue: a client error, or (never seen) a record that missed its lane.
 */
static void serve_message(struct kafka_source *ks, rd_kafka_message_t *m)
{
    enum fr_topic_role role = FR_TOPIC_COUNT;
    if (m->rkt != NULL)
        role = fr_topic_names_find(&ks->names, rd_kafka_topic_name(m->rkt));
    if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fr_kafka_source_report(ks,
                               fr_kafka_err(m->err),
                               role,
                               m->rkt == NULL ? -1 : m->partition,
                               rd_kafka_err2str(m->err));
        return;
    }
    atomic_fetch_add(&ks->strays, 1);
    fr_log(FR_LOG_ERROR,
           "kafka",
           "what=\"record outside of its lane\" partition=%d offset=%lld",
           (int)m->partition,
           (long long)m->offset);
    /* the lane has a hole now: nothing of this assignment may be read on */
    fr_kafka_source_report(
        ks, FR_EINTERNAL, role, m->partition, "record outside of its lane: joining again");
    rd_kafka_subscribe(ks->rk, ks->subscription);
}

/* librdkafka says when the last broker is gone, never when one is back: ask, once a second. */
static void probe(struct kafka_source *ks)
{
    const struct rd_kafka_metadata *md = NULL;
    int64_t now = fr_kafka_now_ms();
    if (!atomic_load_explicit(&ks->broker_down, memory_order_relaxed) || now < ks->probe_at_ms)
        return;
    ks->probe_at_ms = now + PROBE_EVERY_MS;
    if (rd_kafka_metadata(ks->rk, 0, ks->rkt[0], &md, PROBE_TIMEOUT_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    rd_kafka_metadata_destroy(md);
    atomic_store(&ks->broker_down, false);
}

static enum fr_err ks_serve(struct fr_source *src, int timeout_ms)
{
    struct kafka_source *ks = self(src);
    if (ks->closed)
        return FR_ECLOSED;
    rd_kafka_poll(ks->rk, 0); /* error and commit callbacks */
    rd_kafka_message_t *m = rd_kafka_consumer_poll(ks->rk, timeout_ms);
    if (m != NULL) {
        serve_message(ks, m);
        rd_kafka_message_destroy(m);
    }
    rd_kafka_poll(ks->rk, 0);
    probe(ks);
    char text[8];
    rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(ks->rk, text, sizeof text);
    if (fatal == RD_KAFKA_RESP_ERR_NO_ERROR)
        return FR_OK;
    return fatal == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID ? FR_EFENCED : FR_EKAFKA;
}

static enum fr_err ks_rejoin(struct fr_source *src)
{
    struct kafka_source *ks = self(src);
    if (ks->closed)
        return FR_ECLOSED;
    return fr_kafka_err(rd_kafka_subscribe(ks->rk, ks->subscription));
}

static enum fr_err ks_close(struct fr_source *src, int timeout_ms)
{
    struct kafka_source *ks = self(src);
    if (ks->closed)
        return FR_OK;
    int64_t deadline = fr_kafka_now_ms() + timeout_ms;
    ks->closed = true;
    rd_kafka_queue_t *q = rd_kafka_queue_new(ks->rk);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(ks->rk, q);
    enum fr_err e = FR_OK;
    if (error != NULL) {
        e = fr_kafka_err(rd_kafka_error_code(error));
        rd_kafka_error_destroy(error);
    }
    while (e == FR_OK && !rd_kafka_consumer_closed(ks->rk)) {
        if (fr_kafka_now_ms() >= deadline)
            e = FR_ETIMEOUT;
        else
            rd_kafka_queue_poll_callback(q, CLOSE_SLICE_MS);
        rd_kafka_poll(ks->rk, 0);
    }
    rd_kafka_queue_destroy(q);
    ks->left_behind = e != FR_OK;
    return e;
}

static void ks_free(struct fr_source *src)
{
    struct kafka_source *ks = self(src);
    if (ks->rk != NULL && ks->joined) {
        enum fr_err e = fr_source_close(src, START_TIMEOUT_MS);
        if (e != FR_OK)
            fr_log(FR_LOG_WARN, "kafka", "what=\"group not left cleanly\" err=%s", fr_err_label(e));
    }
    for (int i = 0; ks->lane_queue != NULL && i < src->n_lanes; i++)
        if (ks->lane_queue[i] != NULL)
            rd_kafka_queue_destroy(ks->lane_queue[i]);
    for (int r = 0; r < FR_TOPIC_INPUTS; r++)
        if (ks->rkt[r] != NULL)
            rd_kafka_topic_destroy(ks->rkt[r]);
    if (ks->subscription != NULL)
        rd_kafka_topic_partition_list_destroy(ks->subscription);
    if (ks->rk != NULL) {
        if (ks->left_behind)
            rd_kafka_destroy_flags(ks->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        else
            rd_kafka_destroy(ks->rk);
    }
    fr_free(ks->lane_queue);
    fr_free(ks->active);
    fr_free(ks->revoked);
    fr_free(ks);
}

/* ---- lane threads ---- */

/* An error message of a partition: refused for good, or passing. */
static enum fr_err lane_error(struct kafka_source *ks, rd_kafka_message_t *m, struct fr_record *out)
{
    enum fr_err why = fr_kafka_partition_err(m->err);
    bool has_place = m->rkt != NULL;
    atomic_fetch_add_explicit(&ks->errors, 1, memory_order_relaxed);
    if (!has_place || why == FR_EKAFKA) {
        fr_log(FR_LOG_WARN,
               "kafka",
               "what=\"consumer error\" partition=%d text=\"%s\"",
               has_place ? (int)m->partition : -1,
               rd_kafka_err2str(m->err));
        rd_kafka_message_destroy(m);
        return FR_EKAFKA;
    }
    *out = (struct fr_record){
        .role = fr_topic_names_find(&ks->names, rd_kafka_topic_name(m->rkt)),
        .partition = m->partition,
        .offset = m->offset,
        .ts_ms = -1,
        .refused = why,
    };
    rd_kafka_message_destroy(m);
    return FR_EREFUSED;
}

static enum fr_err ks_poll(struct fr_source *src, int lane, int timeout_ms, struct fr_record *out)
{
    struct kafka_source *ks = self(src);
    rd_kafka_message_t *m = rd_kafka_consume_queue(ks->lane_queue[lane], timeout_ms);
    if (m == NULL)
        return FR_EAGAIN;
    /* between the start of a revoke and its end: what comes now is nobody's */
    bool wanted = m->partition < 0 || m->partition >= FR_KAFKA_MAX_PARTITIONS ||
                  atomic_load_explicit(&ks->active[m->partition], memory_order_acquire) != 0;
    if (!wanted) {
        rd_kafka_message_destroy(m);
        return FR_EAGAIN;
    }
    if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return lane_error(ks, m, out);
    enum fr_topic_role role = FR_TOPIC_EVENTS;
    if (!ks->events_only &&
        strcmp(rd_kafka_topic_name(m->rkt), ks->names.name[FR_TOPIC_EVENTS]) != 0)
        role = FR_TOPIC_REQUESTS;
    fr_kafka_record(m, role, out);
    atomic_fetch_add_explicit(&ks->records, 1, memory_order_relaxed);
    if (atomic_load_explicit(&ks->broker_down, memory_order_relaxed))
        atomic_store_explicit(&ks->broker_down, false, memory_order_relaxed);
    return FR_OK;
}

static void ks_release(struct fr_source *src, struct fr_record *rec)
{
    (void)src;
    rd_kafka_message_destroy(rec->opaque);
}

static enum fr_err ks_header(const struct fr_record *rec, int i, struct fr_header *out)
{
    return fr_kafka_header(rec->opaque, i, out);
}

static void ks_wake(struct fr_source *src, int lane)
{
    rd_kafka_queue_yield(self(src)->lane_queue[lane]);
}

static enum fr_err ks_seek(struct fr_source *src, const struct fr_position *to)
{
    struct kafka_source *ks = self(src);
    if (to->role >= FR_TOPIC_INPUTS || ks->rkt[to->role] == NULL || to->offset < 0)
        return FR_EINVAL;
    if (to->partition < 0 || to->partition >= FR_KAFKA_MAX_PARTITIONS ||
        atomic_load(&ks->active[to->partition]) == 0)
        return FR_ESTATE;
    rd_kafka_resp_err_t e =
        rd_kafka_seek(ks->rkt[to->role], to->partition, to->offset, SEEK_TIMEOUT_MS);
    if (e == RD_KAFKA_RESP_ERR__STATE || e == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
        return FR_ESTATE;
    return fr_kafka_err(e);
}

/* ---- construction ---- */

static const struct fr_source_ops OPS = {
    .serve = ks_serve,
    .poll = ks_poll,
    .release = ks_release,
    .header = ks_header,
    .wake = ks_wake,
    .seek = ks_seek,
    .commit = fr_kafka_source_commit,
    .committed = fr_kafka_source_committed,
    .watermarks = fr_kafka_source_watermarks,
    .partition_count = fr_kafka_source_count,
    .rejoin = ks_rejoin,
    .stats = fr_kafka_source_stats,
    .close = ks_close,
    .free = ks_free,
};

static int64_t or_default(int32_t v, int64_t dflt)
{
    return v == 0 ? dflt : v;
}

static enum fr_err
make_client(struct kafka_source *ks, const struct fr_kafka_source_opts *o, struct fr_fault *fault)
{
    bool fixed = o->instance_id != NULL && o->instance_id[0] != '\0';
    const struct fr_kafka_default own[] = {
        {"group.id", o->group, 0},
        {"enable.auto.commit", "false", 0},
        {"enable.auto.offset.store", "false", 0},
        {"auto.offset.reset", "error", 0},
        {"partition.assignment.strategy", "range", 0},
        {"session.timeout.ms", NULL, or_default(o->session_timeout_ms, 45000)},
        {"max.poll.interval.ms", NULL, or_default(o->max_poll_interval_ms, 300000)},
        {"queued.max.messages.kbytes", NULL, or_default(o->queued_max_kbytes, 16384)},
        {"queued.min.messages", NULL, 10000},
        {"fetch.min.bytes", NULL, 1},
        {"fetch.wait.max.ms", NULL, or_default(o->fetch_wait_max_ms, 500)},
        {"fetch.error.backoff.ms", NULL, or_default(o->fetch_error_backoff_ms, 500)},
        {"topic.metadata.refresh.interval.ms", NULL, or_default(o->metadata_refresh_ms, 5000)},
        /* last: left out for dynamic members */
        {fixed ? "group.instance.id" : NULL, o->instance_id, 0},
        {NULL, NULL, 0},
    };
    rd_kafka_conf_t *conf = NULL;
    enum fr_err e = fr_kafka_conf_new(&o->conn, own, &conf, fault);
    if (e != FR_OK)
        return e;
    rd_kafka_conf_set_opaque(conf, ks);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_offset_commit_cb(conf, on_commit);
    rd_kafka_conf_set_rebalance_cb(conf, fr_kafka_source_rebalance);
    return fr_kafka_client_new(RD_KAFKA_CONSUMER, &conf, &ks->rk, fault);
}

static enum fr_err make_queues(struct kafka_source *ks, struct fr_fault *fault)
{
    ks->lane_queue = fr_calloc((size_t)ks->base.n_lanes, sizeof *ks->lane_queue);
    ks->active = fr_calloc(FR_KAFKA_MAX_PARTITIONS, sizeof *ks->active);
    ks->revoked = fr_calloc(FR_KAFKA_MAX_PARTITIONS, sizeof *ks->revoked);
    ks->subscription = rd_kafka_topic_partition_list_new(FR_TOPIC_INPUTS);
    if (ks->revoked == NULL || ks->lane_queue == NULL || ks->active == NULL ||
        ks->subscription == NULL)
        return fr_fault(fault, FR_ENOMEM, "kafka: out of memory");
    for (int i = 0; i < ks->base.n_lanes; i++) {
        ks->lane_queue[i] = rd_kafka_queue_new(ks->rk);
        if (ks->lane_queue[i] == NULL)
            return fr_fault(fault, FR_ENOMEM, "kafka: out of memory");
    }
    for (int r = 0; r < (ks->events_only ? 1 : FR_TOPIC_INPUTS); r++) {
        rd_kafka_topic_partition_list_add(
            ks->subscription, ks->names.name[r], RD_KAFKA_PARTITION_UA);
        ks->rkt[r] = rd_kafka_topic_new(ks->rk, ks->names.name[r], NULL);
        if (ks->rkt[r] == NULL)
            return fr_fault(fault, FR_EINVAL, "kafka: bad topic name \"%s\"", ks->names.name[r]);
    }
    return FR_OK;
}

enum fr_err fr_kafka_source_new(const struct fr_kafka_source_opts *opts,
                                const struct fr_source_callbacks *cb,
                                struct fr_source **out_source,
                                struct fr_fault *fault)
{
    if (opts->n_lanes < 1 || opts->names == NULL || cb->on_assign == NULL || cb->on_revoke == NULL)
        return fr_fault(
            fault, FR_EINVAL, "kafka source: lanes, topic names and callbacks are needed");
    if (opts->group == NULL || opts->group[0] == '\0')
        return fr_fault(fault, FR_EINVAL, "kafka.group is empty");
    struct kafka_source *ks = fr_calloc(1, sizeof *ks);
    if (ks == NULL)
        return fr_fault(fault, FR_ENOMEM, "kafka: out of memory");
    ks->base.ops = &OPS;
    ks->base.n_lanes = opts->n_lanes;
    ks->names = *opts->names;
    ks->cb = *cb;
    ks->events_only = opts->events_only;
    enum fr_err e = make_client(ks, opts, fault);
    if (e == FR_OK)
        e = make_queues(ks, fault);
    int32_t n = 0;
    if (e == FR_OK)
        e = fr_kafka_source_count(&ks->base, START_TIMEOUT_MS, &n, fault);
    if (e == FR_OK && n > FR_KAFKA_MAX_PARTITIONS)
        e = fr_fault(
            fault, FR_ERANGE, "kafka: %d partitions, at most %d", (int)n, FR_KAFKA_MAX_PARTITIONS);
    if (e == FR_OK) {
        rd_kafka_resp_err_t re = rd_kafka_subscribe(ks->rk, ks->subscription);
        if (re != RD_KAFKA_RESP_ERR_NO_ERROR)
            e = fr_fault(fault, FR_EKAFKA, "kafka: subscribe: %s", rd_kafka_err2str(re));
        ks->joined = e == FR_OK;
    }
    if (e != FR_OK) {
        ks_free(&ks->base);
        return e;
    }
    *out_source = &ks->base;
    return FR_OK;
}

uint64_t fr_kafka_source_strays(const struct fr_source *src)
{
    return atomic_load(&((const struct kafka_source *)src)->strays);
}
