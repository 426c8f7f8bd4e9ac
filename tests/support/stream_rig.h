/*
 * tests/support/stream_rig.h - an owner of a source and a recorder of acknowledgements, for tests
 * of every source and sink: memory, mock cluster, real Kafka.
 */
#ifndef FR_TESTS_STREAM_RIG_H
#define FR_TESTS_STREAM_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/stream/kafka_embedded.h"
#include "daemon/stream/kafka_sink.h"
#include "daemon/stream/kafka_source.h"

#define RIG_PARTS 32
#define RIG_ACKS 65536

/** Acknowledgements in the order they came. Owner: the test; static or zeroed storage. */
struct rig_acks {
    int n, ok, failed;
    struct rig_ack {
        uint64_t cookie;
        enum fr_err err;
        int32_t partition;
        int64_t offset;
    } a[RIG_ACKS];
};

/** fr_sink_ack_fn; ctx is a struct rig_acks. */
void rig_ack(void *ctx, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset);

/** What the callbacks saw and do. Zero it, then set the switches. Thread: main. */
struct rig_owner {
    struct fr_source *src;
    bool with_requests;
    bool from_low;          /* start at the low watermark, not at the committed offset */
    int64_t start_override; /* > 0: every events partition starts here */
    enum fr_err assign_err; /* what on_assign returns */
    bool commit_at_revoke;  /* commit next[] unless lost */
    bool assigned[RIG_PARTS];
    int n_assigned, assigns, revokes, lost_revokes, errors;
    enum fr_err last_err, revoke_commit_err;
    int64_t next[RIG_PARTS]; /* events: last polled + 1 */
    int64_t got[RIG_PARTS];  /* events: records polled */
    int64_t gaps;            /* events: offsets that were jumped over */
    int64_t lane_mismatch;   /* records on a lane that is not partition % lanes */
};

/** Callbacks that work on `o`. */
struct fr_source_callbacks rig_callbacks(struct rig_owner *o);

/** Serve until `o` holds n partitions or timeout. @return whether it does */
bool rig_serve_until(struct rig_owner *o, int n_parts, int timeout_ms);

/** Poll all lanes (and serve) until `n` more events were taken, or timeout; releases them. @return
 * how many */
int rig_take(struct rig_owner *o, int n, int timeout_ms);

/** Options for a source on `brokers`; embedded = the mock cluster's short waits. */
struct fr_kafka_source_opts rig_source_opts(const char *brokers,
                                            const struct fr_topic_names *names,
                                            const char *group,
                                            int n_lanes,
                                            bool embedded);

/** A sink with linger 0 that records into `acks`. Aborts the test on failure. */
struct fr_sink *
rig_sink(const char *brokers, const struct fr_topic_names *names, struct rig_acks *acks);

/** Produce n events "<prefix><i>" to a partition (-1: by key u<i>), cookies from `cookie`, and
 * flush.
 *  @return acknowledged ones */
int rig_produce(
    struct fr_sink *sk, struct rig_acks *acks, int32_t partition, int n, uint64_t cookie);

/** Names prefixed with `prefix`. */
struct fr_topic_names rig_names(const char *prefix);

/** Milliseconds of a monotonic clock. */
int64_t rig_now_ms(void);

/** Milliseconds scaled by CK_TIMEOUT_MULTIPLIER. */
int rig_ms(int ms);

#endif
