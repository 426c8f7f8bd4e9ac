/*
 * daemon/cli/topic_read.h - a whole topic, with a progress line, for commands that read one to its
 * present end. Layer: daemon/cli.
 */
#ifndef FR_CLI_TOPIC_READ_H
#define FR_CLI_TOPIC_READ_H

#include <stdbool.h>

#include "daemon/base/err.h"
#include "daemon/stream/kafka_conf.h"
#include "daemon/stream/log_each.h"
#include "daemon/stream/record.h"

/**
 * Give every record of the topic to `fn`: per partition in offset order.
 * @param out_partitions  nullable
 * @errors FR_ENOTFOUND no such topic; FR_ETIMEOUT nothing comes; those of the reader and of `fn`
 */
FR_MUST_CHECK enum fr_err fr_topic_read(const struct fr_kafka_conn *conn,
                                        const char *topic,
                                        enum fr_topic_role role,
                                        bool quiet,
                                        fr_log_each_fn fn,
                                        void *ctx,
                                        int32_t *out_partitions,
                                        struct fr_fault *fault);

#endif
