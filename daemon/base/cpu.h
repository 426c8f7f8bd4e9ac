/*
 * daemon/base/cpu.h - what this processor has, and the level the dispatch uses.
 *
 * FRESHET_CPU=baseline|avx2|avx512 forces a level at or below what the processor offers (above it:
 * a clear error at start). Tests run at every level the machine has.
 * Layer: lowest.
 */
#ifndef FR_BASE_CPU_H
#define FR_BASE_CPU_H

#include "daemon/base/err.h"

enum fr_cpu_level {
    FR_CPU_BASELINE, /* x86-64 without AVX, or any other architecture */
    FR_CPU_AVX2,     /* AVX2 + FMA + F16C, and the OS saves ymm */
    FR_CPU_AVX512    /* F, BW, DQ, VL, and the OS saves zmm */
};

/** What the processor and the OS offer; cached after the first call. @thread any */
enum fr_cpu_level fr_cpu_detected(void);

/** Level to use: FRESHET_CPU if set and possible, else the detected one. @thread any */
enum fr_cpu_level fr_cpu_level(void);

/** Check FRESHET_CPU at start. @errors FR_EINVAL with the reason in `fault`. */
FR_MUST_CHECK enum fr_err fr_cpu_check(struct fr_fault *fault);

/** Processors that are online, at least 1 and at most `most`. @thread any */
int fr_cpu_count(int most);

const char *fr_cpu_level_name(enum fr_cpu_level l);

/** OPENBLAS_CORETYPE that fits the detected processor ("SkylakeX", "Haswell", ...), NULL = leave it. */
const char *fr_cpu_openblas_core(void);

#endif
