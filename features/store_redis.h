/*
 * features/store_redis.h - the store seam over Redis 7 or newer (functions), by hiredis.
 *
 *   <prefix>:{<group>:<partition>}:meta     hash  token, R, V, parts, aux
 *   <prefix>:{<group>:<partition>}:u:<id>   string, user record
 *   <prefix>:{<group>:<partition>}:s:<id>   string, seen record
 *   <prefix>:{<group>:<partition>}:items    hash  item id -> row (one key a partition: it can be read
 *                                           back whole with HSCAN, on a cluster too)
 *   aux in meta: MessagePack array, the offsets in [V, R) of duplicates (they did not count for items)
 *
 * A connection that failed is closed and never used again; the next call connects anew, not before a
 * back-off has passed (until then FR_EIO at once). Commands go out by argv with lengths, so ids may
 * hold any byte. The process must ignore SIGPIPE: a server that went away is an error code here.
 * Layer: features; the only file that knows hiredis. Thread: one owning thread a handle.
 */
#ifndef FR_FEATURES_STORE_REDIS_H
#define FR_FEATURES_STORE_REDIS_H

#include <stdint.h>

#include "daemon/base/err.h"
#include "features/store.h"

/** Strings are copied. */
struct fr_store_redis_config {
    const char *address;  /* "host:port" or "unix:/path" */
    const char *user;     /* nullable or "": none */
    const char *password; /* nullable or "": none; never logged */
    int db;
    const char *prefix;
    const char *group;
    int connect_timeout_ms;
    int command_timeout_ms;
};

/**
 * Make a handle; connects at the first call.
 * @errors FR_EINVAL address (fault says why), FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_store_redis_new(const struct fr_store_redis_config *cfg,
                                             struct fr_store **out_st,
                                             struct fr_fault *fault);

/** Key of a user's record, for people. buf gets a NUL-terminated text. @return its length, 0 = too
 *  long. @thread any */
size_t fr_store_redis_user_key(const char *prefix,
                               const char *group,
                               int32_t partition,
                               struct fr_str user_id,
                               char *buf,
                               size_t cap);

#endif
