/*
 * models/embed.c - pooled field embeddings.
 */
#include "models/embed.h"

#include <string.h>

#include "models/fetch.h"

static void gated_sum(const float *restrict table,
                      const float *restrict gate,
                      size_t dim,
                      const struct fr_slot *slots,
                      int n,
                      float *restrict out)
{
    memset(out, 0, dim * sizeof(*out));
    for (int k = 0; k < n; k++) {
        const float *row = table + (size_t)slots[k].row * dim;
        const float *g = gate + (size_t)k * dim;
        float x = slots[k].x;
        if (x == 0.0f)
            continue;
        for (size_t d = 0; d < dim; d++)
            out[d] += x * (g[d] * row[d]);
    }
}

void fr_embed_group(const struct fr_encoder *enc,
                    const struct fr_embed *em,
                    enum fr_entity e,
                    const struct fr_slot *slots,
                    float *out)
{
    size_t dim = (size_t)em->dim;

    for (int i = enc->first_field[e]; i < enc->first_field[e + 1]; i++, out += dim) {
        const struct fr_enc_field *ef = &enc->field[i];
        const struct fr_slot *s = slots + ef->slot0;
        const float *v = em->v[ef->table];
        if (em->gate[i] != NULL)
            gated_sum(v, em->gate[i], dim, s, ef->f.slots, out);
        else if (ef->f.slots == 1 && s->x == 1.0f)
            memcpy(out, v + (size_t)s->row * dim, dim * sizeof(*out));
        else
            fr_gather_sum(v, dim, s, ef->f.slots, out);
    }
}

void fr_embed_soon(const struct fr_encoder *enc,
                   const struct fr_embed *em,
                   const float *const *lin,
                   enum fr_entity e,
                   const struct fr_slot *slots)
{
    size_t dim = (size_t)em->dim;

    for (int i = enc->first_field[e]; i < enc->first_field[e + 1]; i++) {
        const struct fr_enc_field *ef = &enc->field[i];
        for (int k = 0; k < ef->f.slots; k++) {
            size_t row = (size_t)slots[ef->slot0 + (uint32_t)k].row;
            if (lin != NULL)
                fr_fetch(lin[ef->table] + row, sizeof(*lin[0]));
            fr_fetch(em->v[ef->table] + row * dim, dim * sizeof(*em->v[0]));
        }
    }
}
