/*
 * models/train/train_from.c - a model's weights as the beginning of a training.
 */
#include "models/train/train_from.h"

#include <string.h>

#include "daemon/base/buf.h"
#include "models/model_parts.h"

/* ---- the same model? ---- */

static enum fr_err config_text(const struct fr_model *m, struct fr_buf *b)
{
    enum fr_err e = fr_model_config_text(m, b);

    fr_buf_putc(b, '\0');
    return e == FR_OK ? fr_buf_err(b) : e;
}

static enum fr_err
same_config(const struct fr_model *own, const struct fr_model *m, struct fr_fault *fault)
{
    struct fr_buf a, b;
    enum fr_err e;

    fr_buf_init(&a);
    fr_buf_init(&b);
    e = config_text(own, &a);
    if (e == FR_OK)
        e = config_text(m, &b);
    if (e != FR_OK)
        e = fr_fault(fault, e, "trainer: out of memory");
    else if (strcmp(a.p, b.p) != 0)
        e = fr_fault(fault, FR_EMISMATCH, "the model to go on from has config %s, this training %s", b.p, a.p);
    fr_buf_done(&a);
    fr_buf_done(&b);
    return e;
}

static enum fr_err
same_fields(const struct fr_encoder *own, const struct fr_encoder *enc, struct fr_fault *fault)
{
    for (int i = 0; i < own->n_fields && i < enc->n_fields; i++) {
        const struct fr_field *a = &own->field[i].f, *b = &enc->field[i].f;

        if (strcmp(a->name, b->name) != 0)
            return fr_fault(fault, FR_EMISMATCH, "field %s: the model to go on from has %s there", a->name, b->name);
        if (a->entity != b->entity || a->kind != b->kind || a->slots != b->slots ||
            a->vocab != b->vocab || strcmp(a->table, b->table) != 0)
            return fr_fault(fault, FR_EMISMATCH, "field %s: declared otherwise in the model to go on from", a->name);
    }
    if (own->n_fields != enc->n_fields)
        return fr_fault(fault, FR_EMISMATCH, "the model to go on from has %d fields, this training %d",
                        enc->n_fields, own->n_fields);
    return FR_OK;
}

enum fr_err
fr_train_from_check(const struct fr_model *own, const struct fr_model *m, struct fr_fault *fault)
{
    enum fr_model_kind kind = fr_model_info(own)->kind;
    enum fr_err e;

    if (kind != fr_model_info(m)->kind)
        return fr_fault(fault, FR_EMISMATCH, "the model to go on from is a %s, this training of a %s",
                        fr_model_kind_name(fr_model_info(m)->kind), fr_model_kind_name(kind));
    e = same_fields(fr_model_encoder(own), fr_model_encoder(m), fault);
    return e == FR_OK ? same_config(own, m, fault) : e;
}

/* ---- taking over ---- */

enum fr_err fr_train_from_ids(struct fr_trainer *t, const struct fr_model *m, struct fr_fault *fault)
{
    const struct fr_encoder *enc = fr_model_encoder(m);

    for (int i = 0; i < t->enc->n_tables; i++) {
        struct fr_enc_table *to = &t->enc->table[i];
        const struct fr_vocab *v = &enc->table[i].vocab;
        enum fr_err e;

        if (to->kind != FR_FIELD_ID)
            continue;
        if ((e = fr_vocab_load(&to->vocab, v->keys, v->n_rows)) != FR_OK)
            return fr_fault(fault, e, "table %s: %u ids of the model to go on from: %s", to->name,
                            v->n_rows - 1, fr_err_text(e));
        to->rows = to->vocab.n_rows;
    }
    for (int i = 0; i < t->enc->n_fields; i++) {
        t->enc->field[i].mean = enc->field[i].mean;
        t->enc->field[i].scale = enc->field[i].scale;
    }
    t->enc->fixed = true;
    return FR_OK;
}

static enum fr_err find(const struct fr_model *m,
                        const char *name,
                        uint64_t rows,
                        uint64_t cols,
                        const float **out,
                        struct fr_fault *fault)
{
    int n = 0;
    const struct fr_tensor *t = fr_model_tensors(m, &n);

    return fr_tensor_require(t, n, name, rows, cols, out, fault);
}

static enum fr_err take(const struct fr_model *m, struct fr_dense *d, struct fr_fault *fault)
{
    const float *w = NULL;
    uint64_t rows = (uint64_t)d->rows, cols = (uint64_t)d->cols;
    enum fr_err e = find(m, d->name, rows, cols, &w, fault);

    if (e == FR_OK)
        memcpy(d->w, w, d->n * sizeof(*w));
    return e;
}

enum fr_err fr_train_from_dense(struct fr_trainer *t, const struct fr_model *m, struct fr_fault *fault)
{
    enum fr_err e = FR_OK;

    for (int i = 0; i < t->params.n_dense && e == FR_OK; i++)
        e = take(m, &t->params.dense[i], fault);
    for (int i = 0; i < t->params.n_buffers && e == FR_OK; i++)
        e = take(m, &t->params.buffer[i], fault);
    return e;
}

enum fr_err fr_train_from_table(const struct fr_model *m,
                                const struct fr_encoder *enc,
                                int table,
                                const char *name,
                                int dim,
                                float *w,
                                struct fr_fault *fault)
{
    const struct fr_enc_table *from = &fr_model_encoder(m)->table[table], *to = &enc->table[table];
    const float *src = NULL;
    enum fr_err e = find(m, name, from->rows, (uint64_t)dim, &src, fault);

    for (uint32_t r = 0; r < from->rows && e == FR_OK; r++) {
        bool id = from->kind == FR_FIELD_ID && r > 0;
        int32_t row = id ? fr_vocab_row(&to->vocab, from->vocab.keys[r]) : (int32_t)r;

        if (id && row == 0)
            return fr_fault(fault, FR_EMISMATCH,
                            "table %s: id %016llx of the model to go on from is not in this training",
                            to->name, (unsigned long long)from->vocab.keys[r]);
        memcpy(w + (size_t)row * (size_t)dim, src + (size_t)r * (size_t)dim, (size_t)dim * sizeof(*w));
    }
    return e;
}

enum fr_err fr_train_from_rows(struct fr_trainer *t,
                               const struct fr_model *m,
                               const int *table_of,
                               struct fr_fault *fault)
{
    enum fr_err e = FR_OK;

    for (int i = 0; i < t->enc->n_tables && e == FR_OK; i++) {
        struct fr_table *p = &t->params.table[table_of[i]];

        e = fr_train_from_table(m, t->enc, i, p->name, p->dim, p->w, fault);
    }
    return e;
}
