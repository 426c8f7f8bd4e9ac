/*
 * daemon/base/alloc.h - the only door to malloc.
 *
 * Why:   one place makes sizes overflow-safe and lets tests make the N-th allocation fail (the
 *        SQLite/curl sweep). Nothing else in the project calls malloc, calloc, realloc or free.
 * Layer: lowest.
 */
#ifndef FR_BASE_ALLOC_H
#define FR_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** `n * size` bytes, uninitialised; NULL on overflow, on failure, and when n or size is 0. @thread any */
void *fr_malloc_array(size_t n, size_t size);

/** As fr_malloc_array(), zeroed. @thread any */
void *fr_calloc(size_t n, size_t size);

/**
 * Resize `p` (may be NULL) to `n * size` bytes. On failure NULL is returned and `p` stays valid and
 * owned by the caller: never write `p = fr_realloc_array(p, ...)`. n or size 0 is a failure.
 */
void *fr_realloc_array(void *p, size_t n, size_t size);

/** 64-byte aligned zeroed array for vectors and weights; release with fr_free(). */
void *fr_calloc_aligned(size_t n, size_t size);

/** 64-byte aligned array, uninitialised; a large one asks the kernel for huge pages. Release with fr_free(). */
void *fr_malloc_aligned(size_t n, size_t size);

/**
 * A big array that grows: page-aligned, zeroed, and moved by its page tables, so that growing neither copies
 * nor needs the old and the new size at once, and pages that nobody has written take no memory.
 * @param p  NULL with old_bytes 0, or what an earlier call gave for old_bytes.
 * @return as for new_bytes > 0; NULL on failure, `p` is then as it was. Shrinking does not fail.
 * Release with fr_pages_free() and not with fr_free(). @thread any, one call at a time per array
 */
void *fr_pages_resize(void *p, size_t old_bytes, size_t new_bytes);
/** NULL is a no-op. */
void fr_pages_free(void *p, size_t bytes);

/** Copy of n bytes plus a terminating NUL; NULL on failure. Release with fr_free(). */
char *fr_memdup0(const char *p, size_t n);

/** Release; NULL is a no-op. Accepts memory of every function above. @thread any */
void fr_free(void *p);

/** a * b into *out; false on overflow (out untouched). */
static inline bool fr_mul_size(size_t a, size_t b, size_t *out)
{
    if (a != 0 && b > SIZE_MAX / a)
        return false;
    *out = a * b;
    return true;
}

/**
 * Test hook: the `nth` allocation from now (1 = the next) and all after it fail; 0 switches it off.
 * Process-wide. @return nothing. @thread any, meant for single-threaded sweeps.
 */
void fr_alloc_fail_at(uint64_t nth);

/** Test hook: count the bytes of all allocations from now on (true), or stop. Process-wide. */
void fr_alloc_watch(bool on);
/** Most bytes that were held at once since fr_alloc_watch(true), over what was held then. */
size_t fr_alloc_peak(void);

/** Allocations made while the test hook was armed since the last fr_alloc_fail_at(). */
uint64_t fr_alloc_count(void);

#endif
