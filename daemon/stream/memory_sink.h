/*
 * daemon/stream/memory_sink.h - fr_sink into an in-process log, with scripted misfortune.
 *
 * Acks are queued at produce and delivered by fr_sink_poll(), in order, unless the test holds them
 * back, shuffles them or scripts failures.
 * Layer: daemon/stream.
 */
#ifndef FR_STREAM_MEMORY_SINK_H
#define FR_STREAM_MEMORY_SINK_H

#include <stdbool.h>

#include "daemon/stream/memory_log.h"
#include "daemon/stream/sink.h"

/** Owner: the caller; copied, but for the log. */
struct fr_memory_sink_opts {
    struct fr_memory_log *log; /* borrowed, outlives the sink */
    const struct fr_topic_names *names;
    int queue_max_messages;   /* in flight at most; 0 = 100000 */
    size_t message_max_bytes; /* 0 = 1000000 */
    fr_sink_ack_fn ack;
    void *ack_ctx;
};

FR_MUST_CHECK enum fr_err fr_memory_sink_new(const struct fr_memory_sink_opts *opts,
                                             struct fr_sink **out_sink);

/** Keep acks back (they are not delivered by poll; flush times out) or let them go again. @thread
 * any */
void fr_memory_sink_hold(struct fr_sink *sk, bool hold);
/** Deliver acks in an order shuffled by this seed; 0 = in order. @thread any */
void fr_memory_sink_shuffle(struct fr_sink *sk, uint64_t seed);
/**
 * Of the records accepted from now: let `skip` pass, then the next `n` are acknowledged with `err`.
 * stored: they land in the log all the same (a lost acknowledgement), else not. @thread any
 */
void fr_memory_sink_fail(struct fr_sink *sk, int skip, int n, enum fr_err err, bool stored);

#endif
