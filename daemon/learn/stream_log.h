/*
 * daemon/learn/stream_log.h - a whole topic in memory, its partitions merged into one order.
 *
 *   fr_log_reader ─► values, keys, times as they lie in the log ─► merge by time ─► stream_examples
 *
 * Order: the newest event time that a partition has shown so far, then partition, then offset. So a
 * partition stays in offset order whatever the times in it, and the same topics always give the same
 * stream. Layer: daemon/learn. Thread: one at a time.
 */
#ifndef FR_LEARN_STREAM_LOG_H
#define FR_LEARN_STREAM_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/err.h"
#include "daemon/base/str.h"
#include "daemon/stream/log_reader.h"

/** One record. Owner: the log. */
struct fr_stream_record {
    size_t at;            /* key, then value, in the log's text */
    uint32_t key_n;       /* UINT32_MAX = no key */
    uint32_t value_n;     /* UINT32_MAX = null value */
    int64_t ts;           /* of the record; -1 = none */
    int64_t order;        /* newest event time of its partition up to here */
    int64_t offset;
    int32_t partition;
};

/** Owner: the caller's storage, zeroed; fr_stream_log_done(). */
struct fr_stream_log {
    struct fr_buf text;
    struct fr_stream_record *rec;
    size_t n, cap;
    int32_t partitions;
};

/** A record as a consumer would see it; borrowed from the log. */
struct fr_stream_value {
    struct fr_str key, value; /* p == NULL: none */
    int64_t ts;
    int32_t partition;
};

/** Told every few thousand records; `total` is what the topic held when reading began. */
typedef void (*fr_stream_log_progress_fn)(void *ctx, uint64_t done, uint64_t total);

/**
 * Read a topic from the reader's start to the end it had when the reader was made, and merge.
 * @param progress  nullable
 * @param stall_ms  give up when nothing comes for this long, e.g. 30000
 * @errors FR_ETIMEOUT FR_ENOMEM, FR_EREFUSED and what else the reader says; the fault names the place
 */
FR_MUST_CHECK enum fr_err fr_stream_log_read(struct fr_stream_log *log,
                                             struct fr_log_reader *lr,
                                             int stall_ms,
                                             fr_stream_log_progress_fn progress,
                                             void *ctx,
                                             struct fr_fault *fault);
/** Record i of the merged order. */
struct fr_stream_value fr_stream_log_get(const struct fr_stream_log *log, size_t i);
void fr_stream_log_done(struct fr_stream_log *log);

#endif
