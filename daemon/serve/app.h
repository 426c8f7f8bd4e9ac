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

/** Serve the group and watch the lanes for up to timeout_ms. @errors FR_EKAFKA, FR_ESTATE (a lane is
 *  stuck): the process must end */
FR_MUST_CHECK enum fr_err fr_app_serve(struct fr_app *app, int timeout_ms);

/** Load the models named by `next` again, and take over reloadable keys. The old models serve on
 *  when anything is refused. @errors with the reason in `fault` */
FR_MUST_CHECK enum fr_err
fr_app_reload(struct fr_app *app, const struct fr_config *next, struct fr_fault *fault);

/** Port of the HTTP server; 0 = off. */
int fr_app_http_port(const struct fr_app *app);

/** Finish in order and release everything. NULL is a no-op. */
void fr_app_stop(struct fr_app *app);

#endif
