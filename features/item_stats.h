/*
 * features/item_stats.h - per partition: decayed counters of every item.
 *
 * A second view of the partition with its own offset V (DESIGN 5): absolute values with their
 * landmark, dirty rows saved once a second. Landmarks lie on a grid of whole half-lives, so
 * aligning two of them multiplies by an exact power of two and sums of partitions are linear and
 * exact.
 *
 *   events -> fr_item_stats (one per partition, its lane) -- at event-time ticks -->
 * fr_item_snapshot
 *          -> item_generation.h sums the newest snapshot of each partition, in partition order
 *
 * Record (MessagePack map, key `i:<item>`; types as in user_codec.h):
 *   {"v":1, "f":first event ts, "l":newest event ts, "ty":[names], "hl":[hl0,hl1], "L":[L0,L1],
 *    "c":[T*2 weights, type-major]}
 *
 * Layer: features; includes daemon/base/ and features/ only.
 */
#ifndef FR_FEATURES_ITEM_STATS_H
#define FR_FEATURES_ITEM_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/arena.h"
#include "daemon/base/buf.h"
#include "daemon/base/err.h"
#include "daemon/base/map.h"
#include "features/event.h"
#include "features/spec.h"

struct fr_item_stats;

/** One item's counters. */
struct fr_item_row {
    uint64_t item;
    int64_t first_ts;
    int64_t last_ts;
    int64_t landmark[FR_HALF_LIVES];
};

/** A copy of all counters of a partition at a tick. Owner: fr_item_snapshot_free(). Immutable. */
struct fr_item_snapshot {
    int64_t tick_ts; /* every event applied so far is older than this */
    uint32_t n;
    int n_types;
    struct fr_item_row *row; /* (n) */
    double *c;               /* (n, n_types, FR_HALF_LIVES) */
};

/** @param spec  borrowed, must outlive it. @errors FR_ENOMEM. Owner: the lane of the partition. */
FR_MUST_CHECK enum fr_err fr_item_stats_new(const struct fr_spec *spec, struct fr_item_stats **out);
void fr_item_stats_free(struct fr_item_stats *st);

/** Items with counters. */
uint32_t fr_item_stats_size(const struct fr_item_stats *st);

/** Largest event time that touched an item; INT64_MIN when empty. Restored by loading the rows. */
int64_t fr_item_stats_watermark(const struct fr_item_stats *st);

/**
 * Must a snapshot be taken before an event at `ts` is applied? Yes when it crosses a tick and since
 * the last snapshot at least n_items / 16 events were counted (or there was none yet): so snapshots
 * cost a bounded time an event, and a decayed order that nothing touched does not change anyway.
 * @param out_tick  the newest multiple of item_tick_ms that is <= ts.
 */
bool fr_item_stats_due(const struct fr_item_stats *st, int64_t ts, int64_t *out_tick);

/** Count an event (for `impressions`: once for each item of the list). Late events count too.
 *  @errors FR_ENOMEM: nothing counted */
FR_MUST_CHECK enum fr_err fr_item_stats_apply(struct fr_item_stats *st, const struct fr_event *ev);

/** Decayed count of one item, 0 when unknown. For tests and readers. */
double fr_item_stats_count(
    const struct fr_item_stats *st, uint64_t item, uint32_t types, int half_life, int64_t t);

/** Rows changed since fr_item_stats_clean(): indexes in order of first change. */
const uint32_t *fr_item_stats_dirty(const struct fr_item_stats *st, uint32_t *out_n);
/** The id of row i; valid until the stats are freed. */
struct fr_str fr_item_stats_id(const struct fr_item_stats *st, uint32_t i);
/** Append the record of row i. */
void fr_item_stats_encode(const struct fr_item_stats *st, uint32_t i, struct fr_buf *out);
/** The dirty rows are saved. */
void fr_item_stats_clean(struct fr_item_stats *st);

/** Take over one stored row (hostile bytes). @errors FR_ECORRUPT FR_EVERSION FR_EDUPLICATE
 * FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_item_stats_load(struct fr_item_stats *st,
                                             struct fr_str item_id,
                                             struct fr_str record,
                                             struct fr_fault *fault);

/** Copy for the generation builder. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_item_stats_snapshot(struct fr_item_stats *st, int64_t tick_ts, struct fr_item_snapshot **out);
void fr_item_snapshot_free(struct fr_item_snapshot *s);

#endif
