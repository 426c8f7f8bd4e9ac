#include "features/item_table.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "features/item_cells.h"
#include "features/item_generation.h"

struct fr_item_table {
    const struct fr_spec *spec;
    struct fr_map by_item;
    struct fr_item *item; /* (cap) */
    uint32_t *freed;      /* (cap) stack of free indexes below end */
    uint32_t n_freed, end, cap, size, max;
    uint64_t version;
    struct fr_item_generation *gen;
};

enum fr_err
fr_item_table_new(const struct fr_spec *spec, uint32_t max_items, struct fr_item_table **out)
{
    struct fr_item_table *t = fr_calloc(1, sizeof *t);
    if (t == NULL)
        return FR_ENOMEM;
    t->spec = spec;
    t->max = max_items == 0 || max_items > (1u << 31) ? (1u << 31) : max_items;
    *out = t;
    return FR_OK;
}

void fr_item_table_free(struct fr_item_table *t)
{
    if (t == NULL)
        return;
    for (uint32_t i = 0; i < t->end; i++)
        fr_free(t->item[i].block);
    fr_map_done(&t->by_item);
    fr_item_generation_unref(t->gen);
    fr_free(t->item);
    fr_free(t->freed);
    fr_free(t);
}

/* ---- one item's block ----
 *
 *   [cells 16 B each][categories 8 B each][vector 4 B each][id][title][brand]
 */

static struct fr_str copy_str(char **at, struct fr_str s)
{
    struct fr_str out = {*at, s.n};
    if (s.n > 0)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return out;
}

static enum fr_err
make_item(const struct fr_spec *spec, const struct fr_item_record *rec, struct fr_item *out)
{
    size_t cells = spec->fields.n_cells[FR_ENTITY_ITEM] * sizeof(struct fr_cell);
    size_t cats = rec->n_categories * sizeof(uint64_t);
    size_t vec = rec->vector == NULL ? 0 : rec->n_vector * sizeof(float);
    size_t bytes = cells + cats + vec + rec->item_id.n + rec->title.n + rec->brand.n;
    char *at = fr_malloc_array(bytes, 1);
    if (at == NULL)
        return FR_ENOMEM;
    struct fr_item it = {.item = rec->item, .block = at, .created_ts = rec->created_ts};
    it.cells = (struct fr_cell *)(void *)at;
    at += cells;
    it.category = (uint64_t *)(void *)at;
    at += cats;
    fr_item_cells(spec, rec, it.cells);
    for (uint32_t i = 0; i < rec->n_categories; i++)
        it.category[it.n_category++] = fr_id_hash(spec->key, rec->categories[i]);
    if (vec > 0) {
        it.vector = memcpy(at, rec->vector, vec);
        it.n_vector = rec->n_vector;
    }
    at += vec;
    it.id = copy_str(&at, rec->item_id);
    it.title = copy_str(&at, rec->title);
    it.brand = copy_str(&at, rec->brand);
    it.price = rec->has_price ? rec->price : -1;
    it.available = rec->available;
    *out = it;
    return FR_OK;
}

/* ---- writes ---- */

static enum fr_err reserve(struct fr_item_table *t)
{
    if (t->n_freed > 0 || t->end < t->cap)
        return FR_OK;
    if (t->end >= t->max)
        return FR_EFULL;
    uint32_t cap = t->cap == 0 ? 256 : t->cap * 2;
    struct fr_item *item = fr_realloc_array(t->item, cap, sizeof *item);
    if (item == NULL)
        return FR_ENOMEM;
    t->item = item;
    uint32_t *freed = fr_realloc_array(t->freed, cap, sizeof *freed);
    if (freed == NULL)
        return FR_ENOMEM;
    t->freed = freed;
    t->cap = cap;
    return FR_OK;
}

static enum fr_err insert(struct fr_item_table *t, const struct fr_item *it, uint32_t *out_idx)
{
    enum fr_err e = t->size >= t->max ? FR_EFULL : reserve(t);
    if (e != FR_OK)
        return e;
    uint32_t idx = t->n_freed > 0 ? t->freed[t->n_freed - 1] : t->end;
    e = fr_map_put(&t->by_item, it->item, idx);
    if (e != FR_OK)
        return e;
    if (t->n_freed > 0)
        t->n_freed--;
    else
        t->end++;
    t->item[idx] = *it;
    t->size++;
    *out_idx = idx;
    return FR_OK;
}

bool fr_item_table_delete(struct fr_item_table *t, uint64_t item, uint32_t *out_idx)
{
    uint32_t idx = fr_item_table_find(t, item);
    if (out_idx != NULL)
        *out_idx = idx;
    if (idx == FR_ITEM_NONE)
        return false;
    fr_map_del(&t->by_item, item);
    fr_free(t->item[idx].block);
    memset(&t->item[idx], 0, sizeof t->item[idx]);
    t->freed[t->n_freed++] = idx;
    t->size--;
    t->version++;
    return true;
}

enum fr_err
fr_item_table_put(struct fr_item_table *t, const struct fr_item_record *rec, uint32_t *out_idx)
{
    struct fr_item it;
    uint32_t idx;

    if (rec->item == 0 || rec->item_id.n == 0 || rec->n_categories > FR_MAX_CATEGORIES)
        return FR_EINVAL;
    if (rec->deleted) {
        (void)fr_item_table_delete(t, rec->item, out_idx);
        return FR_OK;
    }
    enum fr_err e = make_item(t->spec, rec, &it);
    if (e != FR_OK)
        return e;
    idx = fr_item_table_find(t, rec->item);
    if (idx != FR_ITEM_NONE) {
        fr_free(t->item[idx].block);
        t->item[idx] = it;
    } else {
        e = insert(t, &it, &idx);
        if (e != FR_OK) {
            fr_free(it.block);
            return e;
        }
    }
    t->version++;
    if (out_idx != NULL)
        *out_idx = idx;
    return FR_OK;
}

/* ---- reads ---- */

uint32_t fr_item_table_find(const struct fr_item_table *t, uint64_t item)
{
    return fr_map_get(&t->by_item, item);
}

const struct fr_item *fr_item_table_get(const struct fr_item_table *t, uint32_t idx)
{
    return idx < t->end && t->item[idx].item != 0 ? &t->item[idx] : NULL;
}

uint32_t fr_item_table_size(const struct fr_item_table *t)
{
    return t->size;
}

uint32_t fr_item_table_end(const struct fr_item_table *t)
{
    return t->end;
}

uint64_t fr_item_table_version(const struct fr_item_table *t)
{
    return t->version;
}

void fr_item_table_set_generation(struct fr_item_table *t, struct fr_item_generation *g)
{
    struct fr_item_generation *old = t->gen;
    t->gen = fr_item_generation_ref(g);
    fr_item_generation_unref(old);
}

const struct fr_item_generation *fr_item_table_generation(const struct fr_item_table *t)
{
    return t->gen;
}
