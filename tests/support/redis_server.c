/*
 * tests/support/redis_server.c - see redis_server.h.
 *
 * Readiness is asked for with a hand-made PING: an answer other than +PONG (-LOADING while the AOF
 * is read) means not yet.
 */
#include "tests/support/redis_server.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "tests/support/proc.h"
#include "tests/support/tmpdir.h"

#define MAX_WORDS 64

struct redis_server {
    char *dir;
    char socket[sizeof(((struct sockaddr_un *)0)->sun_path)];
    char log[160];
    char port_text[8];
    uint16_t port;
    enum redis_aof aof;
    char *extra[MAX_WORDS - 32]; /* copies, NULL-terminated */
    struct proc *child;          /* NULL when stopped */
};

bool redis_server_available(void)
{
    char out[64];
    const char *const argv[] = {"redis-server", "--version", NULL};
    return proc_run(argv, 5000, out, sizeof out) == 0;
}

static bool answers(void *arg)
{
    const struct redis_server *rs = arg;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_sec = 1};
    char reply[16] = "";
    bool ok = false;
    if (!proc_running(rs->child))
        return true; /* no use in waiting: the caller looks whether it runs */
    memcpy(a.sun_path, rs->socket, sizeof a.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && write(fd, "PING\r\n", 6) == 6)
        ok = read(fd, reply, sizeof reply - 1) >= 5 && strncmp(reply, "+PONG", 5) == 0;
    close(fd);
    return ok;
}

static bool launch(struct redis_server *rs)
{
    const char *argv[MAX_WORDS] = {"redis-server", "--unixsocket", rs->socket, "--unixsocketperm",
                                   "700",          "--port",       rs->port_text, "--bind",
                                   "127.0.0.1",    "--dir",        rs->dir,       "--save",
                                   "",             "--maxmemory-policy", "noeviction", "--daemonize",
                                   "no"};
    size_t n = 17;
    if (rs->aof != REDIS_AOF_NO) {
        argv[n++] = "--appendonly";
        argv[n++] = "yes";
        argv[n++] = "--appendfsync";
        argv[n++] = rs->aof == REDIS_AOF_ALWAYS ? "always" : "everysec";
    }
    for (size_t i = 0; rs->extra[i]; i++)
        argv[n++] = rs->extra[i];
    argv[n] = NULL;
    unlink(rs->socket);
    struct proc_opt po = {.log_path = rs->log};
    rs->child = proc_spawn(argv, &po);
    if (!rs->child)
        return false;
    if (proc_poll(answers, rs, 15000) && proc_running(rs->child))
        return true;
    const char *text = proc_output(rs->child, 1, 0);
    size_t len = strlen(text);
    fprintf(stderr, "redis_server: not ready: %s\n", len > 800 ? text + len - 800 : text);
    proc_free(rs->child);
    rs->child = NULL;
    return false;
}

static bool copy_extra(struct redis_server *rs, const char *const *extra)
{
    size_t n = 0;
    for (; extra && extra[n]; n++) {
        if (n + 1 >= sizeof rs->extra / sizeof *rs->extra)
            return false;
        rs->extra[n] = fr_memdup0(extra[n], strlen(extra[n]));
        if (!rs->extra[n])
            return false;
    }
    return true;
}

struct redis_server *redis_server_start(const struct redis_server_opt *opt)
{
    static const struct redis_server_opt none;
    if (!opt)
        opt = &none;
    struct redis_server *rs = fr_calloc(1, sizeof *rs);
    if (!rs)
        return NULL;
    rs->aof = opt->aof;
    rs->dir = tmpdir_make();
    if (!rs->dir || !tmpdir_path(rs->dir, "redis.sock", rs->socket, sizeof rs->socket) ||
        !tmpdir_path(rs->dir, "redis.log", rs->log, sizeof rs->log) || !copy_extra(rs, opt->extra)) {
        fprintf(stderr, "redis_server: no folder, or its path is too long for a unix socket\n");
        goto fail;
    }
    for (int attempt = 0; attempt < 5; attempt++) { /* another process may take the TCP port first */
        rs->port = opt->tcp ? proc_free_port() : 0;
        snprintf(rs->port_text, sizeof rs->port_text, "%u", (unsigned)rs->port);
        if (launch(rs))
            return rs;
        if (!opt->tcp)
            break;
    }
fail:
    redis_server_free(rs);
    return NULL;
}

const char *redis_server_socket(const struct redis_server *rs)
{
    return rs->socket;
}

uint16_t redis_server_port(const struct redis_server *rs)
{
    return rs->port;
}

const char *redis_server_dir(const struct redis_server *rs)
{
    return rs->dir;
}

pid_t redis_server_pid(const struct redis_server *rs)
{
    return rs->child ? proc_pid(rs->child) : 0;
}

bool redis_server_stop(struct redis_server *rs)
{
    if (!rs->child)
        return true;
    proc_signal(rs->child, SIGCONT);
    proc_signal(rs->child, SIGTERM);
    bool clean = proc_wait(rs->child, 10000) == 0;
    proc_free(rs->child);
    rs->child = NULL;
    return clean;
}

bool redis_server_kill9(struct redis_server *rs)
{
    if (!rs->child)
        return true;
    proc_free(rs->child); /* SIGKILL, and waits */
    rs->child = NULL;
    return true;
}

bool redis_server_restart(struct redis_server *rs)
{
    return redis_server_stop(rs) && launch(rs);
}

bool redis_server_freeze(struct redis_server *rs)
{
    return rs->child && proc_signal(rs->child, SIGSTOP);
}

bool redis_server_thaw(struct redis_server *rs)
{
    return rs->child && proc_signal(rs->child, SIGCONT);
}

/* Path of the newest "*.incr.aof" (Redis 7 keeps base and increments in appendonlydir/). */
static bool newest_aof(const struct redis_server *rs, char *out, size_t cap)
{
    char dir[200];
    unsigned long best = 0;
    bool found = false;
    if (!tmpdir_path(rs->dir, "appendonlydir", dir, sizeof dir))
        return false;
    DIR *d = opendir(dir);
    if (!d)
        return false;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        static const char prefix[] = "appendonly.aof.";
        if (strncmp(e->d_name, prefix, sizeof prefix - 1) != 0)
            continue;
        char *rest;
        unsigned long seq = strtoul(e->d_name + sizeof prefix - 1, &rest, 10);
        if (strcmp(rest, ".incr.aof") == 0 && seq >= best)
            found = tmpdir_path(dir, e->d_name, out, cap), best = seq;
    }
    closedir(d);
    return found;
}

int64_t redis_server_aof_bytes(const struct redis_server *rs)
{
    char path[300];
    struct stat st;
    if (!newest_aof(rs, path, sizeof path) || stat(path, &st) != 0)
        return -1;
    return (int64_t)st.st_size;
}

bool redis_server_cut_aof(struct redis_server *rs, int64_t keep)
{
    char path[300];
    return !rs->child && keep >= 0 && newest_aof(rs, path, sizeof path) &&
           truncate(path, (off_t)keep) == 0;
}

void redis_server_free(struct redis_server *rs)
{
    if (!rs)
        return;
    redis_server_kill9(rs);
    tmpdir_free(rs->dir);
    for (size_t i = 0; rs->extra[i]; i++)
        fr_free(rs->extra[i]);
    fr_free(rs);
}
