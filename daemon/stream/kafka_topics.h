/*
 * daemon/stream/kafka_topics.h - create and verify topics (`freshet topics create`, doctor).
 * Layer: daemon/stream/kafka_*.
 */
#ifndef FR_STREAM_KAFKA_TOPICS_H
#define FR_STREAM_KAFKA_TOPICS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/stream/kafka_conf.h"

#define FR_TOPIC_SETTINGS 8

/** What a topic should look like. Owner: the caller. */
struct fr_topic_spec {
    const char *name;
    int32_t partitions; /* >= 1 */
    int replication;    /* >= 1; -1 = the broker's default */
    bool compact;       /* cleanup.policy=compact, with 30 days of delete.retention.ms */
    struct fr_kafka_setting settings[FR_TOPIC_SETTINGS]; /* further topic settings */
    int n_settings;
};

enum fr_topic_state {
    FR_TOPIC_CREATED, /* made now */
    FR_TOPIC_FITS,    /* was there and is as wanted */
    FR_TOPIC_DIFFERS, /* was there: partition count or cleanup policy differ */
    FR_TOPIC_MISSING, /* verify only: not there */
    FR_TOPIC_FAILED   /* creation refused */
};

/** Result for one topic. */
struct fr_topic_report {
    enum fr_topic_state state;
    int32_t partitions; /* found; 0 = not there */
    char text[160];     /* for a person; "" when nothing to say */
};

/** The six topics of DESIGN section 3: co-partitioned inputs, items compacted.
 *  @return how many were written to `specs` (FR_TOPIC_COUNT). */
int fr_kafka_topics_default(const struct fr_topic_names *names,
                            int32_t partitions,
                            int replication,
                            struct fr_topic_spec specs[FR_TOPIC_COUNT]);

/**
 * Create what is missing (create = true) and verify all. Waits until new topics are usable.
 * @errors FR_EMISMATCH  a topic differs; FR_ENOTFOUND one is missing (verify); FR_EREFUSED creation
 *         refused; FR_ETIMEOUT FR_EKAFKA FR_EINVAL FR_ENOMEM. `reports` are complete for the first
 * three.
 */
FR_MUST_CHECK enum fr_err fr_kafka_topics_ensure(const struct fr_kafka_conn *conn,
                                                 const struct fr_topic_spec *specs,
                                                 int n,
                                                 bool create,
                                                 int timeout_ms,
                                                 struct fr_topic_report *reports,
                                                 struct fr_fault *fault);

/** Partition count of one topic. @errors FR_ENOTFOUND FR_ETIMEOUT FR_EKAFKA FR_EINVAL FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_kafka_topics_count(const struct fr_kafka_conn *conn,
                                                const char *topic,
                                                int timeout_ms,
                                                int32_t *out_n,
                                                struct fr_fault *fault);

#endif
