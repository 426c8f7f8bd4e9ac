/*
 * daemon/stream/example_codec.h - rows as served, one message a list, for the `examples` topic.
 *
 *   {"schema":"freshet.example.v1","rec_id","user_id","schema_hash":hex,"item_generation","ts",
 *    "user":{field: cells...},"context":{...},
 *    "rows":[{"item_id","position","propensity","item":{...},"cross":{...}}],"label":null}
 *
 * Cells of a field: ["hex id", x, ...] flat for ids, [bucket, x] for buckets, a number for
 * numerics; unused slots are left out. `label` stays null until the join fills it.
 */
#ifndef FR_STREAM_EXAMPLE_CODEC_H
#define FR_STREAM_EXAMPLE_CODEC_H

#include <stddef.h>

#include "daemon/base/buf.h"
#include "daemon/base/field.h"
#include "daemon/stream/recommendation_codec.h"

#define FR_EXAMPLE_SCHEMA "freshet.example.v1"

/** Owner: the caller; borrowed. */
struct fr_example {
    const struct fr_field_set *fields;
    const struct fr_recommendation *rec;
    const struct fr_cell *user_cells;    /* n_cells[USER] */
    const struct fr_cell *context_cells; /* n_cells[CONTEXT] */
    const struct fr_cell *item_cells;    /* rows of n_cells[ITEM] */
    const struct fr_cell *cross_cells;   /* rows of n_cells[CROSS] */
    const uint32_t *row;                 /* row of rec->items[i], at i * row_stride bytes */
    size_t row_stride;
};

/** Append the JSON; the caller checks fr_buf_err(). @thread any */
void fr_example_encode(const struct fr_example *ex, struct fr_buf *out);

#endif
