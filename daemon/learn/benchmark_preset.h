/*
 * daemon/learn/benchmark_preset.h - settings of a benchmark run: presets as data, `key=value` over them.
 *
 * Layer: daemon/base/, models/. Thread: any.
 */
#ifndef FR_LEARN_BENCHMARK_PRESET_H
#define FR_LEARN_BENCHMARK_PRESET_H

#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/err.h"
#include "daemon/base/str.h"
#include "models/model.h"
#include "models/train/train.h"

#define FR_BENCHMARK_HIDDEN_MAX 7
#define FR_BENCHMARK_EPOCHS_MAX 1024 /* of a training: a curve has so many rows at most */

/** All settings; the rows of benchmark_preset.c give key, range and member. */
struct fr_benchmark_settings {
    double dim;         /* embedding length */
    double batch;       /* rows a step */
    double optimizer;   /* enum fr_optimizer; mf: sgd only */
    double lr;
    double eps;         /* adam, adagrad */
    double decay;       /* adagrad: of its accumulators, 1 = none */
    double ftrl_beta, ftrl_l1, ftrl_l2;
    double dropout;     /* of the hidden layers */
    double batch_norm;  /* 0 or 1 */
    double l2;          /* lambda of lambda/2 ||w||^2 over the tables */
    double dense_rows;  /* 1: L2 and the optimiser on all rows every step (FuxiCTR); 0: on touched rows */
    double clip;        /* global gradient norm; 0 = off */
    double init_std;    /* of the tables */
    double xavier;      /* 1: linear layers Xavier-normal; 0: He */
    double epochs;      /* at most */
    double lr_factor;   /* of the step size, when lr_patience is used up */
    double lr_patience; /* epochs in a row that did not improve; counted on after that */
    double patience;    /* stop at that many such epochs in a row */
    double average;     /* epochs that the served mean of the weights reaches back; 0 = the newest weights */
    double min_delta;   /* what counts as better in validation AUC */
    double valid_share; /* of train, where the benchmark has no validation file */
    double negatives;   /* sampled, a positive or a step; two_tower: 0 = full softmax */
    double tau;         /* two_tower */
    double pretrain;    /* neumf: 1 = gmf and mlp first, then SGD over both, whatever `optimizer` */
    double sgd_lr;      /* of that */
    double bare;        /* two_tower: 1 = no layers over the embeddings */
    double attention_layers, attention_heads, attention_width;               /* autoint, autoint+ */
    double attention_scale, attention_norm;                                  /* 0 or 1 */
    double attention_residual;                                               /* enum fr_attention_residual */
    double linear;                                                           /* the same: with a linear part */
    double loss;            /* two_tower: 0 softmax, 1 sampled_softmax (over drawn items alone), 2 ccl (the same) */
    double log_uniform;     /* 1: negatives drawn by rank of frequency; 0: uniformly */
    double margin, negative_weight; /* of ccl */
    int n_hidden;
    int hidden[FR_BENCHMARK_HIDDEN_MAX];
};

/**
 * Settings of a preset. @param preset  NULL = the default of benchmark and kind
 * @param out_name  static storage. @errors FR_ENOTFOUND no such preset; the fault lists those there are
 */
FR_MUST_CHECK enum fr_err fr_benchmark_preset(const char *benchmark,
                                              enum fr_model_kind kind,
                                              const char *preset,
                                              struct fr_benchmark_settings *out,
                                              const char **out_name,
                                              struct fr_fault *fault);
/** The optimiser and its constants into a trainer's options. */
void fr_benchmark_optimizer(const struct fr_benchmark_settings *s, struct fr_train_options *o);
/**
 * Apply "key=value"; keys with names for values (optimizer) take a name; `hidden` takes "400,400,400" or "".
 * @errors FR_ENOTFOUND (nearest key named) FR_EUNSUPPORTED (`kind` has no use for the key) FR_ESYNTAX FR_ERANGE;
 *  nothing changed then
 */
FR_MUST_CHECK enum fr_err fr_benchmark_set(struct fr_benchmark_settings *s,
                                           enum fr_model_kind kind,
                                           struct fr_str assignment,
                                           struct fr_fault *fault);
/** Append all presets and keys, for people: a line each. */
void fr_benchmark_presets_put(struct fr_buf *out);
/** The i-th setting that is a number, from 0. @return its name, static storage; NULL past the last */
const char *fr_benchmark_setting_at(const struct fr_benchmark_settings *s, int i, double *out_value);

#endif
