/*
 * daemon/cli/shop_users.c - who comes, what they want, and how that changes.
 *
 * A taste is an Ornstein-Uhlenbeck process around a mean that wanders slowly; likes of categories are few and
 * strong; a mission (one category, one kind) is picked by those likes and dropped at random times or when
 * it is done; an item just taken is unattractive for days, its category for hours.
 */
#include <math.h>

#include "daemon/base/alloc.h"
#include "daemon/cli/shop_priv.h"

/* A category drawn by the user's likes: probability proportional to exp(likes). */
static int draw_category(struct fr_shop *sh, const struct shop_user *u)
{
    double sum = 0, x;

    for (int c = 0; c < sh->n_cats; c++)
        sum += exp((double)u->likes[c]);
    x = sum * fr_rng_f64(&sh->people);
    for (int c = 0; c < sh->n_cats; c++) {
        x -= exp((double)u->likes[c]);
        if (x < 0)
            return c;
    }
    return sh->n_cats - 1;
}

void shop_user_next_mission(struct fr_shop *sh, struct shop_user *u)
{
    u->mission_cat = (uint8_t)draw_category(sh, u);
    u->mission_kind = (uint8_t)fr_rng_below(&sh->people, SHOP_KINDS);
}

static void make(struct fr_shop *sh, struct shop_user *u)
{
    struct fr_rng *r = &sh->people;

    for (int d = 0; d < SHOP_DIM; d++) {
        u->mean[d] = (float)(0.45 * fr_rng_normal(r));
        u->taste[d] = u->mean[d] + (float)(0.25 * fr_rng_normal(r));
    }
    for (int c = 0; c < sh->n_cats; c++)
        u->likes[c] = (float)(0.3 * fr_rng_normal(r));
    for (int k = 0; k < 3; k++)
        u->likes[fr_rng_below(r, (uint64_t)sh->n_cats)] += 1.2F;
    u->patience = (float)(0.82 + 0.15 * fr_rng_f64(r));
    u->thrift = (float)(0.3 * fabs(fr_rng_normal(r)));
    u->ms = sh->conf.start_ms;
    shop_user_next_mission(sh, u);
}

enum fr_err shop_users_new(struct fr_shop *sh)
{
    uint32_t n = sh->conf.users;
    double sum = 0;

    sh->user = fr_calloc(n, sizeof(*sh->user));
    sh->activity = fr_calloc(n, sizeof(*sh->activity));
    if (sh->user == NULL || sh->activity == NULL)
        return FR_ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        make(sh, &sh->user[i]);
        sum += exp(0.8 * fr_rng_normal(&sh->people)); /* some come often, many rarely */
        sh->activity[i] = sum;
    }
    return FR_OK;
}

void shop_users_done(struct fr_shop *sh)
{
    fr_free(sh->user);
    fr_free(sh->activity);
}

uint32_t shop_users_draw(struct fr_shop *sh)
{
    double x = fr_rng_f64(&sh->arrivals) * sh->activity[sh->conf.users - 1];
    uint32_t lo = 0, hi = sh->conf.users - 1;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (sh->activity[mid] <= x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void drift(struct fr_shop *sh, struct shop_user *u, double days)
{
    double keep = exp(-days / SHOP_TASTE_DAYS), shake = 0.25 * sqrt(1 - keep * keep);
    double wander = 0.05 * sqrt(days);

    for (int d = 0; d < SHOP_DIM; d++) {
        u->mean[d] += (float)(wander * fr_rng_normal(&sh->people));
        u->taste[d] = u->mean[d] + (float)(keep * (double)(u->taste[d] - u->mean[d]) +
                                           shake * fr_rng_normal(&sh->people));
    }
    if (fr_rng_f64(&sh->people) < -expm1(-days * SHOP_MISSIONS_PER_DAY))
        shop_user_next_mission(sh, u);
}

struct shop_user *shop_user_at(struct fr_shop *sh, uint32_t user, int64_t now_ms)
{
    struct shop_user *u = &sh->user[user];
    int64_t now = shop_now(sh, now_ms);
    double days = (double)(now - u->ms) / sh->day_ms, keep;

    if (now <= u->ms)
        return u;
    u->ms = now;
    keep = exp(-days / SHOP_TIRED_CAT_DAYS);
    for (int c = 0; c < sh->n_cats; c++)
        u->tired_cat[c] *= (float)keep;
    if (sh->conf.drift > 0)
        drift(sh, u, days * sh->conf.drift);
    return u;
}

void shop_user_take(struct fr_shop *sh, struct shop_user *u, uint32_t item)
{
    const struct shop_item *it = &sh->item[item];

    u->tired[u->at_tired] = (struct shop_tired){item, u->ms};
    u->at_tired = (u->at_tired + 1) % SHOP_RECENT;
    if (u->n_tired < SHOP_RECENT)
        u->n_tired++;
    u->tired_cat[it->cat] += (float)(SHOP_TIRED_CAT * sh->conf.satiation);
    /* what he takes moves his mission there, most of the time */
    if (sh->conf.drift > 0 && fr_rng_below(&sh->people, 3) != 0) {
        u->mission_cat = it->cat;
        u->mission_kind = it->kind;
    }
}

double shop_tired_item(const struct fr_shop *sh, const struct shop_user *u, uint32_t item)
{
    double sum = 0;

    for (int i = 0; i < u->n_tired; i++)
        if (u->tired[i].item == item)
            sum += SHOP_TIRED_ITEM * sh->conf.satiation *
                   exp(-(double)(u->ms - u->tired[i].ms) / sh->day_ms / SHOP_TIRED_ITEM_DAYS);
    return sum;
}

double shop_utility_fresh(const struct fr_shop *sh, const struct shop_user *u, const struct shop_item *it)
{
    float fit = 0, v;

    (void)sh;
    for (int d = 0; d < SHOP_DIM; d++)
        fit += u->taste[d] * it->style[d];
    v = it->base + u->likes[it->cat] + fit - u->thrift * it->price_z - u->tired_cat[it->cat];
    if (it->cat == u->mission_cat)
        v += (float)SHOP_MISSION_CAT + (it->kind == u->mission_kind ? (float)SHOP_MISSION_KIND : 0);
    return (double)v;
}
