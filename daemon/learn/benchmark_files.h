/*
 * daemon/learn/benchmark_files.h - the files of the leave-one-out benchmark (ncf), found by their endings.
 *
 * A folder holds one set of them, as its authors name them: X.test.negative with X.train.pairs (user, item) or, where
 * that is not there, X.train.rating (user, item, rating, time). X is "ml-1m", "pinterest-20", whatever it is.
 * Layer: daemon/base/, daemon/learn/. Thread: any.
 */
#ifndef FR_LEARN_BENCHMARK_FILES_H
#define FR_LEARN_BENCHMARK_FILES_H

#include "daemon/base/err.h"

#define FR_BENCHMARK_FILE 256

/** Names in the folder. */
struct fr_benchmark_files {
    char test[FR_BENCHMARK_FILE];
    char train[FR_BENCHMARK_FILE]; /* .train.rating if there is no .train.pairs, there or not: reading says so */
};

/** @errors FR_ENOTFOUND no folder, no *.test.negative in it; FR_EINVAL several; FR_EIO */
FR_MUST_CHECK enum fr_err fr_benchmark_files_find(const char *dir, struct fr_benchmark_files *out, struct fr_fault *fault);

#endif
