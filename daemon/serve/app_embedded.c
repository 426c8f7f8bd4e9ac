/*
 * daemon/serve/app_embedded.c - see app_embedded.h.
 */
#include "daemon/serve/app_embedded.h"

#include <string.h>

#include "daemon/base/arena.h"
#include "daemon/base/log.h"
#include "daemon/base/rng.h"

bool fr_app_wants_embedded(const struct fr_config *cfg)
{
    return strcmp(cfg->kafka_brokers, "embedded") == 0;
}

enum fr_err fr_app_embedded_start(const struct fr_config *cfg,
                                  const struct fr_topic_names *names,
                                  struct fr_kafka_embedded **out,
                                  struct fr_fault *fault)
{
    struct fr_kafka_embedded *kb;
    enum fr_err e = fr_kafka_embedded_new(1, &kb, fault);

    if (e != FR_OK)
        return e;
    for (int r = 0; r < FR_TOPIC_COUNT && e == FR_OK; r++) {
        bool keyed = r < FR_TOPIC_INPUTS || r == FR_TOPIC_RECOMMENDATIONS || r == FR_TOPIC_EXAMPLES;
        e = fr_kafka_embedded_create_topic(kb, names->name[r], keyed ? (int32_t)cfg->topics_partitions : 1);
        if (e != FR_OK)
            (void)fr_fault(fault, e, "embedded broker: topic %s: %s", names->name[r], fr_err_text(e));
    }
    if (e != FR_OK) {
        fr_kafka_embedded_free(kb);
        return e;
    }
    *out = kb;
    return FR_OK;
}

enum fr_err fr_app_embedded_check(struct fr_store *st, int32_t n_partitions, struct fr_fault *fault)
{
    struct fr_arena *ar;
    struct fr_rng rng;
    enum fr_err e = fr_arena_new(4096, 0, &ar);

    if (e != FR_OK)
        return fr_fault(fault, e, "out of memory");
    fr_rng_seed(&rng, fr_rng_os_seed());
    for (int32_t p = 0; p < n_partitions && e == FR_OK; p++) {
        struct fr_store_taken got;
        e = fr_store_take(st, p, fr_rng_u64(&rng) | 1U, ar, &got);
        if (e != FR_OK)
            e = fr_fault(fault, e, "partition %d: reading its state: %s", (int)p, fr_err_text(e));
        else if (got.r > 0)
            e = fr_fault(fault, FR_EREFUSED,
                         "Redis holds the state of an older embedded log (events[%d] up to offset %lld), "
                         "which ended with its daemon: use a Redis of its own, or another kafka.group",
                         (int)p, (long long)got.r);
    }
    fr_arena_free(ar);
    return e;
}

void fr_app_embedded_announce(const struct fr_kafka_embedded *kb)
{
    fr_log(FR_LOG_WARN, "app",
           "embedded_broker=\"for trying out: in memory only, gone when the daemon ends; keeps the newest 5 MiB "
           "or 100,000 batches of a partition; compacts nothing; shows aborted transactions\"");
    fr_log(FR_LOG_INFO, "app", "embedded_brokers=%s", fr_kafka_embedded_brokers(kb));
}
