/*
 * daemon/cli/cmd_user.h - `freshet user`.
 */
#ifndef FR_CLI_CMD_USER_H
#define FR_CLI_CMD_USER_H

#include "daemon/cli/args.h"

extern const struct fr_command fr_cmd_user;

#endif
