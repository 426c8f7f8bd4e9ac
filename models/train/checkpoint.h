/*
 * models/train/checkpoint.h - a training that was stopped goes on from one file with the same bits.
 *
 * The file is safetensors: numbers by the million are tensors, the rest is one JSON object, member of "__metadata__":
 *
 *   __metadata__  "freshet.checkpoint.v1": {"trainer/t":1200,"place/epoch":3,...}   flat, "<section>/<key>"
 *                 "crc32": "9ab01c22"                of that text and of the data
 *   tensors       "trainer/w.mlp.0.weight", "trainer/m....", "trainer/v....", "trainer/rng", "best/..."
 *
 * One walk writes and reads: a thing with state has a function that names all of it, in order; when saving the values
 * go out, when loading they come in. So the two cannot drift apart. What only has to be the same in both (settings,
 * seed, a hash of the data) is named by fr_checkpoint_same_*() and compared. What the file has and nobody asked for is
 * an error too, in fr_checkpoint_end().
 *
 *   new ----walk----> write                     read ----walk----> end
 *
 * Errors are sticky (as struct fr_buf): after the first nothing is read any more, and end() or write() tell. The file
 * is hostile. Layer: daemon/base/ and models/. Thread: one.
 */
#ifndef FR_MODELS_TRAIN_CHECKPOINT_H
#define FR_MODELS_TRAIN_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/rng.h"
#include "daemon/base/str.h"
#include "models/model.h"

#define FR_CHECKPOINT_SCHEMA "freshet.checkpoint.v1"
#define FR_CHECKPOINT_MAX_STEPS ((int64_t)1 << 53)

struct fr_checkpoint;
struct fr_encoder;
struct fr_params;
struct fr_params_mean;
struct fr_tensor;

/** One to be filled and written. @errors FR_ENOMEM. Owner: fr_checkpoint_free() */
FR_MUST_CHECK enum fr_err fr_checkpoint_new(struct fr_checkpoint **out);
/** Write what was walked over, in place of `path`; tensors are read now. @errors the first of the walk; as
 *  fr_safetensors_head(), fr_file_replace() */
FR_MUST_CHECK enum fr_err fr_checkpoint_write(struct fr_checkpoint *ck, const char *path, struct fr_fault *fault);

/** One to be loaded from. @errors FR_ENOTFOUND no such file; FR_ECORRUPT the sum differs; as fr_checkpoint_parse() */
FR_MUST_CHECK enum fr_err fr_checkpoint_read(const char *path, struct fr_checkpoint **out, struct fr_fault *fault);
/** The same of bytes in memory, which outlive it; the sum is not looked at. @errors as fr_safetensors_parse();
 *  FR_EVERSION it is no checkpoint of this version; FR_ESCHEMA FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_checkpoint_parse(struct fr_str file, struct fr_checkpoint **out, struct fr_fault *fault);
/** After the walks of loading. @errors the first of the walks; FR_ESCHEMA something was left over */
FR_MUST_CHECK enum fr_err fr_checkpoint_end(struct fr_checkpoint *ck, struct fr_fault *fault);
void fr_checkpoint_free(struct fr_checkpoint *ck);

/** True when values come in. */
bool fr_checkpoint_loading(const struct fr_checkpoint *ck);
/** The first error so far. */
FR_MUST_CHECK enum fr_err fr_checkpoint_err(const struct fr_checkpoint *ck);
/** Record an error of the caller's about `key`; the first one stays. */
void fr_checkpoint_fail(struct fr_checkpoint *ck, enum fr_err e, const char *key, const char *why);
/** What follows is named "<section>/<key>". */
void fr_checkpoint_section(struct fr_checkpoint *ck, const char *section);

/* ---- values: in or out ---- */

void fr_checkpoint_i64(struct fr_checkpoint *ck, const char *key, int64_t *v, int64_t min, int64_t max);
void fr_checkpoint_int(struct fr_checkpoint *ck, const char *key, int *v, int min, int max);
void fr_checkpoint_bool(struct fr_checkpoint *ck, const char *key, bool *v);
void fr_checkpoint_f64(struct fr_checkpoint *ck, const char *key, double *v);
void fr_checkpoint_f32(struct fr_checkpoint *ck, const char *key, float *v);
/** NaN passes (as null). */
void fr_checkpoint_f64s(struct fr_checkpoint *ck, const char *key, double *v, int n);

/* Tensors. When saving they are read by fr_checkpoint_write(), so they must stay. NULL or no elements: absent, and
 * must be absent in the file. */
void fr_checkpoint_f32s(struct fr_checkpoint *ck, const char *key, float *v, uint64_t rows, uint64_t cols);
void fr_checkpoint_u32s(struct fr_checkpoint *ck, const char *key, uint32_t *v, uint64_t n);
void fr_checkpoint_u64s(struct fr_checkpoint *ck, const char *key, uint64_t *v, uint64_t n);
void fr_checkpoint_rng(struct fr_checkpoint *ck, const char *key, struct fr_rng *rng);
/** Loading: how many elements a tensor that is a vector has; 0 if there is none. */
uint64_t fr_checkpoint_count(const struct fr_checkpoint *ck, const char *key);
/** Memory that stays until the checkpoint is freed, for what is gathered to be saved. NULL and a sticky FR_ENOMEM */
void *fr_checkpoint_room(struct fr_checkpoint *ck, size_t n, size_t size);

/* ---- what must be the same: out, or compared ---- */

void fr_checkpoint_same_str(struct fr_checkpoint *ck, const char *key, const char *v);
void fr_checkpoint_same_u64(struct fr_checkpoint *ck, const char *key, uint64_t v);
void fr_checkpoint_same_f64(struct fr_checkpoint *ck, const char *key, double v);

/* ---- compounds ---- */

/**
 * Vocabularies (with the ids that wait to be admitted) and normalisers. Loading replaces them; with `fixed` ids must
 * be the same. @thread as the encoder's
 */
void fr_checkpoint_encoder(struct fr_checkpoint *ck, struct fr_encoder *enc, bool fixed);
/** Weights, optimiser state (arrays that are NULL are absent), buffers, the step count. Tables have their rows. */
void fr_checkpoint_params(struct fr_checkpoint *ck, struct fr_params *p);
/** The moving mean of those weights. Loading: into an empty one. */
void fr_checkpoint_mean(struct fr_checkpoint *ck, struct fr_params_mean *mean, const struct fr_params *p);
/** Builds a model of tensors; they and `ctx` are borrowed. */
typedef enum fr_err (*fr_checkpoint_build_fn)(
    const void *ctx, const struct fr_tensor *t, int n, struct fr_model **out_m, struct fr_fault *fault);
/** The weights of a model, or that there is none (*m NULL). Loading: *m must be NULL; the caller owns what it becomes. */
void fr_checkpoint_model(struct fr_checkpoint *ck, struct fr_model **m, fr_checkpoint_build_fn build, const void *ctx);
/** The same with its ids and normalisers, when its trainer is gone. Loading: through `enc`, a new encoder of its fields,
 *  of which `build` makes it, and *m is not NULL unless there is an error. Saving: enc is not looked at. */
void fr_checkpoint_whole_model(struct fr_checkpoint *ck,
                               struct fr_model **m,
                               struct fr_encoder *enc,
                               fr_checkpoint_build_fn build,
                               const void *ctx);

#endif
