/*
 * daemon/pipeline/lane.h - one worker: owns partitions, runs batches through the stages.
 *
 *   take records ─► ingest ─► read users ─► apply, cut ─► dead letters safe ─► commit (R) ─►
 *   sub-batches of 8: pin, embed, candidates, score, unpin, emit ─► acknowledgements move C
 *
 * Nothing on the event path is shared or locked but the epoch pin. Main talks to a lane through its
 * mailbox: open (a partition was taken), close (it is being revoked), stop.
 */
#ifndef FR_PIPELINE_LANE_H
#define FR_PIPELINE_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/metrics.h"
#include "daemon/pipeline/engine.h"
#include "daemon/pipeline/outbox.h"
#include "daemon/pipeline/part.h"
#include "daemon/stream/sink.h"
#include "daemon/stream/source.h"
#include "features/store.h"

struct fr_lane;

/** Named moments, for crash tests: FRESHET_CRASH_AT=<name>[:<n>] ends the process there at the n-th
 *  time, as kill -9 would. */
enum fr_crash_point {
    FR_CRASH_BEFORE_COMMIT,
    FR_CRASH_AFTER_COMMIT,  /* before produce */
    FR_CRASH_AFTER_PRODUCE, /* before acknowledgement */
    FR_CRASH_IN_TAKE
};
void fr_crash_point(enum fr_crash_point p);

struct fr_lane_config {
    const struct fr_engine *eng;
    int id;
    struct fr_source *src;  /* borrowed */
    struct fr_store *store; /* borrowed; used by this lane only while it runs */
    struct fr_outbox *outbox; /* NULL: made here; else borrowed (its sink is attached already) */
};

/** @errors FR_ENOMEM. Attach the sink to fr_lane_outbox() before the first step. */
FR_MUST_CHECK enum fr_err fr_lane_new(const struct fr_lane_config *cfg, struct fr_lane **out_lane);
/** Not running any more. NULL is a no-op. */
void fr_lane_free(struct fr_lane *lane);

struct fr_outbox *fr_lane_outbox(struct fr_lane *lane);
struct fr_metrics *fr_lane_metrics(struct fr_lane *lane);

/** Run until fr_lane_stop(): the thread function's body. @thread the lane's */
void fr_lane_run(struct fr_lane *lane);

/** One turn: mailbox, acknowledgements, at most one batch. @return records handled.
 *  For deterministic replays and tests, instead of fr_lane_run(). */
int fr_lane_step(struct fr_lane *lane, int timeout_ms);

/** Hand over a taken partition; aux is copied. @errors FR_ENOMEM @thread main */
FR_MUST_CHECK enum fr_err fr_lane_open(struct fr_lane *lane, const struct fr_taken *t);

/** Ask the lane to finish with all its partitions: batch done, outputs acknowledged, C committed
 *  (not when `lost`). Waits. @errors FR_ETIMEOUT: given up; they are closed without commit
 *  @thread main */
FR_MUST_CHECK enum fr_err fr_lane_close(struct fr_lane *lane, bool lost, int timeout_ms);
/** The same, on the caller's thread, for a lane that is stepped. */
void fr_lane_close_inline(struct fr_lane *lane, bool lost);

/** Ask fr_lane_run() to return. @thread any */
void fr_lane_stop(struct fr_lane *lane);

/** End the lane's wait for records, if it waits: there is something else to do. @thread any */
void fr_lane_wake(struct fr_lane *lane);

/** What the outside may know. @thread any */
struct fr_lane_status {
    int64_t progress;    /* grows with every batch and acknowledgement */
    int64_t turns;       /* grows with every turn, also an empty one: the thread is alive */
    bool stalled;        /* Redis or Kafka kept it waiting */
    int64_t stalled_since_us; /* monotonic; 0 = not */
    bool wants_rejoin;   /* a partition was refused or fenced by Kafka: rejoin the group */
    int n_open, n_refused;
    char reason[FR_FAULT_MSG]; /* of the newest refusal */
};
void fr_lane_status(struct fr_lane *lane, struct fr_lane_status *out);
/** The same without taking note of wants_rejoin: for the scraper. @thread any */
void fr_lane_peek(struct fr_lane *lane, struct fr_lane_status *out);

/** Positions of the lane's partitions, for lag metrics. @return how many were written */
struct fr_lane_position {
    int32_t partition;
    int64_t pos[FR_TOPIC_INPUTS];
    int64_t newest_ts_ms;
};
int fr_lane_positions(struct fr_lane *lane, struct fr_lane_position *out, int max);

#endif
