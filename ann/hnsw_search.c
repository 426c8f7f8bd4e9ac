/*
 * ann/hnsw_search.c - the walk through the graph: greedy descent, then a best-first search of width
 * ef at layer 0 (arXiv:1603.09320, algorithms 5 and 2).
 *
 * A dead or filtered slot is walked through but does not count towards ef. A graph that is not much
 * larger than ef is scanned instead: that is faster then, and exact.
 */
#include "ann/hnsw.h"

#include "ann/hnsw_priv.h"
#include "ann/topk.h"
#include "daemon/base/alloc.h"
#include "models/tensor.h"

enum { SCAN_FACTOR = 2, MAX_LINKS = 2 * 256 };

#if defined(__GNUC__)
#define PREFETCH(p) __builtin_prefetch(p)
#else
#define PREFETCH(p) ((void)(p))
#endif

struct cand {
    float score;
    uint32_t slot;
};

/** One search. Everything lies in the arena. Thread: one. */
struct walk {
    const struct fr_hnsw *h;
    const float *q;
    fr_index_filter_fn filter;
    void *filter_ctx;
    struct fr_arena *ar;
    uint64_t *visited;  /* bit set over slots */
    struct cand *cands; /* heap, best on top */
    size_t n_cands, cap_cands;
    struct fr_topk best;
};

static float score_of(const struct walk *w, uint64_t slot)
{
    return fr_dot(w->q, fr_hnsw_vec(&w->h->view, slot), (size_t)w->h->base.dim);
}

static void offer(struct walk *w, uint32_t slot, float score)
{
    uint64_t label = w->h->label[slot];
    if (fr_hnsw_is_dead(w->h, slot))
        return;
    if (w->filter == NULL || w->filter(w->filter_ctx, label))
        fr_topk_push(&w->best, (struct fr_ann_hit){label, score});
}

static enum fr_err cand_push(struct walk *w, struct cand c)
{
    if (w->n_cands == w->cap_cands) { /* rare: many candidates better than the ef-th hit */
        struct cand *grown = fr_arena_array(w->ar, 2 * w->cap_cands, sizeof(*grown));
        if (grown == NULL)
            return FR_ENOMEM;
        memcpy(grown, w->cands, w->n_cands * sizeof(*grown));
        w->cands = grown;
        w->cap_cands *= 2;
    }
    size_t at = w->n_cands++;
    while (at > 0 && w->cands[(at - 1) / 2].score < c.score) {
        w->cands[at] = w->cands[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->cands[at] = c;
    return FR_OK;
}

static struct cand cand_pop(struct walk *w)
{
    struct cand top = w->cands[0], c = w->cands[--w->n_cands];
    size_t at = 0, n = w->n_cands;

    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n)
            break;
        if (child + 1 < n && w->cands[child + 1].score > w->cands[child].score)
            child++;
        if (w->cands[child].score <= c.score)
            break;
        w->cands[at] = w->cands[child];
        at = child;
    }
    if (n > 0)
        w->cands[at] = c;
    return top;
}

static bool visit(struct walk *w, uint32_t slot)
{
    uint64_t bit = UINT64_C(1) << (slot % 64);
    if ((w->visited[slot / 64] & bit) != 0)
        return false;
    w->visited[slot / 64] |= bit;
    return true;
}

/* From the entry point down to layer 1: move to the best neighbour while there is a better one. */
static struct cand descend(const struct walk *w)
{
    const struct fr_hnsw_view *v = &w->h->view;
    struct cand at = {score_of(w, v->entry), v->entry};

    for (int layer = v->max_level; layer > 0; layer--) {
        bool moved = true;
        while (moved) {
            uint32_t n;
            const uint32_t *link = fr_hnsw_links(v, at.slot, layer, &n);
            moved = false;
            for (uint32_t i = 0; i < n; i++)
                PREFETCH(fr_hnsw_vec(v, link[i]));
            for (uint32_t i = 0; i < n; i++) {
                float s = score_of(w, link[i]);
                if (s > at.score) {
                    at = (struct cand){s, link[i]};
                    moved = true;
                }
            }
        }
    }
    return at;
}

static enum fr_err expand(struct walk *w, uint32_t slot)
{
    const struct fr_hnsw_view *v = &w->h->view;
    uint32_t fresh[MAX_LINKS], n, n_fresh = 0;
    const uint32_t *link = fr_hnsw_links(v, slot, 0, &n);

    for (uint32_t i = 0; i < n && i < MAX_LINKS; i++) {
        if (visit(w, link[i])) {
            PREFETCH(fr_hnsw_vec(v, link[i]));
            fresh[n_fresh++] = link[i];
        }
    }
    for (uint32_t i = 0; i < n_fresh; i++) {
        float s = score_of(w, fresh[i]);
        if (!fr_topk_wants(&w->best, s))
            continue;
        enum fr_err e = cand_push(w, (struct cand){s, fresh[i]});
        if (e != FR_OK)
            return e;
        offer(w, fresh[i], s);
    }
    return FR_OK;
}

static enum fr_err walk_graph(struct walk *w, uint32_t ef)
{
    size_t words = (size_t)(w->h->n + 63) / 64;

    w->visited = fr_arena_zarray(w->ar, words, sizeof(*w->visited));
    w->cap_cands = 4 * (size_t)ef + 64;
    w->cands = fr_arena_array(w->ar, w->cap_cands, sizeof(*w->cands));
    if (w->visited == NULL || w->cands == NULL)
        return FR_ENOMEM;
    struct cand start = descend(w);
    (void)visit(w, start.slot);
    offer(w, start.slot, start.score);
    enum fr_err e = cand_push(w, start);
    while (w->n_cands > 0 && e == FR_OK) {
        struct cand c = cand_pop(w);
        if (!fr_topk_wants(&w->best, c.score))
            break;
        e = expand(w, c.slot);
    }
    return e;
}

enum fr_err fr_hnsw_search(const struct fr_index *ix,
                           const float *query,
                           uint32_t k,
                           fr_index_filter_fn filter,
                           void *filter_ctx,
                           struct fr_arena *ar,
                           struct fr_ann_hit *hits,
                           uint32_t *out_n)
{
    const struct fr_hnsw *h = fr_hnsw_in(ix);
    uint32_t ef = (uint32_t)h->cfg.ef_search > k ? (uint32_t)h->cfg.ef_search : k;
    struct walk w = {.h = h, .q = query, .filter = filter, .filter_ctx = filter_ctx, .ar = ar};
    enum fr_err e = FR_OK;

    w.best.cap = ef;
    w.best.hit = fr_arena_array(ar, ef, sizeof(*w.best.hit));
    if (w.best.hit == NULL)
        return FR_ENOMEM;
    /* a broken graph may have a slot beyond n that links lead to: scan what is known */
    if (h->broken || h->n <= (uint64_t)SCAN_FACTOR * ef) {
        for (uint64_t i = 0; i < h->n; i++)
            offer(&w, (uint32_t)i, score_of(&w, i));
    } else {
        e = walk_graph(&w, ef);
    }
    if (e != FR_OK)
        return e;
    fr_topk_sort(&w.best);
    *out_n = w.best.n < k ? w.best.n : k;
    memcpy(hits, w.best.hit, *out_n * sizeof(*hits));
    return FR_OK;
}

enum fr_err fr_hnsw_unreachable(const struct fr_index *ix, uint64_t *out)
{
    const struct fr_hnsw *h = fr_hnsw_in(ix);
    uint64_t words = (h->n + 63) / 64, top = 0, reached = 0;

    if (h->n == 0 || h->broken) {
        *out = h->broken ? h->live : 0;
        return FR_OK;
    }
    uint64_t *seen = fr_calloc(words, sizeof(*seen));
    uint32_t *stack = fr_malloc_array(h->n, sizeof(*stack)); /* each slot enters once */
    if (seen == NULL || stack == NULL) {
        fr_free(seen);
        fr_free(stack);
        return FR_ENOMEM;
    }
    stack[top++] = h->view.entry;
    seen[h->view.entry / 64] |= UINT64_C(1) << (h->view.entry % 64);
    while (top > 0) {
        uint32_t slot = stack[--top];
        reached += !fr_hnsw_is_dead(h, slot);
        for (int layer = 0; layer <= h->view.level[slot]; layer++) {
            uint32_t n;
            const uint32_t *link = fr_hnsw_links(&h->view, slot, layer, &n);
            for (uint32_t i = 0; i < n; i++) {
                uint64_t bit = UINT64_C(1) << (link[i] % 64);
                if ((seen[link[i] / 64] & bit) == 0) {
                    seen[link[i] / 64] |= bit;
                    stack[top++] = link[i];
                }
            }
        }
    }
    fr_free(seen);
    fr_free(stack);
    *out = h->live - reached;
    return FR_OK;
}
