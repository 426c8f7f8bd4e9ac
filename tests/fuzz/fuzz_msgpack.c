/*
 * tests/fuzz/fuzz_msgpack.c - hostile MessagePack: the cursor stays within the input and stands still on a
 * refusal, values keep the limits of the subset, and what was read writes and reads back the same.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "daemon/base/json.h"
#include "daemon/base/msgpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void put(struct fr_buf *b, const struct fr_mp_value *v)
{
    switch (v->type) {
    case FR_MP_NIL:
        fr_mp_put_nil(b);
        break;
    case FR_MP_BOOL:
        fr_mp_put_bool(b, v->b);
        break;
    case FR_MP_INT:
        check(v->i >= -(INT64_C(1) << 53) && v->i <= INT64_C(1) << 53 && v->f == (double)v->i);
        fr_mp_put_int(b, v->i);
        break;
    case FR_MP_F64:
        fr_mp_put_f64(b, v->f);
        break;
    case FR_MP_STR:
        check(fr_utf8_valid(v->s));
        fr_mp_put_str(b, v->s);
        break;
    case FR_MP_ARRAY:
        fr_mp_put_array(b, v->n);
        break;
    case FR_MP_MAP:
        fr_mp_put_map(b, v->n);
        break;
    }
}

static bool same(const struct fr_mp_value *a, const struct fr_mp_value *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case FR_MP_NIL:
        return true;
    case FR_MP_BOOL:
        return a->b == b->b;
    case FR_MP_INT:
        return a->i == b->i;
    case FR_MP_F64:
        return a->f == b->f || (isnan(a->f) && isnan(b->f));
    case FR_MP_STR:
        return fr_str_eq(a->s, b->s);
    case FR_MP_ARRAY:
    case FR_MP_MAP:
        return a->n == b->n;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_str in = {(const char *)data, size};
    struct fr_mp_reader r, again;
    struct fr_mp_value v, w;
    struct fr_buf b;
    enum fr_err e;
    size_t before = 0;
    bool whole; /* the input is a sequence of whole values */

    fr_mp_reader_init(&r, in);
    while (!fr_mp_at_end(&r)) { /* skip whole values */
        before = r.at;
        e = fr_mp_skip(&r);
        check(r.at <= size && (e == FR_OK ? r.at > before : r.at == before));
        if (e != FR_OK)
            break;
    }
    whole = fr_mp_at_end(&r);
    fr_buf_init(&b);
    fr_mp_reader_init(&r, in);
    for (;;) { /* read one by one, write again */
        before = r.at;
        e = fr_mp_next(&r, &v);
        check(r.at <= size && (e == FR_OK ? r.at > before : r.at == before));
        if (e != FR_OK)
            break;
        put(&b, &v);
    }
    check(fr_buf_err(&b) == FR_OK && b.n <= before); /* our forms are the smallest */
    fr_mp_reader_init(&r, in);
    fr_mp_reader_init(&again, fr_buf_str(&b));
    while (whole && fr_mp_next(&r, &v) == FR_OK)
        check(fr_mp_next(&again, &w) == FR_OK && same(&v, &w));
    check(!whole || fr_mp_at_end(&again));
    fr_buf_done(&b);
    return 0;
}
