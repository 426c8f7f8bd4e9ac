/*
 * daemon/learn/stream_shown.h - which lists were shown and what was clicked in them.
 *
 * Fed in stream order by the first pass of stream_examples.c; fills `shown` of the labels. Only lists
 * with a click are kept: a list without one says nothing to a listwise loss.
 * Layer: daemon/learn. Thread: one.
 */
#ifndef FR_LEARN_STREAM_SHOWN_H
#define FR_LEARN_STREAM_SHOWN_H

#include "daemon/base/err.h"
#include "daemon/base/map.h"
#include "daemon/learn/stream_examples.h"
#include "features/event.h"

#define FR_SHOWN_WINDOW_MS INT64_C(86400000) /* a click later than a day is not the list's doing */

/* An impressions event while clicks may still come. */
struct fr_shown_open {
    int64_t ts;
    uint64_t rec; /* hash of rec_id, 0 = none */
};

/** Owner: the caller's storage, zeroed but for `labels`; fr_shown_finder_finish(). */
struct fr_shown_finder {
    struct fr_stream_labels *labels;
    struct fr_map newest; /* user -> its newest list in labels->shown */
    struct fr_shown_open *open; /* parallel to labels->shown */
    size_t cap, items, items_cap;
};

/** An impressions event; `trigger` is the line of the user's newest trigger, FR_MAP_NONE = none.
 *  @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_shown_finder_impressions(struct fr_shown_finder *f, const struct fr_event *ev, uint32_t trigger);
/** A positive event with an item. */
void fr_shown_finder_positive(struct fr_shown_finder *f, const struct fr_event *ev);
/** An event that says what its item was worth: the first one of a click counts. */
void fr_shown_finder_value(struct fr_shown_finder *f, const struct fr_event *ev, float value);
/** Drop lists without a click, sort by line, release what is not the labels'. */
void fr_shown_finder_finish(struct fr_shown_finder *f);

#endif
