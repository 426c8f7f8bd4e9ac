/*
 * daemon/serve/app_embedded.h - `kafka.brokers: embedded`: a broker inside the daemon, for trying out.
 */
#ifndef FR_SERVE_APP_EMBEDDED_H
#define FR_SERVE_APP_EMBEDDED_H

#include <stdbool.h>

#include "daemon/config.h"
#include "daemon/stream/kafka_embedded.h"
#include "daemon/stream/record.h"

/** Does the configuration ask for it? */
bool fr_app_wants_embedded(const struct fr_config *cfg);

/**
 * Start the broker with all topics (topics.partitions each for events and requests, one for the others)
 * and log where it listens. Lowers kafka.fetch_wait_max_ms, since it does not wake a waiting fetch.
 * @errors FR_EKAFKA FR_ENOMEM FR_EINVAL
 */
FR_MUST_CHECK enum fr_err fr_app_embedded_start(struct fr_config *cfg,
                                                const struct fr_topic_names *names,
                                                struct fr_kafka_embedded **out,
                                                struct fr_fault *fault);

#endif
