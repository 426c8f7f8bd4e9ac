/*
 * daemon/pipeline/stage2_features.c - see stage2_features.h.
 */
#include "daemon/pipeline/stage2_features.h"

#include <string.h>

#include "features/user.h"
#include "features/user_codec.h"

#define NONE UINT32_MAX

/* Does this record need its user's state? Below V nothing does; in [V, R) only a possible trigger. */
static bool needs_user(const struct fr_work *w)
{
    if (w->kind == FR_WORK_REQUEST)
        return true;
    if (w->kind != FR_WORK_EVENT)
        return false;
    return w->rec.offset >= w->part->r || w->rec.offset >= w->part->c0[FR_TOPIC_EVENTS];
}

static uint64_t user_of(const struct fr_work *w)
{
    return w->kind == FR_WORK_REQUEST ? w->req.user : w->ev.user;
}

static struct fr_str user_id_of(const struct fr_work *w)
{
    return w->kind == FR_WORK_REQUEST ? w->req.user_id : w->ev.user_id;
}

static uint32_t touch(struct fr_features_stage *fx, const struct fr_work *w)
{
    uint64_t user = user_of(w);
    uint64_t i = (user ^ (uint64_t)w->part->partition * UINT64_C(0x9e3779b97f4a7c15)) & fx->mask;

    while (fx->slot[i] != 0) {
        struct fr_touched *t = &fx->t[fx->slot[i] - 1];
        if (t->user == user && t->part == w->part)
            return (uint32_t)fx->slot[i] - 1;
        i = (i + 1) & fx->mask;
    }
    fx->t[fx->n_t] = (struct fr_touched){w->part, user, user_id_of(w), NULL};
    fx->slot[i] = ++fx->n_t;
    return fx->n_t - 1;
}

static enum fr_err from_cache(struct fr_features_stage *fx, uint32_t i)
{
    struct fr_str record, seen;

    if (!fr_user_cache_get(&fx->t[i].part->cache, fx->t[i].user, &record, &seen)) {
        fr_count(fx->mx, FR_C_CACHE_MISSES, 1);
        return FR_OK;
    }
    fr_count(fx->mx, FR_C_CACHE_HITS, 1);
    /* the cache may drop the bytes while this batch lives */
    if (fr_arena_dup(fx->ar, record, &record) != FR_OK || fr_arena_dup(fx->ar, seen, &seen) != FR_OK)
        return FR_ENOMEM;
    return fr_features_give(fx, i, record, seen, NULL);
}

enum fr_err fr_features_begin(struct fr_features_stage *fx, struct fr_batch *b)
{
    uint64_t slots = 16;

    while (slots < (uint64_t)b->n * 2)
        slots *= 2;
    fx->mask = slots - 1;
    fx->n_t = 0;
    fx->slot = fr_arena_zarray(fx->ar, slots, sizeof(*fx->slot));
    fx->t = fr_arena_array(fx->ar, (size_t)b->n + 1, sizeof(*fx->t));
    fx->of_work = fr_arena_array(fx->ar, (size_t)b->n + 1, sizeof(*fx->of_work));
    if (fx->slot == NULL || fx->t == NULL || fx->of_work == NULL)
        return FR_ENOMEM;
    for (int i = 0; i < b->n; i++)
        fx->of_work[i] = needs_user(&b->work[i]) ? touch(fx, &b->work[i]) : NONE;
    for (uint32_t i = 0; i < fx->n_t; i++) {
        enum fr_err e = from_cache(fx, i);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

enum fr_err fr_features_give(struct fr_features_stage *fx,
                             uint32_t i,
                             struct fr_str record,
                             struct fr_str seen,
                             struct fr_fault *fault)
{
    const struct fr_spec *spec = fx->eng->spec;
    struct fr_user *u;
    enum fr_err e = fr_user_decode(spec, fx->ar, record, &u, fault);

    if (e == FR_OK)
        e = fr_seen_decode(&u->seen, spec->seen_cap, seen, fault);
    if (e == FR_OK)
        fx->t[i].u = u;
    return e;
}

static enum fr_err count_item(const struct fr_work *w, fr_features_tick_fn tick, void *ctx)
{
    int64_t tick_ts;

    if (fr_item_stats_due(w->part->items, w->ev.ts, &tick_ts)) {
        enum fr_err e = tick(ctx, w->part, tick_ts);
        if (e != FR_OK)
            return e;
    }
    return fr_item_stats_apply(w->part->items, &w->ev);
}

/* May this trigger publish? Decides publication only, never the choice of trigger. */
static bool publishes(struct fr_features_stage *fx, const struct fr_work *w, int64_t now_ms)
{
    const struct fr_config *cfg = fx->eng->cfg;

    if (w->rec.offset < w->part->c0[FR_TOPIC_EVENTS])
        return false;
    if (w->ev.ts < cfg->recommend_since_ms) {
        fr_count(fx->mx, FR_C_RECS_SINCE, 1);
        return false;
    }
    if (!fx->eng->deterministic && cfg->recommend_max_age_ms > 0 &&
        now_ms - w->ev.ts > cfg->recommend_max_age_ms) {
        fr_count(fx->mx, FR_C_RECS_MAX_AGE, 1);
        return false;
    }
    return true;
}

static enum fr_err add_trigger(struct fr_features_stage *fx,
                               struct fr_batch *b,
                               const struct fr_work *w,
                               struct fr_user *u,
                               const struct fr_row_context *ctx,
                               bool regenerated)
{
    struct fr_trigger *t = &b->trig[b->n_trig];
    enum fr_err e;

    memset(t, 0, sizeof(*t));
    e = fr_row_cut(fx->eng->spec, u, ctx, fx->ar, &t->cut);
    if (e != FR_OK)
        return e;
    t->work = w;
    t->regenerated = regenerated;
    t->generation = fx->eng->deterministic ? *fx->generation : NULL;
    b->n_trig++;
    return FR_OK;
}

/* An event whose effect is in Redis already. */
static enum fr_err reread(struct fr_features_stage *fx,
                          struct fr_batch *b,
                          const struct fr_work *w,
                          struct fr_user *u,
                          int64_t now_ms,
                          fr_features_tick_fn tick,
                          void *tick_ctx)
{
    int64_t o = w->rec.offset;
    enum fr_err e = FR_OK;

    fr_count(fx->mx, FR_C_EVENTS_REREAD, 1);
    if (o >= w->part->v && !fr_part_skipped(w->part, o))
        e = count_item(w, tick, tick_ctx);
    if (e == FR_OK && u != NULL && u->trig == o && publishes(fx, w, now_ms)) {
        struct fr_row_context ctx = fr_row_context_of(&w->ev, o);
        e = add_trigger(fx, b, w, u, &ctx, true);
    }
    return e;
}

static enum fr_err apply_event(struct fr_features_stage *fx,
                               struct fr_batch *b,
                               const struct fr_work *w,
                               struct fr_user *u,
                               int64_t now_ms,
                               fr_features_tick_fn tick,
                               void *tick_ctx)
{
    const struct fr_spec *spec = fx->eng->spec;
    uint64_t evicted = fr_seen_evicted(&u->seen);
    struct fr_applied done;
    enum fr_err e = fr_user_apply(spec, u, fx->ar, &w->ev, w->rec.offset, &done);

    if (e != FR_OK)
        return e;
    if (done.result != FR_APPLIED) {
        fr_count(fx->mx, FR_C_EVENTS_DUPLICATE, 1);
        return fr_part_skip(w->part, w->rec.offset);
    }
    fr_count(fx->mx, FR_C_EVENTS_APPLIED, 1);
    fr_count(fx->mx, FR_C_SEEN_EVICTED, fr_seen_evicted(&u->seen) - evicted);
    e = count_item(w, tick, tick_ctx);
    if (e == FR_OK && fr_user_trigger(spec, u, &w->ev, w->rec.offset) && publishes(fx, w, now_ms)) {
        struct fr_row_context ctx = fr_row_context_of(&w->ev, w->rec.offset);
        e = add_trigger(fx, b, w, u, &ctx, false);
    }
    return e;
}

static enum fr_err answer(struct fr_features_stage *fx,
                          struct fr_batch *b,
                          const struct fr_work *w,
                          struct fr_user *u)
{
    struct fr_row_context ctx = {w->req.user, w->req.ts, FR_NO_OFFSET, -1, w->req.device};

    return add_trigger(fx, b, w, u, &ctx, false);
}

enum fr_err fr_features_apply(struct fr_features_stage *fx,
                              struct fr_batch *b,
                              int64_t now_ms,
                              fr_features_tick_fn tick,
                              void *tick_ctx)
{
    b->n_trig = 0;
    b->trig = fr_arena_array(fx->ar, (size_t)b->n + 1, sizeof(*b->trig));
    if (b->trig == NULL)
        return FR_ENOMEM;
    for (int i = 0; i < b->n; i++) {
        const struct fr_work *w = &b->work[i];
        struct fr_user *u = fx->of_work[i] == NONE ? NULL : fx->t[fx->of_work[i]].u;
        enum fr_err e = FR_OK;

        if (w->kind == FR_WORK_REQUEST)
            e = answer(fx, b, w, u);
        else if (w->kind == FR_WORK_EVENT && w->rec.offset < w->part->r)
            e = reread(fx, b, w, u, now_ms, tick, tick_ctx);
        else if (w->kind == FR_WORK_EVENT)
            e = apply_event(fx, b, w, u, now_ms, tick, tick_ctx);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}
