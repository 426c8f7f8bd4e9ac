/*
 * daemon/stream/sink.h - the seam through which records leave, with acknowledgements.
 *
 * One sink per lane, so there is no lock and no order between lanes. A lane produces, goes on, and
 * learns by fr_sink_poll() which cookies are safe; only then may it move an offset.
 *
 * Implementations: kafka_sink.h (idempotent producer), memory_sink.h (into the in-process log).
 * `delivery: exactly_once` will add begin/commit/abort here, with the source's positions as
 * argument; at_least_once does not use them. Layer: daemon/stream; knows nothing of Kafka.
 */
#ifndef FR_STREAM_SINK_H
#define FR_STREAM_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/stream/record.h"

#define FR_PARTITION_BY_KEY (-1) /* murmur2_random: murmur2 of the key; no key: any */

/** One record to send. Everything is borrowed for the call and copied. */
struct fr_outgoing {
    enum fr_topic_role role;
    const char *topic;   /* nullable: overrides the role's name (re-injection of dead letters) */
    int32_t partition;   /* FR_PARTITION_BY_KEY, or fixed */
    struct fr_str key;   /* p == NULL: no key */
    struct fr_str value; /* p == NULL: null value */
    const struct fr_header *headers;
    int n_headers;
    int64_t
        ts_ms; /* 0 = now. Never a client's time unclamped: an hour ahead fails the whole batch */
    uint64_t cookie; /* comes back with the acknowledgement */
};

/**
 * One result, for every record accepted by fr_sink_produce(), in any order.
 *   FR_OK         acknowledged by all in-sync replicas at `partition`, `offset`
 *   FR_ETOOLARGE  this record can never be delivered as it is
 *   FR_EAGAIN     the producer was replaced or purged: produce it again
 *   FR_ETIMEOUT   not delivered within delivery.timeout.ms: produce it again
 *   FR_EKAFKA     refused by the broker; not retriable unless fr_err_retriable of the cause was
 * true FR_EREFUSED   not authorised, unknown topic: needs a person Must not call fr_sink_flush() or
 * fr_sink_poll(); fr_sink_produce() is allowed.
 */
typedef void (*fr_sink_ack_fn)(
    void *ctx, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset);

/** Counters of a sink. Thread: read any (relaxed). */
struct fr_sink_stats {
    uint64_t produced;     /* accepted */
    uint64_t acked;        /* FR_OK */
    uint64_t failed;       /* any other result */
    uint64_t full;         /* produce calls refused with FR_EFULL */
    uint64_t replacements; /* producers replaced after a fatal error */
    bool broker_down;      /* no broker could be reached when last heard of */
};

struct fr_sink_ops;

/** Base of every implementation. Owner: made by its _new function. Thread: the owning lane. */
struct fr_sink {
    const struct fr_sink_ops *ops;
};

struct fr_sink_ops {
    enum fr_err (*produce)(struct fr_sink *sk, const struct fr_outgoing *msg);
    int (*poll)(struct fr_sink *sk, int timeout_ms);
    enum fr_err (*flush)(struct fr_sink *sk, int timeout_ms);
    uint64_t (*in_flight)(const struct fr_sink *sk);
    void (*purge)(struct fr_sink *sk);
    void (*stats)(const struct fr_sink *sk, struct fr_sink_stats *out);
    void (*free)(struct fr_sink *sk);
};

/**
 * Queue a record. Does not wait and calls no ack.
 * @errors FR_EFULL     the queue is full: stop reading, fr_sink_poll(), try again
 *         FR_ETOOLARGE larger than message.max.bytes; permanent for this record
 *         FR_EAGAIN    the producer is being replaced: fr_sink_poll(), try again
 *         FR_EINVAL    no such role or topic
 *         FR_ENOMEM FR_EKAFKA
 * No ack follows an error.
 * @thread the owning lane
 */
FR_MUST_CHECK enum fr_err fr_sink_produce(struct fr_sink *sk, const struct fr_outgoing *msg);

/** Deliver acknowledgements, waiting up to timeout_ms for the first. @return how many were
 * delivered. Replaces a dead producer. @thread the owning lane */
int fr_sink_poll(struct fr_sink *sk, int timeout_ms);

/** Send everything and wait for all acknowledgements (delivered here). @errors FR_ETIMEOUT */
FR_MUST_CHECK enum fr_err fr_sink_flush(struct fr_sink *sk, int timeout_ms);

/** Accepted and not yet acknowledged. */
uint64_t fr_sink_in_flight(const struct fr_sink *sk);

/** Give up everything in flight: each is acknowledged with FR_EAGAIN here (it may still have
 * arrived). For a lost partition. */
void fr_sink_purge(struct fr_sink *sk);

void fr_sink_stats(const struct fr_sink *sk, struct fr_sink_stats *out);

/** Release without waiting: what is in flight gets no ack. Flush first. NULL is a no-op. */
void fr_sink_free(struct fr_sink *sk);

#endif
