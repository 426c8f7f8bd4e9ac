/*
 * daemon/cli/demo_record_side.c - a demo on recorded events: the first part is the past, the rest is sent
 * as if it happened now.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/arena.h"
#include "daemon/base/buf.h"
#include "daemon/base/file.h"
#include "daemon/base/hash.h"
#include "daemon/base/json.h"
#include "daemon/base/map.h"
#include "daemon/cli/demo.h"
#include "daemon/cli/demo_scores.h"
#include "daemon/cli/latency.h"
#include "daemon/cli/lines.h"
#include "daemon/cli/stop_signal.h"
#include "daemon/stream/recommendation_codec.h"

#define MAX_LINE ((size_t)1 << 20)
#define LIVE_MAX 500000 /* recorded events read beyond the past */
#define HALF_LIFE 3000  /* events, of the popularity beside */
#define PENDING 4096    /* triggers whose list may still come */
#define TAKE_MS 5

struct layout {
    const char *name;   /* of `freshet import` */
    const char *marker; /* a file that tells it */
    const char *repeat;
};

static const struct layout layouts[] = {{"yoochoose", "period_1.txt", "allow"}, {"ml-1m", "movies.dat", "forever"}};

struct record_side {
    const struct layout *layout;
    struct fr_lines *events;
    struct fr_arena *ar;
    struct fr_demo_scores *scores;
    struct fr_latency latency;
    struct fr_map sent; /* hash of the event id -> place in sent_us */
    int64_t sent_us[PENDING];
    uint64_t key[PENDING];
    char because[PENDING][FR_DEMO_TEXT];
    uint64_t n_sent;
    int64_t next_us;
};

static const struct fr_hash_key KEY = {UINT64_C(0x7265636f72646564), UINT64_C(0x206576656e747321)};

static enum fr_err settings(struct fr_demo *d, struct fr_demo_settings *out, struct fr_fault *fault)
{
    struct record_side *s = fr_calloc(1, sizeof(*s));
    char path[FR_DEMO_PATH];

    if (s == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    d->state = s;
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", d->o->data, layouts[i].marker);
        if (access(path, R_OK) == 0)
            s->layout = &layouts[i];
    }
    if (s->layout == NULL)
        return fr_fault(fault, FR_ENOTFOUND,
                        "--data %.200s: neither period_1.txt (yoochoose) nor movies.dat (ml-1m) is there", d->o->data);
    out->repeat = s->layout->repeat;
    out->types = "[view, click, purchase, like, rating, skip]";
    out->positive = out->triggers = "[view, click, purchase, like, rating]";
    return FR_OK;
}

/* The first lines of the imported events, and its catalogue, under the names that the demo uses. */
static enum fr_err split(struct fr_demo *d, struct fr_fault *fault)
{
    char from[FR_DEMO_PATH], to[FR_DEMO_PATH];
    struct fr_lines *in;
    struct fr_str line;
    struct fr_buf out;
    enum fr_err e;

    if (rename(fr_demo_home_path(&d->home, "all/items.jsonl", from),
               fr_demo_home_path(&d->home, "items.jsonl", to)) != 0)
        return fr_fault(fault, FR_EIO, "%s: no catalogue was imported", from);
    e = fr_lines_open(fr_demo_home_path(&d->home, "all/events.jsonl", from), MAX_LINE, &in, fault);
    if (e != FR_OK)
        return e;
    fr_buf_init(&out);
    while (e == FR_OK && fr_lines_number(in) < (uint64_t)d->o->past) {
        e = fr_lines_next(in, &line);
        if (e != FR_OK)
            break;
        fr_buf_put(&out, line.p, line.n);
        fr_buf_putc(&out, '\n');
        e = fr_buf_err(&out);
    }
    if (e == FR_OK || e == FR_ENOTFOUND)
        e = fr_file_replace(fr_demo_home_path(&d->home, "past.jsonl", to), fr_buf_str(&out), fault);
    fr_buf_done(&out);
    fr_lines_free(in);
    return e;
}

static enum fr_err make_past(struct fr_demo *d, struct fr_fault *fault)
{
    const struct record_side *s = d->state;
    char self[FR_DEMO_PATH], all[FR_DEMO_PATH], limit[32];
    const char *const argv[] = {fr_demo_home_program(&d->home, "freshet", self), "import", s->layout->name,
                                "--data", d->o->data, "--out", fr_demo_home_path(&d->home, "all", all),
                                "--rebase", "now", "--limit", limit, NULL};
    enum fr_err e;

    (void)snprintf(limit, sizeof(limit), "%lld", (long long)d->o->past + LIVE_MAX);
    (void)fprintf(stderr, "importing %s ...\n", s->layout->name);
    e = fr_demo_run(d, "freshet import", argv, fault);
    return e == FR_OK ? split(d, fault) : e;
}

static struct fr_str text_of(const struct fr_json *obj, const char *key)
{
    const struct fr_json *v = fr_json_get(obj, key);

    if (v == NULL || (v->type != FR_JSON_STRING && v->type != FR_JSON_NUMBER))
        return (struct fr_str){NULL, 0};
    return v->str;
}

static enum fr_err next_event(struct record_side *s, const struct fr_json **out)
{
    struct fr_json_error je;
    struct fr_str line;
    enum fr_err e = fr_lines_next(s->events, &line);

    if (e != FR_OK)
        return e;
    fr_arena_reset(s->ar);
    return fr_json_parse(s->ar, line, out, &je);
}

/* Open the events at the end of the past; what came before counts for popularity. */
static enum fr_err begin(struct fr_demo *d, struct fr_fault *fault)
{
    struct record_side *s = d->state;
    char path[FR_DEMO_PATH];
    const struct fr_json *obj;
    enum fr_err e = fr_lines_open(fr_demo_home_path(&d->home, "all/events.jsonl", path), MAX_LINE, &s->events, fault);

    if (e != FR_OK)
        return e;
    fr_latency_init(&s->latency, 1);
    e = fr_arena_new((size_t)1 << 16, 0, &s->ar);
    if (e == FR_OK)
        e = fr_demo_scores_new(HALF_LIFE, &s->scores);
    while (e == FR_OK && fr_lines_number(s->events) < (uint64_t)d->o->past) {
        e = next_event(s, &obj);
        if (e == FR_OK)
            e = fr_demo_scores_used(s->scores, text_of(obj, "item_id"));
    }
    s->next_us = fr_clock_mono_us(&d->clock);
    return e == FR_OK ? e : fr_fault(fault, e, "%s: %s", path, fr_err_text(e));
}

static void note_sent(struct fr_demo *d, struct fr_str event_id, struct fr_str item)
{
    struct record_side *s = d->state;
    uint64_t at = s->n_sent++ % PENDING, key = fr_siphash(KEY, event_id) | 1;

    if (s->key[at] != 0)
        (void)fr_map_del(&s->sent, s->key[at]);
    s->key[at] = key;
    s->sent_us[at] = fr_clock_mono_us(&d->clock);
    fr_demo_view_text(s->because[at], fr_titles_get(d->titles, item));
    if (fr_map_put(&s->sent, key, (uint32_t)at) != FR_OK)
        s->key[at] = 0; /* not timed */
}

/* One recorded event, now. */
static enum fr_err send_event(struct fr_demo *d, const struct fr_json *obj)
{
    struct record_side *s = d->state;
    static const char *const kept[] = {"event_id", "type", "user_id", "item_id", "session_id"};
    const struct fr_json *value = fr_json_get(obj, "value");
    struct fr_str user = text_of(obj, "user_id"), item = text_of(obj, "item_id");
    struct fr_jsonw w;
    struct fr_buf b;
    enum fr_err e;

    fr_buf_init(&b);
    fr_jsonw_init(&w, &b);
    fr_jsonw_object(&w);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        struct fr_str t = text_of(obj, kept[i]);
        if (t.n == 0)
            continue;
        fr_jsonw_key(&w, kept[i]);
        fr_jsonw_str(&w, t);
    }
    if (value != NULL && value->type == FR_JSON_NUMBER) {
        fr_jsonw_key(&w, "value");
        fr_jsonw_f64(&w, value->num);
    }
    fr_jsonw_key(&w, "ts");
    fr_jsonw_i64(&w, fr_clock_wall_ms(&d->clock));
    fr_jsonw_end(&w, '}');
    e = fr_buf_err(&b);
    if (e == FR_OK)
        e = fr_demo_scores_event(s->scores, user, item);
    if (e == FR_OK)
        e = fr_demo_scores_used(s->scores, item);
    note_sent(d, text_of(obj, "event_id"), item);
    if (e == FR_OK)
        e = fr_demo_link_send(&d->link, FR_TOPIC_EVENTS, user, fr_buf_str(&b));
    fr_buf_done(&b);
    d->figures.events += e == FR_OK;
    return e;
}

static void show(struct fr_demo *d, const struct fr_recommendation *r, const char *because, int64_t us)
{
    struct fr_demo_shown *sh = fr_demo_view_push(&d->view);

    fr_demo_view_text(sh->user, r->user_id);
    memcpy(sh->because, because, FR_DEMO_TEXT);
    for (uint32_t i = 0; i < r->n_items && i < FR_DEMO_TITLES; i++)
        fr_demo_view_text(sh->title[sh->n_titles++], fr_titles_get(d->titles, r->items[i].item_id));
    sh->ms = (double)us / 1000;
}

static enum fr_err take_list(struct fr_demo *d, struct fr_str value, int64_t now_us)
{
    struct record_side *s = d->state;
    struct fr_recommendation r;
    struct fr_codec_error ce;
    struct fr_str items[FR_DEMO_LIST];
    uint32_t at;
    int n = 0;

    fr_arena_reset(s->ar);
    if (fr_recommendation_decode(s->ar, value, &r, &ce) != FR_OK)
        return FR_OK; /* counted as missing */
    at = fr_map_get(&s->sent, fr_siphash(KEY, r.trigger_event_id) | 1);
    if (at == FR_MAP_NONE)
        return FR_OK;
    if (d->first_list_us == 0)
        d->first_list_us = now_us;
    d->figures.lists++;
    fr_latency_add(&s->latency, now_us - s->sent_us[at]);
    for (; n < FR_DEMO_LIST && (uint32_t)n < r.n_items; n++)
        items[n] = r.items[n].item_id;
    show(d, &r, s->because[at], now_us - s->sent_us[at]);
    return fr_demo_scores_list(s->scores, r.user_id, items, n);
}

static enum fr_err take_lists(struct fr_demo *d)
{
    struct fr_record rec;
    int wait = TAKE_MS;
    enum fr_err e = FR_OK;

    while (e == FR_OK && fr_log_reader_poll(d->link.lists, wait, &rec) == FR_OK) {
        e = take_list(d, rec.value, fr_clock_mono_us(&d->clock));
        fr_log_reader_release(d->link.lists, &rec);
        wait = 0;
    }
    return e;
}

static enum fr_err step(struct fr_demo *d, struct fr_fault *fault)
{
    struct record_side *s = d->state;
    const struct fr_json *obj;
    enum fr_err e = FR_OK;

    while (e == FR_OK && !d->over && fr_clock_mono_us(&d->clock) >= s->next_us) {
        s->next_us += 1000000 / d->o->rate;
        e = next_event(s, &obj);
        if (e == FR_ENOTFOUND) {
            d->over = true;
            e = FR_OK;
            break;
        }
        if (e == FR_OK)
            e = send_event(d, obj);
    }
    (void)fr_sink_poll(d->link.sink, 0);
    if (e == FR_OK)
        e = take_lists(d);
    return e == FR_OK ? e : fr_fault(fault, e, "live events: %s", fr_err_text(e));
}

static void figures(struct fr_demo *d)
{
    struct record_side *s = d->state;
    struct fr_demo_figures *f = &d->figures;

    f->missing = f->events > f->lists ? f->events - f->lists : 0;
    f->p50_ms = fr_latency_ms(&s->latency, 0.5);
    f->p99_ms = fr_latency_ms(&s->latency, 0.99);
    fr_demo_scores_rates(s->scores, &f->judged, &f->hit_rate, &f->popular_hit_rate);
}

static void end(struct fr_demo *d)
{
    struct record_side *s = d->state;

    if (s == NULL)
        return;
    fr_lines_free(s->events);
    fr_arena_free(s->ar);
    fr_demo_scores_free(s->scores);
    fr_map_done(&s->sent);
    fr_free(s);
    d->state = NULL;
}

const struct fr_demo_side fr_demo_record_side = {settings, make_past, begin, step, figures, end};
