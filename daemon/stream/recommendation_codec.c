/*
 * daemon/stream/recommendation_codec.c - see recommendation_codec.h.
 */
#include "daemon/stream/recommendation_codec.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/hash.h"

void fr_rec_id(
    const char *topic, int32_t partition, int64_t offset, int64_t record_ts, char out[FR_REC_ID])
{
    static const struct fr_hash_key key = {UINT64_C(0x667265736865742e),
                                           UINT64_C(0x7265635f69642e31)};
    char text[340];
    int n = snprintf(text,
                     sizeof(text),
                     "%.250s|%d|%lld|%lld",
                     topic,
                     (int)partition,
                     (long long)offset,
                     (long long)record_ts);

    (void)snprintf(
        out,
        FR_REC_ID,
        "%016llx",
        (unsigned long long)fr_siphash(key, (struct fr_str){text, n < 0 ? 0 : (size_t)n}));
}

static void put_id(struct fr_jsonw *w, const char *key, struct fr_str s)
{
    fr_jsonw_key(w, key);
    if (s.n == 0)
        fr_jsonw_null(w);
    else
        fr_jsonw_str(w, s);
}

static void put_i64(struct fr_jsonw *w, const char *key, int64_t v)
{
    fr_jsonw_key(w, key);
    fr_jsonw_i64(w, v);
}

static void put_items(struct fr_jsonw *w, const struct fr_recommendation *r)
{
    fr_jsonw_key(w, "items");
    fr_jsonw_array(w);
    for (uint32_t i = 0; i < r->n_items; i++) {
        const struct fr_recommended_item *it = &r->items[i];
        fr_jsonw_object(w);
        put_id(w, "item_id", it->item_id);
        fr_jsonw_key(w, "score");
        fr_jsonw_f32(w, it->score);
        put_id(w, "source", it->source);
        fr_jsonw_key(w, "propensity");
        fr_jsonw_f64(w, it->propensity);
        fr_jsonw_end(w, '}');
    }
    fr_jsonw_end(w, ']');
}

static void put_lineage(struct fr_jsonw *w, const struct fr_recommendation *r)
{
    fr_jsonw_key(w, "trigger");
    fr_jsonw_object(w);
    put_id(w, "topic", r->trigger_topic);
    put_i64(w, "partition", r->trigger_partition);
    put_i64(w, "offset", r->trigger_offset);
    put_id(w, "event_id", r->trigger_event_id);
    put_i64(w, "ts", r->trigger_ts);
    fr_jsonw_end(w, '}');
    fr_jsonw_key(w, "model");
    fr_jsonw_object(w);
    put_id(w, "retrieval", r->retrieval);
    put_id(w, "ranker", r->ranker);
    put_id(w, "arm", r->arm);
    fr_jsonw_end(w, '}');
    fr_jsonw_key(w, "index");
    fr_jsonw_object(w);
    fr_jsonw_key(w, "generation");
    fr_jsonw_u64(w, r->index_generation);
    fr_jsonw_end(w, '}');
    fr_jsonw_key(w, "item_generation");
    fr_jsonw_u64(w, r->item_generation);
}

void fr_recommendation_encode(const struct fr_recommendation *r, struct fr_buf *out)
{
    struct fr_jsonw w;

    fr_jsonw_init(&w, out);
    fr_jsonw_object(&w);
    fr_jsonw_key(&w, "schema");
    fr_jsonw_z(&w, FR_RECOMMENDATION_SCHEMA);
    fr_jsonw_key(&w, "rec_id");
    fr_jsonw_z(&w, r->rec_id);
    put_id(&w, "user_id", r->user_id);
    put_id(&w, "request_id", r->request_id);
    put_items(&w, r);
    put_lineage(&w, r);
    fr_jsonw_key(&w, "ts");
    fr_jsonw_object(&w);
    put_i64(&w, "event", r->ts_event);
    put_i64(&w, "received", r->ts_received);
    put_i64(&w, "features", r->ts_features);
    put_i64(&w, "embedded", r->ts_embedded);
    put_i64(&w, "retrieved", r->ts_retrieved);
    put_i64(&w, "scored", r->ts_scored);
    put_i64(&w, "emitted", r->ts_emitted);
    fr_jsonw_end(&w, '}');
    if (r->regenerated) {
        fr_jsonw_key(&w, "regenerated");
        fr_jsonw_bool(&w, true);
    }
    if (r->fallback) {
        fr_jsonw_key(&w, "fallback");
        fr_jsonw_bool(&w, true);
    }
    fr_jsonw_end(&w, '}');
}

/* ---- decode ---- */

static enum fr_err get_object(const struct fr_json *obj,
                              const char *field,
                              const struct fr_json **out,
                              struct fr_codec_error *ce)
{
    *out = fr_json_get(obj, field);
    if (*out == NULL || (*out)->type != FR_JSON_OBJECT)
        return fr_codec_fail(
            ce, FR_ESCHEMA, *out == NULL ? obj : *out, field, "an object is expected");
    return FR_OK;
}

static enum fr_err get_items(struct fr_arena *ar,
                             const struct fr_json *root,
                             struct fr_recommendation *r,
                             struct fr_codec_error *ce)
{
    const struct fr_json *v = fr_json_get(root, "items");
    struct fr_recommended_item *items;

    if (v == NULL || v->type != FR_JSON_ARRAY || v->n > FR_MAX_RECOMMENDED)
        return fr_codec_fail(ce,
                             FR_ESCHEMA,
                             v == NULL ? root : v,
                             "items",
                             "an array of at most 500 entries is expected");
    items = fr_arena_zarray(ar, v->n + 1, sizeof(*items));
    if (items == NULL)
        return fr_codec_fail(ce, FR_ENOMEM, v, "items", "out of memory");
    for (const struct fr_json *c = v->child; c != NULL; c = c->next) {
        struct fr_recommended_item *it = &items[r->n_items++];
        const struct fr_json *score = fr_json_get(c, "score"), *prop = fr_json_get(c, "propensity");
        enum fr_err e;
        if (c->type != FR_JSON_OBJECT)
            return fr_codec_fail(ce, FR_ESCHEMA, c, "items", "an object is expected");
        e = fr_codec_id(c, "item_id", true, &it->item_id, ce);
        if (e == FR_OK)
            e = fr_codec_id(c, "source", false, &it->source, ce);
        if (e != FR_OK)
            return e;
        it->score = score != NULL && score->type == FR_JSON_NUMBER ? (float)score->num : 0;
        it->propensity = prop != NULL && prop->type == FR_JSON_NUMBER ? prop->num : 1;
    }
    r->items = items;
    return FR_OK;
}

static enum fr_err
get_trigger(const struct fr_json *root, struct fr_recommendation *r, struct fr_codec_error *ce)
{
    const struct fr_json *t;
    int64_t partition = 0;
    enum fr_err e = get_object(root, "trigger", &t, ce);

    if (e == FR_OK)
        e = fr_codec_id(t, "topic", false, &r->trigger_topic, ce);
    if (e == FR_OK)
        e = fr_codec_int(t, "partition", 0, INT32_MAX, &partition, ce);
    if (e == FR_OK)
        e = fr_codec_int(t, "offset", 0, INT64_MAX, &r->trigger_offset, ce);
    if (e == FR_OK)
        e = fr_codec_id(t, "event_id", false, &r->trigger_event_id, ce);
    if (e == FR_OK)
        e = fr_codec_int(t, "ts", 0, INT64_MAX, &r->trigger_ts, ce);
    r->trigger_partition = (int32_t)partition;
    return e;
}

static enum fr_err
get_model(const struct fr_json *root, struct fr_recommendation *r, struct fr_codec_error *ce)
{
    const struct fr_json *m, *ix;
    int64_t v = 0;
    enum fr_err e = get_object(root, "model", &m, ce);

    if (e == FR_OK)
        e = fr_codec_id(m, "retrieval", false, &r->retrieval, ce);
    if (e == FR_OK)
        e = fr_codec_id(m, "ranker", false, &r->ranker, ce);
    if (e == FR_OK)
        e = fr_codec_id(m, "arm", false, &r->arm, ce);
    if (e == FR_OK)
        e = get_object(root, "index", &ix, ce);
    if (e == FR_OK)
        e = fr_codec_int(ix, "generation", 0, INT64_MAX, &v, ce);
    r->index_generation = (uint64_t)v;
    v = 0;
    if (e == FR_OK)
        e = fr_codec_int(root, "item_generation", 0, INT64_MAX, &v, ce);
    r->item_generation = (uint64_t)v;
    return e;
}

static enum fr_err
get_times(const struct fr_json *root, struct fr_recommendation *r, struct fr_codec_error *ce)
{
    struct {
        const char *name;
        int64_t *out;
    } f[] = {{"event", &r->ts_event},
             {"received", &r->ts_received},
             {"features", &r->ts_features},
             {"embedded", &r->ts_embedded},
             {"retrieved", &r->ts_retrieved},
             {"scored", &r->ts_scored},
             {"emitted", &r->ts_emitted}};
    const struct fr_json *ts;
    enum fr_err e = get_object(root, "ts", &ts, ce);

    for (size_t i = 0; i < sizeof(f) / sizeof(f[0]) && e == FR_OK; i++)
        e = fr_codec_int(ts, f[i].name, INT64_MIN, INT64_MAX, f[i].out, ce);
    return e;
}

enum fr_err fr_recommendation_decode(struct fr_arena *ar,
                                     struct fr_str value,
                                     struct fr_recommendation *out,
                                     struct fr_codec_error *ce)
{
    const struct fr_json *root, *flag;
    struct fr_recommendation r;
    struct fr_str id;
    enum fr_err e = fr_codec_object_max(ar, value, FR_RECOMMENDATION_MAX_BYTES, &root, ce);

    if (e != FR_OK)
        return e;
    memset(&r, 0, sizeof(r));
    e = fr_codec_id(root, "rec_id", true, &id, ce);
    if (e == FR_OK && id.n != FR_REC_ID - 1)
        e = fr_codec_fail(
            ce, FR_ESCHEMA, fr_json_get(root, "rec_id"), "rec_id", "16 digits are expected");
    if (e == FR_OK)
        memcpy(r.rec_id, id.p, id.n);
    if (e == FR_OK)
        e = fr_codec_id(root, "user_id", true, &r.user_id, ce);
    if (e == FR_OK)
        e = fr_codec_id(root, "request_id", false, &r.request_id, ce);
    if (e == FR_OK)
        e = get_items(ar, root, &r, ce);
    if (e == FR_OK)
        e = get_trigger(root, &r, ce);
    if (e == FR_OK)
        e = get_model(root, &r, ce);
    if (e == FR_OK)
        e = get_times(root, &r, ce);
    if (e != FR_OK)
        return e;
    flag = fr_json_get(root, "regenerated");
    r.regenerated = flag != NULL && flag->type == FR_JSON_BOOL && flag->b;
    flag = fr_json_get(root, "fallback");
    r.fallback = flag != NULL && flag->type == FR_JSON_BOOL && flag->b;
    *out = r;
    return FR_OK;
}
