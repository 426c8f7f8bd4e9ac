/*
 * daemon/learn/stream_examples.c - see stream_examples.h.
 */
#include "daemon/learn/stream_examples.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/json.h"
#include "daemon/base/map.h"
#include "daemon/pipeline/ticks.h"
#include "daemon/pipeline/user_cache.h"
#include "daemon/stream/event_codec.h"
#include "daemon/stream/item_codec.h"
#include "features/item_stats.h"
#include "features/user_codec.h"

#define ARENA_CHUNK ((size_t)1 << 18)

/* One pass. */
struct pass {
    const struct fr_stream_input *in;
    struct fr_stream_labels *find;         /* first pass */
    const struct fr_stream_labels *labels; /* second pass */
    struct fr_epochs *ep;
    fr_stream_trigger_fn fn;
    void *ctx;
    struct fr_arena *ar;
    struct fr_user_cache users;
    struct fr_map last; /* user -> line of the newest trigger, first pass */
    struct fr_item_stats *stats;
    struct fr_ticks *ticks;
    struct fr_item_generation *generation;
    struct fr_buf buf;
    uint64_t line;
};

static struct fr_str next_line(struct fr_str *rest)
{
    const char *nl = rest->n == 0 ? NULL : memchr(rest->p, '\n', rest->n);
    size_t n = nl == NULL ? rest->n : (size_t)(nl - rest->p);
    struct fr_str s = {rest->p, n};

    rest->p += n + (nl != NULL);
    rest->n -= n + (nl != NULL);
    return s;
}

/* A field's text and number, for the key and time that the record would have had. */
static struct fr_str key_of(struct pass *p, struct fr_str value, const char *id, int64_t *out_ts)
{
    const struct fr_json *root, *v;
    struct fr_str key = {"", 0};

    *out_ts = 0;
    if (fr_json_parse(p->ar, value, &root, NULL) != FR_OK)
        return key;
    v = fr_json_get(root, id);
    if (v != NULL && (v->type == FR_JSON_STRING || v->type == FR_JSON_NUMBER))
        key = v->str;
    v = fr_json_get(root, "ts");
    if (v != NULL && v->type == FR_JSON_NUMBER && v->is_int)
        *out_ts = v->i;
    return key;
}

static enum fr_err load_items(struct pass *p, struct fr_fault *fault)
{
    struct fr_str rest = p->in->items;

    for (uint64_t n = 1; rest.n > 0; n++) {
        struct fr_str value = next_line(&rest), key;
        struct fr_item_record rec;
        struct fr_codec_error ce;
        enum fr_err e;
        int64_t ts;

        if (value.n == 0)
            continue;
        key = key_of(p, value, "item_id", &ts);
        memset(&ce, 0, sizeof(ce));
        e = fr_item_decode(p->in->spec, p->ar, key, value, &rec, &ce);
        if (e != FR_OK)
            return fr_fault(fault, e, "items line %llu: %s: %s", (unsigned long long)n,
                            ce.field == NULL ? "value" : ce.field,
                            ce.what == NULL ? fr_err_text(e) : ce.what);
        e = fr_epochs_put(p->ep, &rec, 1);
        if (e != FR_OK)
            return e;
        fr_arena_reset(p->ar);
    }
    return FR_OK;
}

/* An item that nobody described exists from its first event on. */
static enum fr_err first_sight(struct pass *p, const struct fr_event *ev)
{
    struct fr_item_record rec;
    struct fr_epoch view;
    bool known;

    if (p->ep == NULL || ev->item == 0)
        return FR_OK;
    fr_epochs_pin(p->ep, &view);
    known = fr_item_table_find(view.table, ev->item) != FR_ITEM_NONE;
    fr_epochs_unpin(p->ep, &view);
    if (known)
        return FR_OK;
    memset(&rec, 0, sizeof(rec));
    rec.item_id = ev->item_id;
    rec.item = ev->item;
    rec.available = true;
    return fr_epochs_put(p->ep, &rec, 1);
}

static enum fr_err count_item(struct pass *p, const struct fr_event *ev)
{
    struct fr_item_snapshot *snap;
    struct fr_item_generation *g;
    int64_t tick;
    enum fr_err e;

    if (p->stats == NULL)
        return FR_OK;
    if (fr_item_stats_due(p->stats, ev->ts, &tick)) {
        e = fr_item_stats_snapshot(p->stats, tick, &snap);
        if (e != FR_OK)
            return e;
        fr_ticks_post(p->ticks, 0, &snap);
        e = fr_ticks_build(p->ticks, &g);
        if (e != FR_OK)
            return e;
        fr_item_generation_unref(p->generation);
        p->generation = g;
    }
    return fr_item_stats_apply(p->stats, ev);
}

static enum fr_err load_user(struct pass *p, uint64_t user, struct fr_user **out)
{
    const struct fr_spec *spec = p->in->spec;
    struct fr_str record = {"", 0}, seen = {"", 0};
    enum fr_err e;

    if (fr_user_cache_get(&p->users, user, &record, &seen) &&
        (fr_arena_dup(p->ar, record, &record) != FR_OK || fr_arena_dup(p->ar, seen, &seen) != FR_OK))
        return FR_ENOMEM;
    e = fr_user_decode(spec, p->ar, record, out, NULL);
    return e == FR_OK ? fr_seen_adopt(&(*out)->seen, spec->seen_cap, seen, NULL) : e;
}

static enum fr_err save_user(struct pass *p, uint64_t user, const struct fr_user *u)
{
    size_t n;

    fr_buf_clear(&p->buf);
    fr_user_encode(p->in->spec, u, &p->buf);
    n = p->buf.n;
    if (p->in->spec->seen_cap > 0)
        fr_seen_encode(&u->seen, &p->buf);
    if (fr_buf_err(&p->buf) != FR_OK)
        return FR_ENOMEM;
    fr_user_cache_put(&p->users, user, (struct fr_str){p->buf.p, n},
                      (struct fr_str){p->buf.p + n, p->buf.n - n});
    return FR_OK;
}

/* First pass: this positive is the label of the user's newest trigger. */
static void label(struct pass *p, const struct fr_event *ev)
{
    uint32_t at = fr_map_get(&p->last, ev->user);

    if (at == FR_MAP_NONE || ev->item == 0 || fr_spec_positive(p->in->spec, ev) <= 0 ||
        p->find->item[at] != 0)
        return;
    p->find->item[at] = ev->item;
    p->find->n_labels++;
}

static enum fr_err trigger(struct pass *p, const struct fr_event *ev, struct fr_user *u)
{
    struct fr_row_context rc = fr_row_context_of(ev, (int64_t)p->line);
    struct fr_stream_trigger t = {p->line, ev, NULL, p->generation, 0, p->ep, p->ar};
    enum fr_err e;

    if (p->find != NULL)
        return fr_map_put(&p->last, ev->user, (uint32_t)p->line);
    t.label = p->line < p->labels->n ? p->labels->item[p->line] : 0;
    if (t.label == 0)
        return FR_OK;
    e = fr_row_cut(p->in->spec, u, &rc, p->ar, &t.cut);
    return e == FR_OK ? p->fn(p->ctx, &t) : e;
}

static enum fr_err one_event(struct pass *p, struct fr_str value)
{
    const struct fr_spec *spec = p->in->spec;
    struct fr_codec_error ce;
    struct fr_applied done;
    struct fr_event ev;
    struct fr_user *u;
    int64_t ts;
    struct fr_str key = key_of(p, value, "user_id", &ts);
    enum fr_err e;

    memset(&ce, 0, sizeof(ce));
    e = fr_event_decode(spec, p->ar, key, value, ts, &ev, &ce);
    if (e == FR_ENOMEM)
        return e;
    if (e != FR_OK) {
        if (p->find != NULL)
            p->find->n_refused++;
        return FR_OK;
    }
    e = load_user(p, ev.user, &u);
    if (e == FR_OK)
        e = fr_user_apply(spec, u, p->ar, &ev, (int64_t)p->line, &done);
    if (e != FR_OK)
        return e;
    if (done.result == FR_APPLIED) {
        bool fires = fr_user_trigger(spec, u, &ev, (int64_t)p->line);

        if (p->find != NULL)
            label(p, &ev);
        e = first_sight(p, &ev);
        if (e == FR_OK)
            e = count_item(p, &ev);
        if (e == FR_OK && fires)
            e = trigger(p, &ev, u);
    }
    return e == FR_OK ? save_user(p, ev.user, u) : e;
}

static enum fr_err run(struct pass *p, struct fr_fault *fault)
{
    struct fr_str rest = p->in->events;
    enum fr_err e = fr_arena_new(ARENA_CHUNK, 0, &p->ar);

    fr_buf_init(&p->buf);
    p->users.max = UINT32_MAX / 4;
    if (e == FR_OK && p->ep != NULL)
        e = fr_item_stats_new(p->in->spec, &p->stats);
    if (e == FR_OK && p->ep != NULL)
        e = fr_ticks_new(p->in->spec, 1, &p->ticks);
    if (e == FR_OK && p->ep != NULL)
        e = load_items(p, fault);
    for (p->line = 0; e == FR_OK && rest.n > 0; p->line++) {
        struct fr_str value;
        if (p->in->until != 0 && p->line == p->in->until)
            break;
        value = next_line(&rest);
        e = one_event(p, value);
        fr_arena_reset(p->ar);
    }
    fr_buf_done(&p->buf);
    fr_user_cache_done(&p->users);
    fr_map_done(&p->last);
    fr_item_generation_unref(p->generation);
    fr_item_stats_free(p->stats);
    fr_ticks_free(p->ticks);
    fr_arena_free(p->ar);
    if (e != FR_OK && fault != NULL && fault->err == FR_OK)
        return fr_fault(fault, e, "events line %llu: %s", (unsigned long long)p->line,
                        fr_err_text(e));
    return e;
}

enum fr_err fr_stream_labels_find(const struct fr_stream_input *in,
                                  struct fr_stream_labels *out,
                                  struct fr_fault *fault)
{
    struct pass p = {.in = in, .find = out};
    struct fr_str rest = in->events;
    enum fr_err e;

    memset(out, 0, sizeof(*out));
    while (rest.n > 0 && (in->until == 0 || out->n < in->until)) {
        (void)next_line(&rest);
        out->n++;
    }
    if (out->n >= UINT32_MAX - 1)
        return fr_fault(fault, FR_ETOOLARGE, "events: too many lines");
    out->item = fr_calloc(out->n + 1, sizeof(*out->item));
    if (out->item == NULL)
        return fr_fault(fault, FR_ENOMEM, "events: out of memory");
    e = run(&p, fault);
    if (e != FR_OK)
        fr_stream_labels_done(out);
    return e;
}

void fr_stream_labels_done(struct fr_stream_labels *l)
{
    fr_free(l->item);
    memset(l, 0, sizeof(*l));
}

enum fr_err fr_stream_replay(const struct fr_stream_input *in,
                             const struct fr_stream_labels *labels,
                             struct fr_epochs *ep,
                             fr_stream_trigger_fn fn,
                             void *ctx,
                             struct fr_fault *fault)
{
    struct pass p = {.in = in, .labels = labels, .ep = ep, .fn = fn, .ctx = ctx};

    return run(&p, fault);
}
