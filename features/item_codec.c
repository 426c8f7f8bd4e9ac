#include "features/item_codec.h"

#include <string.h>

#include "daemon/base/msgpack.h"
#include "features/decay.h"

#define MAX_STORED_TYPES 64

enum key { K_V, K_F, K_L, K_TY, K_HL, K_LM, K_C, K_COUNT };
static const char *const key_names[K_COUNT] = {"v", "f", "l", "ty", "hl", "L", "c"};

void fr_item_row_encode(const struct fr_spec *spec,
                        const struct fr_item_row *row,
                        const double *c,
                        struct fr_buf *out)
{
    int used[FR_MAX_EVENT_TYPES];
    int n = 0;
    for (int t = 0; t < spec->n_types; t++)
        if (c[t * FR_HALF_LIVES] != 0 || c[t * FR_HALF_LIVES + 1] != 0)
            used[n++] = t;
    fr_mp_put_map(out, K_COUNT);
    fr_mp_put_str(out, fr_str_z(key_names[K_V]));
    fr_mp_put_int(out, FR_ITEM_ROW_VERSION);
    fr_mp_put_str(out, fr_str_z(key_names[K_F]));
    fr_mp_put_int(out, row->first_ts);
    fr_mp_put_str(out, fr_str_z(key_names[K_L]));
    fr_mp_put_int(out, row->last_ts);
    fr_mp_put_str(out, fr_str_z(key_names[K_TY]));
    fr_mp_put_array(out, (uint32_t)n);
    for (int i = 0; i < n; i++)
        fr_mp_put_str(out, fr_str_z(spec->type[used[i]].name));
    fr_mp_put_str(out, fr_str_z(key_names[K_HL]));
    fr_mp_put_array(out, FR_HALF_LIVES);
    for (int k = 0; k < FR_HALF_LIVES; k++)
        fr_mp_put_int(out, spec->item_half_life_ms[k]);
    fr_mp_put_str(out, fr_str_z(key_names[K_LM]));
    fr_mp_put_array(out, FR_HALF_LIVES);
    for (int k = 0; k < FR_HALF_LIVES; k++)
        fr_mp_put_int(out, row->landmark[k]);
    fr_mp_put_str(out, fr_str_z(key_names[K_C]));
    fr_mp_put_array(out, (uint32_t)(n * FR_HALF_LIVES));
    for (int i = 0; i < n; i++)
        for (int k = 0; k < FR_HALF_LIVES; k++)
            fr_mp_put_f64(out, c[used[i] * FR_HALF_LIVES + k]);
}

/* The row as read; "c" comes after "ty" when we write, but a reader takes any order. */
struct dec {
    const struct fr_spec *spec;
    struct fr_mp_reader r;
    struct fr_fault *fault;
    unsigned have;
    int64_t v, f, l;
    int64_t hl[FR_HALF_LIVES], lm[FR_HALF_LIVES];
    int type_of[MAX_STORED_TYPES];
    uint32_t n_types, n_c;
    double c[MAX_STORED_TYPES * FR_HALF_LIVES];
};

static enum fr_err bad(struct dec *d, int k, const char *what)
{
    return fr_fault(d->fault,
                    FR_ECORRUPT,
                    "item record, key \"%s\", byte %zu: %s",
                    k < 0 ? "" : key_names[k],
                    d->r.at,
                    what);
}

static enum fr_err take_int(struct dec *d, int k, int64_t lo, int64_t *out)
{
    struct fr_mp_value v;
    struct fr_mp_reader at = d->r;
    if (fr_mp_next(&at, &v) != FR_OK)
        return bad(d, k, "malformed value");
    if (v.type == FR_MP_F64 && v.f >= -9007199254740992.0 && v.f <= 9007199254740992.0 &&
        (double)(int64_t)v.f == v.f)
        v.i = (int64_t)v.f;
    else if (v.type != FR_MP_INT)
        return bad(d, k, "no integer");
    if (v.i < lo || v.i > FR_TS_MAX)
        return bad(d, k, "integer out of range");
    d->r = at;
    *out = v.i;
    return FR_OK;
}

static enum fr_err take_array(struct dec *d, int k, uint32_t max, uint32_t *out_n)
{
    struct fr_mp_value v;
    if (fr_mp_next(&d->r, &v) != FR_OK ||
        (v.type != FR_MP_ARRAY && !(v.type == FR_MP_MAP && v.n == 0)) || v.n > max)
        return bad(d, k, "no array, or too long");
    *out_n = v.n;
    return FR_OK;
}

static enum fr_err take_pair(struct dec *d, int k, int64_t lo, int64_t out[])
{
    uint32_t n = 0;
    enum fr_err e = take_array(d, k, FR_HALF_LIVES, &n);
    if (e == FR_OK && n != FR_HALF_LIVES)
        e = bad(d, k, "not two elements");
    for (uint32_t i = 0; e == FR_OK && i < n; i++)
        e = take_int(d, k, lo, &out[i]);
    return e;
}

static enum fr_err take_types(struct dec *d)
{
    struct fr_mp_value v;
    enum fr_err e = take_array(d, K_TY, MAX_STORED_TYPES, &d->n_types);
    for (uint32_t i = 0; e == FR_OK && i < d->n_types; i++) {
        if (fr_mp_next(&d->r, &v) != FR_OK || v.type != FR_MP_STR)
            return bad(d, K_TY, "no type name");
        d->type_of[i] = fr_spec_type(d->spec, v.s);
        for (uint32_t j = 0; d->type_of[i] >= 0 && j < i; j++)
            if (d->type_of[j] == d->type_of[i])
                return bad(d, K_TY, "a type twice");
    }
    return e;
}

static enum fr_err take_weights(struct dec *d)
{
    struct fr_mp_value v;
    enum fr_err e = take_array(d, K_C, MAX_STORED_TYPES * FR_HALF_LIVES, &d->n_c);
    for (uint32_t i = 0; e == FR_OK && i < d->n_c; i++) {
        if (fr_mp_next(&d->r, &v) != FR_OK || (v.type != FR_MP_F64 && v.type != FR_MP_INT) ||
            !(v.f >= 0 && v.f <= 1e300))
            return bad(d, K_C, "no weight >= 0");
        d->c[i] = v.f;
    }
    return e;
}

static enum fr_err take_key(struct dec *d)
{
    struct fr_mp_value v;
    int k = 0;
    if (fr_mp_next(&d->r, &v) != FR_OK || v.type != FR_MP_STR)
        return bad(d, -1, "no key");
    while (k < K_COUNT && !fr_str_eqz(v.s, key_names[k]))
        k++;
    if (k == K_COUNT)
        return fr_mp_skip(&d->r) == FR_OK ? FR_OK : bad(d, -1, "malformed value");
    if (d->have & (1u << k))
        return bad(d, k, "key twice");
    d->have |= 1u << k;
    switch ((enum key)k) {
    case K_V:
        return take_int(d, k, 0, &d->v);
    case K_F:
        return take_int(d, k, 0, &d->f);
    case K_L:
        return take_int(d, k, 0, &d->l);
    case K_TY:
        return take_types(d);
    case K_HL:
        return take_pair(d, k, 1, d->hl);
    case K_LM:
        return take_pair(d, k, -FR_TS_MAX, d->lm);
    case K_C:
        return take_weights(d);
    case K_COUNT:
        break;
    }
    return FR_EINTERNAL;
}

/* Our landmark j and counters from theirs, by value of the half-life. */
static void fill(const struct dec *d, struct fr_item_row *row, double *out_c)
{
    memset(out_c, 0, (size_t)d->spec->n_types * FR_HALF_LIVES * sizeof *out_c);
    *row = (struct fr_item_row){.first_ts = d->f, .last_ts = d->l};
    for (int j = 0; j < FR_HALF_LIVES; j++) {
        int64_t ours = d->spec->item_half_life_ms[j];
        row->landmark[j] = fr_decay_landmark(d->l, ours);
        for (int k = 0; k < FR_HALF_LIVES; k++) {
            if (d->hl[k] != ours)
                continue;
            row->landmark[j] = d->lm[k];
            for (uint32_t i = 0; i < d->n_types; i++)
                if (d->type_of[i] >= 0)
                    out_c[d->type_of[i] * FR_HALF_LIVES + j] =
                        d->c[i * FR_HALF_LIVES + (uint32_t)k];
        }
    }
}

enum fr_err fr_item_row_decode(const struct fr_spec *spec,
                               struct fr_str record,
                               struct fr_item_row *out_row,
                               double *out_c,
                               struct fr_fault *fault)
{
    struct dec d = {.spec = spec, .fault = fault};
    struct fr_mp_value v;
    enum fr_err e;

    fr_mp_reader_init(&d.r, record);
    if (fr_mp_next(&d.r, &v) != FR_OK || v.type != FR_MP_MAP)
        return bad(&d, -1, "no map");
    uint32_t pairs = v.n;
    for (uint32_t i = 0; i < pairs; i++) {
        e = take_key(&d);
        if (e != FR_OK)
            return e;
    }
    for (int k = 0; k < K_COUNT; k++)
        if (!(d.have & (1u << k)))
            return bad(&d, k, "missing");
    if (!fr_mp_at_end(&d.r))
        return bad(&d, -1, "trailing bytes");
    if (d.v != FR_ITEM_ROW_VERSION)
        return fr_fault(fault,
                        FR_EVERSION,
                        "item record: version %lld, known is %d",
                        (long long)d.v,
                        FR_ITEM_ROW_VERSION);
    if (d.l < d.f)
        return bad(&d, K_L, "newest event before the first");
    if (d.n_c != d.n_types * FR_HALF_LIVES)
        return bad(&d, K_C, "length is not types times half-lives");
    for (int k = 0; k < FR_HALF_LIVES; k++)
        if (d.lm[k] % d.hl[k] != 0)
            return bad(&d, K_LM, "a landmark is no multiple of its half-life");
    fill(&d, out_row, out_c);
    return FR_OK;
}
