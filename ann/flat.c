/*
 * ann/flat.c - exact index: labels and vectors in two dense arrays, a map from label to row.
 *
 * File body (see index_file.h): n times u64 label; n times dim f32.
 */
#include "ann/flat.h"

#include <string.h>

#include "ann/index_file.h"
#include "ann/topk.h"
#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/base/map.h"
#include "models/tensor.h"

/** Owner: fr_flat_new(). Thread: as struct fr_index. */
struct flat {
    struct fr_index base;
    struct fr_map rows; /* label -> row */
    uint64_t *label;    /* (cap) */
    float *vec;         /* (cap, dim) */
    uint64_t n, cap;    /* cap < FR_MAP_NONE */
};

static struct flat *flat_of(struct fr_index *ix)
{
    return (struct flat *)ix;
}

static const struct flat *flat_in(const struct fr_index *ix)
{
    return (const struct flat *)ix;
}

static float *vec_at(const struct flat *f, uint64_t row)
{
    return f->vec + row * (uint64_t)f->base.dim;
}

static void flat_free(struct fr_index *ix)
{
    struct flat *f = flat_of(ix);
    fr_map_done(&f->rows);
    fr_free(f->label);
    fr_free(f->vec);
    fr_free(f);
}

static enum fr_err flat_reserve(struct fr_index *ix, uint64_t want)
{
    struct flat *f = flat_of(ix);
    size_t floats;

    if (want <= f->cap)
        return FR_OK;
    if (want >= FR_MAP_NONE || !fr_mul_size((size_t)want, (size_t)ix->dim, &floats))
        return FR_EFULL;
    enum fr_err e = fr_map_reserve(&f->rows, want);
    if (e != FR_OK)
        return e;
    uint64_t *label = fr_realloc_array(f->label, want, sizeof(*label));
    if (label == NULL)
        return FR_ENOMEM;
    f->label = label;
    float *vec = fr_calloc_aligned(floats, sizeof(*vec));
    if (vec == NULL)
        return FR_ENOMEM;
    if (f->n > 0)
        memcpy(vec, f->vec, f->n * (uint64_t)ix->dim * sizeof(*vec));
    fr_free(f->vec);
    f->vec = vec;
    f->cap = want;
    return FR_OK;
}

static enum fr_err flat_add(struct fr_index *ix, uint64_t label, const float *v)
{
    struct flat *f = flat_of(ix);

    if (f->n == f->cap) {
        uint64_t want = f->cap < 16 ? 16 : f->cap + f->cap / 2;
        enum fr_err e = flat_reserve(ix, want < FR_MAP_NONE ? want : FR_MAP_NONE - 1);
        if (e != FR_OK)
            return e;
        if (f->n == f->cap)
            return FR_EFULL;
    }
    enum fr_err e = fr_map_put(&f->rows, label, (uint32_t)f->n);
    if (e != FR_OK)
        return e;
    f->label[f->n] = label;
    memcpy(vec_at(f, f->n), v, (size_t)ix->dim * sizeof(*v));
    f->n++;
    return FR_OK;
}

static enum fr_err flat_update(struct fr_index *ix, uint64_t label, const float *v)
{
    struct flat *f = flat_of(ix);
    memcpy(vec_at(f, fr_map_get(&f->rows, label)), v, (size_t)ix->dim * sizeof(*v));
    return FR_OK;
}

static bool flat_remove(struct fr_index *ix, uint64_t label)
{
    struct flat *f = flat_of(ix);
    uint32_t row = fr_map_get(&f->rows, label);

    if (row == FR_MAP_NONE)
        return false;
    (void)fr_map_del(&f->rows, label);
    uint64_t last = --f->n;
    if (row != last) {
        f->label[row] = f->label[last];
        memcpy(vec_at(f, row), vec_at(f, last), (size_t)ix->dim * sizeof(float));
        enum fr_err e = fr_map_put(&f->rows, f->label[row], row);
        (void)e; /* overwrites a present key: no growth, cannot fail */
    }
    return true;
}

static const float *flat_vector(const struct fr_index *ix, uint64_t label)
{
    uint32_t row = fr_map_get(&flat_in(ix)->rows, label);
    return row == FR_MAP_NONE ? NULL : vec_at(flat_in(ix), row);
}

static const float *flat_row(const struct fr_index *ix, uint64_t slot, uint64_t *label)
{
    *label = flat_in(ix)->label[slot];
    return vec_at(flat_in(ix), slot);
}

static enum fr_err flat_search(const struct fr_index *ix,
                               const float *query,
                               uint32_t k,
                               fr_index_filter_fn filter,
                               void *filter_ctx,
                               struct fr_arena *ar,
                               struct fr_ann_hit *hits,
                               uint32_t *out_n)
{
    const struct flat *f = flat_in(ix);
    struct fr_topk best = {.hit = hits, .cap = k};

    (void)ar;
    for (uint64_t i = 0; i < f->n; i++) {
        float score = fr_dot(query, vec_at(f, i), (size_t)ix->dim);
        if (!fr_topk_wants(&best, score))
            continue;
        if (filter == NULL || filter(filter_ctx, f->label[i]))
            fr_topk_push(&best, (struct fr_ann_hit){f->label[i], score});
    }
    fr_topk_sort(&best);
    *out_n = best.n;
    return FR_OK;
}

static void flat_stats(const struct fr_index *ix, struct fr_index_stats *out)
{
    *out = (struct fr_index_stats){.live = flat_in(ix)->n, .slots = flat_in(ix)->n};
}

static enum fr_err flat_unreachable(const struct fr_index *ix, uint64_t *out)
{
    (void)ix;
    *out = 0;
    return FR_OK;
}

static enum fr_err flat_clone(const struct fr_index *ix, struct fr_index **out_ix)
{
    const struct flat *f = flat_in(ix);
    struct fr_index *copy;

    enum fr_err e = fr_flat_new(ix->dim, &copy);
    if (e != FR_OK)
        return e;
    e = fr_index_reserve(copy, f->n);
    for (uint64_t i = 0; i < f->n && e == FR_OK; i++)
        e = flat_add(copy, f->label[i], vec_at(f, i));
    if (e != FR_OK)
        flat_free(copy);
    else
        *out_ix = copy;
    return e;
}

static enum fr_err flat_save(const struct fr_index *ix, const char *path, struct fr_fault *fault)
{
    const struct flat *f = flat_in(ix);
    struct fr_buf b;

    fr_buf_init(&b);
    fr_index_put_head(
        &b, &(struct fr_index_head){.kind = FR_INDEX_KIND_FLAT, .dim = ix->dim, .n = f->n});
    for (uint64_t i = 0; i < f->n; i++)
        fr_index_put_u64(&b, f->label[i]);
    fr_index_put_f32s(&b, f->vec, f->n * (uint64_t)ix->dim);
    enum fr_err e = fr_index_file_write(&b, path, fault);
    fr_buf_done(&b);
    return e;
}

static const struct fr_index_ops flat_ops = {
    .name = "flat",
    .add = flat_add,
    .update = flat_update,
    .remove = flat_remove,
    .vector = flat_vector,
    .row = flat_row,
    .reserve = flat_reserve,
    .search = flat_search,
    .stats = flat_stats,
    .unreachable = flat_unreachable,
    .clone = flat_clone,
    .save = flat_save,
    .free = flat_free,
};

enum fr_err fr_flat_new(int dim, struct fr_index **out_ix)
{
    if (dim < 1 || dim > FR_INDEX_MAX_DIM)
        return FR_EINVAL;
    struct flat *f = fr_calloc(1, sizeof(*f));
    if (f == NULL)
        return FR_ENOMEM;
    f->base = (struct fr_index){.ops = &flat_ops, .dim = dim};
    *out_ix = &f->base;
    return FR_OK;
}

void fr_flat_clear(struct fr_index *ix)
{
    fr_map_clear(&flat_of(ix)->rows);
    flat_of(ix)->n = 0;
}

/* labels and vectors are two runs, so the vector run is read by a second reader */
static enum fr_err
load_rows(struct fr_index *ix, struct fr_index_reader *labels, uint64_t n, struct fr_fault *fault)
{
    struct fr_index_reader vecs = *labels;
    uint64_t row_bytes = 8 + 4 * (uint64_t)ix->dim;
    float *v = fr_calloc_aligned((size_t)ix->dim, sizeof(*v));
    enum fr_err e = FR_OK;

    if (v == NULL)
        return fr_fault(fault, FR_ENOMEM, "index file: no memory");
    if (labels->left / row_bytes != n || labels->left % row_bytes != 0) {
        e = fr_index_reader_fault(labels, "row count and size of the body disagree", fault);
        goto out;
    }
    vecs.p += 8 * n;
    vecs.left -= 8 * n;
    e = fr_index_reserve(ix, n);
    for (uint64_t i = 0; i < n && e == FR_OK; i++) {
        uint64_t label = fr_index_get_u64(labels);
        fr_index_get_f32s(&vecs, v, (size_t)ix->dim);
        e = fr_index_add(ix, label, v);
        if (e != FR_OK && e != FR_ENOMEM)
            e = fr_index_reader_fault(
                labels, "label 0, a label twice, or a vector that is not of unit length", fault);
    }
    if (e == FR_ENOMEM || e == FR_EFULL)
        e = fr_fault(fault, e, "index file: no memory for %llu rows", (unsigned long long)n);
out:
    fr_free(v);
    return e;
}

enum fr_err
fr_flat_load(const char *path, int dim, struct fr_index **out_ix, struct fr_fault *fault)
{
    char *bytes = NULL;
    size_t n = 0;
    struct fr_index_head head;
    struct fr_index_reader r;
    struct fr_index *ix = NULL;

    enum fr_err e = fr_file_read(path, FR_INDEX_FILE_MAX, &bytes, &n, fault);
    if (e != FR_OK)
        return e;
    e = fr_index_open((struct fr_str){bytes, n}, FR_INDEX_KIND_FLAT, dim, &head, &r, fault);
    if (e == FR_OK) {
        e = fr_flat_new(head.dim, &ix);
        if (e == FR_OK)
            e = load_rows(ix, &r, head.n, fault);
    }
    fr_free(bytes);
    if (e != FR_OK)
        fr_index_free(ix);
    else
        *out_ix = ix;
    return e;
}
