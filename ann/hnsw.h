/*
 * ann/hnsw.h - the approximate index: a hierarchical navigable small world graph.
 *
 * hnswlib inserts (ann/hnsw_shim.h), our own walk searches: ef is an argument of the walk, scratch
 * lies in the caller's arena, no lock is taken, and scores come from the kernels dispatched at run
 * time. An update is a tombstone and an insertion into a new slot; a tombstone guides the walk and
 * is never returned. Whoever owns the index rebuilds it when tombstones pile up.
 *
 * Source: Malkov & Yashunin 2016, arXiv:1603.09320, algorithms 1, 2, 5.
 * Layer:  ann/ over daemon/base/ and models/tensor.h.
 */
#ifndef FR_ANN_HNSW_H
#define FR_ANN_HNSW_H

#include "ann/index.h"
#include "daemon/base/str.h"

struct fr_hnsw_config {
    int dim;             /* 1..FR_INDEX_MAX_DIM */
    int m;               /* 2..256 */
    int ef_construction; /* 1..4096 */
    int ef_search;       /* 1..65536; at least k is used */
    uint64_t capacity;   /* slots to make room for; 0 = small, it grows */
};

/** @errors FR_EINVAL FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_hnsw_new(const struct fr_hnsw_config *cfg, struct fr_index **out_ix);

/** Search width from now on. @thread the writer, while nobody searches */
void fr_hnsw_set_ef(struct fr_index *ix, int ef_search);

/** A new index of the same parameters with room for `capacity` slots. @errors FR_EINVAL FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err
fr_hnsw_new_like(const struct fr_index *ix, uint64_t capacity, struct fr_index **out_ix);

/**
 * Read a file of fr_index_save(), which is not trusted: sizes, labels, vectors, every link, the
 * layers and the checksum are checked before hnswlib sees any of it.
 * @param dim  the dimension it must have; 0 = any
 * @errors FR_ENOTFOUND FR_EIO FR_ECORRUPT FR_EVERSION FR_EMISMATCH FR_ENOMEM; the fault names the
 * place
 */
FR_MUST_CHECK enum fr_err
fr_hnsw_load(const char *path, int dim, struct fr_index **out_ix, struct fr_fault *fault);
/** As fr_hnsw_load(), from memory. */
FR_MUST_CHECK enum fr_err
fr_hnsw_parse(struct fr_str bytes, int dim, struct fr_index **out_ix, struct fr_fault *fault);

#endif
