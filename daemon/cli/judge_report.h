/*
 * daemon/cli/judge_report.h - what the judge found, as a table for people and as JSON.
 * Layer: daemon/cli.
 */
#ifndef FR_CLI_JUDGE_REPORT_H
#define FR_CLI_JUDGE_REPORT_H

#include <stdio.h>

#include "daemon/base/buf.h"
#include "daemon/cli/judge.h"
#include "daemon/cli/judge_stream.h"

/** Tables in columns: overall, then HR by users, history and segments. */
void fr_judge_print(FILE *out, const struct fr_judge_report *r);

/** A few lines on the input: what was read, what was left out and why. */
void fr_judge_print_counts(FILE *out, const struct fr_judge_stream_counts *c);

/** One object on one line, without the line end. Errors are the buffer's. */
void fr_judge_json(struct fr_buf *out, const struct fr_judge_report *r, const struct fr_judge_stream_counts *c);

#endif
