/*
 * daemon/cli/cmd_benchmark.h - `freshet train --benchmark` and `freshet evaluate --benchmark`.
 * Layer: daemon/cli.
 */
#ifndef FR_CLI_CMD_BENCHMARK_H
#define FR_CLI_CMD_BENCHMARK_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/cli/args.h"
#include "daemon/learn/benchmark.h"

/** Does the command line name a benchmark, or ask for what only benchmarks have (--compare)? */
bool fr_cmd_benchmark_asked(int argc, char **argv);
int fr_cmd_benchmark_train(int argc, char **argv);
int fr_cmd_benchmark_evaluate(int argc, char **argv);

/** `evaluate --compare`: what was asked for. Borrowed. */
struct fr_cmd_compare {
    const struct fr_benchmark *b;
    const char *data;
    struct fr_arg_list bundles, out; /* out: files by their ending, .svg or .csv */
    int sort;                        /* enum fr_compare_sort */
    int64_t resamples, seed;
    bool json, quiet;
};
/** @return an exit code; FAILURE if any bundle could not be measured, the others are shown. */
int fr_cmd_benchmark_compare(const struct fr_cmd_compare *f);

#endif
