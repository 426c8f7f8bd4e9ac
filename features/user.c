#include "features/user.h"

#include <string.h>

#include "features/decay.h"

enum fr_err fr_user_new(const struct fr_spec *spec, struct fr_arena *ar, struct fr_user **out_user)
{
    struct fr_user *u = fr_arena_alloc(ar, sizeof *u);
    struct fr_history *h = fr_arena_array(ar, spec->history_length, sizeof *h);
    if (u == NULL || h == NULL)
        return FR_ENOMEM;
    memset(u, 0, sizeof *u);
    u->h = h;
    u->trig = FR_NO_OFFSET;
    u->applied = FR_NO_OFFSET;
    fr_seen_init(&u->seen, spec->seen_cap);
    *out_user = u;
    return FR_OK;
}

enum fr_err fr_user_check_time(const struct fr_spec *spec, int64_t event_ts, int64_t now_ms)
{
    return event_ts > now_ms && event_ts - now_ms > spec->max_future_ms ? FR_EFUTURE : FR_OK;
}

static bool in_dedup(const struct fr_user *u, uint64_t key)
{
    for (uint32_t i = u->dedup_n; i-- > 0;)
        if (u->dedup[i] == key)
            return true;
    return false;
}

static void dedup_push(const struct fr_spec *spec, struct fr_user *u, uint64_t key)
{
    if (spec->dedup_window == 0)
        return;
    if (u->dedup_n >=
        spec->dedup_window) { /* a window made smaller by a new config drops more than one */
        uint32_t drop = u->dedup_n - spec->dedup_window + 1;
        memmove(u->dedup, u->dedup + drop, (u->dedup_n - drop) * sizeof u->dedup[0]);
        u->dedup_n -= drop;
    }
    u->dedup[u->dedup_n++] = key;
}

static void history_insert(const struct fr_spec *spec,
                           struct fr_user *u,
                           const struct fr_event *ev,
                           struct fr_str id)
{
    uint32_t at = 0;
    while (at < u->h_n && u->h[at].ts > ev->ts)
        at++;
    if (at >= spec->history_length)
        return; /* older than everything a full history holds */
    uint32_t keep = u->h_n < spec->history_length ? u->h_n : spec->history_length - 1;
    memmove(u->h + at + 1, u->h + at, (keep - at) * sizeof u->h[0]);
    u->h[at] = (struct fr_history){id, ev->ts, ev->type, ev->item};
    u->h_n = keep + 1;
}

static void count_event(const struct fr_spec *spec, struct fr_user *u, const struct fr_event *ev)
{
    if (u->n == 0 || ev->ts > u->last_ts)
        fr_decay_rebase(
            &u->c[0][0], spec->n_types, u->landmark, spec->user_half_life_ms, ev->ts, u->n == 0);
    for (int k = 0; k < FR_HALF_LIVES; k++)
        u->c[ev->type][k] += fr_decay_up(ev->ts, u->landmark[k], spec->user_half_life_ms[k]);
    if (u->n == 0 || ev->ts < u->first_ts)
        u->first_ts = ev->ts;
    if (u->n == 0 || ev->ts > u->last_ts)
        u->last_ts = ev->ts;
    if (ev->ts > u->type_ts[ev->type])
        u->type_ts[ev->type] = ev->ts;
    u->n++;
}

bool fr_user_expired(const struct fr_spec *spec, const struct fr_user *u, int64_t now_ms)
{
    return spec->ttl_ms != 0 && u->n != 0 && now_ms > u->last_ts &&
           now_ms - u->last_ts > spec->ttl_ms;
}

/* Everything but offsets, trigger and the seen set. */
static void clear_state(struct fr_user *u)
{
    u->first_ts = u->last_ts = 0;
    u->n = 0;
    memset(u->landmark, 0, sizeof u->landmark);
    memset(u->c, 0, sizeof u->c);
    memset(u->type_ts, 0, sizeof u->type_ts);
    u->h_n = 0;
    u->dedup_n = 0;
    u->dirty = true;
}

bool fr_user_expire(const struct fr_spec *spec, struct fr_user *u, int64_t now_ms)
{
    if (!fr_user_expired(spec, u, now_ms))
        return false;
    clear_state(u);
    fr_seen_clear(&u->seen);
    return true;
}

enum fr_err fr_user_apply(const struct fr_spec *spec,
                          struct fr_user *u,
                          struct fr_arena *ar,
                          const struct fr_event *ev,
                          int64_t offset,
                          struct fr_applied *out)
{
    struct fr_applied done = {FR_APPLIED, false, false, false};
    struct fr_str id = {NULL, 0};

    if (ev->type < 0 || ev->type >= spec->n_types || ev->ts < 0 || ev->ts > FR_TS_MAX)
        return FR_EINVAL;
    if (offset <= u->applied) {
        out->result = FR_APPLY_BELOW;
        out->late = out->expired = out->seen_added = false;
        return FR_OK;
    }
    done.expired = fr_user_expired(spec, u, ev->ts);
    if (!done.expired && in_dedup(u, ev->event_key)) {
        done.result = FR_APPLY_DUPLICATE;
        u->applied = offset;
        u->dirty = true;
        *out = done;
        return FR_OK;
    }
    const struct fr_type *type = &spec->type[ev->type];
    bool has_item = ev->item_id.n != 0;
    if (has_item && type->history && fr_arena_dup(ar, ev->item_id, &id) != FR_OK)
        return FR_ENOMEM;
    struct fr_seen before = u->seen; /* a copy is the set as it stood */
    if (done.expired)
        fr_seen_clear(&u->seen);
    if (has_item && type->seen && spec->seen_cap != 0 &&
        fr_seen_add(&u->seen, ar, ev->item_id, &done.seen_added) != FR_OK) {
        u->seen = before;
        return FR_ENOMEM;
    }
    /* nothing fails from here on */
    if (done.expired)
        clear_state(u);
    done.late = u->n != 0 && ev->ts < u->last_ts;
    count_event(spec, u, ev);
    if (has_item && type->history)
        history_insert(spec, u, ev, id);
    dedup_push(spec, u, ev->event_key);
    u->applied = offset;
    u->dirty = true;
    *out = done;
    return FR_OK;
}

bool fr_user_trigger(const struct fr_spec *spec,
                     struct fr_user *u,
                     const struct fr_event *ev,
                     int64_t offset)
{
    if (ev->type < 0 || ev->type >= spec->n_types || !spec->type[ev->type].trigger)
        return false;
    if (spec->min_interval_ms > 0 && u->trig != FR_NO_OFFSET &&
        ev->ts - u->trig_ts < spec->min_interval_ms)
        return false;
    if (u->trig == FR_NO_OFFSET || ev->ts > u->trig_ts)
        u->trig_ts = ev->ts;
    u->trig = offset;
    u->dirty = true;
    return true;
}

double fr_user_count(
    const struct fr_spec *spec, const struct fr_user *u, uint32_t types, int half_life, int64_t t)
{
    double sum = 0;
    if (u->n == 0)
        return 0;
    for (int i = 0; i < spec->n_types; i++)
        if (types & (1u << i))
            sum += u->c[i][half_life];
    if (t < u->last_ts)
        t = u->last_ts;
    return sum * fr_decay_down(t, u->landmark[half_life], spec->user_half_life_ms[half_life]);
}

int64_t fr_user_newest(const struct fr_spec *spec, const struct fr_user *u, uint32_t types)
{
    int64_t newest = 0;
    for (int i = 0; i < spec->n_types; i++)
        if ((types & (1u << i)) && u->type_ts[i] > newest)
            newest = u->type_ts[i];
    return newest;
}

uint64_t fr_user_history_hash(const struct fr_spec *spec, struct fr_user *u, uint32_t i)
{
    if (u->h[i].item == 0)
        u->h[i].item = fr_id_hash(spec->key, u->h[i].id);
    return u->h[i].item;
}
