/*
 * daemon/cli/replay_sink.h - fr_sink into files: one JSON value a line, acknowledged at the next poll.
 *
 * Recommendations and rows as served are written as they are; a dead letter becomes an object with its
 * headers, key and value (text; a byte that is no UTF-8 as U+FFFD).
 * Layer: daemon/cli. Thread: one.
 */
#ifndef FR_CLI_REPLAY_SINK_H
#define FR_CLI_REPLAY_SINK_H

#include <stdio.h>

#include "daemon/stream/sink.h"

/** Owner: the caller; copied. A NULL file: these records are only counted. */
struct fr_replay_sink_opts {
    FILE *lists, *examples, *dead;
    fr_sink_ack_fn ack;
    void *ack_ctx;
};

/** @errors FR_ENOMEM. fr_sink_flush() fails with FR_EIO once a write has failed. */
FR_MUST_CHECK enum fr_err fr_replay_sink_new(const struct fr_replay_sink_opts *o, struct fr_sink **out);

#endif
