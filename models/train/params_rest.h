/*
 * models/train/params_rest.h - dense Adam without moving the rows that no one looks at.
 *
 * Adam over all rows (fr_train_options.dense_rows) moves a row without a gradient too: its m still has the last
 * gradients. Without L2 that move depends on nothing but the row's own m and v and the number of the step, so
 * it can wait until the row is next read, and then all missed steps are taken at once: with m0, v0 as the
 * row was left after step s, for the steps s + 1 .. s + k
 *
 *   w -= m0 * sum_j b1^j lr / (1 - b1^(s+j)) / (sqrt(v0) b2^(j/2) / sqrt(1 - b2^(s+j)) + eps)
 *   m = b1^k m0                v = b2^k v0
 *
 * the same sum that the dense steps make, up to rounding: one by one they round w, m and v k times, this once.
 * The divisors of the terms differ little from the first, d = sqrt(v0) c + eps: with c_j = c (1 + x_j) and
 * u = sqrt(v0) c / d a term's divisor is d (1 + u x_j), so the sum is
 *
 *   1 / d * sum_n (-u)^n M_n             M_n = sum_j b1^j lr / (1 - b1^(s+j)) x_j^n
 *
 * M_n is the same for all rows left after step s, so a row costs one division an element however long it
 * waited. After M_4 the series ends; where M_5 says that this is not enough (early steps, when b2^t falls
 * fast, or b1 near 1) the sum is made term by term.
 * Terms with b1^j below 2^-32 are left out (they are below the rounding of the sum), m below b1^j = 2^-100 and
 * subnormal moments become 0. Rows of tables that are always read together share their state: a group.
 * Every FR_REST_STEPS steps all rows must be settled: constants of no more steps are kept.
 *
 *   before a step: fr_rest_row() of each row it reads;  step of those rows;  fr_rest_count();  fr_rest_moved()
 *
 * Layer: models/ and daemon/base/. Source: Kingma & Ba 2015, algorithm 1 with g = 0.
 */
#ifndef FR_MODELS_TRAIN_PARAMS_REST_H
#define FR_MODELS_TRAIN_PARAMS_REST_H

#include "models/train/checkpoint.h"
#include "models/train/params.h"

#define FR_REST_STEPS 1024
#define FR_REST_GROUPS 2
#define FR_REST_TABLES 2 /* of a group */

/** Owner: fr_rest_free(). Thread: as said at each function. */
struct fr_rest;

/** @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_rest_new(const struct fr_train_options *o, struct fr_rest **out);
void fr_rest_free(struct fr_rest *r);
/** Tables that are read together: all of `rows` rows. @param n  1..FR_REST_TABLES
 *  @errors FR_EFULL FR_EINVAL other numbers of rows; FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_rest_add(struct fr_rest *r, const struct fr_params *p, const int *table, int n, int *out_group);
/** Take the missed steps of a row. @thread any, one at a time for a row; steps do not run meanwhile */
void fr_rest_row(struct fr_rest *r, struct fr_params *p, int group, uint32_t row);
/** The row will soon be asked for: into the cache. @thread any */
void fr_rest_expect(const struct fr_rest *r, const struct fr_params *p, int group, uint32_t row);
/** The step just begun, before fr_rest_moved(). At most FR_REST_STEPS between two fr_rest_settled(). */
void fr_rest_count(struct fr_rest *r, const struct fr_step *a);
/** The row took part in the counted step. @thread as fr_rest_row() */
void fr_rest_moved(struct fr_rest *r, int group, uint32_t row);
/** Steps counted since fr_rest_settled(). */
int fr_rest_pending(const struct fr_rest *r);
/** Take the missed steps of the rows with row % parts == part. Parts may run at the same time. */
void fr_rest_settle_part(struct fr_rest *r, struct fr_params *p, int part, int parts);
/** All parts were settled. */
void fr_rest_settled(struct fr_rest *r);
/** Which steps which rows have missed: settling before would round where an unbroken run does not. */
void fr_rest_checkpoint(struct fr_rest *r, struct fr_checkpoint *ck);

#endif
