/*
 * daemon/cli/cmd_import.h - `freshet import`.
 */
#ifndef FR_CLI_CMD_IMPORT_H
#define FR_CLI_CMD_IMPORT_H

#include "daemon/cli/args.h"

extern const struct fr_command fr_cmd_import;

#endif
