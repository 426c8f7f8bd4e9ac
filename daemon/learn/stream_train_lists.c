/*
 * daemon/learn/stream_train_lists.c - what the ranker learns from: the candidates that stage 4 would
 * have found with tower A, and the rows that stage 5 would have cut.
 *
 * With impressions in the stream: lists that were shown and clicked in, negatives are what was shown
 * and not clicked. Without: the next positive, and negatives drawn from the other candidates. The
 * newest part of the stream is held out; there, without impressions, lists hold all candidates.
 */
#include <math.h>
#include <stdint.h>

#include "ann/live_index.h"
#include "daemon/base/alloc.h"
#include "daemon/learn/stream_train_priv.h"
#include "daemon/metrics.h"
#include "daemon/pipeline/stage3_embed.h"
#include "daemon/pipeline/stage4_candidates.h"
#include "daemon/pipeline/stage5_score.h"

static enum fr_err add_list(struct fr_learner *l, struct fr_learner_list it, const struct fr_cut *cut)
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

/* Keep the rows of candidates 0..n-1. */
static enum fr_err
list_rows(struct fr_learner *l, const struct fr_epoch *view, struct fr_arena *ar, struct fr_trigger *tr, uint32_t n)
{
    uint32_t ni = l->nc[FR_ENTITY_ITEM], nx = l->nc[FR_ENTITY_CROSS];
    enum fr_err e;

    tr->n_cand = n;
    e = fr_stage_rows(l->spec, view, ar, tr);
    for (uint32_t i = 0; i < n && e == FR_OK; i++) {
        e = fr_cell_rows_add(&l->l_item, tr->item_cells + (size_t)i * ni, ni);
        if (e == FR_OK)
            e = fr_cell_rows_add(&l->l_cross, tr->cross_cells + (size_t)i * nx, nx);
    }
    return e;
}

/* The label to the front, then a random sample of the others. */
static void sample(struct fr_learner *l, struct fr_trigger *tr, uint32_t label, uint32_t n)
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

/* Place of a candidate in the tower's order, from 1. */
static uint32_t tower_rank(const struct fr_trigger *tr, uint32_t label)
{
    uint32_t rank = 1;

    if (!tr->cand[label].has_score)
        return tr->n_cand;
    for (uint32_t i = 0; i < tr->n_cand; i++)
        rank += tr->cand[i].has_score && tr->cand[i].score > tr->cand[label].score;
    return rank;
}

/* The tower's score for candidates of its own making. */
static enum fr_err score(const struct fr_epoch *view, struct fr_arena *ar, struct fr_trigger *tr)
{
    uint64_t *item = fr_arena_array(ar, tr->n_cand + 1U, sizeof(*item));
    float *s = fr_arena_array(ar, tr->n_cand + 1U, sizeof(*s));
    enum fr_err e = item == NULL || s == NULL ? FR_ENOMEM : FR_OK;

    if (e != FR_OK || tr->vector == NULL || view->index == NULL)
        return e;
    for (uint32_t i = 0; i < tr->n_cand; i++)
        item[i] = tr->cand[i].item;
    e = fr_live_index_score(view->index, tr->vector, item, tr->n_cand, s);
    for (uint32_t i = 0; i < tr->n_cand && e == FR_OK; i++) {
        if (tr->cand[i].has_score || s[i] < -1.5f) /* absent labels score -2 */
            continue;
        tr->cand[i].score = s[i];
        tr->cand[i].has_score = true;
    }
    return e;
}

/* As candidates, the items that were shown: those of stage 4 with their sources, the others without. */
static enum fr_err shown_candidates(const struct fr_stream_trigger *t,
                                    const struct fr_stream_shown *shown,
                                    const struct fr_epoch *view,
                                    struct fr_trigger *tr)
{
    const uint64_t *item = t->labels->shown_item + shown->first;
    struct fr_candidate *c = fr_arena_zarray(t->ar, shown->n + 1U, sizeof(*c));
    uint32_t n = 0;

    if (c == NULL)
        return FR_ENOMEM;
    for (uint32_t i = 0; i < shown->n; i++) {
        uint32_t at = 0, idx = fr_item_table_find(view->table, item[i]);
        while (at < tr->n_cand && tr->cand[at].item != item[i])
            at++;
        if (at < tr->n_cand)
            c[n++] = tr->cand[at];
        else if (idx != FR_ITEM_NONE)
            c[n++] = (struct fr_candidate){.idx = idx, .item = item[i]};
    }
    tr->cand = c;
    tr->n_cand = n;
    return score(view, t->ar, tr);
}

/* The place of a click on the item among what was shown; SIZE_MAX = there was none. */
static size_t click_of(const struct fr_stream_trigger *t, const struct fr_stream_shown *shown, uint64_t item)
{
    for (size_t i = shown->first; i < shown->first + shown->n; i++)
        if (t->labels->shown_item[i] == item && t->labels->shown_click[i])
            return i;
    return SIZE_MAX;
}

/* One list for each click: the clicked item, and what was shown and not clicked. */
static enum fr_err shown_list(struct fr_learner *l,
                              const struct fr_stream_trigger *t,
                              const struct fr_stream_shown *shown,
                              const struct fr_epoch *view,
                              struct fr_trigger tr)
{
    enum fr_err e = shown_candidates(t, shown, view, &tr);
    struct fr_candidate *all = tr.cand;
    struct fr_candidate *c = fr_arena_array(t->ar, tr.n_cand + 1U, sizeof(*c));
    uint32_t n_all = tr.n_cand;

    if (e == FR_OK && c == NULL)
        e = FR_ENOMEM;
    for (uint32_t k = 0; k < n_all && e == FR_OK; k++) {
        size_t click = click_of(t, shown, all[k].item);
        struct fr_learner_list it = {l->l_item.n, 1, 0, 0, NAN, t->ev->user};
        if (click == SIZE_MAX)
            continue;
        it.value = t->labels->shown_value[click];
        c[0] = all[k];
        for (uint32_t i = 0; i < n_all; i++)
            if (click_of(t, shown, all[i].item) == SIZE_MAX)
                c[it.n++] = all[i];
        if (it.n < 2)
            break;
        if (l->c->shuffle_labels)
            it.label = (uint32_t)fr_rng_below(&l->rng, it.n);
        tr.cand = c;
        tr.n_cand = it.n;
        it.tower_place = tower_rank(&tr, 0);
        e = list_rows(l, view, t->ar, &tr, it.n);
        if (e == FR_OK)
            e = add_list(l, it, t->cut);
    }
    return e;
}

/* The positive and negatives sampled from what stage 4 would have ranked; held out: all of that. */
static enum fr_err sampled_list(struct fr_learner *l,
                                const struct fr_stream_trigger *t,
                                const struct fr_epoch *view,
                                struct fr_trigger *tr,
                                bool eval)
{
    struct fr_learner_list it = {l->l_item.n, tr->n_cand, 0, 0, t->value, t->ev->user};
    uint32_t at = 0, most = (uint32_t)l->c->negatives + 1;
    enum fr_err e;

    while (at < tr->n_cand && tr->cand[at].item != t->label)
        at++;
    l->out->eval_triggers += eval;
    if (at == tr->n_cand || tr->n_cand < 2)
        return FR_OK;
    if (eval) {
        l->eval_found++;
        it.tower_place = tower_rank(tr, at);
        l->eval_hits += it.tower_place <= FR_LEARNER_TOP;
    } else if (it.n > most) {
        it.n = most;
    }
    sample(l, tr, at, it.n);
    if (l->c->shuffle_labels)
        it.label = (uint32_t)fr_rng_below(&l->rng, it.n);
    e = list_rows(l, view, t->ar, tr, it.n);
    return e == FR_OK ? add_list(l, it, t->cut) : e;
}

static enum fr_err make_list(struct fr_learner *l,
                             const struct fr_stream_trigger *t,
                             const struct fr_epoch *view,
                             bool eval)
{
    struct fr_candidate_policy pol = fr_candidate_policy_of(l->c->cfg);
    struct fr_work work = {.kind = FR_WORK_EVENT, .ev = *t->ev};
    struct fr_trigger tr = {.work = &work, .cut = t->cut, .generation = t->generation};
    struct fr_trigger *one = &tr;
    enum fr_err e = fr_stage_embed(view, FR_SCORE_DETERMINISTIC, t->ar, &one, 1);

    if (e == FR_OK)
        e = fr_stage_candidates(l->spec, &pol, view, t->ar, l->mx, &tr);
    if (e != FR_OK)
        return e;
    if (l->n_shown == 0)
        return sampled_list(l, t, view, &tr, eval);
    l->out->eval_triggers += eval;
    for (size_t i = 0; i < t->n_shown && e == FR_OK; i++)
        e = shown_list(l, t, &t->shown[i], view, tr);
    return e;
}

/* Spread `most` over `of` evenly: is number i (from 0) taken? */
static bool taken(size_t i, size_t of, size_t most)
{
    return most >= of || (i + 1) * most / of > i * most / of;
}

/* With impressions: of the lists that were shown and clicked in. */
static bool wanted(struct fr_learner *l, const struct fr_stream_trigger *t, size_t i, size_t eval_from)
{
    bool eval = i >= eval_from;

    if (!eval && fr_learner_ncf_is(l->c->ranker_kind)) /* learns from pairs */
        return false;
    if (l->n_shown > 0)
        return t->n_shown > 0 &&
               (eval ? l->out->eval_triggers < l->c->max_held_out
                     : taken(l->seen_shown++, l->n_shown, l->c->max_lists));
    return eval ? taken(i - eval_from, l->held, l->c->max_held_out)
                : taken(i - l->from, eval_from - l->from, l->c->max_lists);
}

static enum fr_err on_list(void *ctx, const struct fr_stream_trigger *t)
{
    struct fr_learner *l = ctx;
    size_t i = l->seen++, eval_from = (size_t)t->labels->n_labels - l->held;
    bool eval = i >= eval_from;
    struct fr_model *none = NULL;
    struct fr_epoch view;
    enum fr_err e = FR_OK;

    if (i < l->from && t->ev->ts > l->known_ts)
        l->known_ts = t->ev->ts;
    if (i < l->from || !wanted(l, t, i, eval_from))
        return FR_OK;
    if (l->tower_a != NULL)
        e = fr_epochs_set_models(t->ep, &l->tower_a, &none, l->fault);
    if (e != FR_OK)
        return e;
    if (eval && !l->held_began) {
        l->held_began = true;
        l->n_train = l->n_lists;
    }
    fr_epochs_pin(t->ep, &view);
    e = make_list(l, t, &view, eval);
    fr_epochs_unpin(t->ep, &view);
    return e;
}

static void tell(void *ctx, uint64_t done)
{
    const struct fr_learner *l = ctx;

    fr_learner_tell(l, "lists for the ranker", done, l->out->lines);
}

enum fr_err fr_learner_lists(struct fr_learner *l, const struct fr_stream_labels *labels)
{
    struct fr_stream_input in = l->c->in;
    struct fr_epochs *ep = NULL;
    enum fr_err e = fr_learner_epochs(l, &ep);

    in.progress = tell;
    in.progress_ctx = l;
    l->n_shown = labels->n_shown < FR_LEARNER_MIN_SHOWN ? 0 : labels->n_shown;
    l->out->eval_triggers = 0; /* a checkpoint may have brought some */
    l->mx = fr_calloc(1, sizeof(*l->mx));
    if (e == FR_OK && l->mx == NULL)
        e = FR_ENOMEM;
    if (e == FR_OK)
        e = fr_stream_replay(&in, labels, ep, on_list, l, l->fault);
    fr_epochs_free(ep);
    fr_free(l->mx);
    return e;
}

void fr_learner_lists_done(struct fr_learner *l)
{
    fr_cell_rows_done(&l->l_user);
    fr_cell_rows_done(&l->l_context);
    fr_cell_rows_done(&l->l_item);
    fr_cell_rows_done(&l->l_cross);
    fr_free(l->list);
    fr_model_free(l->tower_a);
}

enum fr_err
fr_learner_case(const struct fr_learner *l, size_t i, uint32_t n, struct fr_arena *ar, struct fr_model_case *out)
{
    size_t nu = l->nc[FR_ENTITY_USER], nc = l->nc[FR_ENTITY_CONTEXT], ni = l->nc[FR_ENTITY_ITEM], nx = l->nc[FR_ENTITY_CROSS];
    struct fr_cell *u = fr_arena_array(ar, nu + 1U, sizeof(*u));
    struct fr_cell *c = fr_arena_array(ar, nc + 1U, sizeof(*c));
    struct fr_cell *m = fr_arena_array(ar, n * ni + 1, sizeof(*m));
    struct fr_cell *x = fr_arena_array(ar, n * nx + 1, sizeof(*x));
    const struct fr_cell **p = fr_arena_array(ar, n + 1U, sizeof(*p));

    if (u == NULL || c == NULL || m == NULL || x == NULL || p == NULL)
        return FR_ENOMEM;
    fr_cell_rows_get(&l->l_user, i, u, (uint32_t)nu);
    fr_cell_rows_get(&l->l_context, i, c, (uint32_t)nc);
    for (uint32_t j = 0; j < n; j++) {
        size_t row = (l->list[i].first + j) % l->l_item.n;
        p[j] = m + j * ni;
        fr_cell_rows_get(&l->l_item, row, m + j * ni, (uint32_t)ni);
        fr_cell_rows_get(&l->l_cross, row, x + j * nx, (uint32_t)nx);
    }
    *out = (struct fr_model_case){u, c, p, x, (int)n};
    return FR_OK;
}
