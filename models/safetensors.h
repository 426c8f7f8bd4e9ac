/*
 * models/safetensors.h - read and write the safetensors format; every byte is hostile.
 *
 *   8 bytes  N, little-endian u64
 *   N bytes  JSON: {"name": {"dtype":"F32","shape":[r,c],"data_offsets":[a,b]}, ...,
 * "__metadata__":{}} rest     data; a..b relative to its start; tensors cover it without gap or
 * overlap
 *
 * Accepted types: F32, I32, I64, U64; 1 to 4 dimensions. Every F32 value must be finite.
 * Layer: daemon/base/ and models/tensor.h.
 */
#ifndef FR_MODELS_SAFETENSORS_H
#define FR_MODELS_SAFETENSORS_H

#include <stddef.h>

#include "daemon/base/arena.h"
#include "daemon/base/buf.h"
#include "daemon/base/err.h"
#include "daemon/base/json.h"
#include "daemon/base/str.h"
#include "models/tensor.h"

#define FR_ST_MAX_HEADER (1u << 20)
#define FR_ST_MAX_TENSORS 4096

/**
 * Parse a whole file.
 * @param file    the bytes, 8-aligned as fr_malloc_array() gives them; borrowed, outlives the
 * tensors.
 * @param ar      for the header and the array of tensors.
 * @param out_t   in file order, `data` into `file`, or into `ar` where the file's offset is not
 *                aligned for the type.
 * @errors FR_ESYNTAX FR_ESCHEMA FR_EMISMATCH (type) FR_ERANGE (offsets) FR_EDUPLICATE FR_EOVERFLOW
 *         FR_ETOOLARGE FR_ENONFINITE FR_ENOMEM; the fault names the tensor and the reason.
 */
FR_MUST_CHECK enum fr_err fr_safetensors_parse(struct fr_str file,
                                               struct fr_arena *ar,
                                               struct fr_tensor **out_t,
                                               int *out_n,
                                               struct fr_fault *fault);

/**
 * As fr_safetensors_parse(), with "__metadata__", which the format wants to be an object of strings.
 * @param out_meta  NULL: the file has none. In `ar` and `file`.
 * @errors also FR_ESCHEMA it is something else
 */
FR_MUST_CHECK enum fr_err fr_safetensors_parse_meta(struct fr_str file,
                                                    struct fr_arena *ar,
                                                    struct fr_tensor **out_t,
                                                    int *out_n,
                                                    const struct fr_json **out_meta,
                                                    struct fr_fault *fault);

/**
 * As fr_safetensors_parse(), from an open file of `size` bytes: every tensor into memory of its own, 64-byte
 * aligned, so that a large one stands in memory once and can be handed on.
 * @param ar       for the header and the arrays.
 * @param out_own  (n) what each out_t[i].data is, writable; fr_free() by the caller, in whatever place it has put
 *                 NULL the memory is somebody else's.
 * @errors those of fr_safetensors_parse(), FR_EIO
 */
FR_MUST_CHECK enum fr_err fr_safetensors_read(int fd,
                                              size_t size,
                                              struct fr_arena *ar,
                                              struct fr_tensor **out_t,
                                              void ***out_own,
                                              int *out_n,
                                              struct fr_fault *fault);

/** A member of "__metadata__". Borrowed. */
struct fr_st_note {
    const char *key;
    struct fr_str text;
};

/**
 * Append what stands before the data: length and header, padded with spaces so that data is 8-aligned. The tensors'
 * bytes follow it in their order.
 * @errors as fr_safetensors_write(); FR_ETOOLARGE a header that could not be read again
 */
FR_MUST_CHECK enum fr_err fr_safetensors_head(const struct fr_tensor *t,
                                              int n,
                                              const struct fr_st_note *notes,
                                              int n_notes,
                                              struct fr_buf *out);

/** Append header (padded with spaces so that data is 8-aligned) and data to `out`.
 *  @errors FR_EINVAL (names, dims) FR_ENONFINITE FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_safetensors_write(const struct fr_tensor *t, int n, struct fr_buf *out);

#endif
