/*
 * daemon/cli/catalogue_titles.c - see catalogue_titles.h. Texts lie in one growing buffer; a replaced
 * title stays there until the end.
 */
#include "daemon/cli/catalogue_titles.h"

#include "daemon/base/alloc.h"
#include "daemon/base/buf.h"
#include "daemon/base/hash.h"
#include "daemon/base/map.h"

struct entry {
    size_t id, id_n, title, title_n; /* in `text` */
};

struct fr_titles {
    struct fr_buf text;
    struct fr_map by_id; /* hash of the id -> entry */
    struct entry *entry;
    uint32_t n, cap;
};

static const struct fr_hash_key KEY = {UINT64_C(0x66726573), UINT64_C(0x7469746c)};

static uint64_t key_of(struct fr_str id)
{
    uint64_t h = fr_siphash(KEY, id);

    return h == 0 ? 1 : h;
}

enum fr_err fr_titles_new(struct fr_titles **out)
{
    struct fr_titles *t = fr_calloc(1, sizeof(*t));

    if (t == NULL)
        return FR_ENOMEM;
    fr_buf_init(&t->text);
    *out = t;
    return FR_OK;
}

static enum fr_err grow(struct fr_titles *t)
{
    uint32_t cap = t->cap == 0 ? 256 : t->cap * 2;
    struct entry *p;

    if (t->n < t->cap)
        return FR_OK;
    p = fr_realloc_array(t->entry, cap, sizeof(*p));
    if (p == NULL)
        return FR_ENOMEM;
    t->entry = p;
    t->cap = cap;
    return FR_OK;
}

enum fr_err fr_titles_put(struct fr_titles *t, struct fr_str id, struct fr_str title)
{
    struct entry new = {t->text.n, id.n, t->text.n + id.n, title.n};
    uint32_t at = fr_map_get(&t->by_id, key_of(id));
    enum fr_err e = FR_OK;

    if (id.n == 0)
        return FR_EINVAL;
    fr_buf_put(&t->text, id.p, id.n);
    fr_buf_put(&t->text, title.p, title.n);
    if (fr_buf_err(&t->text) != FR_OK)
        return FR_ENOMEM;
    if (at == FR_MAP_NONE) {
        e = grow(t);
        if (e == FR_OK)
            e = fr_map_put(&t->by_id, key_of(id), t->n);
        if (e != FR_OK)
            return e;
        at = t->n++;
    }
    t->entry[at] = new;
    return FR_OK;
}

struct fr_str fr_titles_get(const struct fr_titles *t, struct fr_str id)
{
    uint32_t at = id.n == 0 ? FR_MAP_NONE : fr_map_get(&t->by_id, key_of(id));
    const struct entry *e;

    if (at == FR_MAP_NONE)
        return id;
    e = &t->entry[at];
    if (e->title_n == 0 || !fr_str_eq(id, (struct fr_str){t->text.p + e->id, e->id_n}))
        return id;
    return (struct fr_str){t->text.p + e->title, e->title_n};
}

void fr_titles_free(struct fr_titles *t)
{
    if (t == NULL)
        return;
    fr_buf_done(&t->text);
    fr_map_done(&t->by_id);
    fr_free(t->entry);
    fr_free(t);
}
