/*
 * daemon/stream/kafka_conf.h - connection options, and what all users of librdkafka here share.
 *
 * Any librdkafka setting passes through (`kafka.*` in the config); a few belong to Freshet's
 * delivery rules and are refused: see kafka_conf.c. No librdkafka type appears in this header.
 * Layer: daemon/stream/kafka_*: the only files that may include librdkafka.
 */
#ifndef FR_STREAM_KAFKA_CONF_H
#define FR_STREAM_KAFKA_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/stream/record.h"

/** One librdkafka setting as text. */
struct fr_kafka_setting {
    const char *name;
    const char *value;
};

/** How to reach the cluster. Owner: the caller; borrowed by _new calls, which copy what they need.
 */
struct fr_kafka_conn {
    const char *brokers;                     /* bootstrap list, "host:port,host:port" */
    const char *client_id;                   /* nullable: "freshet" */
    const struct fr_kafka_setting *settings; /* passed through, after our own */
    int n_settings;
};

/** Version of the library at run time ("2.0.2"). Static storage. */
const char *fr_kafka_version(void);

/**
 * Check the pass-through settings without connecting: names, values, and that none belongs to us.
 * @errors FR_EINVAL with the name and the reason in `fault`; FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_kafka_conn_check(const struct fr_kafka_conn *conn,
                                              struct fr_fault *fault);

#endif
