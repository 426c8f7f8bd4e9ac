/*
 * daemon/cli/shop_loop_lists.c - the closed loop's other half: a list has come; the user looks and reacts.
 *
 * Reads recommendations with base/json alone, not with the codec that writes them.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/json.h"
#include "daemon/cli/shop_loop_priv.h"
#include "daemon/cli/shop_wire.h"

#define ROUNDS 10 /* lists a visit looks at, at most */

const char *loop_type_name(enum fr_shop_act act)
{
    switch (act) {
    case FR_SHOP_VIEW:
        return "view";
    case FR_SHOP_CLICK:
        return "click";
    case FR_SHOP_PURCHASE:
        return "purchase";
    }
    return "view";
}

/* Number of one of our event ids; 0 = not of this run. */
static uint64_t event_number(const struct fr_shop_loop *lp, struct fr_str id)
{
    size_t n = strlen(lp->o.id_prefix);
    uint64_t v;

    if (id.n <= n || memcmp(id.p, lp->o.id_prefix, n) != 0 ||
        fr_str_to_u64((struct fr_str){id.p + n, id.n - n}, &v) != FR_OK || v == UINT64_MAX)
        return 0;
    return v;
}

static bool is_string(const struct fr_json *v)
{
    return v != NULL && v->type == FR_JSON_STRING;
}

bool loop_parse(struct fr_shop_loop *lp, struct fr_str value, struct loop_list *out)
{
    const struct fr_json *root, *v, *items;

    fr_arena_reset(lp->ar);
    if (value.p == NULL || fr_json_parse(lp->ar, value, &root, NULL) != FR_OK)
        return false;
    v = fr_json_get(root, "user_id");
    items = fr_json_get(root, "items");
    if (!is_string(v) || items == NULL || items->type != FR_JSON_ARRAY)
        return false;
    out->user = fr_shop_find_user(lp->o.shop, v->str.p, v->str.n);
    if (out->user == UINT32_MAX)
        return false;
    v = fr_json_get(root, "rec_id");
    out->rec_id = is_string(v) && v->str.n <= LOOP_REC_ID ? v->str : (struct fr_str){NULL, 0};
    v = fr_json_get(fr_json_get(root, "trigger"), "event_id");
    out->event = is_string(v) ? event_number(lp, v->str) : UINT64_MAX;
    out->n = 0;
    for (const struct fr_json *i = items->child; i != NULL && out->n < FR_SHOP_LIST_MAX; i = i->next) {
        v = i->type == FR_JSON_STRING ? i : fr_json_get(i, "item_id");
        out->item[out->n++] = is_string(v) ? fr_shop_find_item(lp->o.shop, v->str.p, v->str.n) : FR_SHOP_ITEM_NONE;
    }
    if (out->n > fr_shop_conf_of(lp->o.shop)->n)
        out->n = fr_shop_conf_of(lp->o.shop)->n;
    return true;
}

static void count_items(struct fr_shop_loop *lp, const struct loop_list *l)
{
    for (int i = 0; i < l->n; i++) {
        if (l->item[i] == FR_SHOP_ITEM_NONE)
            lp->st.unknown_items++;
        else
            lp->st.dead_items += !fr_shop_is_alive(lp->o.shop, l->item[i]);
    }
}

static enum fr_err send_impressions(struct fr_shop_loop *lp, const struct loop_list *l, int examined)
{
    char id[FR_SHOP_EVENT_ID], key[FR_SHOP_NAME];
    enum fr_err e;

    (void)loop_event_id(lp, id);
    fr_shop_user_id(l->user, key);
    fr_buf_clear(&lp->value);
    if (fr_shop_impressions_json(id, l->user, l->item, examined, fr_clock_wall_ms(lp->o.clock), l->rec_id,
                                 &lp->value) == 0)
        return FR_OK;
    e = loop_send(lp, FR_TOPIC_EVENTS, key, false);
    lp->st.events += e == FR_OK;
    return e;
}

static enum fr_err react(struct fr_shop_loop *lp, const struct loop_list *l, const struct fr_shop_reaction *r)
{
    enum fr_err e = send_impressions(lp, l, r->examined);
    bool stays = r->stays && lp->wait[l->user].rounds < ROUNDS;

    if (e == FR_OK && r->clicked >= 0) {
        lp->wait[l->user].rounds++;
        e = loop_act(lp, l->user, FR_SHOP_CLICK, l->item[r->clicked], l->rec_id, r->clicked, stays && !r->bought);
    }
    if (e == FR_OK && r->clicked >= 0 && r->bought)
        e = loop_act(lp, l->user, FR_SHOP_PURCHASE, l->item[r->clicked], l->rec_id, r->clicked, stays);
    return e;
}

static void sample(struct fr_shop_loop *lp, int64_t us)
{
    uint32_t v = us < 0 ? 0 : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;

    lp->sample_us[lp->n_samples++ % LOOP_SAMPLES] = v;
}

enum fr_err loop_take_list(struct fr_shop_loop *lp, struct fr_str value)
{
    int64_t now_us = fr_clock_wall_us(lp->o.clock), shop_ms;
    struct fr_shop_loop_list shown;
    struct loop_list l;
    struct loop_wait *w;

    lp->st.received++;
    if (!loop_parse(lp, value, &l)) {
        lp->st.unreadable++;
        return FR_OK;
    }
    w = &lp->wait[l.user];
    if (w->event == 0 || (l.event != UINT64_MAX && l.event != w->event)) {
        lp->st.unasked++;
        return FR_OK;
    }
    shown = (struct fr_shop_loop_list){.user = l.user,
                                       .trigger_type = loop_type_name((enum fr_shop_act)w->type),
                                       .trigger_item = w->item,
                                       .items = l.item,
                                       .n = l.n,
                                       .freshness_us = now_us - w->since_us};
    w->event = 0;
    sample(lp, shown.freshness_us);
    if (l.n == 0) {
        lp->st.empty++;
        return FR_OK;
    }
    shop_ms = now_us / 1000 - lp->shift_ms;
    count_items(lp, &l);
    fr_shop_judge(lp->o.shop, l.user, l.item, l.n, shop_ms, &shown.odds);
    fr_shop_show(lp->o.shop, l.user, l.item, l.n, shop_ms, &shown.reaction);
    fr_shop_score_add(&lp->score, l.user, &shown.odds, shown.reaction.clicked >= 0);
    if (lp->o.on_list != NULL)
        lp->o.on_list(lp->o.ctx, &shown);
    return react(lp, &l, &shown.reaction);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

void loop_freshness(const struct fr_shop_loop *lp, struct fr_shop_loop_stats *out)
{
    size_t n = lp->n_samples < LOOP_SAMPLES ? (size_t)lp->n_samples : LOOP_SAMPLES;
    uint32_t *v = fr_malloc_array(n, sizeof(*v));

    out->fresh_p50_ms = out->fresh_p99_ms = out->fresh_max_ms = (double)NAN;
    if (v == NULL)
        return; /* no samples, or no memory for the sort */
    memcpy(v, lp->sample_us, n * sizeof(*v));
    qsort(v, n, sizeof(*v), by_value);
    out->fresh_p50_ms = v[n / 2] / 1000.0;
    out->fresh_p99_ms = v[n * 99 / 100] / 1000.0;
    out->fresh_max_ms = v[n - 1] / 1000.0;
    fr_free(v);
}
