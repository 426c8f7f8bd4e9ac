/*
 * daemon/base/msgpack.c - reader and writer of the subset in msgpack.h.
 */
#include "daemon/base/msgpack.h"

#include <math.h>

#include "daemon/base/json.h"

#define MAX_INT (INT64_C(1) << 53)
#define MAX_DEPTH 32

void fr_mp_reader_init(struct fr_mp_reader *r, struct fr_str in)
{
    r->in = in;
    r->at = 0;
}

static uint64_t big_endian(const unsigned char *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = (v << 8) | p[i];
    return v;
}

static void set_int(struct fr_mp_value *v, int64_t i)
{
    v->type = FR_MP_INT;
    v->i = i;
    v->f = (double)i;
}

static enum fr_err set_f64(struct fr_mp_value *v, uint64_t bits)
{
    memcpy(&v->f, &bits, sizeof(bits));
    v->type = FR_MP_F64;
    if (isfinite(v->f) && fabs(v->f) <= (double)MAX_INT && floor(v->f) == v->f)
        v->i = (int64_t)v->f;
    return FR_OK;
}

struct head {
    enum { H_SELF, H_UINT, H_INT, H_F64, H_STR, H_ARRAY, H_MAP, H_BAD } what;
    size_t width; /* bytes after the tag that hold the number or the length */
};

static struct head head_of(unsigned char tag)
{
    switch (tag) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
        return (struct head){H_SELF, 0};
    case 0xcb:
        return (struct head){H_F64, 8};
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return (struct head){H_UINT, (size_t)1 << (tag - 0xcc)};
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return (struct head){H_INT, (size_t)1 << (tag - 0xd0)};
    case 0xd9:
    case 0xda:
    case 0xdb:
        return (struct head){H_STR, (size_t)1 << (tag - 0xd9)};
    case 0xdc:
    case 0xdd:
        return (struct head){H_ARRAY, (size_t)2 << (tag - 0xdc)};
    case 0xde:
    case 0xdf:
        return (struct head){H_MAP, (size_t)2 << (tag - 0xde)};
    default:
        break;
    }
    if (tag < 0x80 || tag >= 0xe0)
        return (struct head){H_SELF, 0};
    if (tag < 0x90)
        return (struct head){H_MAP, 0};
    if (tag < 0xa0)
        return (struct head){H_ARRAY, 0};
    if (tag < 0xc0)
        return (struct head){H_STR, 0};
    return (struct head){H_BAD, 0};
}

static void set_self(struct fr_mp_value *v, unsigned char tag)
{
    if (tag == 0xc0) {
        v->type = FR_MP_NIL;
    } else if (tag == 0xc2 || tag == 0xc3) {
        v->type = FR_MP_BOOL;
        v->b = tag == 0xc3;
    } else {
        set_int(v, tag < 0x80 ? (int64_t)tag : (int64_t)tag - 256);
    }
}

static enum fr_err set_sized_int(struct fr_mp_value *v, uint64_t bits, size_t width, bool is_signed)
{
    int64_t i;

    if (is_signed) {
        unsigned shift = (unsigned)(64 - 8 * width);
        uint64_t sign = UINT64_C(1) << (8 * width - 1);
        i = (bits & sign) != 0 && shift > 0 ? (int64_t)(bits | (UINT64_MAX << (8 * width)))
                                            : (int64_t)bits;
    } else {
        if (bits > (uint64_t)MAX_INT)
            return FR_ERANGE;
        i = (int64_t)bits;
    }
    if (i > MAX_INT || i < -MAX_INT)
        return FR_ERANGE;
    set_int(v, i);
    return FR_OK;
}

enum fr_err fr_mp_next(struct fr_mp_reader *r, struct fr_mp_value *out)
{
    const unsigned char *p = (const unsigned char *)r->in.p + r->at;
    size_t left = r->in.n - r->at;
    struct fr_mp_value v;
    struct head h;
    uint64_t bits;
    size_t used;
    enum fr_err e = FR_OK;

    if (left == 0)
        return FR_ESYNTAX;
    memset(&v, 0, sizeof(v));
    h = head_of(p[0]);
    used = 1 + h.width;
    if (h.what == H_BAD || left < used)
        return FR_ESYNTAX;
    bits = big_endian(p + 1, h.width);
    switch (h.what) {
    case H_SELF:
        set_self(&v, p[0]);
        break;
    case H_UINT:
    case H_INT:
        e = set_sized_int(&v, bits, h.width, h.what == H_INT);
        break;
    case H_F64:
        e = set_f64(&v, bits);
        break;
    case H_STR:
        if (h.width == 0)
            bits = p[0] & 0x1fU;
        if (left - used < bits)
            return FR_ESYNTAX;
        v.type = FR_MP_STR;
        v.s = (struct fr_str){(const char *)p + used, (size_t)bits};
        if (!fr_utf8_valid(v.s))
            return FR_EUTF8;
        used += (size_t)bits;
        break;
    case H_ARRAY:
    case H_MAP:
        v.type = h.what == H_ARRAY ? FR_MP_ARRAY : FR_MP_MAP;
        v.n = h.width == 0 ? p[0] & 0x0fU : (uint32_t)bits;
        /* every element takes a byte at least: a larger count cannot be true */
        if (v.n > (left - used) / (v.type == FR_MP_MAP ? 2 : 1))
            return FR_ESYNTAX;
        break;
    case H_BAD:
        return FR_ESYNTAX;
    }
    if (e != FR_OK)
        return e;
    r->at += used;
    *out = v;
    return FR_OK;
}

enum fr_err fr_mp_skip(struct fr_mp_reader *r)
{
    uint64_t left[MAX_DEPTH]; /* values still to skip at each level */
    int depth = 0;
    size_t from = r->at;

    left[0] = 1;
    for (;;) {
        struct fr_mp_value v;
        enum fr_err e;

        while (depth >= 0 && left[depth] == 0)
            depth--;
        if (depth < 0)
            return FR_OK;
        left[depth]--;
        e = fr_mp_next(r, &v);
        if (e == FR_OK && (v.type == FR_MP_ARRAY || v.type == FR_MP_MAP)) {
            if (depth + 1 == MAX_DEPTH)
                e = FR_EDEPTH;
            else
                left[++depth] = v.type == FR_MP_MAP ? (uint64_t)v.n * 2 : v.n;
        }
        if (e != FR_OK) {
            r->at = from;
            return e;
        }
    }
}

/* ---- writer ---- */

static void put_tagged(struct fr_buf *b, unsigned char tag, uint64_t v, size_t width)
{
    unsigned char tmp[9];

    tmp[0] = tag;
    for (size_t i = 0; i < width; i++)
        tmp[1 + i] = (unsigned char)(v >> (8 * (width - 1 - i)));
    fr_buf_put(b, tmp, 1 + width);
}

void fr_mp_put_nil(struct fr_buf *b)
{
    put_tagged(b, 0xc0, 0, 0);
}

void fr_mp_put_bool(struct fr_buf *b, bool v)
{
    put_tagged(b, v ? 0xc3 : 0xc2, 0, 0);
}

void fr_mp_put_int(struct fr_buf *b, int64_t v)
{
    uint64_t u = (uint64_t)v;

    if (v > MAX_INT || v < -MAX_INT) {
        if (b->err == FR_OK)
            b->err = FR_ERANGE;
    } else if (v >= 0) {
        if (v < 0x80)
            put_tagged(b, (unsigned char)v, 0, 0);
        else if (v <= 0xff)
            put_tagged(b, 0xcc, u, 1);
        else if (v <= 0xffff)
            put_tagged(b, 0xcd, u, 2);
        else if (v <= INT64_C(0xffffffff))
            put_tagged(b, 0xce, u, 4);
        else
            put_tagged(b, 0xcf, u, 8);
    } else if (v >= -32) {
        put_tagged(b, (unsigned char)(v + 256), 0, 0);
    } else if (v >= -128) {
        put_tagged(b, 0xd0, u, 1);
    } else if (v >= -32768) {
        put_tagged(b, 0xd1, u, 2);
    } else if (v >= -INT64_C(2147483648)) {
        put_tagged(b, 0xd2, u, 4);
    } else {
        put_tagged(b, 0xd3, u, 8);
    }
}

void fr_mp_put_f64(struct fr_buf *b, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    put_tagged(b, 0xcb, bits, 8);
}

void fr_mp_put_str(struct fr_buf *b, struct fr_str s)
{
    if (s.n < 32)
        put_tagged(b, (unsigned char)(0xa0 | s.n), 0, 0);
    else if (s.n <= 0xff)
        put_tagged(b, 0xd9, s.n, 1);
    else if (s.n <= 0xffff)
        put_tagged(b, 0xda, s.n, 2);
    else if (s.n <= UINT32_MAX)
        put_tagged(b, 0xdb, s.n, 4);
    else if (b->err == FR_OK)
        b->err = FR_ETOOLARGE;
    fr_buf_put(b, s.p, s.n);
}

void fr_mp_put_array(struct fr_buf *b, uint32_t n)
{
    if (n < 16)
        put_tagged(b, (unsigned char)(0x90 | n), 0, 0);
    else if (n <= 0xffff)
        put_tagged(b, 0xdc, n, 2);
    else
        put_tagged(b, 0xdd, n, 4);
}

void fr_mp_put_map(struct fr_buf *b, uint32_t n)
{
    if (n < 16)
        put_tagged(b, (unsigned char)(0x80 | n), 0, 0);
    else if (n <= 0xffff)
        put_tagged(b, 0xde, n, 2);
    else
        put_tagged(b, 0xdf, n, 4);
}
