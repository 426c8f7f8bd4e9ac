/*
 * models/attention.c - the layers' forward pass; one head of one row is models/attend.h.
 */
#include "models/attention.h"

#include <math.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/gemm.h"
#include "models/nn.h"

enum fr_err fr_attention_check(const struct fr_attention_config *c, struct fr_fault *fault)
{
    if (c->layers < 1 || c->layers > FR_ATTENTION_MAX_LAYERS)
        return fr_fault(
            fault, FR_EINVAL, "attention.layers must be 1..%d", FR_ATTENTION_MAX_LAYERS);
    if (c->heads < 1 || c->heads > FR_ATTENTION_MAX_HEADS)
        return fr_fault(fault, FR_EINVAL, "attention.heads must be 1..%d", FR_ATTENTION_MAX_HEADS);
    if (c->width < 1 || c->width > FR_ATTENTION_MAX_WIDTH || c->width % c->heads != 0)
        return fr_fault(fault,
                        FR_EINVAL,
                        "attention.width must be a multiple of the heads, at most %d",
                        FR_ATTENTION_MAX_WIDTH);
    if ((unsigned)c->residual >= FR_RESIDUAL_COUNT)
        return fr_fault(fault, FR_EINVAL, "attention.residual is none of its values");
    return FR_OK;
}

static bool projected(const struct fr_attention_config *c, int in)
{
    return c->residual == FR_RESIDUAL_PROJECTED ||
           (c->residual != FR_RESIDUAL_NONE && in != c->width);
}

bool fr_attention_adds_x(const struct fr_attention *a, int l)
{
    return a->cfg.residual == FR_RESIDUAL_IDENTITY && a->layer[l].in == a->cfg.width;
}

enum fr_err
fr_attention_init(struct fr_attention *a, const struct fr_attention_config *c, int fields, int dim)
{
    size_t n = 0, at = 0;

    memset(a, 0, sizeof(*a));
    a->cfg = *c;
    a->fields = fields;
    a->dim = dim;
    for (int l = 0; l < c->layers; l++) {
        struct fr_attention_layer *y = &a->layer[l];

        y->in = l == 0 ? dim : c->width;
        y->cols = (projected(c, y->in) ? 4 : 3) * c->width;
        n += (size_t)y->cols * (size_t)y->in;
    }
    a->block = fr_calloc_aligned(n + 1, sizeof(float));
    if (a->block == NULL)
        return FR_ENOMEM;
    for (int l = 0; l < c->layers; l++) {
        a->layer[l].w = a->block + at;
        at += (size_t)a->layer[l].cols * (size_t)a->layer[l].in;
    }
    return FR_OK;
}

void fr_attention_done(struct fr_attention *a)
{
    fr_free(a->block);
    memset(a, 0, sizeof(*a));
}

float *fr_attention_part(const struct fr_attention *a, int layer, int part)
{
    return a->layer[layer].w + (size_t)part * (size_t)a->cfg.width * (size_t)a->layer[layer].in;
}

struct fr_attend fr_attention_head(const struct fr_attention *a, int l)
{
    int dim = a->cfg.width / a->cfg.heads;

    return (struct fr_attend){.fields = a->fields,
                              .dim = dim,
                              .ld = (size_t)a->layer[l].cols,
                              .ldo = (size_t)a->cfg.width,
                              .scale = a->cfg.scale ? 1.0f / sqrtf((float)dim) : 1.0f};
}

size_t fr_attention_scratch(const struct fr_attention *a)
{
    struct fr_attend h = fr_attention_head(a, 0);

    return fr_attend_scratch(&h);
}

enum fr_err fr_attention_alloc(
    const struct fr_attention *a, int l, int n, struct fr_arena *ar, struct fr_attention_acts *out)
{
    size_t f = (size_t)a->fields, rows = (size_t)n * f;

    out->qkv = fr_arena_array(ar, rows * (size_t)a->layer[l].cols + 1, sizeof(float));
    out->p = fr_arena_array(ar, rows * f * (size_t)a->cfg.heads + 1, sizeof(float));
    out->y = fr_arena_array(ar, rows * (size_t)a->cfg.width + 1, sizeof(float));
    out->hat = out->inv_std = NULL;
    if (a->cfg.layer_norm) {
        out->hat = fr_arena_array(ar, rows * (size_t)a->cfg.width + 1, sizeof(float));
        out->inv_std = fr_arena_array(ar, rows + 1, sizeof(float));
        if (out->hat == NULL || out->inv_std == NULL)
            return FR_ENOMEM;
    }
    return out->qkv == NULL || out->p == NULL || out->y == NULL ? FR_ENOMEM : FR_OK;
}

void fr_attention_project(const struct fr_attention *a, int l, const float *x, int rows, float *out)
{
    const struct fr_attention_layer *y = &a->layer[l];

    fr_gemm(false, true, rows, y->cols, y->in, 1, x, y->in, y->w, y->in, 0, out, y->cols);
}

static void
add_residual(const struct fr_attention *a, int l, size_t rows, const struct fr_attention_acts *s)
{
    const struct fr_attention_layer *y = &a->layer[l];
    size_t width = (size_t)a->cfg.width, cols = (size_t)y->cols;
    bool own = cols > 3 * width; /* a projected one */

    if (!own && !fr_attention_adds_x(a, l))
        return;
    const float *r = own ? s->qkv + 3 * width : s->x;
    size_t ld = own ? cols : width;
    for (size_t i = 0; i < rows; i++)
        fr_axpy(1.0f, r + i * ld, s->y + i * width, width);
}

/* y = gain (r - mean) / std + shift, r in y. */
static void layer_norm(const struct fr_attention_layer *y,
                       size_t rows,
                       size_t width,
                       const struct fr_attention_acts *s)
{
    for (size_t i = 0; i < rows; i++) {
        float *r = s->y + i * width, *hat = s->hat + i * width;
        double mean = 0, var = 0;

        for (size_t k = 0; k < width; k++)
            mean += (double)r[k];
        mean /= (double)width;
        for (size_t k = 0; k < width; k++)
            var += ((double)r[k] - mean) * ((double)r[k] - mean);
        float inv = (float)(1 / sqrt(var / (double)width + (double)FR_ATTENTION_NORM_EPS)),
              m = (float)mean;
        s->inv_std[i] = inv;
        for (size_t k = 0; k < width; k++) {
            hat[k] = (r[k] - m) * inv;
            r[k] = hat[k] * y->gain[k] + y->shift[k];
        }
    }
}

void fr_attention_mix(
    const struct fr_attention *a, int l, int n, const struct fr_attention_acts *s, float *scratch)
{
    struct fr_attend h = fr_attention_head(a, l);
    size_t f = (size_t)a->fields, width = (size_t)a->cfg.width, cols = (size_t)a->layer[l].cols;
    size_t rows = (size_t)n * f, head = (size_t)h.dim;

    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t k = 0; k < (size_t)a->cfg.heads; k++) {
            const float *q = s->qkv + i * f * cols + k * head;

            fr_attend_forward(&h,
                              q,
                              q + width,
                              q + 2 * width,
                              s->p + (i * (size_t)a->cfg.heads + k) * f * f,
                              s->y + i * f * width + k * head,
                              scratch);
        }
    add_residual(a, l, rows, s);
    if (a->cfg.layer_norm)
        layer_norm(&a->layer[l], rows, width, s);
    fr_nn_relu(s->y, rows * width);
}
