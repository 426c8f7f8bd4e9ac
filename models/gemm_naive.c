/*
 * models/gemm_naive.c - the twin of OpenBLAS: three loops, sums in double, so each row's result
 * does not depend on how many rows there are.
 */
#include <stddef.h>

#include "models/gemm.h"

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
                   int ldc)
{
    size_t ra = trans_a ? 1 : (size_t)lda, ca = trans_a ? (size_t)lda : 1;
    size_t rb = trans_b ? 1 : (size_t)ldb, cb = trans_b ? (size_t)ldb : 1;

    for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
            double s = 0;
            for (int p = 0; p < k; p++)
                s += (double)a[(size_t)i * ra + (size_t)p * ca] *
                     (double)b[(size_t)p * rb + (size_t)j * cb];
            float *out = &c[(size_t)i * (size_t)ldc + (size_t)j];
            double old = beta == 0.0f ? 0.0 : (double)beta * (double)*out;
            *out = (float)((double)alpha * s + old);
        }
    }
}
