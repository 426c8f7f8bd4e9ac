/*
 * models/gemm_core.h - is OpenBLAS using the kernels this processor deserves?
 *
 * Why:   OpenBLAS chooses when it is loaded, and an older one does not know newer processors:
 * 0.3.21 takes SSE3 kernels on some AVX-512 machines, a fifth of the speed. OPENBLAS_CORETYPE, read
 * at load time, corrects it, so the program has to start again once. Use:   first thing in main()
 * of programs and benchmarks: fr_gemm_core_ensure(argv). Layer: daemon/base/ and models/gemm.h.
 */
#ifndef FR_MODELS_GEMM_CORE_H
#define FR_MODELS_GEMM_CORE_H

enum fr_gemm_core_state {
    FR_GEMM_CORE_RIGHT,     /* the loaded kernels fit */
    FR_GEMM_CORE_RESTARTED, /* they fit after this program started itself again */
    FR_GEMM_CORE_KEPT,      /* lower, kept: FRESHET_OPENBLAS=keep */
    FR_GEMM_CORE_LOWER      /* lower, and a restart did not help or was not possible */
};

/** 0 SSE, 1 AVX, 2 AVX2, 3 AVX-512; -1 for a name this table does not have. */
int fr_gemm_core_rank(const char *core);

/** OPENBLAS_CORETYPE that fits better than `core` on a processor that offers `want`; NULL = leave
 * it. */
const char *fr_gemm_core_better(const char *core, const char *want);

/**
 * Restart the program with the right OPENBLAS_CORETYPE if the loaded one is lower. Returns unless
 * it does.
 * @param argv  of main().
 * @thread main, before any other thread
 */
enum fr_gemm_core_state fr_gemm_core_ensure(char *const argv[]);

/** "right", "restarted", "kept", "lower". */
const char *fr_gemm_core_state_name(enum fr_gemm_core_state s);

#endif
