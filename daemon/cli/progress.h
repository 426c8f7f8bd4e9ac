/*
 * daemon/cli/progress.h - how far a long command is, on standard error.
 *
 *   epoch 12/50 [########........] 45% loss 0.1234 auc 0.97812 1.24M rows/s ETA 0:42
 *
 * On a terminal: one line redrawn in place, never wider than the terminal (the bar gives way first).
 * Otherwise no bar and no control characters: a plain line every ten seconds and one at the end, so
 * that logs stay readable. Never on standard output, which belongs to the result.
 * Layer: daemon/cli.
 */
#ifndef FR_CLI_PROGRESS_H
#define FR_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/err.h"

#define FR_PROGRESS_NOTE 96
#define FR_PROGRESS_LINE 256

/** Owner: the caller's storage. Thread: one at a time. */
struct fr_progress {
    const char *what; /* borrowed: "import", "judge" */
    const char *unit; /* borrowed: "events" */
    char note[FR_PROGRESS_NOTE]; /* what else there is to say: "loss 0.1234" */
    uint64_t total;   /* 0 = not known */
    bool terminal;
    bool quiet;
    int64_t start_us;
    int64_t shown_us;
};

/** Begin; reads the clock and whether standard error is a terminal. `quiet` prints nothing at all. */
void fr_progress_start(struct fr_progress *p, const char *what, const char *unit, uint64_t total, bool quiet);

/** Replace the note; shown with the next line. */
void fr_progress_note(struct fr_progress *p, const char *fmt, ...) FR_PRINTF(2, 3);

/** Tell how much is done. Cheap enough for every few thousand units. */
void fr_progress_update(struct fr_progress *p, uint64_t done);

/** Last line, with the time taken and the rate. */
void fr_progress_finish(struct fr_progress *p, uint64_t done);

/** The line of a terminal that is `columns` wide, `seconds` after the start. Pure. */
void fr_progress_line(const struct fr_progress *p,
                      uint64_t done,
                      double seconds,
                      size_t columns,
                      char out[FR_PROGRESS_LINE]);

#endif
