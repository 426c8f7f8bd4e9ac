/*
 * daemon/pipeline/part.h - one partition in the hands of a lane.
 *
 *   log:    ... V .......... R .......... pos
 *               |            |            next record to come
 *               |            first offset whose effect is not in Redis
 *               first offset whose effect is not in the stored item counters
 *   C (one per input): first offset whose outputs Kafka has not acknowledged; may lie anywhere
 *
 *   [V, R)  apply to item counters only     [C, R)  output iff offset == record.trig (regenerated)
 *   [R, ..) apply, decide, commit           below C nothing is produced
 *
 * Offsets in [V, R) whose events changed nothing (duplicates) are kept in `skips` and stored with R,
 * so that item counters are exact after a restart.
 */
#ifndef FR_PIPELINE_PART_H
#define FR_PIPELINE_PART_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/err.h"
#include "daemon/pipeline/user_cache.h"
#include "daemon/stream/commit_tracker.h"
#include "daemon/stream/record.h"
#include "features/item_stats.h"

#define FR_PART_SKIPS_MAX 4096 /* then the item counters are saved at once */

enum fr_part_state {
    FR_PART_OPEN,
    FR_PART_RETAKE, /* fenced or rolled back: take again before anything else */
    FR_PART_REFUSED /* not read; the reason is for /readyz */
};

/** What a take gives a partition. */
struct fr_taken {
    int32_t partition;
    uint64_t token;
    int64_t r, v;
    int64_t c[FR_TOPIC_INPUTS];     /* committed at take; R where nothing was */
    int64_t start[FR_TOPIC_INPUTS]; /* min(V, R, C); requests: C */
    struct fr_str aux;              /* stored skips; borrowed */
};

/** Owner: the lane. Thread: the lane's; the atomics are read by the scraper. */
struct fr_part {
    int32_t partition;
    _Atomic int state; /* enum fr_part_state; read by the scraper */
    uint64_t epoch; /* number of this take in the lane: outputs of an earlier one are ignored */
    uint64_t token;
    int64_t r, v;
    int64_t c0[FR_TOPIC_INPUTS];  /* C at take: nothing below is produced or committed */
    int64_t pos[FR_TOPIC_INPUTS]; /* next offset expected */
    int64_t committed[FR_TOPIC_INPUTS]; /* C last committed to the group */
    struct fr_commit_tracker track[FR_TOPIC_INPUTS];
    struct fr_user_cache cache;
    struct fr_item_stats *items;
    int64_t items_saved_us; /* monotonic */
    int64_t *skips;
    uint32_t n_skips, cap_skips;
    _Atomic int64_t seen_pos[FR_TOPIC_INPUTS];   /* pos, for lag metrics */
    _Atomic int64_t seen_ts_ms;                  /* record time of the newest event processed */
};

/** @param max_users bound of the cache. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_part_new(int32_t partition, uint32_t max_users, struct fr_part **out_part);
void fr_part_free(struct fr_part *p);

/** Begin anew with what a take gave: empty cache, empty trackers, empty item counters.
 *  @errors FR_ENOMEM FR_ECORRUPT (aux) */
FR_MUST_CHECK enum fr_err
fr_part_begin(struct fr_part *p,
              const struct fr_spec *spec,
              const struct fr_taken *t,
              uint64_t epoch,
              struct fr_fault *fault);

/** Remember an offset that changed nothing. @errors FR_ENOMEM FR_EFULL (save the item counters) */
FR_MUST_CHECK enum fr_err fr_part_skip(struct fr_part *p, int64_t offset);
bool fr_part_skipped(const struct fr_part *p, int64_t offset);
/** Forget skips below v. */
void fr_part_trim_skips(struct fr_part *p, int64_t v);
/** Encode / decode the skips (MessagePack array of offsets, ascending). */
void fr_part_encode_skips(const struct fr_part *p, struct fr_buf *out);

#endif
