/*
 * models/attention_lanes.c - the layout of weights, the baseline, the way through all layers.
 */
#define FR_LANES_BODY
#define FR_LANES_ROWS 2
#define FR_LANES_FIELDS 1
#define FR_LANES_TILE 1
#include "models/attention_lanes.h"

#include <math.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/attention_lanes_priv.h"
#include "models/tensor.h"

#define LANES FR_ATTENTION_LANES

struct fr_attention_lanes {
    struct fr_lanes_model m;
    const struct fr_lanes_kernel *kernel;
    float *block;
    int most; /* columns of the widest layer */
};

static const struct fr_lanes_kernel *choose(void)
{
    const struct fr_lanes_kernel *k = NULL;

    if (fr_tensor_level() >= FR_CPU_AVX512)
        k = fr_lanes_kernel_avx512();
    if (k == NULL && fr_tensor_level() >= FR_CPU_AVX2)
        k = fr_lanes_kernel_avx2();
    return k == NULL ? &lanes_kernel : k;
}

/* w (cols, in) as blocks (in, rows), zeros behind the last output. @return floats */
static size_t lay_out(const struct fr_attention_layer *y, int rows, float *to)
{
    int blocks = (y->cols + rows - 1) / rows;

    for (int b = 0; b < blocks && to != NULL; b++)
        for (int k = 0; k < y->in; k++)
            for (int r = 0; r < rows; r++)
                *to++ = b * rows + r < y->cols
                            ? y->w[(size_t)(b * rows + r) * (size_t)y->in + (size_t)k]
                            : 0;
    return (size_t)blocks * (size_t)rows * (size_t)y->in;
}

enum fr_err fr_attention_lanes_new(const struct fr_attention *a,
                                   const float *out,
                                   const float *value,
                                   struct fr_attention_lanes **out_l)
{
    struct fr_attention_lanes *l = fr_calloc(1, sizeof(*l));
    size_t flat = (size_t)a->fields * (size_t)a->cfg.width, n = 2 * flat, width = (size_t)a->cfg.width;

    if (l == NULL)
        return FR_ENOMEM;
    l->kernel = choose();
    l->m = (struct fr_lanes_model){
        .cfg = a->cfg, .fields = a->fields, .dim = a->dim, .scale = fr_attention_head(a, 0).scale};
    for (int i = 0; i < a->cfg.layers; i++) {
        l->most = a->layer[i].cols > l->most ? a->layer[i].cols : l->most;
        n += lay_out(&a->layer[i], l->kernel->rows, NULL) + 2 * width;
    }
    if ((l->block = fr_calloc_aligned(n, sizeof(float))) == NULL) {
        fr_free(l);
        return FR_ENOMEM;
    }
    float *at = l->block;
    for (int i = 0; i < a->cfg.layers; i++) {
        const struct fr_attention_layer *y = &a->layer[i];
        struct fr_lanes_layer *to = &l->m.layer[i];

        *to = (struct fr_lanes_layer){.in = y->in, .cols = y->cols, .w = at};
        at += lay_out(y, l->kernel->rows, at);
        if (a->cfg.layer_norm) {
            to->gain = memcpy(at, y->gain, width * sizeof(*at));
            to->shift = memcpy(at + width, y->shift, width * sizeof(*at));
        }
        at += 2 * width;
    }
    l->m.out = memcpy(at, out, flat * sizeof(*at));
    if (value != NULL)
        l->m.value = memcpy(at + flat, value, flat * sizeof(*at));
    *out_l = l;
    return FR_OK;
}

void fr_attention_lanes_free(struct fr_attention_lanes *l)
{
    if (l == NULL)
        return;
    fr_free(l->block);
    fr_free(l);
}

/* Parts of the scratch: the first layer's qkv, other layers', x, y and y, what is shared, scores. */
enum { FIRST, QKV, X, Y, OTHER_Y, SHARED_Y, SHARED_SUMS, SCORES, PARTS };

/* Where each part begins; at[PARTS] is the end. */
static void divide(const struct fr_attention_lanes *l, size_t at[PARTS + 1])
{
    size_t f = (size_t)l->m.fields * LANES, y = f * (size_t)l->m.cfg.width;
    const size_t size[PARTS] = {(size_t)l->m.fields * fr_lanes_stride(&l->m.layer[0]),
                                f * ((size_t)l->most | 1),
                                f * (size_t)l->m.dim,
                                y,
                                y,
                                y,
                                f * (size_t)l->m.cfg.heads * 2,
                                FR_LANES_MAX_SCORES};

    at[0] = 0;
    for (int i = 0; i < PARTS; i++)
        at[i + 1] = at[i] + size[i];
}

size_t fr_attention_lanes_scratch(const struct fr_attention_lanes *l)
{
    size_t at[PARTS + 1];

    divide(l, at);
    return at[PARTS];
}

static struct fr_lanes_shared shared(const size_t at[PARTS + 1], int n, float *scratch)
{
    return (struct fr_lanes_shared){n, scratch + at[SHARED_Y], scratch + at[SHARED_SUMS]};
}

/* x (rows, fields, D) into lanes: to (fields, D, 16), zeros where there is no row. */
static void into_lanes(const float *x, int rows, size_t n, float *to)
{
    for (size_t k = 0; k < n; k++)
        for (int c = 0; c < LANES; c++)
            to[k * LANES + (size_t)c] = c < rows ? x[(size_t)c * n + k] : 0;
}

void fr_attention_lanes_user(const struct fr_attention_lanes *l,
                             const float *x,
                             int n,
                             float *scratch)
{
    size_t at[PARTS + 1];

    divide(l, at);
    for (size_t k = 0; k < (size_t)n * (size_t)l->m.dim; k++)
        for (size_t c = 0; c < LANES; c++)
            scratch[at[X] + k * LANES + c] = x[k];
    l->kernel->linear(&l->m.layer[0], scratch + at[X], n, scratch + at[FIRST]);
    const struct fr_lanes_shared sh = shared(at, n, scratch);
    l->kernel->share(&l->m, scratch + at[FIRST], scratch + at[SCORES], &sh);
}

/* z[c] += w . y of lane c, y (n, 16) */
static void add_output(const float *w, const float *y, size_t n, int rows, float *z)
{
    float sum[LANES] = {0};

    for (size_t k = 0; k < n; k++, y += LANES)
        for (size_t c = 0; c < LANES; c++)
            sum[c] += w[k] * y[c];
    for (int c = 0; c < rows; c++)
        z[c] += sum[c];
}

void fr_attention_lanes_add(const struct fr_attention_lanes *l,
                            const float *x,
                            int n,
                            int rows,
                            float *scratch,
                            float *z,
                            float *zv)
{
    const struct fr_lanes_model *m = &l->m;
    size_t in = (size_t)m->dim * LANES, cols = fr_lanes_stride(&m->layer[0]), at[PARTS + 1];
    float *y, *other;

    divide(l, at);
    y = scratch + at[Y];
    other = scratch + at[OTHER_Y];
    into_lanes(x, rows, (size_t)(m->fields - n) * (size_t)m->dim, scratch + at[X] + (size_t)n * in);
    l->kernel->linear(&m->layer[0],
                      scratch + at[X] + (size_t)n * in,
                      m->fields - n,
                      scratch + at[FIRST] + (size_t)n * cols);
    const struct fr_lanes_shared sh = shared(at, n, scratch);
    l->kernel->mix(m, 0, scratch + at[FIRST], scratch + at[X], &sh, scratch + at[SCORES], y);
    for (int i = 1; i < m->cfg.layers; i++) {
        float *from = y;

        l->kernel->linear(&m->layer[i], from, m->fields, scratch + at[QKV]);
        l->kernel->mix(m, i, scratch + at[QKV], from, &sh, scratch + at[SCORES], other);
        y = other;
        other = from;
    }
    size_t flat = (size_t)m->fields * (size_t)m->cfg.width;
    add_output(m->out, y, flat, rows, z);
    if (zv != NULL && m->value != NULL)
        add_output(m->value, y, flat, rows, zv);
}
