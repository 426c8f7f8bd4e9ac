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

#define FR_EXAMPLE_MAX_BYTES (16u << 20)

/** An example read back. Owner: the arena; strings may lie in the value. */
struct fr_example_rows {
    struct fr_str user_id, rec_id; /* rec_id.n == 0: absent */
    int64_t ts;
    uint32_t n; /* rows, 1..FR_MAX_RECOMMENDED */
    struct fr_str *item_id;        /* (n) */
    struct fr_cell *user;          /* (n_cells[USER]) */
    struct fr_cell *context;       /* (n_cells[CONTEXT]) */
    struct fr_cell *items, *cross; /* (n, n_cells[ITEM]), (n, n_cells[CROSS]) */
};

/**
 * Decode a hostile value. Every field of `fs` must be there, others are ignored; cells of unused slots are {0, 0}
 * and stand behind the used ones.
 * @param fs  may be a part of the declaration (models/bundle.h); its hash must be the value's.
 * @errors FR_EVERSION FR_EMISMATCH FR_ESCHEMA FR_ETOOLARGE FR_ENOMEM, the parser's; `fault` names the field, e.g.
 * rows[2].item.cats. out untouched then, memory of the arena may be taken.
 * @thread any
 */
FR_MUST_CHECK enum fr_err fr_example_decode(const struct fr_field_set *fs,
                                            struct fr_arena *ar,
                                            struct fr_str value,
                                            struct fr_example_rows *out,
                                            struct fr_fault *fault);

#endif
