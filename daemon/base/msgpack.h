/*
 * daemon/base/msgpack.h - the MessagePack subset of the stored user record.
 *
 * Subset: nil, bool, integers up to 2^53 in magnitude, float64, str, array, map. No bin, no ext,
 *         no float32: Redis' Lua (cmsgpack) reads what we write and the other way round.
 * Layer:  lowest.
 */
#ifndef FR_BASE_MSGPACK_H
#define FR_BASE_MSGPACK_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/err.h"
#include "daemon/base/str.h"

enum fr_mp_type { FR_MP_NIL, FR_MP_BOOL, FR_MP_INT, FR_MP_F64, FR_MP_STR, FR_MP_ARRAY, FR_MP_MAP };

struct fr_mp_value {
    enum fr_mp_type type;
    bool b;
    int64_t i;        /* INT; for F64 that is integral and within 2^53 too (cmsgpack shrinks doubles) */
    double f;         /* INT and F64 */
    struct fr_str s;  /* STR: points into the input */
    uint32_t n;       /* ARRAY: elements, MAP: pairs; they follow in the reader */
};

/** Cursor over untrusted bytes. Owner: the caller's storage; borrows the input. */
struct fr_mp_reader {
    struct fr_str in;
    size_t at;
};

void fr_mp_reader_init(struct fr_mp_reader *r, struct fr_str in);
/** Next value (containers: only their header). @errors FR_ESYNTAX (truncated, or a type outside the
 *  subset), FR_ERANGE (integer past 2^53), FR_EUTF8. The cursor stays on failure. */
FR_MUST_CHECK enum fr_err fr_mp_next(struct fr_mp_reader *r, struct fr_mp_value *out);
/** Skip one whole value, nested ones included, without recursion; at most 32 levels of
 *  values, FR_EDEPTH past that. The cursor stays on failure. */
FR_MUST_CHECK enum fr_err fr_mp_skip(struct fr_mp_reader *r);
static inline bool fr_mp_at_end(const struct fr_mp_reader *r)
{
    return r->at == r->in.n;
}

void fr_mp_put_nil(struct fr_buf *b);
void fr_mp_put_bool(struct fr_buf *b, bool v);
/** Smallest form; |v| > 2^53 makes the buffer's error FR_ERANGE. */
void fr_mp_put_int(struct fr_buf *b, int64_t v);
/** Always float64 (9 bytes). */
void fr_mp_put_f64(struct fr_buf *b, double v);
void fr_mp_put_str(struct fr_buf *b, struct fr_str s);
void fr_mp_put_array(struct fr_buf *b, uint32_t n);
void fr_mp_put_map(struct fr_buf *b, uint32_t n);

#endif
