/*
 * daemon/stream/kafka_conf_priv.h - librdkafka helpers shared by the kafka_* files.
 * Layer: daemon/stream/kafka_* only.
 */
#ifndef FR_STREAM_KAFKA_CONF_PRIV_H
#define FR_STREAM_KAFKA_CONF_PRIV_H

#include <stdint.h>

#include <librdkafka/rdkafka.h>

#include "daemon/stream/kafka_conf.h"

/** What we set ourselves, in order; a NULL name ends the list. */
struct fr_kafka_default {
    const char *name;
    const char *value; /* NULL: the number is meant */
    int64_t number;
};

/**
 * A configuration with brokers, client id, log callback and reconnect back-off, then `own`, then
 * the pass-through settings.
 * @param out_conf owned by the caller until fr_kafka_client_new() takes it
 * @errors FR_EINVAL (fault names the setting) FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_kafka_conf_new(const struct fr_kafka_conn *conn,
                                            const struct fr_kafka_default *own,
                                            rd_kafka_conf_t **out_conf,
                                            struct fr_fault *fault);

/** An empty configuration that logs through daemon/base/log; NULL without memory. */
rd_kafka_conf_t *fr_kafka_conf_bare(void);

/** rd_kafka_new(); the configuration is taken in any case (rd_kafka_new leaks it on failure). */
FR_MUST_CHECK enum fr_err fr_kafka_client_new(rd_kafka_type_t type,
                                              rd_kafka_conf_t **take_conf,
                                              rd_kafka_t **out_rk,
                                              struct fr_fault *fault);

/** Our code for a librdkafka error of a request (commit, metadata, admin). */
enum fr_err fr_kafka_err(rd_kafka_resp_err_t e);

/** Partition count of one topic, asked from the cluster. Retries until timeout while no broker
 *  answers. @errors FR_ENOTFOUND FR_ETIMEOUT FR_EREFUSED FR_EKAFKA FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_kafka_count_partitions(
    rd_kafka_t *rk, const char *topic, int timeout_ms, int32_t *out_n, struct fr_fault *fault);

/** [low, high) of a partition, asked from its leader; asks again until timeout while there is none
 * (a new topic shows up in the metadata before its leader serves it).
 *  @errors FR_ETIMEOUT FR_ENOTFOUND FR_EREFUSED FR_EKAFKA */
FR_MUST_CHECK enum fr_err fr_kafka_watermarks(rd_kafka_t *rk,
                                              const char *topic,
                                              int32_t partition,
                                              int timeout_ms,
                                              int64_t *out_low,
                                              int64_t *out_high);

/** Monotonic milliseconds, for deadlines. */
int64_t fr_kafka_now_ms(void);

/** A librdkafka message as our record (role and opaque set by this). */
void fr_kafka_record(rd_kafka_message_t *m, enum fr_topic_role role, struct fr_record *out);

/** The i-th header of a message. */
FR_MUST_CHECK enum fr_err
fr_kafka_header(const rd_kafka_message_t *m, int i, struct fr_header *out);

/** What an error message on a partition's queue means: FR_ERANGE, FR_ENOTFOUND, FR_EREFUSED for the
 *  partition's end, FR_EKAFKA for a passing one. */
enum fr_err fr_kafka_partition_err(rd_kafka_resp_err_t e);

#endif
