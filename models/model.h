/*
 * models/model.h - what the pipeline knows of a model: load, rank, embed.
 *
 * A model is a bundle directory (models/bundle.h) loaded whole, checked by its self-test and
 * immutable after that, so any number of threads may share it. Its job is either
 *   ranker     logits of B candidates of one user                  (models/ctr.h, models/ncf.h)
 *   retrieval  vectors of users and items, score = u . v / tau      (models/two_tower.h; models/mf.h)
 * A new kind is one row in model.c and one file that fills struct fr_model_ops (model_priv.h).
 *
 *   features --cells--> fr_model_encode() --slots--> fr_model_rank() / fr_model_users() / _items()
 *
 * Slots of items do not depend on the user: encode them once per item and generation, keep them in
 * the item table, and hand over pointers. Layer: daemon/base/ and models/.
 */
#ifndef FR_MODELS_MODEL_H
#define FR_MODELS_MODEL_H

#include <stdint.h>

#include "daemon/base/arena.h"
#include "daemon/base/err.h"
#include "daemon/base/field.h"
#include "daemon/base/str.h"
#include "models/value.h"

#define FR_MODEL_NAME 64

enum fr_model_kind {
    FR_MODEL_TWO_TOWER,
    FR_MODEL_LR,
    FR_MODEL_FM,
    FR_MODEL_WIDE_DEEP,
    FR_MODEL_DEEPFM,
    FR_MODEL_AUTOINT,
    FR_MODEL_AUTOINT_PLUS,
    FR_MODEL_NEUMF,
    FR_MODEL_GMF,
    FR_MODEL_MLP,
    FR_MODEL_MF,
    FR_MODEL_KIND_COUNT
};
enum fr_model_job { FR_JOB_RETRIEVAL, FR_JOB_RANKER };

/* Bit-identical results whatever else is scored: fixed GEMM shapes (a vector is a product of one
 * row; a list is padded to 256 rows, so a candidate's bits depend on its place in the list, not on
 * the others). For replays and leak tests; live scoring agrees to 1e-5. */
#define FR_SCORE_DETERMINISTIC 1u

struct fr_model;

/** Facts of a loaded model. Owner: the model. Thread: immutable, any. */
struct fr_model_info {
    enum fr_model_kind kind;
    enum fr_model_job job;
    char name[FR_MODEL_NAME];   /* lineage writes name@version */
    char parent[FR_MODEL_NAME]; /* name@version it was trained from, or "" */
    uint64_t version;
    uint64_t schema_hash;
    int64_t created_ms;
    int dim;                           /* retrieval: length of a vector; ranker: 0 */
    uint32_t n_slots[FR_ENTITY_COUNT]; /* slots of each entity group; 0 = the model ignores it */
    enum fr_value_kind value; /* a second head (models/value.h); FR_VALUE_NONE without */
    bool share;               /* with one: p is the candidate's share of the list, not sigmoid(z) */
};

/** What manifests and commands say: "two_tower", "deepfm", "autoint+". */
const char *fr_model_kind_name(enum fr_model_kind k);
/** The same as bundle names and folders may hold it: "autoint_plus". */
const char *fr_model_kind_slug(enum fr_model_kind k);
/** The kind of that name, if this build can load it; else FR_MODEL_KIND_COUNT. */
enum fr_model_kind fr_model_kind_find(struct fr_str name);

/**
 * Load and check a bundle, run its self-test.
 * @param fs     the running field set; its hash must equal the bundle's.
 * @param fault  nullable; names file, field and reason.
 * @errors FR_ENOTFOUND FR_EIO FR_ESYNTAX FR_ESCHEMA FR_EMISMATCH FR_ENONFINITE FR_ECORRUPT
 * FR_EVERSION FR_ETOOLARGE FR_EDUPLICATE FR_EREFUSED (self-test) FR_ENOMEM Owner: the caller,
 * fr_model_free() after the last reader has left. @thread any
 */
FR_MUST_CHECK enum fr_err fr_model_load(const char *dir,
                                        const struct fr_field_set *fs,
                                        struct fr_model **out_m,
                                        struct fr_fault *fault);
/** NULL is a no-op. */
void fr_model_free(struct fr_model *m);
/** Release a model whose encoder is somebody else's, as its borrowed weights are (FR_WEIGHTS_BORROW): what a
 *  trainer makes to write a bundle. NULL is a no-op. */
void fr_model_free_borrowed(struct fr_model *m);

const struct fr_model_info *fr_model_info(const struct fr_model *m);
/** Number of trained parameters: all tensors of weights; neither vocabularies nor the running moments of batch norm. */
uint64_t fr_model_parameters(const struct fr_model *m);

/**
 * Encode `n` rows of one entity group.
 * @param cells    (n, n_cells[e]) of the field set, row-major.
 * @param out      (n, info.n_slots[e]); unspecified on error.
 * @errors FR_ENONFINITE
 * @thread any; does not allocate
 */
FR_MUST_CHECK enum fr_err fr_model_encode(const struct fr_model *m,
                                          enum fr_entity e,
                                          const struct fr_cell *cells,
                                          int n,
                                          struct fr_slot *out);

/** models/rank_cache.h */
struct fr_rank_cache;

/** One user and its candidates, encoded by this very model. A group the model ignores may be NULL.
 */
struct fr_rank_query {
    const struct fr_slot *user;         /* (n_slots[USER]) */
    const struct fr_slot *context;      /* (n_slots[CONTEXT]) */
    const struct fr_slot *const *items; /* n pointers to (n_slots[ITEM]) */
    const struct fr_slot *cross;        /* (n, n_slots[CROSS]) */
    int n;                              /* candidates, >= 0 */
    struct fr_rank_cache *cache;        /* nullable: the thread's own; unused when deterministic */
};

/**
 * Score the candidates of one user. Ranker only.
 * @param scratch    caller's arena; released to where it was before return.
 * @param out_logit  (n), nullable; what a listwise ranker orders by
 * @param out_score  (n), nullable; sigmoid of the logit, in [0, 1]
 * @errors FR_EINVAL wrong job, or a group the model reads is NULL; FR_ERANGE a row is outside its
 * table (other model's slots); FR_ENONFINITE; FR_ENOMEM. Outputs untouched then.
 * @thread any; takes no lock, allocates in `scratch` only
 */
FR_MUST_CHECK enum fr_err fr_model_rank(const struct fr_model *m,
                                        const struct fr_rank_query *q,
                                        unsigned flags,
                                        struct fr_arena *scratch,
                                        float *out_logit,
                                        float *out_score);

/**
 * The final order: of both heads where the model has two (models/value.h), else of the only one, whatever the powers say.
 * @param pw        exponents
 * @param out_key   (n) best first
 * @param out_score (n) one head: sigmoid of the logit; two: p^a v^b
 * @param out_value (n), nullable: what the value head says, in the values' unit; NaN without one
 * @errors, @thread as fr_model_rank()
 */
FR_MUST_CHECK enum fr_err fr_model_rank_final(const struct fr_model *m,
                                              const struct fr_rank_query *q,
                                              unsigned flags,
                                              const struct fr_score_powers *pw,
                                              struct fr_arena *scratch,
                                              float *out_key,
                                              float *out_score,
                                              float *out_value);

/**
 * Vectors of n users. Retrieval only.
 * @param user, context  n pointers each to the slots of one row; `context` NULL if n_slots is 0.
 * @param out            (n, dim), unit length; the inner product with an item's vector orders items
 * @errors as fr_model_rank()
 */
FR_MUST_CHECK enum fr_err fr_model_users(const struct fr_model *m,
                                         const struct fr_slot *const *user,
                                         const struct fr_slot *const *context,
                                         int n,
                                         unsigned flags,
                                         struct fr_arena *scratch,
                                         float *out);
/** Vectors of n items. As fr_model_users(). */
FR_MUST_CHECK enum fr_err fr_model_items(const struct fr_model *m,
                                         const struct fr_slot *const *items,
                                         int n,
                                         unsigned flags,
                                         struct fr_arena *scratch,
                                         float *out);
/** Retrieval: a logit is inner product * this (1 / tau). Ranker: 1. */
float fr_model_inv_tau(const struct fr_model *m);

/** One user and a few candidates as cells: self-tests, evaluation, training lists. */
struct fr_model_case {
    const struct fr_cell *user;         /* (n_cells[USER]) */
    const struct fr_cell *context;      /* (n_cells[CONTEXT]) */
    const struct fr_cell *const *items; /* n pointers to (n_cells[ITEM]) */
    const struct fr_cell *cross;        /* (n, n_cells[CROSS]) */
    int n;
};

/** Logits of a case, for either job (retrieval: u . v / tau; mf: its own). Slower: encodes everything.
 *  @param out (n). @errors as fr_model_rank() */
FR_MUST_CHECK enum fr_err fr_model_score_case(const struct fr_model *m,
                                              const struct fr_model_case *c,
                                              unsigned flags,
                                              struct fr_arena *scratch,
                                              float *out);

/** The same with the value head's raw outputs beside the logits. @param out_raw (n) @errors FR_EINVAL no value head */
FR_MUST_CHECK enum fr_err fr_model_score_case_heads(const struct fr_model *m,
                                                    const struct fr_model_case *c,
                                                    unsigned flags,
                                                    struct fr_arena *scratch,
                                                    float *out_logit,
                                                    float *out_raw);

/** What a trainer knows of the bundle it writes. Strings are borrowed for the call. */
struct fr_model_meta {
    const char *name; /* [a-z0-9_-]{1,63} */
    uint64_t version;
    const char *parent; /* "" or "name@version" */
    int64_t created_ms;
    const char *const *metric_names; /* e.g. "auc", "logloss" */
    const double *metric_values;     /* finite */
    int n_metrics;
};

/**
 * Write a bundle: a directory beside `dir`, fsynced and renamed over; an old bundle at `dir` is
 * moved aside and removed only after that.
 * @param cases  1..4 self-test cases of 1..8 candidates; expected scores are computed here.
 * @errors FR_EINVAL FR_EIO FR_ENONFINITE FR_ENOMEM; an existing bundle stays.
 */
FR_MUST_CHECK enum fr_err fr_model_save(const struct fr_model *m,
                                        const struct fr_model_meta *meta,
                                        const struct fr_model_case *cases,
                                        int n_cases,
                                        const char *dir,
                                        struct fr_fault *fault);

#endif
