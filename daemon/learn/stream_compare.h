/*
 * daemon/learn/stream_compare.h - bundles measured on the same lists of a stream.
 *
 *   events before `after` ─► state, statistics, catalogue (nothing is measured)
 *   triggers from there on ─► candidates of stage 4, rows of stage 5 ─► lists ─► each bundle's order of them
 *
 * Lists are those that freshet train holds out (stream_train.h): where the stream has FR_LEARNER_MIN_SHOWN lists that were
 * shown and clicked in, those; else all candidates that the retrieval bundle and the other sources bring, where the user's next positive is among them. All
 * bundles, retrieval models too, order the same rows; so measures differ by the bundle alone. What is measured is only
 * as new to a bundle as the events it was trained on are old: train with --until-event, compare after it.
 * Layer: daemon/base/, daemon/pipeline/, models/, daemon/learn/. Thread: one at a time.
 */
#ifndef FR_LEARN_STREAM_COMPARE_H
#define FR_LEARN_STREAM_COMPARE_H

#include "daemon/config.h"
#include "daemon/learn/benchmark.h"
#include "daemon/learn/stream_examples.h"

/** Borrowed for the life of the comparison. */
struct fr_stream_compare_config {
    struct fr_stream_input in;
    const struct fr_config *cfg; /* candidate policy */
    const char *retrieval;       /* nullable: bundle that brings candidates, and the score that rankers read */
    uint64_t after;              /* triggers among the first so many events are not measured */
    uint32_t max_lists;          /* spread evenly over the rest; of lists that were shown the first */
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* nullable: events read */
    void *progress_ctx;
};

/** What the lists are. */
struct fr_stream_compare_counts {
    uint64_t events, refused;
    uint64_t triggers; /* that were looked at */
    uint64_t lists;    /* without impressions: of triggers whose next positive is among the candidates */
    uint64_t rows;
    bool shown;        /* what was shown and clicked in */
    int64_t known_ms;  /* time of the newest trigger among the first `after` events; 0: none */
    bool retrieval_seen; /* the retrieval bundle was trained on a newer event */
};

struct fr_stream_compare;

#define FR_STREAM_COMPARE_MAIN "mrr@20" /* the measure that sorts and is drawn */

/**
 * Read the stream and make the lists.
 * @errors FR_EINVAL not one list; those of the item file, the retrieval bundle; FR_ENOMEM. Owner: fr_stream_compare_free().
 */
FR_MUST_CHECK enum fr_err fr_stream_compare_new(const struct fr_stream_compare_config *c,
                                                struct fr_stream_compare **out,
                                                struct fr_fault *fault);
/** NULL is a no-op. */
void fr_stream_compare_free(struct fr_stream_compare *s);
const struct fr_stream_compare_counts *fr_stream_compare_counts(const struct fr_stream_compare *s);

/**
 * Order the lists by a bundle: auc, logloss, gauc (over rows), hr@20 (not of lists that were shown: those are short),
 * mrr@20 (places beyond 20 count 0). Of two heads: the click's.
 * @param detail  zeroed; filled, and the bundle is timed on a user's rows
 * @errors FR_EMISMATCH made for other fields; as fr_model_load(), fr_model_score_case()
 */
FR_MUST_CHECK enum fr_err fr_stream_compare_evaluate(struct fr_stream_compare *s,
                                                     const char *bundle,
                                                     struct fr_benchmark_detail *detail,
                                                     struct fr_benchmark_result *out,
                                                     struct fr_fault *fault);

#endif
