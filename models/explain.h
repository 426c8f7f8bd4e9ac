/*
 * models/explain.h - where a logit comes from: the parts of one row's score, of every kind of model.
 *
 *   bias + sum of linear + sum of pairs + deep + sum of attention + towers = logit
 *
 * The logit is what fr_model_score_case() gives, before the sigmoid; the parts are computed apart from the ranking
 * code and agree with it to 1e-4 of 1 + |logit| (of the largest part, should parts cancel that are far larger than
 * their sum: ranking adds floats). A part that the kind does not have is 0 or NULL.
 *
 *   kind                          linear  pair               deep  attention  towers
 *   lr                            x
 *   fm                            x       e_a . e_b
 *   wide_deep                     x                          x
 *   deepfm                        x       e_a . e_b          x
 *   autoint, autoint+             (x)                        (x)   x
 *   gmf, neumf, mlp                       out . (p * q)      x
 *   mf                            x       p . q
 *   two_tower                                                                 cosine / tau
 *
 * A value head (models/value.h) has a raw output of its own, given in the same way: bias + deep + sum of attention = raw.
 * It reads what the click head's deep and attention parts read, by weights of its own, so those parts are two numbers.
 *
 * A field is one row of everything, however many slots it has (a bag of ids), so the pairs are those of fields: their
 * sum is FM's second-order term. The deep part and the cosine mix all fields and stay one number; attention's output
 * is linear in the last layer's fields, so it is given by field (what stands at that field's place, mixed from all).
 * Layer: daemon/base/ and models/. Check: tests/unit/test_models_explain.c (each kind again in double).
 */
#ifndef FR_MODELS_EXPLAIN_H
#define FR_MODELS_EXPLAIN_H

#include "daemon/base/arena.h"
#include "daemon/base/err.h"
#include "daemon/base/field.h"
#include "models/model.h"

/** One field of the row. Owner: the arena; name and cell are borrowed from the model and from the case. */
struct fr_explained_field {
    const char *name;
    enum fr_entity entity;
    enum fr_field_kind kind;
    int slots;
    const struct fr_cell *cell; /* (slots) what features said */
    const struct fr_slot *slot; /* (slots) what the model read: row 0 = unknown; numeric: standardised x */
    double linear;              /* sum over slots of x * w[row] */
    double attention;           /* w_f . y_f, y the last attention layer */
    double value_attention;     /* the same of the value head */
};

/** Parts of the value head's raw output; kind FR_VALUE_NONE, and all 0, without one. */
struct fr_explained_value {
    enum fr_value_kind kind;
    double bias, deep;
    double sum;  /* of these and the fields' value_attention */
    float raw;   /* what fr_model_score_case_heads() gives */
    double said; /* in the values' unit */
};

/** Parts of one logit. Owner: the arena. */
struct fr_explanation {
    enum fr_model_kind kind;
    int n_fields;                     /* F: of user, context, item, cross, in this order */
    struct fr_explained_field *field; /* (F) */
    double bias;
    double *pair; /* (F, F), the term of fields a < b at [a * F + b], 0 elsewhere; NULL without pairs */
    double deep;
    double towers;          /* two_tower: cosine / tau */
    double cosine, inv_tau; /* two_tower; else 0 */
    int layers, heads;      /* of attention; else 0 */
    float *weight;          /* (layers, heads, F, F): row i is what field i looks at, sum 1; NULL without */
    double sum;             /* of the parts above */
    struct fr_explained_value value;
    float logit;            /* what fr_model_score_case() gives */
};

/** Sums over the fields: of linear, of pairs, of attention. */
double fr_explained_linear(const struct fr_explanation *x);
double fr_explained_pairs(const struct fr_explanation *x);
double fr_explained_attention(const struct fr_explanation *x);
/** Of the value head. */
double fr_explained_value_attention(const struct fr_explanation *x);
/** Attention of layer, head: (F, F). */
static inline const float *fr_explained_head(const struct fr_explanation *x, int layer, int head)
{
    return x->weight + (size_t)(layer * x->heads + head) * (size_t)x->n_fields * (size_t)x->n_fields;
}

/**
 * Explain candidate `candidate` of a case. A group that the model ignores may be NULL.
 * @param ar  the result and scratch memory lie there; what it took on an error is given back.
 * @errors FR_EINVAL no such candidate, or a group that the model reads is NULL; FR_ENONFINITE a cell or the result;
 * FR_ENOMEM. out untouched then.
 * @thread any: the model is only read
 */
FR_MUST_CHECK enum fr_err fr_explain(const struct fr_model *m,
                                     const struct fr_model_case *c,
                                     int candidate,
                                     struct fr_arena *ar,
                                     struct fr_explanation *out);

#endif
