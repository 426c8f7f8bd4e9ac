/*
 * daemon/cli/shop_priv.h - the inside of the simulated shop: shared by shop*.c and its tests only.
 */
#ifndef FR_CLI_SHOP_PRIV_H
#define FR_CLI_SHOP_PRIV_H

#include "daemon/base/rng.h"
#include "daemon/cli/shop.h"

#define SHOP_DIM 8    /* dimensions of style and taste */
#define SHOP_KINDS 5  /* product kinds a category */
#define SHOP_RECENT 16 /* taken items a user is tired of */
#define SHOP_BRANDS 40
#define SHOP_STYLES (2 * SHOP_DIM) /* a word for each end of each dimension */
#define SHOP_RANDOM_LISTS 2        /* random lists a judgement averages */

/* Utilities of the world; picked so that, with the defaults, a random list is clicked in about one of twenty
 * visits and the best list in about three of five. */
#define SHOP_OUTSIDE 6.6      /* V0: utility of "none of these" */
#define SHOP_MISSION_CAT 1.0  /* the mission's category */
#define SHOP_MISSION_KIND 1.4 /* and its kind, on top */
#define SHOP_TIRED_ITEM 3.0   /* of an item just taken */
#define SHOP_TIRED_CAT 0.35   /* of its category, adds up */
#define SHOP_TIRED_ITEM_DAYS 3.0
#define SHOP_TIRED_CAT_DAYS 0.25
#define SHOP_TASTE_DAYS 4.0    /* time constant of a taste's return to its mean */
#define SHOP_MISSIONS_PER_DAY 4.0
#define SHOP_FASHION 1.6       /* utility of a new fashion */
#define SHOP_FASHION_DAYS 0.5

/* One product, dead or alive. */
struct shop_item {
    float style[SHOP_DIM];
    float base;    /* quality, and fashion as of the last refresh: what the utility reads */
    float price_z; /* log price against its category */
    uint8_t cat, kind, brand, material;
    uint32_t at_alive, at_cat; /* places in shop.alive and its category's members; NONE when dead */
    float quality;
    float fashion; /* at fashion_ms; 0 = none */
    float price;
    int64_t fashion_ms;
    int64_t born_ms, died_ms;
};

/* One nest. */
struct shop_cat {
    double lambda; /* dissimilarity, in (0, 1] */
    float kind[SHOP_KINDS][SHOP_DIM];
    float log_price;
    uint32_t *member; /* items alive */
    uint32_t n, cap;
};

struct shop_tired {
    uint32_t item;
    int64_t ms;
};

/* One person; advanced lazily to a moment by shop_user_at(). */
struct shop_user {
    float taste[SHOP_DIM], mean[SHOP_DIM];
    float likes[FR_SHOP_CATEGORIES_MAX];
    float tired_cat[FR_SHOP_CATEGORIES_MAX]; /* at `ms` */
    struct shop_tired tired[SHOP_RECENT];
    int n_tired, at_tired;
    float patience, thrift;
    uint8_t mission_cat, mission_kind;
    int64_t ms;
};

struct fr_shop {
    struct fr_shop_conf conf;
    double day_ms;
    int64_t now_ms;     /* newest time seen */
    double next_ms;     /* of the next visit */
    double next_birth_ms, next_death_ms, next_fashion_ms, next_refresh_ms;
    struct fr_rng world, arrivals, people, choice, judge;
    struct shop_item *item;
    uint32_t n_items, cap_items;
    uint32_t *alive;
    uint32_t n_alive; /* cap_items long */
    int n_cats;
    struct shop_cat cat[FR_SHOP_CATEGORIES_MAX];
    struct shop_user *user;
    double *activity; /* cumulative, by user */
    struct fr_shop_change *change;
    uint64_t first_change, n_change, cap_change; /* first: next to be taken */
    uint32_t *fashionable;
    uint32_t n_fashionable; /* cap_items long */
    double *v;              /* scratch of the oracle, cap_items long, by item */
};

/* shop_catalogue.c */
enum fr_err shop_catalogue_new(struct fr_shop *sh);
void shop_catalogue_done(struct fr_shop *sh);
/* Births, deaths and fashions up to now_ms. @errors FR_ENOMEM: some may have happened */
enum fr_err shop_catalogue_advance(struct fr_shop *sh, int64_t now_ms);
const char *shop_category_name(int cat);

/* shop_users.c */
enum fr_err shop_users_new(struct fr_shop *sh);
void shop_users_done(struct fr_shop *sh);
/* The user as of now_ms: tastes drifted, tiredness decayed, perhaps another mission. */
struct shop_user *shop_user_at(struct fr_shop *sh, uint32_t user, int64_t now_ms);
/* He has taken this item. */
void shop_user_take(struct fr_shop *sh, struct shop_user *u, uint32_t item);
/* He wants something else now. */
void shop_user_next_mission(struct fr_shop *sh, struct shop_user *u);
/* Who comes next. */
uint32_t shop_users_draw(struct fr_shop *sh);

/* Utility of an item without tiredness of the item itself; and that tiredness. */
double shop_utility_fresh(const struct fr_shop *sh, const struct shop_user *u, const struct shop_item *it);
double shop_tired_item(const struct fr_shop *sh, const struct shop_user *u, uint32_t item);
static inline double shop_utility(const struct fr_shop *sh, const struct shop_user *u, uint32_t item)
{
    return shop_utility_fresh(sh, u, &sh->item[item]) - shop_tired_item(sh, u, item);
}

/* shop_choice.c */
/* Chance of a click on a list of at most conf.n items. */
double shop_click_chance(const struct fr_shop *sh, const struct shop_user *u, const uint32_t *list, int n);
/* now_ms, but never back. */
int64_t shop_now(struct fr_shop *sh, int64_t now_ms);
/* Exponential waiting time with this mean; +inf when the mean is. */
double shop_wait(struct fr_rng *r, double mean);

#endif
