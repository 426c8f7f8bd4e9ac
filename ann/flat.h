/*
 * ann/flat.h - the exact index: a scan over all vectors.
 *
 * The oracle of the approximate index, its buffer of fresh vectors, and the index of deterministic
 * replays. Removal moves the last row into the gap, so there are no tombstones and live == slots.
 * Layer: ann/ over daemon/base/ and models/tensor.h.
 */
#ifndef FR_ANN_FLAT_H
#define FR_ANN_FLAT_H

#include "ann/index.h"

/** @errors FR_EINVAL dim outside 1..FR_INDEX_MAX_DIM; FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_flat_new(int dim, struct fr_index **out_ix);

/**
 * Read a file of fr_index_save(). The file is not trusted: sizes, labels, norms and the checksum
 * are checked before anything is built.
 * @param dim  the dimension it must have; 0 = any
 * @errors FR_ENOTFOUND FR_EIO FR_ECORRUPT FR_EVERSION FR_EMISMATCH (dim or kind) FR_ENOMEM; the
 * fault names file and place.
 */
FR_MUST_CHECK enum fr_err
fr_flat_load(const char *path, int dim, struct fr_index **out_ix, struct fr_fault *fault);

/** Drop all entries, keep the memory. */
void fr_flat_clear(struct fr_index *ix);

#endif
