/*
 * models/attention_lanes_avx2.c - models/attention_lanes_priv.h for AVX2 and FMA (16 registers of 8
 * floats).
 */
#if defined(__AVX2__) && defined(__FMA__)
#define FR_LANES_BODY
#define FR_LANES_ROWS 6
#define FR_LANES_FIELDS 1
#define FR_LANES_TILE 2
#endif
#include "models/attention_lanes_priv.h"

const struct fr_lanes_kernel *fr_lanes_kernel_avx2(void)
{
#ifdef FR_LANES_BODY
    return &lanes_kernel;
#else
    return NULL;
#endif
}
