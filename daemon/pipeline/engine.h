/*
 * daemon/pipeline/engine.h - what all lanes of a process share; immutable while they run.
 */
#ifndef FR_PIPELINE_ENGINE_H
#define FR_PIPELINE_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "daemon/base/clock.h"
#include "daemon/config.h"
#include "daemon/pipeline/epoch.h"
#include "daemon/stream/record.h"
#include "features/spec.h"

struct fr_ticks;

/** What SIGHUP may replace: published whole, never edited, kept until the process ends. The
 *  specification differs from the first one in triggers and list lengths only. */
struct fr_live {
    const struct fr_config *cfg;
    const struct fr_spec *spec;
};

/**
 * Owner: the process. Thread: immutable, any (the parts have their own rules). A lane works on a copy
 * of its own, whose cfg and spec follow `live` between batches.
 */
struct fr_engine {
    const struct fr_config *cfg;
    const struct fr_spec *spec;
    const struct fr_topic_names *names;
    const struct fr_clock *clock;
    struct fr_epochs *epochs;
    struct fr_ticks *ticks;
    int32_t n_partitions;
    bool deterministic; /* replay: ticks inline, one user at a time, no wall-clock decisions */
    const struct fr_live *_Atomic *live; /* nullable: cfg and spec stay as they are */
};

#endif
