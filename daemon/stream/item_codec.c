/*
 * daemon/stream/item_codec.c - see item_codec.h.
 */
#include "daemon/stream/item_codec.h"

#include <math.h>
#include <string.h>

#include "features/event.h"

static const struct fr_json *member(const struct fr_json *obj, const char *field)
{
    const struct fr_json *v = fr_json_get(obj, field);

    return v == NULL || v->type == FR_JSON_NULL ? NULL : v;
}

/* Text of at most `max` bytes; longer is cut at a UTF-8 boundary. */
static enum fr_err decode_text(const struct fr_json *obj,
                               const char *field,
                               size_t max,
                               struct fr_str *out,
                               struct fr_codec_error *ce)
{
    const struct fr_json *v = member(obj, field);

    if (v == NULL)
        return FR_OK;
    if (v->type != FR_JSON_STRING)
        return fr_codec_fail(ce, FR_ESCHEMA, v, field, "a string is expected");
    *out = v->str;
    if (out->n > max) {
        out->n = max;
        while (out->n > 0 && ((unsigned char)out->p[out->n] & 0xC0) == 0x80)
            out->n--;
    }
    return FR_OK;
}

static enum fr_err decode_words(struct fr_arena *ar,
                                const struct fr_json *obj,
                                const char *field,
                                uint32_t max,
                                const struct fr_str **out,
                                uint32_t *out_n,
                                struct fr_codec_error *ce)
{
    const struct fr_json *v = member(obj, field);
    struct fr_str *words;
    uint32_t n = 0;

    if (v == NULL)
        return FR_OK;
    if (v->type != FR_JSON_ARRAY)
        return fr_codec_fail(ce, FR_ESCHEMA, v, field, "an array is expected");
    words = fr_arena_array(ar, max, sizeof(*words));
    if (words == NULL)
        return fr_codec_fail(ce, FR_ENOMEM, v, field, "out of memory");
    for (const struct fr_json *c = v->child; c != NULL; c = c->next) {
        struct fr_str s;
        enum fr_err e = fr_codec_id_value(c, field, &s, ce);
        if (e != FR_OK)
            return e;
        if (n < max)
            words[n++] = s;
    }
    *out = words;
    *out_n = n;
    return FR_OK;
}

static enum fr_err
decode_price(const struct fr_json *obj, struct fr_item_record *r, struct fr_codec_error *ce)
{
    const struct fr_json *v = member(obj, "price");

    if (v == NULL)
        return FR_OK;
    if (v->type != FR_JSON_NUMBER || v->num < 0)
        return fr_codec_fail(ce, FR_ESCHEMA, v, "price", "a number of 0 or more is expected");
    r->has_price = true;
    r->price = v->num;
    return FR_OK;
}

static enum fr_err decode_vector(struct fr_arena *ar,
                                 const struct fr_json *obj,
                                 struct fr_item_record *r,
                                 struct fr_codec_error *ce)
{
    const struct fr_json *v = member(obj, "vector");
    float *x;
    uint32_t n = 0;

    if (v == NULL)
        return FR_OK;
    if (v->type != FR_JSON_ARRAY || v->n == 0 || v->n > FR_MAX_VECTOR)
        return fr_codec_fail(
            ce, FR_ESCHEMA, v, "vector", "an array of 1 to 4096 numbers is expected");
    x = fr_arena_array(ar, v->n, sizeof(*x));
    if (x == NULL)
        return fr_codec_fail(ce, FR_ENOMEM, v, "vector", "out of memory");
    for (const struct fr_json *c = v->child; c != NULL; c = c->next) {
        if (c->type != FR_JSON_NUMBER || fabs(c->num) > 1e30)
            return fr_codec_fail(ce, FR_ESCHEMA, c, "vector", "a number within 1e30 is expected");
        x[n++] = (float)c->num;
    }
    r->vector = x;
    r->n_vector = n;
    return FR_OK;
}

static enum fr_err
decode_available(const struct fr_json *obj, struct fr_item_record *r, struct fr_codec_error *ce)
{
    const struct fr_json *v = member(obj, "available");

    r->available = true;
    if (v == NULL)
        return FR_OK;
    if (v->type != FR_JSON_BOOL)
        return fr_codec_fail(ce, FR_ESCHEMA, v, "available", "true or false is expected");
    r->available = v->b;
    return FR_OK;
}

static enum fr_err decode_attributes(struct fr_arena *ar,
                                     const struct fr_json *obj,
                                     struct fr_item_record *r,
                                     struct fr_codec_error *ce)
{
    enum fr_err e = decode_text(obj, "title", FR_TITLE_MAX, &r->title, ce);

    if (e == FR_OK)
        e = decode_words(
            ar, obj, "categories", FR_MAX_CATEGORIES, &r->categories, &r->n_categories, ce);
    if (e == FR_OK)
        e = fr_codec_id(obj, "brand", false, &r->brand, ce);
    if (e == FR_OK)
        e = decode_price(obj, r, ce);
    if (e == FR_OK)
        e = decode_words(ar, obj, "tags", FR_MAX_TAGS, &r->tags, &r->n_tags, ce);
    if (e == FR_OK)
        e = fr_codec_ts(obj, "created_ts", 0, &r->created_ts, ce);
    if (e == FR_OK)
        e = decode_available(obj, r, ce);
    if (e == FR_OK)
        e = decode_vector(ar, obj, r, ce);
    return e;
}

enum fr_err fr_item_decode(const struct fr_spec *spec,
                           struct fr_arena *ar,
                           struct fr_str key,
                           struct fr_str value,
                           struct fr_item_record *out,
                           struct fr_codec_error *ce)
{
    const struct fr_json *obj;
    struct fr_item_record r;
    enum fr_err e = FR_OK;

    memset(&r, 0, sizeof(r));
    if (value.p == NULL) {
        e = fr_codec_key_id(key, ce);
        r.item_id = key;
        r.deleted = true;
    } else {
        e = fr_codec_object(ar, value, &obj, ce);
        if (e == FR_OK)
            e = fr_codec_id(obj, "item_id", true, &r.item_id, ce);
        if (e == FR_OK)
            e = fr_codec_key(key, r.item_id, ce);
        if (e == FR_OK)
            e = decode_attributes(ar, obj, &r, ce);
    }
    if (e != FR_OK)
        return e;
    r.item = fr_id_hash(spec->key, r.item_id);
    *out = r;
    return FR_OK;
}
