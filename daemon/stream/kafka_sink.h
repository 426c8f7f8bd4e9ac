/*
 * daemon/stream/kafka_sink.h - fr_sink over an idempotent librdkafka producer.
 *
 * In-flight 1 (latency under load, DESIGN 16), partitioner murmur2_random (Java's default), acks
 * all. After a fatal error the producer is replaced: everything in flight is acknowledged with
 * FR_EAGAIN and the owner produces it again. Layer: daemon/stream/kafka_*.
 */
#ifndef FR_STREAM_KAFKA_SINK_H
#define FR_STREAM_KAFKA_SINK_H

#include "daemon/stream/kafka_conf.h"
#include "daemon/stream/sink.h"

/** Zero in a number means the default named, unless said. Owner: the caller; copied. */
struct fr_kafka_sink_opts {
    struct fr_kafka_conn conn;
    const struct fr_topic_names *names;
    int32_t linger_ms;           /* as given, 0 too: 0-1 below 1,000 records/s, 3-5 above */
    int32_t queue_max_messages;  /* 100000 */
    int32_t message_max_bytes;   /* 1000000 */
    int32_t delivery_timeout_ms; /* 120000: then the ack is FR_ETIMEOUT */
    const char *compression;     /* nullable: none; lz4, zstd, gzip, snappy */
    fr_sink_ack_fn ack;
    void *ack_ctx;
};

/** @errors FR_EINVAL (fault names the option) FR_EKAFKA FR_ENOMEM. Does not wait for a broker. */
FR_MUST_CHECK enum fr_err fr_kafka_sink_new(const struct fr_kafka_sink_opts *opts,
                                            struct fr_sink **out_sink,
                                            struct fr_fault *fault);

/**
 * Have `fn` called when acknowledgements wait for fr_sink_poll(), so that its thread need not look for
 * them all the time. It runs on a thread of librdkafka's, under a lock of its queue: it may only wake
 * somebody. fn NULL: no more calls, and none is running when this returns.
 * @thread the owning lane, or while that does not run
 */
void fr_kafka_sink_on_acks(struct fr_sink *sk, void (*fn)(void *ctx), void *ctx);

/** Test hook: make the producer fatally fail as after a lost sequence. */
FR_MUST_CHECK enum fr_err fr_kafka_sink_test_fatal(struct fr_sink *sk);

#endif
