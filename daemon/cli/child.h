/*
 * daemon/cli/child.h - other programs run by a command, and never left behind.
 *
 * A child has a process group of its own (Ctrl-C in a terminal reaches the command, which then ends its
 * children in order), standard input from /dev/null, and asks the kernel for SIGTERM when the thread that
 * started it ends (PR_SET_PDEATHSIG, Linux), so that a killed command leaves none either.
 * Layer: daemon/cli. Thread: start and stop on the main thread.
 */
#ifndef FR_CLI_CHILD_H
#define FR_CLI_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "daemon/base/err.h"

/** Owner: the caller's storage, zeroed = no child. */
struct fr_child {
    pid_t pid;        /* 0 = none, or it has been reaped */
    int status;       /* after the end: 0..255, or 128 + the signal that ended it */
    const char *name; /* borrowed: for messages */
};

/**
 * Start argv[0] (searched in PATH unless it has a '/').
 * @param log_path  append both outputs there; NULL = standard output is discarded and standard error is
 *                  the command's own.
 * @errors FR_ENOTFOUND the program cannot be run; FR_EIO the log cannot be opened; FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_child_start(const char *name,
                                         const char *const argv[],
                                         const char *log_path,
                                         struct fr_child *out,
                                         struct fr_fault *fault);

/** Does it still run? Reaps it if not. False for no child. */
bool fr_child_running(struct fr_child *c);

/** SIGTERM, wait up to grace_ms or until `hurry` (nullable) says true, then SIGKILL; reaped when this
 *  returns. No child is a no-op. */
void fr_child_stop(struct fr_child *c, int grace_ms, bool (*hurry)(void));

#endif
