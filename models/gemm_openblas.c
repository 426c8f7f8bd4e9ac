/*
 * models/gemm_openblas.c - the only file that sees cblas.
 */
#include "models/gemm.h"

#include <pthread.h>
#include <stddef.h>

#include <cblas.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void single_thread(void)
{
    openblas_set_num_threads(1);
}

/* C *= beta, for products with nothing to add. */
static void scale(int m, int n, float beta, float *c, int ldc)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float *out = &c[(size_t)i * (size_t)ldc + (size_t)j];
            *out = beta == 0.0f ? 0.0f : *out * beta;
        }
}

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
                      int ldc)
{
    if (m <= 0 || n <= 0)
        return;
    if (k <= 0) {
        scale(m, n, beta, c, ldc);
        return;
    }
    (void)pthread_once(&once, single_thread);
    cblas_sgemm(CblasRowMajor,
                trans_a ? CblasTrans : CblasNoTrans,
                trans_b ? CblasTrans : CblasNoTrans,
                m,
                n,
                k,
                alpha,
                a,
                lda,
                b,
                ldb,
                beta,
                c,
                ldc);
}

const char *fr_gemm_core(void)
{
    return openblas_get_corename();
}

const char *fr_gemm_config(void)
{
    return openblas_get_config();
}
