/*
 * features/store_redis_conn.h - one hiredis connection with time-outs, back-off and checked replies.
 * Private to features/store_redis.c.
 */
#ifndef FR_FEATURES_STORE_REDIS_CONN_H
#define FR_FEATURES_STORE_REDIS_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/clock.h"
#include "daemon/base/err.h"
#include "daemon/base/str.h"

struct redisContext;
struct redisReply;

/** Owner: the store handle's storage. */
struct fr_redis_conn {
    char *host; /* or the socket's path */
    bool is_unix;
    int port;
    char *user, *password;
    int db;
    int connect_timeout_ms, command_timeout_ms;
    struct fr_clock clock;    /* real; for the back-off only */
    struct redisContext *ctx; /* NULL: not connected */
    int64_t next_try_ms;  /* monotonic */
    int64_t backoff_ms;
};

/** Parse "host:port" or "unix:/path". @errors FR_EINVAL FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_redis_conn_init(struct fr_redis_conn *c, const char *address, struct fr_fault *fault);
void fr_redis_conn_done(struct fr_redis_conn *c);

/** Connected, authenticated, database selected, functions loaded. @errors FR_EIO FR_EREDIS
 *  FR_EREFUSED */
FR_MUST_CHECK enum fr_err fr_redis_conn_ready(struct fr_redis_conn *c);

/** Close after any error: what is on the wire belongs to nobody. */
void fr_redis_conn_drop(struct fr_redis_conn *c);

/** Queue a command. @errors FR_EIO FR_ENOMEM; the connection is dropped then */
FR_MUST_CHECK enum fr_err
fr_redis_append(struct fr_redis_conn *c, int argc, const char **argv, const size_t *argv_n);

/**
 * Read one reply. A server error is turned into its code and freed; the connection stays good.
 * @param out  freeReplyObject() it; set only on FR_OK.
 * @errors FR_EIO FR_ETIMEOUT (connection dropped); FR_EFENCED FR_ENOTFOUND (NOMETA) FR_EREFUSED
 *         FR_EREDIS by the server's text; FR_ESTATE: the function is not loaded
 */
FR_MUST_CHECK enum fr_err fr_redis_reply(struct fr_redis_conn *c, struct redisReply **out);

/** Load our functions (again). */
FR_MUST_CHECK enum fr_err fr_redis_load_functions(struct fr_redis_conn *c);

#endif
