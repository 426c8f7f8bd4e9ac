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

#endif
