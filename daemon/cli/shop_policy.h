/*
 * daemon/cli/shop_policy.h - who fills the lists while there is no recommender: the logging policy.
 *
 * Each slot, with equal chance: "random", an item uniformly from those alive; "popular", the item of an event drawn
 * uniformly from the newest 2,000 events in which a user took something, so popularity decays by itself.
 * An item stands in a list once; a popular slot that finds only repeats or dead items becomes a random one.
 * Layer: daemon/cli; daemon/base only. Thread: one.
 */
#ifndef FR_CLI_SHOP_POLICY_H
#define FR_CLI_SHOP_POLICY_H

#include <stdint.h>

#include "daemon/base/rng.h"
#include "daemon/cli/shop.h"

#define FR_SHOP_POLICY_MEMORY 2000

/** Owner: the caller's storage; fr_shop_policy_init(). */
struct fr_shop_policy {
    struct fr_rng rng;
    uint32_t taken[FR_SHOP_POLICY_MEMORY];
    uint32_t n, at;
};

void fr_shop_policy_init(struct fr_shop_policy *p, uint64_t seed);
/** A user took this item. */
void fr_shop_policy_taken(struct fr_shop_policy *p, uint32_t item);
/** Fill a list of at most n items (fewer only if fewer are alive). @return its length */
int fr_shop_policy_list(struct fr_shop_policy *p, const struct fr_shop *sh, int n, uint32_t *out);

#endif
