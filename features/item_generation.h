/*
 * features/item_generation.h - one published generation of item statistics.
 *
 * Built from the newest snapshot of every partition, summed in partition order; immutable; what
 * item cells and the popular source read. Its number stands in the row.
 *
 * Layer: features; includes daemon/base/ and features/ only.
 */
#ifndef FR_FEATURES_ITEM_GENERATION_H
#define FR_FEATURES_ITEM_GENERATION_H

#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/map.h"
#include "features/item_stats.h"
#include "features/spec.h"

/** Owner: reference-counted. Thread: immutable but for the counter, any. */
struct fr_item_generation {
    uint64_t number;
    int64_t tick_ts; /* newest tick of its snapshots: values are decayed to it */
    uint32_t n;
    int n_columns;
    uint64_t *item;    /* (n) keyed hashes */
    int64_t *first_ts; /* (n) */
    double *value;     /* (n, n_columns): counts or smoothed rates, by spec.column_feat */
    double *pop;       /* (n) positive-weighted count at popular_half_life */
    uint32_t *top;     /* (n_top) rows by pop, best first; ties by hash */
    uint32_t n_top;
    struct fr_map by_item;
    _Atomic int64_t refs;
};

/**
 * @param snap  (n_snap), by partition; NULL entries (no snapshot yet) are skipped.
 * @errors FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_item_generation_build(const struct fr_spec *spec,
                                                   const struct fr_item_snapshot *const *snap,
                                                   int n_snap,
                                                   uint64_t number,
                                                   struct fr_item_generation **out);

/** @thread any */
struct fr_item_generation *fr_item_generation_ref(struct fr_item_generation *g);
/** NULL is a no-op; the last reference releases. @thread any */
void fr_item_generation_unref(struct fr_item_generation *g);

/** Row of an item, FR_MAP_NONE when it has no statistics. */
static inline uint32_t fr_item_generation_find(const struct fr_item_generation *g, uint64_t item)
{
    return g == NULL ? FR_MAP_NONE : fr_map_get(&g->by_item, item);
}

#endif
