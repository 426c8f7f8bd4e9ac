/*
 * daemon/cli/judge_baseline.c - decayed popularity and co-visit rules over item numbers.
 */
#include "daemon/cli/judge_baseline.h"

#include <math.h>
#include <string.h>

#include "daemon/base/alloc.h"

#define RESCALE_AT 1e200 /* weights grow without bound; far from the largest double */

enum fr_err fr_judge_popular_init(struct fr_judge_popular *p, uint32_t n_items, double half_life)
{
    memset(p, 0, sizeof(*p));
    p->cap = n_items;
    p->weight = 1;
    p->growth = exp2(1 / half_life);
    if (n_items == 0)
        return FR_OK;
    p->score = fr_calloc(n_items, sizeof(*p->score));
    p->order = fr_calloc(n_items, sizeof(*p->order));
    p->rank = fr_calloc(n_items, sizeof(*p->rank));
    if (p->score == NULL || p->order == NULL || p->rank == NULL) {
        fr_judge_popular_done(p);
        return FR_ENOMEM;
    }
    return FR_OK;
}

void fr_judge_popular_done(struct fr_judge_popular *p)
{
    fr_free(p->score);
    fr_free(p->order);
    fr_free(p->rank);
    memset(p, 0, sizeof(*p));
}

static void rescale(struct fr_judge_popular *p)
{
    for (uint32_t i = 0; i < p->n; i++)
        p->score[p->order[i]] /= p->weight; /* may fade to 0: the order stays */
    p->weight = 1;
}

void fr_judge_popular_add(struct fr_judge_popular *p, uint32_t item)
{
    uint32_t r;

    if (p->n == 0 || (p->order[p->rank[item]] != item || p->rank[item] >= p->n)) {
        p->rank[item] = p->n;
        p->order[p->n++] = item;
    }
    p->weight *= p->growth;
    if (p->weight > RESCALE_AT)
        rescale(p);
    p->score[item] += p->weight;
    for (r = p->rank[item]; r > 0; r--) {
        uint32_t above = p->order[r - 1];
        double s = p->score[above];

        if (s > p->score[item] || (s >= p->score[item] && above < item))
            break;
        p->order[r] = above;
        p->rank[above] = r;
    }
    p->order[r] = item;
    p->rank[item] = r;
}

void fr_judge_popular_fill(const struct fr_judge_popular *p,
                           const struct fr_judge_filter *excluded,
                           struct fr_judge_filter *in_list,
                           int n,
                           struct fr_judge_list *list)
{
    if (list->n >= n)
        return;
    in_list->token++;
    for (int i = 0; i < list->n; i++)
        in_list->mark[list->item[i]] = in_list->token;
    for (uint32_t r = 0; r < p->n && list->n < n; r++) {
        uint32_t item = p->order[r];

        if (fr_judge_excluded(excluded, item) || fr_judge_excluded(in_list, item))
            continue;
        list->score[list->n] = 0;
        list->item[list->n++] = item;
    }
}

enum fr_err fr_judge_rules_init(struct fr_judge_rules *r, uint32_t n_items)
{
    memset(r, 0, sizeof(*r));
    r->n_items = n_items;
    if (n_items == 0)
        return FR_OK;
    r->rows = fr_calloc(n_items, sizeof(*r->rows));
    r->sum = fr_calloc(n_items, sizeof(*r->sum));
    r->touched = fr_calloc(n_items, sizeof(*r->touched));
    if (r->rows == NULL || r->sum == NULL || r->touched == NULL) {
        fr_judge_rules_done(r);
        return FR_ENOMEM;
    }
    return FR_OK;
}

void fr_judge_rules_done(struct fr_judge_rules *r)
{
    for (uint32_t i = 0; r->rows != NULL && i < r->n_items; i++) {
        fr_free(r->rows[i].item);
        fr_free(r->rows[i].weight);
    }
    fr_free(r->rows);
    fr_free(r->sum);
    fr_free(r->touched);
    fr_map_done(&r->pairs);
    memset(r, 0, sizeof(*r));
}

static enum fr_err grow(struct fr_judge_row *row)
{
    uint32_t cap = row->cap == 0 ? 4 : row->cap * 2;
    uint32_t *item = fr_realloc_array(row->item, cap, sizeof(*item));
    double *weight;

    if (item == NULL)
        return FR_ENOMEM;
    row->item = item;
    weight = fr_realloc_array(row->weight, cap, sizeof(*weight));
    if (weight == NULL)
        return FR_ENOMEM;
    row->weight = weight;
    row->cap = cap;
    return FR_OK;
}

enum fr_err fr_judge_rules_add(struct fr_judge_rules *r, uint32_t y, uint32_t x, double weight)
{
    uint64_t key = ((uint64_t)y << 32 | x) + 1;
    struct fr_judge_row *row = &r->rows[y];
    uint32_t at = fr_map_get(&r->pairs, key);
    enum fr_err e;

    if (at != FR_MAP_NONE) {
        row->weight[at] += weight;
        return FR_OK;
    }
    if (row->n == row->cap) {
        e = grow(row);
        if (e != FR_OK)
            return e;
    }
    e = fr_map_put(&r->pairs, key, row->n);
    if (e != FR_OK)
        return e;
    row->item[row->n] = x;
    row->weight[row->n++] = weight;
    return FR_OK;
}

/* Keep the n best in order: score falling, item number rising. */
static inline void offer(struct fr_judge_list *list, int n, uint32_t item, double score)
{
    int i = list->n;

    if (i == n) {
        if (score < list->score[n - 1] || (score <= list->score[n - 1] && item > list->item[n - 1]))
            return;
        i--;
    } else {
        list->n++;
    }
    for (; i > 0; i--) {
        double s = list->score[i - 1];

        if (s > score || (s >= score && list->item[i - 1] < item))
            break;
        list->score[i] = s;
        list->item[i] = list->item[i - 1];
    }
    list->score[i] = score;
    list->item[i] = item;
}

void fr_judge_rules_list(struct fr_judge_rules *r,
                         const uint32_t *recent,
                         int n_recent,
                         const struct fr_judge_filter *excluded,
                         int n,
                         struct fr_judge_list *list)
{
    uint32_t n_touched = 0;

    list->n = 0;
    for (int k = 0; k < n_recent; k++) {
        const struct fr_judge_row *row = &r->rows[recent[k]];
        double w = 1.0 / (k + 1);

        for (uint32_t i = 0; i < row->n; i++) {
            uint32_t x = row->item[i];

            if (r->sum[x] <= 0)
                r->touched[n_touched++] = x;
            r->sum[x] += w * row->weight[i];
        }
    }
    for (uint32_t i = 0; i < n_touched; i++) {
        uint32_t x = r->touched[i];

        if (!fr_judge_excluded(excluded, x))
            offer(list, n, x, r->sum[x]);
        r->sum[x] = 0;
    }
}
