/*
 * daemon/pipeline/stage4_candidates.c - see stage4_candidates.h.
 */
#include "daemon/pipeline/stage4_candidates.h"

#include <string.h>

#include "ann/live_index.h"
#include "features/item_generation.h"

/* Candidates of one list while they are collected. */
struct pool {
    struct fr_candidate *cand;
    uint32_t n, cap;
    uint64_t *slot; /* open addressing over item hashes; 0 = empty */
    uint32_t *at;   /* index in cand, parallel to slot */
    uint64_t mask;
    uint64_t last_item; /* policy `last`: the newest item of the history */
    struct fr_seen_filter seen;
    bool filter_seen;
    const struct fr_request *req;
    const struct fr_epoch *ep;
    struct fr_metrics *mx;
};

struct fr_candidate_policy fr_candidate_policy_of(const struct fr_config *cfg)
{
    struct fr_candidate_policy pol = {
        .from_index = (uint32_t)cfg->recommend_candidates,
        .from_popular = (uint32_t)cfg->recommend_popular,
        .from_history = cfg->recommend_repeat == FR_REPEAT_FOREVER ? 0 : (uint32_t)cfg->recommend_n,
        .repeat = (enum fr_repeat)cfg->recommend_repeat,
    };

    return pol;
}

static enum fr_err pool_init(struct pool *p, struct fr_arena *ar, uint32_t cap)
{
    uint64_t slots = 64;

    while (slots < (uint64_t)cap * 2)
        slots *= 2;
    p->cap = cap;
    p->mask = slots - 1;
    p->cand = fr_arena_array(ar, cap + 1U, sizeof(*p->cand));
    p->slot = fr_arena_zarray(ar, slots, sizeof(*p->slot));
    p->at = fr_arena_array(ar, slots, sizeof(*p->at));
    return p->cand == NULL || p->slot == NULL || p->at == NULL ? FR_ENOMEM : FR_OK;
}

static bool excluded(const struct fr_request *req, uint64_t item)
{
    if (req == NULL)
        return false;
    for (uint32_t i = 0; i < req->n_exclude; i++)
        if (req->exclude[i].item == item)
            return true;
    return false;
}

/* May the item be recommended? Counts the reason when not. */
static bool allowed(struct pool *p, uint64_t item, uint32_t *out_idx)
{
    const struct fr_item *it;

    *out_idx = fr_item_table_find(p->ep->table, item);
    if (*out_idx == FR_ITEM_NONE) {
        fr_count(p->mx, FR_C_DROP_GONE, 1);
        return false;
    }
    it = fr_item_table_get(p->ep->table, *out_idx);
    if (it == NULL || !it->available) {
        fr_count(p->mx, FR_C_DROP_UNAVAILABLE, 1);
        return false;
    }
    if (item == p->last_item || (p->filter_seen && fr_seen_filter_has(&p->seen, item))) {
        fr_count(p->mx, FR_C_DROP_REPEAT, 1);
        return false;
    }
    if (excluded(p->req, item)) {
        fr_count(p->mx, FR_C_DROP_EXCLUDED, 1);
        return false;
    }
    return true;
}

/* Note that `source` names the item at `rank`; NULL when it may not be recommended or the pool is
 * full. */
static struct fr_candidate *
pool_add(struct pool *p, uint64_t item, enum fr_cand_source source, uint32_t rank)
{
    uint64_t i = item & p->mask;
    struct fr_candidate *c;
    uint32_t idx;

    while (p->slot[i] != 0 && p->slot[i] != item)
        i = (i + 1) & p->mask;
    if (p->slot[i] == item) {
        c = &p->cand[p->at[i]];
    } else {
        if (p->n == p->cap || !allowed(p, item, &idx))
            return NULL;
        p->slot[i] = item;
        p->at[i] = p->n;
        c = &p->cand[p->n++];
        memset(c, 0, sizeof(*c));
        c->idx = idx;
        c->item = item;
        c->source = (uint8_t)source;
    }
    if (c->rank[source] == 0)
        c->rank[source] = (uint16_t)(rank > UINT16_MAX ? UINT16_MAX : rank);
    return c;
}

static enum fr_err add_index(struct pool *p,
                             const struct fr_candidate_policy *pol,
                             struct fr_arena *ar,
                             struct fr_trigger *t)
{
    struct fr_ann_hit *hits;
    uint32_t n = 0, rank = 0;
    enum fr_err e;

    if (t->vector == NULL || pol->from_index == 0)
        return FR_OK;
    e = fr_live_index_search(p->ep->index, t->vector, pol->from_index, ar, &hits, &n);
    if (e == FR_ENOMEM)
        return e;
    if (e != FR_OK) {
        t->fallback = true;
        return FR_OK;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct fr_candidate *c = pool_add(p, hits[i].label, FR_SOURCE_INDEX, rank + 1);
        if (c == NULL)
            continue;
        rank++;
        c->score = hits[i].score;
        c->has_score = true;
    }
    return FR_OK;
}

static void
add_popular(struct pool *p, const struct fr_item_generation *g, const struct fr_candidate_policy *pol)
{
    uint32_t rank = 0;

    if (g == NULL)
        return;
    for (uint32_t i = 0; i < g->n_top && rank < pol->from_popular; i++)
        if (pool_add(p, g->item[g->top[i]], FR_SOURCE_POPULAR, rank + 1) != NULL)
            rank++;
}

static void add_history(struct pool *p, const struct fr_cut *cut, const struct fr_candidate_policy *pol)
{
    uint32_t rank = 0;

    for (uint32_t i = 0; i < cut->n_history && rank < pol->from_history; i++) {
        uint32_t before = p->n;
        const struct fr_candidate *c =
            pool_add(p, cut->history[i].item, FR_SOURCE_HISTORY, rank + 1);
        if (c != NULL && (p->n > before || c->rank[FR_SOURCE_HISTORY] == rank + 1))
            rank++;
    }
}

/* Ids are copied: the catalogue may change once the pin is gone. */
static enum fr_err copy_ids(struct pool *p, struct fr_arena *ar, struct fr_trigger *t)
{
    t->cand_id = fr_arena_array(ar, p->n + 1U, sizeof(*t->cand_id));
    if (t->cand_id == NULL)
        return FR_ENOMEM;
    for (uint32_t i = 0; i < p->n; i++) {
        const struct fr_item *it = fr_item_table_get(p->ep->table, p->cand[i].idx);
        enum fr_err e = fr_arena_dup(ar, it->id, &t->cand_id[i]);
        if (e != FR_OK)
            return e;
    }
    t->cand = p->cand;
    t->n_cand = p->n;
    return FR_OK;
}

/* Scores of candidates that other sources named: the ranker must see the tower's opinion of all. */
static enum fr_err score_rest(struct pool *p, struct fr_arena *ar, struct fr_trigger *t)
{
    uint64_t *labels;
    float *scores;
    uint32_t n = 0;
    enum fr_err e;

    if (t->vector == NULL)
        return FR_OK;
    labels = fr_arena_array(ar, p->n + 1U, sizeof(*labels));
    scores = fr_arena_array(ar, p->n + 1U, sizeof(*scores));
    if (labels == NULL || scores == NULL)
        return FR_ENOMEM;
    for (uint32_t i = 0; i < p->n; i++)
        if (!p->cand[i].has_score)
            labels[n++] = p->cand[i].item;
    e = n == 0 ? FR_OK : fr_live_index_score(p->ep->index, t->vector, labels, n, scores);
    if (e != FR_OK)
        return e == FR_ENOMEM ? e : FR_OK;
    n = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        if (p->cand[i].has_score)
            continue;
        if (scores[n] > -1.5f) { /* absent labels score -2 */
            p->cand[i].score = scores[n];
            p->cand[i].has_score = true;
        }
        n++;
    }
    return FR_OK;
}

enum fr_err fr_stage_candidates(const struct fr_spec *spec,
                                const struct fr_candidate_policy *pol,
                                const struct fr_epoch *ep,
                                struct fr_arena *ar,
                                struct fr_metrics *mx,
                                struct fr_trigger *trig)
{
    const struct fr_item_generation *g =
        trig->generation != NULL ? trig->generation : fr_item_table_generation(ep->table);
    const struct fr_cut *cut = trig->cut;
    struct pool p;
    enum fr_err e;

    memset(&p, 0, sizeof(p));
    p.ep = ep;
    p.mx = mx;
    p.req = trig->work->kind == FR_WORK_REQUEST ? &trig->work->req : NULL;
    if (pol->repeat == FR_REPEAT_LAST && cut->n_history > 0)
        p.last_item = cut->history[0].item;
    if (pol->repeat == FR_REPEAT_FOREVER) {
        e = fr_seen_filter_build(&cut->seen, spec->key, ar, &p.seen);
        if (e != FR_OK)
            return e;
        p.filter_seen = true;
    }
    trig->generation_number = g == NULL ? 0 : g->number;
    trig->index_generation = ep->index_generation;
    if (p.req != NULL && p.req->rank_only) {
        p.last_item = 0;
        p.filter_seen = false;
        e = pool_init(&p, ar, p.req->n_candidates);
        if (e != FR_OK)
            return e;
        for (uint32_t i = 0; i < p.req->n_candidates; i++)
            (void)pool_add(&p, p.req->candidates[i].item, FR_SOURCE_REQUEST, i + 1);
    } else {
        e = pool_init(&p, ar, pol->from_index + pol->from_popular + pol->from_history);
        if (e == FR_OK)
            e = add_index(&p, pol, ar, trig);
        if (e != FR_OK)
            return e;
        add_popular(&p, g, pol);
        add_history(&p, cut, pol);
    }
    e = score_rest(&p, ar, trig);
    return e == FR_OK ? copy_ids(&p, ar, trig) : e;
}
