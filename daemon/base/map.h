/*
 * daemon/base/map.h - open-addressing map from non-zero 64-bit keys to 32-bit values.
 *
 * Why:   ids are keyed 64-bit hashes; tables are dense arrays indexed by what this map returns.
 *        Linear probing, load <= 0.7, backward-shift deletion (no tombstones).
 * Layer: lowest. Thread: one writer and no reader, or readers only.
 */
#ifndef FR_BASE_MAP_H
#define FR_BASE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"

#define FR_MAP_NONE UINT32_MAX

struct fr_map_slot {
    uint64_t key; /* 0 = empty */
    uint32_t value;
};

/** Owner: the caller's storage; zero-initialised is a valid empty map. */
struct fr_map {
    struct fr_map_slot *slots;
    uint64_t cap; /* 0 or a power of two */
    uint64_t n;
};

void fr_map_done(struct fr_map *m);
/** Insert or overwrite. key 0 is FR_EINVAL. @errors FR_ENOMEM: the map is unchanged. */
FR_MUST_CHECK enum fr_err fr_map_put(struct fr_map *m, uint64_t key, uint32_t value);
/** FR_MAP_NONE when absent. */
uint32_t fr_map_get(const struct fr_map *m, uint64_t key);
/** False when it was absent. */
bool fr_map_del(struct fr_map *m, uint64_t key);
/** Room for n entries without growth. */
FR_MUST_CHECK enum fr_err fr_map_reserve(struct fr_map *m, uint64_t n);
/** Forget all entries, keep the memory. */
void fr_map_clear(struct fr_map *m);

#endif
