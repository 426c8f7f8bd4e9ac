/*
 * daemon/base/buf.c - growable byte buffer.
 */
#include "daemon/base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "daemon/base/alloc.h"

void fr_buf_init(struct fr_buf *b)
{
    memset(b, 0, sizeof(*b));
}

void fr_buf_done(struct fr_buf *b)
{
    fr_free(b->p);
    fr_buf_init(b);
}

void fr_buf_clear(struct fr_buf *b)
{
    b->n = 0;
    b->err = FR_OK;
}

/* Room for n more bytes. */
static bool reserve(struct fr_buf *b, size_t n)
{
    size_t cap = b->cap < 64 ? 64 : b->cap;
    char *p;

    if (b->err != FR_OK)
        return false;
    if (n > SIZE_MAX / 2 - b->n) {
        b->err = FR_EOVERFLOW;
        return false;
    }
    if (b->n + n <= b->cap)
        return true;
    while (cap < b->n + n)
        cap *= 2;
    p = fr_realloc_array(b->p, cap, 1);
    if (p == NULL) {
        b->err = FR_ENOMEM;
        return false;
    }
    b->p = p;
    b->cap = cap;
    return true;
}

void fr_buf_put(struct fr_buf *b, const void *p, size_t n)
{
    if (n == 0 || !reserve(b, n))
        return;
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

void fr_buf_putc(struct fr_buf *b, char c)
{
    fr_buf_put(b, &c, 1);
}

void fr_buf_puts(struct fr_buf *b, const char *z)
{
    fr_buf_put(b, z, strlen(z));
}

void fr_buf_printf(struct fr_buf *b, const char *fmt, ...)
{
    va_list ap;
    char small[256];
    int n;

    va_start(ap, fmt);
    n = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    if (n < 0) {
        if (b->err == FR_OK)
            b->err = FR_EINVAL;
        return;
    }
    if ((size_t)n < sizeof(small)) {
        fr_buf_put(b, small, (size_t)n);
        return;
    }
    if (!reserve(b, (size_t)n + 1))
        return;
    va_start(ap, fmt);
    (void)vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
}

void fr_buf_put_u64(struct fr_buf *b, uint64_t v)
{
    char tmp[20];
    size_t at = sizeof(tmp);

    do {
        tmp[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    fr_buf_put(b, tmp + at, sizeof(tmp) - at);
}

void fr_buf_put_i64(struct fr_buf *b, int64_t v)
{
    if (v < 0)
        fr_buf_putc(b, '-');
    fr_buf_put_u64(b, v < 0 ? (uint64_t)0 - (uint64_t)v : (uint64_t)v);
}
