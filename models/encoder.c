/*
 * models/encoder.c - field selection, tables, and cells to slots.
 */
#include "models/encoder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/tensor.h"

static int find_table(const struct fr_encoder *enc, const char *name)
{
    for (int i = 0; i < enc->n_tables; i++)
        if (strcmp(enc->table[i].name, name) == 0)
            return i;
    return -1;
}

static void table_name(const struct fr_field *f, char out[FR_ENC_TABLE_NAME])
{
    switch (f->kind) {
    case FR_FIELD_ID:
        (void)snprintf(out, FR_ENC_TABLE_NAME, "%s", f->table);
        break;
    case FR_FIELD_BUCKET:
        (void)snprintf(out, FR_ENC_TABLE_NAME, "bucket_%s", f->name);
        break;
    case FR_FIELD_NUMERIC:
        (void)snprintf(out, FR_ENC_TABLE_NAME, "numeric_%s", f->name);
        break;
    }
}

/* Table of a field, made on first use. */
static enum fr_err add_table(struct fr_encoder *enc,
                             const struct fr_field *f,
                             uint32_t max_rows,
                             uint32_t admit,
                             int *out_table,
                             struct fr_fault *fault)
{
    char name[FR_ENC_TABLE_NAME];
    table_name(f, name);
    int i = find_table(enc, name);
    if (i >= 0 && (f->kind != FR_FIELD_ID || enc->table[i].kind != FR_FIELD_ID))
        return fr_fault(
            fault, FR_EDUPLICATE, "field %s: table name %s is used twice", f->name, name);
    if (i < 0) {
        struct fr_enc_table *t = &enc->table[enc->n_tables];
        memcpy(t->name, name, sizeof(name));
        t->kind = f->kind;
        t->rows = f->kind == FR_FIELD_BUCKET ? f->vocab : FR_ENC_NUMERIC_ROWS;
        if (f->kind == FR_FIELD_ID) {
            enum fr_err e = fr_vocab_init(&t->vocab, max_rows, admit);
            if (e != FR_OK)
                return fr_fault(fault, e, "table %s: %s", name, fr_err_text(e));
            t->rows = 1;
        }
        i = enc->n_tables++;
    }
    *out_table = i;
    return FR_OK;
}

static enum fr_err add_field(struct fr_encoder *enc,
                             const struct fr_field *f,
                             uint32_t max_rows,
                             uint32_t admit,
                             struct fr_fault *fault)
{
    struct fr_enc_field *ef = &enc->field[enc->n_fields];
    int table = -1;
    enum fr_err e = add_table(enc, f, max_rows, admit, &table, fault);
    if (e != FR_OK)
        return e;
    *ef = (struct fr_enc_field){
        .f = *f, .table = table, .slot0 = enc->n_slots[f->entity], .mean = 0, .scale = 1};
    enc->n_slots[f->entity] += f->slots;
    enc->n_fields++;
    return FR_OK;
}

/* Marks the fields to use; a name must exist, be of an allowed entity and occur once. */
static enum fr_err choose(const struct fr_field_set *fs,
                          const char *const *names,
                          int n,
                          unsigned entities,
                          bool use[FR_MAX_FIELDS],
                          struct fr_fault *fault)
{
    if (names == NULL) {
        for (int i = 0; i < fs->n; i++)
            use[i] = (entities >> fs->f[i].entity & 1u) != 0;
        return FR_OK;
    }
    for (int k = 0; k < n; k++) {
        int i = fr_field_find(fs, fr_str_z(names[k]));
        if (i < 0)
            return fr_fault(fault, FR_ENOTFOUND, "field %s is not declared", names[k]);
        if ((entities >> fs->f[i].entity & 1u) == 0)
            return fr_fault(fault,
                            FR_EINVAL,
                            "field %s: the model takes no %s fields",
                            names[k],
                            fr_entity_name(fs->f[i].entity));
        if (use[i])
            return fr_fault(fault, FR_EDUPLICATE, "field %s is named twice", names[k]);
        use[i] = true;
    }
    return FR_OK;
}

enum fr_err fr_encoder_new(const struct fr_field_set *fs,
                           const char *const *names,
                           int n,
                           unsigned entities,
                           uint32_t max_rows,
                           uint32_t admit,
                           struct fr_encoder **out_enc,
                           struct fr_fault *fault)
{
    bool use[FR_MAX_FIELDS] = {false};
    struct fr_encoder *enc = fr_calloc(1, sizeof(*enc));
    enum fr_err e = FR_OK;

    if (enc == NULL)
        return fr_fault(fault, FR_ENOMEM, "encoder: out of memory");
    enc->schema_hash = fs->hash;
    memcpy(enc->n_cells, fs->n_cells, sizeof(enc->n_cells));
    if ((e = choose(fs, names, n, entities, use, fault)) != FR_OK)
        goto out;
    for (int ent = 0; ent < FR_ENTITY_COUNT; ent++) {
        enc->first_field[ent] = enc->n_fields;
        for (int i = 0; i < fs->n; i++) {
            if (!use[i] || (int)fs->f[i].entity != ent)
                continue;
            if ((e = add_field(enc, &fs->f[i], max_rows, admit, fault)) != FR_OK)
                goto out;
        }
    }
    enc->first_field[FR_ENTITY_COUNT] = enc->n_fields;
    if (enc->n_fields == 0) {
        e = fr_fault(fault, FR_EINVAL, "a model needs at least one field");
        goto out;
    }
    *out_enc = enc;
    enc = NULL;
out:
    fr_encoder_free(enc);
    return e;
}

void fr_encoder_free(struct fr_encoder *enc)
{
    if (enc == NULL)
        return;
    for (int i = 0; i < enc->n_tables; i++)
        fr_vocab_done(&enc->table[i].vocab);
    fr_free(enc);
}

enum fr_err fr_encoder_clone(const struct fr_encoder *enc, struct fr_encoder **out_enc)
{
    struct fr_encoder *c = fr_calloc(1, sizeof(*c));
    enum fr_err e = FR_OK;

    if (c == NULL)
        return FR_ENOMEM;
    *c = *enc;
    for (int i = 0; i < c->n_tables; i++)
        c->table[i].vocab = (struct fr_vocab){0};
    for (int i = 0; i < c->n_tables && e == FR_OK; i++) {
        const struct fr_vocab *v = &enc->table[i].vocab;
        if (enc->table[i].kind != FR_FIELD_ID)
            continue;
        e = fr_vocab_init(&c->table[i].vocab, v->max_rows, v->admit);
        if (e == FR_OK)
            e = fr_vocab_load(&c->table[i].vocab, v->keys, v->n_rows);
    }
    if (e != FR_OK) {
        fr_encoder_free(c);
        return e;
    }
    *out_enc = c;
    return FR_OK;
}

static struct fr_slot numeric_slot(const struct fr_enc_field *ef, float value)
{
    float x = (value - ef->mean) * ef->scale;
    if (x > FR_ENC_CLAMP)
        x = FR_ENC_CLAMP;
    if (x < -FR_ENC_CLAMP)
        x = -FR_ENC_CLAMP;
    return (struct fr_slot){1, x};
}

static struct fr_slot bucket_slot(const struct fr_enc_field *ef, const struct fr_cell *c)
{
    return (struct fr_slot){c->id < ef->f.vocab ? (int32_t)c->id : 0, c->x};
}

enum fr_err fr_encoder_encode(const struct fr_encoder *enc,
                              enum fr_entity e,
                              const struct fr_cell *cells,
                              struct fr_slot *out)
{
    for (int i = enc->first_field[e]; i < enc->first_field[e + 1]; i++) {
        const struct fr_enc_field *ef = &enc->field[i];
        const struct fr_vocab *v = &enc->table[ef->table].vocab;
        const struct fr_cell *c = cells + ef->f.first;
        struct fr_slot *s = out + ef->slot0;
        for (int k = 0; k < ef->f.slots; k++) {
            if (!fr_is_finite(c[k].x))
                return FR_ENONFINITE;
            if (ef->f.kind == FR_FIELD_NUMERIC)
                s[k] = numeric_slot(ef, c[k].x);
            else if (ef->f.kind == FR_FIELD_BUCKET)
                s[k] = bucket_slot(ef, &c[k]);
            else
                s[k] = c[k].id == 0 ? (struct fr_slot){0, 0}
                                    : (struct fr_slot){fr_vocab_row(v, c[k].id), c[k].x};
        }
    }
    return FR_OK;
}

/* Counts and admits the ids of a row. */
static enum fr_err see_ids(struct fr_encoder *enc, enum fr_entity e, const struct fr_cell *cells)
{
    for (int i = enc->first_field[e]; i < enc->first_field[e + 1]; i++) {
        const struct fr_enc_field *ef = &enc->field[i];
        struct fr_enc_table *t = &enc->table[ef->table];
        if (ef->f.kind != FR_FIELD_ID)
            continue;
        for (int k = 0; k < ef->f.slots; k++) {
            int32_t row = 0;
            enum fr_err err = fr_vocab_see(&t->vocab, cells[ef->f.first + k].id, &row);
            if (err != FR_OK)
                return err;
        }
        t->rows = t->vocab.n_rows;
    }
    return FR_OK;
}

enum fr_err fr_encoder_encode_grow(struct fr_encoder *enc,
                                   enum fr_entity e,
                                   const struct fr_cell *cells,
                                   struct fr_slot *out)
{
    enum fr_err err = see_ids(enc, e, cells);
    return err == FR_OK ? fr_encoder_encode(enc, e, cells, out) : err;
}

enum fr_err
fr_encoder_observe(struct fr_encoder *enc, enum fr_entity e, const struct fr_cell *cells)
{
    for (int i = enc->first_field[e]; i < enc->first_field[e + 1]; i++) {
        struct fr_enc_field *ef = &enc->field[i];
        for (int k = 0; k < ef->f.slots; k++) {
            float v = cells[ef->f.first + k].x;
            if (!fr_is_finite(v))
                return FR_ENONFINITE;
            if (ef->f.kind != FR_FIELD_NUMERIC)
                continue;
            double d = (double)v - ef->run_mean;
            ef->seen++;
            ef->run_mean += d / (double)ef->seen;
            ef->run_m2 += d * ((double)v - ef->run_mean);
        }
    }
    return see_ids(enc, e, cells);
}

void fr_encoder_fit(struct fr_encoder *enc)
{
    for (int i = 0; i < enc->n_fields && !enc->fixed; i++) {
        struct fr_enc_field *ef = &enc->field[i];
        if (ef->f.kind != FR_FIELD_NUMERIC || ef->seen == 0)
            continue;
        double std = sqrt(ef->run_m2 / (double)ef->seen);
        ef->mean = (float)ef->run_mean;
        /* A constant has taught the model nothing: it stays out, whatever it becomes later. */
        ef->scale = std > 1e-6 * (1.0 + fabs(ef->run_mean)) ? (float)(1.0 / std) : 0.0f;
    }
}

void fr_encoder_settle(struct fr_encoder *enc)
{
    for (int i = 0; i < enc->n_tables; i++)
        fr_vocab_settle(&enc->table[i].vocab);
}

bool fr_encoder_rows_valid(const struct fr_encoder *enc,
                           enum fr_entity e,
                           const struct fr_slot *slots)
{
    for (int i = enc->first_field[e]; i < enc->first_field[e + 1]; i++) {
        const struct fr_enc_field *ef = &enc->field[i];
        uint32_t rows = enc->table[ef->table].rows;
        for (int k = 0; k < ef->f.slots; k++)
            if ((uint32_t)slots[ef->slot0 + (uint32_t)k].row >= rows)
                return false;
    }
    return true;
}

bool fr_encoder_same_ids(const struct fr_encoder *a, const struct fr_encoder *b)
{
    for (int i = 0; i < a->n_tables; i++) {
        const struct fr_enc_table *t = &a->table[i], *o = b->table;
        int left = b->n_tables;

        for (; left > 0 && strcmp(o->name, t->name) != 0; left--)
            o++;
        if (left == 0 || o->kind != t->kind || o->rows != t->rows)
            return false;
        if (t->kind == FR_FIELD_ID &&
            memcmp(o->vocab.keys, t->vocab.keys, t->rows * sizeof(*t->vocab.keys)) != 0)
            return false;
    }
    return true;
}

int fr_encoder_find(const struct fr_encoder *enc, const char *name)
{
    for (int i = 0; i < enc->n_fields; i++)
        if (strcmp(enc->field[i].f.name, name) == 0)
            return i;
    return -1;
}
