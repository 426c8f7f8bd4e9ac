/*
 * daemon/base/cpu.c - CPUID and XGETBV, once; FRESHET_CPU.
 */
#include "daemon/base/cpu.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const level_names[] = {"baseline", "avx2", "avx512"};
static enum fr_cpu_level detected;
static bool is_amd;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t xgetbv0(void)
{
    uint32_t lo, hi;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return ((uint64_t)hi << 32) | lo;
}

static void detect(void)
{
    unsigned a, b, c, d, b7, c7, d7;
    const unsigned avx_fma = bit_AVX | bit_FMA | bit_F16C | bit_OSXSAVE;
    const unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    uint64_t saved;

    detected = FR_CPU_BASELINE;
    if (!__get_cpuid(0, &a, &b, &c, &d))
        return;
    is_amd = b == signature_AMD_ebx && c == signature_AMD_ecx && d == signature_AMD_edx;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & avx_fma) != avx_fma)
        return;
    saved = xgetbv0();
    if ((saved & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b7, &c7, &d7) ||
        (b7 & bit_AVX2) == 0)
        return;
    detected = FR_CPU_AVX2;
    if ((b7 & avx512) == avx512 && (saved & 0xe6) == 0xe6)
        detected = FR_CPU_AVX512;
}
#else
static void detect(void)
{
    detected = FR_CPU_BASELINE;
}
#endif

enum fr_cpu_level fr_cpu_detected(void)
{
    (void)pthread_once(&once, detect);
    return detected;
}

/* -1: not set; -2: not a level. */
static int forced(void)
{
    const char *v = getenv("FRESHET_CPU");

    if (v == NULL || v[0] == '\0')
        return -1;
    for (int i = 0; i < 3; i++)
        if (strcmp(v, level_names[i]) == 0)
            return i;
    return -2;
}

enum fr_cpu_level fr_cpu_level(void)
{
    enum fr_cpu_level have = fr_cpu_detected();
    int want = forced();

    return want >= 0 && want < (int)have ? (enum fr_cpu_level)want : have;
}

enum fr_err fr_cpu_check(struct fr_fault *fault)
{
    int want = forced();

    if (want == -2)
        return fr_fault(fault, FR_EINVAL, "FRESHET_CPU: use baseline, avx2 or avx512");
    if (want > (int)fr_cpu_detected())
        return fr_fault(fault, FR_EINVAL, "FRESHET_CPU=%s: this processor offers only %s",
                        level_names[want], level_names[fr_cpu_detected()]);
    return FR_OK;
}

int fr_cpu_count(int most)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : n > most ? most : (int)n;
}

const char *fr_cpu_level_name(enum fr_cpu_level l)
{
    return (int)l >= 0 && l <= FR_CPU_AVX512 ? level_names[l] : "?";
}

const char *fr_cpu_openblas_core(void)
{
    switch (fr_cpu_detected()) {
    case FR_CPU_AVX512:
        return "SkylakeX";
    case FR_CPU_AVX2:
        return is_amd ? "Zen" : "Haswell";
    case FR_CPU_BASELINE:
        break;
    }
    return NULL;
}
