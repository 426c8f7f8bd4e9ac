/*
 * daemon/cli/shop_choice.c - how a user chooses: the nested logit over the examined part of a list, and
 * what he finds alone.
 *
 * Of the first m positions: S_c = sum of exp(V_j / lambda_c) over nest c, G = sum_c S_c^lambda_c;
 *   P(j | m) = S_c^(lambda_c - 1) exp(V_j / lambda_c) / (exp(V0) + G),  P(none | m) = exp(V0) / (exp(V0) + G)
 */
#include <math.h>

#include "daemon/cli/shop_priv.h"

#define LOOKED_AT 30      /* items a browsing user compares */
#define FROM_MISSION 18   /* of them, from his mission's category */
#define P_BROWSE_CLICK 0.5
#define P_BUY 0.15
#define P_DONE 0.7 /* a purchase ends the mission */
#define P_STAY 0.6

/* One list as one user sees it. Dead, unknown and repeated items hold a position with e = 0. */
struct seen_list {
    int n;
    double e[FR_SHOP_LIST_MAX]; /* exp(V / lambda) */
    uint8_t cat[FR_SHOP_LIST_MAX];
};

/* The nests while positions are added one by one. */
struct nests {
    double s[FR_SHOP_CATEGORIES_MAX], g[FR_SHOP_CATEGORIES_MAX];
    double sum; /* G */
};

static bool repeated(const uint32_t *list, int at)
{
    for (int i = 0; i < at; i++)
        if (list[i] == list[at])
            return true;
    return false;
}

static void see(const struct fr_shop *sh,
                const struct shop_user *u,
                const uint32_t *list,
                int n,
                struct seen_list *out)
{
    out->n = n > sh->conf.n ? sh->conf.n : n < 0 ? 0 : n;
    for (int i = 0; i < out->n; i++) {
        out->e[i] = 0;
        out->cat[i] = 0;
        if (!fr_shop_is_alive(sh, list[i]) || repeated(list, i))
            continue;
        out->cat[i] = sh->item[list[i]].cat;
        out->e[i] = exp(shop_utility(sh, u, list[i]) / sh->cat[out->cat[i]].lambda);
    }
}

static void nest_add(const struct fr_shop *sh, struct nests *x, int cat, double e)
{
    double g;

    if (e <= 0)
        return;
    x->s[cat] += e;
    g = pow(x->s[cat], sh->cat[cat].lambda);
    x->sum += g - x->g[cat];
    x->g[cat] = g;
}

/* Chance that the user looks at exactly m of n positions, given that he got to look at m. */
static double stops_at(const struct shop_user *u, int m, int n)
{
    return m == n ? 1 : 1 - (double)u->patience;
}

double shop_click_chance(const struct fr_shop *sh, const struct shop_user *u, const uint32_t *list, int n)
{
    struct seen_list l;
    struct nests x = {{0}, {0}, 0};
    double reach = 1, p = 0, outside = exp(SHOP_OUTSIDE);

    see(sh, u, list, n, &l);
    for (int m = 1; m <= l.n; m++) {
        nest_add(sh, &x, l.cat[m - 1], l.e[m - 1]);
        p += reach * stops_at(u, m, l.n) * x.sum / (outside + x.sum);
        reach *= (double)u->patience;
    }
    return p;
}

/* Probability of position i when the first positions of `x` were examined. */
static double chance_of(const struct fr_shop *sh, const struct nests *x, const struct seen_list *l, int i)
{
    int c = l->cat[i];

    if (l->e[i] <= 0)
        return 0;
    return pow(x->s[c], sh->cat[c].lambda - 1) * l->e[i] / (exp(SHOP_OUTSIDE) + x->sum);
}

void fr_shop_probabilities(struct fr_shop *sh,
                           uint32_t user,
                           const uint32_t *list,
                           int n,
                           int64_t now_ms,
                           double out_p[FR_SHOP_LIST_MAX],
                           double *out_none)
{
    const struct shop_user *u = shop_user_at(sh, user, now_ms);
    struct seen_list l;
    struct nests x = {{0}, {0}, 0};
    double reach = 1, outside = exp(SHOP_OUTSIDE);

    see(sh, u, list, n, &l);
    *out_none = l.n == 0 ? 1 : 0;
    for (int m = 1; m <= l.n; m++) {
        double w = reach * stops_at(u, m, l.n);

        nest_add(sh, &x, l.cat[m - 1], l.e[m - 1]);
        out_p[m - 1] = 0;
        for (int i = 0; i < m; i++)
            out_p[i] += w * chance_of(sh, &x, &l, i);
        *out_none += w * outside / (outside + x.sum);
        reach *= (double)u->patience;
    }
}

void fr_shop_show(struct fr_shop *sh,
                  uint32_t user,
                  const uint32_t *list,
                  int n,
                  int64_t now_ms,
                  struct fr_shop_reaction *out)
{
    struct shop_user *u = shop_user_at(sh, user, now_ms);
    struct seen_list l;
    struct nests x = {{0}, {0}, 0};
    double r;
    int m = 1;

    *out = (struct fr_shop_reaction){.clicked = -1};
    see(sh, u, list, n, &l);
    if (l.n == 0)
        return;
    while (m < l.n && fr_rng_f64(&sh->choice) < (double)u->patience)
        m++;
    for (int i = 0; i < m; i++)
        nest_add(sh, &x, l.cat[i], l.e[i]);
    out->examined = m;
    r = fr_rng_f64(&sh->choice);
    for (int i = 0; i < m && out->clicked < 0; i++) {
        r -= chance_of(sh, &x, &l, i);
        if (r < 0)
            out->clicked = i;
    }
    if (out->clicked < 0)
        return;
    shop_user_take(sh, u, list[out->clicked]);
    out->bought = fr_rng_f64(&sh->choice) < P_BUY;
    out->stays = fr_rng_f64(&sh->choice) < P_STAY;
    if (out->bought && sh->conf.drift > 0 && fr_rng_f64(&sh->choice) < P_DONE)
        shop_user_next_mission(sh, u);
}

void fr_shop_browse(struct fr_shop *sh, uint32_t user, int64_t now_ms, struct fr_shop_browse *out)
{
    struct shop_user *u = shop_user_at(sh, user, now_ms);
    const struct shop_cat *c = &sh->cat[u->mission_cat];
    uint32_t item[LOOKED_AT];
    double w[LOOKED_AT], sum = 0, r;
    int at = LOOKED_AT - 1;

    for (int i = 0; i < LOOKED_AT; i++) {
        if (i < FROM_MISSION && c->n > 0)
            item[i] = c->member[fr_rng_below(&sh->choice, c->n)];
        else
            item[i] = sh->alive[fr_rng_below(&sh->choice, sh->n_alive)];
        w[i] = exp(shop_utility(sh, u, item[i]));
        sum += w[i];
    }
    r = sum * fr_rng_f64(&sh->choice);
    for (int i = 0; i < LOOKED_AT; i++) {
        r -= w[i];
        if (r < 0) {
            at = i;
            break;
        }
    }
    out->item = item[at];
    out->act = fr_rng_f64(&sh->choice) < P_BROWSE_CLICK ? FR_SHOP_CLICK : FR_SHOP_VIEW;
    if (out->act == FR_SHOP_CLICK)
        shop_user_take(sh, u, out->item);
}
