/*
 * daemon/pipeline/outbox.h - what a lane has produced and Kafka has not acknowledged.
 *
 * Keeps a copy of every record in flight, so that one whose delivery failed for a passing reason is
 * produced again, in order of failure; tells the lane when a record is safe. A record that can never
 * be delivered (too large, refused) is reported as such and let go.
 */
#ifndef FR_PIPELINE_OUTBOX_H
#define FR_PIPELINE_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/stream/sink.h"

struct fr_outbox;

/** Whose output it is; comes back with the acknowledgement. */
struct fr_out_tag {
    int32_t partition;      /* of the trigger; -1 = none */
    uint64_t epoch;         /* of the take it belongs to: an older one is ignored by the lane */
    enum fr_topic_role in;  /* input role of the trigger */
    int64_t offset;         /* of the trigger, FR_OFFSET_NONE = none */
    int64_t event_us;       /* event time of the trigger, microseconds */
    bool regenerated;
};

/** A record is safe (FR_OK) or given up (any other). Runs inside fr_outbox_poll() and _flush(). */
typedef void (*fr_outbox_done_fn)(void *ctx,
                                  enum fr_topic_role out,
                                  const struct fr_out_tag *tag,
                                  enum fr_err err);

/** @errors FR_ENOMEM. Owner: the lane. Thread: the lane's. */
FR_MUST_CHECK enum fr_err
fr_outbox_new(fr_outbox_done_fn done, void *ctx, struct fr_outbox **out_ob);

/** The sink it writes to; the sink's acknowledgement function is fr_outbox_ack with the outbox as
 *  context. Set once, before the first send. */
void fr_outbox_attach(struct fr_outbox *ob, struct fr_sink *sink);
void fr_outbox_ack(void *outbox, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset);

/** Does not release the sink. NULL is a no-op. */
void fr_outbox_free(struct fr_outbox *ob);

/**
 * Produce a record (copied). A full or resting producer is no error: the record waits in the outbox
 * and fr_outbox_blocked() turns true.
 * @errors FR_ETOOLARGE FR_EINVAL (nothing kept) FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err
fr_outbox_send(struct fr_outbox *ob, const struct fr_outgoing *msg, const struct fr_out_tag *tag);

/** Deliver acknowledgements, produce again what waits. @return acknowledgements delivered */
int fr_outbox_poll(struct fr_outbox *ob, int timeout_ms);

/** Wait until everything is acknowledged. @errors FR_ETIMEOUT */
FR_MUST_CHECK enum fr_err fr_outbox_flush(struct fr_outbox *ob, int timeout_ms);

/** Records that wait for room in the producer: stop reading. */
bool fr_outbox_blocked(const struct fr_outbox *ob);
/** Records not yet acknowledged, waiting ones included. */
uint32_t fr_outbox_pending(const struct fr_outbox *ob);
/** Records produced a second time so far. */
uint64_t fr_outbox_retries(const struct fr_outbox *ob);

#endif
