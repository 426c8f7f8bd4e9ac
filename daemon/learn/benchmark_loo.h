/*
 * daemon/learn/benchmark_loo.h - the leave-one-out benchmark (ncf): one test item a user among 99
 * negatives.
 *
 *   pairs --one item a user held out--> fit (by kind) --NDCG@10 of those--> best epoch --> bundle;
 *   test.negative
 *
 * DIR holds one X.test.negative ((user,item)<TAB>99 negatives) and its X.train.pairs or X.train.rating
 * (user<TAB>item<TAB>...; benchmark_files.h). Validation: one random item of each user of two or more, among 99 items the user does
 * not have; it chooses the epoch and tells when the step size drops. The held-out items are not
 * trained on afterwards: on ml-1m (.6 % of the pairs) that changed nothing beyond what a seed does.
 * (The papers chose the epoch on the test file.) Measures: HR@10, NDCG@10 by He et al.'s evaluate.py
 * (models/metrics.h, fr_metric_rank_ncf). Kinds: benchmark_ncf.h, benchmark_mf.h. Layer:
 * daemon/base/, models/, daemon/learn/.
 */
#ifndef FR_LEARN_BENCHMARK_LOO_H
#define FR_LEARN_BENCHMARK_LOO_H

#include "daemon/learn/benchmark.h"
#include "daemon/learn/benchmark_files.h"
#include "daemon/learn/benchmark_from.h"
#include "daemon/learn/benchmark_pairs.h"
#include "daemon/learn/benchmark_saver.h"

/** The data of a run. */
struct fr_benchmark_loo {
    struct fr_benchmark_pairs fit, held;   /* train without and only the held-out items */
    struct fr_benchmark_files files;       /* in run->dir */
    struct fr_benchmark_lists valid, test; /* the item in question last */
    struct fr_field_set *fs;
    struct fr_benchmark_from from;
    struct fr_cell *user, *item; /* by id */
    uint32_t users, items;
    struct fr_benchmark_saver sv; /* at.bad is whether the part has ended, at.rng is of the epoch's begin */
};

/** Parts of a run: those of pre-training, and the model itself. */
enum fr_benchmark_loo_part { FR_LOO_GMF, FR_LOO_MLP, FR_LOO_WHOLE, FR_LOO_PARTS };

/** One epoch's examples: positives with `negatives` drawn items each that the user does not have in
 * fit. */
struct fr_benchmark_draw {
    uint32_t *user, *item;
    float *label;
    size_t n;
    uint64_t *pair;   /* while drawing: user << 32 | item << 1 | label */
    uint64_t *having; /* (items / 64 + 1) bits: the items of the user in hand */
};

/** Draw and shuffle. @param d zeroed storage, used again. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_benchmark_loo_draw(const struct fr_benchmark_pairs *fit,
                                                int negatives,
                                                struct fr_rng *rng,
                                                struct fr_benchmark_draw *d);
void fr_benchmark_draw_done(struct fr_benchmark_draw *d);

/**
 * After an epoch: measure on the held-out items, keep the model if it is the best so far, lower the
 * step size when lr_patience is used up. A part of a model begins with out->epochs = best_epoch = 0.
 * @param lr  in: of that epoch; out: of the next. `m` is taken.
 * @param out_stop  patience is used up
 */
FR_MUST_CHECK enum fr_err fr_benchmark_loo_epoch(const struct fr_benchmark_loo *l,
                                                 const struct fr_benchmark_run *run,
                                                 struct fr_benchmark_result *out,
                                                 double loss,
                                                 double *lr,
                                                 struct fr_model *m,
                                                 struct fr_model **best,
                                                 bool *out_stop);

/** As struct fr_benchmark. Measures: hr@10, ndcg@10, mrr@10. */
FR_MUST_CHECK enum fr_err fr_benchmark_loo_train(const struct fr_benchmark_run *run,
                                                 struct fr_benchmark_result *out,
                                                 struct fr_fault *fault);
FR_MUST_CHECK enum fr_err fr_benchmark_loo_evaluate(const char *dir,
                                                    const char *bundle,
                                                    struct fr_benchmark_detail *detail,
                                                    struct fr_benchmark_result *out,
                                                    struct fr_fault *fault);

#endif
