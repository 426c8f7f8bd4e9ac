/*
 * daemon/pipeline/stage5_score.h - stage 5: order the candidates and cut the list.
 *
 * With a ranker: item and cross cells of every candidate, logits, best first. Without one (or when
 * it fails: `fallback`): the retrieval score, then popular rank. Ties go to the smaller item hash,
 * so a list is a function of its row.
 */
#ifndef FR_PIPELINE_STAGE5_SCORE_H
#define FR_PIPELINE_STAGE5_SCORE_H

#include "daemon/base/arena.h"
#include "daemon/pipeline/batch.h"
#include "daemon/pipeline/epoch.h"
#include "features/spec.h"

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
 * Fill trig->list (at most n items, or the request's n) and the rows as served.
 * @param cache  nullable; the lane's own
 * @errors FR_ENOMEM
 * @thread the lane, under the pin stage 4 ran under
 */
FR_MUST_CHECK enum fr_err fr_stage_score(const struct fr_spec *spec,
                                         const struct fr_epoch *ep,
                                         unsigned flags,
                                         uint32_t n,
                                         struct fr_arena *ar,
                                         struct fr_rank_cache *cache,
                                         struct fr_trigger *trig);

#endif
