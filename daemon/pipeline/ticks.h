/*
 * daemon/pipeline/ticks.h - from item counters of partitions to published generations.
 *
 * Each partition hands over a snapshot when its event time crosses a tick; the builder keeps the
 * newest of each partition and sums them in partition order. Inline (deterministic replay) the
 * generation is built at once and the caller carries it in its triggers; live, the refresher builds
 * and publishes.
 */
#ifndef FR_PIPELINE_TICKS_H
#define FR_PIPELINE_TICKS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "features/item_generation.h"
#include "features/item_stats.h"
#include "features/spec.h"

struct fr_ticks;

/** @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_ticks_new(const struct fr_spec *spec, int32_t n_partitions, struct fr_ticks **out_t);
void fr_ticks_free(struct fr_ticks *t);

/** Hand over a snapshot; it replaces the partition's older one. @thread any */
void fr_ticks_post(struct fr_ticks *t, int32_t partition, struct fr_item_snapshot **take_snapshot);

/** Build with another specification from now on (the length of popular lists). It is borrowed for the
 *  ticks' life. @thread any */
void fr_ticks_set_spec(struct fr_ticks *t, const struct fr_spec *spec);

/** Has anything been posted since the last build? @thread any */
bool fr_ticks_pending(struct fr_ticks *t);

/** Sum the newest snapshots. The caller owns one reference. @errors FR_ENOMEM @thread one builder */
FR_MUST_CHECK enum fr_err fr_ticks_build(struct fr_ticks *t, struct fr_item_generation **out_g);

#endif
