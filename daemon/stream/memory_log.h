/*
 * daemon/stream/memory_log.h - topics and groups inside the process, for tests and replay.
 *
 * What a broker is to Kafka clients, this is to memory_source and memory_sink: partitions with
 * offsets, watermarks, timestamps and headers; per group the owner and the committed offset of each
 * partition. Everything under one mutex: simple, and right under TSan.
 * Layer: daemon/stream.
 */
#ifndef FR_STREAM_MEMORY_LOG_H
#define FR_STREAM_MEMORY_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/stream/record.h"

struct fr_memory_log;

/** One stored record. Immutable; lives as long as the log. */
struct fr_memory_record {
    int64_t offset;
    int64_t ts_ms;
    struct fr_str key, value; /* p == NULL: null */
    const struct fr_header *headers;
    int n_headers;
};

/** @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_memory_log_new(struct fr_memory_log **out_log);
/** After every source and sink over it is gone. NULL is a no-op. */
void fr_memory_log_free(struct fr_memory_log *log);

/** @errors FR_EDUPLICATE FR_EINVAL FR_ENOMEM @thread any (this and all below) */
FR_MUST_CHECK enum fr_err
fr_memory_log_create_topic(struct fr_memory_log *log, const char *topic, int32_t partitions);
/** All roles of `names`, each with `partitions`. */
FR_MUST_CHECK enum fr_err fr_memory_log_create_all(struct fr_memory_log *log,
                                                   const struct fr_topic_names *names,
                                                   int32_t partitions);
/** @errors FR_ENOTFOUND */
FR_MUST_CHECK enum fr_err
fr_memory_log_partitions(struct fr_memory_log *log, const char *topic, int32_t *out_n);

/**
 * Append; everything is copied. partition -1: by murmur2 of the key, 0 without key.
 * @param out_partition, out_offset  nullable
 * @errors FR_ENOTFOUND FR_EINVAL FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_memory_log_append(struct fr_memory_log *log,
                                               const char *topic,
                                               int32_t partition,
                                               const struct fr_memory_record *rec,
                                               int32_t *out_partition,
                                               int64_t *out_offset);

/** Leave a hole of n offsets, as compaction and transaction markers do. */
FR_MUST_CHECK enum fr_err
fr_memory_log_skip(struct fr_memory_log *log, const char *topic, int32_t partition, int64_t n);

/** Raise the low watermark: offsets below are gone (FR_ERANGE for who wants them). */
FR_MUST_CHECK enum fr_err fr_memory_log_truncate(struct fr_memory_log *log,
                                                 const char *topic,
                                                 int32_t partition,
                                                 int64_t low);

FR_MUST_CHECK enum fr_err fr_memory_log_watermarks(struct fr_memory_log *log,
                                                   const char *topic,
                                                   int32_t partition,
                                                   int64_t *out_low,
                                                   int64_t *out_high);

/** First record at or after `offset`. @errors FR_ENOTFOUND none yet, FR_ERANGE below low or above
 * high */
FR_MUST_CHECK enum fr_err fr_memory_log_read(struct fr_memory_log *log,
                                             const char *topic,
                                             int32_t partition,
                                             int64_t offset,
                                             const struct fr_memory_record **out_rec);

/** Committed offset of a group; FR_OFFSET_NONE when none. */
FR_MUST_CHECK enum fr_err fr_memory_log_committed(struct fr_memory_log *log,
                                                  const char *group,
                                                  const char *topic,
                                                  int32_t partition,
                                                  int64_t *out_offset);
/** Commit as `member` (0 = no check). @errors FR_EFENCED another member owns the partition */
FR_MUST_CHECK enum fr_err fr_memory_log_commit(struct fr_memory_log *log,
                                               const char *group,
                                               const char *topic,
                                               int32_t partition,
                                               int64_t offset,
                                               uint64_t member);
/** Make `member` the owner of a partition in a group (0 = nobody). */
FR_MUST_CHECK enum fr_err fr_memory_log_own(struct fr_memory_log *log,
                                            const char *group,
                                            const char *topic,
                                            int32_t partition,
                                            uint64_t member);

/** Wait until anything was appended since *seen (a counter, start with 0) or timeout; updates
 * *seen. */
void fr_memory_log_wait(struct fr_memory_log *log, uint64_t *seen, int timeout_ms);
/** Wake every waiter. */
void fr_memory_log_wake(struct fr_memory_log *log);

#endif
