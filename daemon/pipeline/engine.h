/*
 * daemon/pipeline/engine.h - what all lanes of a process share; immutable while they run.
 */
#ifndef FR_PIPELINE_ENGINE_H
#define FR_PIPELINE_ENGINE_H

#include <stdbool.h>

#include "daemon/base/clock.h"
#include "daemon/config.h"
#include "daemon/pipeline/epoch.h"
#include "daemon/stream/record.h"
#include "features/spec.h"

struct fr_ticks;

/** Owner: the process. Thread: immutable, any (the parts have their own rules). */
struct fr_engine {
    const struct fr_config *cfg; /* lanes read reloadable keys through `tuning` */
    const struct fr_spec *spec;
    const struct fr_topic_names *names;
    const struct fr_clock *clock;
    struct fr_epochs *epochs;
    struct fr_ticks *ticks;
    int32_t n_partitions;
    bool deterministic; /* replay: ticks inline, one user at a time, no wall-clock decisions */
};

#endif
