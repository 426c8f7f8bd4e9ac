/*
 * tests/support/kafka_server.c - see kafka_server.h.
 *
 * deploy/kafka/kafka.sh prepares the folder and, with `run`, becomes the java process by exec: so the
 * broker is a direct child of the test, dies with it, and is killed by its own pid.
 */
#include "tests/support/kafka_server.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "tests/support/proc.h"
#include "tests/support/tmpdir.h"

#define SCRIPT FR_TEST_DIR "/../deploy/kafka/kafka.sh"
#define MAX_WORDS 64

struct kafka_server {
    char *dir;
    char address[64];
    char log[160];
    struct proc *child; /* NULL when stopped */
};

static char skip_reason[512];

/* First line of a file into `out`; false if there is none. */
static bool first_line(const char *path, char *out, size_t cap)
{
    char *text = tmpdir_read(path, NULL);
    if (!text)
        return false;
    snprintf(out, cap, "%.*s", (int)strcspn(text, "\n"), text);
    fr_free(text);
    return out[0] != '\0';
}

const char *kafka_server_shared(void)
{
    static char address[64];
    const char *given = getenv("FRESHET_TEST_KAFKA");
    if (given && *given)
        return given;
    if (first_line(FR_BUILD_DIR "/kafka/address", address, sizeof address))
        return address;
    if (!first_line(FR_BUILD_DIR "/kafka/skip", skip_reason, sizeof skip_reason))
        snprintf(skip_reason, sizeof skip_reason, "the fixture did not run (ctest starts it; see tests/README.md)");
    return NULL;
}

int kafka_server_require(const char *test_name)
{
    if (kafka_server_shared())
        return 0;
    printf("SKIP %s: %s\n", test_name, kafka_server_skip_reason());
    return 77;
}

const char *kafka_server_skip_reason(void)
{
    return skip_reason;
}

char *kafka_server_unique(const char *stem, char *out, size_t cap)
{
    static unsigned counter;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    snprintf(out, cap, "%s-%ld-%u-%lx", stem, (long)getpid(), ++counter,
             (unsigned long)t.tv_sec * 1000u + (unsigned long)t.tv_nsec / 1000000u);
    return out;
}

static bool launch(struct kafka_server *ks)
{
    const char *const argv[] = {SCRIPT, "run", "--dir", ks->dir, NULL};
    struct proc_opt po = {.log_path = ks->log};
    ks->child = proc_spawn(argv, &po);
    if (!ks->child)
        return false;
    if (proc_wait_text(ks->child, 1, "Kafka Server started", 60000))
        return true;
    const char *text = proc_output(ks->child, 1, 0);
    size_t len = strlen(text);
    fprintf(stderr, "kafka_server: not ready: %s\n", len > 3000 ? text + len - 3000 : text);
    proc_free(ks->child);
    ks->child = NULL;
    return false;
}

/* Make the folder with its config; on failure skip_reason holds what the script said. */
static bool prepare(struct kafka_server *ks, const char *const *properties)
{
    const char *argv[MAX_WORDS] = {SCRIPT, "prepare", "--dir", ks->dir};
    size_t n = 4;
    for (size_t i = 0; properties && properties[i]; i++) {
        if (n + 3 > MAX_WORDS)
            return false;
        argv[n++] = "--set";
        argv[n++] = properties[i];
    }
    char path[200];
    struct proc *p = proc_spawn(argv, NULL);
    int rc = p ? proc_wait(p, 300000) : -1;
    if (rc != 0)
        snprintf(skip_reason, sizeof skip_reason, "%.*s", (int)sizeof skip_reason - 1,
                 p ? proc_output(p, 2, 0) : "kafka.sh cannot run");
    proc_free(p);
    return rc == 0 && tmpdir_path(ks->dir, "address", path, sizeof path) &&
           first_line(path, ks->address, sizeof ks->address);
}

struct kafka_server *kafka_server_start(const struct kafka_server_opt *opt)
{
    static const struct kafka_server_opt none;
    if (!opt)
        opt = &none;
    for (int attempt = 0; attempt < 3; attempt++) { /* another process may take the port first */
        struct kafka_server *ks = fr_calloc(1, sizeof *ks);
        if (!ks)
            return NULL;
        ks->dir = tmpdir_make();
        if (ks->dir && tmpdir_path(ks->dir, "server.log", ks->log, sizeof ks->log) &&
            prepare(ks, opt->properties) && launch(ks))
            return ks;
        kafka_server_free(ks);
        if (skip_reason[0]) {
            fprintf(stderr, "kafka_server: %s\n", skip_reason);
            return NULL;
        }
    }
    return NULL;
}

const char *kafka_server_bootstrap(const struct kafka_server *ks)
{
    return ks->address;
}

const char *kafka_server_dir(const struct kafka_server *ks)
{
    return ks->dir;
}

pid_t kafka_server_pid(const struct kafka_server *ks)
{
    return ks->child ? proc_pid(ks->child) : 0;
}

bool kafka_server_stop(struct kafka_server *ks)
{
    if (!ks->child)
        return true;
    proc_signal(ks->child, SIGTERM);
    bool clean = proc_wait(ks->child, 20000) >= 0;
    proc_free(ks->child);
    ks->child = NULL;
    return clean;
}

bool kafka_server_kill9(struct kafka_server *ks)
{
    if (!ks->child)
        return true;
    proc_free(ks->child); /* SIGKILL, and waits */
    ks->child = NULL;
    return true;
}

bool kafka_server_restart(struct kafka_server *ks)
{
    return kafka_server_stop(ks) && launch(ks);
}

void kafka_server_free(struct kafka_server *ks)
{
    if (!ks)
        return;
    kafka_server_kill9(ks);
    tmpdir_free(ks->dir);
    fr_free(ks);
}
