/*
 * models/nn.c - forward ops and the perceptron.
 */
#include "models/nn.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/gemm.h"

void fr_nn_linear(const float *x,
                  size_t ldx,
                  const float *w,
                  const float *bias,
                  int b,
                  int in,
                  int out,
                  float *y,
                  size_t ldy)
{
    if (bias != NULL)
        for (int i = 0; i < b; i++)
            memcpy(y + (size_t)i * ldy, bias, (size_t)out * sizeof(*y));
    fr_gemm(
        false, true, b, out, in, 1.0f, x, (int)ldx, w, in, bias != NULL ? 1.0f : 0.0f, y, (int)ldy);
}

void fr_nn_relu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] < 0.0f ? 0.0f : x[i];
}

float fr_nn_sigmoid(float z)
{
    if (z >= 0.0f)
        return (float)(1.0 / (1.0 + exp(-(double)z)));
    double e = exp((double)z);
    return (float)(e / (1.0 + e));
}

double fr_nn_softplus(double z)
{
    return z > 0 ? z + log1p(exp(-z)) : log1p(exp(z));
}

float fr_nn_l2norm(const float *x, size_t n, float *y)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += (double)x[i] * (double)x[i];
    double norm = sqrt(s);
    double inv = 1.0 / (norm > 1e-12 ? norm : 1e-12);
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((double)x[i] * inv);
    return (float)norm;
}

enum fr_err fr_mlp_forward(
    const struct fr_mlp *mlp, int from, const float *x, int b, struct fr_arena *scratch, float *out)
{
    struct fr_arena_mark mark = fr_arena_mark(scratch);
    enum fr_err e = FR_OK;

    if (from >= mlp->n_layers && x != out)
        memcpy(out, x, (size_t)b * (size_t)mlp->width[mlp->n_layers] * sizeof(*out));
    for (int l = from; l < mlp->n_layers; l++) {
        bool last = l + 1 == mlp->n_layers;
        int in = mlp->width[l], o = mlp->width[l + 1];
        float *y = last ? out : fr_arena_array(scratch, (size_t)b * (size_t)o, sizeof(float));
        if (y == NULL) {
            e = FR_ENOMEM;
            break;
        }
        fr_nn_linear(x, (size_t)in, mlp->w[l], mlp->bias[l], b, in, o, y, (size_t)o);
        if (!last || mlp->relu_last)
            fr_nn_relu(y, (size_t)b * (size_t)o);
        x = y;
    }
    fr_arena_release(scratch, mark);
    return e;
}

enum fr_err fr_mlp_bind(struct fr_mlp *mlp,
                        const char *prefix,
                        const int *width,
                        int n_layers,
                        bool relu_last,
                        const struct fr_tensor *t,
                        int n,
                        struct fr_fault *fault)
{
    struct fr_mlp out = {.n_layers = n_layers, .relu_last = relu_last};
    char name[FR_TENSOR_NAME];

    if (n_layers < 0 || n_layers > FR_MLP_MAX_LAYERS)
        return fr_fault(fault, FR_EINVAL, "%s: %d layers", prefix, n_layers);
    memcpy(out.width, width, ((size_t)n_layers + 1) * sizeof(*width));
    for (int l = 0; l < n_layers; l++) {
        (void)snprintf(name, sizeof(name), "%s.%d.weight", prefix, l);
        enum fr_err e = fr_tensor_require(
            t, n, name, (uint64_t)width[l + 1], (uint64_t)width[l], &out.w[l], fault);
        if (e != FR_OK)
            return e;
        (void)snprintf(name, sizeof(name), "%s.%d.bias", prefix, l);
        e = fr_tensor_require(t, n, name, (uint64_t)width[l + 1], 0, &out.bias[l], fault);
        if (e != FR_OK)
            return e;
    }
    *mlp = out;
    return FR_OK;
}
