/*
 * daemon/cli/judge_stream.c - messages to numbered events and joined lists.
 */
#include "daemon/cli/judge_stream.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/arena.h"
#include "daemon/base/hash.h"
#include "daemon/base/json.h"
#include "daemon/base/map.h"

#define MAX_PARTITION 65535
#define MAX_OFFSET ((INT64_C(1) << 48) - 1)

/* An event before the merge. */
struct raw {
    struct fr_judge_event ev;
    uint64_t place;  /* partition << 48 | offset */
    uint64_t id;     /* hash of event_id, 0 = none */
    int64_t order;   /* newest ts of its partition so far: the key of the merge */
};

/* A list before the join. */
struct list {
    uint64_t place;
    uint64_t id; /* hash of trigger.event_id, 0 = none */
};

struct fr_judge_stream {
    const char *const *types;
    struct fr_hash_key key; /* fixed: numbers must not depend on the process */
    struct fr_arena *ar;
    struct fr_judge_stream_counts counts;
    struct raw *raw;
    size_t n_raw, cap_raw;
    struct list *list;
    size_t n_list, cap_list;
    uint32_t *start; /* n_list + 1 */
    size_t cap_start;
    uint32_t *items;
    size_t n_items_listed, cap_items;
    struct fr_map users, item_numbers, ids;
    uint32_t n_users, n_items;
    int64_t newest[MAX_PARTITION + 1]; /* by partition */
    /* made by _finish */
    struct fr_judge_event *events;
    bool expected; /* lists, even if none comes */
    uint32_t *list_of;
};

enum fr_err fr_judge_stream_new(const char *const *types, struct fr_judge_stream **out_js)
{
    struct fr_judge_stream *js = fr_calloc(1, sizeof(*js));

    if (js == NULL)
        return FR_ENOMEM;
    js->types = types;
    js->key = fr_hash_key_from(FR_STR_LIT("judge"));
    for (int p = 0; p <= MAX_PARTITION; p++)
        js->newest[p] = INT64_MIN;
    if (fr_arena_new((size_t)1 << 16, (size_t)1 << 28, &js->ar) != FR_OK) {
        fr_judge_stream_free(js);
        return FR_ENOMEM;
    }
    *out_js = js;
    return FR_OK;
}

void fr_judge_stream_free(struct fr_judge_stream *js)
{
    if (js == NULL)
        return;
    fr_arena_free(js->ar);
    fr_free(js->raw);
    fr_free(js->list);
    fr_free(js->start);
    fr_free(js->items);
    fr_map_done(&js->users);
    fr_map_done(&js->item_numbers);
    fr_map_done(&js->ids);
    fr_free(js->events);
    fr_free(js->list_of);
    fr_free(js);
}

const struct fr_judge_stream_counts *fr_judge_stream_counts(const struct fr_judge_stream *js)
{
    return &js->counts;
}

/* Room for one more; the array may move. */
static enum fr_err room(void **p, size_t n, size_t *cap, size_t size)
{
    size_t grown = *cap == 0 ? 1024 : *cap * 2;
    void *q;

    if (n < *cap)
        return FR_OK;
    q = fr_realloc_array(*p, grown, size);
    if (q == NULL)
        return FR_ENOMEM;
    *p = q;
    *cap = grown;
    return FR_OK;
}

static uint64_t hash(const struct fr_judge_stream *js, struct fr_str s)
{
    uint64_t h = fr_siphash(js->key, s);

    return h == 0 ? 1 : h;
}

/* Number of a key, a new one if it is new. */
static enum fr_err number(struct fr_map *m, uint64_t key, uint32_t *n, uint32_t *out)
{
    uint32_t at = fr_map_get(m, key);
    enum fr_err e;

    if (at != FR_MAP_NONE) {
        *out = at;
        return FR_OK;
    }
    if (*n == FR_JUDGE_NONE - 1)
        return FR_EFULL;
    e = fr_map_put(m, key, *n);
    if (e == FR_OK)
        *out = (*n)++;
    return e;
}

/* An id is a string or a number, which stands for its text. False = neither. */
static bool id_of(const struct fr_json *v, struct fr_str *out)
{
    if (v == NULL || (v->type != FR_JSON_STRING && v->type != FR_JSON_NUMBER) || v->str.n == 0)
        return false;
    *out = v->str;
    return true;
}

static bool counts_type(const struct fr_judge_stream *js, struct fr_str type)
{
    for (int i = 0; js->types[i] != NULL; i++)
        if (fr_str_eqz(type, js->types[i]))
            return true;
    return false;
}

static enum fr_err bad(uint64_t *count, struct fr_fault *fault, const char *what)
{
    (*count)++;
    return fr_fault(fault, FR_ESCHEMA, "%s", what);
}

static enum fr_err parse(struct fr_judge_stream *js,
                         struct fr_str value,
                         uint64_t *count,
                         const struct fr_json **out,
                         struct fr_fault *fault)
{
    struct fr_json_error je;
    enum fr_err e;

    fr_arena_reset(js->ar);
    e = fr_json_parse(js->ar, value, out, &je);
    if (e != FR_OK) {
        (*count)++;
        return fr_fault(fault, FR_ESCHEMA, "byte %zu: %s", je.offset, je.what);
    }
    if ((*out)->type != FR_JSON_OBJECT)
        return bad(count, fault, "not an object");
    return FR_OK;
}

static enum fr_err append(struct fr_judge_stream *js, const struct raw *r)
{
    void *p = js->raw;
    enum fr_err e;

    if (r->id != 0) {
        e = fr_map_put(&js->ids, r->id, (uint32_t)js->n_raw);
        if (e != FR_OK)
            return e;
    }
    e = room(&p, js->n_raw, &js->cap_raw, sizeof(*r));
    js->raw = p;
    if (e == FR_OK)
        js->raw[js->n_raw++] = *r;
    return e;
}

enum fr_err fr_judge_stream_event(struct fr_judge_stream *js,
                                  int32_t partition,
                                  int64_t offset,
                                  int64_t record_ts,
                                  struct fr_str value,
                                  struct fr_fault *fault)
{
    const struct fr_json *o, *ts;
    struct fr_str type, user, item, id;
    struct raw r = {.ev = {0, 0, record_ts}};
    enum fr_err e;

    js->counts.events++;
    if (partition < 0 || partition > MAX_PARTITION || offset < 0 || offset > MAX_OFFSET)
        return FR_EFULL;
    e = parse(js, value, &js->counts.events_bad, &o, fault);
    if (e != FR_OK)
        return e;
    if (!id_of(fr_json_get(o, "type"), &type))
        return bad(&js->counts.events_bad, fault, "type: missing or no string");
    if (!id_of(fr_json_get(o, "user_id"), &user))
        return bad(&js->counts.events_bad, fault, "user_id: missing or neither string nor number");
    ts = fr_json_get(o, "ts");
    if (ts != NULL && ts->type != FR_JSON_NULL) {
        if (!ts->is_int || ts->i < 0)
            return bad(&js->counts.events_bad, fault, "ts: not a whole number of milliseconds");
        r.ev.ts = ts->i;
    }
    if (r.ev.ts < 0)
        return bad(&js->counts.events_bad, fault, "ts: missing");
    if (!counts_type(js, type) || !id_of(fr_json_get(o, "item_id"), &item)) {
        js->counts.events_other++;
        return FR_OK;
    }
    if (id_of(fr_json_get(o, "event_id"), &id))
        r.id = hash(js, id);
    if (r.id != 0 && fr_map_get(&js->ids, r.id) != FR_MAP_NONE) {
        js->counts.events_again++;
        return FR_OK;
    }
    r.place = (uint64_t)partition << 48 | (uint64_t)offset;
    if (r.ev.ts > js->newest[partition])
        js->newest[partition] = r.ev.ts;
    r.order = js->newest[partition];
    e = number(&js->users, hash(js, user) ^ fr_mix64((uint64_t)partition), &js->n_users, &r.ev.user);
    if (e == FR_OK)
        e = number(&js->item_numbers, hash(js, item), &js->n_items, &r.ev.item);
    return e == FR_OK ? append(js, &r) : e;
}

/* The list's items; on a bad one everything of this list is taken back. */
static enum fr_err list_items(struct fr_judge_stream *js, const struct fr_json *items, struct fr_fault *fault)
{
    size_t before = js->n_items_listed;

    for (const struct fr_json *it = items->child; it != NULL; it = it->next) {
        struct fr_str id;
        void *p = js->items;
        enum fr_err e;

        if (!id_of(fr_json_get(it, "item_id"), &id)) {
            js->n_items_listed = before;
            return bad(&js->counts.lists_bad, fault, "items: an entry has no item_id");
        }
        e = room(&p, js->n_items_listed, &js->cap_items, sizeof(*js->items));
        js->items = p;
        if (e == FR_OK && js->n_items_listed >= FR_JUDGE_NONE - 1)
            e = FR_EFULL;
        if (e == FR_OK)
            e = number(&js->item_numbers, hash(js, id), &js->n_items,
                       &js->items[js->n_items_listed]);
        if (e != FR_OK)
            return e;
        js->n_items_listed++;
    }
    return FR_OK;
}

static enum fr_err list_trigger(struct fr_judge_stream *js,
                                const struct fr_json *trigger,
                                struct list *out,
                                struct fr_fault *fault)
{
    const struct fr_json *p = fr_json_get(trigger, "partition"), *o = fr_json_get(trigger, "offset");
    struct fr_str id;

    if (p == NULL || o == NULL || !p->is_int || !o->is_int || p->i < 0 || p->i > MAX_PARTITION ||
        o->i < 0 || o->i > MAX_OFFSET)
        return bad(&js->counts.lists_bad, fault, "trigger: partition or offset missing or out of range");
    out->place = (uint64_t)p->i << 48 | (uint64_t)o->i;
    out->id = id_of(fr_json_get(trigger, "event_id"), &id) ? hash(js, id) : 0;
    return FR_OK;
}

enum fr_err fr_judge_stream_list(struct fr_judge_stream *js, struct fr_str value, struct fr_fault *fault)
{
    const struct fr_json *o, *items, *trigger, *asked;
    struct list l = {0, 0};
    void *lists = js->list, *start = js->start;
    enum fr_err e;

    js->counts.lists++;
    e = parse(js, value, &js->counts.lists_bad, &o, fault);
    if (e != FR_OK)
        return e;
    trigger = fr_json_get(o, "trigger");
    asked = fr_json_get(o, "request_id");
    if (trigger == NULL || trigger->type == FR_JSON_NULL || (asked != NULL && asked->type != FR_JSON_NULL)) {
        js->counts.lists_asked++;
        return FR_OK;
    }
    items = fr_json_get(o, "items");
    if (items == NULL || items->type != FR_JSON_ARRAY)
        return bad(&js->counts.lists_bad, fault, "items: missing or no array");
    e = list_trigger(js, trigger, &l, fault);
    if (e != FR_OK)
        return e;
    e = room(&lists, js->n_list, &js->cap_list, sizeof(*js->list));
    js->list = lists;
    if (e == FR_OK)
        e = room(&start, js->n_list + 1, &js->cap_start, sizeof(*js->start));
    js->start = start;
    if (e != FR_OK)
        return e;
    js->start[js->n_list] = (uint32_t)js->n_items_listed;
    e = list_items(js, items, fault);
    if (e != FR_OK)
        return e;
    js->list[js->n_list++] = l;
    js->start[js->n_list] = (uint32_t)js->n_items_listed;
    return FR_OK;
}

static int by_order(const void *a, const void *b)
{
    const struct raw *x = a, *y = b;

    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* Lists to events: by the place in the log, or by the event's id. */
static enum fr_err join(struct fr_judge_stream *js, enum fr_judge_match match)
{
    struct fr_map places = {NULL, 0, 0};
    enum fr_err e = FR_OK;

    fr_map_clear(&js->ids);
    for (size_t i = 0; i < js->n_raw && e == FR_OK; i++) {
        js->list_of[i] = FR_JUDGE_NONE;
        e = fr_map_put(&places, js->raw[i].place + 1, (uint32_t)i);
        if (e == FR_OK && js->raw[i].id != 0)
            e = fr_map_put(&js->ids, js->raw[i].id, (uint32_t)i);
    }
    for (size_t k = 0; k < js->n_list && e == FR_OK; k++) {
        const struct list *l = &js->list[k];
        uint32_t at = FR_MAP_NONE;

        if (match != FR_JUDGE_MATCH_OFFSET && l->id != 0)
            at = fr_map_get(&js->ids, l->id);
        if (at == FR_MAP_NONE && match != FR_JUDGE_MATCH_EVENT_ID)
            at = fr_map_get(&places, l->place + 1);
        if (at == FR_MAP_NONE)
            js->counts.lists_lost++;
        else if (js->list_of[at] != FR_JUDGE_NONE)
            js->counts.lists_again++;
        else
            js->list_of[at] = (uint32_t)k;
    }
    fr_map_done(&places);
    return e;
}

/* Give `*old` the number of its first appearance. */
static void renumber(uint32_t *fresh, uint32_t *old, uint32_t *next)
{
    if (fresh[*old] == FR_JUDGE_NONE)
        fresh[*old] = (*next)++;
    *old = fresh[*old];
}

/* Numbers in the merged order: they break ties, so they must not depend on how a reader interleaved the
 * partitions. Items that stand in lists only come last; no baseline names them. */
static enum fr_err renumber_all(struct fr_judge_stream *js)
{
    uint32_t *user = fr_malloc_array((size_t)js->n_users + 1, sizeof(*user));
    uint32_t *item = fr_malloc_array((size_t)js->n_items + 1, sizeof(*item));
    uint32_t n_users = 0, n_items = 0;
    enum fr_err e = user == NULL || item == NULL ? FR_ENOMEM : FR_OK;

    if (e == FR_OK) {
        memset(user, 0xff, ((size_t)js->n_users + 1) * sizeof(*user));
        memset(item, 0xff, ((size_t)js->n_items + 1) * sizeof(*item));
        for (size_t i = 0; i < js->n_raw; i++) {
            renumber(user, &js->raw[i].ev.user, &n_users);
            renumber(item, &js->raw[i].ev.item, &n_items);
        }
        for (size_t i = 0; i < js->n_items_listed; i++)
            renumber(item, &js->items[i], &n_items);
    }
    fr_free(user);
    fr_free(item);
    return e;
}

void fr_judge_stream_expect_lists(struct fr_judge_stream *js)
{
    js->expected = true;
}

enum fr_err fr_judge_stream_finish(struct fr_judge_stream *js,
                                   enum fr_judge_match match,
                                   struct fr_judge_input *out_in)
{
    int64_t newest = INT64_MIN;
    size_t n = js->n_raw == 0 ? 1 : js->n_raw;

    js->events = fr_calloc(n, sizeof(*js->events));
    js->list_of = fr_calloc(n, sizeof(*js->list_of));
    if (js->events == NULL || js->list_of == NULL)
        return FR_ENOMEM;
    if (js->n_raw > 1)
        qsort(js->raw, js->n_raw, sizeof(*js->raw), by_order);
    if (renumber_all(js) != FR_OK)
        return FR_ENOMEM;
    for (size_t i = 0; i < js->n_raw; i++) {
        js->events[i] = js->raw[i].ev;
        if (newest > js->events[i].ts && newest - js->events[i].ts > js->counts.skew_ms)
            js->counts.skew_ms = newest - js->events[i].ts;
        newest = js->events[i].ts > newest ? js->events[i].ts : newest;
    }
    if (js->counts.lists > 0 || js->expected) {
        enum fr_err e = join(js, match);
        if (e != FR_OK)
            return e;
    }
    *out_in = (struct fr_judge_input){.events = js->events,
                                      .n_events = js->n_raw,
                                      .n_users = js->n_users,
                                      .n_items = js->n_items,
                                      .list_of = js->counts.lists == 0 && !js->expected ? NULL : js->list_of,
                                      .list_start = js->start,
                                      .list_items = js->items};
    return FR_OK;
}
