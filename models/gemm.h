/*
 * models/gemm.h - the matrix product seam: OpenBLAS, or a naive twin.
 *
 * Why:   cblas appears in gemm_openblas.c only. Products run on the calling thread alone
 *        (openblas_set_num_threads(1) at first use); parallelism is across callers.
 *        FRESHET_GEMM=naive selects the twin (slow, batch-invariant), for tests and sanitizers.
 * Note:  OpenBLAS results change in the last bits with the number of rows (and with a row's place:
 * Haswell kernels), not with the contents of other rows. Callers that need bit-stable scores keep
 * the shape fixed: one row, or FR_GEMM_PAD_ROWS (models/model.h, FR_SCORE_DETERMINISTIC). Layer:
 * may include daemon/base/ only. ann/ may include this header.
 */
#ifndef FR_MODELS_GEMM_H
#define FR_MODELS_GEMM_H

#include <stdbool.h>

#include "daemon/base/err.h"

#define FR_GEMM_PAD_ROWS 256

enum fr_gemm_kind { FR_GEMM_OPENBLAS, FR_GEMM_NAIVE };

/**
 * C (m, n) = alpha * op(A) (m, k) * op(B) (k, n) + beta * C; row-major; op = transpose if asked.
 * lda, ldb, ldc: row strides of A, B, C as stored. m, n or k 0: only C is scaled. beta == 0
 * overwrites C without reading it. A and B do not overlap C.
 * @thread any; takes no lock of ours, does not allocate (OpenBLAS keeps its own buffers)
 */
void fr_gemm(bool trans_a,
             bool trans_b,
             int m,
             int n,
             int k,
             float alpha,
             const float *a,
             int lda,
             const float *b,
             int ldb,
             float beta,
             float *c,
             int ldc);

/** The two implementations, same contract. */
void fr_gemm_openblas(bool trans_a,
                      bool trans_b,
                      int m,
                      int n,
                      int k,
                      float alpha,
                      const float *a,
                      int lda,
                      const float *b,
                      int ldb,
                      float beta,
                      float *c,
                      int ldc);
void fr_gemm_naive(bool trans_a,
                   bool trans_b,
                   int m,
                   int n,
                   int k,
                   float alpha,
                   const float *a,
                   int lda,
                   const float *b,
                   int ldb,
                   float beta,
                   float *c,
                   int ldc);

/** Choose the implementation, process-wide; the default is FRESHET_GEMM, else OpenBLAS. */
void fr_gemm_select(enum fr_gemm_kind kind);
enum fr_gemm_kind fr_gemm_selected(void);

/** Kernel family OpenBLAS chose when it was loaded ("SkylakeX", "Haswell", "Prescott", ...). */
const char *fr_gemm_core(void);
/** OpenBLAS' version and build text. */
const char *fr_gemm_config(void);

#endif
