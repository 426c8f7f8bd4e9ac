/*
 * daemon/base/arena.c - bump allocator over a growing list of chunks.
 */
#include "daemon/base/arena.h"

#include <stdint.h>
#include <string.h>

#include "daemon/base/alloc.h"

struct chunk {
    char *base; /* 64-byte aligned */
    size_t size;
};

struct fr_arena {
    struct chunk *chunks;
    size_t n_chunks;
    size_t cap_chunks;
    size_t cur;  /* chunk being filled; == n_chunks only while empty */
    size_t used; /* bytes used in chunks[cur] */
    size_t chunk_bytes;
    size_t max_bytes;
    size_t capacity;
};

enum fr_err fr_arena_new(size_t chunk_bytes, size_t max_bytes, struct fr_arena **out_arena)
{
    struct fr_arena *ar = fr_calloc(1, sizeof(*ar));

    if (ar == NULL)
        return FR_ENOMEM;
    ar->chunk_bytes = chunk_bytes < 1024 ? 1024 : chunk_bytes;
    ar->max_bytes = max_bytes;
    *out_arena = ar;
    return FR_OK;
}

void fr_arena_free(struct fr_arena *ar)
{
    if (ar == NULL)
        return;
    for (size_t i = 0; i < ar->n_chunks; i++)
        fr_free(ar->chunks[i].base);
    fr_free(ar->chunks);
    fr_free(ar);
}

static bool grow_list(struct fr_arena *ar)
{
    size_t cap = ar->cap_chunks == 0 ? 8 : ar->cap_chunks * 2;
    struct chunk *p;

    if (ar->n_chunks < ar->cap_chunks)
        return true;
    p = fr_realloc_array(ar->chunks, cap, sizeof(*p));
    if (p == NULL)
        return false;
    ar->chunks = p;
    ar->cap_chunks = cap;
    return true;
}

/* Make chunks[cur] hold at least n free bytes, moving on or adding a chunk. */
static bool make_room(struct fr_arena *ar, size_t n)
{
    size_t size = n > ar->chunk_bytes ? n : ar->chunk_bytes;

    while (ar->cur + 1 < ar->n_chunks) {
        ar->cur++;
        ar->used = 0;
        if (ar->chunks[ar->cur].size >= n)
            return true;
    }
    if (ar->max_bytes != 0 && (size > ar->max_bytes || ar->capacity > ar->max_bytes - size))
        return false;
    if (!grow_list(ar))
        return false;
    ar->chunks[ar->n_chunks].base = fr_calloc_aligned(size, 1);
    if (ar->chunks[ar->n_chunks].base == NULL)
        return false;
    ar->chunks[ar->n_chunks].size = size;
    ar->capacity += size;
    ar->cur = ar->n_chunks++;
    ar->used = 0;
    return true;
}

static void *take(struct fr_arena *ar, size_t n, size_t align)
{
    size_t at;

    if (n == 0)
        n = 1;
    if (n > SIZE_MAX / 2)
        return NULL;
    if (ar->n_chunks == 0 && !make_room(ar, n))
        return NULL;
    at = (ar->used + align - 1) & ~(align - 1);
    if (at > ar->chunks[ar->cur].size || ar->chunks[ar->cur].size - at < n) {
        if (!make_room(ar, n))
            return NULL;
        at = 0;
    }
    ar->used = at + n;
    return ar->chunks[ar->cur].base + at;
}

void *fr_arena_alloc(struct fr_arena *ar, size_t n)
{
    return take(ar, n, 16);
}

void *fr_arena_array(struct fr_arena *ar, size_t n, size_t size)
{
    size_t bytes;

    if (!fr_mul_size(n, size, &bytes))
        return NULL;
    return take(ar, bytes, 64);
}

void *fr_arena_zarray(struct fr_arena *ar, size_t n, size_t size)
{
    void *p = fr_arena_array(ar, n, size);

    if (p != NULL)
        memset(p, 0, n * size);
    return p;
}

enum fr_err fr_arena_dup(struct fr_arena *ar, struct fr_str s, struct fr_str *out)
{
    char *p = fr_arena_alloc(ar, s.n + 1);

    if (p == NULL)
        return FR_ENOMEM;
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    *out = (struct fr_str){p, s.n};
    return FR_OK;
}

struct fr_arena_mark fr_arena_mark(const struct fr_arena *ar)
{
    return (struct fr_arena_mark){ar->cur, ar->used};
}

void fr_arena_release(struct fr_arena *ar, struct fr_arena_mark m)
{
    ar->cur = m.chunk;
    ar->used = m.used;
}

void fr_arena_reset(struct fr_arena *ar)
{
    ar->cur = 0;
    ar->used = 0;
}

size_t fr_arena_capacity(const struct fr_arena *ar)
{
    return ar->capacity;
}
