/*
 * models/attention_lanes_avx512.c - models/attention_lanes_priv.h for AVX-512 (32 registers of 16
 * floats).
 */
#if defined(__AVX512F__) && defined(__AVX512VL__)
#define FR_LANES_BODY
#define FR_LANES_ROWS 8
#define FR_LANES_FIELDS 2
#define FR_LANES_TILE 4
#endif
#include "models/attention_lanes_priv.h"

const struct fr_lanes_kernel *fr_lanes_kernel_avx512(void)
{
#ifdef FR_LANES_BODY
    return &lanes_kernel;
#else
    return NULL;
#endif
}
