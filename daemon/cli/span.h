/*
 * daemon/cli/span.h - lengths of time on the command line: 250ms, 5s, 10m, 1h, 7d.
 * Layer: daemon/cli.
 */
#ifndef FR_CLI_SPAN_H
#define FR_CLI_SPAN_H

#include <stdint.h>

#include "daemon/base/err.h"

/** A whole number and a unit ms, s, m, h or d. @errors FR_ESYNTAX FR_ERANGE; *out_ms untouched then. */
FR_MUST_CHECK enum fr_err fr_span_parse(const char *text, int64_t *out_ms);

#endif
