/*
 * features/row.h - rows: what the models read, live, in replay and in training alike.
 *
 * A trigger's row is cut right after its own event is applied and before the next one (DESIGN 1,
 * rule 2): user, context, history and the seen set are copied into the arena. Item
 * cells come from the catalogue and the current generation of statistics, cross cells from both.
 *
 *   cut   = fr_row_cut(user, event)              one per trigger        USER + CONTEXT cells
 *   cross = fr_cross_init(cut, table)            one per list           what cross cells look up
 *   loop over candidates: fr_row_item(), fr_row_cross()                 ITEM cells, CROSS cells
 *
 * Layer: features; includes daemon/base/ and features/ only.
 */
#ifndef FR_FEATURES_ROW_H
#define FR_FEATURES_ROW_H

#include <stdint.h>

#include "daemon/base/arena.h"
#include "daemon/base/err.h"
#include "daemon/base/field.h"
#include "features/event.h"
#include "features/item_generation.h"
#include "features/item_table.h"
#include "features/seen.h"
#include "features/spec.h"
#include "features/user.h"

/** One history entry in a cut. */
struct fr_cut_item {
    uint64_t item;
    int64_t ts;
    int32_t type;
};

/** The user's side of a row. Owner: the arena; immutable. */
struct fr_cut {
    uint64_t user;
    int64_t ts;                    /* event (or request) time: the row's now */
    int64_t offset;                /* of the trigger; FR_NO_OFFSET for a request */
    struct fr_cell *user_cells;    /* n_cells[USER] */
    struct fr_cell *context_cells; /* n_cells[CONTEXT] */
    struct fr_cut_item *history;   /* newest first, all types */
    uint32_t n_history;
    uint64_t n_events;   /* 0 = cold user */
    struct fr_seen seen; /* the seen set as it stood: fr_seen_filter_build() for `forever` */
};

/** Context of a row. */
struct fr_row_context {
    uint64_t user;
    int64_t ts;
    int64_t offset;       /* FR_NO_OFFSET for a request */
    int32_t type;         /* event type, -1 = none (a request) */
    struct fr_str device; /* n == 0: unknown */
};

/** A candidate to be ranked. */
struct fr_candidate {
    uint32_t idx;  /* in the item table */
    uint64_t item; /* keyed hash */
    float score;   /* retrieval score; 0 without has_score */
    bool has_score;
    uint8_t source;                 /* enum fr_cand_source that named it first */
    uint16_t rank[FR_SOURCE_COUNT]; /* 1 = best; 0 = this source did not name it */
};

/** Look-up tables of one list. Owner: the arena; opaque to callers. */
struct fr_cross;

/** Context of an event's row. */
static inline struct fr_row_context fr_row_context_of(const struct fr_event *ev, int64_t offset)
{
    return (struct fr_row_context){ev->user, ev->ts, offset, ev->type, ev->device};
}

/**
 * Cut the row of `u` as it stands now. Later events change nothing in it. `u` is not changed but
 * for cached hashes. For a user past the TTL call fr_user_expire() first.
 * @errors FR_ENOMEM, FR_EINVAL (ts < 0, type out of range)
 */
FR_MUST_CHECK enum fr_err fr_row_cut(const struct fr_spec *spec,
                                     struct fr_user *u,
                                     const struct fr_row_context *ctx,
                                     struct fr_arena *ar,
                                     struct fr_cut **out_cut);

/**
 * ITEM cells of one item.
 * @param g    statistics, nullable (then their cells are unknown).
 * @param out  n_cells[ITEM]; all zero when idx is not in the table.
 * @thread any reader of a pinned table; does not allocate
 */
void fr_row_item(const struct fr_spec *spec,
                 const struct fr_item_table *t,
                 uint32_t idx,
                 const struct fr_item_generation *g,
                 int64_t now_ms,
                 struct fr_cell *out);

/** Prepare the cross features of a list. Borrows cut and table. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_cross_init(const struct fr_spec *spec,
                                        const struct fr_cut *cut,
                                        const struct fr_item_table *t,
                                        struct fr_arena *ar,
                                        struct fr_cross **out_cross);

/** CROSS cells of one candidate; out: n_cells[CROSS]. Does not allocate. */
void fr_row_cross(const struct fr_cross *cx, const struct fr_candidate *cand, struct fr_cell *out);

/** Hash that covers all cells of a row group: for tests, examples and determinism checks. */
uint64_t fr_cells_hash(const struct fr_cell *c, uint32_t n);

#endif
