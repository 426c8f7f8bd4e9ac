/*
 * daemon/learn/benchmark_from.c - see benchmark_from.h.
 */
#include "daemon/learn/benchmark_from.h"

#include <stdio.h>

enum fr_err fr_benchmark_from_load(const struct fr_benchmark_run *run,
                                   const struct fr_field_set *fs,
                                   struct fr_benchmark_from *out,
                                   struct fr_fault *fault)
{
    enum fr_err e;

    out->version = 1;
    if (run->from == NULL)
        return FR_OK;
    if ((e = fr_model_load(run->from, fs, &out->m, fault)) != FR_OK)
        return e;
    const struct fr_model_info *info = fr_model_info(out->m);
    int n = snprintf(out->parent, sizeof(out->parent), "%s@%llu", info->name, (unsigned long long)info->version);
    if (n < 0 || (size_t)n >= sizeof(out->parent))
        return fr_fault(fault, FR_ETOOLARGE, "%s: name@version is too long to be a parent", run->from);
    if (info->version >= INT64_MAX)
        return fr_fault(fault, FR_ERANGE, "%s: there is no version after its own", run->from);
    out->version = info->version + 1;
    return FR_OK;
}

void fr_benchmark_from_done(struct fr_benchmark_from *f)
{
    fr_model_free(f->m);
    f->m = NULL;
}
