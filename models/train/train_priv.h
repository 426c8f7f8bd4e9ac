/*
 * models/train/train_priv.h - the part of a trainer that is the same for all models, and the inside
 * of the two trainers for gradient tests.
 */
#ifndef FR_MODELS_TRAIN_TRAIN_PRIV_H
#define FR_MODELS_TRAIN_TRAIN_PRIV_H

#include "daemon/base/arena.h"
#include "daemon/base/rng.h"
#include "models/embed.h"
#include "models/encoder.h"
#include "models/train/nn_back.h"
#include "models/train/norm_mlp.h"
#include "models/train/params.h"
#include "models/train/params_mean.h"
#include "models/train/pool.h"
#include "models/train/train.h"
#include "models/train/train_ctr.h"
#include "models/train/train_two_tower.h"

#define FR_TRAIN_MAX_THREADS 64

/** What one worker thread has for itself. */
struct fr_train_worker {
    struct fr_grads g;
    struct fr_arena *ar;
    double loss;
    enum fr_err err;
};

/** Shared core of a trainer. Owner: the trainer. */
struct fr_trainer {
    struct fr_train_options opt;
    struct fr_encoder *enc;
    struct fr_params params;
    struct fr_params_mean mean; /* what models are made of once something was taken */
    struct fr_rng rng;
    struct fr_arena *ar; /* encoded batch; reset each step */
    struct fr_train_worker *w;
    struct fr_pool *pool;
    bool observed; /* observe() was called */
    bool fitted;   /* normalisers are frozen */
};

/** @errors FR_EINVAL (names the option) FR_ENOMEM. Takes the encoder on FR_OK. */
FR_MUST_CHECK enum fr_err fr_trainer_init(struct fr_trainer *t,
                                          const struct fr_train_options *opt,
                                          struct fr_encoder **take_enc,
                                          struct fr_fault *fault);
void fr_trainer_done(struct fr_trainer *t);

/** Add one parameter table "<prefix>.<table>.weight" for each table of the encoder. */
FR_MUST_CHECK enum fr_err fr_trainer_add_tables(struct fr_trainer *t,
                                                const char *prefix,
                                                int dim,
                                                int table_of[FR_MAX_FIELDS]);
/** Follow the vocabularies: every parameter table gets the rows of its encoder table. */
FR_MUST_CHECK enum fr_err
fr_trainer_grow(struct fr_trainer *t, const int table_of[FR_MAX_FIELDS], float std);
/** Add the weights (He) and biases (zero) of an MLP "<prefix>.<l>.weight". `w` and `b`: indices. */
FR_MUST_CHECK enum fr_err fr_trainer_add_mlp(
    struct fr_trainer *t, const char *prefix, const int *width, int n_layers, int *w, int *b);
/** Point an MLP's views at its parameters. */
void fr_trainer_bind_mlp(const struct fr_trainer *t,
                         struct fr_mlp *mlp,
                         const int *w,
                         const int *b);

/** Encode a row, growing vocabularies unless frozen, then drop ids with probability id_dropout
 *  (`dropout` false: no growth and no dropout, for evaluation). */
FR_MUST_CHECK enum fr_err fr_trainer_encode(struct fr_trainer *t,
                                            enum fr_entity e,
                                            const struct fr_cell *cells,
                                            bool training,
                                            struct fr_slot *out);

/** Begin a step: worker arenas reset, gradients cleared. */
FR_MUST_CHECK enum fr_err fr_trainer_begin(struct fr_trainer *t);
/** Add all workers' gradients into worker 0's and sum the losses. */
FR_MUST_CHECK enum fr_err fr_trainer_reduce(struct fr_trainer *t, double *out_loss);
/** Merge all workers' gradients and take a step, on all threads. @errors FR_ENONFINITE: the
 * weights are as they were */
FR_MUST_CHECK enum fr_err fr_trainer_apply(struct fr_trainer *t, double *out_loss);
/** fn(arg, i) for every worker i, in its own thread; returns the first error of a worker. */
FR_MUST_CHECK enum fr_err
fr_trainer_run(struct fr_trainer *t, void (*fn)(void *arg, int worker), void *arg);
/** Change the step size; a separate dense one keeps its ratio. */
void fr_trainer_set_lr(struct fr_trainer *t, float lr);
/** Share of worker i of n things: [*from, *to). */
void fr_trainer_share(const struct fr_trainer *t, int n, int worker, int *from, int *to);

/** A list, encoded. */
struct fr_encoded_list {
    struct fr_slot *user, *context, *items, *cross;
    int n, label;
    const float *labels, *values;
    float scale;       /* of the gradient: weight / normaliser */
    float value_scale; /* the same of the value head; 0 = no value in the step */
};

/** Dense parameters of attention, by layer; -1 = there is none. */
struct fr_ctr_attention_params {
    int part[FR_ATTENTION_MAX_LAYERS][4]; /* query, key, value, residual */
    int gain[FR_ATTENTION_MAX_LAYERS], shift[FR_ATTENTION_MAX_LAYERS];
    int out;
};

/** Owner: fr_train_ctr_free(). */
struct fr_train_ctr {
    struct fr_trainer t;
    struct fr_ctr_train_config cfg;
    unsigned parts;
    int bias, v_of[FR_MAX_FIELDS], l_of[FR_MAX_FIELDS]; /* parameter indices */
    int mlp_w[FR_MLP_MAX_LAYERS], mlp_b[FR_MLP_MAX_LAYERS];
    struct fr_embed em;              /* views, renewed each step */
    const float *lin[FR_MAX_FIELDS]; /* by encoder table */
    struct fr_mlp mlp;
    struct fr_attention attention; /* its weights are copied from the parameters before each pass */
    struct fr_ctr_attention_params ap;
    struct fr_norm_mlp nm; /* used if normed: the MLP has batch norm or dropout */
    bool normed;
    int value_w, value_b; /* dense parameters of the value head; -1 = there is none */
    double value_sum;     /* of the targets observed, */
    uint64_t value_n;     /* and their number */
    int n_user, n_cand;
    /* the step in flight */
    struct fr_encoded_list *lists;
    int n_lists;
    bool backward;
    float **out_logit; /* by list, or NULL */
    float **out_raw;   /* of the value head, alike */
};

/** Gradients of the mean loss into t.w[0].g, nothing applied. For tests. */
FR_MUST_CHECK enum fr_err fr_train_ctr_gradient(struct fr_train_ctr *tr,
                                                const struct fr_rank_list *lists,
                                                int n,
                                                double *out_loss);

/** One tower's parameters and views. */
struct fr_train_tower {
    int mlp_w[FR_MLP_MAX_LAYERS], mlp_b[FR_MLP_MAX_LAYERS];
    struct fr_mlp mlp;
};

/** Forward state of some rows of a tower, in a worker's arena. */
struct fr_tower_pass {
    int n;
    float *x; /* (n, width[0]) */
    struct fr_mlp_acts acts;
    float *norm; /* (n) */
};

/** Owner: fr_train_two_tower_free(). */
struct fr_train_two_tower {
    struct fr_trainer t;
    struct fr_two_tower_train_config cfg;
    int v_of[FR_MAX_FIELDS];
    int gate[FR_MAX_FIELDS]; /* dense parameter of a field's gate, -1 = none */
    bool skip[FR_MAX_FIELDS];
    struct fr_embed em;
    struct fr_train_tower user, item;
    /* step-gap estimator, by item index */
    float *gap;      /* B */
    uint64_t *last;  /* A, 0 = never */
    uint32_t *times; /* appearances */
    uint32_t *mark;  /* 1 + candidate index in this step, 0 = none */
    uint32_t *count; /* positives that observe() saw */
    uint32_t *order; /* (n_order) items by frequency, the most frequent first */
    uint32_t *rank;  /* place in `order` */
    uint32_t cap_items, n_order;
    uint64_t step;
    /* the step in flight */
    const struct fr_two_tower_batch *b;
    struct fr_slot *user_slots, *context_slots, *item_slots;
    uint32_t *cand; /* (n_cand) item indices */
    float *log_q;   /* (n_cand) */
    bool *drawn;    /* (n_cand) not only the positive of an example */
    int n_cand;
    int *target;                                 /* (b->n) candidate index of each positive */
    float *u, *v;                                /* (n, D), (n_cand, D) */
    float *du, *dv_part;                         /* (n, D), (workers, n_cand, D) */
    struct fr_tower_pass *user_pass, *item_pass; /* by worker */
    bool backward;
};

/** Gradients of the mean loss into t.w[0].g, nothing applied. For tests. */
FR_MUST_CHECK enum fr_err fr_train_two_tower_gradient(struct fr_train_two_tower *tr,
                                                      const struct fr_two_tower_batch *b,
                                                      double *out_loss);

#endif
