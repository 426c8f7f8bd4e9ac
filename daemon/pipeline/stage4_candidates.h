/*
 * daemon/pipeline/stage4_candidates.h - stage 4: which items are worth ranking.
 *
 * Sources, in order: the index around the user's vector, decayed-popular of the current generation,
 * the user's own last items (where the repeat policy allows repeats), or the request's list alone.
 * A candidate named by several sources is one candidate with several ranks. Dropped and counted by
 * reason: repeat policy, deleted (not in the catalogue), unavailable, excluded by the request.
 */
#ifndef FR_PIPELINE_STAGE4_CANDIDATES_H
#define FR_PIPELINE_STAGE4_CANDIDATES_H

#include "daemon/base/arena.h"
#include "daemon/config.h"
#include "daemon/metrics.h"
#include "daemon/pipeline/batch.h"
#include "daemon/pipeline/epoch.h"
#include "features/spec.h"

/** What decides the candidates of a list. */
struct fr_candidate_policy {
    uint32_t from_index;
    uint32_t from_popular;
    uint32_t from_history;
    enum fr_repeat repeat;
};

/** The policy of a configuration. */
struct fr_candidate_policy fr_candidate_policy_of(const struct fr_config *cfg);

/**
 * Fill trig->cand (sorted by nothing in particular) and trig->cand_id.
 * @errors FR_ENOMEM; an index failure marks the trigger `fallback` and goes on without that source
 * @thread the lane, under a pin
 */
FR_MUST_CHECK enum fr_err fr_stage_candidates(const struct fr_spec *spec,
                                              const struct fr_candidate_policy *pol,
                                              const struct fr_epoch *ep,
                                              struct fr_arena *ar,
                                              struct fr_metrics *mx,
                                              struct fr_trigger *trig);

#endif
