/*
 * daemon/base/arena.h - bump allocator with the lifetime of one batch.
 *
 * Why:   stages 2-5 must not call malloc per event; the lane resets the arena once a batch. Chunks
 *        are kept over resets, so a warmed-up arena takes nothing from the system.
 *
 *   chunk 0 [used.......|free]  chunk 1 [used|free]  chunk 2 [free]
 *
 * Layer: lowest.
 */
#ifndef FR_BASE_ARENA_H
#define FR_BASE_ARENA_H

#include <stddef.h>

#include "daemon/base/err.h"
#include "daemon/base/str.h"

struct fr_arena;

/** Position to return to; valid until fr_arena_reset() or a release to an earlier mark. */
struct fr_arena_mark {
    size_t chunk;
    size_t used;
};

/**
 * @param chunk_bytes  size of a regular chunk; larger requests get a chunk of their own.
 * @param max_bytes    refuse to grow past this (0 = no limit).
 * @errors FR_ENOMEM
 * Owner: the caller; release with fr_arena_free(). Thread: one at a time.
 */
FR_MUST_CHECK enum fr_err
fr_arena_new(size_t chunk_bytes, size_t max_bytes, struct fr_arena **out_arena);

/** Release everything; NULL is a no-op. */
void fr_arena_free(struct fr_arena *ar);

/** 16-byte aligned, uninitialised; n == 0 gives a valid non-NULL pointer. NULL = out of memory or
 *  past max_bytes. Valid until fr_arena_reset() (or a release to an earlier mark). */
void *fr_arena_alloc(struct fr_arena *ar, size_t n);

/** n*size bytes, checked; 64-byte aligned (for vectors). */
void *fr_arena_array(struct fr_arena *ar, size_t n, size_t size);

/** As fr_arena_array(), zeroed. */
void *fr_arena_zarray(struct fr_arena *ar, size_t n, size_t size);

/** Copy of `s` with a terminating NUL that is not counted. out untouched on FR_ENOMEM. */
FR_MUST_CHECK enum fr_err fr_arena_dup(struct fr_arena *ar, struct fr_str s, struct fr_str *out);

struct fr_arena_mark fr_arena_mark(const struct fr_arena *ar);
void fr_arena_release(struct fr_arena *ar, struct fr_arena_mark m);

/** Forget all allocations, keep the memory. */
void fr_arena_reset(struct fr_arena *ar);

/** Bytes taken from the system. */
size_t fr_arena_capacity(const struct fr_arena *ar);

#endif
