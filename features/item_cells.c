#include "features/item_cells.h"

#include <stdbool.h>
#include <string.h>

#include "features/buckets.h"
#include "features/event.h"
#include "features/fmath.h"

#define WORD_MAX 64 /* longer words are cut */
#define SLOTS_MAX 32

static bool word_byte(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80;
}

static bool has(const uint64_t *h, uint32_t n, uint64_t x)
{
    for (uint32_t i = 0; i < n; i++)
        if (h[i] == x)
            return true;
    return false;
}

uint32_t fr_title_words(struct fr_hash_key key, struct fr_str title, uint64_t *out, uint32_t max)
{
    char word[WORD_MAX];
    uint32_t n = 0;
    size_t at = 0;

    while (n < max && at < title.n) {
        size_t len = 0;
        while (at < title.n && !word_byte((unsigned char)title.p[at]))
            at++;
        for (; at < title.n && word_byte((unsigned char)title.p[at]); at++) {
            char c = title.p[at];
            if (len < WORD_MAX)
                word[len++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        }
        if (len == 0)
            break;
        uint64_t h = fr_id_hash(key, (struct fr_str){word, len});
        if (!has(out, n, h))
            out[n++] = h;
    }
    return n;
}

static uint32_t
hash_all(struct fr_hash_key key, const struct fr_str *s, uint32_t n_s, uint64_t *out, uint32_t max)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_s && n < max; i++) {
        uint64_t h = fr_id_hash(key, s[i]);
        if (!has(out, n, h))
            out[n++] = h;
    }
    return n;
}

static void put_ids(struct fr_cell *out, const uint64_t *h, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = (struct fr_cell){h[i], (float)(1.0 / (double)n)};
}

static void attribute_cells(const struct fr_spec *spec,
                            const struct fr_feature *ft,
                            const struct fr_item_record *rec,
                            struct fr_cell *out)
{
    uint64_t h[SLOTS_MAX];
    uint32_t max = ft->n < SLOTS_MAX ? ft->n : SLOTS_MAX;

    switch ((enum fr_attribute)ft->what) {
    case FR_ATTR_CATEGORY:
        put_ids(out, h, hash_all(spec->key, rec->categories, rec->n_categories, h, max));
        return;
    case FR_ATTR_TAGS:
        put_ids(out, h, hash_all(spec->key, rec->tags, rec->n_tags, h, max));
        return;
    case FR_ATTR_BRAND:
        if (rec->brand.n > 0)
            out[0] = (struct fr_cell){fr_id_hash(spec->key, rec->brand), 1};
        return;
    case FR_ATTR_PRICE:
        if (rec->has_price && ft->number)
            out[0] = (struct fr_cell){0, (float)fr_log1p(rec->price)};
        else if (!ft->number)
            out[0] = (struct fr_cell){rec->has_price ? fr_bucket_price(rec->price) : 0, 1};
        return;
    }
}

void fr_item_cells(const struct fr_spec *spec,
                   const struct fr_item_record *rec,
                   struct fr_cell *out)
{
    uint64_t words[SLOTS_MAX];

    memset(out, 0, spec->fields.n_cells[FR_ENTITY_ITEM] * sizeof *out);
    for (int i = 0; i < spec->n_feat; i++) {
        const struct fr_feature *ft = &spec->feat[i];
        if (ft->entity != FR_ENTITY_ITEM)
            continue;
        struct fr_cell *cell = out + spec->fields.f[ft->field].first;
        if (ft->kind == FR_KIND_ITEM_ID)
            cell[0] = (struct fr_cell){rec->item, 1};
        else if (ft->kind == FR_KIND_ATTRIBUTE)
            attribute_cells(spec, ft, rec, cell);
        else if (ft->kind == FR_KIND_TITLE_WORDS)
            put_ids(cell,
                    words,
                    fr_title_words(
                        spec->key, rec->title, words, ft->n < SLOTS_MAX ? ft->n : SLOTS_MAX));
    }
}
