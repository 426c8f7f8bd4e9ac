/*
 * daemon/cli/cmd_config.h - `freshet config`.
 */
#ifndef FR_CLI_CMD_CONFIG_H
#define FR_CLI_CMD_CONFIG_H

#include "daemon/cli/args.h"

extern const struct fr_command fr_cmd_config;

#endif
