#include "features/item_stats.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "features/decay.h"
#include "features/item_codec.h"

#define EVENTS_PER_SNAPSHOT 16 /* a snapshot waits for items / this many events */

struct fr_item_stats {
    const struct fr_spec *spec;
    struct fr_map by_item;
    struct fr_arena *ids; /* id strings, never freed singly */
    struct fr_item_row *row;
    double *c; /* (cap, n_types, FR_HALF_LIVES) */
    struct fr_str *id;
    uint32_t *dirty;
    bool *is_dirty;
    uint32_t n, cap, n_dirty;
    int64_t watermark;
    uint32_t since; /* events counted since the last snapshot, saturating */
    bool published; /* there was a snapshot */
};

static size_t width(const struct fr_item_stats *st)
{
    return (size_t)st->spec->n_types * FR_HALF_LIVES;
}

static double *counters(const struct fr_item_stats *st, uint32_t i)
{
    return st->c + i * width(st);
}

enum fr_err fr_item_stats_new(const struct fr_spec *spec, struct fr_item_stats **out)
{
    struct fr_item_stats *st = fr_calloc(1, sizeof *st);
    if (st == NULL)
        return FR_ENOMEM;
    if (fr_arena_new(64 * 1024, 0, &st->ids) != FR_OK) {
        fr_free(st);
        return FR_ENOMEM;
    }
    st->spec = spec;
    st->watermark = INT64_MIN;
    *out = st;
    return FR_OK;
}

void fr_item_stats_free(struct fr_item_stats *st)
{
    if (st == NULL)
        return;
    fr_map_done(&st->by_item);
    fr_arena_free(st->ids);
    fr_free(st->row);
    fr_free(st->c);
    fr_free(st->id);
    fr_free(st->dirty);
    fr_free(st->is_dirty);
    fr_free(st);
}

uint32_t fr_item_stats_size(const struct fr_item_stats *st)
{
    return st->n;
}

int64_t fr_item_stats_watermark(const struct fr_item_stats *st)
{
    return st->watermark;
}

bool fr_item_stats_due(const struct fr_item_stats *st, int64_t ts, int64_t *out_tick)
{
    int64_t tick = fr_decay_landmark(ts, st->spec->item_tick_ms);
    if (st->watermark == INT64_MIN ||
        tick <= fr_decay_landmark(st->watermark, st->spec->item_tick_ms))
        return false;
    if (st->published && st->since < st->n / EVENTS_PER_SNAPSHOT)
        return false;
    *out_tick = tick;
    return true;
}

/* ---- rows ---- */

static bool grow_one(void *field, size_t cap, size_t size)
{
    void *old, *p;
    memcpy(&old, field, sizeof old);
    p = fr_realloc_array(old, cap, size);
    if (p == NULL)
        return false;
    memcpy(field, &p, sizeof p);
    return true;
}

/* Room for one more row. Arrays grown before a failure stay grown: harmless. */
static enum fr_err reserve(struct fr_item_stats *st)
{
    if (st->n < st->cap)
        return FR_OK;
    if (st->cap > UINT32_MAX / 4)
        return FR_EOVERFLOW;
    uint32_t cap = st->cap == 0 ? 256 : st->cap * 2;
    if (!grow_one(&st->row, cap, sizeof *st->row) ||
        !grow_one(&st->c, cap, width(st) * sizeof *st->c) ||
        !grow_one(&st->id, cap, sizeof *st->id) || !grow_one(&st->dirty, cap, sizeof *st->dirty) ||
        !grow_one(&st->is_dirty, cap, sizeof *st->is_dirty))
        return FR_ENOMEM;
    st->cap = cap;
    return FR_OK;
}

static enum fr_err
find_or_add(struct fr_item_stats *st, uint64_t item, struct fr_str id, uint32_t *out_i)
{
    uint32_t i = fr_map_get(&st->by_item, item);
    if (i != FR_MAP_NONE) {
        *out_i = i;
        return FR_OK;
    }
    struct fr_str copy;
    enum fr_err e = reserve(st);
    if (e == FR_OK)
        e = fr_arena_dup(st->ids, id, &copy);
    if (e == FR_OK)
        e = fr_map_put(&st->by_item, item, st->n);
    if (e != FR_OK)
        return e;
    i = st->n++;
    st->row[i] = (struct fr_item_row){.item = item, .first_ts = INT64_MAX, .last_ts = INT64_MIN};
    memset(counters(st, i), 0, width(st) * sizeof *st->c);
    st->id[i] = copy;
    st->is_dirty[i] = false;
    *out_i = i;
    return FR_OK;
}

/* Take rows [from, n) back out. */
static void drop_rows(struct fr_item_stats *st, uint32_t from)
{
    for (uint32_t i = from; i < st->n; i++)
        fr_map_del(&st->by_item, st->row[i].item);
    st->n = from;
}

static void count(struct fr_item_stats *st, uint32_t i, int type, int64_t ts)
{
    struct fr_item_row *r = &st->row[i];
    double *c = counters(st, i);

    if (ts > r->last_ts)
        fr_decay_rebase(c,
                        st->spec->n_types,
                        r->landmark,
                        st->spec->item_half_life_ms,
                        ts,
                        r->last_ts == INT64_MIN);
    for (int k = 0; k < FR_HALF_LIVES; k++)
        c[type * FR_HALF_LIVES + k] +=
            fr_decay_up(ts, r->landmark[k], st->spec->item_half_life_ms[k]);
    if (ts < r->first_ts)
        r->first_ts = ts;
    if (ts > r->last_ts)
        r->last_ts = ts;
    if (!st->is_dirty[i]) {
        st->is_dirty[i] = true;
        st->dirty[st->n_dirty++] = i;
    }
}

enum fr_err fr_item_stats_apply(struct fr_item_stats *st, const struct fr_event *ev)
{
    uint32_t at[FR_MAX_IMPRESSIONS + 1];
    uint32_t n = 0, before = st->n;
    enum fr_err e = FR_OK;

    if (ev->type < 0 || ev->type >= st->spec->n_types || ev->ts < 0 || ev->ts > FR_TS_MAX ||
        ev->n_impressions > FR_MAX_IMPRESSIONS)
        return FR_EINVAL;
    if (ev->item_id.n != 0)
        e = find_or_add(st, ev->item, ev->item_id, &at[n++]);
    for (uint32_t i = 0; e == FR_OK && i < ev->n_impressions; i++)
        e = find_or_add(st, ev->impressions[i].item, ev->impressions[i].item_id, &at[n++]);
    if (e != FR_OK) {
        drop_rows(st, before);
        return e;
    }
    for (uint32_t i = 0; i < n; i++)
        count(st, at[i], ev->type, ev->ts);
    if (n > 0 && ev->ts > st->watermark)
        st->watermark = ev->ts;
    if (n > 0 && st->since < UINT32_MAX)
        st->since++;
    return FR_OK;
}

double fr_item_stats_count(
    const struct fr_item_stats *st, uint64_t item, uint32_t types, int half_life, int64_t t)
{
    uint32_t i = fr_map_get(&st->by_item, item);
    double sum = 0;
    if (i == FR_MAP_NONE)
        return 0;
    for (int k = 0; k < st->spec->n_types; k++)
        if (types & (1u << k))
            sum += counters(st, i)[k * FR_HALF_LIVES + half_life];
    if (t < st->row[i].last_ts)
        t = st->row[i].last_ts;
    return sum *
           fr_decay_down(t, st->row[i].landmark[half_life], st->spec->item_half_life_ms[half_life]);
}

/* ---- saving and loading ---- */

const uint32_t *fr_item_stats_dirty(const struct fr_item_stats *st, uint32_t *out_n)
{
    *out_n = st->n_dirty;
    return st->dirty;
}

struct fr_str fr_item_stats_id(const struct fr_item_stats *st, uint32_t i)
{
    return st->id[i];
}

void fr_item_stats_encode(const struct fr_item_stats *st, uint32_t i, struct fr_buf *out)
{
    fr_item_row_encode(st->spec, &st->row[i], counters(st, i), out);
}

void fr_item_stats_clean(struct fr_item_stats *st)
{
    for (uint32_t i = 0; i < st->n_dirty; i++)
        st->is_dirty[st->dirty[i]] = false;
    st->n_dirty = 0;
}

enum fr_err fr_item_stats_load(struct fr_item_stats *st,
                               struct fr_str item_id,
                               struct fr_str record,
                               struct fr_fault *fault)
{
    double c[FR_MAX_EVENT_TYPES * FR_HALF_LIVES];
    struct fr_item_row row = {0};
    uint64_t item = fr_id_hash(st->spec->key, item_id);
    uint32_t i;

    if (item_id.n == 0 || item_id.n > FR_ID_MAX)
        return fr_fault(fault, FR_ECORRUPT, "item record: the id has %zu bytes", item_id.n);
    if (fr_map_get(&st->by_item, item) != FR_MAP_NONE)
        return fr_fault(fault, FR_EDUPLICATE, "item record \"%.*s\" twice", FR_STR_ARG(item_id));
    enum fr_err e = fr_item_row_decode(st->spec, record, &row, c, fault);
    if (e == FR_OK)
        e = find_or_add(st, item, item_id, &i);
    if (e != FR_OK)
        return e;
    row.item = item;
    st->row[i] = row;
    memcpy(counters(st, i), c, width(st) * sizeof *c);
    if (row.last_ts > st->watermark)
        st->watermark = row.last_ts;
    return FR_OK;
}

/* ---- snapshots ---- */

enum fr_err
fr_item_stats_snapshot(struct fr_item_stats *st, int64_t tick_ts, struct fr_item_snapshot **out)
{
    struct fr_item_snapshot *s = fr_calloc(1, sizeof *s);
    if (s == NULL)
        return FR_ENOMEM;
    s->tick_ts = tick_ts;
    s->n = st->n;
    s->n_types = st->spec->n_types;
    if (st->n > 0) {
        s->row = fr_malloc_array(st->n, sizeof *s->row);
        s->c = fr_malloc_array(st->n, width(st) * sizeof *s->c);
        if (s->row == NULL || s->c == NULL) {
            fr_item_snapshot_free(s);
            return FR_ENOMEM;
        }
        memcpy(s->row, st->row, st->n * sizeof *s->row);
        memcpy(s->c, st->c, st->n * width(st) * sizeof *s->c);
    }
    st->since = 0;
    st->published = true;
    *out = s;
    return FR_OK;
}

void fr_item_snapshot_free(struct fr_item_snapshot *s)
{
    if (s == NULL)
        return;
    fr_free(s->row);
    fr_free(s->c);
    fr_free(s);
}
