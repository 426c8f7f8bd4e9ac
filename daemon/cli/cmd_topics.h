/*
 * daemon/cli/cmd_topics.h - `freshet topics`.
 */
#ifndef FR_CLI_CMD_TOPICS_H
#define FR_CLI_CMD_TOPICS_H

#include "daemon/cli/args.h"

extern const struct fr_command fr_cmd_topics;

#endif
