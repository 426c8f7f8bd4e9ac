/*
 * daemon/config_row.h - config.def as a table, for the parser, the dump and the generated texts.
 * Private to daemon/config*.c and their tests.
 */
#ifndef FR_CONFIG_ROW_H
#define FR_CONFIG_ROW_H

#include <stddef.h>

#include "daemon/base/str.h"
#include "daemon/config.h"

enum fr_config_type {
    FR_CONFIG_STR,
    FR_CONFIG_INT,
    FR_CONFIG_MS,
    FR_CONFIG_BYTES,
    FR_CONFIG_F64,
    FR_CONFIG_BOOL,
    FR_CONFIG_ENUM,
    FR_CONFIG_LIST
};

struct fr_config_row {
    const char *section;
    const char *key;
    enum fr_config_type type;
    const char *def;
    double min, max;  /* INT, MS, BYTES, F64 */
    const char *unit; /* ENUM: the choices, "a|b|c" */
    bool reload;
    const char *help;
    size_t offset; /* of the field in struct fr_config */
};

extern const struct fr_config_row fr_config_rows[];
extern const int fr_config_n_rows;

/** Row by section and key; NULL when there is none. */
const struct fr_config_row *fr_config_find(struct fr_str section, struct fr_str key);

/** Set a scalar from text. `where` is put before messages ("file:12: "). List rows: FR_ESCHEMA. */
FR_MUST_CHECK enum fr_err fr_config_put(struct fr_config *c,
                                        const struct fr_config_row *row,
                                        struct fr_str text,
                                        const char *where,
                                        struct fr_fault *fault);

/** Replace a list by n items, copied. */
FR_MUST_CHECK enum fr_err fr_config_put_list(struct fr_config *c,
                                             const struct fr_config_row *row,
                                             const struct fr_str *items,
                                             int n,
                                             struct fr_fault *fault);

/** Replace a list by the pieces of `text` between `sep`; empty text = empty list. */
FR_MUST_CHECK enum fr_err fr_config_put_split(struct fr_config *c,
                                              const struct fr_config_row *row,
                                              struct fr_str text,
                                              char sep,
                                              struct fr_fault *fault);

/** Fault for a section.key that does not exist, naming the nearest one. */
enum fr_err fr_config_unknown(struct fr_str section,
                              struct fr_str key,
                              const char *where,
                              struct fr_fault *fault);

/** Value of a row as text, as the YAML file would hold it (lists: one line a piece, "- x"). */
void fr_config_format(const struct fr_config *c, const struct fr_config_row *row, struct fr_buf *out);

#endif
