/*
 * daemon/stream/request_codec.c - see request_codec.h.
 */
#include "daemon/stream/request_codec.h"

#include <string.h>

#include "features/event.h"

static enum fr_err
decode_context(const struct fr_json *obj, struct fr_request *rq, struct fr_codec_error *ce)
{
    const struct fr_json *ctx = fr_json_get(obj, "context");

    if (ctx == NULL || ctx->type == FR_JSON_NULL)
        return FR_OK;
    if (ctx->type != FR_JSON_OBJECT)
        return fr_codec_fail(ce, FR_ESCHEMA, ctx, "context", "an object is expected");
    return fr_codec_id(ctx, "device", false, &rq->device, ce);
}

enum fr_err fr_request_decode(const struct fr_spec *spec,
                              struct fr_arena *ar,
                              struct fr_str key,
                              struct fr_str value,
                              int64_t record_ts_ms,
                              struct fr_request *out,
                              struct fr_codec_error *ce)
{
    const struct fr_json *obj, *cand;
    struct fr_request rq;
    int64_t n = 0;
    enum fr_err e = fr_codec_object(ar, value, &obj, ce);

    if (e != FR_OK)
        return e;
    memset(&rq, 0, sizeof(rq));
    e = fr_codec_id(obj, "request_id", true, &rq.request_id, ce);
    if (e == FR_OK)
        e = fr_codec_id(obj, "user_id", true, &rq.user_id, ce);
    if (e == FR_OK)
        e = fr_codec_int(obj, "n", 1, FR_REQUEST_MAX_N, &n, ce);
    if (e == FR_OK)
        e = fr_codec_items(ar,
                           spec,
                           obj,
                           "candidates",
                           FR_MAX_REQUEST_ITEMS,
                           &rq.candidates,
                           &rq.n_candidates,
                           ce);
    if (e == FR_OK)
        e = fr_codec_items(
            ar, spec, obj, "exclude", FR_MAX_REQUEST_ITEMS, &rq.exclude, &rq.n_exclude, ce);
    if (e == FR_OK)
        e = fr_codec_ts(obj, "ts", record_ts_ms, &rq.ts, ce);
    if (e == FR_OK)
        e = decode_context(obj, &rq, ce);
    if (e == FR_OK)
        e = fr_codec_key(key, rq.user_id, ce);
    if (e != FR_OK)
        return e;
    cand = fr_json_get(obj, "candidates");
    rq.rank_only = cand != NULL && cand->type != FR_JSON_NULL;
    rq.n = (uint32_t)n;
    rq.user = fr_id_hash(spec->key, rq.user_id);
    *out = rq;
    return FR_OK;
}
