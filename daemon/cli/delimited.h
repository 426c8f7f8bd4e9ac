/*
 * daemon/cli/delimited.h - records of a delimited text: CSV (RFC 4180), TSV, and the like.
 *
 * A separator of one or more bytes; optional quoting with '"' (then a field may hold separators, line ends
 * and doubled quotes). A record ends with "\n" or "\r\n"; the last one may lack it. Empty lines are skipped.
 * Layer: daemon/cli. Thread: one at a time.
 */
#ifndef FR_CLI_DELIMITED_H
#define FR_CLI_DELIMITED_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/str.h"

#define FR_DELIMITED_FIELDS 256
#define FR_DELIMITED_RECORD ((size_t)1 << 20) /* longest record in bytes */

/** Reader over a text in memory. Owner: the caller's storage; fr_delimited_init(), _done(). */
struct fr_delimited {
    struct fr_str rest;
    struct fr_str separator;
    bool quotes;
    uint64_t line;      /* line of the next byte, from 1 */
    uint64_t at;        /* line where the newest record began */
    char *text;         /* fields of the newest record that stood in quotes */
    size_t n_text, cap;
    struct fr_str field[FR_DELIMITED_FIELDS];
    int n_fields;
};

/** @param text, separator  borrowed as long as the reader; separator.n >= 1 */
void fr_delimited_init(struct fr_delimited *d, struct fr_str text, struct fr_str separator, bool quotes);

/**
 * Read the next record into d->field, valid until the next call.
 * @errors FR_ENOTFOUND  the text has ended
 *         FR_ESYNTAX    this record is malformed (a quote that opens within a field, text after a closing
 *                       one, no closing one); it has been skipped up to its line's end: go on or give up
 *         FR_ETOOLARGE  more than FR_DELIMITED_FIELDS fields or FR_DELIMITED_RECORD bytes; skipped
 *         FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_delimited_next(struct fr_delimited *d);

void fr_delimited_done(struct fr_delimited *d);

#endif
