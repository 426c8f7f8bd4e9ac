/*
 * daemon/stream/event_codec.c - see event_codec.h.
 */
#include "daemon/stream/event_codec.h"

#include <string.h>

#include "features/user.h"

static enum fr_err decode_type(const struct fr_spec *spec,
                               const struct fr_json *obj,
                               struct fr_event *ev,
                               struct fr_codec_error *ce)
{
    const struct fr_json *v = fr_json_get(obj, "type");
    int type;

    if (v == NULL)
        return fr_codec_fail(ce, FR_ESCHEMA, obj, "type", "is missing");
    if (v->type != FR_JSON_STRING)
        return fr_codec_fail(ce, FR_ESCHEMA, v, "type", "a string is expected");
    type = fr_spec_type(spec, v->str);
    if (type < 0)
        return fr_codec_fail(ce, FR_ESCHEMA, v, "type", "is none of events.types");
    ev->type = type;
    return FR_OK;
}

static enum fr_err
decode_value(const struct fr_json *obj, struct fr_event *ev, struct fr_codec_error *ce)
{
    const struct fr_json *v = fr_json_get(obj, "value");

    if (v == NULL || v->type == FR_JSON_NULL)
        return FR_OK;
    if (v->type != FR_JSON_NUMBER)
        return fr_codec_fail(ce, FR_ESCHEMA, v, "value", "a number is expected");
    ev->has_value = true;
    ev->value = v->num;
    return FR_OK;
}

static enum fr_err
decode_device(const struct fr_json *obj, struct fr_str *out, struct fr_codec_error *ce)
{
    const struct fr_json *ctx = fr_json_get(obj, "context");

    *out = (struct fr_str){NULL, 0};
    if (ctx == NULL || ctx->type == FR_JSON_NULL)
        return FR_OK;
    if (ctx->type != FR_JSON_OBJECT)
        return fr_codec_fail(ce, FR_ESCHEMA, ctx, "context", "an object is expected");
    return fr_codec_id(ctx, "device", false, out, ce);
}

static enum fr_err
decode_position(const struct fr_json *obj, int32_t *out, struct fr_codec_error *ce)
{
    int64_t v = -1;
    enum fr_err e = fr_codec_int(obj, "position", 0, 1000000, &v, ce);

    *out = (int32_t)v;
    return e;
}

static enum fr_err decode_impressions(const struct fr_spec *spec,
                                      struct fr_arena *ar,
                                      const struct fr_json *obj,
                                      struct fr_event *ev,
                                      struct fr_codec_error *ce)
{
    const struct fr_json *v = fr_json_get(obj, "items");
    struct fr_impression *list;
    uint32_t n = 0;

    if (v == NULL || v->type != FR_JSON_ARRAY)
        return fr_codec_fail(ce, FR_ESCHEMA, v == NULL ? obj : v, "items", "an array is expected");
    if (v->n == 0 || v->n > FR_MAX_IMPRESSIONS)
        return fr_codec_fail(ce, FR_ESCHEMA, v, "items", "1 to 256 entries are expected");
    list = fr_arena_array(ar, v->n, sizeof(*list));
    if (list == NULL)
        return fr_codec_fail(ce, FR_ENOMEM, v, "items", "out of memory");
    for (const struct fr_json *c = v->child; c != NULL; c = c->next) {
        enum fr_err e;
        if (c->type != FR_JSON_OBJECT)
            return fr_codec_fail(ce, FR_ESCHEMA, c, "items", "an object is expected");
        e = fr_codec_id(c, "item_id", true, &list[n].item_id, ce);
        if (e == FR_OK)
            e = decode_position(c, &list[n].position, ce);
        if (e != FR_OK)
            return e;
        list[n].item = fr_id_hash(spec->key, list[n].item_id);
        n++;
    }
    ev->impressions = list;
    ev->n_impressions = n;
    return FR_OK;
}

static enum fr_err
decode_ids(const struct fr_json *obj, struct fr_event *ev, struct fr_codec_error *ce)
{
    enum fr_err e = fr_codec_id(obj, "event_id", true, &ev->event_id, ce);

    if (e == FR_OK)
        e = fr_codec_id(obj, "user_id", true, &ev->user_id, ce);
    if (e == FR_OK)
        e = fr_codec_id(obj, "session_id", false, &ev->session_id, ce);
    if (e == FR_OK)
        e = fr_codec_id(obj, "rec_id", false, &ev->rec_id, ce);
    return e;
}

enum fr_err fr_event_decode(const struct fr_spec *spec,
                            struct fr_arena *ar,
                            struct fr_str key,
                            struct fr_str value,
                            int64_t record_ts_ms,
                            struct fr_event *out,
                            struct fr_codec_error *ce)
{
    const struct fr_json *obj;
    struct fr_event ev;
    bool list;
    enum fr_err e = fr_codec_object(ar, value, &obj, ce);

    if (e != FR_OK)
        return e;
    memset(&ev, 0, sizeof(ev));
    e = decode_ids(obj, &ev, ce);
    if (e == FR_OK)
        e = decode_type(spec, obj, &ev, ce);
    if (e != FR_OK)
        return e;
    list = strcmp(spec->type[ev.type].name, "impressions") == 0;
    e = list ? decode_impressions(spec, ar, obj, &ev, ce)
             : fr_codec_id(obj, "item_id", true, &ev.item_id, ce);
    if (e == FR_OK)
        e = fr_codec_ts(obj, "ts", record_ts_ms, &ev.ts, ce);
    if (e == FR_OK)
        e = decode_value(obj, &ev, ce);
    if (e == FR_OK)
        e = decode_position(obj, &ev.position, ce);
    if (e == FR_OK)
        e = decode_device(obj, &ev.device, ce);
    if (e == FR_OK)
        e = fr_codec_key(key, ev.user_id, ce);
    if (e == FR_OK && fr_user_check_time(spec, ev.ts, record_ts_ms) != FR_OK)
        e = fr_codec_fail(
            ce, FR_EFUTURE, fr_json_get(obj, "ts"), "ts", "is too far ahead of the record's time");
    if (e != FR_OK)
        return e;
    fr_event_hash(&ev, spec->key);
    *out = ev;
    return FR_OK;
}
