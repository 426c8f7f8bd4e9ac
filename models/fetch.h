/*
 * models/fetch.h - memory asked for before its turn: rows of tables and caches lie anywhere, and a list is known ahead.
 * Layer: models/.
 */
#ifndef FR_MODELS_FETCH_H
#define FR_MODELS_FETCH_H

#include <stddef.h>
#include <stdint.h>

#define FR_FETCH_AHEAD 8 /* rows of a list between the request and the look */

/** Every line of the cache that p[0, bytes) lies in. Nothing is read, so p may be anything. @thread any */
static inline void fr_fetch(const void *p, size_t bytes)
{
    const uintptr_t end = (uintptr_t)p + bytes;

    for (uintptr_t at = (uintptr_t)p & ~(uintptr_t)63; at < end; at += 64)
        __builtin_prefetch((const void *)at);
}

/** Blocks of one size to be asked for little by little, while something else is computed. */
struct fr_fetch_list {
    const float *const *block; /* (n); of one that is not 64-byte aligned the last line may be left out */
    int n;
    size_t bytes; /* of a block */
    int products; /* still to come, over which they are spread */
    int at;       /* the block in hand, */
    size_t done;  /* and bytes of it that were asked for */
};

/** Lines still to be asked for. */
static inline size_t fr_fetch_left(const struct fr_fetch_list *l)
{
    return (size_t)(l->n - l->at) * ((l->bytes + 63) / 64) - l->done / 64;
}

/** The next lines of the list; none when all were asked for. @thread the list's own */
static inline void fr_fetch_more(struct fr_fetch_list *l, size_t lines)
{
    for (; lines > 0 && l->at < l->n; lines--) {
        __builtin_prefetch((const char *)l->block[l->at] + l->done);
        l->done += 64;
        if (l->done >= l->bytes) {
            l->at++;
            l->done = 0;
        }
    }
}

#endif
