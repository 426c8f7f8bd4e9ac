/*
 * daemon/connect.h - from configuration to connection options: topic names, Kafka, Redis.
 *
 * One place for the daemon and the command line, so that both reach the same cluster.
 */
#ifndef FR_CONNECT_H
#define FR_CONNECT_H

#include "daemon/base/err.h"
#include "daemon/config.h"
#include "daemon/stream/kafka_conf.h"
#include "daemon/stream/record.h"
#include "features/store.h"

/** topics.prefix and topics.*. @errors FR_ETOOLARGE FR_EINVAL; fault names the topic */
FR_MUST_CHECK enum fr_err
fr_connect_names(const struct fr_config *cfg, struct fr_topic_names *out, struct fr_fault *fault);

/**
 * kafka.brokers and kafka.properties, checked.
 * @param out_props, out_text  memory that `out` points into: the caller frees both with fr_free()
 *                             after its last use (also after an error: NULL or valid).
 * @errors FR_ESCHEMA FR_EINVAL FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_connect_kafka(const struct fr_config *cfg,
                                           const char *client_id,
                                           struct fr_kafka_conn *out,
                                           struct fr_kafka_setting **out_props,
                                           char **out_text,
                                           struct fr_fault *fault);

/** A store handle (it connects at its first call). Reads redis.password_file. */
FR_MUST_CHECK enum fr_err
fr_connect_store(const struct fr_config *cfg, struct fr_store **out, struct fr_fault *fault);

#endif
