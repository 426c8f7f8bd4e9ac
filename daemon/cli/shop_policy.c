/*
 * daemon/cli/shop_policy.c - see shop_policy.h.
 */
#include "daemon/cli/shop_policy.h"

#define TRIES 8 /* for a popular item that is alive and not in the list yet */

void fr_shop_policy_init(struct fr_shop_policy *p, uint64_t seed)
{
    fr_rng_seed(&p->rng, seed ^ UINT64_C(0x706f6c696379)); /* not the shop's own stream */
    p->n = p->at = 0;
}

void fr_shop_policy_taken(struct fr_shop_policy *p, uint32_t item)
{
    p->taken[p->at] = item;
    p->at = (p->at + 1) % FR_SHOP_POLICY_MEMORY;
    if (p->n < FR_SHOP_POLICY_MEMORY)
        p->n++;
}

static bool in_list(const uint32_t *list, int n, uint32_t item)
{
    for (int i = 0; i < n; i++)
        if (list[i] == item)
            return true;
    return false;
}

int fr_shop_policy_list(struct fr_shop_policy *p, const struct fr_shop *sh, int n, uint32_t *out)
{
    uint32_t alive = fr_shop_alive(sh);
    int have = 0;

    if ((uint32_t)n > alive)
        n = (int)alive;
    while (have < n) {
        uint32_t item = FR_SHOP_ITEM_NONE;

        if (p->n > 0 && fr_rng_below(&p->rng, 2) == 0)
            for (int t = 0; t < TRIES && item == FR_SHOP_ITEM_NONE; t++) {
                uint32_t i = p->taken[fr_rng_below(&p->rng, p->n)];

                if (fr_shop_is_alive(sh, i) && !in_list(out, have, i))
                    item = i;
            }
        while (item == FR_SHOP_ITEM_NONE || in_list(out, have, item))
            item = fr_shop_alive_at(sh, (uint32_t)fr_rng_below(&p->rng, alive));
        out[have++] = item;
    }
    return have;
}
