/*
 * models/train/attention_back.c - blocks of rows through all layers and back.
 */
#include "models/train/attention_back.h"

#include <string.h>

#include "models/gemm.h"
#include "models/train/nn_back.h"

static int block_rows(const struct fr_attention_pass *p, int at)
{
    return p->rows - at < FR_ATTENTION_BLOCK ? p->rows - at : FR_ATTENTION_BLOCK;
}

static size_t row_floats(const struct fr_attention *a)
{
    return (size_t)a->fields * (size_t)a->dim;
}

enum fr_err fr_attention_begin(const struct fr_attention *a,
                               int rows,
                               const float *x,
                               bool backward,
                               struct fr_arena *ar,
                               struct fr_attention_pass *p)
{
    size_t blocks = ((size_t)rows + FR_ATTENTION_BLOCK - 1) / FR_ATTENTION_BLOCK;
    size_t most =
        (size_t)(rows < FR_ATTENTION_BLOCK ? rows : FR_ATTENTION_BLOCK) * (size_t)a->fields;
    size_t width = (size_t)(a->dim > a->cfg.width ? a->dim : a->cfg.width);
    enum fr_err e = FR_OK;

    *p = (struct fr_attention_pass){.rows = rows, .x = x};
    p->block = fr_arena_array(ar, blocks + 1, sizeof(*p->block));
    p->scratch = fr_arena_array(ar, fr_attention_scratch(a), sizeof(float));
    if (p->block == NULL || p->scratch == NULL)
        return FR_ENOMEM;
    for (size_t b = 0; b < blocks && e == FR_OK; b++)
        for (int l = 0; l < a->cfg.layers && e == FR_OK; l++) {
            int at = (int)b * FR_ATTENTION_BLOCK;

            p->block[b][l].x = l == 0 ? x + (size_t)at * row_floats(a) : p->block[b][l - 1].y;
            e = fr_attention_alloc(a, l, block_rows(p, at), ar, &p->block[b][l]);
        }
    if (!backward || e != FR_OK)
        return e;
    p->dqkv = fr_arena_array(ar, most * 4 * (size_t)a->cfg.width + 1, sizeof(float));
    p->dy[0] = fr_arena_array(ar, most * width + 1, sizeof(float));
    p->dy[1] = fr_arena_array(ar, most * width + 1, sizeof(float));
    return p->dqkv == NULL || p->dy[0] == NULL || p->dy[1] == NULL ? FR_ENOMEM : FR_OK;
}

void fr_attention_forward(const struct fr_attention *a, struct fr_attention_pass *p)
{
    for (int at = 0; at < p->rows; at += FR_ATTENTION_BLOCK) {
        struct fr_attention_acts *s = p->block[at / FR_ATTENTION_BLOCK];
        int n = block_rows(p, at);

        for (int l = 0; l < a->cfg.layers; l++) {
            fr_attention_project(a, l, s[l].x, n * a->fields, s[l].qkv);
            fr_attention_mix(a, l, n, &s[l], p->scratch);
        }
    }
}

void fr_attention_output(const struct fr_attention *a,
                         const struct fr_attention_pass *p,
                         const float *w,
                         float *z)
{
    size_t flat = (size_t)a->fields * (size_t)a->cfg.width;

    for (int r = 0; r < p->rows; r++) {
        const float *y = p->block[r / FR_ATTENTION_BLOCK][a->cfg.layers - 1].y;

        z[r] += fr_dot(w, y + (size_t)(r % FR_ATTENTION_BLOCK) * flat, flat);
    }
}

/* Through relu and layer norm: d (rows, A) in place. */
static void back_norm(const struct fr_attention *a,
                      const struct fr_attention_layer *y,
                      const struct fr_attention_acts *s,
                      size_t rows,
                      const struct fr_attention_grads *g,
                      float *d)
{
    size_t width = (size_t)a->cfg.width;

    fr_back_relu(s->y, d, rows * width);
    if (!a->cfg.layer_norm)
        return;
    for (size_t i = 0; i < rows; i++) {
        float *di = d + i * width;
        const float *hat = s->hat + i * width;
        double mean = 0, dot = 0;

        for (size_t k = 0; k < width; k++) {
            g->gain[k] += di[k] * hat[k];
            g->shift[k] += di[k];
            di[k] *= y->gain[k];
            mean += (double)di[k];
            dot += (double)di[k] * (double)hat[k];
        }
        float m = (float)(mean / (double)width), c = (float)(dot / (double)width),
              inv = s->inv_std[i];
        for (size_t k = 0; k < width; k++)
            di[k] = (di[k] - m - hat[k] * c) * inv;
    }
}

/* One layer of one block: d (rows, A) to dx (rows, in), which is another buffer. */
static void back_layer(const struct fr_attention *a,
                       int l,
                       const struct fr_attention_acts *s,
                       int n,
                       const struct fr_attention_grads *g,
                       float *d,
                       struct fr_attention_pass *p,
                       float *dx)
{
    const struct fr_attention_layer *y = &a->layer[l];
    struct fr_attend h = fr_attention_head(a, l);
    size_t f = (size_t)a->fields, width = (size_t)a->cfg.width, cols = (size_t)y->cols,
           head = (size_t)h.dim;
    int rows = n * a->fields;

    back_norm(a, y, s, (size_t)rows, g, d);
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t k = 0; k < (size_t)a->cfg.heads; k++) {
            size_t at = i * f * cols + k * head;
            const float *q = s->qkv + at;
            float *dq = p->dqkv + at;

            fr_attend_backward(&h,
                               q,
                               q + width,
                               q + 2 * width,
                               s->p + (i * (size_t)a->cfg.heads + k) * f * f,
                               d + i * f * width + k * head,
                               dq,
                               dq + width,
                               dq + 2 * width,
                               p->scratch);
        }
    for (size_t i = 0; i < (size_t)rows && cols > 3 * width; i++)
        memcpy(p->dqkv + i * cols + 3 * width, d + i * width, width * sizeof(*d));
    fr_gemm(true, false, y->cols, y->in, rows, 1, p->dqkv, y->cols, s->x, y->in, 1, g->w, y->in);
    fr_gemm(false, false, rows, y->in, y->cols, 1, p->dqkv, y->cols, y->w, y->in, 0, dx, y->in);
    if (fr_attention_adds_x(a, l))
        fr_axpy(1.0f, d, dx, (size_t)rows * width);
}

void fr_attention_backward(const struct fr_attention *a,
                           struct fr_attention_pass *p,
                           const struct fr_attention_out *outs,
                           int n_outs,
                           const struct fr_attention_grads *g,
                           float *dx)
{
    size_t flat = (size_t)a->fields * (size_t)a->cfg.width;

    for (int at = 0; at < p->rows; at += FR_ATTENTION_BLOCK) {
        const struct fr_attention_acts *s = p->block[at / FR_ATTENTION_BLOCK];
        int n = block_rows(p, at), last = a->cfg.layers - 1;

        for (int i = 0; i < n; i++) {
            float *d = p->dy[last % 2] + (size_t)i * flat;

            memset(d, 0, flat * sizeof(*d));
            for (const struct fr_attention_out *o = outs; o < outs + n_outs; o++) {
                fr_axpy(o->dz[at + i], s[last].y + (size_t)i * flat, o->dw, flat);
                fr_axpy(o->dz[at + i], o->w, d, flat);
            }
        }
        for (int l = last; l >= 0; l--)
            back_layer(a,
                       l,
                       &s[l],
                       n,
                       &g[l],
                       p->dy[l % 2],
                       p,
                       l == 0 ? dx + (size_t)at * row_floats(a) : p->dy[(l + 1) % 2]);
    }
}
