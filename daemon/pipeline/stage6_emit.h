/*
 * daemon/pipeline/stage6_emit.h - stage 6: the list, with its lineage, into Kafka; the rows as served
 * to `examples`; poison records to `dead-letters`.
 */
#ifndef FR_PIPELINE_STAGE6_EMIT_H
#define FR_PIPELINE_STAGE6_EMIT_H

#include "daemon/base/arena.h"
#include "daemon/base/buf.h"
#include "daemon/metrics.h"
#include "daemon/pipeline/batch.h"
#include "daemon/pipeline/engine.h"
#include "daemon/pipeline/outbox.h"

/** Buffers kept over batches. Owner: the lane. */
struct fr_emit_buffers {
    struct fr_buf value;
    struct fr_buf text;
};

/**
 * Produce the recommendation and, unless regenerated, the example of a trigger.
 * @param out_sent  records handed to the outbox: each will be acknowledged with `tag`. 0 for an
 *                  empty list.
 * @errors FR_ETOOLARGE FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_stage_emit(const struct fr_engine *eng,
                                        struct fr_emit_buffers *bufs,
                                        struct fr_outbox *ob,
                                        struct fr_metrics *mx,
                                        const struct fr_trigger *t,
                                        int64_t now_us,
                                        uint64_t part_epoch,
                                        int *out_sent);

/** Produce the dead letter of a work item (kind DEAD). @errors FR_ETOOLARGE FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_stage_dead_letter(const struct fr_engine *eng,
                                               struct fr_emit_buffers *bufs,
                                               struct fr_outbox *ob,
                                               struct fr_arena *ar,
                                               const struct fr_source *src,
                                               const struct fr_work *w,
                                               int64_t now_ms);

#endif
