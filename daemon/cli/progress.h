/*
 * daemon/cli/progress.h - how far a long command is, on standard error.
 *
 * On a terminal: one line redrawn in place. Otherwise: a plain line every ten seconds and one at the
 * end, so that logs stay readable. Never on standard output, which belongs to the result.
 * Layer: daemon/cli.
 */
#ifndef FR_CLI_PROGRESS_H
#define FR_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/** Owner: the caller's storage. Thread: one at a time. */
struct fr_progress {
    const char *what; /* borrowed: "import", "judge" */
    const char *unit; /* borrowed: "events" */
    uint64_t total;   /* 0 = not known */
    bool terminal;
    bool quiet;
    int64_t start_us;
    int64_t shown_us;
};

/** Begin; reads the clock and whether standard error is a terminal. `quiet` prints nothing at all. */
void fr_progress_start(struct fr_progress *p, const char *what, const char *unit, uint64_t total, bool quiet);

/** Tell how much is done. Cheap enough for every few thousand units. */
void fr_progress_update(struct fr_progress *p, uint64_t done);

/** Last line, with the time taken. */
void fr_progress_finish(struct fr_progress *p, uint64_t done);

#endif
