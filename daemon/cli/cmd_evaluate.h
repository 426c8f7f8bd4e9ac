/*
 * daemon/cli/cmd_evaluate.h - `freshet evaluate --stream`: the judge over files or topics.
 * Layer: daemon/cli.
 */
#ifndef FR_CLI_CMD_EVALUATE_H
#define FR_CLI_CMD_EVALUATE_H

#include "daemon/cli/args.h"

extern const struct fr_command fr_cmd_evaluate;

#endif
