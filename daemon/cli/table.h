/*
 * daemon/cli/table.h - a table of text for people: columns as wide as their widest cell.
 *
 * Cells are cleaned (label.h), so untrusted names may stand in them. Errors are sticky, as in
 * fr_buf. Layer: daemon/cli. Thread: one at a time.
 */
#ifndef FR_CLI_TABLE_H
#define FR_CLI_TABLE_H

#include <stdio.h>

#include "daemon/base/buf.h"

#define FR_TABLE_COLUMNS 24

/** Owner: the caller's storage, zeroed, `columns` set; fr_table_done(). */
struct fr_table {
    int columns;                      /* 1..FR_TABLE_COLUMNS */
    size_t width[FR_TABLE_COLUMNS];
    int n;                            /* cells so far, row by row */
    struct fr_buf text;               /* cells, each closed by a NUL */
};

/** Append a cell; at most `columns` of a terminal wide, 0 = no limit. */
void fr_table_cell(struct fr_table *t, struct fr_str text, size_t columns);
void fr_table_printf(struct fr_table *t, const char *fmt, ...) FR_PRINTF(2, 3);
/** @param left  bit per column whose cells stand to the left; the others to the right. @errors FR_ENOMEM FR_EIO */
FR_MUST_CHECK enum fr_err fr_table_print(const struct fr_table *t, unsigned left, FILE *out);
void fr_table_done(struct fr_table *t);

#endif
