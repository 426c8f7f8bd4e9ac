/*
 * ann/index.h - the index seam: one searchable set of (label, vector), exact or approximate.
 *
 *   flat   exact scan; the oracle, and the index of deterministic replays
 *   hnsw   a graph of hnswlib behind a C shim
 *
 * Vectors have unit length; score = inner product. Labels are non-zero 64-bit item hashes. An index
 * is not safe against its own writer: ann/live_index.h publishes two of them to readers.
 * Layer: may include daemon/base/, ann/, models/tensor.h, models/gemm.h.
 */
#ifndef FR_ANN_INDEX_H
#define FR_ANN_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/arena.h"
#include "daemon/base/err.h"

#define FR_INDEX_MAX_DIM 4096
/* |‖v‖² - 1| allowed: float rounding of a normalised vector is far below it */
#define FR_INDEX_NORM_TOLERANCE 1e-3f

struct fr_index;

struct fr_ann_hit {
    uint64_t label;
    float score;
};

struct fr_index_stats {
    uint64_t live;  /* labels a search can return */
    uint64_t dead;  /* tombstones that still take part in the graph */
    uint64_t slots; /* live + dead: the range of fr_index_row() */
};

/** Labels a search may return; a rejected one still guides the walk. @thread the searching one */
typedef bool (*fr_index_filter_fn)(void *ctx, uint64_t label);

/**
 * One implementation. Arguments are checked by the fr_index_*() functions below; an implementation
 * sees valid labels, finite unit vectors and k >= 1 only. Static storage.
 */
struct fr_index_ops {
    const char *name;
    /* label is absent. On failure the index is as before, or broken (see fr_index_put) */
    enum fr_err (*add)(struct fr_index *ix, uint64_t label, const float *v);
    /* label is present */
    enum fr_err (*update)(struct fr_index *ix, uint64_t label, const float *v);
    bool (*remove)(struct fr_index *ix, uint64_t label); /* false: absent; cannot fail */
    const float *(*vector)(const struct fr_index *ix, uint64_t label);              /* or NULL */
    const float *(*row)(const struct fr_index *ix, uint64_t slot, uint64_t *label); /* or NULL */
    enum fr_err (*reserve)(struct fr_index *ix, uint64_t slots);
    enum fr_err (*search)(const struct fr_index *ix,
                          const float *query,
                          uint32_t k,
                          fr_index_filter_fn filter,
                          void *filter_ctx,
                          struct fr_arena *ar,
                          struct fr_ann_hit *hits, /* room for k */
                          uint32_t *out_n);
    void (*stats)(const struct fr_index *ix, struct fr_index_stats *out);
    enum fr_err (*unreachable)(const struct fr_index *ix, uint64_t *out);
    enum fr_err (*clone)(const struct fr_index *ix, struct fr_index **out_ix);
    enum fr_err (*save)(const struct fr_index *ix, const char *path, struct fr_fault *fault);
    void (*free)(struct fr_index *ix);
};

/** First member of every implementation. Owner: the caller of the maker; release by
 * fr_index_free(). Thread: one writer and no reader, or readers only. */
struct fr_index {
    const struct fr_index_ops *ops;
    int dim;
};

/** A vector as an index takes it. @errors FR_ENONFINITE; FR_EINVAL not unit length. @thread any */
FR_MUST_CHECK enum fr_err fr_index_check_vector(const float *v, int dim);

/** @errors FR_EINVAL (label 0, not unit length) FR_ENONFINITE FR_EDUPLICATE, and as put */
FR_MUST_CHECK enum fr_err fr_index_add(struct fr_index *ix, uint64_t label, const float *v);
/** @errors FR_EINVAL FR_ENONFINITE FR_ENOTFOUND, and as put */
FR_MUST_CHECK enum fr_err fr_index_update(struct fr_index *ix, uint64_t label, const float *v);
/**
 * Add or update.
 * @errors FR_EINVAL FR_ENONFINITE as above; FR_EFULL more slots than an index can hold;
 *         FR_ENOMEM. After FR_ENOMEM or FR_EINTERNAL an approximate index may be broken: it then
 *         refuses changes with FR_ESTATE and must be replaced (searches stay safe).
 */
FR_MUST_CHECK enum fr_err fr_index_put(struct fr_index *ix, uint64_t label, const float *v);
/** False when it was absent. Cannot fail, so it can undo and mask. */
bool fr_index_remove(struct fr_index *ix, uint64_t label);
/** The stored vector, NULL when absent; valid until the next change. */
const float *fr_index_vector(const struct fr_index *ix, uint64_t label);
/** Vector and label of a slot below stats.slots; NULL when the slot is dead. */
const float *fr_index_row(const struct fr_index *ix, uint64_t slot, uint64_t *out_label);
/** Room for `slots` slots in all without growth. @errors FR_EFULL FR_ENOMEM: unchanged */
FR_MUST_CHECK enum fr_err fr_index_reserve(struct fr_index *ix, uint64_t slots);

/**
 * The k best by inner product, best first, ties by smaller label.
 *
 * @param query   (dim), finite; any length (a longer query only scales the scores).
 * @param filter  nullable
 * @param ar      scratch and result; only the result stays in it.
 * @param out_n   fewer than k when there are fewer; 0 hits are FR_OK.
 * @errors FR_ENONFINITE FR_ENOMEM
 * @thread any number, while nobody writes
 */
FR_MUST_CHECK enum fr_err fr_index_search(const struct fr_index *ix,
                                          const float *query,
                                          uint32_t k,
                                          fr_index_filter_fn filter,
                                          void *filter_ctx,
                                          struct fr_arena *ar,
                                          struct fr_ann_hit **out_hits,
                                          uint32_t *out_n);

int fr_index_dim(const struct fr_index *ix);
uint64_t fr_index_size(const struct fr_index *ix);
void fr_index_stats(const struct fr_index *ix, struct fr_index_stats *out);
/** Live labels that no walk from the entry point reaches; O(size). @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_index_unreachable(const struct fr_index *ix, uint64_t *out_n);
/** An independent copy, by memory copy (no rebuild). @errors FR_ENOMEM FR_ESTATE (broken) */
FR_MUST_CHECK enum fr_err fr_index_clone(const struct fr_index *ix, struct fr_index **out_ix);
/** Write to `path`, atomically; read back by the maker of the kind. @errors FR_EIO FR_ENOMEM
 * FR_ESTATE */
FR_MUST_CHECK enum fr_err
fr_index_save(const struct fr_index *ix, const char *path, struct fr_fault *fault);
/** NULL is a no-op. */
void fr_index_free(struct fr_index *ix);

#endif
