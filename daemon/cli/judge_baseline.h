/*
 * daemon/cli/judge_baseline.h - the simple recommenders a real one has to beat.
 *
 * popular:  score of an item = sum over its events of 2^(-age in events / half_life)
 * rules:    when a user's event brings x, each earlier item y of that user at gap g = 1..10 gains the
 *           successor x with weight 1/g. `last` takes the successors of the newest item, `last-10` the
 *           sum over the newest 10 items, weighted 1/age.
 * repeat:   the user's own items, newest first.
 * Free places of the last three are filled from `popular`. Equal scores: the lower item number first.
 * Why apart: the judge stays independent of what it judges. Includes nothing of features/ or models/.
 * Layer: daemon/cli; base only. Thread: one at a time.
 */
#ifndef FR_CLI_JUDGE_BASELINE_H
#define FR_CLI_JUDGE_BASELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/map.h"

#define FR_JUDGE_N_MAX 100 /* longest list judged */
#define FR_JUDGE_GAPS 10   /* how far back rules and last-10 look */

/** A list of item numbers, best first. */
struct fr_judge_list {
    uint32_t item[FR_JUDGE_N_MAX];
    double score[FR_JUDGE_N_MAX];
    int n;
};

/**
 * Which items a list may not hold: item i is excluded while mark[i] == token. A new token empties it.
 * Owner: the judge.
 */
struct fr_judge_filter {
    uint32_t *mark;
    uint32_t token;
};

static inline bool fr_judge_excluded(const struct fr_judge_filter *f, uint32_t item)
{
    return f->mark[item] == f->token;
}

/** Items in the order of decayed popularity. Scores only grow (weights do), so an event moves one item
 *  up and nothing else. Owner: the judge; _done accepts a zeroed one. */
struct fr_judge_popular {
    double *score;   /* by item; 0 = not seen */
    uint32_t *order; /* rank -> item */
    uint32_t *rank;  /* item -> rank */
    uint32_t n;      /* items seen: order[0..n) */
    uint32_t cap;
    double weight; /* of the next event */
    double growth; /* 2^(1 / half_life) */
};

FR_MUST_CHECK enum fr_err fr_judge_popular_init(struct fr_judge_popular *p, uint32_t n_items, double half_life);
void fr_judge_popular_done(struct fr_judge_popular *p);
void fr_judge_popular_add(struct fr_judge_popular *p, uint32_t item);

/** Append the most popular items that are neither excluded nor in the list, up to n in all.
 *  @param in_list  used to recognise the list's own items; gets a new token. */
void fr_judge_popular_fill(const struct fr_judge_popular *p,
                           const struct fr_judge_filter *excluded,
                           struct fr_judge_filter *in_list,
                           int n,
                           struct fr_judge_list *list);

/** Successors of one item. */
struct fr_judge_row {
    uint32_t *item;
    double *weight;
    uint32_t n, cap;
};

/** Owner: the judge; _done accepts a zeroed one. */
struct fr_judge_rules {
    struct fr_judge_row *rows; /* by item */
    struct fr_map pairs;       /* (y << 32 | x) + 1 -> place in row y */
    uint32_t n_items;
    double *sum;       /* scratch of last-10, zero between calls */
    uint32_t *touched; /* scratch of last-10 */
};

FR_MUST_CHECK enum fr_err fr_judge_rules_init(struct fr_judge_rules *r, uint32_t n_items);
void fr_judge_rules_done(struct fr_judge_rules *r);

/** y gains the successor x. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_judge_rules_add(struct fr_judge_rules *r, uint32_t y, uint32_t x, double weight);

/** The best n successors of `recent` (newest first, each weighted 1 / its place from 1). */
void fr_judge_rules_list(struct fr_judge_rules *r,
                         const uint32_t *recent,
                         int n_recent,
                         const struct fr_judge_filter *excluded,
                         int n,
                         struct fr_judge_list *list);

#endif
