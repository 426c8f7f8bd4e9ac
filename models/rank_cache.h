/*
 * models/rank_cache.h - what a thread keeps of items between queries of one ranker.
 *
 *   slots of an item ──hash──► set of WAYS entries ──► key (slots), payload (floats)
 *
 * Why:   an item's part of a ranker's first layer depends on the item and the weights only
 *        (DESIGN 7). The key is the item's slots themselves, so an entry can't be stale: changed
 *        inputs are another key, and another model empties the cache.
 * Bound: one block of memory, given at the start; a full set gives up an entry that the query in
 *        hand does not use.
 * Layer: daemon/base/ and models/. Callers of the seam only make it and hand it over (model.h).
 */
#ifndef FR_MODELS_RANK_CACHE_H
#define FR_MODELS_RANK_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "models/model.h"

struct fr_rank_cache_stats {
    uint64_t hits, misses;
};

/**
 * @param bytes  of the whole cache; one too small for a single set is never used.
 * @errors FR_EINVAL FR_ENOMEM. Owner: the caller, fr_rank_cache_free(). Thread: one at a time.
 */
FR_MUST_CHECK enum fr_err fr_rank_cache_new(size_t bytes, struct fr_rank_cache **out_c);
/** NULL is a no-op. */
void fr_rank_cache_free(struct fr_rank_cache *c);
/** Lookups since the start. @thread the cache's own */
void fr_rank_cache_stats(const struct fr_rank_cache *c, struct fr_rank_cache_stats *out);

/**
 * For models: begin a round of at most a few hundred lookups. Entries of another `serial` or of
 * other sizes are forgotten.
 * @param serial   of the model, never used twice (struct fr_model).
 * @param n_slots  of an item. @param n_floats  of a payload.
 * @return false if not even one set fits: do without
 */
bool fr_rank_cache_begin(struct fr_rank_cache *c,
                         uint64_t serial,
                         uint32_t n_slots,
                         size_t n_floats);

/** Before the lookup of an item in the round: what it reads of the cache is fetched from memory meanwhile.
 *  @return the hash that fr_rank_cache_find() wants */
uint64_t fr_rank_cache_soon(const struct fr_rank_cache *c, const struct fr_slot *slots);

/**
 * The payload of an item.
 * @param out_payload  64-byte aligned, valid in this round; NULL if all of its set is in use.
 * @return true: there and filled (or about to be: the same item came before in this round); false:
 *         the caller fills it before the round ends.
 */
bool fr_rank_cache_find(struct fr_rank_cache *c, const struct fr_slot *slots, uint64_t hash, float **out_payload);

#endif
