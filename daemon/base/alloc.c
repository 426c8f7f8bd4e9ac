/*
 * daemon/base/alloc.c - checked allocation with a failure hook for tests.
 */
#include "daemon/base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* 0 = off; otherwise the allocation with this number and all later ones fail. */
static _Atomic uint64_t fail_at;
static _Atomic uint64_t counted;

static bool must_fail(void)
{
    uint64_t at = atomic_load_explicit(&fail_at, memory_order_relaxed);

    if (at == 0)
        return false;
    return atomic_fetch_add_explicit(&counted, 1, memory_order_relaxed) + 1 >= at;
}

void fr_alloc_fail_at(uint64_t nth)
{
    atomic_store(&counted, 0);
    atomic_store(&fail_at, nth);
}

uint64_t fr_alloc_count(void)
{
    return atomic_load(&counted);
}

void *fr_malloc_array(size_t n, size_t size)
{
    size_t bytes;

    if (!fr_mul_size(n, size, &bytes) || bytes == 0 || must_fail())
        return NULL;
    return malloc(bytes);
}

void *fr_calloc(size_t n, size_t size)
{
    size_t bytes;

    if (!fr_mul_size(n, size, &bytes) || bytes == 0 || must_fail())
        return NULL;
    return calloc(n, size);
}

void *fr_realloc_array(void *p, size_t n, size_t size)
{
    size_t bytes;

    if (!fr_mul_size(n, size, &bytes) || bytes == 0 || must_fail())
        return NULL;
    return realloc(p, bytes);
}

void *fr_calloc_aligned(size_t n, size_t size)
{
    size_t bytes;
    void *p;

    if (!fr_mul_size(n, size, &bytes) || bytes == 0 || bytes > SIZE_MAX - 63 || must_fail())
        return NULL;
    bytes = (bytes + 63) & ~(size_t)63;
    p = aligned_alloc(64, bytes);
    if (p != NULL)
        memset(p, 0, bytes);
    return p;
}

char *fr_memdup0(const char *p, size_t n)
{
    char *out;

    if (n == SIZE_MAX)
        return NULL;
    out = fr_malloc_array(n + 1, 1);
    if (out == NULL)
        return NULL;
    if (n > 0)
        memcpy(out, p, n);
    out[n] = '\0';
    return out;
}

void fr_free(void *p)
{
    free(p);
}
