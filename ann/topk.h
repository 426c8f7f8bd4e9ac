/*
 * ann/topk.h - the k best hits seen so far, in a heap with the worst on top.
 *
 * Order: higher score first, ties by smaller label, so that the result does not depend on the order
 * of the scan. Scores are never NaN (the index refuses such vectors).
 * Layer: ann/ only.
 */
#ifndef FR_ANN_TOPK_H
#define FR_ANN_TOPK_H

#include <stdbool.h>
#include <stdint.h>

#include "ann/index.h"

/** Owner: the caller's storage; `hit` is borrowed. Thread: one. */
struct fr_topk {
    struct fr_ann_hit *hit; /* (cap) */
    uint32_t n, cap;        /* cap >= 1 */
};

/** True if `a` stands before `b` in a result. */
static inline bool fr_hit_before(struct fr_ann_hit a, struct fr_ann_hit b)
{
    return a.score > b.score || (a.score == b.score && a.label < b.label);
}

/** Keep the hit if it is among the best `cap`. */
void fr_topk_push(struct fr_topk *t, struct fr_ann_hit h);

/** Sort best first; the heap is used up. */
void fr_topk_sort(struct fr_topk *t);

static inline bool fr_topk_full(const struct fr_topk *t)
{
    return t->n == t->cap;
}

/** Could a hit of this score enter? */
static inline bool fr_topk_wants(const struct fr_topk *t, float score)
{
    return t->n < t->cap || score >= t->hit[0].score;
}

#endif
