/*
 * daemon/cli/demo_home.c - see demo_home.h.
 */
#include "daemon/cli/demo_home.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/buf.h"
#include "daemon/base/file.h"
#include "daemon/cli/http_get.h"
#include "daemon/cli/stop_signal.h"

#define SOCKET_PATH_MAX 100 /* sun_path has 108 bytes */
#define START_MS 60000
#define POLL_MS 50
#define STOP_REDIS_MS 3000
#define STOP_DAEMON_MS 15000
#define LOG_MAX ((size_t)64 << 20)
#define LAST_WORDS 240

static void join(const char *dir, const char *name, char out[FR_DEMO_PATH])
{
    (void)snprintf(out, FR_DEMO_PATH, "%s/%s", dir, name);
}

const char *fr_demo_home_path(const struct fr_demo_home *h, const char *name, char out[FR_DEMO_PATH])
{
    join(h->dir, name, out);
    return out;
}

const char *fr_demo_home_program(const struct fr_demo_home *h, const char *name, char out[FR_DEMO_PATH])
{
    join(h->exe_dir, name, out);
    return out;
}

static enum fr_err find_programs(struct fr_demo_home *h, struct fr_fault *fault)
{
    ssize_t n = readlink("/proc/self/exe", h->exe_dir, sizeof(h->exe_dir) - 1);
    char *slash;

    if (n <= 0)
        return fr_fault(fault, FR_EIO, "cannot tell where this program lies: %s", strerror(errno));
    h->exe_dir[n] = '\0';
    slash = strrchr(h->exe_dir, '/');
    if (slash != NULL)
        *slash = '\0';
    return FR_OK;
}

static enum fr_err make_dir(struct fr_demo_home *h, struct fr_fault *fault)
{
    const char *tmp = getenv("TMPDIR");
    int n;

    if (tmp == NULL || tmp[0] == '\0')
        tmp = "/tmp";
    n = snprintf(h->dir, sizeof(h->dir), "%s/freshet-demo-XXXXXX", tmp);
    if (n < 0 || (size_t)n + sizeof("/redis.sock") > SOCKET_PATH_MAX) {
        h->dir[0] = '\0';
        return fr_fault(fault, FR_ETOOLARGE, "TMPDIR=%.100s is too long for a socket in it: use a shorter one", tmp);
    }
    if (mkdtemp(h->dir) == NULL) {
        h->dir[0] = '\0';
        return fr_fault(fault, FR_EIO, "no folder in %.100s: %s", tmp, strerror(errno));
    }
    return FR_OK;
}

static enum fr_err write_config(const struct fr_demo_home *h, const struct fr_demo_settings *set, struct fr_fault *fault)
{
    struct fr_buf b;
    enum fr_err e;

    fr_buf_init(&b);
    fr_buf_printf(&b,
                  "kafka:\n  brokers: embedded\n  group: demo\n  instance: demo\n  fetch_wait_max_ms: 5ms\n"
                  "topics:\n  partitions: %d\n"
                  "redis:\n  address: \"unix:%s/redis.sock\"\n"
                  "state:\n  tick_ms: 1000\n"
                  "events:\n  types: %s\n  positive: %s\n"
                  "recommend:\n  on: %s\n  repeat: %s\n"
                  "http:\n  port: %d\n",
                  set->partitions, h->dir, set->types, set->positive, set->triggers, set->repeat, set->http_port);
    e = fr_buf_err(&b);
    if (e == FR_OK)
        e = fr_file_replace(h->config, fr_buf_str(&b), fault);
    fr_buf_done(&b);
    return e;
}

enum fr_err fr_demo_home_open(struct fr_demo_home *h, const struct fr_demo_settings *set, struct fr_fault *fault)
{
    enum fr_err e;

    memset(h, 0, sizeof(*h));
    e = find_programs(h, fault);
    if (e == FR_OK)
        e = make_dir(h, fault);
    if (e != FR_OK)
        return e;
    join(h->dir, "freshet.yaml", h->config);
    join(h->dir, "freshetd.log", h->daemon_log);
    e = write_config(h, set, fault);
    if (e != FR_OK)
        fr_demo_home_done(h);
    return e;
}

/* ---- watching the children ---- */

/* The end of a log, on one line. */
static void last_words(const char *path, char *out, size_t cap)
{
    char *text;
    size_t n, from, k = 0;

    out[0] = '\0';
    if (fr_file_read(path, LOG_MAX, &text, &n, NULL) != FR_OK)
        return;
    while (n > 0 && text[n - 1] == '\n')
        n--;
    from = n > LAST_WORDS ? n - LAST_WORDS : 0;
    for (size_t i = n; i > from; i--)
        if (text[i - 1] == '\n') {
            from = i;
            break;
        }
    for (size_t i = from; i < n && k + 1 < cap; i++)
        out[k++] = (unsigned char)text[i] < 0x20 ? ' ' : text[i];
    out[k] = '\0';
    fr_free(text);
}

static enum fr_err ended(struct fr_child *c, const char *log, struct fr_fault *fault)
{
    char words[LAST_WORDS + 1];

    last_words(log, words, sizeof(words));
    return fr_fault(fault, FR_ESTATE, "%s ended with status %d: %s", c->name, c->status, words);
}

enum fr_err fr_demo_home_check(struct fr_demo_home *h, struct fr_fault *fault)
{
    char log[FR_DEMO_PATH];

    if (!fr_child_running(&h->redis))
        return ended(&h->redis, fr_demo_home_path(h, "redis.log", log), fault);
    if (!fr_child_running(&h->daemon))
        return ended(&h->daemon, h->daemon_log, fault);
    return FR_OK;
}

/* Value after "key=" in the daemon's log, up to white space. */
static bool logged(const struct fr_demo_home *h, const char *key, char *out, size_t cap)
{
    char *text;
    const char *at;
    size_t n, len = 0;

    if (fr_file_read(h->daemon_log, LOG_MAX, &text, &n, NULL) != FR_OK)
        return false;
    at = strstr(text, key);
    if (at != NULL) {
        at += strlen(key);
        len = strcspn(at, " \n\"");
        /* a line that is not whole yet does not count */
        if (len > 0 && len < cap && strchr(at, '\n') != NULL) {
            memcpy(out, at, len);
            out[len] = '\0';
        } else {
            len = 0;
        }
    }
    fr_free(text);
    return len > 0;
}

static bool redis_up(const struct fr_demo_home *h)
{
    char path[FR_DEMO_PATH];

    return access(fr_demo_home_path(h, "redis.sock", path), F_OK) == 0;
}

static bool daemon_ready(struct fr_demo_home *h)
{
    struct fr_buf body;
    char port[16];
    int status = 0;

    if (h->brokers[0] == '\0' && !logged(h, "embedded_brokers=", h->brokers, sizeof(h->brokers)))
        return false;
    if (h->http_port == 0) {
        if (!logged(h, "http_port=", port, sizeof(port)))
            return false;
        h->http_port = (int)strtol(port, NULL, 10);
    }
    fr_buf_init(&body);
    if (fr_http_get(h->http_port, "/readyz", 1000, &status, &body) != FR_OK)
        status = 0;
    fr_buf_done(&body);
    return status == 200;
}

/* Wait for redis, or for both. */
static enum fr_err wait_up(struct fr_demo_home *h, bool both, struct fr_fault *fault)
{
    char log[FR_DEMO_PATH];

    for (int waited = 0; waited < START_MS; waited += POLL_MS) {
        if (fr_stop_signal_asked())
            return fr_fault(fault, FR_ECLOSED, "stopped");
        if (!fr_child_running(&h->redis))
            return ended(&h->redis, fr_demo_home_path(h, "redis.log", log), fault);
        if (both && !fr_child_running(&h->daemon))
            return ended(&h->daemon, h->daemon_log, fault);
        if (both ? daemon_ready(h) : redis_up(h))
            return FR_OK;
        fr_stop_signal_sleep(POLL_MS);
    }
    return fr_fault(fault, FR_ETIMEOUT, "%s is not ready after %d s", both ? "freshetd" : "redis-server",
                    START_MS / 1000);
}

static enum fr_err start_redis(struct fr_demo_home *h, struct fr_fault *fault)
{
    char sock[FR_DEMO_PATH], log[FR_DEMO_PATH];
    const char *const argv[] = {"redis-server", "--port", "0", "--unixsocket",
                                fr_demo_home_path(h, "redis.sock", sock), "--unixsocketperm", "700",
                                "--dir", h->dir, "--save", "", "--appendonly", "no",
                                "--maxmemory-policy", "noeviction", NULL};

    return fr_child_start("redis-server", argv, fr_demo_home_path(h, "redis.log", log), &h->redis, fault);
}

static enum fr_err start_daemon(struct fr_demo_home *h, int64_t since_ms, struct fr_fault *fault)
{
    char program[FR_DEMO_PATH], since[64], retrieval[FR_DEMO_PATH], ranker[FR_DEMO_PATH];
    const char *const argv[] = {fr_demo_home_program(h, "freshetd", program),
                                "--config", h->config, "--set", since, "--set", retrieval, "--set", ranker, NULL};
    int a, b;

    (void)snprintf(since, sizeof(since), "recommend.since_ms=%lld", (long long)since_ms);
    a = snprintf(retrieval, sizeof(retrieval), "models.retrieval=%s/models/two_tower", h->dir);
    b = snprintf(ranker, sizeof(ranker), "models.ranker=%s/models/deepfm", h->dir);
    if (a < 0 || b < 0 || (size_t)a >= sizeof(retrieval) || (size_t)b >= sizeof(ranker))
        return fr_fault(fault, FR_ETOOLARGE, "%s: path too long", h->dir);
    return fr_child_start("freshetd", argv, h->daemon_log, &h->daemon, fault);
}

enum fr_err fr_demo_home_start(struct fr_demo_home *h, int64_t since_ms, struct fr_fault *fault)
{
    enum fr_err e = start_redis(h, fault);

    if (e == FR_OK)
        e = wait_up(h, false, fault);
    if (e == FR_OK)
        e = start_daemon(h, since_ms, fault);
    if (e == FR_OK)
        e = wait_up(h, true, fault);
    return e;
}

void fr_demo_home_done(struct fr_demo_home *h)
{
    struct fr_fault fault;

    fr_child_stop(&h->daemon, STOP_DAEMON_MS, fr_stop_signal_urgent);
    fr_child_stop(&h->redis, STOP_REDIS_MS, fr_stop_signal_urgent);
    if (h->dir[0] != '\0' && fr_file_remove_tree(h->dir, &fault) != FR_OK)
        (void)fprintf(stderr, "%s is left: %s\n", h->dir, fault.msg);
    h->dir[0] = '\0';
}
