/*
 * daemon/learn/stream_shown.c - see stream_shown.h.
 */
#include "daemon/learn/stream_shown.h"

#include <math.h>
#include <stdlib.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"

static uint64_t rec_hash(const struct fr_event *ev)
{
    static const struct fr_hash_key key = {0};
    uint64_t h = ev->rec_id.n == 0 ? 0 : fr_siphash(key, ev->rec_id);

    return ev->rec_id.n > 0 && h == 0 ? 1 : h;
}

/* Room for one more list and n more items. */
static enum fr_err room(struct fr_shown_finder *f, uint32_t n)
{
    struct fr_stream_labels *l = f->labels;

    if (l->n_shown == f->cap) {
        size_t cap = f->cap == 0 ? 1024 : f->cap * 2;
        void *a = fr_realloc_array(l->shown, cap, sizeof(*l->shown)), *b;
        if (a == NULL)
            return FR_ENOMEM;
        l->shown = a;
        b = fr_realloc_array(f->open, cap, sizeof(*f->open));
        if (b == NULL)
            return FR_ENOMEM;
        f->open = b;
        f->cap = cap;
    }
    if (f->items + n > f->items_cap) {
        size_t cap = (f->items + n) * 2;
        void *a = fr_realloc_array(l->shown_item, cap, sizeof(*l->shown_item)), *b, *c;
        if (a == NULL)
            return FR_ENOMEM;
        l->shown_item = a;
        b = fr_realloc_array(l->shown_click, cap, sizeof(*l->shown_click));
        if (b == NULL)
            return FR_ENOMEM;
        l->shown_click = b;
        c = fr_realloc_array(l->shown_value, cap, sizeof(*l->shown_value));
        if (c == NULL)
            return FR_ENOMEM;
        l->shown_value = c;
        f->items_cap = cap;
    }
    return FR_OK;
}

enum fr_err
fr_shown_finder_impressions(struct fr_shown_finder *f, const struct fr_event *ev, uint32_t trigger)
{
    struct fr_stream_labels *l = f->labels;
    enum fr_err e;

    if (trigger == FR_MAP_NONE)
        return FR_OK;
    l->n_impressions++;
    e = room(f, ev->n_impressions);
    if (e == FR_OK)
        e = fr_map_put(&f->newest, ev->user, (uint32_t)l->n_shown);
    if (e != FR_OK)
        return e;
    l->shown[l->n_shown] = (struct fr_stream_shown){trigger, f->items, ev->n_impressions, 0};
    f->open[l->n_shown++] = (struct fr_shown_open){ev->ts, rec_hash(ev)};
    for (uint32_t i = 0; i < ev->n_impressions; i++) {
        l->shown_item[f->items] = ev->impressions[i].item;
        l->shown_value[f->items] = NAN;
        l->shown_click[f->items++] = false;
    }
    return FR_OK;
}

/* The list that an event is about: its user's newest one. NULL: none, another's, or too long ago. */
static struct fr_stream_shown *list_of(const struct fr_shown_finder *f, const struct fr_event *ev)
{
    uint32_t at = fr_map_get(&f->newest, ev->user);
    uint64_t rec = rec_hash(ev);

    if (at == FR_MAP_NONE || (rec != 0 && f->open[at].rec != 0 && rec != f->open[at].rec) ||
        ev->ts - f->open[at].ts > FR_SHOWN_WINDOW_MS)
        return NULL;
    return &f->labels->shown[at];
}

void fr_shown_finder_value(struct fr_shown_finder *f, const struct fr_event *ev, float value)
{
    struct fr_stream_labels *l = f->labels;
    const struct fr_stream_shown *s = list_of(f, ev);

    for (size_t i = 0; s != NULL && i < s->n; i++)
        if (l->shown_item[s->first + i] == ev->item && l->shown_click[s->first + i] &&
            isnan(l->shown_value[s->first + i])) {
            l->shown_value[s->first + i] = value;
            return;
        }
}

void fr_shown_finder_positive(struct fr_shown_finder *f, const struct fr_event *ev)
{
    struct fr_stream_labels *l = f->labels;
    struct fr_stream_shown *s = list_of(f, ev);

    for (uint32_t i = 0; s != NULL && i < s->n; i++) {
        if (l->shown_item[s->first + i] != ev->item || l->shown_click[s->first + i])
            continue;
        l->shown_click[s->first + i] = true;
        s->clicks++;
        return;
    }
}

static int by_line(const void *a, const void *b)
{
    const struct fr_stream_shown *x = a, *y = b;

    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

void fr_shown_finder_finish(struct fr_shown_finder *f)
{
    struct fr_stream_labels *l = f->labels;
    size_t n = 0;

    for (size_t i = 0; i < l->n_shown; i++)
        if (l->shown[i].clicks > 0)
            l->shown[n++] = l->shown[i];
    l->n_shown = n;
    if (n > 1)
        qsort(l->shown, n, sizeof(*l->shown), by_line);
    fr_map_done(&f->newest);
    fr_free(f->open);
}
