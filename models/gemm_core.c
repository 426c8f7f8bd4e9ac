/*
 * models/gemm_core.c - names of OpenBLAS' kernel families, and the one restart.
 */
#include "models/gemm_core.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/cpu.h"
#include "models/gemm.h"

#define MARK "FRESHET_OPENBLAS_RESTARTED"

static const struct {
    const char *name;
    int rank;
} families[] = {
    {"Prescott", 0},    {"Core2", 0},          {"Penryn", 0},     {"Dunnington", 0},
    {"Atom", 0},        {"Nehalem", 0},        {"Athlon", 0},     {"Opteron", 0},
    {"Barcelona", 0},   {"Bobcat", 0},         {"Nano", 0},       {"Katmai", 0},
    {"Coppermine", 0},  {"Northwood", 0},      {"Banias", 0},     {"Opteron_SSE3", 0},
    {"Sandybridge", 1}, {"Bulldozer", 1},      {"Piledriver", 1}, {"Steamroller", 1},
    {"Haswell", 2},     {"Excavator", 2},      {"Zen", 2},        {"SkylakeX", 3},
    {"Cooperlake", 3},  {"SapphireRapids", 3},
};

int fr_gemm_core_rank(const char *core)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        if (strcmp(core, families[i].name) == 0)
            return families[i].rank;
    return -1;
}

const char *fr_gemm_core_better(const char *core, const char *want)
{
    if (want == NULL || fr_gemm_core_rank(core) < 0)
        return NULL; /* another architecture, or a family newer than this table */
    return fr_gemm_core_rank(core) < fr_gemm_core_rank(want) ? want : NULL;
}

enum fr_gemm_core_state fr_gemm_core_ensure(char *const argv[])
{
    const char *better = fr_gemm_core_better(fr_gemm_core(), fr_cpu_openblas_core());
    const char *keep = getenv("FRESHET_OPENBLAS");
    const char *mark = getenv(MARK);

    if (better == NULL)
        return mark != NULL ? FR_GEMM_CORE_RESTARTED : FR_GEMM_CORE_RIGHT;
    if (keep != NULL && strcmp(keep, "keep") == 0)
        return FR_GEMM_CORE_KEPT;
    if (mark != NULL || setenv(MARK, "1", 1) != 0 || setenv("OPENBLAS_CORETYPE", better, 1) != 0)
        return FR_GEMM_CORE_LOWER;
    (void)execv("/proc/self/exe", argv);
    return FR_GEMM_CORE_LOWER; /* no /proc: slower, but it runs */
}

const char *fr_gemm_core_state_name(enum fr_gemm_core_state s)
{
    static const char *const names[] = {"right", "restarted", "kept", "lower"};
    return (unsigned)s < sizeof(names) / sizeof(names[0]) ? names[s] : "?";
}
