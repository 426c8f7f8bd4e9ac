/*
 * daemon/cli/cmd_explain.h - `freshet explain`: why a bundle scores a row as it does.
 */
#ifndef FR_CLI_CMD_EXPLAIN_H
#define FR_CLI_CMD_EXPLAIN_H

#include "daemon/cli/args.h"

extern const struct fr_command fr_cmd_explain;

#endif
