/*
 * ann/hnsw_shim.h - hnswlib's graph behind C functions that never throw.
 *
 * The shim builds graphs; searching is our own code (hnsw.c) over the view below: it takes its ef
 * as an argument, allocates in the caller's arena, takes no lock and skips dead slots. Slots are
 * numbered 0, 1, ... in order of insertion. hnswlib's own delete marks, labels, resize and file
 * format are not used: resize frees its pool before it can throw, an insertion beside marked points
 * can end with an empty candidate list, and its files are trusted blindly (0.6.2 and 0.8.0).
 *
 * A failed add leaves the graph broken: safe to read and to free, not to change.
 * Layer: ann/ only; the .cpp is the only C++ file and the only place that includes hnswlib.
 */
#ifndef FR_ANN_HNSW_SHIM_H
#define FR_ANN_HNSW_SHIM_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/err.h"

#ifdef __cplusplus
extern "C" {
#define FR_SHIM_NOEXCEPT noexcept
#else
#define FR_SHIM_NOEXCEPT
#endif

struct fr_hnsw_graph;

struct fr_hnsw_params {
    int dim;
    int m;               /* 2..256 links a node and layer, 2m at layer 0 */
    int ef_construction; /* >= 1 */
    uint64_t seed;       /* of the layer draw */
};

/**
 * Where the graph lies in memory, for reading. Valid until the next call that changes the graph.
 *
 *   level0 + slot * stride:  u32 count | u32 link[2m] | f32 vector[dim] | u64 label (= slot)
 *   upper[slot] + (layer - 1) * upper_stride:  u32 count | u32 link[m]
 */
struct fr_hnsw_view {
    const char *level0;
    size_t stride, vec_offset;
    char *const *upper;
    size_t upper_stride;
    const int *level;  /* (n) top layer of each slot */
    uint64_t n;        /* slots in use */
    uint64_t capacity; /* slots there is room for */
    uint32_t entry;    /* valid if n > 0 */
    int max_level;
};

/** @errors FR_EINVAL FR_ENOMEM FR_EINTERNAL (any other exception) */
FR_MUST_CHECK enum fr_err fr_hnsw_shim_new(const struct fr_hnsw_params *p,
                                           uint64_t capacity,
                                           struct fr_hnsw_graph **out) FR_SHIM_NOEXCEPT;
/** NULL is a no-op. */
void fr_hnsw_shim_free(struct fr_hnsw_graph *g) FR_SHIM_NOEXCEPT;
/** Insert a vector into the next slot. @errors FR_EFULL: unchanged; FR_ENOMEM FR_EINTERNAL: broken
 */
FR_MUST_CHECK enum fr_err fr_hnsw_shim_add(struct fr_hnsw_graph *g,
                                           const float *v) FR_SHIM_NOEXCEPT;
/** Grow to `capacity` slots (at least those in use). @errors FR_EINVAL FR_ENOMEM: unchanged */
FR_MUST_CHECK enum fr_err fr_hnsw_shim_resize(struct fr_hnsw_graph *g,
                                              uint64_t capacity) FR_SHIM_NOEXCEPT;
/** Copy with the same slots and layer draws to come. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_hnsw_shim_clone(const struct fr_hnsw_graph *g,
                                             struct fr_hnsw_graph **out) FR_SHIM_NOEXCEPT;
void fr_hnsw_shim_view(const struct fr_hnsw_graph *g, struct fr_hnsw_view *out) FR_SHIM_NOEXCEPT;

/**
 * A graph from checked parts (hnsw_file.c), slot by slot in order, then entry and top layer.
 * @param links  for layer 0..level: u32 count, then that many slots; all below the final n
 * @errors FR_EINVAL a count above the layer's limit; FR_ENOMEM; FR_EFULL
 */
FR_MUST_CHECK enum fr_err fr_hnsw_shim_restore(struct fr_hnsw_graph *g,
                                               const float *v,
                                               int level,
                                               const uint32_t *links) FR_SHIM_NOEXCEPT;
void fr_hnsw_shim_set_entry(struct fr_hnsw_graph *g, uint32_t entry, int level) FR_SHIM_NOEXCEPT;

/** hnswlib's own search, as the yardstick of the benchmark: labels nearest first. Not thread-safe.
 *  @errors FR_ENOMEM FR_EINTERNAL */
FR_MUST_CHECK enum fr_err fr_hnsw_shim_raw_search(struct fr_hnsw_graph *g,
                                                  const float *q,
                                                  uint32_t k,
                                                  uint32_t ef,
                                                  uint64_t *out_slot,
                                                  uint32_t *out_n) FR_SHIM_NOEXCEPT;

/** Test hook: the n-th distance of an insertion from now throws std::bad_alloc (0 = off). */
void fr_hnsw_shim_fail_at(uint64_t nth) FR_SHIM_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
