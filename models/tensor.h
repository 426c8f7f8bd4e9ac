/*
 * models/tensor.h - named tensors and the vector kernels of models and the flat index.
 *
 * Why:   one table of kernels per processor level (baseline, AVX2, AVX-512), chosen at run time by
 *        daemon/base/cpu.h; every kernel has a naive twin in tests/unit/test_models_tensor.c.
 *        Levels differ in summation order, so in the last bits; one level is bit-stable.
 * Layer: may include daemon/base/ only. ann/ may include this header.
 */
#ifndef FR_MODELS_TENSOR_H
#define FR_MODELS_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/cpu.h"
#include "daemon/base/err.h"
#include "daemon/base/field.h"

#define FR_TENSOR_NAME 96
#define FR_TENSOR_MAX_DIMS 4

enum fr_dtype { FR_DTYPE_F32, FR_DTYPE_I32, FR_DTYPE_I64, FR_DTYPE_U64, FR_DTYPE_COUNT };

/** "F32", "I32", "I64", "U64". */
const char *fr_dtype_name(enum fr_dtype t);
/** Bytes of one element. */
size_t fr_dtype_size(enum fr_dtype t);

/** A named, dense, row-major tensor. Owner: `data` is borrowed from whoever made the tensor.
 *  Thread: immutable, any. */
struct fr_tensor {
    char name[FR_TENSOR_NAME];
    enum fr_dtype dtype;
    int ndim; /* 1..4 */
    uint64_t dim[FR_TENSOR_MAX_DIMS];
    const void *data; /* aligned for its type */
};

/** Whose weights a model works with. */
enum fr_weights {
    FR_WEIGHTS_COPY,  /* its own, 64-byte aligned */
    FR_WEIGHTS_BORROW /* those it was made from, which stay as they are while it lives */
};

/** Product of the dimensions (checked when the tensor was made). */
size_t fr_tensor_count(const struct fr_tensor *t);
/** By name, or NULL. */
const struct fr_tensor *fr_tensor_find(const struct fr_tensor *t, int n, const char *name);
/** Fill `out` as an F32 matrix (cols > 0) or vector (cols == 0) over `data`.
 *  @errors FR_EINVAL name too long */
FR_MUST_CHECK enum fr_err fr_tensor_f32(
    struct fr_tensor *out, const char *name, uint64_t rows, uint64_t cols, const float *data);

/** Data of tensor `name`, which must be F32, finite, of shape (rows, cols), or (rows) if cols is 0.
 *  @errors FR_ENOTFOUND FR_EMISMATCH FR_ENONFINITE; the fault names the tensor. */
FR_MUST_CHECK enum fr_err fr_tensor_require(const struct fr_tensor *t,
                                            int n,
                                            const char *name,
                                            uint64_t rows,
                                            uint64_t cols,
                                            const float **out,
                                            struct fr_fault *fault);

/** Sum of a[i] * b[i]. @thread any */
float fr_dot(const float *a, const float *b, size_t n);
/** y[i] += alpha * x[i]; x and y do not overlap. @thread any */
void fr_axpy(float alpha, const float *x, float *y, size_t n);
/** Sum of (a[i] - b[i])^2. @thread any */
float fr_l2sq(const float *a, const float *b, size_t n);
/** x, y <- a x + c y, a y + c x: one SGD step of a pair of factors; x and y do not overlap. @thread any */
void fr_mix_pair(float a, float c, float *x, float *y, size_t n);
/**
 * Pooled embedding: out = sum over slots of x * table[row].
 * @param table  (rows, dim); every slot's row is below `rows`, the caller has checked.
 * @param out    (dim), overwritten; zeros when n == 0. Slots with x == 0 are skipped.
 */
void fr_gather_sum(
    const float *table, size_t dim, const struct fr_slot *slots, size_t n, float *out);
/** As fr_gather_sum() for dim 1 (the linear weights). */
float fr_gather_dot(const float *w, const struct fr_slot *slots, size_t n);

/** True if no element is NaN or infinite; tests the bits, so no compiler flag can fool it. */
bool fr_all_finite(const float *x, size_t n);
bool fr_is_finite(float x);

/** Test hook: use the kernels of `l` (at most the detected level) from now on, process-wide.
 *  @errors FR_EUNSUPPORTED. @thread before other threads use the kernels */
FR_MUST_CHECK enum fr_err fr_tensor_set_level(enum fr_cpu_level l);
enum fr_cpu_level fr_tensor_level(void);

#endif
