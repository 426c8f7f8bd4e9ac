/*
 * ann/topk.c - see topk.h: a binary heap, worst hit at index 0.
 */
#include "ann/topk.h"

static void sift_down(struct fr_ann_hit *hit, uint32_t n, uint32_t at)
{
    struct fr_ann_hit h = hit[at];

    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= n)
            break;
        if (child + 1 < n && fr_hit_before(hit[child], hit[child + 1]))
            child++;
        if (!fr_hit_before(h, hit[child]))
            break;
        hit[at] = hit[child];
        at = child;
    }
    hit[at] = h;
}

void fr_topk_push(struct fr_topk *t, struct fr_ann_hit h)
{
    if (t->n == t->cap) {
        if (fr_hit_before(h, t->hit[0])) {
            t->hit[0] = h;
            sift_down(t->hit, t->n, 0);
        }
        return;
    }
    uint32_t at = t->n++;
    while (at > 0) {
        uint32_t parent = (at - 1) / 2;
        if (!fr_hit_before(t->hit[parent], h))
            break;
        t->hit[at] = t->hit[parent];
        at = parent;
    }
    t->hit[at] = h;
}

void fr_topk_sort(struct fr_topk *t)
{
    for (uint32_t n = t->n; n > 1; n--) {
        struct fr_ann_hit worst = t->hit[0];
        t->hit[0] = t->hit[n - 1];
        sift_down(t->hit, n - 1, 0);
        t->hit[n - 1] = worst;
    }
}
