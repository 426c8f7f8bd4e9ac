/*
 * daemon/learn/stream_compare.c - lists by the code of the trainer, scores by each bundle.
 */
#include "daemon/learn/stream_compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/learn/benchmark_detail.h"
#include "daemon/learn/stream_train_priv.h"
#include "models/metrics.h"

struct fr_stream_compare {
    struct fr_stream_compare_config c;
    struct fr_stream_train_config train; /* what the lists' maker asks for */
    struct fr_stream_train_result result;
    struct fr_learner l;
    struct fr_stream_compare_counts counts;
    size_t rows;
    uint8_t *label; /* (rows) */
    uint32_t *user; /* (rows) from 0 */
};

/* ---- lists ---- */

static void tell(void *ctx, const char *what, uint64_t done, uint64_t total, double loss, double auc)
{
    struct fr_stream_compare *s = ctx;

    (void)what;
    (void)loss;
    (void)auc;
    if (s->c.progress != NULL)
        s->c.progress(s->c.progress_ctx, done, total);
}

/* Triggers with a label among the first `after` lines. */
static size_t labels_before(const struct fr_stream_labels *labels, uint64_t after)
{
    size_t n = 0;

    for (uint64_t i = 0; i < after && i < labels->n; i++)
        n += labels->item[i] != 0;
    return n;
}

static enum fr_err make_lists(struct fr_stream_compare *s, const struct fr_stream_labels *labels, struct fr_fault *fault)
{
    struct fr_learner *l = &s->l;
    int64_t retrieval_to = 0;
    enum fr_err e = FR_OK;

    l->from = labels_before(labels, s->c.after);
    l->held = (size_t)labels->n_labels - l->from;
    s->result.lines = labels->n;
    if (l->held == 0)
        return fr_fault(fault, FR_EINVAL, "no trigger with a next positive event after the first %llu of %llu events",
                        (unsigned long long)s->c.after, (unsigned long long)labels->n);
    if (s->c.retrieval != NULL)
        e = fr_model_load(s->c.retrieval, &l->spec->fields, &l->tower_a, fault);
    if (e == FR_OK && l->tower_a != NULL && fr_model_info(l->tower_a)->job != FR_JOB_RETRIEVAL)
        e = fr_fault(fault, FR_EINVAL, "%s: not a retrieval model", s->c.retrieval);
    if (e == FR_OK && l->tower_a != NULL)
        retrieval_to = fr_model_info(l->tower_a)->created_ms;
    if (e == FR_OK)
        e = fr_learner_lists(l, labels);
    if (e == FR_OK && l->n_lists == 0 && l->n_shown > 0)
        e = fr_fault(fault, FR_EINVAL, "no list was shown and clicked in after the first %llu events",
                     (unsigned long long)s->c.after);
    else if (e == FR_OK && l->n_lists == 0)
        e = fr_fault(fault, FR_EINVAL, "not one list: in none of %llu triggers was the next positive among the candidates%s",
                     (unsigned long long)s->result.eval_triggers, s->c.retrieval == NULL ? "; --retrieval brings more" : "");
    s->counts = (struct fr_stream_compare_counts){.events = labels->n,
                                                  .refused = labels->n_refused,
                                                  .triggers = s->result.eval_triggers,
                                                  .lists = l->n_lists,
                                                  .rows = l->l_item.n,
                                                  .shown = l->n_shown > 0,
                                                  .known_ms = l->known_ts,
                                                  .retrieval_seen = retrieval_to > l->known_ts};
    return e;
}

struct id_at {
    uint64_t id;
    size_t list;
};

static int by_id(const void *a, const void *b)
{
    const struct id_at *x = a, *y = b;

    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return (x->list > y->list) - (x->list < y->list);
}

/* Labels and users of the rows; users by number, in the order of their hashes. */
static enum fr_err number_rows(struct fr_stream_compare *s)
{
    const struct fr_learner *l = &s->l;
    struct id_at *u = fr_malloc_array(l->n_lists, sizeof(*u));
    uint32_t number = 0;

    s->rows = l->l_item.n;
    s->label = fr_calloc(s->rows + 1, sizeof(*s->label));
    s->user = fr_calloc(s->rows + 1, sizeof(*s->user));
    if (u == NULL || s->label == NULL || s->user == NULL) {
        fr_free(u);
        return FR_ENOMEM;
    }
    for (size_t i = 0; i < l->n_lists; i++)
        u[i] = (struct id_at){l->list[i].user, i};
    qsort(u, l->n_lists, sizeof(*u), by_id);
    for (size_t i = 0; i < l->n_lists; i++) {
        const struct fr_learner_list *it = &l->list[u[i].list];

        number += i > 0 && u[i].id != u[i - 1].id;
        s->label[it->first + it->label] = 1;
        for (uint32_t k = 0; k < it->n; k++)
            s->user[it->first + k] = number;
    }
    fr_free(u);
    return FR_OK;
}

enum fr_err fr_stream_compare_new(const struct fr_stream_compare_config *c,
                                  struct fr_stream_compare **out,
                                  struct fr_fault *fault)
{
    struct fr_stream_compare *s = fr_calloc(1, sizeof(*s));
    struct fr_stream_labels labels;
    enum fr_err e;

    if (s == NULL)
        return FR_ENOMEM;
    s->c = *c;
    fr_stream_train_config_default(&s->train);
    s->train.in = c->in;
    s->train.cfg = c->cfg;
    s->train.max_held_out = c->max_lists;
    s->train.progress = tell;
    s->train.progress_ctx = s;
    s->l = (struct fr_learner){.c = &s->train, .out = &s->result, .fault = fault, .spec = c->in.spec};
    s->l.nc = c->in.spec->fields.n_cells;
    fr_rng_seed(&s->l.rng, s->train.seed);
    e = fr_stream_labels_find(&c->in, &labels, fault);
    if (e == FR_OK) {
        e = make_lists(s, &labels, fault);
        fr_stream_labels_done(&labels);
    }
    if (e == FR_OK)
        e = number_rows(s);
    s->l.fault = NULL; /* the caller's, of this call */
    if (e != FR_OK) {
        fr_stream_compare_free(s);
        return e;
    }
    *out = s;
    return FR_OK;
}

void fr_stream_compare_free(struct fr_stream_compare *s)
{
    if (s == NULL)
        return;
    fr_learner_lists_done(&s->l);
    fr_free(s->label);
    fr_free(s->user);
    fr_free(s);
}

const struct fr_stream_compare_counts *fr_stream_compare_counts(const struct fr_stream_compare *s)
{
    return &s->counts;
}

/* ---- measures ---- */

/* Scratch of one bundle. */
struct scores {
    const struct fr_model *m;
    struct fr_arena *ar;
    float *logit;    /* (rows) */
    double hits, rr; /* sums over lists */
};

static enum fr_err score_lists(const struct fr_stream_compare *s, struct scores *x)
{
    const struct fr_learner *l = &s->l;
    enum fr_err e = FR_OK;

    for (size_t i = 0; i < l->n_lists && e == FR_OK; i++) {
        struct fr_model_case c;

        e = fr_learner_case(l, i, l->list[i].n, x->ar, &c);
        if (e == FR_OK)
            e = fr_model_score_case(x->m, &c, 0, x->ar, x->logit + l->list[i].first);
        fr_arena_reset(x->ar);
    }
    return e;
}

/* The measures of a list's place, into the sums of its user. */
static void add_places(const struct fr_stream_compare *s, struct scores *x, struct fr_benchmark_detail *d, int first)
{
    const struct fr_learner *l = &s->l;

    for (size_t i = 0; i < l->n_lists; i++) {
        const struct fr_learner_list *it = &l->list[i];
        size_t place = fr_metric_rank(x->logit + it->first, it->n, it->label);
        double hit = place <= FR_LEARNER_TOP, rr = hit > 0 ? 1.0 / (double)place : 0;

        x->hits += hit;
        x->rr += rr;
        if (!s->counts.shown)
            fr_benchmark_detail_add(d, first, s->user[it->first], hit);
        fr_benchmark_detail_add(d, first + 1, s->user[it->first], rr);
    }
}

static enum fr_err measure(const struct fr_stream_compare *s,
                           struct scores *x,
                           struct fr_benchmark_detail *d,
                           struct fr_benchmark_result *out)
{
    static const char *const places[] = {"hr@20", FR_STREAM_COMPARE_MAIN};
    double auc = 0, logloss = 0, gauc = 0, lists = (double)s->l.n_lists;
    enum fr_err e = score_lists(s, x);
    int first;

    if (e == FR_OK)
        e = fr_metric_auc(x->logit, s->label, s->rows, &auc);
    if (e == FR_OK)
        e = fr_metric_logloss(x->logit, s->label, s->rows, &logloss);
    if (e == FR_OK)
        e = fr_metric_gauc(x->logit, s->label, s->user, s->rows, &gauc);
    if (e == FR_OK)
        e = fr_benchmark_detail_rows(d, x->logit, s->label, s->user, s->rows);
    first = d->n_ratios;
    if (e == FR_OK)
        e = fr_benchmark_detail_begin(d, "users", d->n_units, places, 2);
    if (e != FR_OK)
        return e;
    add_places(s, x, d, first);
    fr_benchmark_add(out, "auc", auc);
    fr_benchmark_add(out, "logloss", logloss);
    fr_benchmark_add(out, "gauc", gauc);
    fr_benchmark_add(out, places[0], s->counts.shown ? (double)NAN : x->hits / lists);
    fr_benchmark_add(out, places[1], x->rr / lists);
    return FR_OK;
}

/* The user of the first list, and as many rows from there on as a timing wants. */
static enum fr_err time_bundle(const struct fr_stream_compare *s, struct scores *x, struct fr_benchmark_detail *d)
{
    struct fr_model_case c;
    enum fr_err e = fr_learner_case(&s->l, 0, FR_BENCHMARK_CANDIDATES, x->ar, &c);

    d->parameters = fr_model_parameters(x->m);
    return e == FR_OK ? fr_benchmark_time(x->m, &s->l.spec->fields, &c, &d->speed) : e;
}

enum fr_err fr_stream_compare_evaluate(struct fr_stream_compare *s,
                                       const char *bundle,
                                       struct fr_benchmark_detail *detail,
                                       struct fr_benchmark_result *out,
                                       struct fr_fault *fault)
{
    struct fr_model *m = NULL;
    struct scores x = {.logit = fr_malloc_array(s->rows, sizeof(*x.logit))};
    enum fr_err e = fr_model_load(bundle, &s->l.spec->fields, &m, fault);

    memset(out, 0, sizeof(*out));
    x.m = m;
    if (e == FR_OK)
        e = x.logit == NULL ? FR_ENOMEM : fr_arena_new((size_t)1 << 20, 0, &x.ar);
    if (e == FR_OK) {
        out->kind = fr_model_info(m)->kind;
        out->trained_to_ms = fr_model_info(m)->created_ms;
        if ((e = measure(s, &x, detail, out)) == FR_OK)
            e = time_bundle(s, &x, detail);
        if (e != FR_OK)
            e = fr_fault(fault, e, "%s: %s", bundle, fr_err_text(e));
    }
    fr_free(x.logit);
    fr_arena_free(x.ar);
    fr_model_free(m);
    return e;
}
