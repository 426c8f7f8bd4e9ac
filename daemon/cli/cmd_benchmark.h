/*
 * daemon/cli/cmd_benchmark.h - `freshet train --benchmark` and `freshet evaluate --benchmark`.
 * Layer: daemon/cli.
 */
#ifndef FR_CLI_CMD_BENCHMARK_H
#define FR_CLI_CMD_BENCHMARK_H

/** For a command line that has --benchmark. @return an exit code */
int fr_cmd_benchmark_train(int argc, char **argv);
int fr_cmd_benchmark_evaluate(int argc, char **argv);

#endif
