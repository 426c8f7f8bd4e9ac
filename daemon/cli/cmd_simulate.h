/*
 * daemon/cli/cmd_simulate.h - `freshet simulate`: the simulated shop, to files or against a running daemon.
 * Layer: daemon/cli.
 */
#ifndef FR_CLI_CMD_SIMULATE_H
#define FR_CLI_CMD_SIMULATE_H

#include "daemon/cli/args.h"

extern const struct fr_command fr_cmd_simulate;

#endif
