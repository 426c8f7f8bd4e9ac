/*
 * daemon/stream/kafka_log_reader.h - fr_log_reader over librdkafka: all partitions by hand, no
 * group. Layer: daemon/stream/kafka_*.
 */
#ifndef FR_STREAM_KAFKA_LOG_READER_H
#define FR_STREAM_KAFKA_LOG_READER_H

#include "daemon/stream/kafka_conf.h"
#include "daemon/stream/log_reader.h"

/** Owner: the caller; copied. */
struct fr_kafka_log_reader_opts {
    struct fr_kafka_conn conn;
    const char *topic;
    enum fr_topic_role role;        /* stamped on the records */
    const int64_t *start;           /* by partition; nullable: from the beginning */
    int32_t n_start;                /* must equal the topic's partition count if start is given */
    int32_t fetch_wait_max_ms;      /* 0 = 500 */
    int32_t fetch_error_backoff_ms; /* 0 = 500 */
    int timeout_ms;                 /* for metadata and watermarks; 0 = 10000 */
};

/** @errors FR_ENOTFOUND no such topic; FR_EMISMATCH n_start; FR_ERANGE a start offset outside the
 * log; FR_EINVAL FR_ETIMEOUT FR_EKAFKA FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_kafka_log_reader_new(const struct fr_kafka_log_reader_opts *opts,
                                                  struct fr_log_reader **out_reader,
                                                  struct fr_fault *fault);

#endif
