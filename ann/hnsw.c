/*
 * ann/hnsw.c - the graph index: labels, tombstones, growth; see hnsw.h.
 *
 * The graph knows slots only. Labels, the map from label to slot and the tombstones are kept here,
 * so an update cannot take hnswlib's updatePoint path, and a removal touches no link.
 */
#include "ann/hnsw.h"

#include "ann/hnsw_priv.h"
#include "daemon/base/alloc.h"

enum { FIRST_CAPACITY = 64 };
/* of the layer draw: fixed, so that equal insertions make equal graphs */
#define LAYER_SEED UINT64_C(100)

static void hnsw_free(struct fr_index *ix)
{
    struct fr_hnsw *h = fr_hnsw_of(ix);
    fr_hnsw_shim_free(h->graph);
    fr_map_done(&h->slots);
    fr_free(h->label);
    fr_free(h->dead);
    fr_free(h);
}

/* label and dead for `cap` slots; the old arrays stay on failure */
static enum fr_err grow_arrays(struct fr_hnsw *h, uint64_t cap)
{
    uint64_t words = (cap + 63) / 64, old_words = (h->cap + 63) / 64;

    uint64_t *label = fr_realloc_array(h->label, cap, sizeof(*label));
    if (label == NULL)
        return FR_ENOMEM;
    h->label = label;
    uint64_t *dead = fr_realloc_array(h->dead, words, sizeof(*dead));
    if (dead == NULL)
        return FR_ENOMEM;
    if (words > old_words)
        memset(dead + old_words, 0, (words - old_words) * sizeof(*dead));
    h->dead = dead;
    return FR_OK;
}

static enum fr_err hnsw_reserve(struct fr_index *ix, uint64_t want)
{
    struct fr_hnsw *h = fr_hnsw_of(ix);

    if (want <= h->cap)
        return FR_OK;
    if (h->broken)
        return FR_ESTATE;
    if (want >= FR_MAP_NONE / 2) /* hnswlib keeps the capacity in an int */
        return FR_EFULL;
    enum fr_err e = fr_map_reserve(&h->slots, want);
    if (e == FR_OK)
        e = grow_arrays(h, want);
    if (e == FR_OK)
        e = fr_hnsw_shim_resize(h->graph, want);
    if (e != FR_OK)
        return e;
    h->cap = want;
    fr_hnsw_shim_view(h->graph, &h->view);
    return FR_OK;
}

enum fr_err fr_hnsw_note_slot(struct fr_hnsw *h, uint64_t label, bool dead)
{
    uint64_t slot = h->n;

    if (!dead) {
        enum fr_err e = fr_map_put(&h->slots, label, (uint32_t)slot);
        if (e != FR_OK)
            return e;
        h->live++;
    } else {
        h->dead[slot / 64] |= UINT64_C(1) << (slot % 64);
    }
    h->label[slot] = label;
    h->n++;
    return FR_OK;
}

static void bury(struct fr_hnsw *h, uint32_t slot)
{
    h->dead[slot / 64] |= UINT64_C(1) << (slot % 64);
    h->live--;
}

static enum fr_err hnsw_add(struct fr_index *ix, uint64_t label, const float *v)
{
    struct fr_hnsw *h = fr_hnsw_of(ix);

    if (h->broken)
        return FR_ESTATE;
    if (h->n == h->cap) {
        enum fr_err e = hnsw_reserve(ix, h->cap + h->cap / 2);
        if (e != FR_OK)
            return e;
    }
    enum fr_err e = fr_map_reserve(&h->slots, h->slots.n + 1);
    if (e != FR_OK)
        return e;
    e = fr_hnsw_shim_add(h->graph, v);
    fr_hnsw_shim_view(h->graph, &h->view);
    if (e != FR_OK) {
        h->broken = true;
        return e;
    }
    return fr_hnsw_note_slot(h, label, false);
}

static enum fr_err hnsw_update(struct fr_index *ix, uint64_t label, const float *v)
{
    struct fr_hnsw *h = fr_hnsw_of(ix);
    uint32_t old = fr_map_get(&h->slots, label);

    enum fr_err e = hnsw_add(ix, label, v); /* the map now points to the new slot */
    if (e == FR_OK)
        bury(h, old);
    return e;
}

static bool hnsw_remove(struct fr_index *ix, uint64_t label)
{
    struct fr_hnsw *h = fr_hnsw_of(ix);
    uint32_t slot = fr_map_get(&h->slots, label);

    if (slot == FR_MAP_NONE)
        return false;
    (void)fr_map_del(&h->slots, label);
    bury(h, slot);
    return true;
}

static const float *hnsw_vector(const struct fr_index *ix, uint64_t label)
{
    const struct fr_hnsw *h = fr_hnsw_in(ix);
    uint32_t slot = fr_map_get(&h->slots, label);
    return slot == FR_MAP_NONE ? NULL : fr_hnsw_vec(&h->view, slot);
}

static const float *hnsw_row(const struct fr_index *ix, uint64_t slot, uint64_t *label)
{
    const struct fr_hnsw *h = fr_hnsw_in(ix);
    if (fr_hnsw_is_dead(h, slot))
        return NULL;
    *label = h->label[slot];
    return fr_hnsw_vec(&h->view, slot);
}

static void hnsw_stats(const struct fr_index *ix, struct fr_index_stats *out)
{
    const struct fr_hnsw *h = fr_hnsw_in(ix);
    *out = (struct fr_index_stats){.live = h->live, .dead = h->n - h->live, .slots = h->n};
}

static enum fr_err hnsw_clone(const struct fr_index *ix, struct fr_index **out_ix);

static const struct fr_index_ops hnsw_ops = {
    .name = "hnsw",
    .add = hnsw_add,
    .update = hnsw_update,
    .remove = hnsw_remove,
    .vector = hnsw_vector,
    .row = hnsw_row,
    .reserve = hnsw_reserve,
    .search = fr_hnsw_search,
    .stats = hnsw_stats,
    .unreachable = fr_hnsw_unreachable,
    .clone = hnsw_clone,
    .save = fr_hnsw_save,
    .free = hnsw_free,
};

/* everything but the graph */
static enum fr_err new_shell(const struct fr_hnsw_config *cfg, uint64_t cap, struct fr_hnsw **out)
{
    struct fr_hnsw *h = fr_calloc(1, sizeof(*h));

    if (h == NULL)
        return FR_ENOMEM;
    h->base = (struct fr_index){.ops = &hnsw_ops, .dim = cfg->dim};
    h->cfg = *cfg;
    enum fr_err e = grow_arrays(h, cap);
    if (e == FR_OK)
        e = fr_map_reserve(&h->slots, cap);
    if (e != FR_OK) {
        hnsw_free(&h->base);
        return e;
    }
    h->cap = cap;
    *out = h;
    return FR_OK;
}

enum fr_err fr_hnsw_new(const struct fr_hnsw_config *cfg, struct fr_index **out_ix)
{
    uint64_t cap = cfg->capacity < FIRST_CAPACITY ? FIRST_CAPACITY : cfg->capacity;
    struct fr_hnsw *h;

    if (cfg->dim < 1 || cfg->dim > FR_INDEX_MAX_DIM || cfg->m < 2 || cfg->m > 256 ||
        cfg->ef_construction < 1 || cfg->ef_construction > 4096 || cfg->ef_search < 1 ||
        cfg->ef_search > 65536 || cap >= FR_MAP_NONE / 2)
        return FR_EINVAL;
    enum fr_err e = new_shell(cfg, cap, &h);
    if (e != FR_OK)
        return e;
    struct fr_hnsw_params p = {
        .dim = cfg->dim, .m = cfg->m, .ef_construction = cfg->ef_construction, .seed = LAYER_SEED};
    e = fr_hnsw_shim_new(&p, cap, &h->graph);
    if (e != FR_OK) {
        hnsw_free(&h->base);
        return e;
    }
    fr_hnsw_shim_view(h->graph, &h->view);
    *out_ix = &h->base;
    return FR_OK;
}

enum fr_err fr_hnsw_new_like(const struct fr_index *ix, uint64_t capacity, struct fr_index **out_ix)
{
    struct fr_hnsw_config cfg = fr_hnsw_in(ix)->cfg;
    cfg.capacity = capacity;
    return fr_hnsw_new(&cfg, out_ix);
}

void fr_hnsw_set_ef(struct fr_index *ix, int ef_search)
{
    fr_hnsw_of(ix)->cfg.ef_search = ef_search < 1 ? 1 : ef_search;
}

static enum fr_err hnsw_clone(const struct fr_index *ix, struct fr_index **out_ix)
{
    const struct fr_hnsw *h = fr_hnsw_in(ix);
    struct fr_hnsw *c;

    if (h->broken)
        return FR_ESTATE;
    enum fr_err e = new_shell(&h->cfg, h->cap, &c);
    if (e != FR_OK)
        return e;
    for (uint64_t i = 0; i < h->n && e == FR_OK; i++)
        e = fr_hnsw_note_slot(c, h->label[i], fr_hnsw_is_dead(h, i));
    if (e == FR_OK)
        e = fr_hnsw_shim_clone(h->graph, &c->graph);
    if (e != FR_OK) {
        hnsw_free(&c->base);
        return e;
    }
    fr_hnsw_shim_view(c->graph, &c->view);
    *out_ix = &c->base;
    return FR_OK;
}
