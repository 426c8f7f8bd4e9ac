/*
 * daemon/learn/stream_train.c - see stream_train.h.
 */
#include "daemon/learn/stream_train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/learn/stream_train_priv.h"
#include "daemon/learn/train_out.h"

void fr_stream_train_config_default(struct fr_stream_train_config *c)
{
    memset(c, 0, sizeof(*c));
    c->with_retrieval = c->with_ranker = true;
    c->retrieval_kind = FR_MODEL_TWO_TOWER;
    c->ranker_kind = FR_MODEL_DEEPFM;
    c->seed = 1;
    c->threads = 1;
    c->epochs = 4;
    c->mf_epochs = 64;
    c->pair_negatives = 4;
    c->batch = 256;
    c->decay = 1;
    c->l2 = c->clip = c->id_dropout = -1;
    c->held_out = .1;
    c->max_held_out = 2000;
    c->negatives = 30;
    c->max_lists = 80000;
    c->value_weight = 1;
}

void fr_learner_tell_loss(
    const struct fr_learner *l, const char *what, uint64_t done, uint64_t total, double loss, double auc)
{
    if (l->c->progress != NULL)
        l->c->progress(l->c->progress_ctx, what, done, total, loss, auc);
}

void fr_learner_tell(const struct fr_learner *l, const char *what, uint64_t done, uint64_t total)
{
    fr_learner_tell_loss(l, what, done, total, (double)NAN, (double)NAN);
}

void fr_learner_curve(struct fr_stream_curve *c, double loss, double valid, double lr)
{
    if (c->n >= FR_STREAM_TRAIN_EPOCHS)
        return;
    c->loss[c->n] = loss;
    c->valid[c->n] = valid;
    c->lr[c->n++] = lr;
}

uint64_t fr_learner_version(const struct fr_learner *l)
{
    return l->c->version != 0 ? l->c->version : (uint64_t)l->newest_ts;
}

/* Step sizes as multiples of Adam's, whose steps are as long as lr whatever the gradient is. Chosen on the planted
 * stream of test_learn_stream_train.c; the tower's HR@20 there: adam .67; sgd x 30 .30, x 100 .49, x 300 ends in an error;
 * adagrad x 3 .68, x 5 .74, x 10 .77, x 30 .72; ftrl with beta 1 as sgd, with .01 x 10 .75. */
static const float lr_of[FR_OPTIMIZER_COUNT] = {
    [FR_OPTIMIZER_ADAM] = 1,
    [FR_OPTIMIZER_SGD] = 100,
    [FR_OPTIMIZER_ADAGRAD] = 10,
    [FR_OPTIMIZER_FTRL] = 10,
};

void fr_learner_options(const struct fr_learner *l, struct fr_train_options *o)
{
    o->optimizer = l->c->optimizer;
    o->lr = l->c->lr > 0 ? (float)l->c->lr : o->lr * lr_of[o->optimizer];
    o->decay = (float)l->c->decay;
    o->ftrl_beta = 0.01f; /* 1 is for gradients of one example; ours are a batch's mean */
    if (l->c->l2 >= 0)
        o->l2_embedding = o->l2_dense = (float)l->c->l2;
    if (l->c->clip >= 0)
        o->clip_norm = (float)l->c->clip;
    if (l->c->id_dropout >= 0)
        o->id_dropout = (float)l->c->id_dropout;
}

enum fr_err fr_learner_epochs(const struct fr_learner *l, struct fr_epochs **out)
{
    struct fr_epochs_config ec = {.m = 16, .ef_construction = 200, .ef_search = 250, .flat = true};

    return fr_epochs_new(l->spec, &ec, out);
}

static double seconds(struct fr_learner *l)
{
    return (double)fr_clock_mono_us(&l->clock) * 1e-6;
}

/* ---- examples ---- */

/* One past the newest item of the catalogue. */
static uint32_t catalogue_end(struct fr_epochs *ep)
{
    struct fr_epoch view;
    uint32_t n;

    fr_epochs_pin(ep, &view);
    n = fr_item_table_end(view.table);
    fr_epochs_unpin(ep, &view);
    return n;
}

static enum fr_err on_example(void *ctx, const struct fr_stream_trigger *t)
{
    struct fr_learner *l = ctx;
    enum fr_err e = fr_cell_rows_add(&l->user, t->cut->user_cells, l->nc[FR_ENTITY_USER]);

    if (e == FR_OK)
        e = fr_cell_rows_add(&l->context, t->cut->context_cells, l->nc[FR_ENTITY_CONTEXT]);
    if (e != FR_OK)
        return e;
    if (l->user.n > l->label_cap) {
        size_t cap = l->label_cap == 0 ? 4096 : l->label_cap * 2;
        void *p = fr_realloc_array(l->label, cap, sizeof(*l->label));
        if (p == NULL)
            return FR_ENOMEM;
        l->label = p;
        l->label_cap = cap;
    }
    l->label[l->user.n - 1] = t->label;
    if (l->user.n == l->from)
        l->n_items_a = catalogue_end(t->ep);
    l->newest_ts = t->ev->ts > l->newest_ts ? t->ev->ts : l->newest_ts;
    return FR_OK;
}

/* The catalogue as cells, labels as indexes. */
static enum fr_err freeze_items(struct fr_learner *l, struct fr_epochs *ep)
{
    uint32_t ni = l->nc[FR_ENTITY_ITEM];
    struct fr_epoch view;
    enum fr_err e = FR_OK;

    fr_epochs_pin(ep, &view);
    l->n_items = fr_item_table_end(view.table);
    l->item_cells = fr_calloc((size_t)l->n_items + 1, (size_t)(ni > 0 ? ni : 1) * sizeof(*l->item_cells));
    if (l->item_cells == NULL)
        e = FR_ENOMEM;
    for (uint32_t i = 0; i < l->n_items && e == FR_OK; i++)
        fr_row_item(l->spec, view.table, i, NULL, l->newest_ts, l->item_cells + (size_t)i * ni);
    for (size_t i = 0; i < l->user.n && e == FR_OK; i++) {
        uint32_t idx = fr_item_table_find(view.table, l->label[i]);
        if (idx == FR_ITEM_NONE)
            e = fr_fault(l->fault, FR_EINTERNAL, "a label is not in the catalogue");
        l->label[i] = idx;
    }
    fr_epochs_unpin(ep, &view);
    return e;
}

static void tell_examples(void *ctx, uint64_t done)
{
    const struct fr_learner *l = ctx;

    fr_learner_tell(l, "examples", done, l->out->lines);
}

static enum fr_err collect(struct fr_learner *l, const struct fr_stream_labels *labels)
{
    struct fr_stream_input in = l->c->in;
    struct fr_epochs *ep = NULL;
    double part = l->c->tower_part;
    enum fr_err e = fr_learner_epochs(l, &ep);

    in.progress = tell_examples;
    in.progress_ctx = l;
    if (part <= 0)
        part = labels->n_shown < FR_LEARNER_MIN_SHOWN ? 0.8 : 0.3;
    l->from = (size_t)((double)labels->n_labels * part);
    if (e == FR_OK)
        e = fr_stream_replay(&in, labels, ep, on_example, l, l->fault);
    if (e == FR_OK && l->user.n < FR_STREAM_TRAIN_MIN)
        e = fr_fault(l->fault, FR_EINVAL,
                     "only %zu examples (a trigger and the same user's next positive event), at least %d "
                     "are needed; %llu of %llu records are no events",
                     l->user.n, FR_STREAM_TRAIN_MIN, (unsigned long long)labels->n_refused,
                     (unsigned long long)labels->n);
    if (e == FR_OK)
        e = freeze_items(l, ep);
    fr_epochs_free(ep);
    l->out->examples = l->user.n;
    l->out->items = l->n_items;
    return e;
}

/* ---- whole ---- */

/* Lists to train on and, the newest, to measure on. */
static enum fr_err ranker_lists(struct fr_learner *l, const struct fr_stream_labels *labels)
{
    enum fr_err e;

    l->held = (size_t)((double)(l->user.n - l->from) * l->c->held_out) + 1;
    e = fr_learner_lists(l, labels);
    l->out->lists = l->n_train;
    l->out->lists_held_out = l->n_lists - l->n_train;
    if (e == FR_OK && ((l->n_train == 0 && !fr_learner_ncf_is(l->c->ranker_kind)) || l->n_train == l->n_lists))
        e = fr_fault(l->fault, FR_EINVAL, "too few lists for a ranker: %zu to train on, %zu held out; "
                     "a list needs a trigger whose next item is among its candidates", l->n_train,
                     l->n_lists - l->n_train);
    fr_stream_saver_lists(l);
    return e;
}

static enum fr_err with_ranker(struct fr_learner *l, const struct fr_stream_labels *labels)
{
    enum fr_err e;

    if (fr_saver_beyond(&l->sv.s, FR_STREAM_RANKER))
        return fr_stream_saver_bundle_check(l);
    fr_stream_saver_clock(l, &l->out->tower_a_s);
    e = fr_saver_beyond(&l->sv.s, FR_STREAM_TOWER_A) ? fr_learner_retrieval_left(l)
                                                     : fr_learner_retrieval(l, FR_STREAM_TOWER_A, &l->tower_a);
    if (e == FR_OK)
        l->inv_tau = fr_model_inv_tau(l->tower_a);
    fr_stream_saver_clock(l, &l->out->lists_s);
    fr_stream_saver_part(l, FR_STREAM_RANKER);
    if (e == FR_OK)
        e = ranker_lists(l, labels);
    fr_stream_saver_clock(l, &l->out->ranker_s);
    if (e == FR_OK)
        e = fr_learner_ranker(l);
    fr_saver_time(&l->sv.s);
    return e == FR_OK ? fr_stream_saver_bundle(l) : e;
}

static enum fr_err final_tower(struct fr_learner *l)
{
    struct fr_model *m = NULL;
    enum fr_err e;

    fr_stream_saver_clock(l, &l->out->tower_s);
    e = fr_learner_retrieval(l, FR_STREAM_TOWER, &m);
    if (e == FR_OK)
        e = fr_learner_save_retrieval(l, m);
    fr_model_free(m);
    fr_saver_time(&l->sv.s);
    return e;
}

static void learner_done(struct fr_learner *l)
{
    fr_cell_rows_done(&l->user);
    fr_cell_rows_done(&l->context);
    fr_learner_lists_done(l);
    fr_free(l->label);
    fr_free(l->item_cells);
    fr_model_free(l->kept_a);
    fr_saver_done(&l->sv.s);
}

static enum fr_err check(const struct fr_stream_train_config *c, struct fr_fault *fault)
{
    if (c->epochs < 1 || c->mf_epochs < 1 || c->ranker_epochs < 0 || c->batch < 1 || c->threads < 1 ||
        c->negatives < 1 || c->pair_negatives < 1 || c->max_lists < 1 || c->max_held_out < 2)
        return fr_fault(fault, FR_EINVAL, "epochs, batch, threads, negatives and lists must be at least 1");
    if ((unsigned)c->optimizer >= FR_OPTIMIZER_COUNT || !(c->lr >= 0) || !(c->decay > 0))
        return fr_fault(fault, FR_EINVAL, "the optimizer, lr or decay is out of range");
    if (!(c->tower_part >= 0) || !(c->tower_part < 1) || !(c->held_out > 0) || !(c->held_out < 1))
        return fr_fault(fault, FR_EINVAL, "the parts of the stream must lie between 0 and 1");
    if (c->retrieval_kind != FR_MODEL_TWO_TOWER && c->retrieval_kind != FR_MODEL_MF)
        return fr_fault(fault, FR_EINVAL, "%s is no retrieval model", fr_model_kind_name(c->retrieval_kind));
    return FR_OK;
}

enum fr_err fr_learner_place(const struct fr_stream_train_config *c,
                             enum fr_model_kind kind,
                             char path[FR_LEARNER_PATH],
                             struct fr_fault *fault)
{
    if (snprintf(path, FR_LEARNER_PATH, "%s/%s", c->dir, fr_model_kind_slug(kind)) >= FR_LEARNER_PATH)
        return fr_fault(fault, FR_ETOOLARGE, "the output path is too long");
    return FR_OK;
}

/* Of each bundle that will be written. */
static enum fr_err check_places(const struct fr_stream_train_config *c, struct fr_fault *fault)
{
    const bool with[2] = {c->with_retrieval, c->with_ranker};
    const enum fr_model_kind kind[2] = {c->retrieval_kind, c->ranker_kind};
    char path[FR_LEARNER_PATH];
    enum fr_err e = FR_OK;

    for (int i = 0; e == FR_OK && i < 2; i++)
        if (with[i] && (e = fr_learner_place(c, kind[i], path, fault)) == FR_OK)
            e = fr_train_out_check(path, fault);
    return e;
}

/* After a failure: an output folder that this training made and that is empty goes again. */
static void leave_no_folder(bool made, const char *dir)
{
    if (made)
        (void)rmdir(dir);
}

enum fr_err fr_stream_train(const struct fr_stream_train_config *c,
                            struct fr_stream_train_result *out,
                            struct fr_fault *fault)
{
    struct fr_learner l = {.c = c, .out = out, .fault = fault, .spec = c->in.spec};
    struct fr_stream_labels labels;
    double t0;
    bool made = access(c->dir, F_OK) != 0;
    enum fr_err e = check(c, fault);

    memset(out, 0, sizeof(*out));
    l.nc = l.spec->fields.n_cells;
    fr_clock_init_real(&l.clock);
    fr_rng_seed(&l.rng, c->seed);
    t0 = seconds(&l);
    if (e == FR_OK) /* now: it may not be writable */
        e = fr_file_mkdirs(c->dir, fault);
    if (e == FR_OK)
        e = check_places(c, fault);
    if (e == FR_OK)
        e = fr_stream_labels_find(&c->in, &labels, fault);
    if (e != FR_OK) {
        leave_no_folder(made, c->dir);
        return e;
    }
    out->lines = labels.n;
    out->refused = labels.n_refused;
    memcpy(out->first_refused, labels.first_refused, sizeof(out->first_refused));
    out->impressions = labels.n_impressions;
    out->shown = labels.n_shown;
    e = collect(&l, &labels);
    out->examples_s = seconds(&l) - t0;
    if (e == FR_OK)
        e = fr_stream_saver_begin(&l, &labels);
    if (e == FR_OK && c->with_ranker)
        e = with_ranker(&l, &labels);
    if (e == FR_OK && c->with_retrieval)
        e = final_tower(&l);
    out->mf_epochs = l.mf_epochs;
    out->total_s = l.sv.carried + seconds(&l) - t0;
    fr_stream_labels_done(&labels);
    learner_done(&l);
    if (e != FR_OK)
        leave_no_folder(made, c->dir);
    if (e != FR_OK && fault != NULL && fault->err == FR_OK)
        return fr_fault(fault, e, "training: %s", fr_err_text(e));
    return e;
}
