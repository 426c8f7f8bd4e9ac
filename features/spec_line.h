/*
 * features/spec_line.h - splits one declaration line; knows the grammar, not the kinds.
 *
 *   clicks_1h = decayed_count(entity=user, type=click)
 *   ^name       ^kind         ^arg   ^value
 *
 * Layer: features; includes daemon/base/ only.
 */
#ifndef FR_FEATURES_SPEC_LINE_H
#define FR_FEATURES_SPEC_LINE_H

#include "daemon/base/err.h"
#include "daemon/base/str.h"

#define FR_LINE_MAX_ARGS 8

struct fr_line_arg {
    struct fr_str name;
    struct fr_str value; /* trimmed, not empty */
    int name_col;        /* 1-based */
    int value_col;
};

/** Owner: the caller's storage; the strings point into the line. */
struct fr_line {
    struct fr_str name;
    struct fr_str kind;
    int name_col;
    int kind_col;
    struct fr_line_arg arg[FR_LINE_MAX_ARGS];
    int n_args;
};

/**
 * @param line_no  1-based, for messages.
 * @errors FR_ESYNTAX FR_EFULL (too many arguments), FR_EDUPLICATE (an argument twice); text in
 * `fault`
 */
FR_MUST_CHECK enum fr_err
fr_line_parse(struct fr_str text, int line_no, struct fr_line *out, struct fr_fault *fault);

#endif
