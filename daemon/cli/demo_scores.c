/*
 * daemon/cli/demo_scores.c - see demo_scores.h. Popularity is forward-decayed in events: each use adds a
 * weight that grows by 2^(1 / half_life) an event; the top list is made anew every REFRESH events.
 */
#include "daemon/cli/demo_scores.h"

#include <math.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"
#include "daemon/base/map.h"

#define REFRESH 100
#define RESCALE 1e100

struct user {
    uint64_t item[FR_DEMO_LIST];
    int n;
};

struct fr_demo_scores {
    struct fr_map item_of, user_of; /* hash -> index */
    uint64_t *item;                 /* hash, by index */
    double *weight;
    struct user *user;
    uint32_t n_items, cap_items, n_users, cap_users;
    double growth, now; /* weight of the next use */
    uint64_t uses;
    uint64_t top[FR_DEMO_LIST];
    int n_top;
    uint64_t judged, hits, popular_hits;
};

static const struct fr_hash_key KEY = {UINT64_C(0x6e65787420697465), UINT64_C(0x6d20697320696e20)};

static uint64_t key_of(struct fr_str s)
{
    uint64_t h = fr_siphash(KEY, s);

    return h == 0 ? 1 : h;
}

enum fr_err fr_demo_scores_new(double half_life, struct fr_demo_scores **out)
{
    struct fr_demo_scores *s = fr_calloc(1, sizeof(*s));

    if (s == NULL)
        return FR_ENOMEM;
    s->growth = exp2(1 / half_life);
    s->now = 1;
    *out = s;
    return FR_OK;
}

static enum fr_err item_index(struct fr_demo_scores *s, uint64_t key, uint32_t *out)
{
    enum fr_err e;

    *out = fr_map_get(&s->item_of, key);
    if (*out != FR_MAP_NONE)
        return FR_OK;
    if (s->n_items == s->cap_items) {
        uint32_t cap = s->cap_items == 0 ? 1024 : s->cap_items * 2;
        uint64_t *item = fr_realloc_array(s->item, cap, sizeof(*item));
        double *weight;
        if (item == NULL)
            return FR_ENOMEM;
        s->item = item;
        weight = fr_realloc_array(s->weight, cap, sizeof(*weight));
        if (weight == NULL)
            return FR_ENOMEM;
        s->weight = weight;
        s->cap_items = cap;
    }
    e = fr_map_put(&s->item_of, key, s->n_items);
    if (e != FR_OK)
        return e;
    s->item[s->n_items] = key;
    s->weight[s->n_items] = 0;
    *out = s->n_items++;
    return FR_OK;
}

static enum fr_err user_at(struct fr_demo_scores *s, uint64_t key, struct user **out, bool *is_new)
{
    uint32_t at = fr_map_get(&s->user_of, key);
    enum fr_err e;

    *is_new = at == FR_MAP_NONE;
    if (!*is_new) {
        *out = &s->user[at];
        return FR_OK;
    }
    if (s->n_users == s->cap_users) {
        uint32_t cap = s->cap_users == 0 ? 1024 : s->cap_users * 2;
        struct user *p = fr_realloc_array(s->user, cap, sizeof(*p));
        if (p == NULL)
            return FR_ENOMEM;
        s->user = p;
        s->cap_users = cap;
    }
    e = fr_map_put(&s->user_of, key, s->n_users);
    if (e != FR_OK)
        return e;
    *out = &s->user[s->n_users++];
    (*out)->n = 0;
    return FR_OK;
}

/* The heaviest items, by insertion into a short sorted list. */
static void make_top(struct fr_demo_scores *s)
{
    double w[FR_DEMO_LIST];

    s->n_top = 0;
    for (uint32_t i = 0; i < s->n_items; i++) {
        int at = s->n_top;
        if (at == FR_DEMO_LIST && s->weight[i] <= w[at - 1])
            continue;
        if (at == FR_DEMO_LIST)
            at--;
        else
            s->n_top++;
        for (; at > 0 && w[at - 1] < s->weight[i]; at--) {
            w[at] = w[at - 1];
            s->top[at] = s->top[at - 1];
        }
        w[at] = s->weight[i];
        s->top[at] = s->item[i];
    }
}

enum fr_err fr_demo_scores_used(struct fr_demo_scores *s, struct fr_str item)
{
    uint32_t at;
    enum fr_err e = item_index(s, key_of(item), &at);

    if (e != FR_OK)
        return e;
    s->weight[at] += s->now;
    s->now *= s->growth;
    if (s->now > RESCALE) {
        for (uint32_t i = 0; i < s->n_items; i++)
            s->weight[i] /= s->now;
        s->now = 1;
    }
    if (s->uses++ % REFRESH == 0)
        make_top(s);
    return FR_OK;
}

static bool among(const uint64_t *list, int n, uint64_t key)
{
    for (int i = 0; i < n; i++)
        if (list[i] == key)
            return true;
    return false;
}

enum fr_err fr_demo_scores_event(struct fr_demo_scores *s, struct fr_str user, struct fr_str item)
{
    uint64_t key = key_of(item);
    struct user *u;
    bool is_new;
    enum fr_err e = user_at(s, key_of(user), &u, &is_new);

    if (e != FR_OK)
        return e;
    if (!is_new) {
        s->judged++;
        s->hits += among(u->item, u->n, key);
        s->popular_hits += among(s->top, s->n_top, key);
    }
    u->n = 0; /* this list has had its label */
    return FR_OK;
}

enum fr_err fr_demo_scores_list(struct fr_demo_scores *s, struct fr_str user, const struct fr_str *items, int n)
{
    struct user *u;
    bool is_new;
    enum fr_err e = user_at(s, key_of(user), &u, &is_new);

    if (e != FR_OK)
        return e;
    u->n = n < FR_DEMO_LIST ? n : FR_DEMO_LIST;
    for (int i = 0; i < u->n; i++)
        u->item[i] = key_of(items[i]);
    return FR_OK;
}

void fr_demo_scores_rates(const struct fr_demo_scores *s, uint64_t *judged, double *lists, double *popular)
{
    *judged = s->judged;
    *lists = s->judged == 0 ? (double)NAN : (double)s->hits / (double)s->judged;
    *popular = s->judged == 0 ? (double)NAN : (double)s->popular_hits / (double)s->judged;
}

void fr_demo_scores_free(struct fr_demo_scores *s)
{
    if (s == NULL)
        return;
    fr_map_done(&s->item_of);
    fr_map_done(&s->user_of);
    fr_free(s->item);
    fr_free(s->weight);
    fr_free(s->user);
    fr_free(s);
}
