/*
 * models/value.h - the value head: what it is taught, what it says, and the final score of both heads.
 *
 * A ranker of models/ctr.h may have a second output over what its parts share (the embeddings, the hidden layers, the
 * attention layers): the value of the candidate if it is taken, e.g. seconds watched or money spent.
 *
 *   r = w_v . [y_1 .. y_F, h_L] + b_v        y the last attention layer, h_L the last hidden layer; what the kind has
 *
 *   target  values               taught by               says
 *   log     >= 0, in their unit  (r - log(1 + value))^2  v = e^r - 1, in that unit, at least FR_VALUE_FLOOR
 *   unit    0 to 1 (did the      BCE of r and value      v = sigmoid(r)
 *           purchase follow?)
 *
 *   score = p^a v^b,  p the click head's probability: sigmoid(z), or the candidate's share of the list, softmax(z), where
 *   z was taught list-wise (its sigmoid is no rate and saturates).
 *
 * Rows without a value teach the value head nothing: v is the value given the click, so p v is what is expected of
 * showing the candidate. Source: Zhao et al. 2019, "Recommending What Video to Watch Next", RecSys (cross-entropy for
 * clicks, squared loss for time, "weighted multiplication" of the outputs), with Caruana's shared bottom (1997) in place
 * of its experts. The log is ours: values spread over decades, and squares of seconds would be about the longest
 * watches only. e^r - 1 is therefore nearer the median than the mean.
 * Layer: daemon/base/ and models/.
 */
#ifndef FR_MODELS_VALUE_H
#define FR_MODELS_VALUE_H

#include <stdbool.h>

#include "daemon/base/str.h"

#define FR_VALUE_FLOOR 1e-6 /* so that candidates said to be worth nothing are still ordered by the click */

enum fr_value_kind { FR_VALUE_NONE, FR_VALUE_LOG, FR_VALUE_UNIT, FR_VALUE_KIND_COUNT };

/** What manifests, commands say: "none", "log", "unit". */
const char *fr_value_kind_name(enum fr_value_kind k);
/** FR_VALUE_KIND_COUNT if there is none of that name. */
enum fr_value_kind fr_value_kind_find(struct fr_str name);

/** Can `value` be taught? Not NaN (= none), not negative or infinite; unit: not above 1. */
bool fr_value_fits(enum fr_value_kind k, float value);
/** What r is compared with, of a value that fits. */
float fr_value_target(enum fr_value_kind k, float value);
/** Loss of one row and its gradient by r. @param t  fr_value_target() */
double fr_value_loss(enum fr_value_kind k, float r, float t, float *dr);
/** What raw output r says, in the values' unit, finite for finite r. */
double fr_value_said(enum fr_value_kind k, float r);

/** Exponents a, b of the final score; both >= 0. */
struct fr_score_powers {
    double click, value;
};

/**
 * Final scores of one list.
 * @param share  p is softmax over these n, else sigmoid
 * @param z, r   (n) logits of the click head and raw outputs of the value head, finite
 * @param out_key   (n) orders the list: the score's logarithm (z itself where only the click counts)
 * @param out_score (n) p^a v^b, finite, >= 0
 * @thread any; does not allocate
 */
void fr_value_combine(enum fr_value_kind k,
                      bool share,
                      const struct fr_score_powers *pw,
                      const float *z,
                      const float *r,
                      int n,
                      float *out_key,
                      float *out_score);

#endif
