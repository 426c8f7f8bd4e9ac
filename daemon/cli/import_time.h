/*
 * daemon/cli/import_time.h - times as data sets write them.
 *
 * A format is `seconds`, `milliseconds` (since the epoch, decimals allowed), or a pattern of %Y %m %d %H %M
 * %S, %f (digits of a fraction of a second) and literal characters, taken as UTC. Layer: daemon/cli. Thread: any.
 */
#ifndef FR_CLI_IMPORT_TIME_H
#define FR_CLI_IMPORT_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/str.h"

/** The whole field as milliseconds since the epoch. @errors FR_ESYNTAX; FR_ERANGE: no such day, before 1970 */
FR_MUST_CHECK enum fr_err fr_import_time(struct fr_str field, const char *format, int64_t *out_ms);

/** Is it one of the formats? */
bool fr_import_time_format_valid(const char *format);

#endif
