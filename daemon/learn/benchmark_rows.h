/*
 * daemon/learn/benchmark_rows.h - benchmarks of labelled rows (frappe): train, validate, test.
 *
 *   train.csv --epochs--> trainer --validation AUC--> plateau, stop, best weights --> bundle, test.csv
 *
 * DIR holds train.csv, test.csv and usually valid.csv; without it a share of train is held out. The test
 * file decides nothing. Each column is an ID field of the CROSS group, so a batch is a few long lists.
 * Layer: daemon/base/, models/, daemon/learn/.
 */
#ifndef FR_LEARN_BENCHMARK_ROWS_H
#define FR_LEARN_BENCHMARK_ROWS_H

#include "daemon/learn/benchmark_data.h"
#include "daemon/learn/benchmark_preset.h"

#define FR_BENCHMARK_EPOCHS_KEPT 1024

/** Measures of one set of rows. gauc is NaN without a column `user` or a user of both labels. */
struct fr_benchmark_scores {
    double auc, gauc, logloss, ece, ratio;
};

/** How training goes: after some steps, and (with `auc` not NaN) after each epoch. */
typedef void (*fr_benchmark_tell_fn)(void *ctx, int epoch, uint64_t rows, uint64_t of, double loss, double auc);

struct fr_benchmark_run {
    const char *dir; /* the data */
    const char *out; /* the bundle; train only */
    enum fr_model_kind kind;
    struct fr_benchmark_settings set;
    uint64_t seed;
    int threads;
    int64_t created_ms;
    fr_benchmark_tell_fn tell; /* nullable */
    void *tell_ctx;
};

struct fr_benchmark_result {
    struct fr_benchmark_scores test;
    double seconds;         /* of training, validation left out */
    double rows_per_second; /* the same */
    int epochs, best_epoch; /* done; kept, from 1 */
    double loss[FR_BENCHMARK_EPOCHS_KEPT], valid_auc[FR_BENCHMARK_EPOCHS_KEPT], lr[FR_BENCHMARK_EPOCHS_KEPT];
};

/** Train, write the bundle, measure it on the test file. @errors as the readers, the trainer, the bundle */
FR_MUST_CHECK enum fr_err fr_benchmark_rows_train(const struct fr_benchmark_run *run,
                                                  struct fr_benchmark_result *out,
                                                  struct fr_fault *fault);
/** Measure a bundle on DIR/test.csv. @param out_kind of the bundle */
FR_MUST_CHECK enum fr_err fr_benchmark_rows_evaluate(const char *dir,
                                                     const char *bundle,
                                                     struct fr_benchmark_scores *out,
                                                     enum fr_model_kind *out_kind,
                                                     struct fr_fault *fault);

#endif
