/*
 * daemon/cli/cmd_demo.h - `freshet demo`.
 */
#ifndef FR_CLI_CMD_DEMO_H
#define FR_CLI_CMD_DEMO_H

#include "daemon/cli/args.h"

extern const struct fr_command fr_cmd_demo;

#endif
