/*
 * models/train/ctr_attention.h - the attention part of a model of ctr.h in training: its
 * parameters, and one worker's pass over them. Layer: models/. Callers outside models/train/ use
 * train_ctr.h.
 */
#ifndef FR_MODELS_TRAIN_CTR_ATTENTION_H
#define FR_MODELS_TRAIN_CTR_ATTENTION_H

#include "models/train/attention_back.h"
#include "models/train/train_priv.h"

/** Add the parameters and make room for the copies. @errors FR_ENOMEM FR_EFULL */
FR_MUST_CHECK enum fr_err fr_ctr_attention_add(struct fr_train_ctr *tr);
/** Copy the weights to where products read them. @thread the trainer's, between passes */
void fr_ctr_attention_bind(struct fr_train_ctr *tr);

/** A worker's rows through attention. Owner: the worker's arena. */
struct fr_ctr_attention_pass {
    float *x, *dx; /* (rows, F, D); dx NULL forward only */
    struct fr_attention_pass p;
    struct fr_attention_grads g[FR_ATTENTION_MAX_LAYERS];
};

/** Memory for `rows` rows; x is filled by the caller after this. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_ctr_attention_begin(const struct fr_train_ctr *tr,
                                                 int rows,
                                                 struct fr_arena *ar,
                                                 struct fr_ctr_attention_pass *out);
/** Adds to z (rows), with a value head to raw (rows) too. */
void fr_ctr_attention_forward(const struct fr_train_ctr *tr,
                              struct fr_ctr_attention_pass *a,
                              float *z,
                              float *raw);
/** Gradients of the parameters into g; those of x into a->dx. @param draw  of the value head, if there is one */
void fr_ctr_attention_backward(const struct fr_train_ctr *tr,
                               struct fr_ctr_attention_pass *a,
                               const float *dz,
                               const float *draw,
                               struct fr_grads *g);

#endif
