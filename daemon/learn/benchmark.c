/*
 * daemon/learn/benchmark.c - one row a benchmark.
 */
#include "daemon/learn/benchmark.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "daemon/learn/benchmark_loo.h"
#include "daemon/learn/benchmark_retrieval.h"
#include "daemon/learn/benchmark_rows.h"

#define KIND(k) (1u << (k))

static const struct fr_benchmark benchmarks[] = {
    {"frappe", "train.csv, test.csv, usually valid.csv (`label,column,...` rows)",
     "auc",
     KIND(FR_MODEL_LR) | KIND(FR_MODEL_FM) | KIND(FR_MODEL_WIDE_DEEP) | KIND(FR_MODEL_DEEPFM) |
         KIND(FR_MODEL_AUTOINT) | KIND(FR_MODEL_AUTOINT_PLUS),
     fr_benchmark_rows_train, fr_benchmark_rows_evaluate},
    {"ncf", "one X.test.negative and its X.train.pairs or X.train.rating, as ml-1m.* and pinterest-20.*", "ndcg@10",
     KIND(FR_MODEL_NEUMF) | KIND(FR_MODEL_GMF) | KIND(FR_MODEL_MLP) | KIND(FR_MODEL_MF), fr_benchmark_loo_train,
     fr_benchmark_loo_evaluate},
    {"ml1m-retrieval", "train.txt and test.txt (`user item item ...` lines)", "recall@20", KIND(FR_MODEL_TWO_TOWER),
     fr_benchmark_retrieval_train, fr_benchmark_retrieval_evaluate},
};

const struct fr_benchmark *fr_benchmark_at(int i)
{
    return i >= 0 && (size_t)i < sizeof(benchmarks) / sizeof(benchmarks[0]) ? &benchmarks[i] : NULL;
}

const struct fr_benchmark *fr_benchmark_find(struct fr_str name)
{
    const struct fr_benchmark *b;

    for (int i = 0; (b = fr_benchmark_at(i)) != NULL; i++)
        if (fr_str_eqz(name, b->name))
            return b;
    return NULL;
}

struct fr_benchmark_average fr_benchmark_average(const struct fr_benchmark_settings *s, size_t rows)
{
    size_t batch = (size_t)s->batch, steps = (rows + batch - 1) / batch;
    size_t every = steps < 100 ? 1 : steps / 50;
    double back = s->average * (double)steps / (double)every; /* takes */

    return (struct fr_benchmark_average){every, back <= 0 ? 0 : back < 1 ? 1 : (float)(1 / back)};
}

void fr_benchmark_add(struct fr_benchmark_result *r, const char *name, double value)
{
    if (r->n_metrics < FR_BENCHMARK_METRICS)
        r->metric[r->n_metrics++] = (struct fr_benchmark_metric){name, value};
}

void fr_benchmark_note(struct fr_benchmark_result *r, const char *fmt, ...)
{
    va_list ap;

    if (r->n_notes == FR_BENCHMARK_NOTES)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(r->note[r->n_notes++], FR_BENCHMARK_NOTE, fmt, ap);
    va_end(ap);
}
