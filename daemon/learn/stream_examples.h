/*
 * daemon/learn/stream_examples.h - a stream read again for training, by the code that serves.
 *
 *   record ─► event codec ─► user state ─► item counters, ticks ─► trigger? ─► row cut ─► callback
 *
 * An example is the row cut at a trigger and the item of the same user's next positive event. Labels
 * are found by one pass before; the callback of a second pass then has row, statistics and catalogue
 * as they stood at the trigger (DESIGN 1, rule 2). An item is in the catalogue from its first event
 * on, unless the items named it already; those are all there from the start, with the attributes
 * they have today.
 *
 * What a label was worth (asked for by a value head, models/value.h): the `value` of its event or, if that
 * has none, of the user's next event on the same item before another item becomes a label, e.g. a click and
 * then its purchase. Only values that fit the head's target count, of one event type if one is named. For the
 * target unit the question is whether such an event came: 1, else 0.
 *
 * What was shown: an `impressions` event belongs to its user's newest trigger before it. A later positive
 * on one of the items of the user's newest impressions, within the window (and of the same rec_id where
 * both name one), is a click on that list.
 */
#ifndef FR_LEARN_STREAM_EXAMPLES_H
#define FR_LEARN_STREAM_EXAMPLES_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/arena.h"
#include "daemon/base/err.h"
#include "daemon/base/str.h"
#include "daemon/learn/stream_log.h"
#include "daemon/pipeline/epoch.h"
#include "features/row.h"
#include "features/spec.h"
#include "models/value.h"

/** Which events say what an item was worth to the user. */
struct fr_stream_value_rule {
    enum fr_value_kind kind; /* FR_VALUE_NONE: nothing is asked */
    const char *event;       /* of this type only; NULL = any; needed with FR_VALUE_UNIT */
};

/** The stream. Owner: the caller; borrowed. */
struct fr_stream_input {
    const struct fr_spec *spec;
    struct fr_str events; /* JSON Lines of `events` values; key = user_id, record time = ts */
    struct fr_str items;  /* JSON Lines of `items` values; may be empty */
    uint64_t until;       /* read this many events only; 0 = all */
    /* nullable: read from topics, used instead of the two texts; borrowed */
    const struct fr_stream_log *event_log, *item_log;
    struct fr_stream_value_rule value;
    /* nullable: told every few thousand events of a pass */
    void (*progress)(void *ctx, uint64_t done);
    void *progress_ctx;
};

/** A list that a user saw and clicked in. */
struct fr_stream_shown {
    uint64_t line;  /* of the trigger */
    size_t first;   /* its items: labels.shown_item[first .. first + n) */
    uint32_t n;
    uint32_t clicks;
};

#define FR_STREAM_REFUSED 160

/** Labels of a stream. Owner: fr_stream_labels_done(). */
struct fr_stream_labels {
    uint64_t *item; /* (n): by line, 0 = no trigger or no label */
    float *value;   /* (n): what that label was worth; NaN = not known */
    uint64_t n;     /* lines */
    uint64_t n_labels;
    uint64_t n_refused; /* records that are no events; those of a topic that are mis-keyed too */
    char first_refused[FR_STREAM_REFUSED]; /* "event N: field: why", N from 1; "" = none */
    struct fr_stream_shown *shown; /* (n_shown) by line, then time; only lists with a click */
    size_t n_shown;
    uint64_t *shown_item;
    bool *shown_click;
    float *shown_value; /* of a click; NaN = not known */
    uint64_t n_impressions; /* impressions events that belong to a trigger */
};

/** What a pass knows at a trigger; valid for the call. */
struct fr_stream_trigger {
    uint64_t line; /* 0-based */
    const struct fr_event *ev;
    struct fr_cut *cut;
    struct fr_item_generation *generation; /* nullable */
    uint64_t label;                        /* keyed hash of the next positive item */
    float value;                           /* what it was worth; NaN = not known */
    const struct fr_stream_labels *labels;
    const struct fr_stream_shown *shown; /* (n_shown) what the user saw after it and clicked in */
    size_t n_shown;
    struct fr_epochs *ep;
    struct fr_arena *ar; /* emptied after the line */
};
typedef enum fr_err (*fr_stream_trigger_fn)(void *ctx, const struct fr_stream_trigger *t);

/** Events that a pass over the input reads. */
uint64_t fr_stream_input_events(const struct fr_stream_input *in);

/** Hashes of what a pass reads: of the events, and of the items. */
uint64_t fr_stream_input_hash_events(const struct fr_stream_input *in);
uint64_t fr_stream_input_hash_items(const struct fr_stream_input *in);

/** Find the labels. @errors FR_EINVAL the value rule names no event type; FR_ENOMEM, those of the item file (with its line) */
FR_MUST_CHECK enum fr_err fr_stream_labels_find(const struct fr_stream_input *in,
                                                struct fr_stream_labels *out,
                                                struct fr_fault *fault);
void fr_stream_labels_done(struct fr_stream_labels *l);

/**
 * Read the stream and call `fn` at every trigger that has a label.
 * @param ep  an empty epoch; gets the catalogue, and may have models set by `fn`.
 * @errors FR_ENOMEM, those of the item file and of `fn`
 */
FR_MUST_CHECK enum fr_err fr_stream_replay(const struct fr_stream_input *in,
                                           const struct fr_stream_labels *labels,
                                           struct fr_epochs *ep,
                                           fr_stream_trigger_fn fn,
                                           void *ctx,
                                           struct fr_fault *fault);

#endif
