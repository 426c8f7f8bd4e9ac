/*
 * daemon/cli/cmd_train.h - `freshet train`.
 */
#ifndef FR_CLI_CMD_TRAIN_H
#define FR_CLI_CMD_TRAIN_H

#include "daemon/cli/args.h"

int fr_cmd_train_run(int argc, char **argv);
extern const struct fr_command fr_cmd_train;

#endif
