/*
 * models/packed.c - packing, the choice of a kernel, and the way without one.
 */
#include "models/packed.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "models/fetch.h"
#include "models/gemm.h"
#include "models/nn.h"
#include "models/packed_priv.h"
#include "models/tensor.h"

/* Rows that have to share a block of weights, and terms of a row, for leaving zeros out to pay. */
#define SKIP_ROWS 16
#define SKIP_IN 32

struct fr_packed {
    const float *w; /* borrowed */
    int ldw, out, in;
    const struct fr_packed_kernel *kernel; /* NULL: fr_gemm() */
    float *b;                              /* panels, one after the other */
    float *bias;                           /* (out, padded with zeros) */
};

static const struct fr_packed_kernel *choose(void)
{
    switch (fr_tensor_level()) {
    case FR_CPU_AVX512:
        return fr_packed_kernel_avx512();
    case FR_CPU_AVX2:
        return fr_packed_kernel_avx2();
    default:
        return NULL;
    }
}

/* Width of the panel that begins at output `at`. */
static int width_at(const struct fr_packed *p, int at)
{
    return p->out - at <= p->kernel->narrow ? p->kernel->narrow : p->kernel->width;
}

static void pack(struct fr_packed *p)
{
    float *b = p->b;

    for (int at = 0, width = 0; at < p->out; at += width) {
        width = width_at(p, at);
        for (int k = 0; k < p->in; k++, b += width)
            for (int j = 0; j < width && at + j < p->out; j++)
                b[j] = p->w[(size_t)(at + j) * (size_t)p->ldw + (size_t)k];
    }
}

enum fr_err
fr_packed_new(const float *w, int ldw, const float *bias, int out, int in, struct fr_packed **out_p)
{
    struct fr_packed *p;
    size_t padded;

    if (out < 1 || in < 0 || ldw < in)
        return FR_EINVAL;
    p = fr_calloc(1, sizeof(*p));
    if (p == NULL)
        return FR_ENOMEM;
    *p = (struct fr_packed){.w = w, .ldw = ldw, .out = out, .in = in, .kernel = choose()};
    padded = ((size_t)out + FR_PACKED_MAX_WIDTH - 1) / FR_PACKED_MAX_WIDTH * FR_PACKED_MAX_WIDTH;
    p->bias = fr_calloc_aligned(padded, sizeof(float));
    if (p->kernel != NULL)
        p->b = fr_calloc_aligned(padded * (size_t)(in > 0 ? in : 1), sizeof(float));
    if (p->bias == NULL || (p->kernel != NULL && p->b == NULL)) {
        fr_packed_free(p);
        return FR_ENOMEM;
    }
    if (bias != NULL)
        memcpy(p->bias, bias, (size_t)out * sizeof(*bias));
    if (p->kernel != NULL)
        pack(p);
    *out_p = p;
    return FR_OK;
}

void fr_packed_free(struct fr_packed *p)
{
    if (p == NULL)
        return;
    fr_free(p->b);
    fr_free(p->bias);
    fr_free(p);
}

/* Bias (and what is there), then the seam's product. */
static void by_gemm(const struct fr_packed *p,
                    const float *x,
                    size_t ldx,
                    int rows,
                    unsigned flags,
                    float *y,
                    size_t ldy)
{
    size_t out = (size_t)p->out;

    for (int r = 0; r < rows; r++) {
        float *row = y + (size_t)r * ldy;
        if ((flags & FR_PACKED_ADD) != 0)
            fr_axpy(1.0f, p->bias, row, out);
        else
            memcpy(row, p->bias, out * sizeof(*row));
    }
    if (p->in > 0)
        fr_gemm(false, true, rows, p->out, p->in, 1, x, (int)ldx, p->w, p->ldw, 1, y, (int)ldy);
    for (int r = 0; r < rows && (flags & FR_PACKED_RELU) != 0; r++)
        fr_nn_relu(y + (size_t)r * ldy, out);
}

/* Lines of the list that are this product's to ask for. */
static size_t lines_ahead(struct fr_fetch_list *ahead)
{
    if (ahead == NULL || ahead->products < 1)
        return 0;
    size_t products = (size_t)ahead->products--;
    return (fr_fetch_left(ahead) + products - 1) / products;
}

/* Whether the zeros of x are to be left out: there are enough, in a product large enough. */
static bool skips(const struct fr_packed *p, const float *x, size_t ldx, int rows)
{
    return rows >= SKIP_ROWS && p->in >= SKIP_IN && p->out >= FR_PACKED_SKIP_OUT &&
           p->kernel->share_not_zero(x, ldx, rows, p->in) < p->kernel->skip_below;
}

void fr_packed_linear(const struct fr_packed *p,
                      const float *x,
                      size_t ldx,
                      int rows,
                      unsigned flags,
                      float *y,
                      size_t ldy,
                      struct fr_fetch_list *ahead)
{
    const float *b = p->b;

    if (rows <= 0)
        return;
    if (p->kernel == NULL || fr_gemm_selected() == FR_GEMM_NAIVE) {
        by_gemm(p, x, ldx, rows, flags, y, ldy);
        return;
    }
    const size_t lines = lines_ahead(ahead);
    if (skips(p, x, ldx, rows)) {
        const struct fr_panels all = {b, p->bias, p->in, p->out, ahead, lines};
        p->kernel->skip(&all, x, ldx, rows, flags, y, ldy);
        return;
    }
    const size_t tiles = (size_t)((p->out + p->kernel->width - 1) / p->kernel->width) *
                         (size_t)((rows + p->kernel->rows - 1) / p->kernel->rows);
    for (int at = 0, width = 0; at < p->out; at += width) {
        width = width_at(p, at);
        int cols = p->out - at < width ? p->out - at : width;
        struct fr_panels panel = {b, p->bias + at, p->in, cols, ahead, (lines + tiles - 1) / tiles};
        p->kernel->run(&panel, width, x, ldx, rows, flags, y + at, ldy);
        b += (size_t)p->in * (size_t)width;
    }
}
