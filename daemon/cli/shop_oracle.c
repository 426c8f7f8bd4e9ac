/*
 * daemon/cli/shop_oracle.c - the best list there is, and the judgement of any other.
 *
 * The greedy list is exactly optimal. Write G(S) for the set of the first m positions; the click chance is
 * sum_m P(depth = m) f(G(S_m)) with f(x) = x / (exp(V0) + x) increasing, so it is enough to show that one
 * order maximises G(S_m) for every m at once. For a given number k of items from nest c the best are the k of
 * highest V, giving h_c(k) = (sum of the k largest exp(V / lambda_c))^lambda_c. The inner sums have falling
 * increments and x^lambda is increasing and concave for lambda in (0, 1], so h_c has falling increments:
 * G = sum_c h_c(k_c) with sum_c k_c = m is a separable concave allocation, for which taking the largest next
 * increment is optimal for every m, and the solution for m + 1 extends the one for m. Checked against brute
 * force over all ordered lists of small shops in tests/unit/test_cli_shop.c.
 */
#include <math.h>

#include "daemon/cli/shop_priv.h"

/* The best item of a nest that is not in the list yet. */
struct front {
    uint32_t item; /* FR_SHOP_ITEM_NONE: the nest is used up */
    double s;      /* sum of exp(V / lambda) of those taken */
    double g;      /* s^lambda */
    double gain;   /* of taking `item` */
    double s_next, g_next;
};

static void find_front(const struct fr_shop *sh, int cat, struct front *f)
{
    const struct shop_cat *c = &sh->cat[cat];
    double best = -(double)INFINITY;

    f->item = FR_SHOP_ITEM_NONE;
    f->gain = -1;
    for (uint32_t i = 0; i < c->n; i++) {
        double v = sh->v[c->member[i]];

        if (v > best || (v == best && f->item != FR_SHOP_ITEM_NONE && c->member[i] < f->item)) {
            best = v;
            f->item = c->member[i];
        }
    }
    if (f->item == FR_SHOP_ITEM_NONE)
        return;
    f->s_next = f->s + exp(best / c->lambda);
    f->g_next = pow(f->s_next, c->lambda);
    f->gain = f->g_next - f->g;
}

static int best_list(struct fr_shop *sh, const struct shop_user *u, uint32_t *out)
{
    struct front f[FR_SHOP_CATEGORIES_MAX];
    int n = 0;

    for (uint32_t i = 0; i < sh->n_alive; i++)
        sh->v[sh->alive[i]] = shop_utility_fresh(sh, u, &sh->item[sh->alive[i]]);
    for (int i = 0; i < u->n_tired; i++) /* an item may stand there twice: set, not subtracted */
        if (fr_shop_is_alive(sh, u->tired[i].item))
            sh->v[u->tired[i].item] = shop_utility(sh, u, u->tired[i].item);
    for (int c = 0; c < sh->n_cats; c++) {
        f[c] = (struct front){.item = FR_SHOP_ITEM_NONE};
        find_front(sh, c, &f[c]);
    }
    while (n < sh->conf.n) {
        int best = -1;

        for (int c = 0; c < sh->n_cats; c++)
            if (f[c].item != FR_SHOP_ITEM_NONE && (best < 0 || f[c].gain > f[best].gain))
                best = c;
        if (best < 0)
            break;
        out[n++] = f[best].item;
        sh->v[f[best].item] = -(double)INFINITY;
        f[best].s = f[best].s_next;
        f[best].g = f[best].g_next;
        find_front(sh, best, &f[best]);
    }
    return n;
}

static int random_list(struct fr_shop *sh, uint32_t *out)
{
    int want = sh->conf.n, n = 0;

    if ((uint32_t)want > sh->n_alive)
        want = (int)sh->n_alive;
    while (n < want) {
        uint32_t item = sh->alive[fr_rng_below(&sh->judge, sh->n_alive)];
        bool have = false;

        for (int i = 0; i < n && !have; i++)
            have = out[i] == item;
        if (!have)
            out[n++] = item;
    }
    return n;
}

int fr_shop_best(struct fr_shop *sh, uint32_t user, int64_t now_ms, uint32_t out[FR_SHOP_LIST_MAX])
{
    return best_list(sh, shop_user_at(sh, user, now_ms), out);
}

void fr_shop_judge(
    struct fr_shop *sh, uint32_t user, const uint32_t *list, int n, int64_t now_ms, struct fr_shop_odds *out)
{
    const struct shop_user *u = shop_user_at(sh, user, now_ms);
    uint32_t other[FR_SHOP_LIST_MAX];
    int m;

    out->shown = shop_click_chance(sh, u, list, n);
    out->random = 0;
    for (int i = 0; i < SHOP_RANDOM_LISTS; i++) {
        m = random_list(sh, other);
        out->random += shop_click_chance(sh, u, other, m) / SHOP_RANDOM_LISTS;
    }
    m = best_list(sh, u, other);
    out->oracle = shop_click_chance(sh, u, other, m);
}
