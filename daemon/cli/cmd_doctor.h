/*
 * daemon/cli/cmd_doctor.h - `freshet doctor`.
 */
#ifndef FR_CLI_CMD_DOCTOR_H
#define FR_CLI_CMD_DOCTOR_H

#include "daemon/cli/args.h"

extern const struct fr_command fr_cmd_doctor;

#endif
