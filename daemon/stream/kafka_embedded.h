/*
 * daemon/stream/kafka_embedded.h - a broker inside the process, for trying out and for tests.
 *
 * librdkafka's mock cluster on loopback ports: other processes can connect. Its limits (DESIGN 16):
 * 5 MiB and 100,000 batches a partition, the oldest go; no compaction; topics can't be created by
 * clients; aborted transactions are visible; joining a group takes 3 s; an empty fetch sleeps its
 * whole wait, so clients want fetch.wait.max.ms=5 and fetch.error.backoff.ms=1.
 * Layer: daemon/stream/kafka_*.
 */
#ifndef FR_STREAM_KAFKA_EMBEDDED_H
#define FR_STREAM_KAFKA_EMBEDDED_H

#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/stream/kafka_conf.h"

#define FR_KAFKA_EMBEDDED_FETCH_WAIT_MS 5
#define FR_KAFKA_EMBEDDED_FETCH_BACKOFF_MS 1

/** Owner: the caller. Thread: set-up by one; clients any. Does not survive fork(). */
struct fr_kafka_embedded;

/** @param n_brokers 1..9 @errors FR_EINVAL FR_EKAFKA FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_kafka_embedded_new(int n_brokers, struct fr_kafka_embedded **out_broker, struct fr_fault *fault);

/** "127.0.0.1:port,...". Borrowed as long as the broker. */
const char *fr_kafka_embedded_brokers(const struct fr_kafka_embedded *kb);

/** @errors FR_EINVAL FR_EDUPLICATE FR_EKAFKA */
FR_MUST_CHECK enum fr_err
fr_kafka_embedded_create_topic(struct fr_kafka_embedded *kb, const char *name, int32_t partitions);

/** Stop and release; clients should be closed before. NULL is a no-op. */
void fr_kafka_embedded_free(struct fr_kafka_embedded *kb);

/** For tests: fail the next n requests of an API (Kafka protocol key) with these protocol errors.
 */
void fr_kafka_embedded_fail(struct fr_kafka_embedded *kb,
                            int16_t api_key,
                            const int *errors,
                            int n);

/** For tests: broker_id 1..n; down closes its connections. @errors FR_EKAFKA */
FR_MUST_CHECK enum fr_err fr_kafka_embedded_broker_down(struct fr_kafka_embedded *kb,
                                                        int32_t broker_id);
FR_MUST_CHECK enum fr_err fr_kafka_embedded_broker_up(struct fr_kafka_embedded *kb,
                                                      int32_t broker_id);

/** For tests: answers of a broker take at least rtt_ms. @errors FR_EKAFKA */
FR_MUST_CHECK enum fr_err
fr_kafka_embedded_broker_rtt(struct fr_kafka_embedded *kb, int32_t broker_id, int rtt_ms);

#endif
