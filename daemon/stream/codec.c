/*
 * daemon/stream/codec.c - see codec.h.
 */
#include "daemon/stream/codec.h"

#include "features/event.h"
#include "features/request.h"
#include "features/spec.h"

enum fr_err fr_codec_fail(struct fr_codec_error *ce,
                          enum fr_err err,
                          const struct fr_json *at,
                          const char *field,
                          const char *what)
{
    ce->err = err;
    ce->offset = at == NULL ? 0 : at->offset;
    ce->field = field;
    ce->what = what;
    return err;
}

enum fr_err fr_codec_object(struct fr_arena *ar,
                            struct fr_str value,
                            const struct fr_json **out_root,
                            struct fr_codec_error *ce)
{
    return fr_codec_object_max(ar, value, FR_CODEC_MAX_BYTES, out_root, ce);
}

enum fr_err fr_codec_object_max(struct fr_arena *ar,
                                struct fr_str value,
                                size_t max_bytes,
                                const struct fr_json **out_root,
                                struct fr_codec_error *ce)
{
    struct fr_json_error je = {FR_OK, 0, NULL};
    const struct fr_json *root;
    enum fr_err e;

    if (value.p == NULL)
        return fr_codec_fail(ce, FR_ESCHEMA, NULL, NULL, "the value is null");
    if (value.n > max_bytes)
        return fr_codec_fail(ce, FR_ETOOLARGE, NULL, NULL, "the value is too large");
    e = fr_json_parse(ar, value, &root, &je);
    if (e != FR_OK) {
        *ce = (struct fr_codec_error){e, je.offset, NULL, je.what};
        return e;
    }
    if (root->type != FR_JSON_OBJECT)
        return fr_codec_fail(ce, FR_ESCHEMA, root, NULL, "an object is expected");
    *out_root = root;
    return FR_OK;
}

static bool has_control(struct fr_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

enum fr_err fr_codec_key_id(struct fr_str key, struct fr_codec_error *ce)
{
    if (key.p == NULL || key.n == 0 || key.n > FR_ID_MAX)
        return fr_codec_fail(ce, FR_ESCHEMA, NULL, "key", "an id has 1 to 128 bytes");
    if (!fr_utf8_valid(key) || has_control(key))
        return fr_codec_fail(
            ce, FR_ESCHEMA, NULL, "key", "an id is UTF-8 without control characters");
    return FR_OK;
}

enum fr_err fr_codec_id_value(const struct fr_json *v,
                              const char *field,
                              struct fr_str *out,
                              struct fr_codec_error *ce)
{
    if (v->type == FR_JSON_NUMBER && v->is_int) {
        *out = v->str;
        return FR_OK;
    }
    if (v->type != FR_JSON_STRING)
        return fr_codec_fail(ce, FR_ESCHEMA, v, field, "a string or an integer is expected");
    if (v->str.n == 0 || v->str.n > FR_ID_MAX)
        return fr_codec_fail(ce, FR_ESCHEMA, v, field, "an id has 1 to 128 bytes");
    if (has_control(v->str))
        return fr_codec_fail(ce, FR_ESCHEMA, v, field, "an id has no control characters");
    *out = v->str;
    return FR_OK;
}

static const struct fr_json *member(const struct fr_json *obj, const char *field)
{
    const struct fr_json *v = fr_json_get(obj, field);

    return v == NULL || v->type == FR_JSON_NULL ? NULL : v;
}

enum fr_err fr_codec_id(const struct fr_json *obj,
                        const char *field,
                        bool required,
                        struct fr_str *out,
                        struct fr_codec_error *ce)
{
    const struct fr_json *v = member(obj, field);

    if (v == NULL) {
        *out = (struct fr_str){NULL, 0};
        return required ? fr_codec_fail(ce, FR_ESCHEMA, obj, field, "is missing") : FR_OK;
    }
    return fr_codec_id_value(v, field, out, ce);
}

enum fr_err fr_codec_int(const struct fr_json *obj,
                         const char *field,
                         int64_t min,
                         int64_t max,
                         int64_t *out,
                         struct fr_codec_error *ce)
{
    const struct fr_json *v = member(obj, field);

    if (v == NULL)
        return FR_OK;
    if (v->type != FR_JSON_NUMBER || !v->is_int)
        return fr_codec_fail(ce, FR_ESCHEMA, v, field, "an integer is expected");
    if (v->i < min || v->i > max)
        return fr_codec_fail(ce, FR_ERANGE, v, field, "is out of range");
    *out = v->i;
    return FR_OK;
}

enum fr_err fr_codec_ts(const struct fr_json *obj,
                        const char *field,
                        int64_t absent,
                        int64_t *out,
                        struct fr_codec_error *ce)
{
    *out = absent;
    return fr_codec_int(obj, field, 0, FR_TS_MAX, out, ce);
}

enum fr_err fr_codec_key(struct fr_str key, struct fr_str id, struct fr_codec_error *ce)
{
    if (key.p == NULL || !fr_str_eq(key, id))
        return fr_codec_fail(
            ce, FR_ESCHEMA, NULL, "key", "the record's key is not the id in the value");
    return FR_OK;
}

enum fr_err fr_codec_items(struct fr_arena *ar,
                           const struct fr_spec *spec,
                           const struct fr_json *obj,
                           const char *field,
                           uint32_t max,
                           const struct fr_request_item **out,
                           uint32_t *out_n,
                           struct fr_codec_error *ce)
{
    const struct fr_json *v = member(obj, field);
    struct fr_request_item *items;
    uint32_t n = 0;

    *out = NULL;
    *out_n = 0;
    if (v == NULL)
        return FR_OK;
    if (v->type != FR_JSON_ARRAY)
        return fr_codec_fail(ce, FR_ESCHEMA, v, field, "an array is expected");
    if (v->n > max)
        return fr_codec_fail(ce, FR_ETOOLARGE, v, field, "has too many entries");
    items = fr_arena_array(ar, v->n + 1, sizeof(*items));
    if (items == NULL)
        return fr_codec_fail(ce, FR_ENOMEM, v, field, "out of memory");
    for (const struct fr_json *c = v->child; c != NULL; c = c->next) {
        enum fr_err e = fr_codec_id_value(c, field, &items[n].item_id, ce);
        if (e != FR_OK)
            return e;
        items[n].item = fr_id_hash(spec->key, items[n].item_id);
        n++;
    }
    *out = items;
    *out_n = n;
    return FR_OK;
}
