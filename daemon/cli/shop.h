/*
 * daemon/cli/shop.h - a simulated shop: users who look at lists and click, and who know what they want.
 *
 * What:  the ground truth that recommendations are measured against. A user examines a list from the top
 *        down to a depth of his own (position bias), then chooses one of the examined items or nothing by a
 *        nested logit: nests are categories, the outside option is "none of these". Tastes drift, a visit
 *        has a mission that changes, what was just taken tires (satiation), items are born, die and
 *        become fashionable for a while.
 *
 *          V(u,j)   = quality_j + fashion_j + likes_u[cat] + mission + <taste_u, style_j>
 *                     - thrift_u * price_j - satiation
 *          G(S)     = sum_c (sum_{j in S, cat j = c} exp(V_j / lambda_c))^lambda_c
 *          P(click | S examined) = G(S) / (exp(V0) + G(S))
 *          P(click | list) = sum_m P(depth = m) P(click | first m);  P(depth >= m) = patience_u^(m-1)
 *
 * Why:   another family than our models (DESIGN 10), so being good here is not being our own twin; and the best
 *        list is known exactly (shop_oracle.c), so regret captured is a fact and not an estimate of one.
 * Source: nested logit: McFadden 1978; the examination model: Craswell et al. 2008.
 * Rules: pure and deterministic from the seed; no IO, no clock: times are arguments and never go back.
 * Layer: daemon/cli; daemon/base only: shares no code with features/, models/ or ann/ (a lint says so).
 * Owner: the caller. Thread: one at a time.
 */
#ifndef FR_CLI_SHOP_H
#define FR_CLI_SHOP_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"

#define FR_SHOP_LIST_MAX 100
#define FR_SHOP_ITEM_NONE UINT32_MAX
#define FR_SHOP_NAME 24
#define FR_SHOP_TITLE 80
#define FR_SHOP_CATEGORIES_MAX 24

/** Start from fr_shop_conf_default(). Time runs in shop days: day_ms of event time. */
struct fr_shop_conf {
    uint64_t seed;
    uint32_t users;          /* 1 .. 10,000,000 */
    uint32_t items;          /* at the start, 2 .. 10,000,000 */
    int n;                   /* length of a list, 1 .. FR_SHOP_LIST_MAX */
    int64_t start_ms;        /* epoch ms of the beginning, >= 0 */
    double visits_per_s;     /* of event time, all users together, > 0 */
    double visits_per_day;   /* of one user in a shop day: with users and visits_per_s it gives day_ms */
    double births_per_day;   /* items, >= 0 */
    double deaths_per_day;   /* items, >= 0; the last 2 * n items never die */
    double fashions_per_day; /* items that become fashionable, >= 0 */
    double drift;            /* 1 = as designed, 0 = tastes and missions stay */
    double satiation;        /* 1 = as designed, 0 = none */
};

struct fr_shop;

/** One visit: who comes, and when. */
struct fr_shop_visit {
    uint32_t user;
    int64_t ts_ms;
};

/** What a user did of his own accord, found without a list. */
enum fr_shop_act { FR_SHOP_VIEW, FR_SHOP_CLICK, FR_SHOP_PURCHASE };

struct fr_shop_browse {
    enum fr_shop_act act; /* FR_SHOP_VIEW or FR_SHOP_CLICK */
    uint32_t item;
};

/** What a user did with a list. */
struct fr_shop_reaction {
    int examined; /* the first so many positions were seen, >= 1 */
    int clicked;  /* position from 0, or -1 */
    bool bought;  /* the clicked item */
    bool stays;   /* will look at the next list too */
};

/** Probabilities of a click on one list, for one user at one moment. */
struct fr_shop_odds {
    double shown;  /* the list given */
    double random; /* mean of a few uniformly random lists: an unbiased draw, not exact */
    double oracle; /* the best list there is */
};

/** Read-only facts about one item, dead or alive. Borrowed until the next call that takes a time. */
struct fr_shop_item {
    char id[FR_SHOP_NAME];
    char title[FR_SHOP_TITLE];
    const char *category;
    const char *brand;
    double price;
    int64_t born_ms;
    int64_t died_ms; /* 0 = alive */
};

/** One line of the catalogue's history: an item appears (the initial ones too) or goes. */
struct fr_shop_change {
    uint32_t item;
    int64_t ts_ms;
    bool born; /* false = died */
};

void fr_shop_conf_default(struct fr_shop_conf *c);

/**
 * @errors FR_ERANGE a number is out of its range (fault names it); FR_ENOMEM
 * Same conf, same calls: the same shop, on one machine.
 */
FR_MUST_CHECK enum fr_err
fr_shop_new(const struct fr_shop_conf *c, struct fr_shop **out_shop, struct fr_fault *fault);
/** NULL is a no-op. */
void fr_shop_free(struct fr_shop *sh);

/** The next visit; the shop moves on to its time (births, deaths, fashions, the user's tastes).
 *  @errors FR_ENOMEM the visit did not happen */
FR_MUST_CHECK enum fr_err fr_shop_next_visit(struct fr_shop *sh, struct fr_shop_visit *out);

/** Time of the visit that fr_shop_next_visit() will return: a live loop waits for it. */
int64_t fr_shop_next_ms(const struct fr_shop *sh);

/** The user finds an item alone and views or clicks it: the event that triggers a recommendation.
 *  now_ms earlier than a time already seen counts as that time (here and below). */
void fr_shop_browse(struct fr_shop *sh, uint32_t user, int64_t now_ms, struct fr_shop_browse *out);

/**
 * The user looks at a list and reacts; tastes and satiation follow a click.
 * @param list  item indexes; FR_SHOP_ITEM_NONE, a dead item, or a repeat takes its place and is never
 *              clicked. Only the first conf.n count; n <= 0 is an empty list: nothing examined or clicked.
 */
void fr_shop_show(struct fr_shop *sh,
                  uint32_t user,
                  const uint32_t *list,
                  int n,
                  int64_t now_ms,
                  struct fr_shop_reaction *out);

/** Judge a list, before it is shown (a click changes the user). At the time of the call that follows it changes
 *  nothing that a later call could see. Costs a pass over the catalogue. */
void fr_shop_judge(
    struct fr_shop *sh, uint32_t user, const uint32_t *list, int n, int64_t now_ms, struct fr_shop_odds *out);

/** The best list of conf.n items for this user now. @return its length (fewer only if fewer are alive) */
int fr_shop_best(struct fr_shop *sh, uint32_t user, int64_t now_ms, uint32_t out[FR_SHOP_LIST_MAX]);

/** Click probability of each position of a list; *out_none that nothing is clicked. They sum to 1. */
void fr_shop_probabilities(struct fr_shop *sh,
                           uint32_t user,
                           const uint32_t *list,
                           int n,
                           int64_t now_ms,
                           double out_p[FR_SHOP_LIST_MAX],
                           double *out_none);

/** Oldest change of the catalogue not yet taken; false = none. The initial items come first. */
bool fr_shop_next_change(struct fr_shop *sh, struct fr_shop_change *out);

/** Facts of item 0 .. fr_shop_items() - 1. False: no such item. */
bool fr_shop_item(const struct fr_shop *sh, uint32_t item, struct fr_shop_item *out);
/** Items ever born. */
uint32_t fr_shop_items(const struct fr_shop *sh);
/** Items alive, and the k-th of them (k < alive) in no particular order. */
uint32_t fr_shop_alive(const struct fr_shop *sh);
uint32_t fr_shop_alive_at(const struct fr_shop *sh, uint32_t k);
bool fr_shop_is_alive(const struct fr_shop *sh, uint32_t item);

/** Index from an id such as "i000042"; FR_SHOP_ITEM_NONE when it is not one of ours. */
uint32_t fr_shop_find_item(const struct fr_shop *sh, const char *id, uint64_t len);
/** The same for users ("u000042"); UINT32_MAX when not ours. */
uint32_t fr_shop_find_user(const struct fr_shop *sh, const char *id, uint64_t len);
/** Write a user's or an item's id. */
void fr_shop_user_id(uint32_t user, char out[FR_SHOP_NAME]);
void fr_shop_item_id(uint32_t item, char out[FR_SHOP_NAME]);

/** Length of a shop day in ms of event time; and the conf it was made from. */
double fr_shop_day_ms(const struct fr_shop *sh);
const struct fr_shop_conf *fr_shop_conf_of(const struct fr_shop *sh);

#endif
