/*
 * models/tensor.c - dtype tables, baseline kernels and the run-time dispatch.
 *
 * The baseline kernels keep several partial sums so that they vectorise under strict IEEE rules.
 */
#include "models/tensor.h"

#include <stdatomic.h>
#include <string.h>

#include "models/tensor_priv.h"

static const struct {
    const char *name;
    size_t size;
} dtypes[FR_DTYPE_COUNT] = {
    [FR_DTYPE_F32] = {"F32", 4},
    [FR_DTYPE_I32] = {"I32", 4},
    [FR_DTYPE_I64] = {"I64", 8},
    [FR_DTYPE_U64] = {"U64", 8},
};

const char *fr_dtype_name(enum fr_dtype t)
{
    return (unsigned)t < FR_DTYPE_COUNT ? dtypes[t].name : "?";
}

size_t fr_dtype_size(enum fr_dtype t)
{
    return (unsigned)t < FR_DTYPE_COUNT ? dtypes[t].size : 0;
}

size_t fr_tensor_count(const struct fr_tensor *t)
{
    size_t n = 1;
    for (int i = 0; i < t->ndim; i++)
        n *= (size_t)t->dim[i];
    return n;
}

const struct fr_tensor *fr_tensor_find(const struct fr_tensor *t, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(t[i].name, name) == 0)
            return &t[i];
    return NULL;
}

enum fr_err fr_tensor_f32(
    struct fr_tensor *out, const char *name, uint64_t rows, uint64_t cols, const float *data)
{
    struct fr_tensor t = {.dtype = FR_DTYPE_F32, .data = data};
    size_t len = strlen(name);

    if (len == 0 || len >= sizeof(t.name))
        return FR_EINVAL;
    memcpy(t.name, name, len + 1);
    t.ndim = cols == 0 ? 1 : 2;
    t.dim[0] = rows;
    t.dim[1] = cols;
    *out = t;
    return FR_OK;
}

enum fr_err fr_tensor_require(const struct fr_tensor *t,
                              int n,
                              const char *name,
                              uint64_t rows,
                              uint64_t cols,
                              const float **out,
                              struct fr_fault *fault)
{
    const struct fr_tensor *f = fr_tensor_find(t, n, name);
    if (f == NULL)
        return fr_fault(fault, FR_ENOTFOUND, "tensor %s is missing", name);
    if (f->dtype != FR_DTYPE_F32)
        return fr_fault(
            fault, FR_EMISMATCH, "tensor %s is %s, not F32", name, fr_dtype_name(f->dtype));
    bool shape =
        f->dim[0] == rows && (cols == 0 ? f->ndim == 1 : f->ndim == 2 && f->dim[1] == cols);
    if (!shape)
        return fr_fault(fault,
                        FR_EMISMATCH,
                        "tensor %s must have shape (%llu, %llu), has %d dimensions, the first %llu",
                        name,
                        (unsigned long long)rows,
                        (unsigned long long)cols,
                        f->ndim,
                        (unsigned long long)f->dim[0]);
    if (!fr_all_finite(f->data, fr_tensor_count(f)))
        return fr_fault(fault, FR_ENONFINITE, "tensor %s has a NaN or infinite value", name);
    *out = f->data;
    return FR_OK;
}

bool fr_is_finite(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof(u));
    return (u & 0x7f800000u) != 0x7f800000u;
}

bool fr_all_finite(const float *x, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &x[i], sizeof(u));
        bad |= (uint32_t)((u & 0x7f800000u) == 0x7f800000u);
    }
    return bad == 0;
}

/* ---- baseline kernels ---- */

static float dot_base(const float *a, const float *b, size_t n)
{
    float s[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++)
            s[j] += a[i + j] * b[i + j];
    float t = 0;
    for (; i < n; i++)
        t += a[i] * b[i];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])) + t;
}

static void axpy_base(float alpha, const float *restrict x, float *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += alpha * x[i];
}

static float l2sq_base(const float *a, const float *b, size_t n)
{
    float s[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (size_t j = 0; j < 8; j++) {
            float d = a[i + j] - b[i + j];
            s[j] += d * d;
        }
    }
    float t = 0;
    for (; i < n; i++) {
        float d = a[i] - b[i];
        t += d * d;
    }
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])) + t;
}

static void mix_pair_base(float a, float c, float *restrict x, float *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float u = x[i], v = y[i];

        x[i] = a * u + c * v;
        y[i] = a * v + c * u;
    }
}

static void gather_sum_base(const float *restrict table,
                            size_t dim,
                            const struct fr_slot *slots,
                            size_t n,
                            float *restrict out)
{
    memset(out, 0, dim * sizeof(*out));
    for (size_t s = 0; s < n; s++)
        if (slots[s].x != 0.0f)
            axpy_base(slots[s].x, table + (size_t)slots[s].row * dim, out, dim);
}

static const struct fr_tensor_kernels kernels_base = {
    .dot = dot_base,
    .axpy = axpy_base,
    .l2sq = l2sq_base,
    .mix_pair = mix_pair_base,
    .gather_sum = gather_sum_base,
};

/* ---- dispatch ---- */

static _Atomic(const struct fr_tensor_kernels *) active;
static _Atomic int active_level;

static const struct fr_tensor_kernels *kernels_of(enum fr_cpu_level l)
{
    switch (l) {
    case FR_CPU_AVX512:
        return fr_tensor_kernels_avx512();
    case FR_CPU_AVX2:
        return fr_tensor_kernels_avx2();
    case FR_CPU_BASELINE:
        return &kernels_base;
    }
    return NULL;
}

enum fr_err fr_tensor_set_level(enum fr_cpu_level l)
{
    const struct fr_tensor_kernels *k = l <= fr_cpu_detected() ? kernels_of(l) : NULL;
    if (k == NULL)
        return FR_EUNSUPPORTED;
    atomic_store(&active_level, (int)l);
    atomic_store(&active, k);
    return FR_OK;
}

/* Idempotent, so two threads that race here store the same. */
static const struct fr_tensor_kernels *choose(void)
{
    int l = (int)fr_cpu_level();
    const struct fr_tensor_kernels *k = NULL;
    while (l > FR_CPU_BASELINE && (k = kernels_of((enum fr_cpu_level)l)) == NULL)
        l--;
    if (k == NULL)
        k = &kernels_base;
    atomic_store(&active_level, l);
    atomic_store(&active, k);
    return k;
}

static inline const struct fr_tensor_kernels *kernels(void)
{
    const struct fr_tensor_kernels *k = atomic_load_explicit(&active, memory_order_acquire);
    return k != NULL ? k : choose();
}

enum fr_cpu_level fr_tensor_level(void)
{
    (void)kernels();
    return (enum fr_cpu_level)atomic_load(&active_level);
}

float fr_dot(const float *a, const float *b, size_t n)
{
    return kernels()->dot(a, b, n);
}

void fr_axpy(float alpha, const float *x, float *y, size_t n)
{
    kernels()->axpy(alpha, x, y, n);
}

float fr_l2sq(const float *a, const float *b, size_t n)
{
    return kernels()->l2sq(a, b, n);
}

void fr_mix_pair(float a, float c, float *x, float *y, size_t n)
{
    kernels()->mix_pair(a, c, x, y, n);
}

void fr_gather_sum(
    const float *table, size_t dim, const struct fr_slot *slots, size_t n, float *out)
{
    kernels()->gather_sum(table, dim, slots, n, out);
}

float fr_gather_dot(const float *w, const struct fr_slot *slots, size_t n)
{
    float s = 0;
    for (size_t i = 0; i < n; i++)
        if (slots[i].x != 0.0f)
            s += slots[i].x * w[slots[i].row];
    return s;
}
