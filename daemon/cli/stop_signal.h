/*
 * daemon/cli/stop_signal.h - SIGINT, SIGTERM and SIGHUP as a flag that long commands look at.
 *
 * The first signal asks; a second one ends the process at once (_exit 130), unless the command has to
 * tidy up even then.
 * Layer: daemon/cli. Thread: any may ask; installed by main.
 */
#ifndef FR_CLI_STOP_SIGNAL_H
#define FR_CLI_STOP_SIGNAL_H

#include <stdbool.h>

/** Install the handlers, and ignore SIGPIPE. `patient`: later signals are only counted. */
void fr_stop_signal_install(bool patient);

/** Has a stop been asked for? */
bool fr_stop_signal_asked(void);

/** Has it been asked for again? */
bool fr_stop_signal_urgent(void);

/** Sleep, at most `ms` milliseconds; ends early when a stop is asked for. */
void fr_stop_signal_sleep(int ms);

/** Exit status for a command that was stopped: 128 + the signal's number; 0 when none came. */
int fr_stop_signal_status(void);

#endif
