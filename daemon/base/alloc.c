/*
 * daemon/base/alloc.c - checked allocation with hooks for tests: failures, bytes held.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mremap */
#endif
#include "daemon/base/alloc.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The sanitizers do not see the ends of mapped memory: there, growing arrays are plain ones. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MAPPED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define MAPPED 0
#else
#define MAPPED 1
#endif
#else
#define MAPPED 1
#endif

/* Tables and caches are read row by row at random: in pages of 2 MB most reads find their address translated. */
#define HUGE_MIN ((size_t)4 << 20) /* bytes from which an array asks for such pages, where they fit into it */

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

/* ---- bytes held, while watched ---- */

static atomic_bool watched;
static _Atomic int64_t held, most;

void fr_alloc_watch(bool on)
{
    if (on) {
        atomic_store(&held, 0);
        atomic_store(&most, 0);
    }
    atomic_store(&watched, on);
}

size_t fr_alloc_peak(void)
{
    return (size_t)atomic_load(&most);
}

static bool watching(void)
{
    return atomic_load_explicit(&watched, memory_order_relaxed);
}

static void hold(int64_t bytes)
{
    int64_t now = atomic_fetch_add(&held, bytes) + bytes, top = atomic_load(&most);
    while (now > top && !atomic_compare_exchange_weak(&most, &top, now))
        ;
}

/* @return p. What was allocated before the watch and is released in it counts as less than nothing. */
static void *got(void *p)
{
    if (p != NULL && watching())
        hold((int64_t)malloc_usable_size(p));
    return p;
}

void *fr_malloc_array(size_t n, size_t size)
{
    size_t bytes;

    if (!fr_mul_size(n, size, &bytes) || bytes == 0 || must_fail())
        return NULL;
    return got(malloc(bytes));
}

void *fr_calloc(size_t n, size_t size)
{
    size_t bytes;

    if (!fr_mul_size(n, size, &bytes) || bytes == 0 || must_fail())
        return NULL;
    return got(calloc(n, size));
}

void *fr_realloc_array(void *p, size_t n, size_t size)
{
    size_t bytes;

    if (!fr_mul_size(n, size, &bytes) || bytes == 0 || must_fail())
        return NULL;
    int64_t old = watching() && p != NULL ? (int64_t)malloc_usable_size(p) : 0;
    void *q = realloc(p, bytes);
    if (q != NULL && watching())
        hold((int64_t)malloc_usable_size(q) - old);
    return q;
}

void *fr_malloc_aligned(size_t n, size_t size)
{
    size_t bytes;

    if (!fr_mul_size(n, size, &bytes) || bytes == 0 || bytes > SIZE_MAX - 63 || must_fail())
        return NULL;
    bytes = (bytes + 63) & ~(size_t)63;
    char *p = aligned_alloc(64, bytes);
    if (p != NULL && bytes >= HUGE_MIN) {
        size_t skip = -(uintptr_t)p & 4095;
        (void)madvise(p + skip, (bytes - skip) & ~(size_t)4095, MADV_HUGEPAGE);
    }
    return got(p);
}

void *fr_calloc_aligned(size_t n, size_t size)
{
    void *p = fr_malloc_aligned(n, size);

    if (p != NULL)
        memset(p, 0, (n * size + 63) & ~(size_t)63);
    return p;
}

#if MAPPED
static size_t whole_pages(size_t bytes)
{
    return (bytes + 4095) & ~(size_t)4095;
}

/* From fewer bytes to more, or back. */
static void *remap(void *p, size_t from, size_t to)
{
    void *q = p == NULL ? mmap(NULL, to, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                        : mremap(p, from, to, MREMAP_MAYMOVE);
    return q == MAP_FAILED ? NULL : q;
}
#else
static size_t whole_pages(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static void *remap(void *p, size_t from, size_t to)
{
    char *q = aligned_alloc(64, to);
    size_t keep = from < to ? from : to;

    if (q == NULL)
        return to < from ? p : NULL; /* shrinking does not fail */
    if (keep > 0)
        memcpy(q, p, keep);
    memset(q + keep, 0, to - keep);
    free(p);
    return q;
}
#endif

void *fr_pages_resize(void *p, size_t old_bytes, size_t new_bytes)
{
    if (new_bytes == 0 || new_bytes > SIZE_MAX / 2 || (new_bytes > old_bytes && must_fail()))
        return NULL;
    size_t from = whole_pages(old_bytes), to = whole_pages(new_bytes);
    void *q = to == from ? p : remap(p, from, to);
    if (q != NULL && watching())
        hold((int64_t)to - (int64_t)from);
    if (q != NULL && new_bytes < old_bytes) /* what a later growth finds there */
        memset((char *)q + new_bytes, 0, to - new_bytes);
    return q;
}

void fr_pages_free(void *p, size_t bytes)
{
    if (p == NULL)
        return;
    if (watching())
        hold(-(int64_t)whole_pages(bytes));
#if MAPPED
    (void)munmap(p, whole_pages(bytes));
#else
    free(p);
#endif
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
    if (p != NULL && watching())
        hold(-(int64_t)malloc_usable_size(p));
    free(p);
}
