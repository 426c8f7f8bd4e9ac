/*
 * daemon/cli/checkpoint_flags.h - --checkpoint and --checkpoint-every of whatever trains. Layer: daemon/cli.
 */
#ifndef FR_CLI_CHECKPOINT_FLAGS_H
#define FR_CLI_CHECKPOINT_FLAGS_H

#include "daemon/cli/args.h"

/** Begin as {.every_s = -1}. */
struct fr_checkpoint_flags {
    const char *file; /* NULL: none */
    int64_t every_s;  /* -1: not given */
};

/* `of` says what must be the same besides the settings. */
#define FR_CHECKPOINT_ARGS(c, of)                                                                                      \
    {"checkpoint", FR_ARG_STR, &(c)->file, 0, 0, "FILE",                                                               \
     "go on from FILE if it is there (same settings and " of ", or refused); kept while training"},                    \
        {"checkpoint-every", FR_ARG_INT, &(c)->every_s, 0, 1e6, "SECONDS",                                             \
         "write it within an epoch too (600; 0: after each step); after each epoch in any case"}

/** Do the two fit together? @return FR_ARGS_GO_ON, or FR_EXIT_USAGE after a message on standard error */
int fr_checkpoint_flags_check(const struct fr_checkpoint_flags *c, const char *command);
/** Seconds between writes within an epoch. */
double fr_checkpoint_flags_every(const struct fr_checkpoint_flags *c);
/** All that was to be made is written: the file goes, or the same command would begin with it. */
void fr_checkpoint_flags_done(const struct fr_checkpoint_flags *c);

#endif
