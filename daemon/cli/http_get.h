/*
 * daemon/cli/http_get.h - ask a Freshet daemon on this machine over HTTP.
 *
 * Only what commands need: GET from 127.0.0.1, one answer a connection, bounded.
 * Layer: daemon/cli. Thread: any.
 */
#ifndef FR_CLI_HTTP_GET_H
#define FR_CLI_HTTP_GET_H

#include "daemon/base/buf.h"
#include "daemon/base/err.h"

/**
 * GET http://127.0.0.1:port/path.
 * @param path        begins with '/', already percent-encoded.
 * @param out_status  the HTTP status, e.g. 200.
 * @param body        cleared, then the answer's body (at most 16 MiB).
 * @errors FR_EIO no connection, or it broke; FR_ETIMEOUT; FR_ECORRUPT not HTTP; FR_ETOOLARGE; FR_ENOMEM;
 *         FR_EINVAL the path is too long
 */
FR_MUST_CHECK enum fr_err
fr_http_get(int port, const char *path, int timeout_ms, int *out_status, struct fr_buf *body);

#endif
