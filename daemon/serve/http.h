/*
 * daemon/serve/http.h - the HTTP server: a route table over libmicrohttpd.
 *
 * Layer: the only place that knows libmicrohttpd. Handlers fill a buffer; they run on the server's
 *        thread and must take no lock that a lane holds for long.
 */
#ifndef FR_SERVE_HTTP_H
#define FR_SERVE_HTTP_H

#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/err.h"
#include "daemon/base/str.h"

/** One answer. Owner: the server; the handler fills it. */
struct fr_http_reply {
    int status;               /* preset 200 */
    const char *content_type; /* static; preset application/json */
    struct fr_buf body;
};

/**
 * One route. `path` is matched whole; if it ends with '/', it is a prefix and the rest of the path,
 * percent-decoded, 1..128 bytes, is `arg`.
 */
struct fr_http_route {
    const char *path;
    void (*handle)(void *ctx, struct fr_str arg, struct fr_http_reply *reply);
};

struct fr_http;

/**
 * Start serving GET and HEAD requests.
 * @param routes  borrowed for the server's life.
 * @param port    0 = a free one; fr_http_port() tells.
 * @errors FR_EIO (address in use, not permitted; fault names it), FR_EINVAL, FR_ENOMEM
 * @thread the owner
 */
FR_MUST_CHECK enum fr_err fr_http_start(const char *listen,
                                        uint16_t port,
                                        const struct fr_http_route *routes,
                                        int n_routes,
                                        void *ctx,
                                        struct fr_fault *fault,
                                        struct fr_http **out_http);

/** The port it listens on. @thread any */
uint16_t fr_http_port(const struct fr_http *h);

/** Stop and release; NULL is a no-op. @thread the owner */
void fr_http_stop(struct fr_http *h);

#endif
