/*
 * daemon/pipeline/refresher.h - the thread that keeps what serving reads up to date: items topic into
 * catalogue and index, generations of item statistics, upkeep of the graph.
 */
#ifndef FR_PIPELINE_REFRESHER_H
#define FR_PIPELINE_REFRESHER_H

#include <stdbool.h>

#include "daemon/base/err.h"
#include "daemon/metrics.h"
#include "daemon/pipeline/engine.h"
#include "daemon/stream/log_reader.h"
#include "daemon/stream/sink.h"

struct fr_refresher;

/**
 * @param take_reader  the items topic from its beginning; owned from FR_OK on.
 * @param sink         of its own, for dead letters; borrowed; its acks may be ignored.
 * @errors FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_refresher_new(const struct fr_engine *eng,
                                           struct fr_log_reader **take_reader,
                                           struct fr_sink *sink,
                                           struct fr_refresher **out_rf);
void fr_refresher_free(struct fr_refresher *rf);

/** Run until fr_refresher_stop(). @thread its own */
void fr_refresher_run(struct fr_refresher *rf);
/** One turn, for tests and for catching up before the lanes start. @return records handled */
int fr_refresher_step(struct fr_refresher *rf, int timeout_ms);
/** @thread any */
void fr_refresher_stop(struct fr_refresher *rf);
/** The catalogue holds everything that was in the topic when the reader was made. @thread any */
bool fr_refresher_caught_up(const struct fr_refresher *rf);
struct fr_metrics *fr_refresher_metrics(struct fr_refresher *rf);

#endif
