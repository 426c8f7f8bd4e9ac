/*
 * daemon/learn/stream_log.h - a whole topic in memory, its partitions merged into one order.
 *
 *   records in any mix of partitions ─► values, keys, times as they lie in the log ─► merge by time ─► stream_examples
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
#include "daemon/stream/record.h"

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
    int32_t partitions;  /* set by _finish */
    int64_t *newest;     /* by partition: newest event time so far */
    int32_t n_newest;
    struct fr_arena *ar; /* of one value's JSON */
};

/** A record as a consumer would see it; borrowed from the log. */
struct fr_stream_value {
    struct fr_str key, value; /* p == NULL: none */
    int64_t ts;               /* of the record; -1 = none */
    int32_t partition;
};

/**
 * Append a record: per partition in offset order. fr_log_each_fn; ctx is the log.
 * @errors FR_ENOMEM FR_ERANGE (partition, size)
 */
FR_MUST_CHECK enum fr_err fr_stream_log_add(void *ctx, const struct fr_record *r);
/** Merge. @param partitions of the topic, for the check of keys */
void fr_stream_log_finish(struct fr_stream_log *log, int32_t partitions);
/** Record i of the merged order. */
struct fr_stream_value fr_stream_log_get(const struct fr_stream_log *log, size_t i);
void fr_stream_log_done(struct fr_stream_log *log);

#endif
