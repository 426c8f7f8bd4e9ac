/*
 * daemon/stream/kafka_source.h - fr_source over a librdkafka consumer group.
 *
 * One consumer a process. In the assign callback each partition's queue is forwarded to its lane's
 * queue and rd_kafka_assign() gets explicit offsets; assignor range (eager), so an assignment only
 * ever follows a complete revoke. Why so, and what goes wrong otherwise: DESIGN sections 5 and 16.
 * Layer: daemon/stream/kafka_*.
 */
#ifndef FR_STREAM_KAFKA_SOURCE_H
#define FR_STREAM_KAFKA_SOURCE_H

#include "daemon/stream/kafka_conf.h"
#include "daemon/stream/source.h"

/** Zero in a number means the default named. Owner: the caller; copied. */
struct fr_kafka_source_opts {
    struct fr_kafka_conn conn;
    const struct fr_topic_names *names;
    const char *group;
    const char *instance_id; /* nullable or "": dynamic membership */
    int n_lanes;             /* >= 1 */
    int32_t
        session_timeout_ms; /* 45000; also how long a killed dynamic member blocks its partitions */
    int32_t max_poll_interval_ms; /* 300000 */
    int32_t queued_max_kbytes;    /* 16384 a partition: bounds what waits for a lane */
    int32_t fetch_wait_max_ms; /* 500; 5 on the embedded broker, which sleeps an empty fetch out */
    int32_t fetch_error_backoff_ms; /* 500; 1 on the embedded broker */
    int32_t metadata_refresh_ms;    /* 5000: how soon new partitions are seen */
    bool events_only;               /* do not subscribe to requests */
};

/**
 * Connect, check that the topics exist with equal partition counts, subscribe.
 * @errors FR_EINVAL   an option (fault names it)
 *         FR_ENOTFOUND a topic is missing; FR_EMISMATCH partition counts differ (fault has the
 * remedy) FR_ETIMEOUT no broker within 10 s; FR_EKAFKA; FR_ENOMEM
 * @thread main
 */
FR_MUST_CHECK enum fr_err fr_kafka_source_new(const struct fr_kafka_source_opts *opts,
                                              const struct fr_source_callbacks *cb,
                                              struct fr_source **out_source,
                                              struct fr_fault *fault);

/** Records that came to main instead of a lane's queue since start: must be 0 (tests look). */
uint64_t fr_kafka_source_strays(const struct fr_source *src);

#endif
