/*
 * daemon/pipeline/user_cache.h - the records of a partition's recent users, as committed.
 *
 * Holds encoded bytes, so a hit costs one decode and no round trip. Emptied whenever the partition is
 * taken (another owner, or an older Redis, may have written in between). Bounded; when full, a record
 * that was not used since the hand last came by goes (CLOCK).
 */
#ifndef FR_PIPELINE_USER_CACHE_H
#define FR_PIPELINE_USER_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/map.h"
#include "daemon/base/str.h"

struct fr_cached_user {
    uint64_t user;  /* keyed hash, 0 = free */
    char *bytes;    /* record, then seen record */
    uint32_t record_n, seen_n;
    bool used;
};

/** Owner: the partition; zeroed with `max` set is an empty cache. Thread: the lane's. */
struct fr_user_cache {
    struct fr_map map;
    struct fr_cached_user *entry;
    uint32_t n, cap, max, hand;
};

void fr_user_cache_done(struct fr_user_cache *c);
/** Forget everything, keep `max`. */
void fr_user_cache_clear(struct fr_user_cache *c);

/** False when absent. The strings are valid until the next put; empty = the user has no record. */
bool fr_user_cache_get(struct fr_user_cache *c,
                       uint64_t user,
                       struct fr_str *out_record,
                       struct fr_str *out_seen);

/** Remember (copied). Without memory the user is simply not cached. */
void fr_user_cache_put(struct fr_user_cache *c, uint64_t user, struct fr_str record, struct fr_str seen);

#endif
