/*
 * features/seen.h - the bounded set of items a user has seen (repeat policy `forever`).
 *
 * The set is the newest `cap` of a list without repeats; the oldest falls out and is counted. The
 * stored bytes are kept as they are and walked, new items are appended in the arena, so a batch
 * that does not touch the set pays nothing. Nothing that a struct fr_seen refers to is ever changed
 * in place, so a copy of the struct is the set as it stood: that is what a cut keeps.
 *
 *   list = [ stored bytes: base_n strings ][ added in this batch: added_n ], oldest first
 *   set  = the last `cap` of the list
 *
 * Record (MessagePack, one map, key `s:` of the user; see user_codec.h for the type rules):
 *   {"v": 1, "x": items that fell out since the beginning, "s": [item id, ...] oldest first}
 *
 * Layer: features; includes daemon/base/ and features/ only.
 */
#ifndef FR_FEATURES_SEEN_H
#define FR_FEATURES_SEEN_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/arena.h"
#include "daemon/base/buf.h"
#include "daemon/base/err.h"
#include "daemon/base/hash.h"
#include "daemon/base/str.h"

#define FR_MAX_SEEN_STORED 65536 /* items in a record; more is corrupt */

/** Owner: the user it belongs to; zero-initialised is an empty set. Thread: one at a time. */
struct fr_seen {
    struct fr_str base; /* the encoded strings of the stored record; borrowed */
    uint32_t base_n;
    struct fr_str *added; /* in the arena */
    uint32_t added_n;
    uint32_t added_cap;
    uint64_t evicted; /* stored x */
    uint32_t cap;     /* spec.seen_cap; 0 = switched off */
    bool dirty;       /* the record must be written */
};

/** Membership test by keyed hash. Owner: the arena. Immutable. */
struct fr_seen_filter {
    uint64_t *slot; /* open addressing, 0 = empty */
    uint64_t mask;  /* slots - 1 */
    uint32_t n;
};

/** Empty set. */
void fr_seen_init(struct fr_seen *s, uint32_t cap);

/** Forget everything; the record must be written, unless the set is switched off (cap 0): then there
 *  is none. Copies keep what they had. */
void fr_seen_clear(struct fr_seen *s);

/**
 * Take over a stored record (borrowed: it must live as long as `s`). An empty string is an empty
 * set.
 * @errors FR_ECORRUPT: `s` untouched, `fault` says where
 */
FR_MUST_CHECK enum fr_err
fr_seen_decode(struct fr_seen *s, uint32_t cap, struct fr_str record, struct fr_fault *fault);

/**
 * As fr_seen_decode(), for bytes that fr_seen_encode() wrote and that never left this process (a
 * lane's cache): the list is not checked, so this costs the same for any length.
 * @errors FR_ECORRUPT when the bytes cannot be ours
 */
FR_MUST_CHECK enum fr_err
fr_seen_adopt(struct fr_seen *s, uint32_t cap, struct fr_str record, struct fr_fault *fault);

/** Append the record to `out`; the caller checks fr_buf_err(). */
void fr_seen_encode(const struct fr_seen *s, struct fr_buf *out);

/** Add an item that is not in it. `id` is copied. @errors FR_ENOMEM: unchanged */
FR_MUST_CHECK enum fr_err
fr_seen_add(struct fr_seen *s, struct fr_arena *ar, struct fr_str id, bool *out_added);

/** Is `id` in the set? O(set). */
bool fr_seen_has(const struct fr_seen *s, struct fr_str id);

/** Number of items in the set. */
uint32_t fr_seen_size(const struct fr_seen *s);

/** Items that have fallen out since the beginning, as the record will say. */
uint64_t fr_seen_evicted(const struct fr_seen *s);

/** The i-th oldest id of the set; false when i >= size. For readers and tests. O(i). */
bool fr_seen_at(const struct fr_seen *s, uint32_t i, struct fr_str *out_id);

/** Hash filter of the set. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_seen_filter_build(const struct fr_seen *s,
                                               struct fr_hash_key key,
                                               struct fr_arena *ar,
                                               struct fr_seen_filter *out);

/** `item` = fr_id_hash() of the id. @thread any reader */
bool fr_seen_filter_has(const struct fr_seen_filter *f, uint64_t item);

#endif
