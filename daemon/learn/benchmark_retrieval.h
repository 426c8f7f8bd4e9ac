/*
 * daemon/learn/benchmark_retrieval.h - benchmarks of top-k retrieval (ml1m-retrieval): Two-Tower.
 *
 *   train.txt --held out--> epochs chosen by Recall@20 --> all of train, so many epochs --> bundle,
 * test.txt
 *
 * DIR holds train.txt and test.txt, `user item item ...` by lines. A user's candidates are the
 * items of train without the user's own (RecZoo's and LightGCN's protocol); a test item that train
 * does not have is a miss. Two ID fields: user and item. Layer: daemon/base/, models/, ann/,
 * daemon/learn/.
 */
#ifndef FR_LEARN_BENCHMARK_RETRIEVAL_H
#define FR_LEARN_BENCHMARK_RETRIEVAL_H

#include "daemon/learn/benchmark.h"

/** As struct fr_benchmark. Measures: recall@20, ndcg@20, hr@20, mrr@20 by exact search;
 * recall@20_hnsw and ndcg@20_hnsw through the index. @errors as the readers, the trainer, the
 * bundle, the index */
FR_MUST_CHECK enum fr_err fr_benchmark_retrieval_train(const struct fr_benchmark_run *run,
                                                       struct fr_benchmark_result *out,
                                                       struct fr_fault *fault);
FR_MUST_CHECK enum fr_err fr_benchmark_retrieval_evaluate(const char *dir,
                                                          const char *bundle,
                                                          struct fr_benchmark_detail *detail,
                                                          struct fr_benchmark_result *out,
                                                          struct fr_fault *fault);

#endif
