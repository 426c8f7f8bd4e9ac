/*
 * daemon/pipeline/stage5_score.c - see stage5_score.h.
 */
#include "daemon/pipeline/stage5_score.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ranked {
    float key;
    float score;
    uint64_t item;
    uint32_t cand;
};

struct fr_score_policy fr_score_policy_of(const struct fr_config *cfg)
{
    return (struct fr_score_policy){(uint32_t)cfg->recommend_n,
                                    {cfg->models_score_click_power, cfg->models_score_value_power}};
}

static int better(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->key > y->key)
        return -1;
    if (x->key < y->key)
        return 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

enum fr_err fr_stage_rows(const struct fr_spec *spec,
                          const struct fr_epoch *ep,
                          struct fr_arena *ar,
                          struct fr_trigger *t)
{
    const struct fr_item_generation *g =
        t->generation != NULL ? t->generation : fr_item_table_generation(ep->table);
    uint32_t ni = spec->fields.n_cells[FR_ENTITY_ITEM], nx = spec->fields.n_cells[FR_ENTITY_CROSS];
    struct fr_cross *cx;
    enum fr_err e;

    t->item_cells = fr_arena_array(ar, (size_t)t->n_cand * ni + 1, sizeof(struct fr_cell));
    t->cross_cells = fr_arena_array(ar, (size_t)t->n_cand * nx + 1, sizeof(struct fr_cell));
    if (t->item_cells == NULL || t->cross_cells == NULL)
        return FR_ENOMEM;
    e = fr_cross_init(spec, t->cut, ep->table, ar, &cx);
    if (e != FR_OK)
        return e;
    for (uint32_t i = 0; i < t->n_cand; i++) {
        fr_row_item(spec, ep->table, t->cand[i].idx, g, t->cut->ts,
                    t->item_cells + (size_t)i * ni);
        fr_row_cross(cx, &t->cand[i], t->cross_cells + (size_t)i * nx);
    }
    return FR_OK;
}

/* Encode for the ranker and ask it. */
static enum fr_err rank(const struct fr_score_powers *powers,
                        const struct fr_model *m,
                        unsigned flags,
                        struct fr_arena *ar,
                        struct fr_rank_cache *cache,
                        const struct fr_trigger *t,
                        float *key,
                        float *score)
{
    const uint32_t *ns = fr_model_info(m)->n_slots;
    size_t n = t->n_cand;
    struct fr_slot *user = fr_arena_array(ar, ns[FR_ENTITY_USER] + 1U, sizeof(*user));
    struct fr_slot *ctx = fr_arena_array(ar, ns[FR_ENTITY_CONTEXT] + 1U, sizeof(*ctx));
    struct fr_slot *items = fr_arena_array(ar, n * ns[FR_ENTITY_ITEM] + 1, sizeof(*items));
    struct fr_slot *cross = fr_arena_array(ar, n * ns[FR_ENTITY_CROSS] + 1, sizeof(*cross));
    const struct fr_slot **ptr = fr_arena_array(ar, n + 1, sizeof(*ptr));
    struct fr_rank_query q;
    enum fr_err e;

    if (user == NULL || ctx == NULL || items == NULL || cross == NULL || ptr == NULL)
        return FR_ENOMEM;
    for (size_t i = 0; i < n; i++)
        ptr[i] = items + i * ns[FR_ENTITY_ITEM];
    e = fr_model_encode(m, FR_ENTITY_USER, t->cut->user_cells, 1, user);
    if (e == FR_OK)
        e = fr_model_encode(m, FR_ENTITY_CONTEXT, t->cut->context_cells, 1, ctx);
    if (e == FR_OK)
        e = fr_model_encode(m, FR_ENTITY_ITEM, t->item_cells, (int)n, items);
    if (e == FR_OK)
        e = fr_model_encode(m, FR_ENTITY_CROSS, t->cross_cells, (int)n, cross);
    if (e != FR_OK)
        return e;
    q = (struct fr_rank_query){user, ctx, ptr, cross, (int)n, cache};
    return fr_model_rank_final(m, &q, flags, powers, ar, key, score, NULL);
}

/* Order without a ranker: retrieval score, then popular rank, then the user's own last items. */
static float source_key(const struct fr_candidate *c)
{
    if (c->has_score)
        return 4.0f + c->score;
    if (c->rank[FR_SOURCE_POPULAR] > 0)
        return 1.0f + 1.0f / (float)c->rank[FR_SOURCE_POPULAR];
    if (c->rank[FR_SOURCE_REQUEST] > 0)
        return 1.0f / (float)c->rank[FR_SOURCE_REQUEST];
    return c->rank[FR_SOURCE_HISTORY] > 0 ? 0.5f / (float)c->rank[FR_SOURCE_HISTORY] : 0.0f;
}

static void name_model(const struct fr_model *m, char *out, size_t cap)
{
    out[0] = '\0';
    if (m != NULL)
        (void)snprintf(out, cap, "%s@%llu", fr_model_info(m)->name,
                       (unsigned long long)fr_model_info(m)->version);
}

enum fr_err fr_stage_score(const struct fr_spec *spec,
                           const struct fr_score_policy *pol,
                           const struct fr_epoch *ep,
                           unsigned flags,
                           struct fr_arena *ar,
                           struct fr_rank_cache *cache,
                           struct fr_trigger *t)
{
    struct ranked *r = fr_arena_array(ar, t->n_cand + 1U, sizeof(*r));
    float *order = fr_arena_array(ar, t->n_cand + 1U, sizeof(*order));
    float *score = fr_arena_array(ar, t->n_cand + 1U, sizeof(*score));
    uint32_t n = pol->n;
    bool ranked = false;
    enum fr_err e;

    if (r == NULL || order == NULL || score == NULL)
        return FR_ENOMEM;
    e = fr_stage_rows(spec, ep, ar, t);
    if (e != FR_OK)
        return e;
    name_model(ep->retrieval, t->retrieval, sizeof(t->retrieval));
    name_model(ep->ranker, t->ranker, sizeof(t->ranker));
    if (ep->ranker != NULL && t->n_cand > 0) {
        e = rank(&pol->powers, ep->ranker, flags, ar, cache, t, order, score);
        if (e == FR_ENOMEM)
            return e;
        ranked = e == FR_OK;
        t->fallback = t->fallback || !ranked;
    }
    for (uint32_t i = 0; i < t->n_cand; i++) {
        float key = ranked ? order[i] : source_key(&t->cand[i]);
        r[i] = (struct ranked){key, ranked ? score[i] : key, t->cand[i].item, i};
    }
    qsort(r, t->n_cand, sizeof(*r), better);
    if (t->work->kind == FR_WORK_REQUEST && t->work->req.n > 0)
        n = t->work->req.n;
    t->n_list = t->n_cand < n ? t->n_cand : n;
    t->list = fr_arena_array(ar, t->n_list + 1U, sizeof(*t->list));
    if (t->list == NULL)
        return FR_ENOMEM;
    for (uint32_t i = 0; i < t->n_list; i++)
        t->list[i] = (struct fr_listed){r[i].cand, r[i].score};
    return FR_OK;
}
