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

#include "daemon/learn/benchmark.h"

/** As struct fr_benchmark. Measures: auc, logloss, gauc (NaN without a column `user` or a user of both
 *  labels), ece, calibration_ratio. NaN if the test file has one label only: auc, and of zeros ece and the ratio; then
 *  nothing is compared (FR_EINVAL with `detail`). @errors FR_EINVAL validation rows of one label, before the first epoch;
 *  as the readers, the trainer, the bundle */
FR_MUST_CHECK enum fr_err fr_benchmark_rows_train(const struct fr_benchmark_run *run,
                                                  struct fr_benchmark_result *out,
                                                  struct fr_fault *fault);
FR_MUST_CHECK enum fr_err fr_benchmark_rows_evaluate(const char *dir,
                                                     const char *bundle,
                                                     struct fr_benchmark_detail *detail,
                                                     struct fr_benchmark_result *out,
                                                     struct fr_fault *fault);

#endif
