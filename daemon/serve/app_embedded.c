/*
 * daemon/serve/app_embedded.c - see app_embedded.h.
 */
#include "daemon/serve/app_embedded.h"

#include <string.h>

#include "daemon/base/log.h"

bool fr_app_wants_embedded(const struct fr_config *cfg)
{
    return strcmp(cfg->kafka_brokers, "embedded") == 0;
}

enum fr_err fr_app_embedded_start(struct fr_config *cfg,
                                  const struct fr_topic_names *names,
                                  struct fr_kafka_embedded **out,
                                  struct fr_fault *fault)
{
    struct fr_kafka_embedded *kb;
    enum fr_err e = fr_kafka_embedded_new(1, &kb, fault);

    if (e != FR_OK)
        return e;
    for (int r = 0; r < FR_TOPIC_COUNT && e == FR_OK; r++) {
        bool input = r < FR_TOPIC_INPUTS || r == FR_TOPIC_RECOMMENDATIONS || r == FR_TOPIC_EXAMPLES;
        e = fr_kafka_embedded_create_topic(kb, names->name[r], input ? (int32_t)cfg->topics_partitions : 1);
        if (e != FR_OK)
            (void)fr_fault(fault, e, "embedded broker: topic %s: %s", names->name[r], fr_err_text(e));
    }
    if (e != FR_OK) {
        fr_kafka_embedded_free(kb);
        return e;
    }
    if (cfg->kafka_fetch_wait_max_ms > FR_KAFKA_EMBEDDED_FETCH_WAIT_MS)
        cfg->kafka_fetch_wait_max_ms = FR_KAFKA_EMBEDDED_FETCH_WAIT_MS;
    fr_log(FR_LOG_INFO, "app", "embedded_brokers=%s", fr_kafka_embedded_brokers(kb));
    fr_log(FR_LOG_WARN, "app",
           "embedded_broker=\"for trying out: keeps 5 MiB or 100,000 batches a partition, in memory only\"");
    *out = kb;
    return FR_OK;
}
