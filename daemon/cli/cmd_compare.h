/*
 * daemon/cli/cmd_compare.h - `freshet evaluate --compare`: bundles beside one another, on a benchmark or a stream.
 * Layer: daemon/cli.
 */
#ifndef FR_CLI_CMD_COMPARE_H
#define FR_CLI_CMD_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/cli/args.h"
#include "daemon/cli/compare.h"

/** Begin as FR_COMPARE_FLAGS. Borrowed. */
struct fr_compare_flags {
    struct fr_arg_list bundles, out; /* out: files by their ending, .svg or .csv */
    int sort;                        /* enum fr_compare_sort */
    int64_t resamples, seed;
    bool json, quiet;
};
#define FR_COMPARE_FLAGS {.resamples = 1000, .seed = 1}

#define FR_COMPARE_ARGS(c)                                                                                             \
    {"compare", FR_ARG_LIST, &(c)->bundles, 0, 0, "BUNDLE",                                                            \
     "measure several and set them beside one another; more may follow without the flag"},                             \
        {"sort", FR_ARG_CHOICE, &(c)->sort, 0, 0, "given|quality|speed", "the order they are shown in"},               \
        {"resamples", FR_ARG_INT, &(c)->resamples, 0, 100000, "N",                                                     \
         "of the users, for 95 % intervals (1000; 0 = none)"},                                                         \
        {"seed", FR_ARG_INT, &(c)->seed, 0, 9007199254740991.0, "N", "of the resamples (1)"},                          \
        {"out", FR_ARG_LIST, &(c)->out, 0, 0, "FILE",                                                                  \
         "of a comparison: FILE.svg (a picture, quality against time) or FILE.csv (all numbers); may be repeated"},                                      \
        {"quiet", FR_ARG_BOOL, &(c)->quiet, 0, 0, NULL, "no progress"},                                                \
        {"json", FR_ARG_BOOL, &(c)->json, 0, 0, NULL,                                                                  \
         "one JSON object as the last line; the table goes to standard error"}

/** Bundles that follow --compare without the flag, endings of --out. @return FR_ARGS_GO_ON or a refusal */
int fr_compare_flags_more(struct fr_compare_flags *f, const struct fr_args *a, const char *command);
/** Measure and show. @return an exit code; FAILURE if any bundle could not be measured, the others are shown */
int fr_cmd_compare(const struct fr_compare_on *on, const struct fr_compare_flags *f);

/** For a command line that has --compare and no --benchmark. @return an exit code */
int fr_cmd_compare_stream(int argc, char **argv);

#endif
