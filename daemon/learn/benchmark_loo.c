/*
 * daemon/learn/benchmark_loo.c - files to lists, drawn negatives, places of the items in question.
 */
#include "daemon/learn/benchmark_loo.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/learn/benchmark_detail.h"
#include "daemon/learn/benchmark_mf.h"
#include "daemon/learn/benchmark_ncf.h"
#include "models/metrics.h"

#define K 10
#define NEGATIVES 99 /* of a validation list, and what a test list has by the protocol */
#define AHEAD 32   /* places of a shuffle drawn ahead of their use */
#define TRIES 1000 /* to draw an item that a user does not have */
#define MEASURES 3

static const char *const measures[MEASURES] = {"hr@10", "ndcg@10", "mrr@10"};

static void loo_done(struct fr_benchmark_loo *l)
{
    fr_saver_done(&l->sv.s);
    fr_benchmark_pairs_done(&l->fit);
    fr_benchmark_pairs_done(&l->held);
    fr_benchmark_lists_done(&l->valid);
    fr_benchmark_lists_done(&l->test);
    fr_benchmark_from_done(&l->from);
    fr_free(l->fs);
    fr_free(l->user);
    fr_free(l->item);
}

/* ---- drawing ---- */

/* An item that user u has in neither. False: there seems to be none. */
static bool draw_item(const struct fr_benchmark_pairs *fit,
                      const struct fr_benchmark_pairs *held,
                      uint32_t u,
                      struct fr_rng *rng,
                      uint32_t *out)
{
    for (int i = 0; i < TRIES; i++) {
        *out = (uint32_t)fr_rng_below(rng, fit->items);
        if (!fr_benchmark_pairs_has(fit, u, *out) &&
            (held == NULL || !fr_benchmark_pairs_has(held, u, *out)))
            return true;
    }
    return false;
}

/* Fisher-Yates; the places are drawn some steps ahead, so that they are in the cache when needed. */
static void shuffle(uint64_t *pair, size_t n, struct fr_rng *rng)
{
    size_t j[AHEAD];

    for (size_t i = n; i > 1;) {
        size_t k = i - 1 < AHEAD ? i - 1 : AHEAD;

        for (size_t a = 0; a < k; a++) {
            j[a] = (size_t)fr_rng_below(rng, i - a);
            __builtin_prefetch(&pair[j[a]], 1);
        }
        for (size_t a = 0; a < k; a++, i--) {
            uint64_t t = pair[i - 1];

            pair[i - 1] = pair[j[a]];
            pair[j[a]] = t;
        }
    }
}

static enum fr_err draw_alloc(const struct fr_benchmark_pairs *fit, size_t most, struct fr_benchmark_draw *d)
{
    if (d->user != NULL)
        return FR_OK;
    d->user = fr_malloc_array(most + 1, sizeof(*d->user));
    d->item = fr_malloc_array(most + 1, sizeof(*d->item));
    d->label = fr_malloc_array(most + 1, sizeof(*d->label));
    d->pair = fr_malloc_array(most + 1, sizeof(*d->pair));
    d->having = fr_calloc((size_t)fit->items / 64 + 1, sizeof(*d->having));
    if (d->user != NULL && d->item != NULL && d->label != NULL && d->pair != NULL && d->having != NULL)
        return FR_OK;
    fr_benchmark_draw_done(d);
    return FR_ENOMEM;
}

static bool has(const uint64_t *bits, uint32_t i)
{
    return (bits[i / 64] >> (i % 64) & 1) != 0;
}

/* The user's positives, each followed by its negatives. */
static void draw_user(const struct fr_benchmark_pairs *fit,
                      uint32_t u,
                      int negatives,
                      struct fr_rng *rng,
                      struct fr_benchmark_draw *d)
{
    const uint32_t *own = fit->item + fit->start[u], *end = fit->item + fit->start[u + 1];

    for (const uint32_t *i = own; i < end; i++)
        d->having[*i / 64] |= (uint64_t)1 << (*i % 64);
    for (const uint32_t *i = own; i < end; i++) {
        d->pair[d->n++] = (uint64_t)u << 32 | (uint64_t)*i << 1 | 1;
        for (int k = 0; k < negatives; k++) {
            uint32_t item = (uint32_t)fr_rng_below(rng, fit->items);

            for (int tries = 1; tries < TRIES && has(d->having, item); tries++)
                item = (uint32_t)fr_rng_below(rng, fit->items);
            if (!has(d->having, item))
                d->pair[d->n++] = (uint64_t)u << 32 | (uint64_t)item << 1;
        }
    }
    for (const uint32_t *i = own; i < end; i++)
        d->having[*i / 64] = 0;
}

enum fr_err fr_benchmark_loo_draw(const struct fr_benchmark_pairs *fit,
                                  int negatives,
                                  struct fr_rng *rng,
                                  struct fr_benchmark_draw *d)
{
    enum fr_err e = draw_alloc(fit, fit->n * ((size_t)negatives + 1), d);

    if (e != FR_OK)
        return e;
    d->n = 0;
    for (uint32_t u = 0; u < fit->users; u++)
        draw_user(fit, u, negatives, rng, d);
    shuffle(d->pair, d->n, rng);
    for (size_t i = 0; i < d->n; i++) {
        d->user[i] = (uint32_t)(d->pair[i] >> 32);
        d->item[i] = (uint32_t)d->pair[i] >> 1;
        d->label[i] = (float)(d->pair[i] & 1);
    }
    return FR_OK;
}

void fr_benchmark_draw_done(struct fr_benchmark_draw *d)
{
    fr_free(d->user);
    fr_free(d->item);
    fr_free(d->label);
    fr_free(d->pair);
    fr_free(d->having);
    memset(d, 0, sizeof(*d));
}

/* ---- measuring ---- */

/* @param detail  nullable */
static enum fr_err measure(const struct fr_benchmark_loo *l,
                           const struct fr_benchmark_lists *lists,
                           const struct fr_model *m,
                           struct fr_benchmark_detail *detail,
                           struct fr_list_metrics *out)
{
    struct fr_list_metrics sum = {0, 0, 0, 0};
    const struct fr_cell **item = NULL;
    struct fr_arena *ar = NULL;
    float *score = NULL;
    size_t most = 0;
    enum fr_err e = fr_arena_new((size_t)1 << 20, 0, &ar);

    for (size_t i = 0; i < lists->n; i++)
        most = lists->start[i + 1] - lists->start[i] > most ? lists->start[i + 1] - lists->start[i]
                                                            : most;
    item = fr_malloc_array(most + 1, sizeof(*item));
    score = fr_malloc_array(most + 1, sizeof(*score));
    if (e == FR_OK && (item == NULL || score == NULL))
        e = FR_ENOMEM;
    if (e == FR_OK && detail != NULL)
        e = fr_benchmark_detail_begin(detail, "users", lists->n, measures, MEASURES);
    for (size_t i = 0; i < lists->n && e == FR_OK; i++) {
        const uint32_t *ids = lists->item + lists->start[i];
        size_t n = lists->start[i + 1] - lists->start[i];
        struct fr_model_case c = {&l->user[lists->user[i]], NULL, item, NULL, (int)n};

        for (size_t k = 0; k < n; k++)
            item[k] = &l->item[ids[k]];
        e = fr_model_score_case(m, &c, 0, ar, score);
        if (e == FR_OK) {
            struct fr_list_metrics one =
                fr_metric_list_of_rank(fr_metric_rank_ncf(ids, score, n), K);
            fr_metric_list_add(&sum, &one);
            if (detail != NULL) {
                fr_benchmark_detail_add(detail, 0, i, one.hr);
                fr_benchmark_detail_add(detail, 1, i, one.ndcg);
                fr_benchmark_detail_add(detail, 2, i, one.mrr);
            }
        }
        fr_arena_reset(ar);
    }
    fr_arena_free(ar);
    fr_free(item);
    fr_free(score);
    double n = (double)lists->n;
    *out = (struct fr_list_metrics){sum.hr / n, sum.recall / n, sum.ndcg / n, sum.mrr / n};
    return e;
}

enum fr_err fr_benchmark_loo_epoch(const struct fr_benchmark_loo *l,
                                   const struct fr_benchmark_run *run,
                                   struct fr_benchmark_result *out,
                                   double loss,
                                   double *lr,
                                   struct fr_model *m,
                                   struct fr_model **best,
                                   bool *out_stop)
{
    struct fr_list_metrics v = {0, 0, 0, 0};
    int i = out->epochs, bad;
    enum fr_err e = measure(l, &l->valid, m, NULL, &v);

    *out_stop = false;
    if (e != FR_OK || i >= FR_BENCHMARK_EPOCHS_MAX) {
        fr_model_free(m);
        *out_stop = true;
        return e;
    }
    out->epochs = i + 1;
    out->loss[i] = loss;
    out->lr[i] = *lr;
    out->valid[i] = v.ndcg;
    if (run->tell != NULL)
        run->tell(run->tell_ctx, i + 1, l->fit.n, l->fit.n, loss, v.ndcg);
    if (out->best_epoch == 0 || v.ndcg > out->valid[out->best_epoch - 1] + run->set.min_delta) {
        fr_model_free(*best);
        *best = m;
        out->best_epoch = i + 1;
    } else {
        fr_model_free(m);
    }
    bad = out->epochs - out->best_epoch;
    if (bad > 0 && bad % (int)run->set.lr_patience == 0)
        *lr *= run->set.lr_factor;
    *out_stop = bad >= (int)run->set.patience;
    return FR_OK;
}

/* What is trained on; the held-out items and the drawn ones follow from it and the seed. */
static uint64_t data_hash(const struct fr_benchmark_pairs *p)
{
    uint64_t h = fr_saver_hash(p->items, p->start, ((size_t)p->users + 1) * sizeof(*p->start));

    return fr_saver_hash(h, p->item, p->n * sizeof(*p->item));
}

/* ---- files ---- */

static enum fr_err read_test(const char *dir, struct fr_benchmark_loo *l, struct fr_fault *fault)
{
    char path[FR_BENCHMARK_PATH], *text = NULL;
    size_t n = 0;
    enum fr_err e = fr_benchmark_files_find(dir, &l->files, fault);

    if (e == FR_OK)
        e = fr_benchmark_read_file(dir, l->files.test, path, &text, &n, fault);
    if (e == FR_OK)
        e = fr_benchmark_read_negatives((struct fr_str){text, n}, path, &l->test, fault);
    fr_free(text);
    for (size_t i = 0; e == FR_OK && i < l->test.n; i++)
        l->users = l->test.user[i] >= l->users ? l->test.user[i] + 1 : l->users;
    for (size_t k = 0; e == FR_OK && k < l->test.start[l->test.n]; k++)
        l->items = l->test.item[k] >= l->items ? l->test.item[k] + 1 : l->items;
    return e;
}

static enum fr_err make_cells(struct fr_benchmark_loo *l)
{
    l->user = fr_malloc_array((size_t)l->users + 1, sizeof(*l->user));
    l->item = fr_malloc_array((size_t)l->items + 1, sizeof(*l->item));
    if (l->user == NULL || l->item == NULL)
        return FR_ENOMEM;
    for (uint32_t i = 0; i < l->users; i++)
        l->user[i] = fr_benchmark_cell(i);
    for (uint32_t i = 0; i < l->items; i++)
        l->item[i] = fr_benchmark_cell(i);
    return fr_benchmark_pairs_fields(&l->fs);
}

/* The held-out items as lists: drawn ones, then the item. */
static enum fr_err make_valid(struct fr_benchmark_loo *l, struct fr_rng *rng)
{
    struct fr_benchmark_lists *v = &l->valid;

    v->user = fr_malloc_array(l->held.n + 1, sizeof(*v->user));
    v->start = fr_calloc(l->held.n + 2, sizeof(*v->start));
    v->item = fr_malloc_array(l->held.n * (NEGATIVES + 1) + 1, sizeof(*v->item));
    if (v->user == NULL || v->start == NULL || v->item == NULL)
        return FR_ENOMEM;
    for (uint32_t u = 0; u < l->held.users; u++)
        for (size_t k = l->held.start[u]; k < l->held.start[u + 1]; k++) {
            size_t at = v->start[v->n], end = at + NEGATIVES;

            while (at < end && draw_item(&l->fit, &l->held, u, rng, &v->item[at]))
                at++;
            v->item[at++] = l->held.item[k];
            v->user[v->n++] = u;
            v->start[v->n] = at;
        }
    return FR_OK;
}

static enum fr_err save(const struct fr_benchmark_loo *l,
                        const struct fr_benchmark_run *run,
                        const struct fr_benchmark_result *out,
                        const struct fr_model *m,
                        struct fr_fault *fault)
{
    static const char *const names[] = {"hr@10", "ndcg@10"};
    const double values[] = {out->metric[0].value, out->metric[1].value};
    struct fr_model_meta meta = {.name = fr_model_kind_slug(run->kind),
                                 .version = l->from.version,
                                 .parent = l->from.parent,
                                 .created_ms = run->created_ms,
                                 .metric_names = names,
                                 .metric_values = values,
                                 .n_metrics = 2};
    const struct fr_cell *item[8];
    struct fr_model_case c = {&l->user[0], NULL, item, NULL, (int)(l->items < 8 ? l->items : 8)};

    for (int i = 0; i < c.n; i++)
        item[i] = &l->item[i];
    return fr_model_save(m, &meta, &c, 1, run->out, fault);
}

static enum fr_err fit(struct fr_benchmark_loo *l,
                       const struct fr_benchmark_run *run,
                       struct fr_rng *rng,
                       struct fr_benchmark_result *out,
                       struct fr_model **best,
                       struct fr_fault *fault)
{
    return run->kind == FR_MODEL_MF ? fr_benchmark_mf_fit(l, run, rng, out, best, fault)
                                    : fr_benchmark_ncf_fit(l, run, rng, out, best, fault);
}

/* Among how many items the measures are, if not the protocol's number. */
static void note_lengths(const struct fr_benchmark_loo *l, struct fr_benchmark_result *out)
{
    const size_t *start = l->test.start;
    size_t other = 0, low = SIZE_MAX, high = 0;
    char span[64];

    for (size_t i = 0; i < l->test.n; i++) {
        size_t n = start[i + 1] - start[i];

        other += n != NEGATIVES + 1;
        low = n < low ? n : low;
        high = n > high ? n : high;
    }
    if (other == 0)
        return;
    (void)snprintf(span, sizeof(span), low == high ? "%zu" : "%zu to %zu", low, high);
    fr_benchmark_note(out, "%.160s: %zu of %zu rows have not %d negatives: %s, %s and %s are among %s items, not the protocol's %d",
                      l->files.test, other, l->test.n, NEGATIVES, measures[0], measures[1], measures[2], span,
                      NEGATIVES + 1);
}

/* Users and items of the test that the model does not know. */
static enum fr_err note_unknown(const struct fr_benchmark_loo *l, const struct fr_model *m, struct fr_benchmark_result *out)
{
    uint8_t *user = fr_calloc((size_t)l->users + 1, 1), *item = fr_calloc((size_t)l->items + 1, 1);
    enum fr_err e = user == NULL || item == NULL ? FR_ENOMEM : FR_OK;

    for (size_t i = 0; e == FR_OK && i < l->test.n; i++)
        user[l->test.user[i]] = 1;
    for (size_t k = 0; e == FR_OK && k < l->test.start[l->test.n]; k++)
        item[l->test.item[k]] = 1;
    if (e == FR_OK)
        e = fr_benchmark_pairs_unknown(m, user, l->users, item, l->items, out);
    fr_free(user);
    fr_free(item);
    return e;
}

static enum fr_err test(const struct fr_benchmark_loo *l,
                        const struct fr_model *m,
                        struct fr_benchmark_detail *detail,
                        struct fr_benchmark_result *out,
                        struct fr_fault *fault)
{
    struct fr_list_metrics t = {0, 0, 0, 0};
    enum fr_err e = measure(l, &l->test, m, detail, &t);

    if (e != FR_OK)
        return fr_fault(fault, e, "test: %s", fr_err_text(e));
    out->n_metrics = 0;
    fr_benchmark_add(out, measures[0], t.hr);
    fr_benchmark_add(out, measures[1], t.ndcg);
    fr_benchmark_add(out, measures[2], t.mrr);
    note_lengths(l, out);
    return FR_OK;
}

enum fr_err fr_benchmark_loo_train(const struct fr_benchmark_run *run,
                                   struct fr_benchmark_result *out,
                                   struct fr_fault *fault)
{
    struct fr_benchmark_loo l = {.users = 0};
    struct fr_model *best = NULL;
    struct fr_rng rng;
    enum fr_err e;

    memset(out, 0, sizeof(*out));
    out->kind = run->kind;
    out->valid_name = "ndcg@10";
    fr_rng_seed(&rng, run->seed);
    e = read_test(run->dir, &l, fault);
    if (e == FR_OK) {
        e = fr_benchmark_pairs_read(
            run->dir, l.files.train, FR_BENCHMARK_PAIRS, l.users, l.items, &l.fit, fault);
        if (e == FR_ENOTFOUND)
            e = fr_fault(fault, e, "%s: neither %s nor such a .train.pairs", run->dir, l.files.train);
    }
    l.users = l.fit.users;
    l.items = l.fit.items;
    if (e == FR_OK)
        e = fr_benchmark_saver_begin(&l.sv, run, out, FR_LOO_PARTS, data_hash(&l.fit), fault);
    if (e == FR_OK && (e = fr_benchmark_pairs_hold_out(&l.fit, 0, 1, &rng, &l.held)) != FR_OK)
        e = fr_fault(fault, e, "validation items: %s", fr_err_text(e));
    if (e == FR_OK && l.held.n == 0)
        e = fr_fault(fault, FR_EINVAL, "%s/%s: no user has two items: nothing can be held out for validation", run->dir,
                     l.files.train);
    if (e == FR_OK && (e = make_valid(&l, &rng)) != FR_OK)
        e = fr_fault(fault, e, "validation lists: %s", fr_err_text(e));
    if (e == FR_OK && (e = make_cells(&l)) != FR_OK)
        e = fr_fault(fault, e, "out of memory");
    if (e == FR_OK)
        e = fr_benchmark_from_load(run, l.fs, &l.from, fault);
    if (e == FR_OK)
        e = fit(&l, run, &rng, out, &best, fault);
    out->rows_per_second = out->seconds > 0 ? out->rows_per_second / out->seconds : 0;
    if (e == FR_OK && best == NULL)
        e = fr_fault(fault, FR_EINVAL, "no epoch was kept");
    if (e == FR_OK)
        e = test(&l, best, NULL, out, fault);
    if (e == FR_OK)
        e = save(&l, run, out, best, fault);
    fr_model_free(best);
    loo_done(&l);
    return e;
}

enum fr_err fr_benchmark_loo_evaluate(const char *dir,
                                      const char *bundle,
                                      struct fr_benchmark_detail *detail,
                                      struct fr_benchmark_result *out,
                                      struct fr_fault *fault)
{
    struct fr_benchmark_loo l = {.users = 0};
    struct fr_model *m = NULL;
    enum fr_err e = read_test(dir, &l, fault);

    memset(out, 0, sizeof(*out));
    if (e == FR_OK && (e = make_cells(&l)) != FR_OK)
        e = fr_fault(fault, e, "out of memory");
    if (e == FR_OK)
        e = fr_model_load(bundle, l.fs, &m, fault);
    if (e == FR_OK) {
        out->kind = fr_model_info(m)->kind;
        e = test(&l, m, detail, out, fault);
        if (e == FR_OK && (e = note_unknown(&l, m, out)) != FR_OK)
            e = fr_fault(fault, e, "ids of the test: %s", fr_err_text(e));
        if (e == FR_OK && (e = fr_benchmark_pairs_time(m, l.fs, l.items, detail)) != FR_OK)
            e = fr_fault(fault, e, "timing: %s", fr_err_text(e));
    }
    fr_model_free(m);
    loo_done(&l);
    return e;
}
