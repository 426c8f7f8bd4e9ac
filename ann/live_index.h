/*
 * ann/live_index.h - the published index: searched by lanes while one writer changes it.
 *
 * hnswlib does not allow a search during an insertion, so there are two graphs, published by
 * left-right; new and moved vectors sit in a small exact buffer (published the same way) that every
 * search scans too, until both graphs have them. A removed item is masked at once.
 *
 *   apply ─► buffer (visible when the call returns)
 *   maintain ─► idle graph, swap, drain, other graph ─► entry leaves the buffer
 *
 * Vectors have unit length; score = inner product. Labels are non-zero 64-bit item hashes.
 * Layer: may include daemon/base/, ann/, models/tensor.h, models/gemm.h.
 */
#ifndef FR_ANN_LIVE_INDEX_H
#define FR_ANN_LIVE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/arena.h"
#include "daemon/base/err.h"
#include "ann/index.h"

struct fr_live_index;

struct fr_live_index_config {
    int dim;             /* 1..4096 */
    int m;               /* links a node */
    int ef_construction; /* build width */
    int ef_search;       /* search width; at least k is used */
    bool flat;           /* exact search instead of graphs: deterministic replays, training, tests */
};

enum fr_ann_op_kind { FR_ANN_PUT, FR_ANN_REMOVE };

struct fr_ann_op {
    enum fr_ann_op_kind kind;
    uint64_t label;
    const float *vector; /* (dim), unit length; PUT only; copied */
};

struct fr_live_index_stats {
    uint64_t entries; /* labels a search can return */
    uint64_t pending; /* of these, in the buffer */
    uint64_t dead;    /* tombstones in a graph */
    uint64_t rebuilds;
};

/** @errors FR_EINVAL FR_ENOMEM. Owner: the caller. */
FR_MUST_CHECK enum fr_err
fr_live_index_new(const struct fr_live_index_config *cfg, struct fr_live_index **out_ix);
/** NULL is a no-op. No reader left. */
void fr_live_index_free(struct fr_live_index *ix);

/** Bulk build of an empty index, before any reader. vectors: (n, dim).
 *  @errors FR_EINVAL (label 0, not unit length) FR_ENONFINITE FR_EDUPLICATE FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_live_index_build(struct fr_live_index *ix,
                                              const uint64_t *labels,
                                              const float *vectors,
                                              uint64_t n);

/** Put and remove: searches that start after the return see all of it. All or nothing.
 *  @errors as build @thread the writer */
FR_MUST_CHECK enum fr_err
fr_live_index_apply(struct fr_live_index *ix, const struct fr_ann_op *ops, int n);

/** Bring up to `budget` buffered entries into the graphs; rebuild a graph with over 20 % dead.
 *  @param out_more  nullable: buffer not empty yet. @errors FR_ENOMEM: nothing lost
 *  @thread the writer */
FR_MUST_CHECK enum fr_err
fr_live_index_maintain(struct fr_live_index *ix, int budget, bool *out_more);

/**
 * The k best, best first; ties by smaller label.
 * @param out_hits, out_n  in the arena; fewer than k when there are fewer.
 * @errors FR_ENONFINITE FR_ENOMEM
 * @thread any; wait-free against the writer
 */
FR_MUST_CHECK enum fr_err fr_live_index_search(struct fr_live_index *ix,
                                               const float *query,
                                               uint32_t k,
                                               struct fr_arena *ar,
                                               struct fr_ann_hit **out_hits,
                                               uint32_t *out_n);

/** Inner products of the query with given labels; -2 for a label that is not in the index.
 *  @thread any */
FR_MUST_CHECK enum fr_err fr_live_index_score(struct fr_live_index *ix,
                                              const float *query,
                                              const uint64_t *labels,
                                              uint32_t n,
                                              float *out_score);

/** @thread any */
void fr_live_index_stats(struct fr_live_index *ix, struct fr_live_index_stats *out);

#endif
