/*
 * models/vocab.h - identity to embedding row: keyed 64-bit hash -> dense row, growable.
 *
 * Row 0 is the unknown row: absent, not yet admitted, or past the cap. An id gets a row once it was
 * seen `admit` times; rows are never moved or reused here, so a table indexed by them only grows.
 *
 *   key seen   1st .. admit-1     -> counted in `waiting`, row 0
 *              admit-th           -> next free row, if rows < max_rows
 *   waiting is bounded (FR_VOCAB_WAITING x max_rows): when full it is forgotten as a whole, so a
 * rare id may need to be seen more often; counted in `forgets`.
 *
 *   index  (2^k, at most 7/10 full) u32   0 = free, else row in the low k bits, more of the key's hash above:
 *                                         a wrong row is nearly always seen without a look at its key
 *   keys   (n_rows) u64
 *
 * So a row costs 8 bytes and 6 to 11 of the index. Layer: daemon/base/ only.
 */
#ifndef FR_MODELS_VOCAB_H
#define FR_MODELS_VOCAB_H

#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/map.h"

#define FR_VOCAB_WAITING 4

/** Owner: the encoder. Thread: one writer and no reader, or readers only. */
struct fr_vocab {
    uint32_t *index;       /* (cap_index) by the key's hash, linear probing */
    uint64_t cap_index;    /* 0 or a power of two, at most 2^32 */
    struct fr_map waiting; /* key -> times seen, below admit */
    uint64_t *keys;        /* (n_rows) key of each row; keys[0] = 0 */
    uint32_t n_rows;       /* rows in use, row 0 included: >= 1 */
    uint32_t cap_rows;
    uint32_t max_rows; /* hard cap, row 0 included */
    uint32_t admit;    /* 1 = at first sight */
    uint64_t refused;  /* admissions refused by the cap */
    uint64_t forgets;
};

/** @param max_rows >= 1, @param admit >= 1. @errors FR_EINVAL FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_vocab_init(struct fr_vocab *v, uint32_t max_rows, uint32_t admit);
void fr_vocab_done(struct fr_vocab *v);

/** Row of a key; 0 when unknown or key 0. @thread any reader */
int32_t fr_vocab_row(const struct fr_vocab *v, uint64_t key);

/** Row of a key, counting and admitting it. key 0 gives row 0. @errors FR_ENOMEM (unchanged) */
FR_MUST_CHECK enum fr_err fr_vocab_see(struct fr_vocab *v, uint64_t key, int32_t *out_row);

/** Replace the contents by a copy of `keys` (row i = keys[i]; keys[0] must be 0).
 *  @errors FR_EINVAL keys[0] != 0 or a zero key; FR_EDUPLICATE; FR_ETOOLARGE past max_rows;
 *          FR_ENOMEM. The vocabulary is unchanged on error. */
FR_MUST_CHECK enum fr_err fr_vocab_load(struct fr_vocab *v, const uint64_t *keys, uint32_t n);
/** As fr_vocab_load(), but the array itself becomes the vocabulary's and *take_keys NULL; on error it stays
 *  the caller's. From fr_malloc_array() or its like. */
FR_MUST_CHECK enum fr_err fr_vocab_take(struct fr_vocab *v, uint64_t **take_keys, uint32_t n);
/** No id is admitted any more: what was counted towards admission is released. */
void fr_vocab_settle(struct fr_vocab *v);

#endif
