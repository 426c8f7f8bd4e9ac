/*
 * daemon/serve/http.c - see http.h. One internal polling thread; limits on connections and time.
 */
#include "daemon/serve/http.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/base/alloc.h"

#define MAX_CONNECTIONS 128U
#define TIMEOUT_S 5U
#define CONNECTION_BYTES ((size_t)16384)
#define MAX_ARG 128

struct fr_http {
    struct MHD_Daemon *mhd;
    const struct fr_http_route *routes;
    int n_routes;
    void *ctx;
    uint16_t port;
};

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The rest of a path, which unescape() has decoded already: a '%' that is left is data. False when empty
 * or too long. */
static bool copy_arg(const char *in, char out[MAX_ARG], size_t *out_n)
{
    size_t n = strlen(in);

    if (n == 0 || n > MAX_ARG)
        return false;
    memcpy(out, in, n);
    *out_n = n;
    return true;
}

/* libmicrohttpd's unescape callback: in place; a malformed escape or an encoded NUL stays as text. */
static size_t unescape(void *cls, struct MHD_Connection *conn, char *s)
{
    char *w = s;

    (void)cls;
    (void)conn;
    for (const char *r = s; *r != '\0'; r++) {
        int hi = r[0] == '%' ? hex(r[1]) : -1;
        int lo = hi < 0 ? -1 : hex(r[2]);
        if (lo >= 0 && hi * 16 + lo != 0) {
            *w++ = (char)(hi * 16 + lo);
            r += 2;
        } else {
            *w++ = *r;
        }
    }
    *w = '\0';
    return (size_t)(w - s);
}

static enum MHD_Result
send_reply(struct MHD_Connection *conn, struct fr_http_reply *reply, const char *allow)
{
    struct MHD_Response *resp;
    enum MHD_Result rc = MHD_NO;

    if (fr_buf_err(&reply->body) != FR_OK) {
        fr_buf_clear(&reply->body);
        reply->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
    resp = MHD_create_response_from_buffer(reply->body.n, reply->body.p, MHD_RESPMEM_MUST_COPY);
    if (resp != NULL) {
        (void)MHD_add_response_header(resp, "Content-Type", reply->content_type);
        (void)MHD_add_response_header(resp, "Cache-Control", "no-store");
        if (allow != NULL)
            (void)MHD_add_response_header(resp, "Allow", allow);
        rc = MHD_queue_response(conn, (unsigned)reply->status, resp);
        MHD_destroy_response(resp);
    }
    fr_buf_done(&reply->body);
    return rc;
}

static void route(struct fr_http *h, const char *url, struct fr_http_reply *reply)
{
    for (int i = 0; i < h->n_routes; i++) {
        const char *path = h->routes[i].path;
        size_t n = strlen(path);
        char arg[MAX_ARG];
        size_t arg_n = 0;

        if (path[n - 1] != '/') {
            if (strcmp(url, path) != 0)
                continue;
        } else if (strncmp(url, path, n) != 0) {
            continue;
        } else if (!copy_arg(url + n, arg, &arg_n)) {
            reply->status = MHD_HTTP_BAD_REQUEST;
            fr_buf_puts(&reply->body, "{\"error\":\"the id in the path must have 1 to 128 bytes\"}\n");
            return;
        }
        h->routes[i].handle(h->ctx, (struct fr_str){arg, arg_n}, reply);
        return;
    }
    reply->status = MHD_HTTP_NOT_FOUND;
    fr_buf_puts(&reply->body, "{\"error\":\"no such path\"}\n");
}

static enum MHD_Result on_request(void *cls,
                                  struct MHD_Connection *conn,
                                  const char *url,
                                  const char *method,
                                  const char *version,
                                  const char *upload,
                                  size_t *upload_n,
                                  void **state)
{
    static int headers_seen; /* its address marks a connection whose headers were seen */
    struct fr_http_reply reply = {.status = MHD_HTTP_OK, .content_type = "application/json"};
    const char *allow = NULL;

    (void)version;
    (void)upload;
    if (*state == NULL) {
        *state = &headers_seen;
        return MHD_YES;
    }
    if (*upload_n != 0) {
        *upload_n = 0; /* a body is read and thrown away */
        return MHD_YES;
    }
    fr_buf_init(&reply.body);
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        reply.status = MHD_HTTP_METHOD_NOT_ALLOWED;
        allow = "GET, HEAD";
        fr_buf_puts(&reply.body, "{\"error\":\"only GET and HEAD\"}\n");
    } else {
        route(cls, url, &reply);
    }
    return send_reply(conn, &reply, allow);
}

static uint16_t bound_port(struct MHD_Daemon *mhd)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(mhd, MHD_DAEMON_INFO_BIND_PORT);

    return info == NULL ? 0 : info->port;
}

enum fr_err fr_http_start(const char *listen,
                          uint16_t port,
                          const struct fr_http_route *routes,
                          int n_routes,
                          void *ctx,
                          struct fr_fault *fault,
                          struct fr_http **out_http)
{
    struct sockaddr_in addr;
    struct fr_http *h;

    memset(&addr, 0, sizeof(addr));
    addr.sin_family = AF_INET;
    addr.sin_port = htons(port);
    if (inet_pton(AF_INET, listen, &addr.sin_addr) != 1)
        return fr_fault(fault, FR_EINVAL, "http.listen: \"%.60s\" is not an IPv4 address", listen);
    h = fr_calloc(1, sizeof(*h));
    if (h == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    h->routes = routes;
    h->n_routes = n_routes;
    h->ctx = ctx;
    h->mhd = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, port, NULL, NULL, &on_request, h,
                              MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&addr,
                              MHD_OPTION_UNESCAPE_CALLBACK, &unescape, NULL,
                              MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
                              MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S,
                              MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES, MHD_OPTION_END);
    if (h->mhd == NULL) {
        fr_free(h);
        return fr_fault(fault, FR_EIO, "http: cannot listen on %.60s:%u (in use, or not permitted)",
                        listen, (unsigned)port);
    }
    h->port = port != 0 ? port : bound_port(h->mhd);
    *out_http = h;
    return FR_OK;
}

uint16_t fr_http_port(const struct fr_http *h)
{
    return h->port;
}

void fr_http_stop(struct fr_http *h)
{
    if (h == NULL)
        return;
    MHD_stop_daemon(h->mhd);
    fr_free(h);
}
