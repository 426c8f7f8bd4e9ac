/*
 * daemon/learn/stream_examples.c - see stream_examples.h.
 */
#include "daemon/learn/stream_examples.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/json.h"
#include "daemon/base/map.h"
#include "daemon/learn/saver.h"
#include "daemon/learn/stream_shown.h"
#include "daemon/pipeline/ticks.h"
#include "daemon/pipeline/user_cache.h"
#include "daemon/stream/event_codec.h"
#include "daemon/stream/item_codec.h"
#include "features/item_stats.h"
#include "features/user_codec.h"

#define ARENA_CHUNK ((size_t)1 << 18)
#define TELL_EVERY 4096

/* Where a pass stands in a text of lines or in a topic. */
struct cursor {
    struct fr_str rest;
    const struct fr_stream_log *log; /* nullable */
    size_t at;
};

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
    struct fr_map last;             /* user -> line of the newest trigger, first pass */
    struct fr_map labelled;         /* user -> line of the trigger that got a label last, first pass */
    int value_type;                 /* first pass: of the events that have a value; -1 = any */
    struct fr_shown_finder *finder; /* first pass */
    size_t at_shown;                /* second pass: first list not before `line` */
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

static bool more(const struct cursor *c)
{
    return c->log != NULL ? c->at < c->log->n : c->rest.n > 0;
}

/* The next record. A line's key and time are what its value says; `id` names the key's field. */
static struct fr_stream_value next(struct pass *p, struct cursor *c, const char *id)
{
    struct fr_stream_value v = {{NULL, 0}, {NULL, 0}, 0, 0};

    if (c->log != NULL) {
        v = fr_stream_log_get(c->log, c->at++);
        v.ts = v.ts < 0 ? 0 : v.ts;
        return v;
    }
    c->at++;
    v.value = next_line(&c->rest);
    if (v.value.n > 0)
        v.key = key_of(p, v.value, id, &v.ts);
    return v;
}

static enum fr_err load_items(struct pass *p, struct fr_fault *fault)
{
    struct cursor c = {p->in->items, p->in->item_log, 0};

    while (more(&c)) {
        struct fr_stream_value v = next(p, &c, "item_id");
        struct fr_item_record rec;
        struct fr_codec_error ce;
        enum fr_err e;

        if (c.log == NULL && v.value.n == 0)
            continue;
        memset(&ce, 0, sizeof(ce));
        e = fr_item_decode(p->in->spec, p->ar, v.key, v.value, &rec, &ce);
        if (e == FR_OK)
            e = fr_epochs_put(p->ep, &rec, 1);
        else if (c.log != NULL && e != FR_ENOMEM)
            e = FR_OK; /* a topic may hold what the daemon, too, passes over */
        else
            e = fr_fault(fault, e, "items line %zu: %s: %s", c.at, ce.field == NULL ? "value" : ce.field,
                         ce.what == NULL ? fr_err_text(e) : ce.what);
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
static enum fr_err label(struct pass *p, const struct fr_event *ev)
{
    uint32_t at = fr_map_get(&p->last, ev->user);

    if (at == FR_MAP_NONE || ev->item == 0 || fr_spec_positive(p->in->spec, ev) <= 0 ||
        p->find->item[at] != 0)
        return FR_OK;
    p->find->item[at] = ev->item;
    p->find->n_labels++;
    return fr_map_put(&p->labelled, ev->user, at);
}

/* What an event says its item was worth; NaN: nothing. */
static float value_of(const struct pass *p, const struct fr_event *ev)
{
    enum fr_value_kind k = p->in->value.kind;

    if (k == FR_VALUE_NONE || ev->item == 0 || (p->value_type >= 0 && ev->type != p->value_type))
        return NAN;
    if (k == FR_VALUE_UNIT)
        return 1; /* it came */
    return ev->has_value && fr_value_fits(k, (float)ev->value) ? (float)ev->value : NAN;
}

/* First pass: the value of the user's newest label, if this event is about it. */
static void label_value(struct pass *p, const struct fr_event *ev, float value)
{
    uint32_t at = fr_map_get(&p->labelled, ev->user);

    if (at != FR_MAP_NONE && p->find->item[at] == ev->item && isnan(p->find->value[at]))
        p->find->value[at] = value;
}

/* What the user saw after this line's trigger. */
static void find_shown(struct pass *p, struct fr_stream_trigger *t)
{
    const struct fr_stream_labels *l = p->labels;
    size_t end;

    while (p->at_shown < l->n_shown && l->shown[p->at_shown].line < p->line)
        p->at_shown++;
    for (end = p->at_shown; end < l->n_shown && l->shown[end].line == p->line;)
        end++;
    t->shown = l->shown + p->at_shown;
    t->n_shown = end - p->at_shown;
}

static enum fr_err trigger(struct pass *p, const struct fr_event *ev, struct fr_user *u)
{
    struct fr_row_context rc = fr_row_context_of(ev, (int64_t)p->line);
    struct fr_stream_trigger t = {.line = p->line, .ev = ev, .generation = p->generation,
                                  .labels = p->labels, .ep = p->ep, .ar = p->ar};
    enum fr_err e;

    if (p->find != NULL)
        return fr_map_put(&p->last, ev->user, (uint32_t)p->line);
    t.label = p->line < p->labels->n ? p->labels->item[p->line] : 0;
    if (t.label == 0)
        return FR_OK;
    t.value = p->labels->value[p->line];
    find_shown(p, &t);
    e = fr_row_cut(p->in->spec, u, &rc, p->ar, &t.cut);
    return e == FR_OK ? p->fn(p->ctx, &t) : e;
}

/* First pass: labels, and what was shown and clicked. */
static enum fr_err look(struct pass *p, const struct fr_event *ev)
{
    float value = value_of(p, ev);
    enum fr_err e = FR_OK;

    if (ev->n_impressions > 0)
        e = fr_shown_finder_impressions(p->finder, ev, fr_map_get(&p->last, ev->user));
    else if (ev->item != 0 && fr_spec_positive(p->in->spec, ev) > 0)
        fr_shown_finder_positive(p->finder, ev);
    if (!isnan(value)) { /* of the label before this one, which may be of the same item: a purchase after a click */
        label_value(p, ev, value);
        fr_shown_finder_value(p->finder, ev, value);
    }
    if (e == FR_OK)
        e = label(p, ev);
    if (!isnan(value))
        label_value(p, ev, value);
    return e;
}

static bool mis_keyed(const struct pass *p, const struct fr_stream_value *v)
{
    const struct fr_stream_log *log = p->in->event_log;

    return log != NULL &&
           (v->key.p == NULL || fr_kafka_partition(v->key, log->partitions) != v->partition);
}

static enum fr_err one_event(struct pass *p, const struct fr_stream_value *v)
{
    const struct fr_spec *spec = p->in->spec;
    struct fr_codec_error ce;
    struct fr_applied done;
    struct fr_event ev;
    struct fr_user *u;
    enum fr_err e;

    memset(&ce, 0, sizeof(ce));
    e = fr_event_decode(spec, p->ar, v->key, v->value, v->ts, &ev, &ce);
    if (e == FR_ENOMEM)
        return e;
    if (e != FR_OK || mis_keyed(p, v)) {
        if (p->find != NULL && p->find->n_refused++ == 0)
            snprintf(p->find->first_refused, sizeof(p->find->first_refused), "event %llu: %.60s: %s",
                     (unsigned long long)p->line + 1, e == FR_OK || ce.field == NULL ? "value" : ce.field,
                     e == FR_OK ? "in a partition its key does not map to" : fr_err_text(e));
        return FR_OK;
    }
    e = load_user(p, ev.user, &u);
    if (e == FR_OK)
        e = fr_user_apply(spec, u, p->ar, &ev, (int64_t)p->line, &done);
    if (e != FR_OK)
        return e;
    if (done.result == FR_APPLIED) {
        bool fires = fr_user_trigger(spec, u, &ev, (int64_t)p->line);

        e = p->find != NULL ? look(p, &ev) : first_sight(p, &ev);
        if (e == FR_OK)
            e = count_item(p, &ev);
        if (e == FR_OK && fires)
            e = trigger(p, &ev, u);
    }
    return e == FR_OK ? save_user(p, ev.user, u) : e;
}

static enum fr_err read_events(struct pass *p)
{
    struct cursor c = {p->in->events, p->in->event_log, 0};
    enum fr_err e = FR_OK;

    for (p->line = 0; e == FR_OK && more(&c); p->line++) {
        struct fr_stream_value v;
        if (p->in->until != 0 && p->line == p->in->until)
            break;
        v = next(p, &c, "user_id");
        e = one_event(p, &v);
        fr_arena_reset(p->ar);
        if (p->in->progress != NULL && p->line % TELL_EVERY == 0)
            p->in->progress(p->in->progress_ctx, p->line);
    }
    return e;
}

static enum fr_err run(struct pass *p, struct fr_fault *fault)
{
    enum fr_err e = fr_arena_new(ARENA_CHUNK, 0, &p->ar);

    fr_buf_init(&p->buf);
    p->users.max = UINT32_MAX / 4;
    if (e == FR_OK && p->ep != NULL)
        e = fr_item_stats_new(p->in->spec, &p->stats);
    if (e == FR_OK && p->ep != NULL)
        e = fr_ticks_new(p->in->spec, 1, &p->ticks);
    if (e == FR_OK && p->ep != NULL)
        e = load_items(p, fault);
    if (e == FR_OK)
        e = read_events(p);
    fr_buf_done(&p->buf);
    fr_user_cache_done(&p->users);
    fr_map_done(&p->last);
    fr_map_done(&p->labelled);
    fr_item_generation_unref(p->generation);
    fr_item_stats_free(p->stats);
    fr_ticks_free(p->ticks);
    fr_arena_free(p->ar);
    if (e != FR_OK && fault != NULL && fault->err == FR_OK)
        return fr_fault(fault, e, "events record %llu: %s", (unsigned long long)p->line,
                        fr_err_text(e));
    return e;
}

uint64_t fr_stream_input_events(const struct fr_stream_input *in)
{
    struct fr_str rest = in->events;
    uint64_t n = in->event_log != NULL ? in->event_log->n : 0;

    if (in->event_log == NULL)
        for (; rest.n > 0 && (in->until == 0 || n < in->until); n++)
            (void)next_line(&rest);
    return in->until != 0 && n > in->until ? in->until : n;
}

/* Of a topic: what a record is, whatever the mix of partitions that it came in. */
static uint64_t hash_log(const struct fr_stream_log *log, uint64_t until)
{
    uint64_t h = 0;

    for (size_t i = 0; i < log->n && (until == 0 || i < until); i++) {
        struct fr_stream_value v = fr_stream_log_get(log, i);
        uint64_t about[4] = {(uint64_t)v.ts, (uint64_t)v.partition, v.key.p == NULL ? UINT64_MAX : v.key.n,
                             v.value.p == NULL ? UINT64_MAX : v.value.n};

        h = fr_saver_hash(h, about, sizeof(about));
        h = fr_saver_hash(h, v.key.p == NULL ? "" : v.key.p, v.key.n);
        h = fr_saver_hash(h, v.value.p == NULL ? "" : v.value.p, v.value.n);
    }
    return h;
}

uint64_t fr_stream_input_hash_events(const struct fr_stream_input *in)
{
    struct fr_str rest = in->events;

    if (in->event_log != NULL)
        return hash_log(in->event_log, in->until);
    for (uint64_t n = 0; rest.n > 0 && (in->until == 0 || n < in->until); n++)
        (void)next_line(&rest);
    return in->events.n == 0 ? 0 : fr_saver_hash(0, in->events.p, in->events.n - rest.n);
}

uint64_t fr_stream_input_hash_items(const struct fr_stream_input *in)
{
    if (in->item_log != NULL)
        return hash_log(in->item_log, 0);
    return in->items.n == 0 ? 0 : fr_saver_hash(0, in->items.p, in->items.n);
}

/* Where it was asked whether such an event came, none came. */
static void settle_values(const struct fr_stream_input *in, struct fr_stream_labels *l)
{
    if (in->value.kind != FR_VALUE_UNIT)
        return;
    for (uint64_t i = 0; i < l->n; i++)
        if (l->item[i] != 0 && isnan(l->value[i]))
            l->value[i] = 0;
    for (size_t i = 0; i < l->n_shown; i++)
        for (size_t k = l->shown[i].first; k < l->shown[i].first + l->shown[i].n; k++)
            if (l->shown_click[k] && isnan(l->shown_value[k]))
                l->shown_value[k] = 0;
}

/* The type of the events that have a value. */
static enum fr_err value_type(const struct fr_stream_input *in, int *out, struct fr_fault *fault)
{
    const struct fr_stream_value_rule *v = &in->value;

    *out = -1;
    if (v->kind == FR_VALUE_UNIT && v->event == NULL)
        return fr_fault(fault, FR_EINVAL, "a value head for the target unit needs an event type");
    if (v->kind == FR_VALUE_NONE || v->event == NULL)
        return FR_OK;
    *out = fr_spec_type(in->spec, fr_str_z(v->event));
    return *out >= 0 ? FR_OK : fr_fault(fault, FR_EINVAL, "value event \"%.60s\" is none of events.types", v->event);
}

enum fr_err fr_stream_labels_find(const struct fr_stream_input *in,
                                  struct fr_stream_labels *out,
                                  struct fr_fault *fault)
{
    struct fr_shown_finder finder = {.labels = out};
    struct pass p = {.in = in, .find = out, .finder = &finder};
    enum fr_err e;

    memset(out, 0, sizeof(*out));
    if ((e = value_type(in, &p.value_type, fault)) != FR_OK)
        return e;
    out->n = fr_stream_input_events(in);
    if (out->n >= UINT32_MAX - 1)
        return fr_fault(fault, FR_ETOOLARGE, "events: too many records");
    out->item = fr_calloc(out->n + 1, sizeof(*out->item));
    out->value = fr_calloc(out->n + 1, sizeof(*out->value));
    if (out->item == NULL || out->value == NULL) {
        fr_stream_labels_done(out);
        return fr_fault(fault, FR_ENOMEM, "events: out of memory");
    }
    for (uint64_t i = 0; i <= out->n; i++)
        out->value[i] = NAN;
    e = run(&p, fault);
    fr_shown_finder_finish(&finder);
    settle_values(in, out);
    if (e != FR_OK)
        fr_stream_labels_done(out);
    return e;
}

void fr_stream_labels_done(struct fr_stream_labels *l)
{
    fr_free(l->item);
    fr_free(l->value);
    fr_free(l->shown);
    fr_free(l->shown_item);
    fr_free(l->shown_click);
    fr_free(l->shown_value);
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
