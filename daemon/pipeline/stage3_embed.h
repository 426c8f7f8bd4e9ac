/*
 * daemon/pipeline/stage3_embed.h - stage 3: the user's vector from the row as cut.
 */
#ifndef FR_PIPELINE_STAGE3_EMBED_H
#define FR_PIPELINE_STAGE3_EMBED_H

#include "daemon/base/arena.h"
#include "daemon/pipeline/batch.h"
#include "daemon/pipeline/epoch.h"

/**
 * Vectors of n triggers (a sub-batch). A trigger whose user has no history, or an epoch without a
 * retrieval model, gets vector NULL. A model failure marks the triggers `fallback`.
 * @param flags FR_SCORE_DETERMINISTIC or 0.
 * @errors FR_ENOMEM
 * @thread the lane, under a pin
 */
FR_MUST_CHECK enum fr_err fr_stage_embed(const struct fr_epoch *ep,
                                         unsigned flags,
                                         struct fr_arena *ar,
                                         struct fr_trigger *const *trig,
                                         int n);

#endif
