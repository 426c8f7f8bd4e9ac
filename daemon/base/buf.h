/*
 * daemon/base/buf.h - growable byte buffer for encoders.
 *
 * Errors are sticky: after a failed growth every append is a no-op and fr_buf_err() tells, so an
 * encoder checks once at the end.
 * Layer: lowest.
 */
#ifndef FR_BASE_BUF_H
#define FR_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/str.h"

/** Owner: the caller's storage; zero-initialised or fr_buf_init() is a valid empty buffer.
 *  Thread: one at a time. */
struct fr_buf {
    char *p;
    size_t n;
    size_t cap;
    enum fr_err err;
};

void fr_buf_init(struct fr_buf *b);
/** Release the memory; the buffer is empty and usable again. */
void fr_buf_done(struct fr_buf *b);
/** Empty it, clear the sticky error, keep the memory. */
void fr_buf_clear(struct fr_buf *b);
void fr_buf_put(struct fr_buf *b, const void *p, size_t n);
void fr_buf_putc(struct fr_buf *b, char c);
void fr_buf_puts(struct fr_buf *b, const char *z);
void fr_buf_printf(struct fr_buf *b, const char *fmt, ...) FR_PRINTF(2, 3);
void fr_buf_put_u64(struct fr_buf *b, uint64_t v); /* decimal */
void fr_buf_put_i64(struct fr_buf *b, int64_t v);  /* decimal */
static inline struct fr_str fr_buf_str(const struct fr_buf *b)
{
    return (struct fr_str){b->p, b->n};
}
FR_MUST_CHECK static inline enum fr_err fr_buf_err(const struct fr_buf *b)
{
    return b->err;
}

#endif
