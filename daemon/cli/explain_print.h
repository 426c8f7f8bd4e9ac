/*
 * daemon/cli/explain_print.h - an explanation (models/explain.h) as a table for people and as one JSON line.
 *
 * Layer: daemon/cli. Thread: any; writes to the stream given.
 */
#ifndef FR_CLI_EXPLAIN_PRINT_H
#define FR_CLI_EXPLAIN_PRINT_H

#include <stdio.h>

#include "daemon/base/arena.h"
#include "daemon/base/err.h"
#include "models/explain.h"

/** Where the row comes from. Strings are borrowed; a NULL file is a self-test case. */
struct fr_explain_source {
    const struct fr_model_info *model;
    const char *file;
    uint64_t line; /* of the file, from 1 */
    int test;      /* self-test case */
    int candidate;
    struct fr_str user_id, item_id; /* of a file's row */
};

/** Parts, the `top` strongest terms, and for attention the strongest looks of each head.
 *  @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_explain_table(const struct fr_explain_source *src,
                                           const struct fr_explanation *x,
                                           int top,
                                           struct fr_arena *ar,
                                           FILE *out);

/** Everything, as one line of schema freshet.explanation.v1. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_explain_json(const struct fr_explain_source *src, const struct fr_explanation *x, FILE *out);

#endif
