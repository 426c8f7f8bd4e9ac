/*
 * features/store.h - the seam to where user state lives: Redis, or memory.
 *
 * Records are opaque bytes here (user_codec.h, seen.h and item_stats.h make them). What the store
 * adds is the protocol of DESIGN 5: a partition has an owner's token, R and V, and every write
 * checks them and lands together with the new R (or V), or not at all.
 *
 *   <prefix>:{<group>:<partition>}:meta         hash: token, R, V, parts, aux
 *   <prefix>:{<group>:<partition>}:u:<user_id>  user record
 *   <prefix>:{<group>:<partition>}:s:<user_id>  seen record
 *   <prefix>:{<group>:<partition>}:i:...        item rows (store_redis.h)
 *
 * Errors of every call: FR_EFENCED token or offset differ (another owner, or Redis lost its tail);
 * FR_EIO, FR_EREDIS, FR_ETIMEOUT passing, the caller repeats the same call; FR_EREFUSED wrong type
 * of a key, no permission; FR_ECORRUPT a reply that makes no sense; FR_ENOMEM.
 * Layer: features; includes daemon/base/ only. Thread: one owning thread a handle.
 */
#ifndef FR_FEATURES_STORE_H
#define FR_FEATURES_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/arena.h"
#include "daemon/base/err.h"
#include "daemon/base/str.h"

struct fr_store_ops;

/** Base of every implementation. */
struct fr_store {
    const struct fr_store_ops *ops;
};

/** What a take returns. */
struct fr_store_taken {
    uint64_t previous; /* token before */
    int64_t r, v;
    int32_t n_partitions; /* as stored when the group was initialised */
    struct fr_str aux;    /* in the arena; n == 0: none */
};

/** Read users of one partition. Strings given are borrowed, strings returned live in the arena. */
struct fr_store_read {
    int32_t partition;
    uint64_t token;
    int64_t r;
    uint32_t n;
    const struct fr_str *user_id;
    bool want_seen;
    struct fr_str *out_record; /* (n); p == NULL: absent */
    struct fr_str *out_seen;   /* (n); untouched without want_seen */
    enum fr_err err;           /* out: of this partition */
};

/** Commit users of one partition. */
struct fr_store_commit {
    int32_t partition;
    uint64_t token;
    int64_t r;     /* expected */
    int64_t new_r; /* >= r */
    uint32_t n;
    const struct fr_str *user_id;
    const struct fr_str *record; /* (n) */
    const struct fr_str *seen;   /* (n); p == NULL: unchanged */
    int64_t expire_ms;           /* Redis garbage collection; 0 = never */
    struct fr_str aux;           /* p == NULL: unchanged */
    enum fr_err err;             /* out: of this partition; a repeat that finds new_r is FR_OK */
};

/** Commit item rows of one partition. */
struct fr_store_commit_items {
    int32_t partition;
    uint64_t token;
    int64_t v;     /* expected */
    int64_t new_v; /* v <= new_v <= R */
    uint32_t n;
    const struct fr_str *item_id;
    const struct fr_str *row;
    struct fr_str aux; /* p == NULL: unchanged */
};

/** Facts about the server, for `doctor`. */
struct fr_store_info {
    char version[32];
    char policy[32]; /* maxmemory-policy */
    bool aof;
    bool cluster;
    int64_t time_us; /* the server's clock, since the epoch; 0 = it does not tell */
};

typedef enum fr_err (*fr_store_row_fn)(void *ctx, struct fr_str item_id, struct fr_str row);

struct fr_store_ops {
    enum fr_err (*init_group)(struct fr_store *st,
                              const int64_t *first,
                              int32_t n,
                              struct fr_fault *fault);
    enum fr_err (*take)(struct fr_store *st,
                        int32_t partition,
                        uint64_t token,
                        struct fr_arena *ar,
                        struct fr_store_taken *out);
    enum fr_err (*read)(struct fr_store *st,
                        struct fr_store_read *reqs,
                        int n,
                        struct fr_arena *ar);
    enum fr_err (*commit)(struct fr_store *st, struct fr_store_commit *reqs, int n);
    enum fr_err (*commit_items)(struct fr_store *st, const struct fr_store_commit_items *req);
    enum fr_err (*load_items)(
        struct fr_store *st, int32_t partition, uint64_t token, fr_store_row_fn row, void *ctx);
    enum fr_err (*check)(struct fr_store *st, int32_t partition, uint64_t token, int64_t r);
    enum fr_err (*get_user)(struct fr_store *st,
                            int32_t partition,
                            struct fr_str user_id,
                            struct fr_arena *ar,
                            struct fr_str *out_record,
                            struct fr_str *out_seen);
    enum fr_err (*info)(struct fr_store *st, struct fr_store_info *out);
    void (*free)(struct fr_store *st);
};

/**
 * Write R, V = first[p] and the partition count for p in [0, n) if nobody has.
 * @errors FR_EREFUSED with the remedy in `fault`: the stored partition count differs, or some
 *         partitions have no meta although others do
 */
FR_MUST_CHECK enum fr_err
fr_store_init_group(struct fr_store *st, const int64_t *first, int32_t n, struct fr_fault *fault);

/** Become the owner. token != 0. @errors FR_ENOTFOUND the group was never initialised */
FR_MUST_CHECK enum fr_err fr_store_take(struct fr_store *st,
                                        int32_t partition,
                                        uint64_t token,
                                        struct fr_arena *ar,
                                        struct fr_store_taken *out);

/** Read users of several partitions in one round trip. @return the first error that concerns all;
 *  else FR_OK with each req's own in req.err */
FR_MUST_CHECK enum fr_err
fr_store_read(struct fr_store *st, struct fr_store_read *reqs, int n, struct fr_arena *ar);

/** Commit several partitions in one round trip, each atomic in itself. As fr_store_read(). */
FR_MUST_CHECK enum fr_err fr_store_commit(struct fr_store *st, struct fr_store_commit *reqs, int n);

/** Save item rows together with V. */
FR_MUST_CHECK enum fr_err fr_store_commit_items(struct fr_store *st,
                                                const struct fr_store_commit_items *req);

/** All item rows of a partition; an error of `row` ends it and is returned. */
FR_MUST_CHECK enum fr_err fr_store_load_items(
    struct fr_store *st, int32_t partition, uint64_t token, fr_store_row_fn row, void *ctx);

/** Is the partition still mine, and is R what I think? */
FR_MUST_CHECK enum fr_err
fr_store_check(struct fr_store *st, int32_t partition, uint64_t token, int64_t r);

/** Unchecked read, for people and HTTP. p == NULL: absent. */
FR_MUST_CHECK enum fr_err fr_store_get_user(struct fr_store *st,
                                            int32_t partition,
                                            struct fr_str user_id,
                                            struct fr_arena *ar,
                                            struct fr_str *out_record,
                                            struct fr_str *out_seen);

FR_MUST_CHECK enum fr_err fr_store_info(struct fr_store *st, struct fr_store_info *out);

/** NULL is a no-op. */
void fr_store_free(struct fr_store *st);

#endif
