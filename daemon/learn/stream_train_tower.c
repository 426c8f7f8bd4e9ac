/*
 * daemon/learn/stream_train_tower.c - the towers of stream_train.c, and saving whatever retrieves.
 *
 * A tower reads what the catalogue says of an item and the items of the user's history, so its item
 * vectors stay valid until the catalogue changes. Tower A knows only the items that existed when its
 * examples ended: as negatives, later ones would be pushed away before anybody could click them, and
 * the ranker would learn from lists that no server could have made.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/learn/stream_train_priv.h"
#include "models/train/checkpoint_trainers.h"

#define OBSERVE 20000 /* newest examples that fit the normalisers */
#define TELL_STEPS 16

/* A window of examples as a batch. */
struct window {
    struct fr_cell *cells; /* (cap, user + context) */
    const struct fr_cell **user, **context;
    uint32_t *item;
    int cap;
};

static void window_done(struct window *w)
{
    fr_free(w->cells);
    fr_free(w->user);
    fr_free(w->context);
    fr_free(w->item);
}

static enum fr_err window_new(const struct fr_learner *l, int cap, struct window *w)
{
    size_t row = (size_t)l->nc[FR_ENTITY_USER] + l->nc[FR_ENTITY_CONTEXT];

    memset(w, 0, sizeof(*w));
    w->cap = cap;
    w->cells = fr_calloc((size_t)cap * (row + 1), sizeof(*w->cells));
    w->user = fr_calloc((size_t)cap, sizeof(*w->user));
    w->context = fr_calloc((size_t)cap, sizeof(*w->context));
    w->item = fr_calloc((size_t)cap, sizeof(*w->item));
    if (w->cells != NULL && w->user != NULL && w->context != NULL && w->item != NULL)
        return FR_OK;
    window_done(w);
    return FR_ENOMEM;
}

/* The next examples from *at on, up to `end`. Those whose item is not among the first n_items are left
 * out: at that time nobody could know their label. */
static struct fr_two_tower_batch
window_fill(const struct fr_learner *l, struct window *w, size_t *at, size_t end, uint32_t n_items)
{
    uint32_t nu = l->nc[FR_ENTITY_USER], nx = l->nc[FR_ENTITY_CONTEXT];
    int n = 0;

    for (; *at < end && n < w->cap; (*at)++) {
        struct fr_cell *cells = w->cells + (size_t)n * (nu + nx);
        if (l->label[*at] >= n_items)
            continue;
        fr_cell_rows_get(&l->user, *at, cells, nu);
        fr_cell_rows_get(&l->context, *at, cells + nu, nx);
        w->user[n] = cells;
        w->context[n] = cells + nu;
        w->item[n++] = (uint32_t)l->label[*at];
    }
    return (struct fr_two_tower_batch){n, w->user, nx == 0 ? NULL : w->context, w->item, NULL,
                                       {l->item_cells, n_items}};
}

/* What the tower reads: the user's items, and what the catalogue says of an item. */
static int tower_fields(const struct fr_spec *spec, const char **out)
{
    int n = 0;

    for (int i = 0; i < spec->fields.n; i++) {
        const struct fr_field *f = &spec->fields.f[i];
        bool user = f->entity == FR_ENTITY_USER && f->kind == FR_FIELD_ID &&
                    strcmp(f->table, "item") == 0;
        bool item = f->entity == FR_ENTITY_ITEM && f->kind == FR_FIELD_ID &&
                    fr_spec_field_static(spec, i);
        if (user || item)
            out[n++] = f->name;
    }
    return n;
}

static enum fr_err observe(struct fr_learner *l, struct fr_train_two_tower *tr, size_t end, uint32_t n_items)
{
    struct fr_two_tower_batch b;
    struct window w;
    size_t at;
    enum fr_err e = window_new(l, (int)(end < OBSERVE ? end : OBSERVE), &w);

    if (e != FR_OK)
        return e;
    at = end - (size_t)w.cap;
    b = window_fill(l, &w, &at, end, n_items);
    e = b.n == 0 ? FR_OK : fr_train_two_tower_observe(tr, &b);
    window_done(&w);
    return e;
}

/* All state of the training beside place and result; see saver.h. */
static void walk(void *ctx, struct fr_checkpoint *ck)
{
    fr_checkpoint_section(ck, "trainer");
    fr_train_two_tower_checkpoint(ctx, ck);
}

/* One epoch, from where the place says. */
static enum fr_err epoch(struct fr_learner *l,
                         const struct fr_learner_stretch *on,
                         struct fr_train_two_tower *tr,
                         struct window *w,
                         int ep)
{
    struct fr_stream_saver *sv = &l->sv;
    double sum = sv->s.at.sum, loss = 0;
    size_t i = (size_t)sv->s.at.row;
    enum fr_err e = FR_OK;

    while (i < on->end && e == FR_OK) {
        struct fr_two_tower_batch b = window_fill(l, w, &i, on->end, on->n_items);

        if (b.n == 0)
            break;
        if ((e = fr_train_two_tower_step(tr, &b, &loss)) != FR_OK)
            break;
        sum += loss;
        if (sv->steps++ % TELL_STEPS == 0)
            fr_learner_tell_loss(l, on->what, (uint64_t)ep * on->end + i, (uint64_t)l->c->epochs * on->end,
                                 sum / (double)sv->steps, (double)NAN);
        e = fr_saver_step(&sv->s, i, sum, walk, tr, l->fault);
    }
    l->out->tower_loss = sv->steps == 0 ? 0 : sum / (double)sv->steps;
    sv->steps = 0;
    return e;
}

static enum fr_err
epochs(struct fr_learner *l, const struct fr_learner_stretch *on, struct fr_train_two_tower *tr, float lr)
{
    struct fr_saver *sv = &l->sv.s;
    struct window w;
    enum fr_err e = window_new(l, l->c->batch, &w);

    if (e != FR_OK)
        return e;
    if (!fr_saver_within(sv, (int)on->part))
        l->out->tower_curve.n = 0; /* the last tower's is kept, as its bundle is */
    e = fr_saver_enter(sv, (int)on->part, (double)lr, &l->rng, walk, tr, l->fault);
    for (int ep = sv->at.epoch; ep < l->c->epochs && e == FR_OK; ep++) {
        fr_train_two_tower_set_lr(tr, lr * (float)(1.0 - 0.9 * ep / l->c->epochs));
        if ((e = epoch(l, on, tr, &w, ep)) != FR_OK)
            break;
        fr_learner_curve(&l->out->tower_curve, l->out->tower_loss, (double)NAN,
                         (double)lr * (1.0 - 0.9 * ep / l->c->epochs));
        fr_saver_time(sv);
        e = fr_saver_epoch(sv, walk, tr, l->fault);
    }
    window_done(&w);
    return e;
}

static enum fr_err trainer(struct fr_learner *l, struct fr_train_two_tower **out_tr, float *out_lr)
{
    const char *fields[FR_MAX_FIELDS];
    struct fr_two_tower_train_config cfg;

    fr_two_tower_train_config_default(&cfg);
    if (l->c->tower != NULL)
        cfg = *l->c->tower;
    cfg.opt.seed = l->c->seed;
    cfg.opt.threads = l->c->threads;
    fr_learner_options(l, &cfg.opt);
    cfg.fields = fields;
    cfg.n_fields = tower_fields(l->spec, fields);
    *out_lr = cfg.opt.lr;
    return fr_train_two_tower_new(&cfg, &l->spec->fields, out_tr, l->fault);
}

static enum fr_err tower(struct fr_learner *l, enum fr_stream_part part, struct fr_model **out_m)
{
    struct fr_learner_stretch on = fr_learner_stretch(l, part);
    struct fr_train_two_tower *tr = NULL;
    float lr = 0;
    enum fr_err e = trainer(l, &tr, &lr);

    fr_stream_saver_part(l, part);
    if (e == FR_OK && !fr_saver_within(&l->sv.s, (int)part))
        e = observe(l, tr, on.end, on.n_items);
    if (e == FR_OK)
        e = epochs(l, &on, tr, lr);
    if (e == FR_OK)
        e = fr_train_two_tower_model(tr, out_m, l->fault);
    if (e == FR_OK && part == FR_STREAM_TOWER_A && l->c->checkpoint != NULL)
        e = fr_train_two_tower_model(tr, &l->kept_a, l->fault);
    fr_train_two_tower_free(tr);
    return e == FR_OK || l->fault == NULL || l->fault->err != FR_OK
               ? e
               : fr_fault(l->fault, e, "training the tower: %s", fr_err_text(e));
}

/* ---- whatever retrieves ---- */

struct fr_learner_stretch fr_learner_stretch(const struct fr_learner *l, enum fr_stream_part part)
{
    if (part == FR_STREAM_TOWER_A)
        return (struct fr_learner_stretch){part, "tower for the lists", l->from, l->n_items_a};
    return (struct fr_learner_stretch){part, "tower", l->user.n, l->n_items};
}

enum fr_err fr_learner_retrieval(struct fr_learner *l, enum fr_stream_part part, struct fr_model **out_m)
{
    return l->c->retrieval_kind == FR_MODEL_MF ? fr_learner_mf(l, part, out_m) : tower(l, part, out_m);
}

static enum fr_err tower_left(struct fr_learner *l)
{
    struct fr_model **m[2] = {&l->tower_a, &l->kept_a};
    struct fr_train_two_tower *tr = NULL;
    float lr = 0;
    enum fr_err e = trainer(l, &tr, &lr);

    fr_checkpoint_section(l->sv.s.from, "tower_a");
    for (int i = 0; i < 2 && e == FR_OK; i++)
        fr_train_two_tower_left(tr, m[i], l->sv.s.from);
    fr_train_two_tower_free(tr);
    return e;
}

enum fr_err fr_learner_retrieval_left(struct fr_learner *l)
{
    struct fr_fault why = {.err = FR_OK};
    enum fr_err e = l->c->retrieval_kind == FR_MODEL_MF ? fr_learner_mf_left(l) : tower_left(l);

    if (e != FR_OK || fr_checkpoint_err(l->sv.s.from) == FR_OK)
        return e;
    e = fr_checkpoint_end(l->sv.s.from, &why); /* the first error */
    return e == FR_OK ? FR_EINTERNAL : fr_saver_refuse(&l->sv.s, &why, l->fault);
}

void fr_learner_retrieval_save(struct fr_learner *l, struct fr_checkpoint *ck)
{
    fr_checkpoint_section(ck, "tower_a");
    if (l->c->retrieval_kind == FR_MODEL_MF)
        fr_learner_mf_save(l, ck);
    else
        fr_train_two_tower_left(NULL, &l->kept_a, ck);
}

enum fr_err fr_learner_save_retrieval(struct fr_learner *l, const struct fr_model *m)
{
    static const char *const names[] = {"loss", "hr20", "candidates"};
    const double values[] = {l->out->tower_loss, l->out->hr20_tower, l->out->candidates};
    const char *name = fr_model_kind_slug(l->c->retrieval_kind);
    struct fr_model_meta meta = {name, fr_learner_version(l), "", l->newest_ts, names, values, 3};
    const struct fr_cell *items[8];
    struct fr_two_tower_batch b;
    struct fr_model_case mc;
    struct window w;
    size_t at = l->user.n - 8;
    struct fr_cell *cross = fr_calloc((size_t)l->nc[FR_ENTITY_CROSS] * 8 + 1, sizeof(*cross));
    char path[FR_LEARNER_PATH];
    enum fr_err e = cross == NULL ? FR_ENOMEM : window_new(l, 8, &w);

    if (e != FR_OK) {
        fr_free(cross);
        return e;
    }
    b = window_fill(l, &w, &at, l->user.n, l->n_items);
    for (int i = 0; i < 8; i++)
        items[i] = l->item_cells + (size_t)b.item[i] * l->nc[FR_ENTITY_ITEM];
    mc = (struct fr_model_case){w.user[0], w.context[0], items, cross, 8};
    if ((e = fr_learner_place(l->c, l->c->retrieval_kind, path, l->fault)) == FR_OK)
        e = fr_model_save(m, &meta, &mc, 1, path, l->fault);
    window_done(&w);
    fr_free(cross);
    return e;
}
