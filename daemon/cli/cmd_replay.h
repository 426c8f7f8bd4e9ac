/*
 * daemon/cli/cmd_replay.h - `freshet replay`.
 */
#ifndef FR_CLI_CMD_REPLAY_H
#define FR_CLI_CMD_REPLAY_H

#include "daemon/cli/args.h"

extern const struct fr_command fr_cmd_replay;

#endif
