/*
 * ann/index.c - argument checks of the seam, the same for every implementation.
 */
#include "ann/index.h"

#include <math.h>
#include <stddef.h>

#include "models/tensor.h"

enum fr_err fr_index_check_vector(const float *v, int dim)
{
    if (v == NULL || dim < 1)
        return FR_EINVAL;
    if (!fr_all_finite(v, (size_t)dim))
        return FR_ENONFINITE;
    float n2 = fr_dot(v, v, (size_t)dim);
    /* a square may overflow to infinity, which the comparison must not let through */
    if (!fr_is_finite(n2) || fabsf(n2 - 1.0f) > FR_INDEX_NORM_TOLERANCE)
        return FR_EINVAL;
    return FR_OK;
}

static enum fr_err check_entry(const struct fr_index *ix, uint64_t label, const float *v)
{
    return label == 0 ? FR_EINVAL : fr_index_check_vector(v, ix->dim);
}

enum fr_err fr_index_add(struct fr_index *ix, uint64_t label, const float *v)
{
    enum fr_err e = check_entry(ix, label, v);
    if (e != FR_OK)
        return e;
    return ix->ops->vector(ix, label) != NULL ? FR_EDUPLICATE : ix->ops->add(ix, label, v);
}

enum fr_err fr_index_update(struct fr_index *ix, uint64_t label, const float *v)
{
    enum fr_err e = check_entry(ix, label, v);
    if (e != FR_OK)
        return e;
    return ix->ops->vector(ix, label) == NULL ? FR_ENOTFOUND : ix->ops->update(ix, label, v);
}

enum fr_err fr_index_put(struct fr_index *ix, uint64_t label, const float *v)
{
    enum fr_err e = check_entry(ix, label, v);
    if (e != FR_OK)
        return e;
    if (ix->ops->vector(ix, label) != NULL)
        return ix->ops->update(ix, label, v);
    return ix->ops->add(ix, label, v);
}

bool fr_index_remove(struct fr_index *ix, uint64_t label)
{
    return label != 0 && ix->ops->remove(ix, label);
}

const float *fr_index_vector(const struct fr_index *ix, uint64_t label)
{
    return label == 0 ? NULL : ix->ops->vector(ix, label);
}

const float *fr_index_row(const struct fr_index *ix, uint64_t slot, uint64_t *out_label)
{
    return ix->ops->row(ix, slot, out_label);
}

enum fr_err fr_index_reserve(struct fr_index *ix, uint64_t slots)
{
    return ix->ops->reserve(ix, slots);
}

enum fr_err fr_index_search(const struct fr_index *ix,
                            const float *query,
                            uint32_t k,
                            fr_index_filter_fn filter,
                            void *filter_ctx,
                            struct fr_arena *ar,
                            struct fr_ann_hit **out_hits,
                            uint32_t *out_n)
{
    struct fr_index_stats st;
    uint32_t n = 0;

    if (!fr_all_finite(query, (size_t)ix->dim))
        return FR_ENONFINITE;
    ix->ops->stats(ix, &st);
    if (k > st.live)
        k = (uint32_t)st.live;
    struct fr_ann_hit *hits = fr_arena_array(ar, k == 0 ? 1 : k, sizeof(*hits));
    if (hits == NULL)
        return FR_ENOMEM;
    if (k > 0) {
        struct fr_arena_mark mark = fr_arena_mark(ar);
        enum fr_err e = ix->ops->search(ix, query, k, filter, filter_ctx, ar, hits, &n);
        fr_arena_release(ar, mark);
        if (e != FR_OK)
            return e;
    }
    *out_hits = hits;
    *out_n = n;
    return FR_OK;
}

int fr_index_dim(const struct fr_index *ix)
{
    return ix->dim;
}

uint64_t fr_index_size(const struct fr_index *ix)
{
    struct fr_index_stats st;
    ix->ops->stats(ix, &st);
    return st.live;
}

void fr_index_stats(const struct fr_index *ix, struct fr_index_stats *out)
{
    ix->ops->stats(ix, out);
}

enum fr_err fr_index_unreachable(const struct fr_index *ix, uint64_t *out_n)
{
    return ix->ops->unreachable(ix, out_n);
}

enum fr_err fr_index_clone(const struct fr_index *ix, struct fr_index **out_ix)
{
    return ix->ops->clone(ix, out_ix);
}

enum fr_err fr_index_save(const struct fr_index *ix, const char *path, struct fr_fault *fault)
{
    return ix->ops->save(ix, path, fault);
}

void fr_index_free(struct fr_index *ix)
{
    if (ix != NULL)
        ix->ops->free(ix);
}
