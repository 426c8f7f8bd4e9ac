/*
 * daemon/pipeline/stage2_features.h - stage 2: state of the batch's users, triggers, rows as cut.
 *
 *   begin  which users does the batch touch, and whose record is not in the cache
 *   give   the records the store returned
 *   apply  events in the order they came; triggers cut
 *   encode what must be committed
 *
 * The lane does the round trips between these; nothing here waits.
 */
#ifndef FR_PIPELINE_STAGE2_FEATURES_H
#define FR_PIPELINE_STAGE2_FEATURES_H

#include "daemon/base/arena.h"
#include "daemon/metrics.h"
#include "daemon/pipeline/batch.h"
#include "daemon/pipeline/engine.h"
#include "daemon/pipeline/part.h"

/** One user of one partition in this batch. */
struct fr_touched {
    struct fr_part *part;
    uint64_t user;
    struct fr_str user_id;
    struct fr_user *u; /* NULL until loaded */
};

/** State of stage 2 over one batch. Owner: the lane's arena. */
struct fr_features_stage {
    const struct fr_engine *eng;
    struct fr_arena *ar;
    struct fr_metrics *mx;
    struct fr_touched *t;
    uint32_t n_t;
    uint64_t *slot; /* open addressing: index + 1 in t */
    uint64_t mask;
    uint32_t *of_work; /* touched index of each work, UINT32_MAX = none */
    struct fr_item_generation *const *generation; /* inline ticks: where the lane keeps the current */
};

/** Find the users, take cached records. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_features_begin(struct fr_features_stage *fx, struct fr_batch *b);

/** Decode a record for touched user i; absent = empty strings. @errors FR_ECORRUPT FR_EVERSION
 *  FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_features_give(struct fr_features_stage *fx,
                                           uint32_t i,
                                           struct fr_str record,
                                           struct fr_str seen,
                                           struct fr_fault *fault);

/** What a tick needs from the lane: called before the event that crosses it is applied. */
typedef enum fr_err (*fr_features_tick_fn)(void *ctx, struct fr_part *part, int64_t tick_ts);

/**
 * Apply events, decide triggers, cut rows; fills b->trig. Item counters of the partitions change.
 * @param now_ms  wall clock, for max_age only.
 * @errors FR_ENOMEM, or what `tick` returned; the batch must then be abandoned and the partitions
 *         taken again
 */
FR_MUST_CHECK enum fr_err fr_features_apply(struct fr_features_stage *fx,
                                            struct fr_batch *b,
                                            int64_t now_ms,
                                            fr_features_tick_fn tick,
                                            void *tick_ctx);

#endif
