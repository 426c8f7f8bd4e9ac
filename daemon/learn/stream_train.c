/*
 * daemon/learn/stream_train.c - see stream_train.h.
 */
#include "daemon/learn/stream_train.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/clock.h"
#include "daemon/base/rng.h"
#include "daemon/base/file.h"
#include "daemon/learn/cell_rows.h"
#include "daemon/metrics.h"
#include "daemon/pipeline/stage3_embed.h"
#include "daemon/pipeline/stage4_candidates.h"
#include "models/metrics.h"
#include "models/train/train_deepfm.h"
#include "models/train/train_two_tower.h"

#define LISTS_STEP 64
#define TOP 20
#define MAX_EVAL 2000
#define OBSERVE 20000
#define HELD_OUT .05

/* A list of the ranker: its candidates are rows first..first+n of item and cross. */
struct list {
    size_t first;
    uint32_t n, label;
};

struct learner {
    const struct fr_stream_train_config *c;
    struct fr_stream_train_result *out;
    struct fr_fault *fault;
    const struct fr_spec *spec;
    struct fr_clock clock;
    struct fr_rng rng;
    const uint32_t *nc; /* cells of each entity */
    /* examples */
    struct fr_cell_rows user, context;
    uint64_t *label; /* hash, then index in item_cells */
    size_t label_cap;
    struct fr_cell *item_cells;
    uint32_t n_items;
    int64_t newest_ts;
    /* lists */
    struct fr_model *tower_a;
    size_t seen, from, eval_from, stride, eval_stride;
    struct fr_cell_rows l_user, l_context, l_item, l_cross;
    struct list *list;
    size_t n_lists, n_train, cap_lists;
    size_t eval_hits, eval_found;
    struct fr_metrics *mx;
};

void fr_stream_train_config_default(struct fr_stream_train_config *c)
{
    memset(c, 0, sizeof(*c));
    c->two_tower = c->deepfm = true;
    c->seed = 1;
    c->threads = 1;
    c->epochs = 4;
    c->ranker_epochs = 2;
    c->batch = 256;
    c->tower_part = .65;
    c->negatives = 30;
    c->max_lists = 40000;
}

static double seconds(struct learner *l)
{
    return (double)fr_clock_mono_us(&l->clock) * 1e-6;
}

static enum fr_err new_epochs(struct learner *l, struct fr_epochs **out)
{
    struct fr_epochs_config ec = {.m = 16, .ef_construction = 200, .ef_search = 250, .flat = true};

    return fr_epochs_new(l->spec, &ec, out);
}

/* ---- examples and tower ---- */

static enum fr_err on_example(void *ctx, const struct fr_stream_trigger *t)
{
    struct learner *l = ctx;
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
    l->newest_ts = t->ev->ts > l->newest_ts ? t->ev->ts : l->newest_ts;
    return FR_OK;
}

/* The catalogue as cells, labels as indexes. */
static enum fr_err freeze_items(struct learner *l, struct fr_epochs *ep)
{
    uint32_t ni = l->nc[FR_ENTITY_ITEM];
    struct fr_epoch view;
    enum fr_err e = FR_OK;

    fr_epochs_pin(ep, &view);
    l->n_items = fr_item_table_end(view.table);
    l->item_cells = fr_calloc((size_t)l->n_items + 1, (size_t)ni * sizeof(*l->item_cells));
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

static enum fr_err collect(struct learner *l, const struct fr_stream_labels *labels)
{
    struct fr_epochs *ep = NULL;
    enum fr_err e = new_epochs(l, &ep);

    if (e == FR_OK)
        e = fr_stream_replay(&l->c->in, labels, ep, on_example, l, l->fault);
    if (e == FR_OK && l->user.n < 20)
        e = fr_fault(l->fault, FR_EINVAL, "only %zu examples: too few to train on", l->user.n);
    if (e == FR_OK)
        e = freeze_items(l, ep);
    fr_epochs_free(ep);
    l->out->examples = l->user.n;
    l->out->items = l->n_items;
    return e;
}

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

static enum fr_err window_new(const struct learner *l, int cap, struct window *w)
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

static struct fr_two_tower_batch
window_fill(const struct learner *l, struct window *w, size_t first, size_t end)
{
    uint32_t nu = l->nc[FR_ENTITY_USER], nx = l->nc[FR_ENTITY_CONTEXT];
    int n = end - first < (size_t)w->cap ? (int)(end - first) : w->cap;

    for (int i = 0; i < n; i++) {
        struct fr_cell *at = w->cells + (size_t)i * (nu + nx);
        fr_cell_rows_get(&l->user, first + (size_t)i, at, nu);
        fr_cell_rows_get(&l->context, first + (size_t)i, at + nu, nx);
        w->user[i] = at;
        w->context[i] = at + nu;
        w->item[i] = (uint32_t)l->label[first + (size_t)i];
    }
    return (struct fr_two_tower_batch){n, w->user, nx == 0 ? NULL : w->context, w->item, NULL,
                                       {l->item_cells, l->n_items}};
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

static enum fr_err tower_epochs(struct learner *l, struct fr_train_two_tower *tr, float lr, size_t end)
{
    struct fr_two_tower_batch b;
    struct window w;
    enum fr_err e = window_new(l, (int)(end < OBSERVE ? end : OBSERVE), &w);

    if (e != FR_OK)
        return e;
    b = window_fill(l, &w, end - (size_t)w.cap, end);
    e = fr_train_two_tower_observe(tr, &b);
    window_done(&w);
    if (e == FR_OK)
        e = window_new(l, l->c->batch, &w);
    if (e != FR_OK)
        return e;
    for (int ep = 0; ep < l->c->epochs && e == FR_OK; ep++) {
        double sum = 0, loss = 0;
        size_t steps = 0;
        fr_train_two_tower_set_lr(tr, lr * (float)(1.0 - 0.9 * ep / l->c->epochs));
        for (size_t i = 0; i < end && e == FR_OK; i += (size_t)b.n) {
            b = window_fill(l, &w, i, end);
            e = fr_train_two_tower_step(tr, &b, &loss);
            sum += loss;
            steps++;
        }
        l->out->tower_loss = steps == 0 ? 0 : sum / (double)steps;
    }
    window_done(&w);
    return e;
}

/* Train on the first `end` examples. */
static enum fr_err tower(struct learner *l, size_t end, struct fr_train_two_tower **out_tr)
{
    const char *fields[FR_MAX_FIELDS];
    struct fr_two_tower_train_config cfg;
    enum fr_err e;

    fr_two_tower_train_config_default(&cfg);
    cfg.opt.seed = l->c->seed;
    cfg.opt.threads = l->c->threads;
    cfg.fields = fields;
    cfg.n_fields = tower_fields(l->spec, fields);
    e = fr_train_two_tower_new(&cfg, &l->spec->fields, out_tr, l->fault);
    return e == FR_OK ? tower_epochs(l, *out_tr, cfg.opt.lr, end) : e;
}

/* ---- lists ---- */

static enum fr_err add_list(struct learner *l, struct list it, const struct fr_cut *cut)
{
    enum fr_err e = fr_cell_rows_add(&l->l_user, cut->user_cells, l->nc[FR_ENTITY_USER]);

    if (e == FR_OK)
        e = fr_cell_rows_add(&l->l_context, cut->context_cells, l->nc[FR_ENTITY_CONTEXT]);
    if (e != FR_OK)
        return e;
    if (l->n_lists == l->cap_lists) {
        size_t cap = l->cap_lists == 0 ? 1024 : l->cap_lists * 2;
        void *p = fr_realloc_array(l->list, cap, sizeof(*l->list));
        if (p == NULL)
            return FR_ENOMEM;
        l->list = p;
        l->cap_lists = cap;
    }
    l->list[l->n_lists++] = it;
    return FR_OK;
}

/* Cells of candidates 0..n-1, as stage 5 cuts them. */
static enum fr_err list_rows(struct learner *l,
                             const struct fr_stream_trigger *t,
                             const struct fr_epoch *view,
                             const struct fr_trigger *tr,
                             uint32_t n)
{
    uint32_t ni = l->nc[FR_ENTITY_ITEM], nx = l->nc[FR_ENTITY_CROSS];
    struct fr_cell *cells = fr_arena_array(t->ar, ni + nx + 1U, sizeof(*cells));
    struct fr_cross *cx;
    enum fr_err e = cells == NULL ? FR_ENOMEM : fr_cross_init(l->spec, t->cut, view->table, t->ar, &cx);

    for (uint32_t i = 0; i < n && e == FR_OK; i++) {
        fr_row_item(l->spec, view->table, tr->cand[i].idx, t->generation, t->cut->ts, cells);
        fr_row_cross(cx, &tr->cand[i], cells + ni);
        e = fr_cell_rows_add(&l->l_item, cells, ni);
        if (e == FR_OK)
            e = fr_cell_rows_add(&l->l_cross, cells + ni, nx);
    }
    return e;
}

/* The label to the front, then a random sample of the others. */
static void sample(struct learner *l, struct fr_trigger *tr, uint32_t label, uint32_t n)
{
    struct fr_candidate c = tr->cand[label];

    tr->cand[label] = tr->cand[0];
    tr->cand[0] = c;
    for (uint32_t i = 1; i < n; i++) {
        uint32_t j = i + (uint32_t)fr_rng_below(&l->rng, tr->n_cand - i);
        c = tr->cand[i];
        tr->cand[i] = tr->cand[j];
        tr->cand[j] = c;
    }
}

static uint32_t tower_rank(const struct fr_trigger *tr, uint32_t label)
{
    uint32_t rank = 1;

    if (!tr->cand[label].has_score)
        return UINT32_MAX;
    for (uint32_t i = 0; i < tr->n_cand; i++)
        rank += tr->cand[i].has_score && tr->cand[i].score > tr->cand[label].score;
    return rank;
}

static enum fr_err make_list(struct learner *l,
                             const struct fr_stream_trigger *t,
                             const struct fr_epoch *view,
                             bool eval)
{
    struct fr_candidate_policy pol = fr_candidate_policy_of(l->c->cfg);
    struct fr_work work = {.kind = FR_WORK_EVENT, .ev = *t->ev};
    struct fr_trigger tr = {.work = &work, .cut = t->cut, .generation = t->generation};
    struct fr_trigger *one = &tr;
    struct list it = {l->l_item.n, 0, 0};
    uint32_t at = 0;
    enum fr_err e = fr_stage_embed(view, FR_SCORE_DETERMINISTIC, t->ar, &one, 1);

    if (e == FR_OK)
        e = fr_stage_candidates(l->spec, &pol, view, t->ar, l->mx, &tr);
    if (e != FR_OK)
        return e;
    while (at < tr.n_cand && tr.cand[at].item != t->label)
        at++;
    l->out->eval_triggers += eval;
    if (at == tr.n_cand || tr.n_cand < 2)
        return FR_OK;
    it.n = tr.n_cand;
    if (eval) {
        l->eval_found++;
        l->eval_hits += tower_rank(&tr, at) <= TOP;
    } else if (it.n > (uint32_t)l->c->negatives + 1) {
        it.n = (uint32_t)l->c->negatives + 1;
    }
    sample(l, &tr, at, it.n);
    if (l->c->shuffle_labels)
        it.label = (uint32_t)fr_rng_below(&l->rng, it.n);
    e = list_rows(l, t, view, &tr, it.n);
    return e == FR_OK ? add_list(l, it, t->cut) : e;
}

static enum fr_err on_list(void *ctx, const struct fr_stream_trigger *t)
{
    struct learner *l = ctx;
    size_t i = l->seen++;
    bool eval = i >= l->eval_from;
    struct fr_model *none = NULL;
    struct fr_epoch view;
    enum fr_err e = FR_OK;

    if (i < l->from || i % (eval ? l->eval_stride : l->stride) != 0)
        return FR_OK;
    if (l->tower_a != NULL)
        e = fr_epochs_set_models(t->ep, &l->tower_a, &none, l->fault);
    if (e != FR_OK)
        return e;
    if (eval && l->n_train == 0)
        l->n_train = l->n_lists;
    fr_epochs_pin(t->ep, &view);
    e = make_list(l, t, &view, eval);
    fr_epochs_unpin(t->ep, &view);
    return e;
}

static enum fr_err collect_lists(struct learner *l, const struct fr_stream_labels *labels)
{
    size_t n = l->user.n, rest = n - l->from, held = (size_t)((double)rest * HELD_OUT) + 1;
    struct fr_epochs *ep = NULL;
    enum fr_err e = new_epochs(l, &ep);

    l->eval_from = n - held;
    l->stride = (rest - held) / l->c->max_lists + 1;
    l->eval_stride = held / MAX_EVAL + 1;
    l->mx = fr_calloc(1, sizeof(*l->mx));
    if (e == FR_OK && l->mx == NULL)
        e = FR_ENOMEM;
    if (e == FR_OK)
        e = fr_stream_replay(&l->c->in, labels, ep, on_list, l, l->fault);
    fr_epochs_free(ep);
    fr_free(l->mx);
    if (e == FR_OK && (l->n_train == 0 || l->n_train == l->n_lists))
        e = fr_fault(l->fault, FR_EINVAL, "too few lists for a ranker (%zu)", l->n_lists);
    l->out->lists = l->n_train;
    return e;
}

/* ---- ranker ---- */

/* Lists first..first+n as the trainer takes them; in the arena. At most `max` candidates each. */
static struct fr_rank_list *
expand(struct learner *l, struct fr_arena *ar, size_t first, size_t n, uint32_t max)
{
    const uint32_t *nc = l->nc;
    struct fr_rank_list *out = fr_arena_zarray(ar, n, sizeof(*out));

    for (size_t i = 0; i < n && out != NULL; i++) {
        const struct list *it = &l->list[first + i];
        uint32_t k = it->n < max ? it->n : max;
        struct fr_cell *u = fr_arena_array(ar, nc[FR_ENTITY_USER] + 1U, sizeof(*u));
        struct fr_cell *c = fr_arena_array(ar, nc[FR_ENTITY_CONTEXT] + 1U, sizeof(*c));
        struct fr_cell *m = fr_arena_array(ar, (size_t)k * nc[FR_ENTITY_ITEM] + 1, sizeof(*m));
        struct fr_cell *x = fr_arena_array(ar, (size_t)k * nc[FR_ENTITY_CROSS] + 1, sizeof(*x));
        const struct fr_cell **p = fr_arena_array(ar, k + 1U, sizeof(*p));

        if (u == NULL || c == NULL || m == NULL || x == NULL || p == NULL)
            return NULL;
        fr_cell_rows_get(&l->l_user, first + i, u, nc[FR_ENTITY_USER]);
        fr_cell_rows_get(&l->l_context, first + i, c, nc[FR_ENTITY_CONTEXT]);
        for (uint32_t j = 0; j < k; j++) {
            p[j] = m + (size_t)j * nc[FR_ENTITY_ITEM];
            fr_cell_rows_get(&l->l_item, it->first + j, m + (size_t)j * nc[FR_ENTITY_ITEM],
                             nc[FR_ENTITY_ITEM]);
            fr_cell_rows_get(&l->l_cross, it->first + j, x + (size_t)j * nc[FR_ENTITY_CROSS],
                             nc[FR_ENTITY_CROSS]);
        }
        out[i] = (struct fr_rank_list){{u, c, p, x, (int)k}, (int)it->label, NULL, 1.0f};
    }
    return out;
}

static enum fr_err ranker_pass(struct learner *l, struct fr_train_deepfm *tr, struct fr_arena *ar, bool observe)
{
    double sum = 0, loss = 0;
    size_t steps = 0;
    enum fr_err e = FR_OK;

    for (size_t i = 0; i < l->n_train && e == FR_OK; i += LISTS_STEP, steps++) {
        size_t n = l->n_train - i < LISTS_STEP ? l->n_train - i : LISTS_STEP;
        struct fr_rank_list *lists = expand(l, ar, i, n, UINT32_MAX);
        if (lists == NULL)
            return FR_ENOMEM;
        e = observe ? fr_train_deepfm_observe(tr, lists, (int)n)
                    : fr_train_deepfm_step(tr, lists, (int)n, &loss);
        sum += loss;
        fr_arena_reset(ar);
    }
    if (!observe)
        l->out->ranker_loss = steps == 0 ? 0 : sum / (double)steps;
    return e;
}

static enum fr_err ranker_measure(struct learner *l, struct fr_train_deepfm *tr, struct fr_arena *ar)
{
    size_t rows = l->l_item.n - l->list[l->n_train].first, at = 0, hits = 0;
    float *logit = fr_calloc(rows, sizeof(*logit));
    uint8_t *label = fr_calloc(rows, sizeof(*label));
    enum fr_err e = logit == NULL || label == NULL ? FR_ENOMEM : FR_OK;

    for (size_t i = l->n_train; i < l->n_lists && e == FR_OK; i++) {
        struct fr_rank_list *one = expand(l, ar, i, 1, UINT32_MAX);
        e = one == NULL ? FR_ENOMEM : fr_train_deepfm_eval(tr, one, 1, NULL, logit + at);
        hits += e == FR_OK && fr_metric_rank(logit + at, l->list[i].n, l->list[i].label) <= TOP;
        label[at + l->list[i].label] = 1;
        at += l->list[i].n;
        fr_arena_reset(ar);
    }
    if (e == FR_OK)
        e = fr_metric_auc(logit, label, rows, &l->out->auc);
    if (e == FR_OK)
        e = fr_metric_logloss(logit, label, rows, &l->out->logloss);
    fr_free(logit);
    fr_free(label);
    l->out->hr20_ranker = (double)hits / (double)l->out->eval_triggers;
    l->out->hr20_tower = (double)l->eval_hits / (double)l->out->eval_triggers;
    l->out->candidates = (double)l->eval_found / (double)l->out->eval_triggers;
    return e;
}

static enum fr_err save_ranker(struct learner *l, struct fr_train_deepfm *tr, struct fr_arena *ar)
{
    static const char *const names[] = {"auc", "logloss", "hr20", "hr20_tower", "candidates"};
    const double values[] = {l->out->auc, l->out->logloss, l->out->hr20_ranker, l->out->hr20_tower,
                             l->out->candidates};
    struct fr_model_meta meta = {"deepfm", (uint64_t)l->newest_ts, "", l->newest_ts, names, values, 5};
    struct fr_rank_list *lists = expand(l, ar, l->n_train, 1, 8);
    char path[4096];

    if (lists == NULL)
        return FR_ENOMEM;
    if (snprintf(path, sizeof(path), "%s/deepfm", l->c->dir) >= (int)sizeof(path))
        return fr_fault(l->fault, FR_ETOOLARGE, "the output path is too long");
    return fr_train_deepfm_finish(tr, &meta, &lists[0].c, 1, path, l->fault);
}

static enum fr_err ranker(struct learner *l)
{
    const char *fields[FR_MAX_FIELDS];
    struct fr_deepfm_train_config cfg;
    struct fr_train_deepfm *tr = NULL;
    struct fr_arena *ar = NULL;
    enum fr_err e = fr_arena_new((size_t)1 << 20, 0, &ar);

    fr_deepfm_train_config_default(&cfg);
    cfg.opt.seed = l->c->seed;
    cfg.opt.threads = l->c->threads;
    cfg.fields = fields;
    for (int i = 0; i < l->spec->fields.n; i++)
        if (l->spec->feat[i].kind != FR_KIND_USER_ID)
            fields[cfg.n_fields++] = l->spec->fields.f[i].name;
    if (e == FR_OK)
        e = fr_train_deepfm_new(&cfg, &l->spec->fields, &tr, l->fault);
    if (e == FR_OK)
        e = ranker_pass(l, tr, ar, true);
    for (int ep = 0; ep < l->c->ranker_epochs && e == FR_OK; ep++) {
        fr_train_deepfm_set_lr(tr, cfg.opt.lr * (float)(1.0 - 0.7 * ep / l->c->ranker_epochs));
        e = ranker_pass(l, tr, ar, false);
    }
    if (e == FR_OK)
        e = ranker_measure(l, tr, ar);
    if (e == FR_OK)
        e = save_ranker(l, tr, ar);
    fr_train_deepfm_free(tr);
    fr_arena_free(ar);
    return e;
}

/* ---- whole ---- */

static enum fr_err save_tower(struct learner *l, struct fr_train_two_tower *tr)
{
    static const char *const names[] = {"loss", "hr20", "candidates"};
    const double values[] = {l->out->tower_loss, l->out->hr20_tower, l->out->candidates};
    struct fr_model_meta meta = {"two_tower", (uint64_t)l->newest_ts, "", l->newest_ts, names, values, 3};
    const struct fr_cell *items[8];
    struct fr_two_tower_batch b;
    struct fr_model_case mc;
    struct window w;
    struct fr_cell *cross = fr_calloc((size_t)l->nc[FR_ENTITY_CROSS] * 8 + 1, sizeof(*cross));
    char path[4096];
    enum fr_err e = cross == NULL ? FR_ENOMEM : window_new(l, 8, &w);

    if (e != FR_OK) {
        fr_free(cross);
        return e;
    }
    b = window_fill(l, &w, l->user.n - 8, l->user.n);
    for (int i = 0; i < 8; i++)
        items[i] = l->item_cells + (size_t)b.item[i] * l->nc[FR_ENTITY_ITEM];
    mc = (struct fr_model_case){w.user[0], w.context[0], items, cross, 8};
    if (snprintf(path, sizeof(path), "%s/two_tower", l->c->dir) >= (int)sizeof(path))
        e = fr_fault(l->fault, FR_ETOOLARGE, "the output path is too long");
    else
        e = fr_train_two_tower_finish(tr, &meta, &mc, 1, path, l->fault);
    window_done(&w);
    fr_free(cross);
    return e;
}

static enum fr_err with_ranker(struct learner *l, const struct fr_stream_labels *labels)
{
    struct fr_train_two_tower *tr = NULL;
    double t = seconds(l);
    enum fr_err e;

    l->from = (size_t)((double)l->user.n * l->c->tower_part);
    e = tower(l, l->from, &tr);
    if (e == FR_OK)
        e = fr_train_two_tower_model(tr, &l->tower_a, l->fault);
    fr_train_two_tower_free(tr);
    l->out->tower_a_s = seconds(l) - t;
    t = seconds(l);
    if (e == FR_OK)
        e = collect_lists(l, labels);
    l->out->lists_s = seconds(l) - t;
    t = seconds(l);
    if (e == FR_OK)
        e = ranker(l);
    l->out->ranker_s = seconds(l) - t;
    return e;
}

static void learner_done(struct learner *l)
{
    fr_cell_rows_done(&l->user);
    fr_cell_rows_done(&l->context);
    fr_cell_rows_done(&l->l_user);
    fr_cell_rows_done(&l->l_context);
    fr_cell_rows_done(&l->l_item);
    fr_cell_rows_done(&l->l_cross);
    fr_free(l->label);
    fr_free(l->item_cells);
    fr_free(l->list);
    fr_model_free(l->tower_a);
}

enum fr_err fr_stream_train(const struct fr_stream_train_config *c,
                            struct fr_stream_train_result *out,
                            struct fr_fault *fault)
{
    struct learner l = {.c = c, .out = out, .fault = fault, .spec = c->in.spec};
    struct fr_train_two_tower *tr = NULL;
    struct fr_stream_labels labels;
    double t0, t;
    enum fr_err e;

    memset(out, 0, sizeof(*out));
    l.nc = l.spec->fields.n_cells;
    fr_clock_init_real(&l.clock);
    fr_rng_seed(&l.rng, c->seed);
    t0 = seconds(&l);
    e = fr_file_mkdirs(c->dir, fault);
    if (e == FR_OK)
        e = fr_stream_labels_find(&c->in, &labels, fault);
    if (e != FR_OK)
        return e;
    out->lines = labels.n;
    out->refused = labels.n_refused;
    e = collect(&l, &labels);
    out->examples_s = seconds(&l) - t0;
    if (e == FR_OK && c->deepfm)
        e = with_ranker(&l, &labels);
    t = seconds(&l);
    if (e == FR_OK && c->two_tower)
        e = tower(&l, l.user.n, &tr);
    if (e == FR_OK && c->two_tower)
        e = save_tower(&l, tr);
    out->tower_s = seconds(&l) - t;
    out->total_s = seconds(&l) - t0;
    fr_train_two_tower_free(tr);
    fr_stream_labels_done(&labels);
    learner_done(&l);
    return e;
}
