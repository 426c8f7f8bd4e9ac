/*
 * daemon/stream/kafka_source_offsets.c - commit, committed offsets, watermarks, partition counts.
 *
 * A synchronous commit goes through a queue of its own, because rd_kafka_commit() has no time limit
 * while the coordinator is away.
 */
#include <string.h>

#include "daemon/stream/kafka_source_priv.h"

static rd_kafka_topic_partition_list_t *
to_list(struct kafka_source *ks, const struct fr_position *pos, int n, bool with_offsets)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(n);
    for (int i = 0; list != NULL && i < n; i++) {
        if (pos[i].role >= FR_TOPIC_INPUTS || pos[i].partition < 0 ||
            (with_offsets && pos[i].offset < 0)) {
            rd_kafka_topic_partition_list_destroy(list);
            return NULL;
        }
        rd_kafka_topic_partition_t *tp =
            rd_kafka_topic_partition_list_add(list, ks->names.name[pos[i].role], pos[i].partition);
        if (with_offsets)
            tp->offset = pos[i].offset;
    }
    return list;
}

static enum fr_err list_err(rd_kafka_resp_err_t err, const rd_kafka_topic_partition_list_t *list)
{
    enum fr_err e = fr_kafka_err(err);
    for (int i = 0; e == FR_OK && list != NULL && i < list->cnt; i++)
        e = fr_kafka_err(list->elems[i].err);
    return e;
}

static enum fr_err
commit_wait(struct kafka_source *ks, rd_kafka_topic_partition_list_t *list, int timeout_ms)
{
    rd_kafka_queue_t *q = rd_kafka_queue_new(ks->rk);
    if (q == NULL)
        return FR_ENOMEM;
    enum fr_err e = fr_kafka_err(rd_kafka_commit_queue(ks->rk, list, q, NULL, NULL));
    if (e == FR_OK) {
        rd_kafka_event_t *ev = rd_kafka_queue_poll(q, timeout_ms);
        e = FR_ETIMEOUT;
        if (ev != NULL) {
            e = list_err(rd_kafka_event_error(ev), rd_kafka_event_topic_partition_list(ev));
            rd_kafka_event_destroy(ev);
        }
    }
    rd_kafka_queue_destroy(q);
    return e;
}

enum fr_err
fr_kafka_source_commit(struct fr_source *src, const struct fr_position *pos, int n, int timeout_ms)
{
    struct kafka_source *ks = (struct kafka_source *)src;
    rd_kafka_topic_partition_list_t *list = to_list(ks, pos, n, true);
    if (list == NULL)
        return FR_EINVAL;
    /* librdkafka would keep it until the coordinator is back. If the session has timed out by then, it
     * is sent without a member id, and the broker's answer (a static member fenced) is fatal. */
    if (atomic_load_explicit(&ks->broker_down, memory_order_relaxed)) {
        rd_kafka_topic_partition_list_destroy(list);
        return FR_EAGAIN;
    }
    enum fr_err e = timeout_ms > 0 ? commit_wait(ks, list, timeout_ms)
                                   : fr_kafka_err(rd_kafka_commit(ks->rk, list, 1));
    rd_kafka_topic_partition_list_destroy(list);
    atomic_fetch_add_explicit(
        e == FR_OK ? &ks->commits : &ks->commit_errors, 1, memory_order_relaxed);
    return e;
}

enum fr_err
fr_kafka_source_committed(struct fr_source *src, struct fr_position *pos, int n, int timeout_ms)
{
    struct kafka_source *ks = (struct kafka_source *)src;
    rd_kafka_topic_partition_list_t *list = to_list(ks, pos, n, false);
    if (list == NULL)
        return FR_EINVAL;
    enum fr_err e = list_err(rd_kafka_committed(ks->rk, list, timeout_ms), list);
    for (int i = 0; e == FR_OK && i < n; i++)
        pos[i].offset = list->elems[i].offset >= 0 ? list->elems[i].offset : FR_OFFSET_NONE;
    rd_kafka_topic_partition_list_destroy(list);
    return e;
}

enum fr_err fr_kafka_source_watermarks(struct fr_source *src,
                                       enum fr_topic_role role,
                                       int32_t partition,
                                       int timeout_ms,
                                       int64_t *out_low,
                                       int64_t *out_high)
{
    struct kafka_source *ks = (struct kafka_source *)src;
    int64_t low = RD_KAFKA_OFFSET_INVALID, high = RD_KAFKA_OFFSET_INVALID;
    if (role >= FR_TOPIC_INPUTS || partition < 0)
        return FR_EINVAL;
    const char *topic = ks->names.name[role];
    enum fr_err e =
        timeout_ms > 0
            ? fr_kafka_watermarks(ks->rk, topic, partition, timeout_ms, &low, &high)
            : fr_kafka_err(rd_kafka_get_watermark_offsets(ks->rk, topic, partition, &low, &high));
    if (e != FR_OK)
        return e;
    if (high < 0)
        return FR_ENOTFOUND;
    *out_low = low < 0 ? FR_OFFSET_NONE : low;
    *out_high = high;
    return FR_OK;
}

enum fr_err
fr_kafka_source_count(struct fr_source *src, int timeout_ms, int32_t *out_n, struct fr_fault *fault)
{
    struct kafka_source *ks = (struct kafka_source *)src;
    int32_t n[FR_TOPIC_INPUTS] = {0};
    int topics = ks->events_only ? 1 : FR_TOPIC_INPUTS;
    for (int r = 0; r < topics; r++) {
        enum fr_err e =
            fr_kafka_count_partitions(ks->rk, ks->names.name[r], timeout_ms, &n[r], fault);
        if (e != FR_OK)
            return e;
    }
    if (topics > 1 && n[FR_TOPIC_EVENTS] != n[FR_TOPIC_REQUESTS])
        return fr_fault(
            fault,
            FR_EMISMATCH,
            "kafka: \"%s\" has %d partitions, \"%s\" has %d: they must be equal, because a user's "
            "requests are answered by the lane that owns the user; add partitions to the smaller",
            ks->names.name[FR_TOPIC_EVENTS],
            (int)n[FR_TOPIC_EVENTS],
            ks->names.name[FR_TOPIC_REQUESTS],
            (int)n[FR_TOPIC_REQUESTS]);
    *out_n = n[FR_TOPIC_EVENTS];
    return FR_OK;
}

void fr_kafka_source_stats(const struct fr_source *src, struct fr_source_stats *out)
{
    const struct kafka_source *ks = (const struct kafka_source *)src;
    *out = (struct fr_source_stats){
        .records = atomic_load_explicit(&ks->records, memory_order_relaxed),
        .commits = atomic_load_explicit(&ks->commits, memory_order_relaxed),
        .commit_errors = atomic_load_explicit(&ks->commit_errors, memory_order_relaxed),
        .rebalances = atomic_load_explicit(&ks->rebalances, memory_order_relaxed),
        .errors = atomic_load_explicit(&ks->errors, memory_order_relaxed),
        .broker_down = atomic_load_explicit(&ks->broker_down, memory_order_relaxed),
    };
}
