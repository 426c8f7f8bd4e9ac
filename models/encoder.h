/*
 * models/encoder.h - cells (what features emit) to slots (what models read).
 *
 * A model names a subset of the field set. Its fields are ordered by entity (user, context, item,
 * cross), then by declaration; the slots of an entity group are the slots of its fields in that
 * order.
 *
 *   ID       row = vocabulary of the field's table (0 = unknown), x as given; cell.id 0 = unused
 * slot BUCKET   row = cell.id (0 when out of range), x as given NUMERIC  row 1, x = clamp((value -
 * mean) * scale, +-FR_ENC_CLAMP); an own table of two rows
 *
 * Tables: one per id space ("item"), shared by its fields; "bucket_<field>"; "numeric_<field>".
 * Layer: daemon/base/ and models/.
 */
#ifndef FR_MODELS_ENCODER_H
#define FR_MODELS_ENCODER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/field.h"
#include "models/vocab.h"

#define FR_ENC_TABLE_NAME 64
#define FR_ENC_CLAMP 8.0f
#define FR_ENC_NUMERIC_ROWS 2u

/** One field a model uses. */
struct fr_enc_field {
    struct fr_field f; /* copy of the declaration; f.first = its first cell in its group */
    int table;         /* index in tables[] */
    uint32_t slot0;    /* first slot within its entity group */
    float mean, scale; /* NUMERIC; 0 and 1 until fitted */
    /* fitting (Welford), training only */
    uint64_t seen;
    double run_mean, run_m2;
};

struct fr_enc_table {
    char name[FR_ENC_TABLE_NAME];
    enum fr_field_kind kind;
    uint32_t rows;         /* rows in use, row 0 included; for ID the vocabulary's */
    struct fr_vocab vocab; /* ID only */
};

/** Owner: a model or a trainer. Thread: immutable while serving, any; training: one. */
struct fr_encoder {
    struct fr_enc_field field[FR_MAX_FIELDS];
    int n_fields;
    int first_field[FR_ENTITY_COUNT +
                    1]; /* fields of entity e: [first_field[e], first_field[e+1]) */
    uint32_t n_slots[FR_ENTITY_COUNT];
    uint32_t n_cells[FR_ENTITY_COUNT]; /* of the whole field set */
    struct fr_enc_table table[FR_MAX_FIELDS];
    int n_tables;
    uint64_t schema_hash;
    bool fixed; /* the normalisers are another model's: fr_encoder_fit() leaves them */
};

/**
 * Choose fields and make their empty tables.
 * @param names    n field names; NULL = all fields whose entity is in `entities`.
 * @param entities bit set, 1u << FR_ENTITY_x; a named field outside it is refused.
 * @param max_rows, admit  for every ID vocabulary.
 * @errors FR_ENOTFOUND (names the field) FR_EINVAL FR_EDUPLICATE FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_encoder_new(const struct fr_field_set *fs,
                                         const char *const *names,
                                         int n,
                                         unsigned entities,
                                         uint32_t max_rows,
                                         uint32_t admit,
                                         struct fr_encoder **out_enc,
                                         struct fr_fault *fault);
void fr_encoder_free(struct fr_encoder *enc);
/** Deep copy. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_encoder_clone(const struct fr_encoder *enc,
                                           struct fr_encoder **out_enc);

/**
 * Encode one row of one entity group.
 * @param cells  (n_cells[e]) of the whole group, in declaration order.
 * @param out    (n_slots[e]); unspecified on error.
 * @errors FR_ENONFINITE a cell the model uses is NaN or infinite
 * @thread any
 */
FR_MUST_CHECK enum fr_err fr_encoder_encode(const struct fr_encoder *enc,
                                            enum fr_entity e,
                                            const struct fr_cell *cells,
                                            struct fr_slot *out);

/** Training: as fr_encoder_encode(), but ids are counted and admitted, so tables may grow. */
FR_MUST_CHECK enum fr_err fr_encoder_encode_grow(struct fr_encoder *enc,
                                                 enum fr_entity e,
                                                 const struct fr_cell *cells,
                                                 struct fr_slot *out);

/** Training: count the ids of a row and take its numeric values into the running moments. */
FR_MUST_CHECK enum fr_err
fr_encoder_observe(struct fr_encoder *enc, enum fr_entity e, const struct fr_cell *cells);
/** Turn the running moments into mean and scale = 1 / std; a constant field gets scale 0 (it is
 * always 0 then). Fields without a value keep mean 0, scale 1. */
void fr_encoder_fit(struct fr_encoder *enc);

/** Training: no id is admitted any more; see fr_vocab_settle(). */
void fr_encoder_settle(struct fr_encoder *enc);

/** True if every row of the group's slots is inside its table. @thread any */
bool fr_encoder_rows_valid(const struct fr_encoder *enc,
                           enum fr_entity e,
                           const struct fr_slot *slots);

/** Number of the model's fields of one entity. */
static inline int fr_encoder_n_fields(const struct fr_encoder *enc, enum fr_entity e)
{
    return enc->first_field[e + 1] - enc->first_field[e];
}

/** True if `b` has every table of `a`, with the same ids in the same rows. */
bool fr_encoder_same_ids(const struct fr_encoder *a, const struct fr_encoder *b);

/** Index of the field named `name` among the model's fields, or -1. */
int fr_encoder_find(const struct fr_encoder *enc, const char *name);

#endif
