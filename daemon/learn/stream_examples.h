/*
 * daemon/learn/stream_examples.h - a stream read again for training, by the code that serves.
 *
 *   line ─► event codec ─► user state ─► item counters, ticks ─► trigger? ─► row cut ─► callback
 *
 * An example is the row cut at a trigger and the item of the same user's next positive event. Labels
 * are found by one pass before; the callback of a second pass then has row, statistics and catalogue
 * as they stood at the trigger (DESIGN 1, rule 2). An item is in the catalogue from its first event
 * on, unless the item file named it already.
 */
#ifndef FR_LEARN_STREAM_EXAMPLES_H
#define FR_LEARN_STREAM_EXAMPLES_H

#include <stdint.h>

#include "daemon/base/arena.h"
#include "daemon/base/err.h"
#include "daemon/base/str.h"
#include "daemon/pipeline/epoch.h"
#include "features/row.h"
#include "features/spec.h"

/** The stream. Owner: the caller; borrowed. */
struct fr_stream_input {
    const struct fr_spec *spec;
    struct fr_str events; /* JSON Lines of `events` values; key = user_id, record time = ts */
    struct fr_str items;  /* JSON Lines of `items` values; may be empty */
    uint64_t until;       /* read this many event lines only; 0 = all */
};

/** What a pass knows at a trigger; valid for the call. */
struct fr_stream_trigger {
    uint64_t line; /* 0-based */
    const struct fr_event *ev;
    struct fr_cut *cut;
    struct fr_item_generation *generation; /* nullable */
    uint64_t label;                        /* keyed hash of the next positive item; 0 = none */
    struct fr_epochs *ep;
    struct fr_arena *ar; /* emptied after the line */
};
typedef enum fr_err (*fr_stream_trigger_fn)(void *ctx, const struct fr_stream_trigger *t);

/** Labels of a stream. Owner: fr_stream_labels_done(). */
struct fr_stream_labels {
    uint64_t *item; /* (n): by line, 0 = no trigger or no label */
    uint64_t n;     /* lines */
    uint64_t n_labels;
    uint64_t n_refused; /* lines that are no events */
};

/** Find the labels. @errors FR_ENOMEM, those of the item file (with its line) */
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
