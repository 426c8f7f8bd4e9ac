/*
 * daemon/cli/import_map.h - how the columns of a data set become events and items.
 *
 * A mapping is a text of lines `key = value` ('#' begins a comment line; a value may stand in double
 * quotes, which keep spaces). It is not YAML: it has no structure, and every line is checked on its own.
 * A key stands once, but for events.file, items.file and events.rule.
 *
 *   events.file        name, or names with {n}: period_{n}.txt      events.n          0-16
 *                      may stand several times (without {n}): the files are read in this order
 *   events.separator   comma | tab | space | semicolon | other text events.quotes     yes | no
 *   events.header      yes | no: columns have names                 events.encoding   utf8 | latin1
 *   events.user, .item, .value, .id     column: a name, or a number from 1
 *   events.time        column, or `spread`: evenly over the day (events.day0 + n) of each file
 *   events.time_format seconds | milliseconds | %Y-%m-%d %H:%M:%S.%f and the like (UTC)
 *   events.rule        COLUMN OP OPERAND TYPE, e.g. `value >= 4 like` or `action == addtocart cart`; the first
 *                      that holds gives the type, `skip` leaves the row out; may stand several times
 *   events.type_column column that gives the type where no rule holds
 *   events.type        a word: the type of all other events
 *   events.require     columns that must not be empty (rows without are left out)
 *   events.order       file | time: by time, ties in file order | time_user_item: ties by user, then item
 *   items.file, .separator, .quotes, .header, .encoding as above
 *   items.id, .title, .brand, .price    column
 *   items.categories   column, with items.category_separator between them
 *   items.flags        columns A-B of 0/1; items.flag_names a,b,c names them as categories
 *
 * Layer: daemon/cli. Thread: one at a time.
 */
#ifndef FR_CLI_IMPORT_MAP_H
#define FR_CLI_IMPORT_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/str.h"
#include "daemon/cli/import_rule.h"

#define FR_IMPORT_RULES 16
#define FR_IMPORT_FLAGS 64
#define FR_IMPORT_FILES 32

enum fr_import_order { FR_IMPORT_ORDER_FILE, FR_IMPORT_ORDER_TIME, FR_IMPORT_ORDER_TIME_USER_ITEM };

/** One table: where it is and how it is cut. */
struct fr_import_table {
    char file[FR_IMPORT_FILES][FR_IMPORT_TEXT];
    int n_files; /* 0 = there is none */
    char separator[FR_IMPORT_TEXT];
    bool quotes, header, latin1;
};

struct fr_import_map {
    struct fr_import_table events, items;
    int n_from, n_to; /* of {n} */
    struct fr_import_column user, item, value, id, time, type_column;
    bool spread;
    int64_t day0_ms;
    char time_format[FR_IMPORT_TEXT]; /* "seconds", "milliseconds", or a pattern */
    char type[FR_IMPORT_TEXT]; /* "" = every event must get one by rule or column */
    struct fr_import_rule rule[FR_IMPORT_RULES];
    int n_rules;
    struct fr_import_column require[4];
    int n_require;
    enum fr_import_order order;
    struct fr_import_column item_id, title, brand, price, categories;
    char category_separator[FR_IMPORT_TEXT];
    int flag_from, flag_to; /* columns from 0; -1 = none */
    char flag_name[FR_IMPORT_FLAGS][FR_IMPORT_TEXT];
    int n_flags;
};

/** Read a mapping. @errors FR_ESCHEMA, FR_ESYNTAX, FR_ETOOLARGE; the fault names `name`, line and key */
FR_MUST_CHECK enum fr_err
fr_import_map_parse(struct fr_str text, const char *name, struct fr_import_map *out, struct fr_fault *fault);

/** The mapping that is built in for a layout ("yoochoose", "ml-1m"); NULL if there is none. */
const char *fr_import_map_builtin(const char *layout);

#endif
