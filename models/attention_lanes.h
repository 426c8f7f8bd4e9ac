/*
 * models/attention_lanes.h - attention of 16 candidates at once, one in each lane.
 *
 * Why:   a row has a dozen or two of fields: its matrices are too small to fill vectors, and
 * transposing keys costs as much as the products. Here every number of the formulas is a vector
 * over candidates,
 *
 *        x (fields, in, 16) -> q k v (fields, cols, 16) -> s (fields, fields, 16) -> y (fields, A,
 * 16)
 *
 *        so nothing is transposed, padded or summed across, and exp works on whole vectors.
 * Saving: the first layer's products of user and context fields, and their attention to each other, are made once a
 *        query; a softmax over keys in parts takes up where they ended.
 * Bits:  a lane does not depend on the other lanes or on its place: the same in every list.
 * Layer: daemon/base/ and models/. Check: tests/unit/test_models_attention_lanes.c against
 * attention.h.
 */
#ifndef FR_MODELS_ATTENTION_LANES_H
#define FR_MODELS_ATTENTION_LANES_H

#include "models/attention.h"

#define FR_ATTENTION_LANES 16

/** Owner: the caller. Thread: immutable, any. */
struct fr_attention_lanes;

/**
 * Lay the weights out.
 * @param out    (F A) weights of the last layer's output; copied, as everything is.
 * @param value  (F A) those of a second output; NULL = there is none
 * @errors FR_ENOMEM FR_EOVERFLOW
 */
FR_MUST_CHECK enum fr_err fr_attention_lanes_new(const struct fr_attention *a,
                                                 const float *out,
                                                 const float *value,
                                                 struct fr_attention_lanes **out_l);
/** NULL is a no-op. */
void fr_attention_lanes_free(struct fr_attention_lanes *l);

/** Floats that a query works in; 64-byte aligned, the caller's for the length of the query. */
size_t fr_attention_lanes_scratch(const struct fr_attention_lanes *l);
/** The first `n` fields, equal in all candidates: x (n, D). Once a query. @thread any; does not
 * allocate */
void fr_attention_lanes_user(const struct fr_attention_lanes *l,
                             const float *x,
                             int n,
                             float *scratch);
/**
 * Add the attention part of 1 to 16 candidates to z, and of the second output to zv unless that is NULL.
 * @param x  (rows, F - n, D): their other fields. @param n as given to fr_attention_lanes_user()
 * @thread any; does not allocate
 */
void fr_attention_lanes_add(const struct fr_attention_lanes *l,
                            const float *x,
                            int n,
                            int rows,
                            float *scratch,
                            float *z,
                            float *zv);

#endif
