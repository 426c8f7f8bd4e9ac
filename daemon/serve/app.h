/*
 * daemon/serve/app.h - the whole daemon: made from a configuration, run until told to stop.
 *
 *   load config ─► topics, Redis ─► models ─► items caught up ─► lanes ─► group ─► serve
 *   stop: lanes finish ─► outputs acknowledged ─► C committed ─► leave the group ─► close
 */
#ifndef FR_SERVE_APP_H
#define FR_SERVE_APP_H

#include <stdbool.h>

#include "daemon/base/err.h"
#include "daemon/config.h"

struct fr_app;

/**
 * Connect and start everything. Threads run when it returns.
 * @param take_cfg  owned from FR_OK on (its contents are moved).
 * @errors with the reason and the remedy in `fault`
 * @thread main; signals that should stop the daemon are blocked by the caller
 */
FR_MUST_CHECK enum fr_err
fr_app_start(struct fr_config *take_cfg, struct fr_app **out_app, struct fr_fault *fault);

/** Serve the group and watch the lanes for up to timeout_ms. @errors FR_EKAFKA, FR_EREFUSED (partitions
 *  were refused too often), FR_ESTATE (a lane is stuck, do not call fr_app_stop(): it would wait for
 *  it): the process must end */
FR_MUST_CHECK enum fr_err fr_app_serve(struct fr_app *app, int timeout_ms);

/**
 * Load the models named by the new configuration again and take over the keys that can be reloaded: all
 * of it, or nothing when anything is refused (then the old ones serve on). Logs which keys changed.
 * @param take_next  its contents may be moved from FR_OK on; fr_config_done() it in any case
 * @errors FR_EREFUSED a key needs a restart; the models' own, with the reason in `fault`
 * @thread main
 */
FR_MUST_CHECK enum fr_err
fr_app_reload(struct fr_app *app, struct fr_config *take_next, struct fr_fault *fault);

/** Port of the HTTP server; 0 = off. */
int fr_app_http_port(const struct fr_app *app);

/** SIGTERM to exit, as configured. */
int64_t fr_app_shutdown_timeout_ms(const struct fr_app *app);

/** Finish in order and release everything. NULL is a no-op. */
void fr_app_stop(struct fr_app *app);

#endif
