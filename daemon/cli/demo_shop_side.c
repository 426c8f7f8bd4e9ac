/*
 * daemon/cli/demo_shop_side.c - a demo with the simulated shop: its past as files, then its users live.
 *
 * One shop lives through both, so the tastes that the models learnt are those of the users who look at the
 * lists. The time of the past is chosen so that it ends shortly before now.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/cli/demo.h"
#include "daemon/cli/progress.h"
#include "daemon/cli/shop.h"
#include "daemon/cli/shop_files.h"
#include "daemon/cli/shop_loop.h"
#include "daemon/cli/stop_signal.h"

#define VISIT_EVENTS 2 /* at least, of one visit: what is browsed, and the impressions */
#define STEP_MS 5
#define CATALOGUE_MS 30000

struct shop_side {
    struct fr_shop *shop;
    struct fr_shop_loop *loop;
    struct fr_progress bar;
};

static enum fr_err settings(struct fr_demo *d, struct fr_demo_settings *out, struct fr_fault *fault)
{
    d->state = fr_calloc(1, sizeof(struct shop_side));
    if (d->state == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    out->repeat = "last";
    out->types = out->positive = out->triggers = "[view, click, purchase]";
    return FR_OK;
}

static enum fr_err make_shop(struct fr_demo *d, struct shop_side *s, struct fr_fault *fault)
{
    double past_s = (double)d->o->past / VISIT_EVENTS / (double)d->o->rate;
    struct fr_shop_conf c;

    fr_shop_conf_default(&c);
    c.seed = (uint64_t)d->o->seed;
    c.users = (uint32_t)d->o->users;
    c.items = (uint32_t)d->o->items;
    c.visits_per_s = (double)d->o->rate;
    c.start_ms = fr_clock_wall_ms(&d->clock) - (int64_t)(past_s * 1000);
    c.births_per_day = c.deaths_per_day = (double)d->o->items / 50;
    c.fashions_per_day = (double)d->o->items / 100;
    return fr_shop_new(&c, &s->shop, fault);
}

static bool progress(void *ctx, uint64_t done)
{
    struct shop_side *s = ctx;

    fr_progress_update(&s->bar, done);
    return !fr_stop_signal_asked();
}

static enum fr_err make_past(struct fr_demo *d, struct fr_fault *fault)
{
    struct shop_side *s = d->state;
    char dir[FR_DEMO_PATH], from[FR_DEMO_PATH], to[FR_DEMO_PATH];
    struct fr_shop_policy policy;
    struct fr_shop_history h = {.policy = &policy, .events = (uint64_t)d->o->past, .id_prefix = "past-",
                                .progress = progress, .ctx = s};
    enum fr_err e = make_shop(d, s, fault);

    if (e != FR_OK)
        return e;
    (void)fprintf(stderr, "a shop with %lld users and %lld items: its past ...\n", (long long)d->o->users,
                  (long long)d->o->items);
    h.shop = s->shop;
    fr_shop_policy_init(&policy, (uint64_t)d->o->seed);
    fr_progress_start(&s->bar, "shop", "events", h.events, false);
    e = fr_shop_files_write(&h, fr_demo_home_path(&d->home, "shop", dir), fault);
    fr_progress_finish(&s->bar, h.events);
    if (e != FR_OK)
        return e;
    if (rename(fr_demo_home_path(&d->home, "shop/items.jsonl", from), fr_demo_home_path(&d->home, "items.jsonl", to)) != 0 ||
        rename(fr_demo_home_path(&d->home, "shop/events.jsonl", from), fr_demo_home_path(&d->home, "past.jsonl", to)) != 0)
        return fr_fault(fault, FR_EIO, "%s: the shop's files cannot be moved", d->home.dir);
    return FR_OK;
}

static void title_of(const struct shop_side *s, uint32_t item, char cell[FR_DEMO_TEXT])
{
    struct fr_shop_item it;

    if (item == FR_SHOP_ITEM_NONE || !fr_shop_item(s->shop, item, &it))
        fr_demo_view_text(cell, FR_STR_LIT("?"));
    else
        fr_demo_view_text(cell, fr_str_z(it.title));
}

static void on_list(void *ctx, const struct fr_shop_loop_list *list)
{
    struct fr_demo *d = ctx;
    const struct shop_side *s = d->state;
    struct fr_demo_shown *sh = fr_demo_view_push(&d->view);
    char user[FR_SHOP_NAME];

    if (d->first_list_us == 0)
        d->first_list_us = fr_clock_mono_us(&d->clock);
    fr_shop_user_id(list->user, user);
    fr_demo_view_text(sh->user, fr_str_z(user));
    title_of(s, list->trigger_item, sh->because);
    for (int i = 0; i < list->n && i < FR_DEMO_TITLES; i++)
        title_of(s, list->items[i], sh->title[sh->n_titles++]);
    sh->ms = (double)list->freshness_us / 1000;
}

static enum fr_err begin(struct fr_demo *d, struct fr_fault *fault)
{
    struct shop_side *s = d->state;
    struct fr_shop_loop_opts o = {.shop = s->shop, .sink = d->link.sink, .lists = d->link.lists, .clock = &d->clock,
                                  .id_prefix = "live-", .on_list = on_list, .ctx = d};
    enum fr_err e = fr_shop_loop_new(&o, &s->loop);

    if (e == FR_OK)
        e = fr_shop_loop_catalogue(s->loop, CATALOGUE_MS);
    return e == FR_OK ? e : fr_fault(fault, e, "the shop cannot open: %s", fr_err_text(e));
}

static enum fr_err step(struct fr_demo *d, struct fr_fault *fault)
{
    struct shop_side *s = d->state;
    enum fr_err e = fr_shop_loop_step(s->loop, STEP_MS);

    return e == FR_OK ? e : fr_fault(fault, e, "the shop cannot go on: %s", fr_err_text(e));
}

static void figures(struct fr_demo *d)
{
    const struct shop_side *s = d->state;
    struct fr_demo_figures *f = &d->figures;
    struct fr_shop_loop_stats st;

    fr_shop_loop_stats(s->loop, &st);
    f->events = st.events;
    f->lists = st.received;
    f->missing = st.missing;
    f->p50_ms = st.fresh_p50_ms;
    f->p99_ms = st.fresh_p99_ms;
    f->shown = st.result.lists;
    f->clicks = st.result.clicks;
    f->ctr = st.result.expected_ctr;
    f->random = st.result.random;
    f->oracle = st.result.oracle;
    f->captured = st.result.captured.v;
    f->captured_pm = (st.result.captured.hi - st.result.captured.lo) / 2;
}

static void end(struct fr_demo *d)
{
    struct shop_side *s = d->state;

    if (s == NULL)
        return;
    fr_shop_loop_free(s->loop);
    fr_shop_free(s->shop);
    fr_free(s);
    d->state = NULL;
}

const struct fr_demo_side fr_demo_shop_side = {settings, make_past, begin, step, figures, end};
