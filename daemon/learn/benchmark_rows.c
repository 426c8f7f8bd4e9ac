/*
 * daemon/learn/benchmark_rows.c - files to field set and rows, epochs, validation, test.
 */
#include "daemon/learn/benchmark_rows.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/buf.h"
#include "daemon/base/file.h"
#include "daemon/base/hash.h"
#include "daemon/base/map.h"
#include "daemon/base/rng.h"
#include "daemon/learn/benchmark_data.h"
#include "daemon/learn/benchmark_detail.h"
#include "daemon/learn/benchmark_from.h"
#include "daemon/learn/benchmark_saver.h"
#include "models/metrics.h"
#include "models/train/checkpoint_trainers.h"
#include "models/train/train_ctr.h"

#define MAX_FILE ((size_t)1 << 32)
#define LIST 128    /* rows of a list: what a worker takes at a time */
#define SCORE 1024  /* rows scored at a time */
#define BINS 10     /* of calibration */
#define PATH_BYTES 4096

/* Measures of one set of rows. NaN where one does not apply. */
struct scores {
    double auc, gauc, logloss, ece, ratio;
};

/* Everything of one run. */
struct work {
    const struct fr_benchmark_run *run;
    struct fr_benchmark_rows train, valid, test;
    struct fr_field_set *fs;
    struct fr_benchmark_from from;
    struct fr_train_ctr *tr;
    struct fr_model *best;
    uint32_t *order;         /* (n_train) rows of train in the epoch's order */
    size_t n_train;          /* the rows after them, if any, are held out */
    struct fr_cell *cells;   /* (batch, columns) */
    float *labels;           /* (batch) */
    struct fr_rank_list *lists;
    struct fr_benchmark_saver sv;
};

static enum fr_err
read_rows(const char *dir, const char *file, struct fr_benchmark_rows *out, struct fr_fault *fault)
{
    char path[PATH_BYTES], *text = NULL;
    size_t n = 0;
    enum fr_err e;

    if (snprintf(path, sizeof(path), "%s/%s", dir, file) >= (int)sizeof(path))
        return fr_fault(fault, FR_EINVAL, "%s: the path is too long", dir);
    e = fr_file_read(path, MAX_FILE, &text, &n, fault);
    if (e == FR_OK)
        e = fr_benchmark_read_rows((struct fr_str){text, n}, path, out, fault);
    fr_free(text);
    return e;
}

/* One ID field a column; the hash is of their names. */
static enum fr_err fields_of(const struct fr_benchmark_rows *r, struct fr_field_set **out, struct fr_fault *fault)
{
    struct fr_field_set *fs = fr_calloc(1, sizeof(*fs));
    enum fr_err e = fs == NULL ? FR_ENOMEM : FR_OK;

    for (uint32_t i = 0; e == FR_OK && i < r->columns; i++) {
        struct fr_hash_key k = {fs->hash, i + 1};

        e = fr_field_add(fs, r->name[i], FR_ENTITY_CROSS, FR_FIELD_ID, r->name[i], 0, 1);
        fs->hash = fr_siphash(k, fr_str_z(r->name[i]));
    }
    if (e != FR_OK) {
        fr_free(fs);
        return fr_fault(fault, e, "fields: %s", fr_err_text(e));
    }
    *out = fs;
    return FR_OK;
}

static enum fr_err same_columns(const struct fr_benchmark_rows *a,
                                const struct fr_benchmark_rows *b,
                                const char *dir,
                                const char *file,
                                struct fr_fault *fault)
{
    bool same = a->columns == b->columns;

    for (uint32_t i = 0; same && i < a->columns; i++)
        same = strcmp(a->name[i], b->name[i]) == 0;
    return same ? FR_OK : fr_fault(fault, FR_ESCHEMA, "%s/%s:1: other columns than train.csv", dir, file);
}

static void cells_of(const struct fr_benchmark_rows *r, size_t row, struct fr_cell *out)
{
    for (uint32_t c = 0; c < r->columns; c++) /* 0 would be an absent id */
        out[c] = (struct fr_cell){(uint64_t)r->id[row * r->columns + c] + 1, 1};
}

/* The only label of n rows; -1: both occur. */
static int only_label(const uint8_t *label, size_t n)
{
    return memchr(label, label[0] == 0, n) == NULL ? label[0] : -1;
}

/* ---- scores ---- */

/* @param detail  nullable */
static enum fr_err measure(const struct fr_benchmark_rows *r,
                           float *logit,
                           struct fr_benchmark_detail *detail,
                           struct scores *out)
{
    struct fr_calibration cal = {(double)NAN, (double)NAN};
    int only = only_label(r->label, r->n);
    uint32_t *user = fr_malloc_array(r->n, sizeof(*user));
    uint32_t column = 0;
    enum fr_err e = user == NULL ? FR_ENOMEM : FR_OK;

    out->auc = (double)NAN;
    if (e == FR_OK && only < 0)
        e = fr_metric_auc(logit, r->label, r->n, &out->auc);
    while (column < r->columns && strcmp(r->name[column], "user") != 0)
        column++;
    if (e == FR_OK)
        e = fr_metric_logloss(logit, r->label, r->n, &out->logloss);
    out->gauc = (double)NAN;
    for (size_t i = 0; e == FR_OK && column < r->columns && i < r->n; i++)
        user[i] = r->id[i * r->columns + column];
    if (e == FR_OK && column < r->columns) {
        e = fr_metric_gauc(logit, r->label, user, r->n, &out->gauc);
        e = e == FR_EINVAL ? FR_OK : e; /* no user with both labels */
    }
    if (e == FR_OK && detail != NULL)
        e = fr_benchmark_detail_rows(detail, logit, r->label, column < r->columns ? user : NULL, r->n);
    for (size_t i = 0; e == FR_OK && i < r->n; i++)
        logit[i] = (float)(1 / (1 + exp(-(double)logit[i])));
    if (e == FR_OK && only != 0) /* the ratio is to the positives */
        e = fr_metric_calibration(logit, r->label, r->n, BINS, &cal);
    out->ece = cal.ece;
    out->ratio = cal.ratio;
    fr_free(user);
    return e;
}

/* Logits of all rows. */
static enum fr_err score(const struct fr_model *m, const struct fr_benchmark_rows *r, float *logit)
{
    struct fr_cell *cells = fr_malloc_array(SCORE * (size_t)r->columns, sizeof(*cells));
    const struct fr_cell *no_item[SCORE] = {NULL};
    struct fr_arena *ar = NULL;
    enum fr_err e = cells == NULL ? FR_ENOMEM : fr_arena_new((size_t)1 << 20, 0, &ar);

    for (size_t i = 0; e == FR_OK && i < r->n; i += SCORE) {
        size_t n = r->n - i < SCORE ? r->n - i : SCORE;
        struct fr_model_case c = {NULL, NULL, no_item, cells, (int)n};

        for (size_t k = 0; k < n; k++)
            cells_of(r, i + k, cells + k * r->columns);
        e = fr_model_score_case(m, &c, 0, ar, logit + i);
        fr_arena_reset(ar);
    }
    fr_arena_free(ar);
    fr_free(cells);
    return e;
}

static enum fr_err test(const struct fr_model *m,
                        const struct fr_benchmark_rows *r,
                        struct fr_benchmark_detail *detail,
                        struct scores *out)
{
    float *logit = fr_malloc_array(r->n, sizeof(*logit));
    struct scores s = {0, 0, 0, 0, 0};
    enum fr_err e = logit == NULL ? FR_ENOMEM : score(m, r, logit);

    if (e == FR_OK)
        e = measure(r, logit, detail, &s);
    fr_free(logit);
    if (e == FR_OK)
        *out = s;
    return e;
}

/* ---- training ---- */

/* Rows order[at .. at + n) as lists of LIST rows. @return the number of lists */
static int fill(struct work *w, size_t at, size_t n)
{
    int lists = 0;

    for (size_t i = 0; i < n; i++) {
        cells_of(&w->train, w->order[at + i], w->cells + i * w->train.columns);
        w->labels[i] = w->train.label[w->order[at + i]];
    }
    for (size_t i = 0; i < n; i += LIST) {
        size_t k = n - i < LIST ? n - i : LIST;

        w->lists[lists++] = (struct fr_rank_list){
            {NULL, NULL, NULL, w->cells + i * w->train.columns, (int)k}, -1, w->labels + i, 1, NULL};
    }
    return lists;
}

static enum fr_err observe(struct work *w)
{
    size_t batch = (size_t)w->run->set.batch;
    enum fr_err e = FR_OK;

    for (size_t at = 0; e == FR_OK && at < w->n_train; at += batch) {
        size_t n = w->n_train - at < batch ? w->n_train - at : batch;

        e = fr_train_ctr_observe(w->tr, w->lists, fill(w, at, n));
    }
    return e;
}

static void shuffle(uint32_t *v, size_t n, struct fr_rng *rng)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = fr_rng_below(rng, i);
        uint32_t t = v[i - 1];

        v[i - 1] = v[j];
        v[j] = t;
    }
}

/* All state of the training beside place and result; see benchmark_saver.h. */
static void walk(void *ctx, struct fr_checkpoint *ck)
{
    struct work *w = ctx;

    fr_checkpoint_section(ck, "trainer");
    fr_train_ctr_checkpoint(w->tr, ck);
    fr_checkpoint_section(ck, "best");
    fr_checkpoint_model(ck, &w->best, fr_train_ctr_build, w->tr);
}

static enum fr_err epoch(struct work *w, int number, double *out_loss, struct fr_fault *fault)
{
    size_t batch = (size_t)w->run->set.batch;
    struct fr_benchmark_average mean = fr_benchmark_average(&w->run->set, w->n_train);
    double sum = w->sv.s.at.sum, loss = 0;
    enum fr_err e = FR_OK;

    for (size_t at = w->sv.s.at.row; e == FR_OK && at < w->n_train; at += batch) {
        size_t n = w->n_train - at < batch ? w->n_train - at : batch;

        e = fr_train_ctr_step(w->tr, w->lists, fill(w, at, n), &loss);
        if (e == FR_OK && mean.share > 0 && (at / batch + 1) % mean.every == 0)
            e = fr_train_ctr_average(w->tr, mean.share);
        if (e != FR_OK)
            return fr_fault(fault, e, "epoch %d: %s", number, fr_err_text(e));
        sum += loss * (double)n;
        e = fr_saver_step(&w->sv.s, at + n, sum, walk, w, fault);
        if (w->run->tell != NULL)
            w->run->tell(w->run->tell_ctx, number, at + n, w->n_train, sum / (double)(at + n), (double)NAN);
    }
    *out_loss = sum / (double)w->n_train;
    return e;
}

/* A better one is kept. Takes the model. */
static void judge(struct work *w, double auc, struct fr_model *m)
{
    bool better = fr_benchmark_saver_judge(&w->sv, auc);

    fr_model_free(better ? w->best : m);
    w->best = better ? m : w->best;
    fr_train_ctr_set_lr(w->tr, (float)w->sv.s.at.lr);
}

/* Begin, or come to where the checkpoint was: the orders of the epochs before are drawn again. */
static enum fr_err start(struct work *w, struct fr_rng *rng, struct fr_fault *fault)
{
    enum fr_err e = fr_saver_enter(&w->sv.s, 0, w->run->set.lr, rng, walk, w, fault);

    if (e != FR_OK)
        return e;
    *rng = w->sv.s.at.rng;
    for (int i = 0; i < w->sv.s.at.epoch; i++)
        shuffle(w->order, w->n_train, rng);
    return FR_OK;
}

static enum fr_err epochs(struct work *w, struct fr_rng *rng, struct fr_benchmark_result *out, struct fr_fault *fault)
{
    const struct fr_benchmark_settings *s = &w->run->set;
    struct fr_saver_place *at = &w->sv.s.at;
    enum fr_err e = start(w, rng, fault);

    for (int i = at->epoch; e == FR_OK && i < (int)s->epochs && i < FR_BENCHMARK_EPOCHS_MAX &&
                            at->bad < (int)s->patience;
         i++) {
        struct scores v;
        struct fr_model *m = NULL;

        fr_saver_lap(&w->sv.s);
        shuffle(w->order, w->n_train, rng);
        if ((e = epoch(w, i + 1, &out->loss[i], fault)) != FR_OK ||
            (e = fr_train_ctr_model(w->tr, &m, fault)) != FR_OK)
            return e;
        if ((e = test(m, &w->valid, NULL, &v)) != FR_OK) {
            fr_model_free(m);
            return fr_fault(fault, e, "validation: %s", fr_err_text(e));
        }
        out->epochs = i + 1;
        out->valid[i] = v.auc;
        out->lr[i] = at->lr;
        if (w->run->tell != NULL)
            w->run->tell(w->run->tell_ctx, i + 1, w->n_train, w->n_train, out->loss[i], v.auc);
        judge(w, v.auc, m);
        e = fr_saver_epoch(&w->sv.s, walk, w, fault);
    }
    out->rows_per_second = out->seconds > 0 ? (double)w->n_train * out->epochs / out->seconds : 0;
    return e;
}

/* What is trained on, and what chooses. */
static uint64_t data_hash(const struct work *w)
{
    const struct fr_benchmark_rows *r[2] = {&w->train, &w->valid};
    uint64_t h = fr_saver_hash(0, w->train.name, sizeof(w->train.name));

    for (int i = 0; i < 2; i++) {
        h = fr_saver_hash(h, r[i]->id, r[i]->n * r[i]->columns * sizeof(*r[i]->id));
        h = fr_saver_hash(h, r[i]->label, r[i]->n * sizeof(*r[i]->label));
    }
    return h;
}

/* Without valid.csv: rows of a random share of train move to `valid`. */
static enum fr_err hold_out(struct work *w)
{
    struct fr_benchmark_rows *t = &w->train, *v = &w->valid;
    size_t n = (size_t)ceil((double)t->n * w->run->set.valid_share);

    if (n >= t->n)
        return FR_EINVAL;
    *v = (struct fr_benchmark_rows){.columns = t->columns, .n = n, .cap = n};
    memcpy(v->name, t->name, sizeof(v->name));
    v->id = fr_malloc_array(n, t->columns * sizeof(*v->id));
    v->label = fr_malloc_array(n, sizeof(*v->label));
    if (v->id == NULL || v->label == NULL)
        return FR_ENOMEM;
    w->n_train = t->n - n;
    for (size_t i = 0; i < n; i++) {
        size_t row = w->order[w->n_train + i];

        memcpy(v->id + i * t->columns, t->id + row * t->columns, t->columns * sizeof(*v->id));
        v->label[i] = t->label[row];
    }
    return FR_OK;
}

/* Rows that can tell a better epoch from a worse one. @param file, which  where they are from */
static enum fr_err check_valid(const struct work *w, const char *file, const char *which, struct fr_fault *fault)
{
    int only = only_label(w->valid.label, w->valid.n);

    return only < 0 ? FR_OK
                    : fr_fault(fault, FR_EINVAL, "%s/%s: all labels%s are %d: AUC needs both", w->run->dir, file, which,
                               only);
}

static enum fr_err valid_from_train(struct work *w, struct fr_rng *rng, struct fr_fault *fault)
{
    enum fr_err e;

    shuffle(w->order, w->train.n, rng);
    e = hold_out(w);
    if (e == FR_EINVAL)
        return fr_fault(fault, e, "%s/train.csv: %zu row%s: none can be held out for validation", w->run->dir,
                        w->train.n, w->train.n == 1 ? "" : "s");
    if (e != FR_OK)
        return fr_fault(fault, e, "validation rows: %s", fr_err_text(e));
    return check_valid(w, "train.csv", " of the rows held out for validation", fault);
}

static enum fr_err prepare(struct work *w, struct fr_rng *rng, struct fr_fault *fault)
{
    size_t batch = (size_t)w->run->set.batch;
    struct fr_fault absent = {.err = FR_OK};
    enum fr_err e = read_rows(w->run->dir, "train.csv", &w->train, fault);

    if (e == FR_OK)
        e = read_rows(w->run->dir, "test.csv", &w->test, fault);
    if (e == FR_OK)
        e = same_columns(&w->train, &w->test, w->run->dir, "test.csv", fault);
    if (e != FR_OK)
        return e;
    if (w->train.n > UINT32_MAX)
        return fr_fault(fault, FR_ETOOLARGE, "%s/train.csv: 4294967296 rows or more", w->run->dir);
    w->n_train = w->train.n;
    w->order = fr_malloc_array(w->train.n, sizeof(*w->order));
    w->cells = fr_malloc_array(batch * w->train.columns, sizeof(*w->cells));
    w->labels = fr_malloc_array(batch, sizeof(*w->labels));
    w->lists = fr_malloc_array(batch / LIST + 1, sizeof(*w->lists));
    if (w->order == NULL || w->cells == NULL || w->labels == NULL || w->lists == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    for (size_t i = 0; i < w->train.n; i++)
        w->order[i] = (uint32_t)i;
    e = read_rows(w->run->dir, "valid.csv", &w->valid, &absent);
    if (e == FR_ENOTFOUND)
        return valid_from_train(w, rng, fault);
    if (e != FR_OK)
        return fr_fault(fault, e, "%s", absent.msg);
    e = same_columns(&w->train, &w->valid, w->run->dir, "valid.csv", fault);
    return e == FR_OK ? check_valid(w, "valid.csv", "", fault) : e;
}

static enum fr_err new_trainer(struct work *w, struct fr_fault *fault)
{
    const struct fr_benchmark_settings *s = &w->run->set;
    struct fr_ctr_train_config c;

    fr_ctr_train_config_default(&c);
    c.loss = FR_LOSS_BCE;
    c.dropout = (float)s->dropout;
    c.model.kind = w->run->kind;
    c.model.dim = w->run->kind == FR_MODEL_LR ? 0 : (int)s->dim;
    c.model.batch_norm = s->batch_norm > 0;
    c.model.n_hidden = s->n_hidden;
    memcpy(c.model.hidden, s->hidden, sizeof(int) * (size_t)s->n_hidden);
    if (w->run->kind == FR_MODEL_AUTOINT || w->run->kind == FR_MODEL_AUTOINT_PLUS) {
        c.model.attention = (struct fr_attention_config){.layers = (int)s->attention_layers,
                                                         .heads = (int)s->attention_heads,
                                                         .width = (int)s->attention_width,
                                                         .scale = s->attention_scale > 0,
                                                         .layer_norm = s->attention_norm > 0,
                                                         .residual =
                                                             (enum fr_attention_residual)(int)s->attention_residual};
        c.model.linear = s->linear > 0;
    }
    c.opt.seed = w->run->seed;
    c.opt.threads = w->run->threads;
    fr_benchmark_optimizer(s, &c.opt);
    c.opt.l2_embedding = (float)s->l2;
    c.opt.dense_rows = s->dense_rows > 0;
    c.opt.clip_norm = (float)s->clip;
    c.opt.clip_all = true;
    c.opt.xavier = s->xavier > 0;
    c.opt.init_std = (float)s->init_std;
    c.opt.id_dropout = 0;
    c.opt.admit = 1;
    c.opt.max_rows = FR_BENCHMARK_MAX_ID;
    c.opt.frozen_vocab = true;
    enum fr_err e = fr_train_ctr_new(&c, w->fs, &w->tr, fault);
    return e == FR_OK && w->from.m != NULL ? fr_train_ctr_from(w->tr, w->from.m, fault) : e;
}

static void put(struct fr_benchmark_result *out, const struct scores *s, const char *dir)
{
    out->n_metrics = 0;
    if (isnan(s->auc))
        fr_benchmark_note(out, "%.200s/test.csv: all labels are %s are left out", dir,
                          isnan(s->ratio) ? "0: auc, gauc, ece and calibration_ratio" : "1: auc and gauc");
    fr_benchmark_add(out, "auc", s->auc);
    fr_benchmark_add(out, "logloss", s->logloss);
    fr_benchmark_add(out, "gauc", s->gauc);
    fr_benchmark_add(out, "ece", s->ece);
    fr_benchmark_add(out, "calibration_ratio", s->ratio);
}

static enum fr_err save(const struct work *w, const struct scores *s, struct fr_fault *fault)
{
    static const char *const all[] = {"auc", "logloss", "ece"};
    const double of[] = {s->auc, s->logloss, s->ece};
    const char *names[3];
    double values[3];
    struct fr_model_meta meta = {.name = fr_model_kind_slug(w->run->kind),
                                 .version = w->from.version,
                                 .parent = w->from.parent,
                                 .created_ms = w->run->created_ms,
                                 .metric_names = names,
                                 .metric_values = values};
    const struct fr_cell *no_item[8] = {NULL};
    struct fr_cell *cells = fr_malloc_array(8 * (size_t)w->test.columns, sizeof(*cells));
    struct fr_model_case c = {NULL, NULL, no_item, cells, (int)(w->train.n < 8 ? w->train.n : 8)};
    enum fr_err e;

    if (cells == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    for (int i = 0; i < 3; i++)
        if (!isnan(of[i])) {
            names[meta.n_metrics] = all[i];
            values[meta.n_metrics++] = of[i];
        }
    for (int i = 0; i < c.n; i++)
        cells_of(&w->train, (size_t)i, cells + (size_t)i * w->train.columns);
    e = fr_model_save(w->best, &meta, &c, 1, w->run->out, fault);
    fr_free(cells);
    return e;
}

enum fr_err fr_benchmark_rows_train(const struct fr_benchmark_run *run,
                                    struct fr_benchmark_result *out,
                                    struct fr_fault *fault)
{
    struct work w = {.run = run};
    struct scores s = {0, 0, 0, 0, 0};
    struct fr_rng rng;
    enum fr_err e;

    memset(out, 0, sizeof(*out));
    out->kind = run->kind;
    out->valid_name = "auc";
    fr_rng_seed(&rng, run->seed);
    e = prepare(&w, &rng, fault);
    if (e == FR_OK)
        e = fields_of(&w.train, &w.fs, fault);
    if (e == FR_OK)
        e = fr_benchmark_from_load(run, w.fs, &w.from, fault);
    if (e == FR_OK)
        e = fr_benchmark_saver_begin(&w.sv, run, out, 1, data_hash(&w), fault);
    if (e == FR_OK)
        e = new_trainer(&w, fault);
    if (e == FR_OK && (e = observe(&w)) != FR_OK)
        e = fr_fault(fault, e, "ids of train.csv: %s", fr_err_text(e));
    if (e == FR_OK)
        e = epochs(&w, &rng, out, fault);
    if (e == FR_OK && w.best == NULL)
        e = fr_fault(fault, FR_EINVAL, "validation AUC is not a number: nothing to keep");
    if (e == FR_OK && (e = test(w.best, &w.test, NULL, &s)) != FR_OK)
        e = fr_fault(fault, e, "test: %s", fr_err_text(e));
    put(out, &s, run->dir);
    if (e == FR_OK)
        e = save(&w, &s, fault);
    fr_saver_done(&w.sv.s);
    fr_model_free(w.best);
    fr_benchmark_from_done(&w.from);
    fr_train_ctr_free(w.tr);
    fr_free(w.fs);
    fr_free(w.order);
    fr_free(w.cells);
    fr_free(w.labels);
    fr_free(w.lists);
    fr_benchmark_rows_done(&w.train);
    fr_benchmark_rows_done(&w.valid);
    fr_benchmark_rows_done(&w.test);
    return e;
}

/* The first rows of the test as one user's candidates; every column is a cross, so each brings its own user too. */
static enum fr_err time_rows(const struct fr_model *m,
                             const struct fr_field_set *fs,
                             const struct fr_benchmark_rows *r,
                             struct fr_benchmark_detail *detail)
{
    const struct fr_cell *no_item[FR_BENCHMARK_CANDIDATES] = {NULL};
    struct fr_cell *cells = fr_malloc_array(FR_BENCHMARK_CANDIDATES * (size_t)r->columns, sizeof(*cells));
    struct fr_model_case c = {NULL, NULL, no_item, cells, FR_BENCHMARK_CANDIDATES};
    enum fr_err e;

    if (cells == NULL)
        return FR_ENOMEM;
    for (size_t i = 0; i < FR_BENCHMARK_CANDIDATES; i++)
        cells_of(r, i % r->n, cells + i * r->columns);
    detail->parameters = fr_model_parameters(m);
    e = fr_benchmark_time(m, fs, &c, &detail->speed);
    fr_free(cells);
    return e;
}

/* ---- ids that a bundle does not know ---- */

/* Each id of each column once: map[column, id] is whether the model knows it. */
static enum fr_err
collect_ids(const struct fr_model *m, const struct fr_benchmark_rows *r, struct fr_slot *slot, struct fr_map *map)
{
    struct fr_cell cell[FR_BENCHMARK_COLUMNS];
    enum fr_err e = FR_OK;

    for (size_t i = 0; e == FR_OK && i < r->n; i++) {
        cells_of(r, i, cell);
        e = fr_model_encode(m, FR_ENTITY_CROSS, cell, 1, slot);
        for (uint32_t c = 0; e == FR_OK && c < r->columns; c++)
            e = fr_map_put(map, (uint64_t)(c + 1) << 32 | r->id[i * r->columns + c], slot[c].row != 0);
    }
    return e;
}

/* How many of each column, if any. */
static enum fr_err note_unknown(const struct fr_model *m, const struct fr_benchmark_rows *r, struct fr_benchmark_result *out)
{
    size_t unknown[FR_BENCHMARK_COLUMNS] = {0}, all[FR_BENCHMARK_COLUMNS] = {0}, sum = 0;
    struct fr_slot slot[FR_BENCHMARK_COLUMNS];
    struct fr_map map = {.n = 0};
    struct fr_buf b;
    enum fr_err e;

    if (fr_model_info(m)->n_slots[FR_ENTITY_CROSS] != r->columns)
        return FR_OK; /* a model that reads some of them only */
    fr_buf_init(&b);
    e = collect_ids(m, r, slot, &map);
    for (uint64_t i = 0; e == FR_OK && i < map.cap; i++)
        if (map.slots[i].key != 0) {
            all[(map.slots[i].key >> 32) - 1]++;
            unknown[(map.slots[i].key >> 32) - 1] += map.slots[i].value == 0;
        }
    for (uint32_t c = 0; e == FR_OK && c < r->columns; c++) {
        if (unknown[c] > 0)
            fr_buf_printf(&b, "%s %s %zu of %zu", sum == 0 ? "" : ",", r->name[c], unknown[c], all[c]);
        sum += unknown[c];
    }
    if (e == FR_OK)
        e = fr_buf_err(&b);
    if (e == FR_OK && sum > 0)
        fr_benchmark_note(out, "ids of test.csv that the bundle does not know:%.*s", (int)b.n, b.p);
    fr_buf_done(&b);
    fr_map_done(&map);
    return e;
}

enum fr_err fr_benchmark_rows_evaluate(const char *dir,
                                       const char *bundle,
                                       struct fr_benchmark_detail *detail,
                                       struct fr_benchmark_result *out,
                                       struct fr_fault *fault)
{
    struct fr_benchmark_rows rows = {.n = 0};
    struct fr_field_set *fs = NULL;
    struct fr_model *m = NULL;
    struct scores s = {0, 0, 0, 0, 0};
    enum fr_err e = read_rows(dir, "test.csv", &rows, fault);

    memset(out, 0, sizeof(*out));
    if (e == FR_OK && detail != NULL && only_label(rows.label, rows.n) >= 0)
        e = fr_fault(fault, FR_EINVAL, "%s/test.csv: all labels are %d: AUC, which bundles are compared by, needs both",
                     dir, (int)rows.label[0]);
    if (e == FR_OK)
        e = fields_of(&rows, &fs, fault);
    if (e == FR_OK)
        e = fr_model_load(bundle, fs, &m, fault);
    if (e == FR_OK && fr_model_info(m)->job != FR_JOB_RANKER)
        e = fr_fault(fault, FR_EINVAL, "%s: not a ranker", bundle);
    if (e == FR_OK) {
        out->kind = fr_model_info(m)->kind;
        if ((e = test(m, &rows, detail, &s)) != FR_OK)
            e = fr_fault(fault, e, "test: %s", fr_err_text(e));
    }
    put(out, &s, dir);
    if (e == FR_OK && (e = note_unknown(m, &rows, out)) != FR_OK)
        e = fr_fault(fault, e, "ids of the test: %s", fr_err_text(e));
    if (e == FR_OK && detail != NULL && (e = time_rows(m, fs, &rows, detail)) != FR_OK)
        e = fr_fault(fault, e, "timing: %s", fr_err_text(e));
    fr_model_free(m);
    fr_free(fs);
    fr_benchmark_rows_done(&rows);
    return e;
}
