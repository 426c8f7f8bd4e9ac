/*
 * daemon/stream/log_reader.h - read whole topics without a group: all partitions, assigned by hand.
 *
 * For the items topic (a compacted table), and for tools that read a topic from start to end.
 * Caught up = every partition has reached the high watermark that was taken when the reader
 * started.
 *
 * Implementations: kafka_log_reader.h, memory_source.h.
 * Layer: daemon/stream; knows nothing of Kafka.
 */
#ifndef FR_STREAM_LOG_READER_H
#define FR_STREAM_LOG_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/stream/record.h"

struct fr_log_reader_ops;

/** Owner: made by an implementation's _new, released by fr_log_reader_free(). Thread: one. */
struct fr_log_reader {
    const struct fr_log_reader_ops *ops;
};

struct fr_log_reader_ops {
    enum fr_err (*poll)(struct fr_log_reader *lr, int timeout_ms, struct fr_record *out);
    void (*release)(struct fr_log_reader *lr, struct fr_record *rec);
    enum fr_err (*header)(const struct fr_record *rec, int i, struct fr_header *out);
    int32_t (*partitions)(const struct fr_log_reader *lr);
    int64_t (*position)(const struct fr_log_reader *lr, int32_t partition);
    int64_t (*target)(const struct fr_log_reader *lr, int32_t partition);
    bool (*caught_up)(struct fr_log_reader *lr);
    void (*free)(struct fr_log_reader *lr);
};

/**
 * Next record of any partition; per partition in offset order.
 * @param out  FR_OK: borrowed until fr_log_reader_release(). FR_EREFUSED: as fr_source_poll(): the
 *             partition can't be read on.
 * @errors FR_EAGAIN nothing within timeout_ms; FR_EREFUSED; FR_EKAFKA passing, poll again
 */
FR_MUST_CHECK enum fr_err
fr_log_reader_poll(struct fr_log_reader *lr, int timeout_ms, struct fr_record *out);
void fr_log_reader_release(struct fr_log_reader *lr, struct fr_record *rec);
FR_MUST_CHECK enum fr_err fr_log_reader_header(const struct fr_log_reader *lr,
                                               const struct fr_record *rec,
                                               int i,
                                               struct fr_header *out);
/** Partitions of the topic when the reader was made. */
int32_t fr_log_reader_partitions(const struct fr_log_reader *lr);
/** Offset after the last record taken (what a snapshot stores); the start offset before the first.
 */
int64_t fr_log_reader_position(const struct fr_log_reader *lr, int32_t partition);
/** High watermark taken when the reader was made. */
int64_t fr_log_reader_target(const struct fr_log_reader *lr, int32_t partition);
/** True once every partition has reached its target; stays true. */
bool fr_log_reader_caught_up(struct fr_log_reader *lr);
void fr_log_reader_free(struct fr_log_reader *lr);

#endif
