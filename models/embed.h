/*
 * models/embed.h - field embeddings of one entity group.
 *
 *   out[f] = sum over the slots k of field f of x_k * g_f[k] (*) v[row_k]      (fields of e, dim)
 *
 * Shared by inference and training, so both compute the same bits.
 * Layer: models/.
 */
#ifndef FR_MODELS_EMBED_H
#define FR_MODELS_EMBED_H

#include "models/encoder.h"
#include "models/tensor.h"

/** Views of the tables. Owner: the model or trainer that owns the weights. */
struct fr_embed {
    int dim;
    const float *v[FR_MAX_FIELDS];    /* by table: (rows, dim) */
    const float *gate[FR_MAX_FIELDS]; /* by field: (slots, dim) or NULL = all ones */
};

/** @param slots (n_slots[e]), rows valid. @param out (fields of e, dim). @thread any */
void fr_embed_group(const struct fr_encoder *enc,
                    const struct fr_embed *em,
                    enum fr_entity e,
                    const struct fr_slot *slots,
                    float *out);

/**
 * fr_embed_group() and a linear term follow for these slots: their rows are fetched from memory meanwhile.
 * @param lin  by table: (rows), or NULL where there is no linear term.
 * @thread any
 */
void fr_embed_soon(const struct fr_encoder *enc,
                   const struct fr_embed *em,
                   const float *const *lin,
                   enum fr_entity e,
                   const struct fr_slot *slots);

#endif
