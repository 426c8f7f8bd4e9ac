/*
 * daemon/cli/import_rows.h - imported events and items in memory: collected, put in order, written as the
 * wire's JSON.
 *
 * Layer: daemon/cli. Thread: one at a time.
 */
#ifndef FR_CLI_IMPORT_ROWS_H
#define FR_CLI_IMPORT_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/err.h"
#include "daemon/base/str.h"

/** A text in the rows' buffer. */
struct fr_import_ref {
    uint64_t at;
    uint32_t n;
};

struct fr_import_event {
    int64_t ts; /* ms */
    double value;
    bool has_value;
    struct fr_import_ref user, item, id, type;
};

struct fr_import_item {
    struct fr_import_ref id, title, brand;
    struct fr_import_ref categories; /* names, each ended by '\n' */
    double price;
    bool has_price;
};

/** Owner: the caller's storage; zeroed is empty; fr_import_rows_done(). */
struct fr_import_rows {
    struct fr_buf text;
    struct fr_import_event *event;
    uint64_t n_events, cap_events;
    struct fr_import_item *item;
    uint64_t n_items, cap_items;
};

/** Copy a text into the buffer; errors show in fr_buf_err(&rows->text). */
struct fr_import_ref fr_import_rows_text(struct fr_import_rows *rows, struct fr_str s);
struct fr_str fr_import_rows_str(const struct fr_import_rows *rows, struct fr_import_ref r);

/** @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_import_rows_event(struct fr_import_rows *rows, const struct fr_import_event *ev);
FR_MUST_CHECK enum fr_err fr_import_rows_item(struct fr_import_rows *rows, const struct fr_import_item *it);

/** Stable sort by time; `ids`: ties by user, then item (as numbers where both are numbers).
 *  @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_import_rows_sort(struct fr_import_rows *rows, bool ids);

/** Items that events name and the catalogue lacks are added to it, with their id only, in order of first
 *  use. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_import_rows_complete(struct fr_import_rows *rows);

/** Append the JSON object of an event (with this time) or an item, without a line end. */
void fr_import_event_json(const struct fr_import_rows *rows, const struct fr_import_event *ev, int64_t ts, struct fr_buf *out);
void fr_import_item_json(const struct fr_import_rows *rows, const struct fr_import_item *it, struct fr_buf *out);

void fr_import_rows_done(struct fr_import_rows *rows);

#endif
