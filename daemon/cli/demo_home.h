/*
 * daemon/cli/demo_home.h - where a demo lives: a private folder, a private redis-server, a freshetd with
 * the embedded broker. All three are gone when it is released, however the demo ends.
 *
 * Layer: daemon/cli. Thread: main.
 */
#ifndef FR_CLI_DEMO_HOME_H
#define FR_CLI_DEMO_HOME_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/cli/child.h"

#define FR_DEMO_PATH 512

/** Owner: the caller's storage, zeroed; fr_demo_home_done(). */
struct fr_demo_home {
    char dir[FR_DEMO_PATH / 2];
    char config[FR_DEMO_PATH];     /* the daemon's configuration file */
    char daemon_log[FR_DEMO_PATH]; /* freshetd's log */
    char brokers[128];             /* of the embedded broker, once the daemon runs */
    int http_port;                 /* of the daemon, once it runs */
    char exe_dir[FR_DEMO_PATH / 2];
    struct fr_child redis, daemon;
};

/** What the daemon is told beyond the defaults. */
struct fr_demo_settings {
    const char *repeat;   /* recommend.repeat */
    const char *triggers; /* recommend.on, a YAML list: "[click, view]" */
    const char *types;    /* events.types */
    const char *positive; /* events.positive */
    int partitions;
    int http_port; /* 0 = a free one */
};

/** Make the folder and write the configuration. @errors FR_EIO FR_ETOOLARGE ($TMPDIR too long for a socket) */
FR_MUST_CHECK enum fr_err fr_demo_home_open(struct fr_demo_home *h,
                                            const struct fr_demo_settings *set,
                                            struct fr_fault *fault);

/** DIR/name. @return out */
const char *fr_demo_home_path(const struct fr_demo_home *h, const char *name, char out[FR_DEMO_PATH]);

/** Path of a program that was built with this one ("freshet", "freshetd"). @return out */
const char *fr_demo_home_program(const struct fr_demo_home *h, const char *name, char out[FR_DEMO_PATH]);

/**
 * Start redis-server and freshetd with the bundles in DIR/models, and wait until /readyz says yes.
 * @param since_ms  earlier events update features and publish nothing.
 * @errors FR_ENOTFOUND a program is missing; FR_ESTATE it ended (fault quotes its last words);
 *         FR_ETIMEOUT; FR_ECLOSED: a stop was asked for
 */
FR_MUST_CHECK enum fr_err
fr_demo_home_start(struct fr_demo_home *h, int64_t since_ms, struct fr_fault *fault);

/** Do redis-server and freshetd still run? @errors FR_ESTATE with the last words of the one that ended */
FR_MUST_CHECK enum fr_err fr_demo_home_check(struct fr_demo_home *h, struct fr_fault *fault);

/** Stop both (at once when a stop was asked for twice), remove the folder. Safe to call twice. */
void fr_demo_home_done(struct fr_demo_home *h);

#endif
