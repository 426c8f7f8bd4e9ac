/*
 * daemon/learn/benchmark_loo.h - the leave-one-out benchmark (ncf): one test item a user among 99
 * negatives.
 *
 *   pairs --one item a user held out--> fit (by kind) --NDCG@10 of those--> best epoch
 *   pairs --all of them--> fit, as many epochs --> bundle; test.negative
 *
 * DIR holds ml-1m.train.pairs (user<TAB>item) and ml-1m.test.negative ((user,item)<TAB>99
 * negatives). Validation: one random item of each user of two or more, among 99 items the user does
 * not have. The number of epochs is chosen on it, then all pairs are trained on for as many
 * (Goodfellow et al. 2016, algorithm 7.2). Weights that then rank the held-out items, now trained
 * on, lower than those chosen are a training that went wrong: the chosen ones stay. (The papers
 * chose the epoch on the test file.) Measures: HR@10, NDCG@10 by He et al.'s evaluate.py
 * (models/metrics.h, fr_metric_rank_ncf). Kinds: benchmark_ncf.h, benchmark_mf.h. Layer:
 * daemon/base/, models/, daemon/learn/.
 */
#ifndef FR_LEARN_BENCHMARK_LOO_H
#define FR_LEARN_BENCHMARK_LOO_H

#include "daemon/learn/benchmark.h"
#include "daemon/learn/benchmark_pairs.h"

/** The data of a run. */
struct fr_benchmark_loo {
    struct fr_benchmark_pairs fit, held;   /* train without and only the held-out items */
    struct fr_benchmark_lists valid, test; /* the item in question last */
    struct fr_field_set *fs;
    struct fr_cell *user, *item; /* by id */
    uint32_t users, items;
    int chosen[FR_MODEL_KIND_COUNT]; /* the best epoch by kind, filled while choosing */
    bool refit;                      /* fit has all pairs: `chosen` epochs, unmeasured */
};

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

/** Before the epochs of a kind (a part of a model has its own): forgets those of an earlier part.
 */
void fr_benchmark_loo_begin(const struct fr_benchmark_loo *l, struct fr_benchmark_result *out);
/**
 * After epoch `number` (from 1) of that kind: measure on the held-out items and keep the model if
 * it is the best so far; when refitting, keep the newest. `m` is taken.
 * @param out_stop  patience is used up; when refitting: as many as were chosen
 */
FR_MUST_CHECK enum fr_err fr_benchmark_loo_epoch(struct fr_benchmark_loo *l,
                                                 const struct fr_benchmark_run *run,
                                                 enum fr_model_kind kind,
                                                 int number,
                                                 struct fr_benchmark_result *out,
                                                 double loss,
                                                 double lr,
                                                 struct fr_model *m,
                                                 struct fr_model **best,
                                                 bool *out_stop);

/** As struct fr_benchmark. Measures: hr@10, ndcg@10, mrr@10. */
FR_MUST_CHECK enum fr_err fr_benchmark_loo_train(const struct fr_benchmark_run *run,
                                                 struct fr_benchmark_result *out,
                                                 struct fr_fault *fault);
FR_MUST_CHECK enum fr_err fr_benchmark_loo_evaluate(const char *dir,
                                                    const char *bundle,
                                                    struct fr_benchmark_result *out,
                                                    struct fr_fault *fault);

#endif
