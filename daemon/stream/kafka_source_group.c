/*
 * daemon/stream/kafka_source_group.c - assign and revoke.
 *
 * Assign: check co-partitioning, let the owner take the partitions, forward each partition's queue
 * to its lane, then rd_kafka_assign() with the owner's offsets. Forwarding comes first because a
 * fetcher that starts without a forward delivers to the consumer queue (librdkafka sets its own
 * forward at start only if the application has set none), and is repeated afterwards, which costs
 * nothing.
 *
 * While closing: an assignment that nobody had read yet is dropped, librdkafka revokes it itself;
 * and only one call answers, because after the group's end rd_kafka_assign() waits for an answer
 * for ever (librdkafka's issue 4884).
 */
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/log.h"
#include "daemon/stream/kafka_source_priv.h"

#define COUNT_TIMEOUT_MS 3000 /* within the rebalance: must stay far below the session timeout */

/* The partition numbers of the list, once each, if every input topic has the same; else NULL. */
static struct fr_assigned *
co_partitions(struct kafka_source *ks, const rd_kafka_topic_partition_list_t *list, int *out_n)
{
    int per_topic = ks->events_only ? list->cnt : list->cnt / FR_TOPIC_INPUTS;
    *out_n = 0;
    struct fr_assigned *parts = fr_calloc((size_t)list->cnt + 1, sizeof *parts);
    if (parts == NULL)
        return NULL;
    int n = 0;
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *tp = &list->elems[i];
        if (strcmp(tp->topic, ks->names.name[FR_TOPIC_EVENTS]) != 0)
            continue;
        bool twin =
            ks->events_only || rd_kafka_topic_partition_list_find(
                                   list, ks->names.name[FR_TOPIC_REQUESTS], tp->partition) != NULL;
        if (!twin || tp->partition >= FR_KAFKA_MAX_PARTITIONS)
            break;
        parts[n++] = (struct fr_assigned){
            .partition = tp->partition,
            .lane = (int)(tp->partition % ks->base.n_lanes),
            .start = {FR_OFFSET_NONE, FR_OFFSET_NONE},
        };
    }
    if (n != per_topic || (!ks->events_only && n * FR_TOPIC_INPUTS != list->cnt)) {
        fr_free(parts);
        return NULL;
    }
    *out_n = n;
    return parts;
}

static void forward(struct kafka_source *ks, const rd_kafka_topic_partition_list_t *start)
{
    for (int i = 0; i < start->cnt; i++) {
        const rd_kafka_topic_partition_t *tp = &start->elems[i];
        rd_kafka_queue_t *q = rd_kafka_queue_get_partition(ks->rk, tp->topic, tp->partition);
        if (q == NULL)
            continue;
        rd_kafka_queue_forward(q, ks->lane_queue[tp->partition % ks->base.n_lanes]);
        rd_kafka_queue_destroy(q);
    }
}

/* Where the owner wants to start; partitions it refused are left out. */
static rd_kafka_topic_partition_list_t *
start_list(struct kafka_source *ks, const struct fr_assigned *parts, int n)
{
    rd_kafka_topic_partition_list_t *start =
        rd_kafka_topic_partition_list_new(n * FR_TOPIC_INPUTS + 1);
    for (int i = 0; start != NULL && i < n; i++) {
        if (parts[i].refused)
            continue;
        for (int r = 0; r < (ks->events_only ? 1 : FR_TOPIC_INPUTS); r++) {
            if (parts[i].start[r] < 0) {
                fr_kafka_source_report(ks,
                                       FR_EINVAL,
                                       (enum fr_topic_role)r,
                                       parts[i].partition,
                                       "no start offset given: not read");
                continue;
            }
            rd_kafka_topic_partition_list_add(start, ks->names.name[r], parts[i].partition)
                ->offset = parts[i].start[r];
        }
    }
    return start;
}

static enum fr_err take(struct kafka_source *ks, struct fr_assigned *parts, int n)
{
    /* A definite mismatch refuses; no answer does not: the owner's own check against the count it
     * has stored follows, and a broker that is away must not cost the assignment. */
    int32_t count = 0;
    struct fr_fault fault = {0};
    enum fr_err e = fr_kafka_source_count(&ks->base, COUNT_TIMEOUT_MS, &count, &fault);
    if (e == FR_EMISMATCH || e == FR_ENOTFOUND) {
        fr_kafka_source_report(ks, e, FR_TOPIC_COUNT, -1, fault.msg);
        return e;
    }
    return ks->cb.on_assign(ks->cb.ctx, parts, n);
}

static void assign(struct kafka_source *ks, const rd_kafka_topic_partition_list_t *list)
{
    atomic_fetch_add_explicit(&ks->rebalances, 1, memory_order_relaxed);
    rd_kafka_topic_partition_list_t *start = NULL;
    int n = 0;
    struct fr_assigned *parts = co_partitions(ks, list, &n);
    if (parts == NULL)
        fr_kafka_source_report(ks,
                               FR_EMISMATCH,
                               FR_TOPIC_COUNT,
                               -1,
                               "inputs are not co-partitioned: the same partitions of events and "
                               "requests must come together");
    else if (take(ks, parts, n) == FR_OK)
        start = start_list(ks, parts, n);
    /* Refused: keep the membership and read nothing. An empty list, not NULL: after NULL librdkafka
     * waits for another assign call and postpones every later subscribe. */
    if (start == NULL)
        start = rd_kafka_topic_partition_list_new(1);
    for (int i = 0; i < start->cnt; i++)
        atomic_store_explicit(&ks->active[start->elems[i].partition], 1, memory_order_release);
    forward(ks, start);
    rd_kafka_resp_err_t e = rd_kafka_assign(ks->rk, start);
    if (e != RD_KAFKA_RESP_ERR_NO_ERROR)
        fr_kafka_source_report(ks, fr_kafka_err(e), FR_TOPIC_COUNT, -1, rd_kafka_err2str(e));
    forward(ks, start);
    rd_kafka_topic_partition_list_destroy(start);
    fr_free(parts);
}

static void revoke(struct kafka_source *ks, const rd_kafka_topic_partition_list_t *list)
{
    bool lost = rd_kafka_assignment_lost(ks->rk) != 0;
    int n = 0;
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *tp = &list->elems[i];
        if (tp->partition < 0 || tp->partition >= FR_KAFKA_MAX_PARTITIONS)
            continue;
        atomic_store_explicit(&ks->active[tp->partition], 0, memory_order_release);
        if (strcmp(tp->topic, ks->names.name[FR_TOPIC_EVENTS]) == 0 && n < FR_KAFKA_MAX_PARTITIONS)
            ks->revoked[n++] = tp->partition;
    }
    ks->cb.on_revoke(ks->cb.ctx, ks->revoked, n, lost);
    rd_kafka_assign(ks->rk, NULL);
}

void fr_kafka_source_rebalance(rd_kafka_t *rk,
                               rd_kafka_resp_err_t err,
                               rd_kafka_topic_partition_list_t *list,
                               void *opaque)
{
    struct kafka_source *ks = opaque;
    if (ks->closed && (err != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS || ks->close_answered))
        return;
    ks->close_answered = ks->closed;
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        assign(ks, list);
    else if (err == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
        revoke(ks, list);
    else {
        fr_kafka_source_report(ks, fr_kafka_err(err), FR_TOPIC_COUNT, -1, rd_kafka_err2str(err));
        rd_kafka_assign(rk, NULL);
    }
}
