/*
 * daemon/stream/commit_tracker.c - see commit_tracker.h.
 */
#include "daemon/stream/commit_tracker.h"

#include <string.h>

#include "daemon/base/alloc.h"

enum fr_err fr_commit_tracker_init(struct fr_commit_tracker *t, uint32_t capacity, int64_t start)
{
    uint32_t cap = 1;

    if (capacity == 0 || capacity > UINT32_C(1) << 24)
        return FR_EINVAL;
    while (cap < capacity)
        cap *= 2;
    memset(t, 0, sizeof(*t));
    t->slots = fr_calloc(cap, sizeof(*t->slots));
    if (t->slots == NULL)
        return FR_ENOMEM;
    t->cap = cap;
    t->next = start;
    return FR_OK;
}

void fr_commit_tracker_done(struct fr_commit_tracker *t)
{
    fr_free(t->slots);
    memset(t, 0, sizeof(*t));
}

void fr_commit_tracker_reset(struct fr_commit_tracker *t, int64_t start)
{
    t->head = 0;
    t->n = 0;
    t->next = start;
}

static struct fr_commit_slot *at(struct fr_commit_tracker *t, uint32_t i)
{
    return &t->slots[(t->head + i) & (t->cap - 1)];
}

enum fr_err fr_commit_tracker_take(struct fr_commit_tracker *t, int64_t offset)
{
    if (offset < t->next)
        return FR_EINVAL;
    if (t->n == t->cap)
        return FR_EFULL;
    *at(t, t->n) = (struct fr_commit_slot){offset, 1};
    t->n++;
    t->next = offset + 1;
    return FR_OK;
}

/* Open slot of an offset by bisection; NULL when it is not open. */
static struct fr_commit_slot *find(struct fr_commit_tracker *t, int64_t offset)
{
    uint32_t lo = 0, hi = t->n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (at(t, mid)->offset < offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == t->n || at(t, lo)->offset != offset || at(t, lo)->open == 0)
        return NULL;
    return at(t, lo);
}

enum fr_err fr_commit_tracker_hold(struct fr_commit_tracker *t, int64_t offset)
{
    struct fr_commit_slot *s = find(t, offset);

    if (s == NULL)
        return FR_ENOTFOUND;
    s->open++;
    return FR_OK;
}

enum fr_err fr_commit_tracker_release(struct fr_commit_tracker *t, int64_t offset)
{
    struct fr_commit_slot *s = find(t, offset);

    if (s == NULL)
        return FR_ENOTFOUND;
    s->open--;
    while (t->n > 0 && at(t, 0)->open == 0) {
        t->head = (t->head + 1) & (t->cap - 1);
        t->n--;
    }
    return FR_OK;
}

int64_t fr_commit_tracker_position(const struct fr_commit_tracker *t)
{
    return t->n == 0 ? t->next : t->slots[t->head].offset;
}
