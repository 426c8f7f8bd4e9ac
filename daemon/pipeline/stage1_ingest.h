/*
 * daemon/pipeline/stage1_ingest.h - stage 1: bytes of a record to an event or a request, or the
 * reason why it is a dead letter.
 */
#ifndef FR_PIPELINE_STAGE1_INGEST_H
#define FR_PIPELINE_STAGE1_INGEST_H

#include "daemon/base/arena.h"
#include "daemon/metrics.h"
#include "daemon/pipeline/batch.h"
#include "daemon/pipeline/engine.h"

/**
 * Decode w->rec; sets kind and what belongs to it.
 * @param now_ms  wall clock; decides only whether a request is too old.
 * @errors FR_ENOMEM
 * @thread the lane
 */
FR_MUST_CHECK enum fr_err fr_stage_ingest(const struct fr_engine *eng,
                                          struct fr_arena *ar,
                                          struct fr_metrics *mx,
                                          int64_t now_ms,
                                          struct fr_work *w);

#endif
