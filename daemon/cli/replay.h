/*
 * daemon/cli/replay.h - the serving pipeline over a recorded stream, without Kafka and Redis.
 *
 *   lines or topic ─► in-process log ─► one lane, deterministic ─► files
 *
 * The same stages as in the daemon (a lane over the memory source and store), in deterministic mode: item
 * statistics tick inline, one user at a time is scored, nothing depends on the wall clock. So the same stream,
 * configuration and bundles give the same bytes, whatever batch.max_events.
 * Memory: the input and the state are held; outputs go straight to the files.
 * Layer: daemon/cli. Thread: one.
 */
#ifndef FR_CLI_REPLAY_H
#define FR_CLI_REPLAY_H

#include <stdio.h>

#include "daemon/config.h"
#include "daemon/base/err.h"
#include "daemon/base/str.h"
#include "features/spec.h"

struct fr_replay;

/** Owner: the caller; what it points to is borrowed for the replay's life. */
struct fr_replay_opts {
    const struct fr_config *cfg; /* models.* name the bundles */
    const struct fr_spec *spec;
    int32_t partitions;            /* 1: an event's offset is its number in the stream */
    FILE *lists, *examples, *dead; /* nullable */
};

struct fr_replay_counts {
    uint64_t applied, duplicate, dead, lists;
    double seconds; /* in the pipeline */
};

/** @errors those of the models (fault names file and field); FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_replay_new(const struct fr_replay_opts *o, struct fr_replay **out, struct fr_fault *fault);

/** Put an item record into the catalogue. @errors those of fr_item_decode(): the record is refused; FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_replay_item(struct fr_replay *r, struct fr_str key, struct fr_str value);

/** Append an event to the log. @param ts_ms of the record @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_replay_event(struct fr_replay *r, struct fr_str key, struct fr_str value, int64_t ts_ms);

/** Process all that is appended. @errors FR_EIO an output; FR_ESTATE the lane refused (fault says why);
 *  FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_replay_run(struct fr_replay *r, struct fr_fault *fault);

void fr_replay_counts(const struct fr_replay *r, struct fr_replay_counts *out);

/** Every user's stored record as JSON (as `freshet user` prints it, as of its newest event), a line each, by
 *  key order. @errors FR_EIO FR_ENOMEM FR_ECORRUPT */
FR_MUST_CHECK enum fr_err fr_replay_write_users(struct fr_replay *r, FILE *f, struct fr_fault *fault);

/** NULL is a no-op. */
void fr_replay_free(struct fr_replay *r);

#endif
