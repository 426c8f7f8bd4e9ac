/*
 * features/store_redis_conn.c - see redis_conn.h.
 */
#include "features/store_redis_conn.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "daemon/base/alloc.h"
#include "features/store_script.h"

#define BACKOFF_MIN_MS 10
#define BACKOFF_MAX_MS 1000

static int64_t now_ms(const struct fr_redis_conn *c)
{
    return fr_clock_mono_us(&c->clock) / 1000;
}

static struct timeval to_timeval(int ms)
{
    return (struct timeval){ms / 1000, (ms % 1000) * 1000};
}

enum fr_err fr_redis_conn_init(struct fr_redis_conn *c, const char *address, struct fr_fault *fault)
{
    const char *colon = strrchr(address, ':');
    uint64_t port;

    fr_clock_init_real(&c->clock);
    c->is_unix = strncmp(address, "unix:", 5) == 0;
    if (c->is_unix) {
        if (address[5] != '/')
            return fr_fault(fault, FR_EINVAL, "redis.address: unix: needs an absolute path");
        c->host = fr_memdup0(address + 5, strlen(address + 5));
    } else {
        if (colon == NULL || colon == address || fr_str_to_u64(fr_str_z(colon + 1), &port) != FR_OK ||
            port == 0 || port > 65535)
            return fr_fault(fault, FR_EINVAL,
                            "redis.address: \"%.100s\" is neither host:port nor unix:/path", address);
        c->port = (int)port;
        c->host = fr_memdup0(address, (size_t)(colon - address));
    }
    return c->host == NULL ? fr_fault(fault, FR_ENOMEM, "out of memory") : FR_OK;
}

void fr_redis_conn_drop(struct fr_redis_conn *c)
{
    if (c->ctx == NULL)
        return;
    redisFree(c->ctx);
    c->ctx = NULL;
}

void fr_redis_conn_done(struct fr_redis_conn *c)
{
    fr_redis_conn_drop(c);
    fr_free(c->host);
    fr_free(c->user);
    if (c->password != NULL)
        memset(c->password, 0, strlen(c->password));
    fr_free(c->password);
    memset(c, 0, sizeof(*c));
}

enum fr_err
fr_redis_append(struct fr_redis_conn *c, int argc, const char **argv, const size_t *argv_n)
{
    if (c->ctx == NULL)
        return FR_EIO;
    if (redisAppendCommandArgv(c->ctx, argc, argv, argv_n) == REDIS_OK)
        return FR_OK;
    fr_redis_conn_drop(c);
    return FR_ENOMEM;
}

static bool starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Meaning of a server error; anything unknown is taken as passing. */
static enum fr_err error_code(const char *s)
{
    static const char *const refused[] = {"WRONGTYPE", "NOPERM", "NOAUTH", "WRONGPASS", "CROSSSLOT"};

    if (starts(s, "FENCED"))
        return FR_EFENCED;
    if (starts(s, "NOMETA"))
        return FR_ENOTFOUND;
    if (starts(s, "ERR Function not found"))
        return FR_ESTATE;
    if (starts(s, "BADV"))
        return FR_EINVAL;
    if (starts(s, "CORRUPT"))
        return FR_ECORRUPT;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (starts(s, refused[i]))
            return FR_EREFUSED;
    return FR_EREDIS;
}

enum fr_err fr_redis_reply(struct fr_redis_conn *c, redisReply **out)
{
    void *raw = NULL;
    redisReply *r;

    if (c->ctx == NULL)
        return FR_EIO;
    errno = 0;
    if (redisGetReply(c->ctx, &raw) != REDIS_OK || raw == NULL) {
        bool timeout = c->ctx->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK);
        fr_redis_conn_drop(c);
        return timeout ? FR_ETIMEOUT : FR_EIO;
    }
    r = raw;
    if (r->type == REDIS_REPLY_ERROR) {
        enum fr_err e = error_code(r->str);
        freeReplyObject(r);
        return e;
    }
    *out = r;
    return FR_OK;
}

/* A command whose reply only has to be no error. */
static enum fr_err simple(struct fr_redis_conn *c, int argc, const char **argv)
{
    size_t n[4];
    redisReply *r;
    enum fr_err e;

    for (int i = 0; i < argc; i++)
        n[i] = strlen(argv[i]);
    e = fr_redis_append(c, argc, argv, n);
    if (e == FR_OK)
        e = fr_redis_reply(c, &r);
    if (e == FR_OK)
        freeReplyObject(r);
    return e;
}

enum fr_err fr_redis_load_functions(struct fr_redis_conn *c)
{
    const char *argv[] = {"FUNCTION", "LOAD", "REPLACE", fr_store_script};

    return simple(c, 4, argv);
}

/* Does the server have our version of the functions? FR_ESTATE: no. */
static enum fr_err check_functions(struct fr_redis_conn *c)
{
    const char *argv[] = {"FCALL_RO", "freshet_version", "0"};
    const size_t n[] = {8, 15, 1};
    redisReply *r;
    enum fr_err e = fr_redis_append(c, 3, argv, n);

    if (e == FR_OK)
        e = fr_redis_reply(c, &r);
    if (e != FR_OK)
        return e;
    if (r->type != REDIS_REPLY_STRING || strcmp(r->str, FR_STORE_SCRIPT_VERSION) != 0)
        e = FR_ESTATE;
    freeReplyObject(r);
    return e;
}

static enum fr_err greet(struct fr_redis_conn *c)
{
    char db[16];
    const char *auth2[] = {"AUTH", c->user, c->password};
    const char *auth1[] = {"AUTH", c->password};
    const char *select[] = {"SELECT", db};
    enum fr_err e = FR_OK;

    if (c->password != NULL && c->password[0] != '\0')
        e = c->user != NULL && c->user[0] != '\0' ? simple(c, 3, auth2) : simple(c, 2, auth1);
    if (e == FR_OK && c->db != 0) {
        (void)snprintf(db, sizeof(db), "%d", c->db);
        e = simple(c, 2, select);
    }
    if (e == FR_OK) {
        e = check_functions(c);
        if (e == FR_ESTATE)
            e = fr_redis_load_functions(c);
    }
    return e;
}

enum fr_err fr_redis_conn_ready(struct fr_redis_conn *c)
{
    struct timeval connect_tv = to_timeval(c->connect_timeout_ms);
    int64_t now = now_ms(c);
    enum fr_err e;

    if (c->ctx != NULL)
        return FR_OK;
    if (now < c->next_try_ms)
        return FR_EIO;
    c->ctx = c->is_unix ? redisConnectUnixWithTimeout(c->host, connect_tv)
                        : redisConnectWithTimeout(c->host, c->port, connect_tv);
    if (c->ctx == NULL)
        return FR_ENOMEM;
    e = c->ctx->err != 0 ? FR_EIO : FR_OK;
    if (e == FR_OK && redisSetTimeout(c->ctx, to_timeval(c->command_timeout_ms)) != REDIS_OK)
        e = FR_EIO;
    if (e == FR_OK)
        e = greet(c);
    if (e == FR_OK) {
        c->backoff_ms = 0;
        c->next_try_ms = 0;
        return FR_OK;
    }
    fr_redis_conn_drop(c);
    c->backoff_ms = c->backoff_ms == 0 ? BACKOFF_MIN_MS : c->backoff_ms * 2;
    if (c->backoff_ms > BACKOFF_MAX_MS)
        c->backoff_ms = BACKOFF_MAX_MS;
    c->next_try_ms = now_ms(c) + c->backoff_ms;
    return e;
}
