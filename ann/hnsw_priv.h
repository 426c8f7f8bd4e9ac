/*
 * ann/hnsw_priv.h - the graph index's struct, shared by hnsw.c, hnsw_search.c and hnsw_file.c.
 */
#ifndef FR_ANN_HNSW_PRIV_H
#define FR_ANN_HNSW_PRIV_H

#include <string.h>

#include "ann/hnsw.h"
#include "ann/hnsw_shim.h"
#include "daemon/base/map.h"

/** Owner: fr_hnsw_new(). Thread: as struct fr_index. */
struct fr_hnsw {
    struct fr_index base;
    struct fr_hnsw_config cfg;
    struct fr_hnsw_graph *graph;
    struct fr_hnsw_view view; /* of graph, taken after every change */
    struct fr_map slots;      /* label -> its live slot */
    uint64_t *label;          /* (cap) of every slot, also of dead ones */
    uint64_t *dead;           /* (cap / 64 rounded up) bit set */
    uint64_t cap;             /* room in label, dead and graph; below FR_MAP_NONE */
    uint64_t n;               /* slots; == view.n unless broken */
    uint64_t live;
    bool broken; /* an insertion failed half way: read only, to be replaced */
};

static inline struct fr_hnsw *fr_hnsw_of(struct fr_index *ix)
{
    return (struct fr_hnsw *)ix;
}

static inline const struct fr_hnsw *fr_hnsw_in(const struct fr_index *ix)
{
    return (const struct fr_hnsw *)ix;
}

static inline bool fr_hnsw_is_dead(const struct fr_hnsw *h, uint64_t slot)
{
    return (h->dead[slot / 64] >> (slot % 64) & 1) != 0;
}

static inline const float *fr_hnsw_vec(const struct fr_hnsw_view *v, uint64_t slot)
{
    return (const float *)(const void *)(v->level0 + slot * v->stride + v->vec_offset);
}

/** Count and links of a slot at a layer (0..its level). A count uses the low 16 bits. */
static inline const uint32_t *
fr_hnsw_links(const struct fr_hnsw_view *v, uint64_t slot, int layer, uint32_t *out_n)
{
    const char *p = layer == 0 ? v->level0 + slot * v->stride
                               : v->upper[slot] + (size_t)(layer - 1) * v->upper_stride;
    const uint32_t *at = (const uint32_t *)(const void *)p;
    uint16_t n;
    memcpy(&n, p, sizeof(n));
    *out_n = n;
    return at + 1;
}

/** The search of struct fr_index_ops. */
enum fr_err fr_hnsw_search(const struct fr_index *ix,
                           const float *query,
                           uint32_t k,
                           fr_index_filter_fn filter,
                           void *filter_ctx,
                           struct fr_arena *ar,
                           struct fr_ann_hit *hits,
                           uint32_t *out_n);
enum fr_err fr_hnsw_unreachable(const struct fr_index *ix, uint64_t *out);
enum fr_err fr_hnsw_save(const struct fr_index *ix, const char *path, struct fr_fault *fault);
/** Append a slot's bookkeeping after the graph took it; room is there. */
enum fr_err fr_hnsw_note_slot(struct fr_hnsw *h, uint64_t label, bool dead);

#endif
