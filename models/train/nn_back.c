/*
 * models/train/nn_back.c - backward passes by matrix products and row scatters.
 */
#include "models/train/nn_back.h"

#include "models/gemm.h"

void fr_back_linear(const float *x,
                    const float *w,
                    int ldw,
                    const float *dy,
                    int b,
                    int in,
                    int out,
                    float *dw,
                    float *db,
                    float *dx)
{
    if (in > 0)
        fr_gemm(true, false, out, in, b, 1, dy, out, x, in, 1, dw, ldw);
    if (dx != NULL && in > 0)
        fr_gemm(false, false, b, in, out, 1, dy, out, w, ldw, 0, dx, in);
    for (int i = 0; i < b && db != NULL; i++)
        fr_axpy(1.0f, dy + (size_t)i * (size_t)out, db, (size_t)out);
}

void fr_back_relu(const float *y, float *dy, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dy[i] = y[i] > 0.0f ? dy[i] : 0.0f;
}

void fr_back_l2norm(const float *y, float norm, const float *dy, size_t n, float *dx)
{
    double inv = 1.0 / (norm > 1e-12f ? (double)norm : 1e-12);
    double dot = 0;
    for (size_t i = 0; i < n; i++)
        dot += (double)y[i] * (double)dy[i];
    for (size_t i = 0; i < n; i++)
        dx[i] = (float)(((double)dy[i] - (double)y[i] * dot) * inv);
}

enum fr_err fr_mlp_forward_keep(const struct fr_mlp *mlp,
                                int from,
                                const float *x,
                                int b,
                                struct fr_arena *ar,
                                struct fr_mlp_acts *out)
{
    out->x[from] = x;
    for (int l = from; l < mlp->n_layers; l++) {
        size_t in = (size_t)mlp->width[l], o = (size_t)mlp->width[l + 1];
        float *y = fr_arena_array(ar, (size_t)b * o, sizeof(*y));
        if (y == NULL)
            return FR_ENOMEM;
        fr_nn_linear(out->x[l], in, mlp->w[l], mlp->bias[l], b, (int)in, (int)o, y, o);
        if (l + 1 < mlp->n_layers || mlp->relu_last)
            fr_nn_relu(y, (size_t)b * o);
        out->x[l + 1] = y;
    }
    return FR_OK;
}

enum fr_err fr_mlp_backward(const struct fr_mlp *mlp,
                            int from,
                            const struct fr_mlp_acts *acts,
                            int b,
                            float *dout,
                            float *const *dw,
                            float *const *db,
                            struct fr_arena *ar,
                            float *dx)
{
    float *dy = dout;

    if (from >= mlp->n_layers && dx != NULL) /* no layers: the identity */
        memcpy(dx, dout, (size_t)b * (size_t)mlp->width[mlp->n_layers] * sizeof(*dx));
    for (int l = mlp->n_layers - 1; l >= from; l--) {
        int in = mlp->width[l], o = mlp->width[l + 1];
        if (l + 1 < mlp->n_layers || mlp->relu_last)
            fr_back_relu(acts->x[l + 1], dy, (size_t)b * (size_t)o);
        float *d = dx;
        if (l > from && (d = fr_arena_array(ar, (size_t)b * (size_t)in, sizeof(*d))) == NULL)
            return FR_ENOMEM;
        fr_back_linear(acts->x[l], mlp->w[l], in, dy, b, in, o, dw[l], db[l], d);
        dy = d;
    }
    return FR_OK;
}

static void gated_back(const float *restrict v,
                       const float *restrict gate,
                       float x,
                       const float *restrict de,
                       size_t dim,
                       float *restrict dv,
                       float *restrict dgate)
{
    for (size_t d = 0; d < dim; d++) {
        dv[d] += x * (gate[d] * de[d]);
        dgate[d] += x * (v[d] * de[d]);
    }
}

void fr_back_embed_group(const struct fr_encoder *enc,
                         const struct fr_embed *em,
                         enum fr_entity e,
                         const struct fr_slot *slots,
                         const float *de,
                         const struct fr_params *p,
                         const int *table_of,
                         struct fr_grads *g,
                         float *const *gate)
{
    size_t dim = (size_t)em->dim;

    for (int i = enc->first_field[e]; i < enc->first_field[e + 1]; i++, de += dim) {
        const struct fr_enc_field *ef = &enc->field[i];
        const struct fr_slot *s = slots + ef->slot0;
        int table = table_of[ef->table];
        for (size_t k = 0; k < ef->f.slots; k++) {
            if (s[k].x == 0.0f)
                continue;
            float *dv = fr_grads_row(g, p, table, s[k].row);
            if (em->gate[i] == NULL)
                fr_axpy(s[k].x, de, dv, dim);
            else
                gated_back(em->v[ef->table] + (size_t)s[k].row * dim,
                           em->gate[i] + k * dim,
                           s[k].x,
                           de,
                           dim,
                           dv,
                           gate[i] + k * dim);
        }
    }
}

void fr_back_count_slots(const struct fr_encoder *enc,
                         enum fr_entity e,
                         const struct fr_slot *slots,
                         size_t *n)
{
    for (int i = enc->first_field[e]; i < enc->first_field[e + 1]; i++) {
        const struct fr_enc_field *ef = &enc->field[i];
        for (int k = 0; k < ef->f.slots; k++)
            n[ef->table] += slots[ef->slot0 + (uint32_t)k].x != 0.0f;
    }
}
