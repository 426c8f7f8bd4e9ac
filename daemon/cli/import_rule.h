/*
 * daemon/cli/import_rule.h - columns of a data set, and rules on them: COLUMN OP OPERAND TYPE.
 *
 * `rating >= 4 like`: where the field is a number of at least 4, the event is a like. == and != also take
 * a text: `action == addtocart cart`. The type `skip` leaves the record out.
 * Layer: daemon/cli. Thread: any.
 */
#ifndef FR_CLI_IMPORT_RULE_H
#define FR_CLI_IMPORT_RULE_H

#include <stdbool.h>

#include "daemon/base/err.h"
#include "daemon/base/str.h"

#define FR_IMPORT_TEXT 128
#define FR_IMPORT_COLUMNS 256

/** A column by number from 0, or by name; neither: not given. */
struct fr_import_column {
    int at; /* -1 = by name or not given */
    char name[FR_IMPORT_TEXT];
};

enum fr_import_op { FR_IMPORT_LT, FR_IMPORT_LE, FR_IMPORT_EQ, FR_IMPORT_NE, FR_IMPORT_GE, FR_IMPORT_GT };

struct fr_import_rule {
    struct fr_import_column column;
    enum fr_import_op op;
    bool is_text; /* compare with text, not with number */
    double number;
    char text[FR_IMPORT_TEXT];
    char type[FR_IMPORT_TEXT]; /* "skip" = leave the record out */
};

/** @return NULL, or why it is none (in words) */
const char *fr_import_column_parse(const char *text, struct fr_import_column *out);

bool fr_import_column_given(const struct fr_import_column *c);

/** Next word of *rest, cut in place; NULL at the end. */
char *fr_import_word(char **rest);

/** @param text  is cut in place. @return NULL, or why it is none */
const char *fr_import_rule_parse(char *text, struct fr_import_rule *out);

/** Does it hold for this field? @errors FR_ESYNTAX a number is needed and it is none */
FR_MUST_CHECK enum fr_err fr_import_rule_holds(const struct fr_import_rule *r, struct fr_str field, bool *out);

#endif
