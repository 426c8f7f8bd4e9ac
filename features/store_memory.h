/*
 * features/store_memory.h - the store seam in memory: for tests and deterministic replays.
 *
 * The data is an object of its own, so that several handles (owners, zombies) can share it, and a
 * test can take it back to an earlier moment, as a Redis does that lost its last second.
 * Layer: features; includes daemon/base/ only. Thread: any number of handles, one mutex.
 */
#ifndef FR_FEATURES_STORE_MEMORY_H
#define FR_FEATURES_STORE_MEMORY_H

#include <stdbool.h>

#include "daemon/base/err.h"
#include "features/store.h"

struct fr_store_memory_data;

/** @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_store_memory_data_new(struct fr_store_memory_data **out_data);
/** After all handles. NULL is a no-op. */
void fr_store_memory_data_free(struct fr_store_memory_data *data);

/** A handle; data is borrowed. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_store_memory_new(struct fr_store_memory_data *data, struct fr_store **out_st);

/** The next n calls of this handle fail with `err`. applied: they take effect all the same (a lost
 *  reply). */
void fr_store_memory_fail(struct fr_store *st, int n, enum fr_err err, bool applied);

/** Remember this moment, and go back to it: all or the given partition's keys roll back together. */
FR_MUST_CHECK enum fr_err fr_store_memory_snapshot(struct fr_store_memory_data *data);
FR_MUST_CHECK enum fr_err fr_store_memory_rollback(struct fr_store_memory_data *data);

/** Every key with its value, in key order. For tests. */
typedef void (*fr_store_memory_each_fn)(void *ctx, const char *key, struct fr_str value);
void fr_store_memory_each(struct fr_store_memory_data *data, fr_store_memory_each_fn each, void *ctx);

#endif
