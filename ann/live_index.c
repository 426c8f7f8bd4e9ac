/*
 * ann/live_index.c - see live_index.h.
 *
 * Left-right over two sides. A side is complete in itself: a graph and a buffer of vectors the
 * graph does not have yet. A put writes the side's buffer and buries the label in the side's graph,
 * so a label is live in exactly one of the two and nothing has to be masked in a search.
 *
 *          side 0                      side 1
 *      ┌──────────────┐            ┌──────────────┐
 *      │ graph │buffer│  ◄─swap─►  │ graph │buffer│      next: graph being rebuilt, seen by no
 * reader └──────────────┘            └──────────────┘
 *
 * Every change goes to the idle side, the sides are swapped (which waits for the readers), and the
 * same change goes to the other. Equal changes give equal sides: the same slots and rows in the
 * same order. A side where a change failed is replaced by a copy of the other.
 *
 * Rebuild: `cursor` walks the slots of the graph and inserts the live ones into `next`, a budget at
 * a time. Slots added meanwhile lie behind the cursor; a label changed meanwhile is removed from
 * `next`.
 */
#include "ann/live_index.h"

#include <stdatomic.h>
#include <string.h>

#include "ann/flat.h"
#include "ann/hnsw.h"
#include "daemon/base/alloc.h"
#include "daemon/base/leftright.h"
#include "models/tensor.h"

enum {
    FIRST_BUFFER = 64,
    MIN_DEAD = 64, /* fewer tombstones than this cost no search anything */
    DEAD_SHARE = 5 /* rebuild when more than 1/5 of the slots are dead */
};

struct side {
    struct fr_index *graph;  /* NULL in flat mode */
    struct fr_index *buffer; /* flat; holds everything in flat mode */
};

/** Owner: fr_live_index_new(). Thread: sides by left-right; the rest is the writer's. */
struct fr_live_index {
    struct fr_leftright lr;
    struct side side[2];
    struct fr_live_index_config cfg;
    uint64_t buffer_cap;   /* rows both buffers have room for */
    bool idle_stale;       /* a change failed on the idle side: copy the active one first */
    struct fr_index *next; /* NULL when no rebuild runs */
    uint64_t cursor;       /* slots of the graph already looked at */
    _Atomic uint64_t rebuilds;
};

static struct side *idle_side(struct fr_live_index *ix)
{
    return &ix->side[fr_leftright_idle(&ix->lr)];
}

static struct side *active_side(struct fr_live_index *ix)
{
    return &ix->side[1 - fr_leftright_idle(&ix->lr)];
}

static void side_done(struct side *s)
{
    fr_index_free(s->graph);
    fr_index_free(s->buffer);
    *s = (struct side){NULL, NULL};
}

static enum fr_err side_init(const struct fr_live_index_config *cfg, struct side *s)
{
    struct fr_hnsw_config g = {.dim = cfg->dim,
                               .m = cfg->m,
                               .ef_construction = cfg->ef_construction,
                               .ef_search = cfg->ef_search};

    enum fr_err e = fr_flat_new(cfg->dim, &s->buffer);
    if (e == FR_OK && !cfg->flat)
        e = fr_hnsw_new(&g, &s->graph);
    return e;
}

enum fr_err fr_live_index_new(const struct fr_live_index_config *cfg, struct fr_live_index **out_ix)
{
    struct fr_live_index *ix = fr_calloc(1, sizeof(*ix));

    if (ix == NULL)
        return FR_ENOMEM;
    fr_leftright_init(&ix->lr);
    atomic_init(&ix->rebuilds, 0);
    ix->cfg = *cfg;
    enum fr_err e = side_init(cfg, &ix->side[0]);
    if (e == FR_OK)
        e = side_init(cfg, &ix->side[1]);
    if (e != FR_OK) {
        fr_live_index_free(ix);
        return e;
    }
    *out_ix = ix;
    return FR_OK;
}

void fr_live_index_free(struct fr_live_index *ix)
{
    if (ix == NULL)
        return;
    side_done(&ix->side[0]);
    side_done(&ix->side[1]);
    fr_index_free(ix->next);
    fr_free(ix);
}

/* A copy of a side; `to` is untouched on failure. */
static enum fr_err side_copy(const struct side *from, uint64_t buffer_cap, struct side *to)
{
    struct side s = {NULL, NULL};

    enum fr_err e = fr_index_clone(from->buffer, &s.buffer);
    if (e == FR_OK)
        e = fr_index_reserve(s.buffer, buffer_cap);
    if (e == FR_OK && from->graph != NULL)
        e = fr_index_clone(from->graph, &s.graph);
    if (e != FR_OK)
        side_done(&s);
    else
        *to = s;
    return e;
}

/* Make the idle side equal to the active one if a change failed on it. Readers may be on the active
 * side: it is only read. */
static enum fr_err repair(struct fr_live_index *ix)
{
    struct side s;

    if (!ix->idle_stale)
        return FR_OK;
    enum fr_err e = side_copy(active_side(ix), ix->buffer_cap, &s);
    if (e != FR_OK)
        return e;
    side_done(idle_side(ix));
    *idle_side(ix) = s;
    ix->idle_stale = false;
    return FR_OK;
}

/* Room for `more` rows in both buffers, so that what follows cannot fail. The content does not
 * change, so an extra swap shows readers nothing. */
static enum fr_err reserve_buffers(struct fr_live_index *ix, uint64_t more)
{
    uint64_t want = fr_index_size(idle_side(ix)->buffer) + more;
    uint64_t cap = ix->buffer_cap < FIRST_BUFFER ? FIRST_BUFFER : ix->buffer_cap;

    if (want <= ix->buffer_cap)
        return FR_OK;
    while (cap < want)
        cap *= 2;
    for (int turn = 0; turn < 2; turn++) {
        enum fr_err e = fr_index_reserve(idle_side(ix)->buffer, cap);
        if (e != FR_OK)
            return e;
        fr_leftright_swap(&ix->lr);
    }
    ix->buffer_cap = cap;
    return FR_OK;
}

enum fr_err fr_live_index_build(struct fr_live_index *ix,
                                const uint64_t *labels,
                                const float *vectors,
                                uint64_t n)
{
    struct side a = {NULL, NULL}, b;

    if (fr_index_size(ix->side[0].buffer) > 0 ||
        (ix->side[0].graph != NULL && fr_index_size(ix->side[0].graph) > 0))
        return FR_ESTATE;
    enum fr_err e = side_init(&ix->cfg, &a);
    if (e != FR_OK) {
        side_done(&a);
        return e;
    }
    struct fr_index *into = a.graph != NULL ? a.graph : a.buffer;
    e = fr_index_reserve(into, n + n / 4);
    for (uint64_t i = 0; i < n && e == FR_OK; i++)
        e = fr_index_add(into, labels[i], vectors + i * (uint64_t)ix->cfg.dim);
    if (e == FR_OK)
        e = side_copy(&a, 0, &b);
    if (e != FR_OK) {
        side_done(&a);
        return e;
    }
    side_done(&ix->side[0]);
    side_done(&ix->side[1]);
    ix->side[0] = a;
    ix->side[1] = b;
    ix->buffer_cap = fr_index_size(a.buffer);
    return FR_OK;
}

/* The stored vector of a label, wherever it is. */
static const float *side_vector(const struct side *s, uint64_t label)
{
    const float *v = fr_index_vector(s->buffer, label);
    return v == NULL && s->graph != NULL ? fr_index_vector(s->graph, label) : v;
}

static bool same_vector(const struct side *s, const struct fr_ann_op *op, int dim)
{
    const float *have = side_vector(s, op->label);
    return have != NULL && memcmp(have, op->vector, (size_t)dim * sizeof(*have)) == 0;
}

static enum fr_err apply_to_side(struct fr_live_index *ix,
                                 struct side *s,
                                 struct fr_index *next,
                                 const struct fr_ann_op *ops,
                                 int n)
{
    enum fr_err e = FR_OK;

    for (int i = 0; i < n && e == FR_OK; i++) {
        const struct fr_ann_op *op = &ops[i];
        bool put = op->kind == FR_ANN_PUT;
        if (put && same_vector(s, op, ix->cfg.dim))
            continue; /* an item record that did not move the item */
        if (s->graph != NULL)
            (void)fr_index_remove(s->graph, op->label);
        if (next != NULL)
            (void)fr_index_remove(next, op->label);
        if (put)
            e = fr_index_put(s->buffer, op->label, op->vector);
        else
            (void)fr_index_remove(s->buffer, op->label);
    }
    return e;
}

enum fr_err fr_live_index_apply(struct fr_live_index *ix, const struct fr_ann_op *ops, int n)
{
    uint64_t puts = 0;

    for (int i = 0; i < n; i++) {
        enum fr_err e = FR_OK;
        if (ops[i].label == 0 || (ops[i].kind != FR_ANN_PUT && ops[i].kind != FR_ANN_REMOVE))
            e = FR_EINVAL;
        else if (ops[i].kind == FR_ANN_PUT)
            e = fr_index_check_vector(ops[i].vector, ix->cfg.dim);
        if (e != FR_OK)
            return e;
        puts += ops[i].kind == FR_ANN_PUT;
    }
    if (n <= 0)
        return FR_OK;
    enum fr_err e = repair(ix);
    if (e == FR_OK)
        e = reserve_buffers(ix, puts);
    if (e != FR_OK)
        return e;
    e = apply_to_side(ix, idle_side(ix), ix->next, ops, n);
    if (e != FR_OK) { /* cannot happen after the reservation; the readers' side is as it was */
        ix->idle_stale = true;
        return e;
    }
    fr_leftright_swap(&ix->lr);
    if (apply_to_side(ix, idle_side(ix), NULL, ops, n) != FR_OK)
        ix->idle_stale = true; /* visible already; copied before the next change */
    return FR_OK;
}

static enum fr_err move_on_side(struct side *s, const uint64_t *labels, uint64_t n)
{
    enum fr_err e = FR_OK;

    for (uint64_t i = 0; i < n && e == FR_OK; i++) {
        e = fr_index_add(s->graph, labels[i], fr_index_vector(s->buffer, labels[i]));
        if (e == FR_OK)
            (void)fr_index_remove(s->buffer, labels[i]);
    }
    return e;
}

/* Buffered entries into both graphs. The entry leaves a side's buffer with that side's insertion,
 * so readers of either side find it. */
static enum fr_err move_entries(struct fr_live_index *ix, uint64_t budget)
{
    struct fr_index *buffer = idle_side(ix)->buffer;
    uint64_t n = fr_index_size(buffer) < budget ? fr_index_size(buffer) : budget;

    if (n == 0)
        return FR_OK;
    uint64_t *labels = fr_malloc_array(n, sizeof(*labels));
    if (labels == NULL)
        return FR_ENOMEM;
    for (uint64_t i = 0; i < n; i++)
        (void)fr_index_row(buffer, i, &labels[i]);
    enum fr_err e = move_on_side(idle_side(ix), labels, n);
    if (e == FR_OK) {
        fr_leftright_swap(&ix->lr);
        e = move_on_side(idle_side(ix), labels, n);
    }
    if (e != FR_OK) {
        ix->idle_stale = true;
        e = repair(ix) == FR_OK ? FR_OK : e;
    }
    fr_free(labels);
    return e;
}

static void drop_rebuild(struct fr_live_index *ix)
{
    fr_index_free(ix->next);
    ix->next = NULL;
}

/* `next` has everything the graphs have: publish it, then give the other side a copy. */
static enum fr_err install_rebuilt(struct fr_live_index *ix)
{
    struct fr_index *copy;

    if (fr_index_size(ix->next) != fr_index_size(idle_side(ix)->graph)) {
        drop_rebuild(ix);
        return FR_EINTERNAL;
    }
    fr_index_free(idle_side(ix)->graph);
    idle_side(ix)->graph = ix->next;
    ix->next = NULL;
    fr_leftright_swap(&ix->lr);
    atomic_fetch_add_explicit(&ix->rebuilds, 1, memory_order_relaxed);
    enum fr_err e = fr_index_clone(active_side(ix)->graph, &copy);
    if (e != FR_OK) {
        ix->idle_stale = true; /* same content, other slots: must not drift apart */
        return e;
    }
    fr_index_free(idle_side(ix)->graph);
    idle_side(ix)->graph = copy;
    return FR_OK;
}

static enum fr_err rebuild_step(struct fr_live_index *ix, uint64_t budget)
{
    const struct fr_index *graph = idle_side(ix)->graph;
    struct fr_index_stats st;
    enum fr_err e = FR_OK;

    fr_index_stats(graph, &st);
    if (ix->next == NULL) {
        if (st.dead < MIN_DEAD || st.dead * DEAD_SHARE <= st.slots)
            return FR_OK;
        e = fr_hnsw_new_like(graph, st.live + st.live / 4, &ix->next);
        ix->cursor = 0;
    }
    for (uint64_t done = 0; done < budget && ix->cursor < st.slots && e == FR_OK;) {
        uint64_t label;
        const float *v = fr_index_row(graph, ix->cursor++, &label);
        if (v != NULL) {
            e = fr_index_add(ix->next, label, v);
            done++;
        }
    }
    if (e != FR_OK) {
        drop_rebuild(ix); /* begun anew by the next call */
        return e;
    }
    return ix->cursor == st.slots ? install_rebuilt(ix) : FR_OK;
}

enum fr_err fr_live_index_maintain(struct fr_live_index *ix, int budget, bool *out_more)
{
    uint64_t n = budget > 0 ? (uint64_t)budget : 0;

    enum fr_err e = repair(ix);
    if (e == FR_OK && !ix->cfg.flat && n > 0) {
        e = move_entries(ix, n);
        if (e == FR_OK)
            e = rebuild_step(ix, 2 * n);
    }
    if (e == FR_OK && out_more != NULL)
        *out_more = !ix->cfg.flat && (ix->next != NULL || fr_index_size(idle_side(ix)->buffer) > 0);
    return e;
}

/* Two sorted lists without a common label into one. */
static uint32_t merge(const struct fr_ann_hit *a,
                      uint32_t na,
                      const struct fr_ann_hit *b,
                      uint32_t nb,
                      struct fr_ann_hit *out,
                      uint32_t k)
{
    uint32_t i = 0, j = 0, n = 0;

    while (n < k && (i < na || j < nb)) {
        bool first = j == nb || (i < na && (a[i].score > b[j].score ||
                                            (a[i].score == b[j].score && a[i].label < b[j].label)));
        out[n++] = first ? a[i++] : b[j++];
    }
    return n;
}

static enum fr_err search_side(const struct side *s,
                               const float *query,
                               uint32_t k,
                               struct fr_arena *ar,
                               struct fr_ann_hit **out_hits,
                               uint32_t *out_n)
{
    struct fr_ann_hit *a = NULL, *b;
    uint32_t na = 0, nb = 0;

    enum fr_err e = fr_index_search(s->buffer, query, k, NULL, NULL, ar, &b, &nb);
    if (e == FR_OK && s->graph != NULL)
        e = fr_index_search(s->graph, query, k, NULL, NULL, ar, &a, &na);
    if (e != FR_OK)
        return e;
    if (na == 0 || nb == 0) {
        *out_hits = na == 0 ? b : a;
        *out_n = na + nb;
        return FR_OK;
    }
    uint32_t room = nb < k - na ? na + nb : k;
    struct fr_ann_hit *out = fr_arena_array(ar, room, sizeof(*out));
    if (out == NULL)
        return FR_ENOMEM;
    *out_n = merge(a, na, b, nb, out, room);
    *out_hits = out;
    return FR_OK;
}

enum fr_err fr_live_index_search(struct fr_live_index *ix,
                                 const float *query,
                                 uint32_t k,
                                 struct fr_arena *ar,
                                 struct fr_ann_hit **out_hits,
                                 uint32_t *out_n)
{
    struct fr_leftright_pin pin = fr_leftright_pin(&ix->lr);
    enum fr_err e = search_side(&ix->side[pin.instance], query, k, ar, out_hits, out_n);
    fr_leftright_unpin(&ix->lr, pin);
    return e;
}

enum fr_err fr_live_index_score(struct fr_live_index *ix,
                                const float *query,
                                const uint64_t *labels,
                                uint32_t n,
                                float *out_score)
{
    size_t dim = (size_t)ix->cfg.dim;

    if (!fr_all_finite(query, dim))
        return FR_ENONFINITE;
    struct fr_leftright_pin pin = fr_leftright_pin(&ix->lr);
    for (uint32_t i = 0; i < n; i++) {
        const float *v = side_vector(&ix->side[pin.instance], labels[i]);
        out_score[i] = v == NULL ? -2.0f : fr_dot(query, v, dim);
    }
    fr_leftright_unpin(&ix->lr, pin);
    return FR_OK;
}

void fr_live_index_stats(struct fr_live_index *ix, struct fr_live_index_stats *out)
{
    struct fr_index_stats graph = {0, 0, 0};
    struct fr_leftright_pin pin = fr_leftright_pin(&ix->lr);
    uint64_t buffered = fr_index_size(ix->side[pin.instance].buffer);

    if (ix->side[pin.instance].graph != NULL)
        fr_index_stats(ix->side[pin.instance].graph, &graph);
    fr_leftright_unpin(&ix->lr, pin);
    *out = (struct fr_live_index_stats){
        .entries = graph.live + buffered,
        .pending = ix->cfg.flat ? 0 : buffered,
        .dead = graph.dead,
        .rebuilds = atomic_load_explicit(&ix->rebuilds, memory_order_relaxed),
    };
}
