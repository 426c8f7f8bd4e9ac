/*
 * daemon/cli/lines.h - a file of lines, one at a time, with a bound on their length.
 *
 * Layer: daemon/cli. Thread: one at a time.
 */
#ifndef FR_CLI_LINES_H
#define FR_CLI_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/str.h"

struct fr_lines;

/**
 * Open a file ("-" = standard input).
 * @param max_line  longest line in bytes, the line end not counted.
 * @errors FR_ENOTFOUND FR_EIO FR_ENOMEM; `fault` names the path.
 * Owner: the caller; fr_lines_free().
 */
FR_MUST_CHECK enum fr_err
fr_lines_open(const char *path, size_t max_line, struct fr_lines **out_lines, struct fr_fault *fault);

/**
 * Next line without its "\n" or "\r\n"; a last line without an end counts. Borrowed until the next call.
 * @errors FR_ENOTFOUND  the file has ended
 *         FR_ETOOLARGE  this line was too long and has been skipped; go on or give up
 *         FR_EIO
 */
FR_MUST_CHECK enum fr_err fr_lines_next(struct fr_lines *l, struct fr_str *out_line);

/** Number of the line last returned (or skipped), from 1; 0 before the first. */
uint64_t fr_lines_number(const struct fr_lines *l);

/** Name for messages. */
const char *fr_lines_path(const struct fr_lines *l);

void fr_lines_free(struct fr_lines *l);

#endif
