/*
 * models/train/checkpoint_priv.h - the inside of a checkpoint, for its compounds and tests.
 */
#ifndef FR_MODELS_TRAIN_CHECKPOINT_PRIV_H
#define FR_MODELS_TRAIN_CHECKPOINT_PRIV_H

#include "daemon/base/arena.h"
#include "daemon/base/buf.h"
#include "daemon/base/json.h"
#include "models/tensor.h"
#include "models/train/checkpoint.h"

#define FR_CHECKPOINT_SECTION 24

/** Owner: fr_checkpoint_free(). Thread: one. */
struct fr_checkpoint {
    bool loading;
    enum fr_err err; /* the first */
    struct fr_fault fault;
    char section[FR_CHECKPOINT_SECTION];
    struct fr_arena *ar;
    struct fr_tensor *tensor; /* saving: allocated, data borrowed; loading: in `ar`, data in the file */
    int n_tensors, cap_tensors;
    /* saving */
    struct fr_buf text;
    struct fr_jsonw w;
    /* loading */
    char *file; /* nullable */
    const struct fr_json *meta, *root;
    struct fr_str json; /* the text of root */
    bool *used, *used_member;
};

/** "<section>/<key>". @return false: too long, told */
bool fr_checkpoint_name(struct fr_checkpoint *ck, const char *key, char out[FR_TENSOR_NAME]);
void fr_checkpoint_failf(struct fr_checkpoint *ck, enum fr_err e, const char *key, const char *fmt, ...)
    FR_PRINTF(4, 5);
/** Loading: data of a tensor of exactly that type and shape (cols 0: a vector), until the checkpoint is freed. NULL: told */
const void *fr_checkpoint_take(
    struct fr_checkpoint *ck, const char *key, enum fr_dtype type, uint64_t rows, uint64_t cols);

#endif
