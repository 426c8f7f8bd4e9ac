/*
 * daemon/cli/demo_link.h - a demo's connection to the embedded broker: it sends events and items, and
 * receives recommendations.
 *
 * Layer: daemon/cli. Thread: one at a time.
 */
#ifndef FR_CLI_DEMO_LINK_H
#define FR_CLI_DEMO_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/cli/catalogue_titles.h"
#include "daemon/stream/log_reader.h"
#include "daemon/stream/sink.h"

/** Owner: the caller's storage, zeroed; fr_demo_link_close(). */
struct fr_demo_link {
    struct fr_topic_names names;
    struct fr_sink *sink;
    struct fr_log_reader *lists; /* the recommendations topic from its start */
    uint64_t sent, failed;
};

/** @errors FR_EKAFKA FR_ENOTFOUND FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_demo_link_open(struct fr_demo_link *l, const char *brokers, struct fr_fault *fault);

/** Produce one record; waits for room. A NULL value.p is a null value. @errors FR_ETIMEOUT FR_ETOOLARGE
 *  FR_ECLOSED a stop was asked for; others of fr_sink_produce() */
FR_MUST_CHECK enum fr_err fr_demo_link_send(struct fr_demo_link *l,
                                            enum fr_topic_role role,
                                            struct fr_str key,
                                            struct fr_str value);

/**
 * Produce lines [from, to) (counted from 0) of a JSON Lines file of `events` or `items` values.
 * @param titles  nullable: titles of items go there.
 * @errors FR_ESCHEMA a line without its key field (fault names the line); as fr_demo_link_send()
 */
FR_MUST_CHECK enum fr_err fr_demo_link_send_file(struct fr_demo_link *l,
                                                 enum fr_topic_role role,
                                                 const char *path,
                                                 uint64_t from,
                                                 uint64_t to,
                                                 struct fr_titles *titles,
                                                 struct fr_fault *fault);

/** Wait until everything sent is acknowledged. @errors FR_ETIMEOUT; FR_EKAFKA: some were not delivered */
FR_MUST_CHECK enum fr_err fr_demo_link_flush(struct fr_demo_link *l, struct fr_fault *fault);

void fr_demo_link_close(struct fr_demo_link *l);

#endif
