/*
 * daemon/cli/shop_loop.c - the closed loop: visits, the catalogue, and who waits for what.
 */
#include "daemon/cli/shop_loop.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/cli/shop_loop_priv.h"
#include "daemon/cli/shop_wire.h"

#define TIMEOUT_MS 2000
#define STUCK_MS 10000   /* a sink that takes nothing for so long is an error */
#define AT_ONCE 64       /* visits, and lists, that one step handles */
#define BEHIND_MS 1000   /* later than this: let visits pass */
#define ARENA_BYTES ((size_t)1 << 20)

enum fr_err fr_shop_loop_new(const struct fr_shop_loop_opts *opts, struct fr_shop_loop **out_loop)
{
    struct fr_shop_loop *lp;
    uint32_t users;
    enum fr_err e;

    if (opts->shop == NULL || opts->sink == NULL || opts->lists == NULL || opts->clock == NULL ||
        opts->id_prefix == NULL || strlen(opts->id_prefix) > 40 || opts->timeout_ms < 0)
        return FR_EINVAL;
    lp = fr_calloc(1, sizeof(*lp));
    if (lp == NULL)
        return FR_ENOMEM;
    lp->o = *opts;
    if (lp->o.timeout_ms == 0)
        lp->o.timeout_ms = TIMEOUT_MS;
    users = fr_shop_conf_of(opts->shop)->users;
    lp->due_cap = 1024;
    lp->wait = fr_calloc(users, sizeof(*lp->wait));
    lp->due = fr_calloc(lp->due_cap, sizeof(*lp->due));
    lp->sample_us = fr_calloc(LOOP_SAMPLES, sizeof(*lp->sample_us));
    e = lp->wait == NULL || lp->due == NULL || lp->sample_us == NULL ? FR_ENOMEM : FR_OK;
    if (e == FR_OK)
        e = fr_shop_score_init(&lp->score, users);
    if (e == FR_OK)
        e = fr_arena_new((size_t)1 << 16, ARENA_BYTES, &lp->ar);
    if (e != FR_OK) {
        fr_shop_loop_free(lp);
        return e;
    }
    *out_loop = lp;
    return FR_OK;
}

void fr_shop_loop_free(struct fr_shop_loop *lp)
{
    if (lp == NULL)
        return;
    fr_shop_score_done(&lp->score);
    fr_arena_free(lp->ar);
    fr_buf_done(&lp->value);
    fr_free(lp->wait);
    fr_free(lp->due);
    fr_free(lp->sample_us);
    fr_free(lp);
}

void fr_shop_loop_ack(void *ctx, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset)
{
    (void)ctx;
    (void)cookie;
    (void)err;
    (void)partition;
    (void)offset;
}

/* ---- out ---- */

enum fr_err loop_send(struct fr_shop_loop *lp, enum fr_topic_role role, const char *key, bool null_value)
{
    struct fr_outgoing m = {.role = role, .partition = FR_PARTITION_BY_KEY, .key = fr_str_z(key)};
    int64_t until = fr_clock_mono_us(lp->o.clock) + (int64_t)STUCK_MS * 1000;
    enum fr_err e = fr_buf_err(&lp->value);

    if (e != FR_OK)
        return e;
    if (!null_value)
        m.value = fr_buf_str(&lp->value);
    for (;;) {
        e = fr_sink_produce(lp->o.sink, &m);
        if (e != FR_EFULL && e != FR_EAGAIN)
            return e;
        if (fr_clock_mono_us(lp->o.clock) > until)
            return FR_ETIMEOUT;
        (void)fr_sink_poll(lp->o.sink, 10);
    }
}

static enum fr_err send_change(struct fr_shop_loop *lp, const struct fr_shop_change *ch)
{
    char id[FR_SHOP_NAME];

    if (ch->born && !fr_shop_is_alive(lp->o.shop, ch->item))
        return FR_OK; /* its death is published next */
    fr_shop_item_id(ch->item, id);
    fr_buf_clear(&lp->value);
    if (ch->born)
        fr_shop_item_json(lp->o.shop, ch->item, lp->shift_ms, &lp->value);
    lp->st.births += ch->born;
    lp->st.deaths += !ch->born;
    return loop_send(lp, FR_TOPIC_ITEMS, id, !ch->born);
}

static enum fr_err publish_changes(struct fr_shop_loop *lp)
{
    struct fr_shop_change ch;
    enum fr_err e = FR_OK;

    while (e == FR_OK && fr_shop_next_change(lp->o.shop, &ch))
        e = send_change(lp, &ch);
    return e;
}

uint64_t loop_event_id(struct fr_shop_loop *lp, char id[])
{
    (void)snprintf(id, FR_SHOP_EVENT_ID, "%.40s%llu", lp->o.id_prefix, (unsigned long long)++lp->events);
    return lp->events;
}

/* ---- who waits ---- */

static enum fr_err due_room(struct fr_shop_loop *lp)
{
    uint64_t cap = lp->due_cap * 2, n = lp->due_tail - lp->due_head;
    struct loop_due *d;

    if (n < lp->due_cap)
        return FR_OK;
    d = fr_calloc(cap, sizeof(*d));
    if (d == NULL)
        return FR_ENOMEM;
    for (uint64_t i = 0; i < n; i++)
        d[i] = lp->due[(lp->due_head + i) & (lp->due_cap - 1)];
    fr_free(lp->due);
    lp->due = d;
    lp->due_head = 0;
    lp->due_tail = n;
    lp->due_cap = cap;
    return FR_OK;
}

static void give_up_late(struct fr_shop_loop *lp)
{
    int64_t now = fr_clock_wall_us(lp->o.clock);

    while (lp->due_head != lp->due_tail) {
        const struct loop_due *d = &lp->due[lp->due_head & (lp->due_cap - 1)];

        if (now - d->since_us <= lp->o.timeout_ms * 1000)
            return;
        if (lp->wait[d->user].event == d->event) {
            lp->wait[d->user].event = 0;
            lp->st.missing++;
        }
        lp->due_head++;
    }
}

enum fr_err loop_act(struct fr_shop_loop *lp,
                     uint32_t user,
                     enum fr_shop_act act,
                     uint32_t item,
                     struct fr_str rec_id,
                     int position,
                     bool waits)
{
    char id[FR_SHOP_EVENT_ID], key[FR_SHOP_NAME];
    int64_t now_us = fr_clock_wall_us(lp->o.clock);
    struct fr_shop_item it;
    struct fr_shop_event ev = {.event_id = id,
                               .type = loop_type_name(act),
                               .user = user,
                               .item = item,
                               .ts_ms = now_us / 1000,
                               .rec_id = rec_id,
                               .position = position,
                               .value = -1};
    struct loop_wait *w = &lp->wait[user];
    enum fr_err e = due_room(lp);
    uint64_t number;

    if (e != FR_OK)
        return e;
    number = loop_event_id(lp, id);
    if (act == FR_SHOP_PURCHASE && fr_shop_item(lp->o.shop, item, &it))
        ev.value = it.price;
    fr_shop_user_id(user, key);
    fr_buf_clear(&lp->value);
    fr_shop_event_json(&ev, &lp->value);
    e = loop_send(lp, FR_TOPIC_EVENTS, key, false);
    if (e != FR_OK)
        return e;
    lp->st.events++;
    if (waits) {
        w->event = number;
        w->since_us = now_us;
        w->item = item;
        w->type = (uint8_t)act;
        lp->due[lp->due_tail++ & (lp->due_cap - 1)] = (struct loop_due){number, now_us, user};
    }
    return FR_OK;
}

/* ---- steps ---- */

static void start(struct fr_shop_loop *lp)
{
    if (lp->started)
        return;
    lp->started = true;
    lp->shift_ms = fr_clock_wall_ms(lp->o.clock) - fr_shop_next_ms(lp->o.shop);
}

enum fr_err fr_shop_loop_catalogue(struct fr_shop_loop *lp, int timeout_ms)
{
    enum fr_err e;

    start(lp);
    e = publish_changes(lp);
    if (e == FR_OK)
        e = fr_sink_flush(lp->o.sink, timeout_ms);
    lp->started = false; /* the first visit is at the first step, however long that takes */
    return e;
}

/* Wall time of the next visit. */
static int64_t next_visit_ms(const struct fr_shop_loop *lp)
{
    return fr_shop_next_ms(lp->o.shop) + lp->shift_ms;
}

static enum fr_err visits(struct fr_shop_loop *lp)
{
    enum fr_err e = FR_OK;
    int64_t late = fr_clock_wall_ms(lp->o.clock) - next_visit_ms(lp);

    if (late > BEHIND_MS) {
        lp->shift_ms += late;
        lp->st.behind++;
    }
    for (int i = 0; i < AT_ONCE && e == FR_OK && next_visit_ms(lp) <= fr_clock_wall_ms(lp->o.clock); i++) {
        struct fr_shop_visit v;
        struct fr_shop_browse b;

        e = fr_shop_next_visit(lp->o.shop, &v);
        if (e == FR_OK)
            e = publish_changes(lp);
        if (e != FR_OK)
            break;
        fr_shop_browse(lp->o.shop, v.user, v.ts_ms, &b);
        lp->st.visits++;
        lp->wait[v.user].rounds = 0;
        e = loop_act(lp, v.user, b.act, b.item, (struct fr_str){NULL, 0}, -1, true);
    }
    return e;
}

static enum fr_err lists(struct fr_shop_loop *lp, int wait_ms)
{
    enum fr_err e = FR_OK;

    for (int i = 0; i < AT_ONCE && e == FR_OK; i++) {
        struct fr_record rec;

        e = fr_log_reader_poll(lp->o.lists, i == 0 ? wait_ms : 0, &rec);
        if (e == FR_EAGAIN || e == FR_EKAFKA)
            return FR_OK; /* nothing, or something that passes */
        if (e != FR_OK)
            return e;
        e = loop_take_list(lp, rec.value);
        fr_log_reader_release(lp->o.lists, &rec);
    }
    return e;
}

enum fr_err fr_shop_loop_step(struct fr_shop_loop *lp, int wait_ms)
{
    int64_t idle;
    enum fr_err e;

    start(lp);
    e = publish_changes(lp);
    if (e == FR_OK)
        e = visits(lp);
    if (e != FR_OK)
        return e;
    idle = next_visit_ms(lp) - fr_clock_wall_ms(lp->o.clock);
    if (idle < wait_ms)
        wait_ms = idle < 0 ? 0 : (int)idle;
    e = lists(lp, wait_ms);
    (void)fr_sink_poll(lp->o.sink, 0);
    give_up_late(lp);
    return e;
}

static uint64_t waiting(const struct fr_shop_loop *lp)
{
    uint64_t n = 0;

    for (uint64_t i = lp->due_head; i != lp->due_tail; i++) {
        const struct loop_due *d = &lp->due[i & (lp->due_cap - 1)];

        n += lp->wait[d->user].event == d->event;
    }
    return n;
}

enum fr_err fr_shop_loop_finish(struct fr_shop_loop *lp, int timeout_ms)
{
    int64_t until = fr_clock_mono_us(lp->o.clock) + (int64_t)timeout_ms * 1000, left = 0;
    enum fr_err e = FR_OK;

    while (e == FR_OK && waiting(lp) > 0 && fr_clock_mono_us(lp->o.clock) < until) {
        e = lists(lp, 10);
        (void)fr_sink_poll(lp->o.sink, 0);
        give_up_late(lp);
    }
    if (e == FR_OK)
        left = (until - fr_clock_mono_us(lp->o.clock)) / 1000;
    return e == FR_OK ? fr_sink_flush(lp->o.sink, left < 100 ? 100 : (int)left) : e;
}

void fr_shop_loop_stats(const struct fr_shop_loop *lp, struct fr_shop_loop_stats *out)
{
    struct fr_sink_stats sink;

    *out = lp->st;
    fr_shop_score_result(&lp->score, &out->result);
    fr_sink_stats(lp->o.sink, &sink);
    out->undelivered = sink.failed;
    out->waiting = waiting(lp);
    loop_freshness(lp, out);
}
