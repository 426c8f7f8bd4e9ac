/*
 * daemon/learn/stream_train_ranker.c - a ranker on the lists of stream_train_lists.c, or on pairs.
 *
 * Every epoch goes through the lists in a new order. After each epoch the held-out lists are scored;
 * of those, every other one decides which epoch is kept (early stop), the rest are what is reported.
 * A value head learns from what labels were worth, and counts in the choice of the epoch by the share of the
 * constant's error that it takes away.
 */
#include <math.h>
#include <stdio.h>

#include "daemon/base/alloc.h"
#include "daemon/learn/stream_train_priv.h"
#include "daemon/learn/value_measure.h"
#include "models/metrics.h"
#include "models/train/checkpoint_trainers.h"
#include "models/train/train_ctr.h"

#define LISTS_STEP 64
#define PATIENCE 2 /* epochs without a better one */
#define FEW_LISTS 20000
#define MAX_EPOCHS 10
#define PAIR_EPOCHS 10 /* at least; and FEW_PAIRS / pairs more, up to MAX_PAIR_EPOCHS */
#define FEW_PAIRS 400000
#define MAX_PAIR_EPOCHS 40

/* Measures over one half of the held-out lists. */
struct measure {
    double hr20, auc, logloss, mrr, mrr_tower;
    size_t rows;
    struct fr_value_measure value;
};

struct ranker {
    struct fr_learner *l;
    struct fr_train_ctr *tr;
    struct fr_learner_ncf *ncf; /* instead of tr */
    enum fr_model_kind kind;
    struct fr_arena *ar;
    float lr;
    int epochs; /* at most */
    int patience;
    uint32_t *order; /* (n_train) */
    struct fr_model *best;
    struct measure choose, report; /* of the best epoch */
    struct measure last;           /* of the newest, on the lists that choose */
    float *logit;                  /* scratch of a measure */
    uint8_t *label;
    struct fr_value_measure value; /* with the training labels; each measure begins as a copy of it */
    float *raw, *key, *score;      /* scratch, as many as a list may have */
};

/* What the rows of a list were worth: that of the label, if it is known. */
static enum fr_err values_of(struct ranker *r, const struct fr_learner_list *it, struct fr_rank_list *out)
{
    size_t n = (size_t)out->c.n;
    float *v;

    if (r->value.kind == FR_VALUE_NONE || isnan(it->value) || it->label >= n)
        return FR_OK;
    v = fr_arena_array(r->ar, n, sizeof(*v));
    if (v == NULL)
        return FR_ENOMEM;
    for (size_t i = 0; i < n; i++)
        v[i] = i == it->label ? it->value : NAN;
    out->values = v;
    return FR_OK;
}

/* Lists by number, as the trainer takes them; in the arena. At most `max` candidates each. */
static struct fr_rank_list *expand(struct ranker *r, const uint32_t *which, size_t n, uint32_t max)
{
    const struct fr_learner *l = r->l;
    struct fr_rank_list *out = fr_arena_zarray(r->ar, n, sizeof(*out));

    for (size_t i = 0; i < n && out != NULL; i++) {
        const struct fr_learner_list *it = &l->list[which[i]];

        out[i] = (struct fr_rank_list){.label = (int)it->label, .weight = 1.0f};
        if (fr_learner_case(l, which[i], it->n < max ? it->n : max, r->ar, &out[i].c) != FR_OK)
            return NULL;
        if (values_of(r, it, &out[i]) != FR_OK)
            return NULL;
    }
    return out;
}

/* A measure that is finished: no list will be added. */
static void walk_measure(struct measure *m, const char *section, struct fr_checkpoint *ck)
{
    double *v[] = {&m->hr20,  &m->auc,         &m->logloss,          &m->mrr,        &m->mrr_tower,
                   &m->value.error, &m->value.error_mean, &m->value.kept_click, &m->value.kept, &m->value.total};
    static const char *const name[] = {"hr20",  "auc",        "logloss",    "mrr",  "mrr_tower",
                                       "error", "error_mean", "kept_click", "kept", "total"};
    int64_t rows = (int64_t)m->rows, n = (int64_t)m->value.n;

    fr_checkpoint_section(ck, section);
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
        fr_checkpoint_f64s(ck, name[i], v[i], 1); /* may be NaN */
    fr_checkpoint_i64(ck, "rows", &rows, 0, FR_CHECKPOINT_MAX_STEPS);
    fr_checkpoint_i64(ck, "n", &n, 0, FR_CHECKPOINT_MAX_STEPS);
    m->rows = (size_t)rows;
    m->value.n = (size_t)n;
}

/* All state of the training beside place and result; see saver.h. */
static void walk(void *ctx, struct fr_checkpoint *ck)
{
    struct ranker *r = ctx;
    struct measure *m[3] = {&r->choose, &r->report, &r->last};
    static const char *const section[3] = {"choose", "report", "last"};

    fr_stream_saver_same_lists(r->l, ck);
    if (!fr_checkpoint_loading(ck)) /* was loaded before the lists were made */
        fr_learner_retrieval_save(r->l, ck);
    if (r->ncf != NULL) {
        fr_learner_ncf_checkpoint(r->ncf, &r->best, ck);
    } else {
        fr_checkpoint_section(ck, "trainer");
        fr_train_ctr_checkpoint(r->tr, ck);
        fr_checkpoint_section(ck, "best");
        fr_checkpoint_model(ck, &r->best, fr_train_ctr_build, r->tr);
    }
    for (int i = 0; i < 3; i++)
        walk_measure(m[i], section[i], ck);
}

/* Count ids and values of the training lists. */
static enum fr_err observe(struct ranker *r)
{
    const struct fr_learner *l = r->l;
    enum fr_err e = FR_OK;

    for (size_t i = 0; i < l->n_train && e == FR_OK; i += LISTS_STEP) {
        size_t n = l->n_train - i < LISTS_STEP ? l->n_train - i : LISTS_STEP;
        struct fr_rank_list *lists = expand(r, r->order + i, n, UINT32_MAX);
        e = lists == NULL ? FR_ENOMEM : fr_train_ctr_observe(r->tr, lists, (int)n);
        fr_arena_reset(r->ar);
    }
    return e;
}

/* Once through the training lists, from where the place says. The step size falls evenly. */
static enum fr_err pass(struct ranker *r)
{
    struct fr_learner *l = r->l;
    struct fr_saver *sv = &l->sv.s;
    size_t all = (size_t)r->epochs * l->n_train, before = (size_t)sv->at.epoch * l->n_train;
    double sum = sv->at.sum, loss = 0;
    size_t steps = (size_t)sv->at.row / LISTS_STEP;
    enum fr_err e = FR_OK;

    for (size_t i = (size_t)sv->at.row; i < l->n_train && e == FR_OK; i += LISTS_STEP) {
        size_t n = l->n_train - i < LISTS_STEP ? l->n_train - i : LISTS_STEP;
        struct fr_rank_list *lists = expand(r, r->order + i, n, UINT32_MAX);
        if (lists == NULL)
            return FR_ENOMEM;
        fr_train_ctr_set_lr(r->tr, r->lr * (float)(1.0 - 0.95 * (double)(before + i) / (double)all));
        if ((e = fr_train_ctr_step(r->tr, lists, (int)n, &loss)) != FR_OK)
            break;
        sum += loss;
        steps++;
        fr_arena_reset(r->ar);
        fr_learner_tell_loss(l, "ranker", before + i, all, sum / (double)steps, r->last.auc);
        e = fr_saver_step(sv, i + LISTS_STEP, sum, walk, r, l->fault); /* beyond the last one: all are done */
    }
    l->out->ranker_loss = steps == 0 ? 0 : sum / (double)steps;
    return e;
}

/* What both heads say to one list; the logits where AUC will want them. */
static enum fr_err
score_list(struct ranker *r,
           const struct fr_model *m,
           const struct fr_rank_list *one,
           float *logit,
           float value,
           struct measure *out)
{
    enum fr_err e;

    if (r->value.kind == FR_VALUE_NONE)
        return fr_model_score_case(m, &one->c, 0, r->ar, logit);
    e = fr_model_score_case_heads(m, &one->c, 0, r->ar, logit, r->raw);
    if (e == FR_OK)
        fr_value_measure_list(&out->value, logit, r->raw, (size_t)one->c.n, (size_t)one->label, value, r->key, r->score);
    return e;
}

/* Score every other held-out list by m, from the first or the second on. HR@20 is over those triggers whose
 * label was among the candidates; the caller scales it. */
static enum fr_err measure(struct ranker *r, const struct fr_model *m, size_t first, struct measure *out)
{
    const struct fr_learner *l = r->l;
    size_t at = 0, hits = 0, n = 0;
    double rr = 0, rr_tower = 0;
    struct measure got = {.value = r->value};
    enum fr_err e = FR_OK;

    for (size_t i = l->n_train + first; i < l->n_lists && e == FR_OK; i += 2, n++) {
        uint32_t which = (uint32_t)i;
        struct fr_rank_list *one = expand(r, &which, 1, UINT32_MAX);
        size_t place;
        e = one == NULL ? FR_ENOMEM : score_list(r, m, one, r->logit + at, l->list[i].value, &got);
        fr_arena_reset(r->ar);
        if (e != FR_OK)
            break;
        place = fr_metric_rank(r->logit + at, l->list[i].n, l->list[i].label);
        hits += place <= FR_LEARNER_TOP;
        rr += place <= FR_LEARNER_TOP ? 1.0 / (double)place : 0;
        rr_tower += l->list[i].tower_place <= FR_LEARNER_TOP ? 1.0 / l->list[i].tower_place : 0;
        for (uint32_t k = 0; k < l->list[i].n; k++)
            r->label[at + k] = k == l->list[i].label;
        at += l->list[i].n;
    }
    *out = (struct measure){.hr20 = n == 0 ? 0 : (double)hits / (double)n,
                            .mrr = n == 0 ? 0 : rr / (double)n,
                            .mrr_tower = n == 0 ? 0 : rr_tower / (double)n,
                            .rows = at,
                            .value = got.value};
    if (e == FR_OK && n > 0)
        e = fr_metric_auc(r->logit, r->label, at, &out->auc);
    if (e == FR_OK && n > 0)
        e = fr_metric_logloss(r->logit, r->label, at, &out->logloss);
    return e;
}

/* What decides between epochs. */
static double worth(const struct measure *m)
{
    double mean = fr_value_measure_error_mean(&m->value);

    return m->mrr + m->hr20 + (mean > 0 ? 1 - fr_value_measure_error(&m->value) / mean : 0);
}

/* Keep the epoch when it is better. */
static enum fr_err keep(struct ranker *r, bool *out_better)
{
    struct measure choose, report;
    struct fr_model *m = NULL;
    enum fr_err e = r->ncf != NULL ? fr_learner_ncf_model(r->ncf, &m) : fr_train_ctr_model(r->tr, &m, r->l->fault);

    if (e == FR_OK)
        e = measure(r, m, 0, &choose);
    if (e == FR_OK)
        e = measure(r, m, r->l->n_lists - r->l->n_train > 1, &report);
    if (e == FR_OK)
        r->last = choose;
    *out_better = e == FR_OK && (r->best == NULL || worth(&choose) > worth(&r->choose));
    if (!*out_better) {
        fr_model_free(m);
        return e;
    }
    fr_model_free(r->best);
    r->best = m;
    r->choose = choose;
    r->report = report;
    return FR_OK;
}

static void shuffle(struct fr_learner *l, uint32_t *order, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)fr_rng_below(&l->rng, i);
        uint32_t t = order[i - 1];
        order[i - 1] = order[j];
        order[j] = t;
    }
}

/* The ranker starts as the tower's order: what it learns can only be kept if it is better. */
static enum fr_err start(struct ranker *r)
{
    const struct fr_learner *l = r->l;
    bool better;

    for (int i = 0; i < l->spec->n_feat; i++) {
        enum fr_err e;
        if (l->spec->feat[i].kind != FR_KIND_RETRIEVAL_SCORE)
            continue;
        e = fr_train_ctr_start(r->tr, l->spec->fields.f[i].name, l->inv_tau);
        if (e != FR_OK && e != FR_ENOTFOUND)
            return e;
    }
    return keep(r, &better);
}

/* Begin, or come to where the checkpoint was: the orders of the epochs before are drawn again. */
static enum fr_err enter(struct ranker *r)
{
    struct fr_learner *l = r->l;
    struct fr_saver *sv = &l->sv.s;
    bool anew = !fr_saver_within(sv, FR_STREAM_RANKER);
    enum fr_err e = FR_OK;

    if (anew && r->ncf == NULL && (e = observe(r)) == FR_OK)
        e = start(r);
    if (e == FR_OK)
        e = fr_saver_enter(sv, FR_STREAM_RANKER, (double)r->lr, &l->rng, walk, r, l->fault);
    for (int i = 0; e == FR_OK && i < sv->at.epoch; i++)
        shuffle(l, r->order, l->n_train);
    if (e == FR_OK)
        l->rng = sv->at.rng; /* of pairs, the draws between the orders too */
    return e;
}

/* An epoch is done: judge it. */
static enum fr_err judge(struct ranker *r, int ep)
{
    const struct fr_learner *l = r->l;
    struct fr_saver_place *at = &r->l->sv.s.at;
    double lr = r->ncf != NULL ? (double)fr_learner_ncf_lr(r->ncf) : (double)r->lr * (1.0 - 0.95 * ep / r->epochs);
    bool better = false;
    enum fr_err e;

    if (r->ncf != NULL && !fr_learner_ncf_began(r->ncf) && ep + 1 < r->epochs) {
        /* a chance order: were it the best of few lists, it would be kept */
        fr_learner_curve(&l->out->ranker_curve, l->out->ranker_loss, (double)NAN, lr);
        return FR_OK;
    }
    e = keep(r, &better);
    fr_learner_curve(&l->out->ranker_curve, l->out->ranker_loss, r->last.mrr + r->last.hr20, lr);
    at->bad = better ? 0 : at->bad + 1;
    l->out->ranker_epochs = better ? ep + 1 : l->out->ranker_epochs;
    l->out->ranker_curve.best = l->out->ranker_epochs;
    return e;
}

static enum fr_err fit(struct ranker *r)
{
    struct fr_learner *l = r->l;
    struct fr_saver *sv = &l->sv.s;
    enum fr_err e = enter(r);

    for (int ep = sv->at.epoch; ep < r->epochs && e == FR_OK && sv->at.bad < r->patience; ep++) {
        shuffle(l, r->order, l->n_train);
        double auc = r->best == NULL ? (double)NAN : r->last.auc;
        e = r->ncf != NULL ? fr_learner_ncf_epoch(r->ncf, r->epochs, auc, walk, r) : pass(r);
        if (e == FR_OK)
            e = judge(r, ep);
        if (e != FR_OK)
            break;
        fr_saver_time(sv);
        sv->at.rng = l->rng;
        e = fr_saver_epoch(sv, walk, r, l->fault);
    }
    return e;
}

static void report(struct ranker *r)
{
    struct fr_learner *l = r->l;
    double found = (double)l->eval_found / (double)l->out->eval_triggers;

    l->out->mrr_ranker = r->report.mrr;
    l->out->mrr_tower = r->report.mrr_tower;
    l->out->rows_held_out = r->report.rows;
    l->out->auc = r->report.auc;
    l->out->logloss = r->report.logloss;
    l->out->values = r->value.targets;
    l->out->values_held_out = r->report.value.n;
    l->out->value_error = fr_value_measure_error(&r->report.value);
    l->out->value_error_mean = fr_value_measure_error_mean(&r->report.value);
    l->out->value_ndcg = fr_value_measure_kept(&r->report.value);
    l->out->value_ndcg_click = fr_value_measure_kept_click(&r->report.value);
    if (l->n_shown > 0)
        return; /* of some twenty items shown, all are among the best twenty */
    l->out->hr20_ranker = r->report.hr20 * found;
    l->out->hr20_tower = (double)l->eval_hits / (double)l->out->eval_triggers;
    l->out->candidates = found;
}

static enum fr_err save(struct ranker *r)
{
    static const char *const names[] = {"auc",        "logloss",     "mrr",
                                        "mrr_tower",  "hr20",        "hr20_tower",
                                        "candidates", "value_error", "value_error_mean",
                                        "value_ndcg", "value_ndcg_click"};
    struct fr_learner *l = r->l;
    const double values[] = {l->out->auc,         l->out->logloss,    l->out->mrr_ranker, l->out->mrr_tower,
                             l->out->hr20_ranker, l->out->hr20_tower, l->out->candidates, l->out->value_error,
                             l->out->value_error_mean, l->out->value_ndcg, l->out->value_ndcg_click};
    struct fr_model_meta meta = {fr_model_kind_slug(r->kind), fr_learner_version(l), "", l->newest_ts, names, values,
                                 r->value.kind == FR_VALUE_NONE ? 7 : 11};
    uint32_t which = (uint32_t)l->n_train;
    struct fr_rank_list *lists = expand(r, &which, 1, 8);
    char path[FR_LEARNER_PATH];

    if (lists == NULL)
        return FR_ENOMEM;
    enum fr_err e = fr_learner_place(l->c, r->kind, path, l->fault);
    return e == FR_OK ? fr_model_save(r->best, &meta, &lists[0].c, 1, path, l->fault) : e;
}

/* Chosen on films and shop sessions, lists judged with the tower that is served: without the dropout of
 * ids the second epoch already learns the training lists by heart. */
static void config(const struct fr_learner *l, struct fr_ctr_train_config *cfg)
{
    if (l->c->ranker != NULL) {
        *cfg = *l->c->ranker;
        return;
    }
    fr_ctr_train_config_default(cfg);
    cfg->opt.lr = 1e-3f;
    cfg->opt.l2_embedding = 1e-4f;
    cfg->opt.id_dropout = 0.5f;
    fr_learner_options(l, &cfg->opt);
    cfg->model.kind = l->c->ranker_kind;
    if (cfg->model.kind == FR_MODEL_LR)
        cfg->model.dim = 0;
    if ((fr_ctr_parts(&cfg->model) & FR_CTR_DEEP) == 0)
        cfg->model.n_hidden = 0;
    cfg->dropout = (float)l->c->dropout;
    cfg->model.batch_norm = l->c->batch_norm;
    if (cfg->model.kind == FR_MODEL_AUTOINT || cfg->model.kind == FR_MODEL_AUTOINT_PLUS) {
        /* with the linear part: it is how a ranker begins as the tower's order */
        cfg->model.linear = true;
        cfg->model.attention = (struct fr_attention_config){
            .layers = 2, .heads = 2, .width = 32, .scale = true, .layer_norm = true, .residual = FR_RESIDUAL_PROJECTED};
    }
}

/* Few lists need more rounds to be learnt from, many begin to be learnt by heart in the second. */
static int epochs_of(size_t lists)
{
    size_t n = FEW_LISTS / (lists + 1);

    return n < 2 ? 2 : n > MAX_EPOCHS ? MAX_EPOCHS : (int)n;
}

/* The value head that was asked for, and what it is measured by. */
static enum fr_err value_head(struct ranker *r, struct fr_ctr_train_config *cfg)
{
    const struct fr_learner *l = r->l;
    const struct fr_config *c = l->c->cfg;
    size_t longest = 0;

    if (l->c->in.value.kind == FR_VALUE_NONE)
        return FR_OK;
    cfg->model.value = l->c->in.value.kind;
    cfg->value_weight = l->c->value_weight;
    r->value.kind = cfg->model.value;
    r->value.share = cfg->loss == FR_LOSS_LISTWISE;
    r->value.powers = c->models_score_value_power > 0
                          ? (struct fr_score_powers){c->models_score_click_power, c->models_score_value_power}
                          : (struct fr_score_powers){1, 1};
    for (size_t i = 0; i < l->n_lists; i++) {
        longest = l->list[i].n > longest ? l->list[i].n : longest;
        if (i < l->n_train)
            fr_value_measure_train(&r->value, l->list[i].value);
    }
    if (r->value.targets == 0)
        return fr_fault(l->fault, FR_EINVAL, "no label of the %zu lists has a value that a head could learn", l->n_train);
    r->raw = fr_calloc(longest + 1, sizeof(*r->raw));
    r->key = fr_calloc(longest + 1, sizeof(*r->key));
    r->score = fr_calloc(longest + 1, sizeof(*r->score));
    return r->raw == NULL || r->key == NULL || r->score == NULL ? FR_ENOMEM : FR_OK;
}

static enum fr_err new_ctr(struct ranker *r)
{
    const struct fr_learner *l = r->l;
    const char *fields[FR_MAX_FIELDS];
    struct fr_ctr_train_config cfg;

    config(l, &cfg);
    r->kind = cfg.model.kind;
    cfg.opt.seed = l->c->seed;
    cfg.opt.threads = l->c->threads;
    cfg.n_fields = 0;
    for (int i = 0; i < l->spec->fields.n; i++)
        if (l->spec->feat[i].kind != FR_KIND_USER_ID)
            fields[cfg.n_fields++] = l->spec->fields.f[i].name;
    cfg.fields = fields;
    r->lr = cfg.opt.lr;
    r->epochs = epochs_of(l->n_train);
    r->patience = PATIENCE;
    enum fr_err e = value_head(r, &cfg);
    return e == FR_OK ? fr_train_ctr_new(&cfg, &l->spec->fields, &r->tr, l->fault) : e;
}

static enum fr_err new_ncf(struct ranker *r)
{
    enum fr_err e;

    r->kind = r->l->c->ranker_kind;
    if (r->l->c->in.value.kind != FR_VALUE_NONE)
        return fr_fault(r->l->fault, FR_EINVAL, "%s has no value head", fr_model_kind_name(r->kind));
    e = fr_learner_ncf_new(r->l, r->kind, &r->ncf);
    if (e != FR_OK)
        return e;
    r->epochs = PAIR_EPOCHS + (int)(FEW_PAIRS / r->l->out->pairs);
    if (r->epochs > MAX_PAIR_EPOCHS)
        r->epochs = MAX_PAIR_EPOCHS;
    r->patience = r->epochs / 4;
    return FR_OK;
}

static enum fr_err ranker_new(struct ranker *r)
{
    const struct fr_learner *l = r->l;
    size_t rows = l->l_item.n - l->list[l->n_train].first;
    enum fr_err e = fr_arena_new((size_t)1 << 20, 0, &r->ar);

    r->order = fr_calloc(l->n_train + 1, sizeof(*r->order));
    r->logit = fr_calloc(rows + 1, sizeof(*r->logit));
    r->label = fr_calloc(rows + 1, sizeof(*r->label));
    if (e == FR_OK && (r->order == NULL || r->logit == NULL || r->label == NULL))
        e = FR_ENOMEM;
    for (size_t i = 0; i < l->n_train && e == FR_OK; i++)
        r->order[i] = (uint32_t)i;
    if (e == FR_OK)
        e = fr_learner_ncf_is(l->c->ranker_kind) ? new_ncf(r) : new_ctr(r);
    r->epochs = l->c->ranker_epochs > 0 ? l->c->ranker_epochs : r->epochs;
    return e;
}

enum fr_model_kind fr_learner_ranker_kind(const struct fr_learner *l)
{
    return l->c->ranker == NULL || fr_learner_ncf_is(l->c->ranker_kind) ? l->c->ranker_kind : l->c->ranker->model.kind;
}

enum fr_err fr_learner_ranker(struct fr_learner *l)
{
    struct ranker r = {.l = l};
    enum fr_err e = ranker_new(&r);

    if (e == FR_OK)
        e = fit(&r);
    if (e == FR_OK && r.best == NULL)
        e = fr_fault(l->fault, FR_EINVAL, "the ranker needs at least one epoch");
    if (e == FR_OK) {
        report(&r);
        e = save(&r);
    }
    fr_model_free(r.best);
    fr_train_ctr_free(r.tr);
    fr_learner_ncf_free(r.ncf);
    fr_arena_free(r.ar);
    fr_free(r.order);
    fr_free(r.logit);
    fr_free(r.label);
    fr_free(r.raw);
    fr_free(r.key);
    fr_free(r.score);
    return e;
}
