/*
 * daemon/pipeline/stage5_score.h - stage 5: order the candidates and cut the list.
 *
 * With a ranker: item and cross cells of every candidate, logits, best first; with a value head beside
 * the click head the product of their powers (models/value.h). Without a ranker (or when it fails:
 * `fallback`): the retrieval score, then popular rank. Ties go to the smaller item hash, so a list is a
 * function of its row.
 * An item's score is what it was ordered by: the ranker's probability of a click; p^a v^b of a ranker
 * with a value head; without a ranker 4 + the retrieval score, or at most 2 if the item has none.
 */
#ifndef FR_PIPELINE_STAGE5_SCORE_H
#define FR_PIPELINE_STAGE5_SCORE_H

#include "daemon/base/arena.h"
#include "daemon/config.h"
#include "daemon/pipeline/batch.h"
#include "daemon/pipeline/epoch.h"
#include "features/spec.h"

/** What decides the order and the length of a list. */
struct fr_score_policy {
    uint32_t n;                   /* at most so many items, if a request does not say how many */
    struct fr_score_powers powers;
};

/** The policy of a configuration. */
struct fr_score_policy fr_score_policy_of(const struct fr_config *cfg);

/**
 * The rows as served: item and cross cells of every candidate, trig->item_cells and
 * trig->cross_cells. The trainer of a replayed stream cuts its rows by this very function.
 * @errors FR_ENOMEM
 * @thread any, under the pin that stage 4 ran under
 */
FR_MUST_CHECK enum fr_err fr_stage_rows(const struct fr_spec *spec,
                                        const struct fr_epoch *ep,
                                        struct fr_arena *ar,
                                        struct fr_trigger *trig);

/**
 * Fill trig->list and the rows as served.
 * @param cache  nullable; the lane's own
 * @errors FR_ENOMEM
 * @thread the lane, under the pin stage 4 ran under
 */
FR_MUST_CHECK enum fr_err fr_stage_score(const struct fr_spec *spec,
                                         const struct fr_score_policy *pol,
                                         const struct fr_epoch *ep,
                                         unsigned flags,
                                         struct fr_arena *ar,
                                         struct fr_rank_cache *cache,
                                         struct fr_trigger *trig);

#endif
