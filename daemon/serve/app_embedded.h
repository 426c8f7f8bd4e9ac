/*
 * daemon/serve/app_embedded.h - `kafka.brokers: embedded`: a broker inside the daemon, for trying out.
 */
#ifndef FR_SERVE_APP_EMBEDDED_H
#define FR_SERVE_APP_EMBEDDED_H

#include <stdbool.h>

#include "daemon/config.h"
#include "daemon/stream/kafka_embedded.h"
#include "daemon/stream/record.h"
#include "features/store.h"

/** Does the configuration ask for it? */
bool fr_app_wants_embedded(const struct fr_config *cfg);

/**
 * Start the broker with all topics: topics.partitions each for events, requests and what is keyed like
 * them, one for the others. Nobody knows its address before fr_app_embedded_announce().
 * @errors FR_EKAFKA FR_ENOMEM FR_EINVAL
 */
FR_MUST_CHECK enum fr_err fr_app_embedded_start(const struct fr_config *cfg,
                                                const struct fr_topic_names *names,
                                                struct fr_kafka_embedded **out,
                                                struct fr_fault *fault);

/**
 * State of an older embedded log can't be continued: its offsets mean other records now. To be called
 * while the log is still empty and the group is initialised.
 * @errors FR_EREFUSED with the remedy; the store's
 */
FR_MUST_CHECK enum fr_err
fr_app_embedded_check(struct fr_store *st, int32_t n_partitions, struct fr_fault *fault);

/** Log what it does not keep, and `embedded_brokers=HOST:PORT`. */
void fr_app_embedded_announce(const struct fr_kafka_embedded *kb);

#endif
