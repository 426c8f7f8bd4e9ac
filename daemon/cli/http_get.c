/*
 * daemon/cli/http_get.c - see http_get.h. HTTP/1.0: the body ends with the connection.
 */
#include "daemon/cli/http_get.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define MAX_ANSWER ((size_t)16 << 20)

static enum fr_err send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return errno == EAGAIN ? FR_ETIMEOUT : FR_EIO;
        p += k;
        n -= (size_t)k;
    }
    return FR_OK;
}

static enum fr_err receive_all(int fd, struct fr_buf *b)
{
    char chunk[8192];

    for (;;) {
        ssize_t k = recv(fd, chunk, sizeof(chunk), 0);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return errno == EAGAIN ? FR_ETIMEOUT : FR_EIO;
        if (k == 0)
            return fr_buf_err(b);
        if (b->n + (size_t)k > MAX_ANSWER)
            return FR_ETOOLARGE;
        fr_buf_put(b, chunk, (size_t)k);
    }
}

/* "HTTP/1.x NNN ...\r\n headers \r\n\r\n body": leave the body in b. */
static enum fr_err take_head(struct fr_buf *b, int *out_status)
{
    const char *end = NULL;
    size_t head;

    if (b->n < 12 || memcmp(b->p, "HTTP/1.", 7) != 0 || b->p[8] != ' ')
        return FR_ECORRUPT;
    *out_status = 0;
    for (int i = 9; i < 12; i++) {
        if (b->p[i] < '0' || b->p[i] > '9')
            return FR_ECORRUPT;
        *out_status = *out_status * 10 + (b->p[i] - '0');
    }
    for (size_t i = 12; i + 4 <= b->n && end == NULL; i++)
        if (memcmp(b->p + i, "\r\n\r\n", 4) == 0)
            end = b->p + i + 4;
    if (end == NULL)
        return FR_ECORRUPT;
    head = (size_t)(end - b->p);
    memmove(b->p, end, b->n - head);
    b->n -= head;
    return FR_OK;
}

enum fr_err fr_http_get(int port, const char *path, int timeout_ms, int *out_status, struct fr_buf *body)
{
    struct timeval tv = {timeout_ms / 1000, (timeout_ms % 1000) * 1000L};
    struct sockaddr_in at;
    char req[512];
    int n = snprintf(req, sizeof(req), "GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n", path);
    int fd;
    enum fr_err e;

    fr_buf_clear(body);
    if (n < 0 || (size_t)n >= sizeof(req))
        return FR_EINVAL;
    memset(&at, 0, sizeof(at));
    at.sin_family = AF_INET;
    at.sin_port = htons((uint16_t)port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        return FR_EIO;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) != 0)
        e = FR_EIO;
    else
        e = send_all(fd, req, (size_t)n);
    if (e == FR_OK)
        e = receive_all(fd, body);
    (void)close(fd);
    return e == FR_OK ? take_head(body, out_status) : e;
}
