/*
 * tests/support/redis_server.h - a real redis-server of the test's own.
 *
 * A child process with a private folder, listening on a unix socket only (no TCP port), policy
 * noeviction, no RDB snapshots. It dies with the test (proc.h) and its folder is removed (tmpdir.h).
 * The system's redis is never touched.
 *
 *     struct redis_server *rs = redis_server_start(NULL);
 *     connect to redis_server_socket(rs) ...
 *     redis_server_free(rs);
 */
#ifndef FR_TESTS_REDIS_SERVER_H
#define FR_TESTS_REDIS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** Owner: the caller. Thread: one at a time; see proc.h about the spawning thread. */
struct redis_server;

enum redis_aof {
    REDIS_AOF_NO = 0,   /* nothing survives a restart */
    REDIS_AOF_EVERYSEC, /* what `--appendonly yes` does by default */
    REDIS_AOF_ALWAYS,
};

/** All fields may be zero. */
struct redis_server_opt {
    enum redis_aof aof;
    bool tcp;                 /* also listen on 127.0.0.1, port from redis_server_port() */
    const char *const *extra; /* further command line words, NULL-terminated, e.g. "--maxmemory","8mb" */
};

/** True if a redis-server program is installed (else tests SKIP: print "SKIP redis: ..." and exit 77). */
bool redis_server_available(void);

/** Start and wait until it answers PING. NULL, with the server's last lines on standard error, on failure. */
struct redis_server *redis_server_start(const struct redis_server_opt *opt);

/** Path of the unix socket; the same after a restart. */
const char *redis_server_socket(const struct redis_server *rs);

/** TCP port when asked for, else 0; the same after a restart. */
uint16_t redis_server_port(const struct redis_server *rs);

/** Its folder (append-only files, log). */
const char *redis_server_dir(const struct redis_server *rs);

/** Process id of the running server, 0 when stopped. */
pid_t redis_server_pid(const struct redis_server *rs);

/** SIGTERM and wait (the AOF is synced). */
bool redis_server_stop(struct redis_server *rs);

/** SIGKILL and wait. */
bool redis_server_kill9(struct redis_server *rs);

/** Start again after stop or kill9, same socket, port and folder, and wait until loaded. */
bool redis_server_restart(struct redis_server *rs);

/** SIGSTOP / SIGCONT: the server hangs without closing connections. */
bool redis_server_freeze(struct redis_server *rs);
bool redis_server_thaw(struct redis_server *rs);

/** Bytes in the newest incremental append-only file; -1 if there is none. */
int64_t redis_server_aof_bytes(const struct redis_server *rs);

/**
 * Cut the newest append-only file to `keep` bytes while the server is stopped: the loss of the last
 * writes, as after a power cut with everysec. Redis drops a half command at load.
 */
bool redis_server_cut_aof(struct redis_server *rs, int64_t keep);

/** Stop at once, remove the folder, release. NULL is a no-op. */
void redis_server_free(struct redis_server *rs);

#endif
