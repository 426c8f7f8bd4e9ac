/*
 * daemon/stream/kafka_source_priv.h - the consumer's state, shared by kafka_source.c (serve, poll),
 * kafka_source_group.c (rebalance) and kafka_source_offsets.c (commit, watermarks).
 */
#ifndef FR_STREAM_KAFKA_SOURCE_PRIV_H
#define FR_STREAM_KAFKA_SOURCE_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>

#include "daemon/stream/kafka_conf_priv.h"
#include "daemon/stream/source.h"

#define FR_KAFKA_MAX_PARTITIONS 16384

/** Owner: fr_kafka_source_new(). Thread: main, but for the atomics and what is set once. */
struct kafka_source {
    struct fr_source base;
    rd_kafka_t *rk;
    rd_kafka_topic_t *rkt[FR_TOPIC_INPUTS]; /* for seek */
    rd_kafka_queue_t **lane_queue;
    rd_kafka_topic_partition_list_t *subscription;
    struct fr_topic_names names;
    struct fr_source_callbacks cb;
    bool events_only;
    bool joined; /* subscribed: must leave */
    bool closed;
    bool close_answered;           /* the revocation at closing was answered */
    bool left_behind;              /* close timed out */
    _Atomic unsigned char *active; /* by partition: 1 = its records go to lanes */
    int64_t probe_at_ms;           /* next question to a broker that was away */
    int32_t *revoked;              /* room for the list that on_revoke gets */
    _Atomic uint64_t records, commits, commit_errors, rebalances, errors, strays;
    _Atomic bool broker_down;
};

/** rebalance_cb of librdkafka; opaque is the source. @thread main */
void fr_kafka_source_rebalance(rd_kafka_t *rk,
                               rd_kafka_resp_err_t err,
                               rd_kafka_topic_partition_list_t *list,
                               void *opaque);

/** Count an error and tell the owner. @thread main */
void fr_kafka_source_report(struct kafka_source *ks,
                            enum fr_err err,
                            enum fr_topic_role role,
                            int32_t partition,
                            const char *what);

/* The ops that live in kafka_source_offsets.c; contracts in source.h. */
enum fr_err
fr_kafka_source_commit(struct fr_source *src, const struct fr_position *pos, int n, int timeout_ms);
enum fr_err
fr_kafka_source_committed(struct fr_source *src, struct fr_position *pos, int n, int timeout_ms);
enum fr_err fr_kafka_source_watermarks(struct fr_source *src,
                                       enum fr_topic_role role,
                                       int32_t partition,
                                       int timeout_ms,
                                       int64_t *out_low,
                                       int64_t *out_high);
enum fr_err fr_kafka_source_count(struct fr_source *src,
                                  int timeout_ms,
                                  int32_t *out_n,
                                  struct fr_fault *fault);
void fr_kafka_source_stats(const struct fr_source *src, struct fr_source_stats *out);

#endif
