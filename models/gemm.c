/*
 * models/gemm.c - the chosen matrix product.
 */
#include "models/gemm.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic int chosen = -1; /* enum fr_gemm_kind, -1 = not yet */

void fr_gemm_select(enum fr_gemm_kind kind)
{
    atomic_store(&chosen, (int)kind);
}

enum fr_gemm_kind fr_gemm_selected(void)
{
    int k = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (k < 0) {
        const char *env = getenv("FRESHET_GEMM");
        k = env != NULL && strcmp(env, "naive") == 0 ? FR_GEMM_NAIVE : FR_GEMM_OPENBLAS;
        atomic_store(&chosen, k);
    }
    return (enum fr_gemm_kind)k;
}

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
             int ldc)
{
    if (fr_gemm_selected() == FR_GEMM_NAIVE)
        fr_gemm_naive(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    else
        fr_gemm_openblas(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
