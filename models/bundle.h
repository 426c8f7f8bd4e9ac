/*
 * models/bundle.h - the bundle directory: manifest.json and weights.safetensors.
 *
 *   DIR/manifest.json         schema "freshet.bundle.v1": kind, name, version, parent, created_ms,
 *                             schema_hash, fields (with normalisers; "cell": the first of a field's
 *                             `slots` cells in a row of its group), config (hyper-parameters),
 *                             weights {file, bytes, crc32}, metrics, selftest [{cells, expected,
 *                             with a value head expected_value}]
 *   DIR/weights.safetensors   the model's tensors; vocab.<table> U64 (rows) the keys of each row
 *
 * Reading checks: manifest size and syntax, every member's type and range, no unknown schema, a
 * weights name without any path in it, a regular file of the stated size and CRC, every tensor.
 * Layer: daemon/base/ and models/. Callers outside models/ use models/model.h; `freshet
 * explain`, which has no configuration, reads the fields and the self-tests here.
 */
#ifndef FR_MODELS_BUNDLE_H
#define FR_MODELS_BUNDLE_H

#include "daemon/base/arena.h"
#include "daemon/base/err.h"
#include "daemon/base/field.h"
#include "daemon/base/json.h"
#include "models/encoder.h"
#include "models/model.h"
#include "models/tensor.h"

#define FR_BUNDLE_SCHEMA "freshet.bundle.v1"
#define FR_BUNDLE_MAX_MANIFEST (4u << 20)
#define FR_BUNDLE_MAX_WEIGHTS ((size_t)16 << 30)
#define FR_BUNDLE_MAX_CASES 4
#define FR_BUNDLE_MAX_CANDIDATES 8

/** One self-test: cells and the logits they must give. Owner: the bundle's arena. */
struct fr_bundle_case {
    struct fr_model_case c;
    const float *expected;       /* (c.n) */
    const float *expected_value; /* (c.n) raw outputs of the value head; NULL without one */
};

/** A bundle read and checked, before a model is built of it. Owner: fr_bundle_free(). */
struct fr_bundle {
    struct fr_arena *ar;
    char *manifest_text; /* the JSON tree points into it */
    struct fr_model_info info;
    struct fr_encoder *enc; /* with vocabularies and normalisers; the model takes it */
    const struct fr_json *config;
    struct fr_tensor *tensor;
    int n_tensors;
    void **own; /* (n_tensors) their data; NULL what the encoder took; a model takes the whole */
    struct fr_bundle_case cases[FR_BUNDLE_MAX_CASES];
    int n_cases;
};

/** @errors see fr_model_load(). */
FR_MUST_CHECK enum fr_err fr_bundle_read(const char *dir,
                                         const struct fr_field_set *fs,
                                         struct fr_bundle **out_b,
                                         struct fr_fault *fault);
void fr_bundle_free(struct fr_bundle *b);

/**
 * Read the manifest alone (all but files): what fuzz_bundle.c calls.
 * @param out_weights  name, size and CRC of the weights file, checked for path tricks.
 */
struct fr_bundle_weights {
    char file[64];
    uint64_t bytes;
    uint32_t crc32;
};
FR_MUST_CHECK enum fr_err fr_bundle_parse_manifest(struct fr_bundle *b,
                                                   struct fr_str text,
                                                   const struct fr_field_set *fs,
                                                   struct fr_bundle_weights *out_weights,
                                                   struct fr_fault *fault);

/**
 * The field set that a bundle was made under, as far as its model uses it: those fields at their cells, the number of
 * all cells, the hash. Enough to read and use the bundle where there is no configuration.
 * @errors FR_ENOTFOUND FR_EIO FR_ETOOLARGE FR_ESCHEMA FR_EDUPLICATE FR_ENOMEM, the parser's; out untouched then.
 */
FR_MUST_CHECK enum fr_err fr_bundle_fields(const char *dir, struct fr_field_set *out, struct fr_fault *fault);
/** The same of a manifest's text: what fuzz_bundle.c calls. */
FR_MUST_CHECK enum fr_err
fr_bundle_fields_parse(struct fr_str text, struct fr_field_set *out, struct fr_fault *fault);

/**
 * Write a model's bundle. Called by fr_model_save(), which computes the expected scores.
 * @errors FR_EINVAL FR_EREFUSED (`dir` holds something that is no bundle) FR_EIO FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_bundle_write(const struct fr_model *m,
                                          const struct fr_model_meta *meta,
                                          const struct fr_bundle_case *cases,
                                          int n_cases,
                                          const char *dir,
                                          struct fr_fault *fault);

/**
 * Whether a bundle may take the place of `dir`: it is not there, or an earlier bundle; nothing else is ever moved aside
 * and removed. Nothing is changed. @param dir  without a slash at its end
 * @errors FR_EREFUSED it holds something else; FR_EIO
 */
FR_MUST_CHECK enum fr_err fr_bundle_check_target(const char *dir, bool *out_exists, struct fr_fault *fault);

#endif
