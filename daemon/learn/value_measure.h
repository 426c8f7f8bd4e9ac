/*
 * daemon/learn/value_measure.h - what a value head is worth, over lists of which one row's value is known.
 *
 * Error: of the raw output against the target: |r - log(1 + value)| (target log), binary cross-entropy (unit); beside it
 * that of the constant which the training labels' mean is.
 * Kept: of all known value, what the order keeps when a place at k is worth 1 / log2(1 + k) and places beyond
 * FR_VALUE_TOP nothing: NDCG@20 with values as gains, of the click head's order and of that by p^a v^b.
 * Layer: daemon/learn. Thread: one.
 */
#ifndef FR_LEARN_VALUE_MEASURE_H
#define FR_LEARN_VALUE_MEASURE_H

#include <stddef.h>

#include "daemon/base/err.h"
#include "models/value.h"

#define FR_VALUE_TOP 20

/** Owner: the caller's storage. Set kind, share and powers, then the training labels, then the lists. */
struct fr_value_measure {
    enum fr_value_kind kind;
    bool share;
    struct fr_score_powers powers;
    double target_sum; /* of training labels */
    size_t targets;
    size_t n; /* lists that had a value */
    double error, error_mean, kept_click, kept, total;
};

/** A value of a training label; NaN is none. */
void fr_value_measure_train(struct fr_value_measure *m, float value);
/**
 * One list.
 * @param z, raw  (n) what the two heads said
 * @param value   of row `label`; NaN: the list is left out
 * @param key, score  (n) scratch
 */
void fr_value_measure_list(struct fr_value_measure *m,
                           const float *z,
                           const float *raw,
                           size_t n,
                           size_t label,
                           float value,
                           float *key,
                           float *score);
/** Means of what was added; 0 where nothing was. */
double fr_value_measure_error(const struct fr_value_measure *m);
double fr_value_measure_error_mean(const struct fr_value_measure *m);
double fr_value_measure_kept(const struct fr_value_measure *m);
double fr_value_measure_kept_click(const struct fr_value_measure *m);

#endif
