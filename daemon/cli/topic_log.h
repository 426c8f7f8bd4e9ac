/*
 * daemon/cli/topic_log.h - a whole topic for a command that reads it to its present end.
 * Layer: daemon/cli; includes nothing of features/ or models/ (the judge uses it).
 */
#ifndef FR_CLI_TOPIC_LOG_H
#define FR_CLI_TOPIC_LOG_H

#include <stdbool.h>

#include "daemon/base/err.h"
#include "daemon/learn/stream_log.h"
#include "daemon/stream/kafka_conf.h"
#include "daemon/stream/record.h"

/**
 * Read the topic of a role with a progress line on standard error, partitions merged by time.
 * @param log  zeroed or used before; fr_stream_log_done()
 * @errors FR_ENOTFOUND no such topic; FR_ETIMEOUT nothing comes; those of the reader
 */
FR_MUST_CHECK enum fr_err fr_topic_log_read(const struct fr_kafka_conn *conn,
                                            const char *topic,
                                            enum fr_topic_role role,
                                            bool quiet,
                                            struct fr_stream_log *log,
                                            struct fr_fault *fault);

#endif
