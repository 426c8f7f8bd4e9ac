/*
 * daemon/cli/shop_history.c - see shop_history.h.
 */
#include "daemon/cli/shop_history.h"

#include <stdio.h>

#include "daemon/cli/shop_wire.h"

#define ROUNDS 10 /* lists a visit looks at, at most */
#define TICK 1024

struct run {
    struct fr_shop_history *h;
    struct fr_buf value;
    uint64_t made;
    int64_t ts;
    char id[FR_SHOP_EVENT_ID];
};

static bool full(const struct run *r)
{
    return r->made >= r->h->events;
}

/* Id and time of the next event. */
static void begin(struct run *r)
{
    (void)snprintf(r->id, sizeof(r->id), "%.40s%llu", r->h->id_prefix, (unsigned long long)r->made + 1);
    fr_buf_clear(&r->value);
}

static enum fr_err emit(struct run *r)
{
    struct fr_shop_history *h = r->h;
    enum fr_err e = fr_buf_err(&r->value);

    r->made++;
    r->ts++;
    if (e == FR_OK && h->event != NULL)
        e = h->event(h->ctx, fr_buf_str(&r->value));
    if (e == FR_OK && h->progress != NULL && r->made % TICK == 0 && !h->progress(h->ctx, r->made))
        e = FR_ECLOSED;
    return e;
}

static enum fr_err
one_item(struct run *r, const char *type, uint32_t user, uint32_t item, int position, double value)
{
    struct fr_shop_event ev = {.type = type,
                               .user = user,
                               .item = item,
                               .ts_ms = r->ts,
                               .position = position,
                               .value = value};

    if (full(r))
        return FR_OK;
    begin(r);
    ev.event_id = r->id;
    if (r->h->event != NULL)
        fr_shop_event_json(&ev, &r->value);
    fr_shop_policy_taken(r->h->policy, item);
    return emit(r);
}

static enum fr_err seen(struct run *r, uint32_t user, const uint32_t *list, int examined)
{
    if (full(r))
        return FR_OK;
    begin(r);
    if (r->h->event != NULL)
        (void)fr_shop_impressions_json(r->id, user, list, examined, r->ts, (struct fr_str){NULL, 0}, &r->value);
    return emit(r);
}

/* One list: shown, examined, perhaps clicked and bought from. */
static enum fr_err look(struct run *r, uint32_t user, bool *stays)
{
    struct fr_shop_history *h = r->h;
    uint32_t list[FR_SHOP_LIST_MAX];
    struct fr_shop_reaction re;
    struct fr_shop_item it;
    struct fr_shop_odds odds;
    int n = fr_shop_policy_list(h->policy, h->shop, fr_shop_conf_of(h->shop)->n, list);
    enum fr_err e;

    if (h->score != NULL)
        fr_shop_judge(h->shop, user, list, n, r->ts, &odds);
    fr_shop_show(h->shop, user, list, n, r->ts, &re);
    if (h->score != NULL)
        fr_shop_score_add(h->score, user, &odds, re.clicked >= 0);
    e = seen(r, user, list, re.examined);
    if (e == FR_OK && re.clicked >= 0)
        e = one_item(r, "click", user, list[re.clicked], re.clicked, -1);
    if (e == FR_OK && re.bought && fr_shop_item(h->shop, list[re.clicked], &it))
        e = one_item(r, "purchase", user, list[re.clicked], re.clicked, it.price);
    *stays = re.stays;
    return e;
}

static enum fr_err visit(struct run *r)
{
    struct fr_shop_visit v;
    struct fr_shop_browse b;
    bool stays = true;
    enum fr_err e = fr_shop_next_visit(r->h->shop, &v);

    if (e != FR_OK)
        return e;
    if (v.ts_ms > r->ts)
        r->ts = v.ts_ms;
    fr_shop_browse(r->h->shop, v.user, r->ts, &b);
    e = one_item(r, b.act == FR_SHOP_CLICK ? "click" : "view", v.user, b.item, -1, -1);
    for (int i = 0; i < ROUNDS && e == FR_OK && stays && !full(r); i++)
        e = look(r, v.user, &stays);
    return e;
}

enum fr_err fr_shop_history_run(struct fr_shop_history *h)
{
    struct run r = {.h = h, .ts = fr_shop_conf_of(h->shop)->start_ms};
    enum fr_err e = FR_OK;

    fr_buf_init(&r.value);
    while (e == FR_OK && !full(&r))
        e = visit(&r);
    fr_buf_done(&r.value);
    return e;
}
