/*
 * models/model_priv.h - what a model kind provides to the seam models/model.h.
 *
 * A new kind: an enum value and a row in model.c's table, one file with these functions, and a
 * constructor. The weights (copied or borrowed), the encoder and the info live in struct fr_model.
 */
#ifndef FR_MODELS_MODEL_PRIV_H
#define FR_MODELS_MODEL_PRIV_H

#include "daemon/base/json.h"
#include "models/encoder.h"
#include "models/model.h"
#include "models/tensor.h"

/** models/explain.h */
struct fr_explanation;

/** Contracts as the functions of models/model.h; slots are already checked, n >= 1. */
struct fr_model_ops {
    enum fr_model_job job;
    /** Build from tensors, which it borrows, and the manifest's "config" object; takes the encoder on FR_OK. */
    enum fr_err (*load)(enum fr_model_kind kind,
                        struct fr_encoder **take_enc,
                        const struct fr_json *config,
                        const struct fr_tensor *t,
                        int n,
                        struct fr_model **out_m,
                        struct fr_fault *fault);
    /** Write the members of "config" (the object is open). */
    void (*describe)(const struct fr_model *m, struct fr_jsonw *w);
    void (*free_impl)(void *impl);
    /** Ranker; of a retrieval model: its logits, when they are not u . v / tau. @param out (n) logits, scratch of the seam: may be half-written on error.
     *  @param raw  (n) raw outputs of the value head, alike; NULL unless the model has one and they are wanted. */
    enum fr_err (*rank)(const struct fr_model *m,
                        const struct fr_rank_query *q,
                        unsigned flags,
                        struct fr_arena *scratch,
                        float *out,
                        float *raw);
    /** Retrieval: e is FR_ENTITY_USER (with context) or FR_ENTITY_ITEM. */
    enum fr_err (*embed)(const struct fr_model *m,
                         enum fr_entity e,
                         const struct fr_slot *const *slots,
                         const struct fr_slot *const *context,
                         int n,
                         unsigned flags,
                         struct fr_arena *scratch,
                         float *out);
    /** Parts of one row's logit; NULL: the kind has none but u . v / tau. @param slots (n_slots[e]) of the row, by
     *  entity. @param x  zero, with its fields: bias, linear, pair, deep, attention are filled. May be half-written
     *  on error. */
    enum fr_err (*explain)(const struct fr_model *m,
                           const struct fr_slot *const slots[FR_ENTITY_COUNT],
                           struct fr_arena *ar,
                           struct fr_explanation *x);
};

/** Owner: fr_model_free(). Thread: immutable after construction. */
struct fr_model {
    struct fr_model_info info;
    uint64_t serial; /* of this process, never used twice */
    const struct fr_model_ops *ops;
    struct fr_encoder *enc;
    struct fr_tensor *tensor; /* F32, data into `block`, or of those the model was made from */
    int n_tensors;
    float *block; /* copied weights; NULL if borrowed */
    void **own;   /* (n_own) borrowed memory that was handed over since, by a bundle; NULLs possible */
    int n_own;
    float inv_tau;
    void *impl;
};

extern const struct fr_model_ops fr_ctr_ops;
extern const struct fr_model_ops fr_ncf_ops;
extern const struct fr_model_ops fr_mf_ops;
extern const struct fr_model_ops fr_two_tower_ops;

/**
 * Frame of a model: copies or borrows the F32 tensors, leaves `impl` NULL and the caller's encoder alone; the
 * constructor sets m->enc when all is well.
 * @errors FR_ENOMEM FR_EOVERFLOW
 */
FR_MUST_CHECK enum fr_err fr_model_frame(enum fr_model_kind kind,
                                         const struct fr_encoder *enc,
                                         const struct fr_tensor *t,
                                         int n,
                                         enum fr_weights weights,
                                         struct fr_model **out_m,
                                         struct fr_fault *fault);

/** Tensor "<prefix>.<table>.weight" of every table, (table rows, dim). */
FR_MUST_CHECK enum fr_err fr_model_bind_tables(const struct fr_model *m,
                                               const struct fr_encoder *enc,
                                               const char *prefix,
                                               int dim,
                                               const float *out_v[FR_MAX_FIELDS],
                                               struct fr_fault *fault);

/** Integer member of a config object in [min, max]. @errors FR_ESCHEMA FR_ERANGE, fault names it */
FR_MUST_CHECK enum fr_err fr_model_config_int(const struct fr_json *config,
                                              const char *key,
                                              int min,
                                              int max,
                                              int *out,
                                              struct fr_fault *fault);
/** "hidden": array of 0..max_n widths in [1, FR_NN_MAX_WIDTH]. */
FR_MUST_CHECK enum fr_err fr_model_config_hidden(
    const struct fr_json *config, int max_n, int *out_width, int *out_n, struct fr_fault *fault);

#endif
