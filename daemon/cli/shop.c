/*
 * daemon/cli/shop.c - the shop as a whole: making one, who comes when, the feed of changes, ids.
 */
#include "daemon/cli/shop.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/str.h"
#include "daemon/cli/shop_priv.h"

#define ID_DIGITS 6 /* at least; more when the number is larger */
#define MAX_COUNT 10000000

void fr_shop_conf_default(struct fr_shop_conf *c)
{
    *c = (struct fr_shop_conf){.seed = 1,
                               .users = 1000,
                               .items = 2000,
                               .n = 20,
                               .visits_per_s = 50,
                               .visits_per_day = 12,
                               .births_per_day = 40,
                               .deaths_per_day = 40,
                               .fashions_per_day = 20,
                               .drift = 1,
                               .satiation = 1};
}

static enum fr_err check(const struct fr_shop_conf *c, struct fr_fault *fault)
{
    const struct {
        const char *name;
        double v, min, max;
    } rows[] = {{"users", c->users, 1, MAX_COUNT},
                {"items", c->items, 2, MAX_COUNT},
                {"n", c->n, 1, FR_SHOP_LIST_MAX},
                {"start_ms", (double)c->start_ms, 0, 9e15},
                {"visits_per_s", c->visits_per_s, 1e-6, 1e6},
                {"visits_per_day", c->visits_per_day, 1e-3, 1e6},
                {"births_per_day", c->births_per_day, 0, 1e9},
                {"deaths_per_day", c->deaths_per_day, 0, 1e9},
                {"fashions_per_day", c->fashions_per_day, 0, 1e6},
                {"drift", c->drift, 0, 100},
                {"satiation", c->satiation, 0, 100}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (!(rows[i].v >= rows[i].min && rows[i].v <= rows[i].max))
            return fr_fault(fault, FR_ERANGE, "%s must be from %g to %g", rows[i].name, rows[i].min, rows[i].max);
    return FR_OK;
}

double shop_wait(struct fr_rng *r, double mean)
{
    return isinf(mean) ? (double)INFINITY : -mean * log1p(-fr_rng_f64(r));
}

int64_t shop_now(struct fr_shop *sh, int64_t now_ms)
{
    if (now_ms > sh->now_ms)
        sh->now_ms = now_ms;
    return sh->now_ms;
}

/* Streams of chance of their own: judging or not judging a list changes nothing else. */
static void seed(struct fr_shop *sh)
{
    struct fr_rng r;

    fr_rng_seed(&r, sh->conf.seed);
    fr_rng_seed(&sh->world, fr_rng_u64(&r));
    fr_rng_seed(&sh->arrivals, fr_rng_u64(&r));
    fr_rng_seed(&sh->people, fr_rng_u64(&r));
    fr_rng_seed(&sh->choice, fr_rng_u64(&r));
    fr_rng_seed(&sh->judge, fr_rng_u64(&r));
}

enum fr_err fr_shop_new(const struct fr_shop_conf *c, struct fr_shop **out_shop, struct fr_fault *fault)
{
    struct fr_shop *sh;
    enum fr_err e = check(c, fault);

    if (e != FR_OK)
        return e;
    sh = fr_calloc(1, sizeof(*sh));
    if (sh == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    sh->conf = *c;
    sh->day_ms = (double)c->users * c->visits_per_day / c->visits_per_s * 1000;
    sh->now_ms = c->start_ms;
    seed(sh);
    e = shop_catalogue_new(sh);
    if (e == FR_OK)
        e = shop_users_new(sh);
    if (e != FR_OK) {
        fr_shop_free(sh);
        return fr_fault(fault, e, "out of memory");
    }
    sh->next_ms = (double)c->start_ms + shop_wait(&sh->arrivals, 1000 / c->visits_per_s);
    *out_shop = sh;
    return FR_OK;
}

void fr_shop_free(struct fr_shop *sh)
{
    if (sh == NULL)
        return;
    shop_users_done(sh);
    shop_catalogue_done(sh);
    fr_free(sh);
}

int64_t fr_shop_next_ms(const struct fr_shop *sh)
{
    int64_t ms = (int64_t)sh->next_ms;

    return ms > sh->now_ms ? ms : sh->now_ms;
}

enum fr_err fr_shop_next_visit(struct fr_shop *sh, struct fr_shop_visit *out)
{
    int64_t ms = fr_shop_next_ms(sh);
    enum fr_err e = shop_catalogue_advance(sh, ms);

    if (e != FR_OK)
        return e;
    out->ts_ms = shop_now(sh, ms);
    out->user = shop_users_draw(sh);
    sh->next_ms += shop_wait(&sh->arrivals, 1000 / sh->conf.visits_per_s);
    return FR_OK;
}

bool fr_shop_next_change(struct fr_shop *sh, struct fr_shop_change *out)
{
    if (sh->first_change == sh->n_change)
        return false;
    *out = sh->change[sh->first_change++];
    if (sh->first_change == sh->n_change)
        sh->first_change = sh->n_change = 0;
    return true;
}

uint32_t fr_shop_items(const struct fr_shop *sh)
{
    return sh->n_items;
}

uint32_t fr_shop_alive(const struct fr_shop *sh)
{
    return sh->n_alive;
}

uint32_t fr_shop_alive_at(const struct fr_shop *sh, uint32_t k)
{
    return sh->alive[k];
}

bool fr_shop_is_alive(const struct fr_shop *sh, uint32_t item)
{
    return item < sh->n_items && sh->item[item].at_alive != FR_SHOP_ITEM_NONE;
}

static void write_id(char letter, uint32_t n, char out[FR_SHOP_NAME])
{
    (void)snprintf(out, FR_SHOP_NAME, "%c%0*lu", letter, ID_DIGITS, (unsigned long)n);
}

void fr_shop_user_id(uint32_t user, char out[FR_SHOP_NAME])
{
    write_id('u', user, out);
}

void fr_shop_item_id(uint32_t item, char out[FR_SHOP_NAME])
{
    write_id('i', item, out);
}

/* An id of ours is exactly what write_id() makes: "i7" and "i0000007" are somebody else's. */
static uint32_t find(char letter, const char *id, uint64_t len, uint32_t n)
{
    char back[FR_SHOP_NAME];
    uint64_t v;

    if (len < 1 + ID_DIGITS || len >= FR_SHOP_NAME || id[0] != letter ||
        fr_str_to_u64((struct fr_str){id + 1, len - 1}, &v) != FR_OK || v >= n)
        return UINT32_MAX;
    write_id(letter, (uint32_t)v, back);
    return strlen(back) == len && memcmp(back, id, len) == 0 ? (uint32_t)v : UINT32_MAX;
}

uint32_t fr_shop_find_item(const struct fr_shop *sh, const char *id, uint64_t len)
{
    return find('i', id, len, sh->n_items);
}

uint32_t fr_shop_find_user(const struct fr_shop *sh, const char *id, uint64_t len)
{
    return find('u', id, len, sh->conf.users);
}

double fr_shop_day_ms(const struct fr_shop *sh)
{
    return sh->day_ms;
}

const struct fr_shop_conf *fr_shop_conf_of(const struct fr_shop *sh)
{
    return &sh->conf;
}
