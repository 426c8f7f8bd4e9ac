/*
 * ann/hnsw_file.c - saving and loading the graph index. The file is not trusted (hnsw.h).
 *
 * Body (see index_file.h), n = slots:
 *
 *   u32 m | u32 ef_construction | u32 ef_search | u32 entry | u32 top layer + 1 (0 = empty)
 *   n times:  u64 label | u32 level * 2 + dead | dim f32 | for layer 0..level: u32 count, count u32
 * links
 */
#include "ann/hnsw.h"

#include "ann/hnsw_priv.h"
#include "ann/index_file.h"
#include "daemon/base/alloc.h"
#include "daemon/base/file.h"

enum { MAX_LEVEL = 255, MAX_M = 256 };

static void put_slot(struct fr_buf *b, const struct fr_hnsw *h, uint64_t slot)
{
    int level = h->view.level[slot];

    fr_index_put_u64(b, h->label[slot]);
    fr_index_put_u32(b, (uint32_t)level * 2 + fr_hnsw_is_dead(h, slot));
    fr_index_put_f32s(b, fr_hnsw_vec(&h->view, slot), (size_t)h->base.dim);
    for (int layer = 0; layer <= level; layer++) {
        uint32_t n;
        const uint32_t *link = fr_hnsw_links(&h->view, slot, layer, &n);
        fr_index_put_u32(b, n);
        for (uint32_t i = 0; i < n; i++)
            fr_index_put_u32(b, link[i]);
    }
}

enum fr_err fr_hnsw_save(const struct fr_index *ix, const char *path, struct fr_fault *fault)
{
    const struct fr_hnsw *h = fr_hnsw_in(ix);
    struct fr_buf b;

    if (h->broken)
        return fr_fault(fault, FR_ESTATE, "%s: the index is broken and is not saved", path);
    fr_buf_init(&b);
    fr_index_put_head(
        &b, &(struct fr_index_head){.kind = FR_INDEX_KIND_HNSW, .dim = ix->dim, .n = h->n});
    fr_index_put_u32(&b, (uint32_t)h->cfg.m);
    fr_index_put_u32(&b, (uint32_t)h->cfg.ef_construction);
    fr_index_put_u32(&b, (uint32_t)h->cfg.ef_search);
    fr_index_put_u32(&b, h->n == 0 ? 0 : h->view.entry);
    fr_index_put_u32(&b, h->n == 0 ? 0 : (uint32_t)(h->view.max_level + 1));
    for (uint64_t i = 0; i < h->n; i++)
        put_slot(&b, h, i);
    enum fr_err e = fr_index_file_write(&b, path, fault);
    fr_buf_done(&b);
    return e;
}

struct body {
    struct fr_hnsw_config cfg;
    uint32_t entry, layers; /* layers = top layer + 1 */
    uint64_t n;
    unsigned char *level; /* (n) */
};

static enum fr_err read_params(struct body *b, struct fr_index_reader *r, struct fr_fault *fault)
{
    uint32_t m = fr_index_get_u32(r);
    uint32_t efc = fr_index_get_u32(r);
    uint32_t ef = fr_index_get_u32(r);

    b->entry = fr_index_get_u32(r);
    b->layers = fr_index_get_u32(r);
    if (r->failed || m < 2 || m > MAX_M || efc < 1 || efc > 4096 || ef < 1 || ef > 65536)
        return fr_index_reader_fault(r, "a parameter of the graph is out of range", fault);
    if (b->n == 0 ? b->entry != 0 || b->layers != 0
                  : b->entry >= b->n || b->layers < 1 || b->layers > MAX_LEVEL + 1)
        return fr_index_reader_fault(r, "entry point or top layer is out of range", fault);
    b->cfg.m = (int)m;
    b->cfg.ef_construction = (int)efc;
    b->cfg.ef_search = (int)ef;
    return FR_OK;
}

static void skip(struct fr_index_reader *r, uint64_t bytes)
{
    if (r->failed || r->left < bytes) {
        r->failed = true;
        return;
    }
    r->p += bytes;
    r->left -= bytes;
}

/* First pass: the shape of the whole body, and each slot's level, which links of others refer to.
 */
static enum fr_err read_levels(struct body *b, struct fr_index_reader r, struct fr_fault *fault)
{
    for (uint64_t i = 0; i < b->n; i++) {
        skip(&r, 8);
        uint32_t level = fr_index_get_u32(&r) / 2;
        skip(&r, 4 * (uint64_t)b->cfg.dim);
        if (r.failed || level >= b->layers)
            return fr_index_reader_fault(&r, "cut, or a slot above the top layer", fault);
        for (uint32_t layer = 0; layer <= level; layer++) {
            uint32_t n = fr_index_get_u32(&r);
            if (n > (uint32_t)b->cfg.m * (layer == 0 ? 2 : 1))
                return fr_index_reader_fault(&r, "more links than a slot has room for", fault);
            skip(&r, 4 * (uint64_t)n);
        }
        b->level[i] = (unsigned char)level;
    }
    if (r.failed || r.left != 0)
        return fr_index_reader_fault(&r, "cut, or bytes after the last slot", fault);
    if (b->n > 0 && b->level[b->entry] + 1u != b->layers)
        return fr_index_reader_fault(&r, "the entry point is not on the top layer", fault);
    return FR_OK;
}

/* Links of a slot, layer by layer as fr_hnsw_shim_restore() takes them. */
static enum fr_err read_links(const struct body *b,
                              uint64_t slot,
                              struct fr_index_reader *r,
                              uint32_t *out,
                              struct fr_fault *fault)
{
    for (int layer = 0; layer <= b->level[slot]; layer++) {
        uint32_t n = fr_index_get_u32(r);
        *out++ = n;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t to = fr_index_get_u32(r);
            if (to >= b->n || to == slot || b->level[to] < layer)
                return fr_index_reader_fault(
                    r, "a link leads out of the graph, to itself or above its target", fault);
            *out++ = to;
        }
    }
    return FR_OK;
}

static enum fr_err read_slots(struct fr_hnsw *h,
                              const struct body *b,
                              struct fr_index_reader *r,
                              float *v,
                              uint32_t *links,
                              struct fr_fault *fault)
{
    for (uint64_t i = 0; i < b->n; i++) {
        uint64_t label = fr_index_get_u64(r);
        bool dead = (fr_index_get_u32(r) & 1) != 0;
        fr_index_get_f32s(r, v, (size_t)b->cfg.dim);
        if (label == 0 || fr_index_check_vector(v, b->cfg.dim) != FR_OK)
            return fr_index_reader_fault(r, "label 0 or a vector not of unit length", fault);
        if (!dead && fr_index_vector(&h->base, label) != NULL)
            return fr_index_reader_fault(r, "a label that is live twice", fault);
        enum fr_err e = read_links(b, i, r, links, fault);
        if (e != FR_OK)
            return e;
        e = fr_hnsw_shim_restore(h->graph, v, b->level[i], links);
        if (e == FR_OK)
            fr_hnsw_shim_view(h->graph, &h->view);
        if (e == FR_OK)
            e = fr_hnsw_note_slot(h, label, dead);
        if (e != FR_OK)
            return fr_fault(fault, e, "index file: slot %llu", (unsigned long long)i);
    }
    return FR_OK;
}

static enum fr_err build(const struct body *b,
                         struct fr_index_reader *r,
                         struct fr_index **out,
                         struct fr_fault *fault)
{
    struct fr_index *ix = NULL;
    float *v = fr_calloc_aligned((size_t)b->cfg.dim, sizeof(*v));
    uint32_t *links = fr_malloc_array((MAX_LEVEL + 3) * ((size_t)b->cfg.m + 1), sizeof(*links));
    enum fr_err e = v == NULL || links == NULL ? FR_ENOMEM : fr_hnsw_new(&b->cfg, &ix);

    if (e != FR_OK) {
        e = fr_fault(fault, e, "index file: no room for %llu slots", (unsigned long long)b->n);
    } else {
        e = read_slots(fr_hnsw_of(ix), b, r, v, links, fault);
    }
    fr_free(v);
    fr_free(links);
    if (e != FR_OK) {
        fr_index_free(ix);
        return e;
    }
    if (b->n > 0) {
        struct fr_hnsw *h = fr_hnsw_of(ix);
        fr_hnsw_shim_set_entry(h->graph, b->entry, (int)b->layers - 1);
        fr_hnsw_shim_view(h->graph, &h->view);
    }
    *out = ix;
    return FR_OK;
}

enum fr_err
fr_hnsw_parse(struct fr_str bytes, int dim, struct fr_index **out_ix, struct fr_fault *fault)
{
    struct fr_index_head head;
    struct fr_index_reader r;
    struct body b = {.level = NULL};

    enum fr_err e = fr_index_open(bytes, FR_INDEX_KIND_HNSW, dim, &head, &r, fault);
    if (e != FR_OK)
        return e;
    b.n = head.n;
    b.cfg.dim = head.dim;
    b.cfg.capacity = head.n;
    e = read_params(&b, &r, fault);
    if (e != FR_OK)
        return e;
    b.level = fr_malloc_array(b.n + 1, 1);
    if (b.level == NULL)
        return fr_fault(fault, FR_ENOMEM, "index file: no memory");
    e = read_levels(&b, r, fault);
    if (e == FR_OK)
        e = build(&b, &r, out_ix, fault);
    fr_free(b.level);
    return e;
}

enum fr_err
fr_hnsw_load(const char *path, int dim, struct fr_index **out_ix, struct fr_fault *fault)
{
    char *bytes = NULL;
    size_t n = 0;

    enum fr_err e = fr_file_read(path, FR_INDEX_FILE_MAX, &bytes, &n, fault);
    if (e != FR_OK)
        return e;
    e = fr_hnsw_parse((struct fr_str){bytes, n}, dim, out_ix, fault);
    fr_free(bytes);
    return e;
}
