#include "features/user_codec.h"

#include <string.h>

#include "daemon/base/json.h"
#include "daemon/base/msgpack.h"
#include "features/decay.h"

#define MAX_STORED_TYPES 64 /* a record of another configuration may know more types than ours */

/* Keys in the order we write them. */
enum key { K_V, K_F, K_L, K_N, K_TY, K_HL, K_LM, K_C, K_R, K_H, K_D, K_G, K_GT, K_O, K_COUNT };
static const char *const key_names[K_COUNT] = {
    "v", "f", "l", "n", "ty", "hl", "L", "c", "r", "h", "d", "g", "gt", "o"};

/* ---- decode ---- */

/* A record as read, before types are matched by name: arrays stay as positions in the input,
 * because keys may come in any order. */
struct raw {
    unsigned have;
    int64_t v, f, l, n, gt;
    int64_t g, o; /* FR_NO_OFFSET when nil */
    int n_types;
    int type_of[MAX_STORED_TYPES]; /* our index, -1 = not ours */
    int n_hl;
    int64_t hl[FR_HALF_LIVES];
    int n_lm;
    int64_t lm[FR_HALF_LIVES];
    size_t at[K_COUNT]; /* offset of the array's first element */
    uint32_t count[K_COUNT];
};

struct dec {
    const struct fr_spec *spec;
    struct fr_mp_reader r;
    struct fr_fault *fault;
    struct fr_user *u;
    unsigned filled; /* arrays already in u, bit per key */
    struct raw raw;
};

static enum fr_err bad(struct dec *d, const char *key, size_t at, const char *what)
{
    return fr_fault(d->fault, FR_ECORRUPT, "user record, key \"%s\", byte %zu: %s", key, at, what);
}

static enum fr_err next(struct dec *d, enum key k, struct fr_mp_value *v)
{
    size_t at = d->r.at;
    return fr_mp_next(&d->r, v) == FR_OK ? FR_OK : bad(d, key_names[k], at, "malformed value");
}

/* An integer in [lo, 2^53]; Redis' Lua may have turned it into a float64 and back. */
static enum fr_err take_int(struct dec *d, enum key k, int64_t lo, int64_t *out)
{
    struct fr_mp_value v;
    size_t at = d->r.at;
    enum fr_err e = next(d, k, &v);
    if (e != FR_OK)
        return e;
    if (v.type == FR_MP_F64 && v.f >= -9007199254740992.0 && v.f <= 9007199254740992.0 &&
        (double)(int64_t)v.f == v.f)
        v.i = (int64_t)v.f;
    else if (v.type != FR_MP_INT)
        return bad(d, key_names[k], at, "no integer");
    if (v.i < lo || v.i > FR_TS_MAX)
        return bad(d, key_names[k], at, "integer out of range");
    *out = v.i;
    return FR_OK;
}

static enum fr_err take_int_or_nil(struct dec *d, enum key k, int64_t *out)
{
    struct fr_mp_value v;
    size_t at = d->r.at;
    enum fr_err e = next(d, k, &v);
    if (e != FR_OK)
        return e;
    if (v.type == FR_MP_NIL) {
        *out = FR_NO_OFFSET;
        return FR_OK;
    }
    d->r.at = at;
    return take_int(d, k, 0, out);
}

static enum fr_err take_array(struct dec *d, enum key k, uint32_t max, uint32_t *out_n)
{
    struct fr_mp_value v;
    size_t at = d->r.at;
    enum fr_err e = next(d, k, &v);
    if (e != FR_OK)
        return e;
    /* an empty Lua table comes back as an empty array or an empty map */
    if (v.type != FR_MP_ARRAY && !(v.type == FR_MP_MAP && v.n == 0))
        return bad(d, key_names[k], at, "no array");
    if (v.n > max)
        return bad(d, key_names[k], at, "array too long");
    *out_n = v.n;
    d->raw.at[k] = d->r.at;
    d->raw.count[k] = v.n;
    return FR_OK;
}

static enum fr_err take_types(struct dec *d)
{
    uint32_t n;
    struct fr_mp_value v;
    enum fr_err e = take_array(d, K_TY, MAX_STORED_TYPES, &n);
    for (uint32_t i = 0; e == FR_OK && i < n; i++) {
        size_t at = d->r.at;
        e = next(d, K_TY, &v);
        if (e != FR_OK)
            return e;
        if (v.type != FR_MP_STR)
            return bad(d, "ty", at, "no type name");
        int t = fr_spec_type(d->spec, v.s);
        for (uint32_t j = 0; t >= 0 && j < i; j++)
            if (d->raw.type_of[j] == t)
                return bad(d, "ty", at, "a type twice");
        d->raw.type_of[i] = t;
    }
    if (e == FR_OK)
        d->raw.n_types = (int)n;
    return e;
}

static enum fr_err take_pair(struct dec *d, enum key k, int64_t lo, int64_t *out, int *out_n)
{
    uint32_t n;
    enum fr_err e = take_array(d, k, FR_HALF_LIVES, &n);
    for (uint32_t i = 0; e == FR_OK && i < n; i++)
        e = take_int(d, k, lo, &out[i]);
    if (e == FR_OK)
        *out_n = (int)n;
    return e;
}

static enum fr_err fill_counters(struct dec *d, struct fr_user *u)
{
    struct raw *w = &d->raw;
    if (w->n_hl != FR_HALF_LIVES || w->n_lm != FR_HALF_LIVES)
        return bad(d, "hl", w->at[K_HL], "not two half-lives with two landmarks");
    if (w->count[K_C] != (uint32_t)w->n_types * FR_HALF_LIVES)
        return bad(d, "c", w->at[K_C], "length is not types times half-lives");
    d->r.at = w->at[K_C];
    for (int i = 0; i < w->n_types; i++)
        for (int k = 0; k < FR_HALF_LIVES; k++) {
            struct fr_mp_value v;
            size_t at = d->r.at;
            enum fr_err e = next(d, K_C, &v);
            if (e != FR_OK)
                return e;
            if ((v.type != FR_MP_F64 && v.type != FR_MP_INT) || !(v.f >= 0 && v.f <= 1e300))
                return bad(d, "c", at, "no weight >= 0");
            for (int j = 0; j < FR_HALF_LIVES; j++)
                if (w->type_of[i] >= 0 && w->hl[k] == d->spec->user_half_life_ms[j])
                    u->c[w->type_of[i]][j] = v.f;
        }
    /* a half-life the record does not know starts at zero, on its own grid */
    for (int j = 0; j < FR_HALF_LIVES; j++)
        u->landmark[j] = fr_decay_landmark(w->l, d->spec->user_half_life_ms[j]);
    for (int k = 0; k < FR_HALF_LIVES; k++) {
        if (w->lm[k] % w->hl[k] != 0)
            return bad(d, "L", w->at[K_LM], "a landmark is no multiple of its half-life");
        for (int j = 0; j < FR_HALF_LIVES; j++)
            if (w->hl[k] == d->spec->user_half_life_ms[j])
                u->landmark[j] = w->lm[k];
    }
    return FR_OK;
}

static enum fr_err fill_recency(struct dec *d, struct fr_user *u)
{
    struct raw *w = &d->raw;
    if (w->count[K_R] != (uint32_t)w->n_types)
        return bad(d, "r", w->at[K_R], "length is not the number of types");
    d->r.at = w->at[K_R];
    for (int i = 0; i < w->n_types; i++) {
        int64_t ts = 0;
        enum fr_err e = take_int(d, K_R, 0, &ts);
        if (e != FR_OK)
            return e;
        if (w->type_of[i] >= 0)
            u->type_ts[w->type_of[i]] = ts;
    }
    return FR_OK;
}

static enum fr_err fill_history(struct dec *d, struct fr_user *u)
{
    struct raw *w = &d->raw;
    int64_t newer = FR_TS_MAX;
    if (w->count[K_H] % 3 != 0)
        return bad(d, "h", w->at[K_H], "length is no multiple of 3");
    d->r.at = w->at[K_H];
    for (uint32_t i = 0; i < w->count[K_H] / 3; i++) {
        struct fr_mp_value v;
        int64_t type = 0, ts = 0;
        size_t at = d->r.at;
        enum fr_err e = next(d, K_H, &v);
        if (e != FR_OK)
            return e;
        if (v.type != FR_MP_STR || v.s.n == 0 || v.s.n > FR_ID_MAX)
            return bad(d, "h", at, "no item id");
        at = d->r.at;
        e = take_int(d, K_H, 0, &type);
        if (e == FR_OK)
            e = take_int(d, K_H, 0, &ts);
        if (e != FR_OK)
            return e;
        if (type >= w->n_types)
            return bad(d, "h", at, "type index out of range");
        if (ts > newer)
            return bad(d, "h", at, "not newest first");
        newer = ts;
        if (w->type_of[type] >= 0 && u->h_n < d->spec->history_length)
            u->h[u->h_n++] = (struct fr_history){v.s, ts, w->type_of[type], 0};
    }
    return FR_OK;
}

static enum fr_err fill_dedup(struct dec *d, struct fr_user *u)
{
    d->r.at = d->raw.at[K_D];
    for (uint32_t i = 0; i < d->raw.count[K_D]; i++) {
        int64_t key = 0;
        enum fr_err e = take_int(d, K_D, 1, &key);
        if (e != FR_OK)
            return e;
        u->dedup[u->dedup_n++] = (uint64_t)key;
    }
    return FR_OK;
}

/* The arrays whose meaning depends on other keys: filled where they stand when those keys came
 * before (as we write them), else remembered and filled at the end. */
static const struct {
    enum key key;
    unsigned needs;
    uint32_t max;
    enum fr_err (*fill)(struct dec *d, struct fr_user *u);
} arrays[] = {
    {K_C,
     1u << K_L | 1u << K_TY | 1u << K_HL | 1u << K_LM,
     MAX_STORED_TYPES *FR_HALF_LIVES,
     fill_counters},
    {K_R, 1u << K_TY, MAX_STORED_TYPES, fill_recency},
    {K_H, 1u << K_TY, 3 * FR_MAX_HISTORY, fill_history},
    {K_D, 0, FR_MAX_DEDUP, fill_dedup},
};
#define N_ARRAYS (sizeof arrays / sizeof arrays[0])

static enum fr_err take_filled(struct dec *d, enum key k)
{
    size_t i = 0;
    uint32_t n;
    while (i < N_ARRAYS - 1 && arrays[i].key != k)
        i++;
    enum fr_err e = take_array(d, k, arrays[i].max, &n);
    if (e != FR_OK)
        return e;
    if ((d->raw.have & arrays[i].needs) == arrays[i].needs) {
        d->filled |= 1u << k;
        return arrays[i].fill(d, d->u);
    }
    for (uint32_t j = 0; j < n; j++) {
        size_t at = d->r.at;
        if (fr_mp_skip(&d->r) != FR_OK)
            return bad(d, key_names[k], at, "malformed element");
    }
    return FR_OK;
}

static enum fr_err fill_rest(struct dec *d)
{
    enum fr_err e = FR_OK;
    for (size_t i = 0; e == FR_OK && i < N_ARRAYS; i++)
        if (!(d->filled & (1u << arrays[i].key)))
            e = arrays[i].fill(d, d->u);
    return e;
}

static enum fr_err take_value(struct dec *d, enum key k)
{
    struct raw *w = &d->raw;
    switch (k) {
    case K_V:
        return take_int(d, k, 0, &w->v);
    case K_F:
        return take_int(d, k, 0, &w->f);
    case K_L:
        return take_int(d, k, 0, &w->l);
    case K_N:
        return take_int(d, k, 0, &w->n);
    case K_TY:
        return take_types(d);
    case K_HL:
        return take_pair(d, k, 1, w->hl, &w->n_hl);
    case K_LM:
        return take_pair(d, k, -FR_TS_MAX, w->lm, &w->n_lm);
    case K_C:
    case K_R:
    case K_H:
    case K_D:
        return take_filled(d, k);
    case K_G:
        return take_int_or_nil(d, k, &w->g);
    case K_GT:
        return take_int(d, k, 0, &w->gt);
    case K_O:
        return take_int_or_nil(d, k, &w->o);
    case K_COUNT:
        break;
    }
    return FR_EINTERNAL;
}

static enum fr_err read_map(struct dec *d, struct fr_str record)
{
    struct fr_mp_value v;
    fr_mp_reader_init(&d->r, record);
    if (fr_mp_next(&d->r, &v) != FR_OK || v.type != FR_MP_MAP)
        return bad(d, "", 0, "no map");
    uint32_t pairs = v.n;
    for (uint32_t i = 0; i < pairs; i++) {
        size_t at = d->r.at;
        int k = 0;
        if (fr_mp_next(&d->r, &v) != FR_OK || v.type != FR_MP_STR)
            return bad(d, "?", at, "no key");
        while (k < K_COUNT && !fr_str_eqz(v.s, key_names[k]))
            k++;
        if (k == K_COUNT) {
            at = d->r.at;
            if (fr_mp_skip(&d->r) != FR_OK)
                return bad(d, "?", at, "malformed value");
            continue;
        }
        if (d->raw.have & (1u << k))
            return bad(d, key_names[k], at, "key twice");
        d->raw.have |= 1u << k;
        enum fr_err e = take_value(d, (enum key)k);
        if (e != FR_OK)
            return e;
        if (k == K_V && d->raw.v != FR_USER_RECORD_VERSION)
            return fr_fault(d->fault,
                            FR_EVERSION,
                            "user record: version %lld, known is %d",
                            (long long)d->raw.v,
                            FR_USER_RECORD_VERSION);
    }
    if (!fr_mp_at_end(&d->r))
        return bad(d, "", d->r.at, "trailing bytes");
    for (int k = 0; k < K_COUNT; k++)
        if (!(d->raw.have & (1u << k)))
            return bad(d, key_names[k], record.n, "missing");
    return FR_OK;
}

enum fr_err fr_user_decode(const struct fr_spec *spec,
                           struct fr_arena *ar,
                           struct fr_str record,
                           struct fr_user **out_user,
                           struct fr_fault *fault)
{
    struct dec d = {.spec = spec, .fault = fault};
    struct fr_user *u;

    if (fr_user_new(spec, ar, &u) != FR_OK)
        return FR_ENOMEM;
    if (record.n == 0) {
        *out_user = u;
        return FR_OK;
    }
    d.u = u;
    if (record.n > FR_USER_RECORD_MAX)
        return bad(&d, "", FR_USER_RECORD_MAX, "record too long");
    enum fr_err e = read_map(&d, record);
    if (e == FR_OK && d.raw.l < d.raw.f)
        e = bad(&d, "l", 0, "newest event before the first");
    if (e == FR_OK)
        e = fill_rest(&d);
    if (e != FR_OK)
        return e;
    u->first_ts = d.raw.f;
    u->last_ts = d.raw.l;
    u->n = (uint64_t)d.raw.n;
    u->trig = d.raw.g;
    u->trig_ts = d.raw.gt;
    u->applied = d.raw.o;
    *out_user = u;
    return FR_OK;
}

/* ---- encode ---- */

static void put_key(struct fr_buf *out, enum key k)
{
    fr_mp_put_str(out, fr_str_z(key_names[k]));
}

static void put_key_int(struct fr_buf *out, enum key k, int64_t v)
{
    put_key(out, k);
    fr_mp_put_int(out, v);
}

static void put_key_offset(struct fr_buf *out, enum key k, int64_t v)
{
    put_key(out, k);
    if (v == FR_NO_OFFSET)
        fr_mp_put_nil(out);
    else
        fr_mp_put_int(out, v);
}

/* Positions of the types this user has, in the spec's order. */
static int used_types(const struct fr_spec *spec, const struct fr_user *u, int used[], int at[])
{
    bool in_history[FR_MAX_EVENT_TYPES] = {false};
    int n = 0;
    for (uint32_t i = 0; i < u->h_n; i++)
        in_history[u->h[i].type] = true;
    for (int t = 0; t < spec->n_types; t++) {
        bool any = u->type_ts[t] != 0 || in_history[t];
        for (int k = 0; k < FR_HALF_LIVES; k++)
            any = any || u->c[t][k] != 0;
        at[t] = any ? n : -1;
        if (any)
            used[n++] = t;
    }
    return n;
}

static void put_counters(const struct fr_spec *spec,
                         const struct fr_user *u,
                         const int *used,
                         int n_used,
                         struct fr_buf *out)
{
    put_key(out, K_TY);
    fr_mp_put_array(out, (uint32_t)n_used);
    for (int i = 0; i < n_used; i++)
        fr_mp_put_str(out, fr_str_z(spec->type[used[i]].name));
    put_key(out, K_HL);
    fr_mp_put_array(out, FR_HALF_LIVES);
    for (int k = 0; k < FR_HALF_LIVES; k++)
        fr_mp_put_int(out, spec->user_half_life_ms[k]);
    put_key(out, K_LM);
    fr_mp_put_array(out, FR_HALF_LIVES);
    for (int k = 0; k < FR_HALF_LIVES; k++)
        fr_mp_put_int(out, u->landmark[k]);
    put_key(out, K_C);
    fr_mp_put_array(out, (uint32_t)(n_used * FR_HALF_LIVES));
    for (int i = 0; i < n_used; i++)
        for (int k = 0; k < FR_HALF_LIVES; k++)
            fr_mp_put_f64(out, u->c[used[i]][k]);
    put_key(out, K_R);
    fr_mp_put_array(out, (uint32_t)n_used);
    for (int i = 0; i < n_used; i++)
        fr_mp_put_int(out, u->type_ts[used[i]]);
}

void fr_user_encode(const struct fr_spec *spec, const struct fr_user *u, struct fr_buf *out)
{
    int used[FR_MAX_EVENT_TYPES];
    int at[FR_MAX_EVENT_TYPES];
    int n_used = used_types(spec, u, used, at);

    fr_mp_put_map(out, K_COUNT);
    put_key_int(out, K_V, FR_USER_RECORD_VERSION);
    put_key_int(out, K_F, u->first_ts);
    put_key_int(out, K_L, u->last_ts);
    put_key_int(out, K_N, (int64_t)u->n);
    put_counters(spec, u, used, n_used, out);
    put_key(out, K_H);
    fr_mp_put_array(out, u->h_n * 3);
    for (uint32_t i = 0; i < u->h_n; i++) {
        fr_mp_put_str(out, u->h[i].id);
        fr_mp_put_int(out, at[u->h[i].type]);
        fr_mp_put_int(out, u->h[i].ts);
    }
    put_key(out, K_D);
    fr_mp_put_array(out, u->dedup_n);
    for (uint32_t i = 0; i < u->dedup_n; i++)
        fr_mp_put_int(out, (int64_t)u->dedup[i]);
    put_key_offset(out, K_G, u->trig);
    put_key_int(out, K_GT, u->trig_ts);
    put_key_offset(out, K_O, u->applied);
}

/* ---- JSON ---- */

static void
json_counts(const struct fr_spec *spec, const struct fr_user *u, int64_t now, struct fr_jsonw *w)
{
    fr_jsonw_key(w, "counts");
    fr_jsonw_object(w);
    for (int t = 0; t < spec->n_types; t++) {
        if (u->type_ts[t] == 0 && u->c[t][0] == 0 && u->c[t][1] == 0)
            continue;
        fr_jsonw_key(w, spec->type[t].name);
        fr_jsonw_object(w);
        fr_jsonw_key(w, "decayed");
        fr_jsonw_array(w);
        for (int k = 0; k < FR_HALF_LIVES; k++)
            fr_jsonw_f64(w, fr_user_count(spec, u, 1u << t, k, now));
        fr_jsonw_end(w, ']');
        fr_jsonw_key(w, "last_ts");
        fr_jsonw_i64(w, u->type_ts[t]);
        fr_jsonw_end(w, '}');
    }
    fr_jsonw_end(w, '}');
}

static void json_history(const struct fr_spec *spec, const struct fr_user *u, struct fr_jsonw *w)
{
    fr_jsonw_key(w, "history");
    fr_jsonw_array(w);
    for (uint32_t i = 0; i < u->h_n; i++) {
        fr_jsonw_object(w);
        fr_jsonw_key(w, "item_id");
        fr_jsonw_str(w, u->h[i].id);
        fr_jsonw_key(w, "type");
        fr_jsonw_z(w, spec->type[u->h[i].type].name);
        fr_jsonw_key(w, "ts");
        fr_jsonw_i64(w, u->h[i].ts);
        fr_jsonw_end(w, '}');
    }
    fr_jsonw_end(w, ']');
}

static void json_offset(struct fr_jsonw *w, const char *key, int64_t v)
{
    fr_jsonw_key(w, key);
    if (v == FR_NO_OFFSET)
        fr_jsonw_null(w);
    else
        fr_jsonw_i64(w, v);
}

void fr_user_to_json(const struct fr_spec *spec,
                     const struct fr_user *u,
                     struct fr_str user_id,
                     int64_t now_ms,
                     struct fr_buf *out)
{
    bool expired = fr_user_expired(spec, u, now_ms);
    bool empty = expired || u->n == 0;
    struct fr_jsonw w;

    fr_jsonw_init(&w, out);
    fr_jsonw_object(&w);
    fr_jsonw_key(&w, "user_id");
    fr_jsonw_str(&w, user_id);
    fr_jsonw_key(&w, "now_ms");
    fr_jsonw_i64(&w, now_ms);
    fr_jsonw_key(&w, "expired");
    fr_jsonw_bool(&w, expired);
    fr_jsonw_key(&w, "events");
    fr_jsonw_i64(&w, empty ? 0 : (int64_t)u->n);
    if (!empty) {
        fr_jsonw_key(&w, "first_ts");
        fr_jsonw_i64(&w, u->first_ts);
        fr_jsonw_key(&w, "last_ts");
        fr_jsonw_i64(&w, u->last_ts);
        fr_jsonw_key(&w, "half_lives_ms");
        fr_jsonw_array(&w);
        for (int k = 0; k < FR_HALF_LIVES; k++)
            fr_jsonw_i64(&w, spec->user_half_life_ms[k]);
        fr_jsonw_end(&w, ']');
        json_counts(spec, u, now_ms, &w);
        json_history(spec, u, &w);
        fr_jsonw_key(&w, "seen");
        fr_jsonw_u64(&w, fr_seen_size(&u->seen));
    }
    json_offset(&w, "applied_offset", u->applied);
    json_offset(&w, "trigger_offset", u->trig);
    fr_jsonw_key(&w, "trigger_ts");
    fr_jsonw_i64(&w, u->trig_ts);
    fr_jsonw_end(&w, '}');
}
