/*
 * daemon/cli/stream_input.h - a stream that models are trained or measured on: files, or topics to their present end.
 * Layer: daemon/cli. Thread: one at a time.
 */
#ifndef FR_CLI_STREAM_INPUT_H
#define FR_CLI_STREAM_INPUT_H

#include <stdbool.h>

#include "daemon/cli/args.h"
#include "daemon/cli/settings.h"
#include "daemon/learn/stream_examples.h"

/** What was asked for. */
struct fr_stream_flags {
    const char *events, *items;
    bool topics;
};

#define FR_STREAM_ARGS(f)                                                                                              \
    {"events", FR_ARG_STR, &(f)->events, 0, 0, "FILE", "JSON Lines of `events` values, in order"},                      \
        {"items", FR_ARG_STR, &(f)->items, 0, 0, "FILE", "JSON Lines of `items` values"},                               \
        {"from-topics", FR_ARG_BOOL, &(f)->topics, 0, 0, NULL,                                                         \
         "read the events and items topics to their present end instead"}

/** Do they fit together? @return FR_ARGS_GO_ON, or FR_EXIT_USAGE after a message on standard error */
int fr_stream_flags_check(const struct fr_stream_flags *f, const char *command);

/** The stream, held in memory. Owner: fr_stream_hold_done(). */
struct fr_stream_hold {
    struct fr_spec *spec;
    struct fr_stream_log events, items;
    char *event_text, *item_text;
    struct fr_stream_input in; /* borrows from the above; its other members are the caller's */
};

/** @param h  zeroed storage; fr_stream_hold_done() also after an error
 *  @errors those of the configuration, files and topics; the fault says which */
FR_MUST_CHECK enum fr_err fr_stream_hold_read(struct fr_stream_hold *h,
                                              const struct fr_settings *s,
                                              const struct fr_stream_flags *f,
                                              bool quiet,
                                              struct fr_fault *fault);
void fr_stream_hold_done(struct fr_stream_hold *h);

#endif
