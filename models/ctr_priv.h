/*
 * models/ctr_priv.h - the inside of a model of models/ctr.h, shared by its construction (ctr.c) and
 * its ranking (ctr_rank.c, ctr_rank_fixed.c).
 */
#ifndef FR_MODELS_CTR_PRIV_H
#define FR_MODELS_CTR_PRIV_H

#include "models/attention_lanes.h"
#include "models/ctr.h"
#include "models/embed.h"
#include "models/model_priv.h"
#include "models/packed.h"

/** Views into the model's tensors, and its layers packed. */
struct fr_ctr_impl {
    struct fr_ctr_config cfg;
    unsigned parts;
    struct fr_embed em;
    const float *lin[FR_MAX_FIELDS]; /* by table: (rows) */
    float w0;
    struct fr_mlp mlp; /* n_layers 0 = none; of the folded weights with batch norm */
    float *folded;
    int n_user, n_item, n_cand; /* fields of user + context; of item; of item + cross */
    /* NULL without an MLP. The first layer by columns; layer[l] for l in [1, n_layers - 1) */
    struct fr_packed *of_user, *of_item, *of_cross, *layer[FR_MLP_MAX_LAYERS];
    struct fr_attention attention; /* layers 0 = none */
    const float *out;              /* (F A) weights of the last attention layer's output */
    struct fr_attention_lanes *lanes; /* both, laid out for ranking */
    const float *value_out;  /* (F A) the value head's weights of the same; NULL without attention or head */
    const float *value_deep; /* (last hidden width) and of the MLP; NULL without MLP or head */
    float value_bias;
};

/** What one query computes once. Owner: the query's arena. */
struct fr_ctr_shared {
    float *x;      /* (user and context fields, D) */
    float *sum;    /* (D) sum of e_f over user and context fields */
    float *hidden; /* (H1) bias + their part of the first layer */
    float sq;      /* sum of ||e_f||^2 */
    float lin;     /* w0 + their linear part */
};

/** Linear terms of one entity group. */
float fr_ctr_linear(const struct fr_model *m, enum fr_entity e, const struct fr_slot *slots);
/** sum += each of the n fields of x (n, dim); *sq += its square norm. */
void fr_ctr_pair_sums(const float *x, int n, int dim, float *sum, float *sq);
/** @param fixed  the first layer by fr_gemm(), as the fixed way does. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_ctr_shared(const struct fr_model *m,
                                        const struct fr_rank_query *q,
                                        bool fixed,
                                        struct fr_arena *ar,
                                        struct fr_ctr_shared *out);

/** FR_SCORE_DETERMINISTIC: chunks padded to one shape. Also models without an MLP. */
FR_MUST_CHECK enum fr_err fr_ctr_rank_fixed(const struct fr_model *m,
                                            const struct fr_rank_query *q,
                                            unsigned flags,
                                            struct fr_arena *ar,
                                            float *out,
                                            float *raw);
/** Kinds with attention, both ways. */
FR_MUST_CHECK enum fr_err fr_ctr_rank_attention(const struct fr_model *m,
                                                const struct fr_rank_query *q,
                                                unsigned flags,
                                                struct fr_arena *ar,
                                                float *out,
                                                float *raw);
/** Rows of the last hidden layer h (rows, width): the MLP's output added to out, the value head's to raw if wanted. */
void fr_ctr_heads(const struct fr_ctr_impl *d, const float *h, int rows, float *out, float *raw);
/** The layers of an MLP from the second on by fr_mlp_forward(), and both heads, from h (rows, H1). Adds to out and raw.
 *  @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_ctr_layers_fixed(
    const struct fr_ctr_impl *d, const float *h, int rows, int wanted, struct fr_arena *ar, float *out, float *raw);
/** Contract: fr_model_ops.explain. */
FR_MUST_CHECK enum fr_err fr_ctr_explain(const struct fr_model *m,
                                         const struct fr_slot *const slots[FR_ENTITY_COUNT],
                                         struct fr_arena *ar,
                                         struct fr_explanation *x);
/** The hot loop: packed layers, items' parts from the cache. Contract: fr_model_ops.rank. */
FR_MUST_CHECK enum fr_err fr_ctr_rank(const struct fr_model *m,
                                      const struct fr_rank_query *q,
                                      unsigned flags,
                                      struct fr_arena *ar,
                                      float *out,
                                      float *raw);

#endif
