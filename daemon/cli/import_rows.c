/*
 * daemon/cli/import_rows.c - see import_rows.h.
 */
#include "daemon/cli/import_rows.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"
#include "daemon/base/json.h"
#include "daemon/base/map.h"

static const struct fr_hash_key KEY = {UINT64_C(0x696d706f72746564), UINT64_C(0x206974656d73)};

struct fr_import_ref fr_import_rows_text(struct fr_import_rows *rows, struct fr_str s)
{
    struct fr_import_ref r = {rows->text.n, (uint32_t)s.n};

    fr_buf_put(&rows->text, s.p, s.n);
    return r;
}

struct fr_str fr_import_rows_str(const struct fr_import_rows *rows, struct fr_import_ref r)
{
    return r.n == 0 ? (struct fr_str){NULL, 0} : (struct fr_str){rows->text.p + r.at, r.n};
}

/* Room for one more of `size` bytes. */
static enum fr_err grow(void **p, uint64_t n, uint64_t *cap, size_t size)
{
    uint64_t more = *cap == 0 ? 1024 : *cap * 2;
    void *q;

    if (n < *cap)
        return FR_OK;
    q = fr_realloc_array(*p, more, size);
    if (q == NULL)
        return FR_ENOMEM;
    *p = q;
    *cap = more;
    return FR_OK;
}

enum fr_err fr_import_rows_event(struct fr_import_rows *rows, const struct fr_import_event *ev)
{
    void *p = rows->event;
    enum fr_err e = grow(&p, rows->n_events, &rows->cap_events, sizeof(*ev));

    rows->event = p;
    if (e == FR_OK)
        e = fr_buf_err(&rows->text);
    if (e == FR_OK)
        rows->event[rows->n_events++] = *ev;
    return e;
}

enum fr_err fr_import_rows_item(struct fr_import_rows *rows, const struct fr_import_item *it)
{
    void *p = rows->item;
    enum fr_err e = grow(&p, rows->n_items, &rows->cap_items, sizeof(*it));

    rows->item = p;
    if (e == FR_OK)
        e = fr_buf_err(&rows->text);
    if (e == FR_OK)
        rows->item[rows->n_items++] = *it;
    return e;
}

/* ---- order ---- */

struct key {
    int64_t ts;
    uint64_t place;
    const struct fr_import_rows *rows;
    bool ids;
};

static int compare_ids(struct fr_str a, struct fr_str b)
{
    uint64_t x, y;
    size_t n = a.n < b.n ? a.n : b.n;
    int c;

    if (fr_str_to_u64(a, &x) == FR_OK && fr_str_to_u64(b, &y) == FR_OK)
        return (x > y) - (x < y);
    c = n == 0 ? 0 : memcmp(a.p, b.p, n);
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

static int in_order(const void *pa, const void *pb)
{
    const struct key *a = pa, *b = pb;
    int c = (a->ts > b->ts) - (a->ts < b->ts);

    if (c == 0 && a->ids) {
        const struct fr_import_event *x = &a->rows->event[a->place], *y = &b->rows->event[b->place];
        c = compare_ids(fr_import_rows_str(a->rows, x->user), fr_import_rows_str(a->rows, y->user));
        if (c == 0)
            c = compare_ids(fr_import_rows_str(a->rows, x->item), fr_import_rows_str(a->rows, y->item));
    }
    return c != 0 ? c : (a->place > b->place) - (a->place < b->place);
}

enum fr_err fr_import_rows_sort(struct fr_import_rows *rows, bool ids)
{
    uint64_t n = rows->n_events;
    struct fr_import_event *sorted;
    struct key *key;

    if (n < 2)
        return FR_OK;
    key = fr_malloc_array(n, sizeof(*key));
    sorted = fr_malloc_array(n, sizeof(*sorted));
    if (key == NULL || sorted == NULL) {
        fr_free(key);
        fr_free(sorted);
        return FR_ENOMEM;
    }
    for (uint64_t i = 0; i < n; i++)
        key[i] = (struct key){rows->event[i].ts, i, rows, ids};
    qsort(key, n, sizeof(*key), in_order);
    for (uint64_t i = 0; i < n; i++)
        sorted[i] = rows->event[key[i].place];
    fr_free(key);
    fr_free(rows->event);
    rows->event = sorted;
    rows->cap_events = n;
    return FR_OK;
}

static uint64_t hash_of(struct fr_str s)
{
    uint64_t h = fr_siphash(KEY, s);

    return h == 0 ? 1 : h;
}

enum fr_err fr_import_rows_complete(struct fr_import_rows *rows)
{
    struct fr_map known = {0};
    enum fr_err e = FR_OK;

    for (uint64_t i = 0; i < rows->n_items && e == FR_OK; i++)
        e = fr_map_put(&known, hash_of(fr_import_rows_str(rows, rows->item[i].id)), 1);
    for (uint64_t i = 0; i < rows->n_events && e == FR_OK; i++) {
        struct fr_import_item it = {.id = rows->event[i].item};
        uint64_t h = hash_of(fr_import_rows_str(rows, it.id));
        if (fr_map_get(&known, h) != FR_MAP_NONE)
            continue;
        e = fr_map_put(&known, h, 1);
        if (e == FR_OK)
            e = fr_import_rows_item(rows, &it);
    }
    fr_map_done(&known);
    return e;
}

/* ---- JSON ---- */

static void text(struct fr_jsonw *w, const char *key, struct fr_str s)
{
    if (s.n == 0)
        return;
    fr_jsonw_key(w, key);
    fr_jsonw_str(w, s);
}

void fr_import_event_json(const struct fr_import_rows *rows, const struct fr_import_event *ev, int64_t ts, struct fr_buf *out)
{
    struct fr_jsonw w;

    fr_jsonw_init(&w, out);
    fr_jsonw_object(&w);
    text(&w, "event_id", fr_import_rows_str(rows, ev->id));
    text(&w, "type", fr_import_rows_str(rows, ev->type));
    text(&w, "user_id", fr_import_rows_str(rows, ev->user));
    text(&w, "item_id", fr_import_rows_str(rows, ev->item));
    fr_jsonw_key(&w, "ts");
    fr_jsonw_i64(&w, ts);
    if (ev->has_value) {
        fr_jsonw_key(&w, "value");
        fr_jsonw_f64(&w, ev->value);
    }
    fr_jsonw_end(&w, '}');
}

void fr_import_item_json(const struct fr_import_rows *rows, const struct fr_import_item *it, struct fr_buf *out)
{
    struct fr_str names = fr_import_rows_str(rows, it->categories);
    struct fr_jsonw w;

    fr_jsonw_init(&w, out);
    fr_jsonw_object(&w);
    text(&w, "item_id", fr_import_rows_str(rows, it->id));
    text(&w, "title", fr_import_rows_str(rows, it->title));
    if (names.n > 0) {
        fr_jsonw_key(&w, "categories");
        fr_jsonw_array(&w);
        while (names.n > 0) {
            size_t n = (size_t)((const char *)memchr(names.p, '\n', names.n) - names.p);
            fr_jsonw_str(&w, (struct fr_str){names.p, n});
            names.p += n + 1;
            names.n -= n + 1;
        }
        fr_jsonw_end(&w, ']');
    }
    text(&w, "brand", fr_import_rows_str(rows, it->brand));
    if (it->has_price) {
        fr_jsonw_key(&w, "price");
        fr_jsonw_f64(&w, it->price);
    }
    fr_jsonw_end(&w, '}');
}

void fr_import_rows_done(struct fr_import_rows *rows)
{
    fr_buf_done(&rows->text);
    fr_free(rows->event);
    fr_free(rows->item);
    memset(rows, 0, sizeof(*rows));
}
