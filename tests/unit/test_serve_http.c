/*
 * tests/unit/test_serve_http.c - daemon/serve/http against clients that mean no good: hostile paths,
 * wrong methods, junk, half requests, slow and many connections. Raw sockets, routes of the test's own.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "daemon/serve/http.h"
#include "tests/support/proc.h"

static struct fr_http *h;
static _Atomic int calls;
static char answer[200000];

/* The argument back, in hexadecimal, so that nothing is lost on the way. */
static void echo(void *ctx, struct fr_str arg, struct fr_http_reply *reply)
{
    (void)ctx;
    calls++;
    for (size_t i = 0; i < arg.n; i++)
        fr_buf_printf(&reply->body, "%02x", (unsigned)(unsigned char)arg.p[i]);
    fr_buf_putc(&reply->body, '\n');
}

static void plain(void *ctx, struct fr_str arg, struct fr_http_reply *reply)
{
    (void)ctx;
    ck_assert_uint_eq(arg.n, 0);
    fr_buf_puts(&reply->body, "plain\n");
}

static const struct fr_http_route routes[] = {{"/plain", plain}, {"/v1/users/", echo}};

static void setup(void)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};

    (void)signal(SIGPIPE, SIG_IGN);
    ck_assert_msg(fr_http_start("127.0.0.1", 0, routes, 2, NULL, &fault, &h) == FR_OK, "%s", fault.msg);
}

static void teardown(void)
{
    fr_http_stop(h);
}

static int dial(void)
{
    struct sockaddr_in a;
    struct timeval wait = {(time_t)(proc_deadline_ms(15000) / 1000), 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(&a, 0, sizeof(a));
    a.sin_family = AF_INET;
    a.sin_port = htons(fr_http_port(h));
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_ge(fd, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void put(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0)
            return; /* the server may have closed: its answer counts */
        p += k;
        n -= (size_t)k;
    }
}

/* Read until the server closes; into `answer`. */
static size_t drain(int fd)
{
    size_t n = 0;

    for (;;) {
        ssize_t k = recv(fd, answer + n, sizeof(answer) - 1 - n, 0);
        if (k <= 0)
            break;
        n += (size_t)k;
    }
    answer[n] = '\0';
    (void)close(fd);
    return n;
}

static int status_of(void)
{
    return strncmp(answer, "HTTP/1.", 7) == 0 ? (int)strtol(answer + 9, NULL, 10) : 0;
}

/* One request, one connection. @return the status, 0 = closed without one */
static int ask(const char *bytes, size_t n)
{
    int fd = dial();

    ck_assert_int_ge(fd, 0);
    put(fd, bytes, n);
    (void)drain(fd);
    return status_of();
}

static int get(const char *path)
{
    static char req[70000];
    int n = snprintf(req, sizeof(req), "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);

    return ask(req, (size_t)n);
}

static const struct {
    const char *path;
    int status;
    const char *hex; /* of the id the handler got; NULL = not called */
} paths[] = {
    {"/v1/users/u1", 200, "7531"},
    {"/v1/users/a%2Fb", 200, "612f62"},
    {"/v1/users/a/b", 200, "612f62"},
    {"/v1/users/..%2f..%2fetc%2fpasswd", 200, "2e2e2f2e2e2f6574632f706173737764"},
    {"/v1/users/%25s%25n", 200, "2573256e"},
    {"/v1/users/%3Fq%3D1%23x", 200, "3f713d312378"},
    {"/v1/users/u1?x=1&y=/v1/users/u2", 200, "7531"},
    {"/v1/users/%C3%BC", 200, "c3bc"},
    {"/v1/users/%ff%fe", 200, "fffe"}, /* not UTF-8: the handler decides */
    {"/v1/users/a%00b", 200, "6125303062"}, /* an encoded NUL stays text */
    {"/v1/users/a%zzb%4", 200, "61257a7a622534"},
    {"/v1/users/%0d%0aX-Evil:%201", 200, "0d0a582d4576696c3a2031"},
    {"/v1/users/%7B%22a%22%3A1%7D", 200, "7b2261223a317d"},
    {"/v1/users/", 400, NULL},
    {"/v1/users", 404, NULL},
    {"/plain/", 404, NULL},
    {"/plai", 404, NULL},
    {"//plain", 404, NULL},
    {"/", 404, NULL},
};

START_TEST(path__hostile_ids__reach_the_handler_as_data)
{
    const char *want = paths[_i].hex;

    ck_assert_msg(get(paths[_i].path) == paths[_i].status, "%s: %s", paths[_i].path, answer);
    ck_assert_int_eq(calls, want == NULL ? 0 : 1);
    if (want != NULL) {
        char line[300];
        (void)snprintf(line, sizeof(line), "\r\n\r\n%s\n", want);
        ck_assert_msg(strstr(answer, line) != NULL, "%s: %s", paths[_i].path, answer);
    }
    ck_assert_ptr_null(strstr(answer, "X-Evil"));
}
END_TEST

START_TEST(path__128_bytes_taken_129_refused__by_decoded_length)
{
    char path[1000] = "/v1/users/";
    size_t at = strlen(path);

    for (int i = 0; i < 128; i++)
        memcpy(path + at + (size_t)i * 3, "%61", 4);
    ck_assert_int_eq(get(path), 200);
    memcpy(path + at + (size_t)128 * 3, "b", 2);
    ck_assert_int_eq(get(path), 400);
    ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(path__oversized__refused_and_the_server_lives)
{
    static char path[60001];

    path[0] = '/';
    memset(path + 1, 'a', sizeof(path) - 2);
    path[sizeof(path) - 1] = '\0';
    ck_assert_int_ne(get(path), 200); /* 414, 413, 431 or a closed connection, by version */
    ck_assert_int_eq(get("/plain"), 200);
}
END_TEST

static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "BREW", "get"};

START_TEST(method__not_get_or_head__405_with_allow)
{
    char req[200];
    int n = snprintf(req, sizeof(req), "%s /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", methods[_i]);

    ck_assert_msg(ask(req, (size_t)n) == 405, "%s: %s", methods[_i], answer);
    ck_assert_ptr_nonnull(strstr(answer, "Allow: GET, HEAD"));
}
END_TEST

START_TEST(headers__of_an_answer__say_the_type_and_that_it_is_not_to_be_kept)
{
    ck_assert_int_eq(get("/plain"), 200);
    ck_assert_ptr_nonnull(strstr(answer, "\r\nContent-Type: application/json\r\n"));
    ck_assert_ptr_nonnull(strstr(answer, "\r\nCache-Control: no-store\r\n"));
}
END_TEST

START_TEST(method__head__length_without_body)
{
    static const char req[] = "HEAD /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    ck_assert_int_eq(ask(req, sizeof(req) - 1), 200);
    ck_assert_ptr_nonnull(strstr(answer, "Content-Length: 6"));
    ck_assert_ptr_null(strstr(answer, "plain\n"));
}
END_TEST

START_TEST(body__sent_with_a_request__read_and_thrown_away)
{
    static char req[90000];
    int n = snprintf(req, sizeof(req), "POST /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 80000\r\n\r\n");

    memset(req + n, 'x', 80000);
    ck_assert_int_eq(ask(req, (size_t)n + 80000), 405);
    ck_assert_int_eq(get("/plain"), 200);
}
END_TEST

START_TEST(pipelining__two_requests_then_junk__two_answers_and_no_more)
{
    static const char req[] = "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n"
                              "GET /v1/users/u1 HTTP/1.1\r\nHost: x\r\n\r\n"
                              "\x01\x02 junk \xff\xfe\r\n\r\nGET /plain\r\n\r\n";
    const char *second;

    (void)ask(req, sizeof(req) - 1);
    ck_assert_int_eq(status_of(), 200);
    second = strstr(answer + 1, "HTTP/1.1 200");
    ck_assert_ptr_nonnull(second);
    ck_assert_ptr_nonnull(strstr(second, "7531\n"));
    ck_assert_msg(strstr(second + 1, "HTTP/1.1 200") == NULL, "%s", answer);
    ck_assert_int_eq(get("/plain"), 200);
}
END_TEST

static const struct {
    const char *bytes;
    size_t n;
} junk[] = {
    {"", 0},
    {"\r\n\r\n\r\n", 6},
    {"GET\r\n\r\n", 7},
    {"GET /plain\r\n\r\n", 14},
    {"GET /plain HTTP/9.9\r\nHost: x\r\n\r\n", 32},
    {"\0\0\0\0\0\0\0\0", 8},
    {"GET /pl\0ain HTTP/1.1\r\nHost: x\r\n\r\n", 34},
    {"GET /plain HTTP/1.1\r\nHost x\r\n\r\n", 31},
    {"GET /plain HTTP/1.1\r\nContent-Length: -5\r\nHost: x\r\n\r\n", 51},
    {"GET /plain HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\nHost: x\r\n\r\n", 71},
    {"GET /plain HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\nzzzz\r\n", 66},
    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24},
};

START_TEST(junk__any__no_crash_and_others_are_served)
{
    int fd = dial();

    ck_assert_int_ge(fd, 0);
    put(fd, junk[_i].bytes, junk[_i].n);
    (void)shutdown(fd, SHUT_WR);
    (void)drain(fd);
    ck_assert_int_eq(get("/plain"), 200);
}
END_TEST

START_TEST(headers__64_kilobytes__refused)
{
    static char req[66000];
    int n = snprintf(req, sizeof(req), "GET /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: ");

    memset(req + n, 'y', 65000);
    memcpy(req + n + 65000, "\r\n\r\n", 4);
    ck_assert_int_ne(ask(req, (size_t)n + 65004), 200);
    ck_assert_int_eq(get("/plain"), 200);
}
END_TEST

START_TEST(slow_client__half_a_request__cut_off_and_nobody_waits_for_it)
{
    int fd = dial();
    int64_t t0 = proc_now_ms();

    put(fd, "GET /pla", 8);
    ck_assert_int_eq(get("/plain"), 200);
    ck_assert_int_lt((int)(proc_now_ms() - t0), (int)proc_deadline_ms(3000)); /* while the other one dawdles */
    (void)drain(fd); /* the server's own limit, 5 s, ends it */
    ck_assert_int_lt((int)(proc_now_ms() - t0), (int)proc_deadline_ms(9000));
}
END_TEST

static int open_files(void)
{
    int n = 0;

    for (int fd = 0; fd < 4096; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

START_TEST(connections__200_idle_ones__limited_and_free_again)
{
    int fd[200], open = 0, before = open_files(), taken = 0;

    for (int i = 0; i < 200; i++) {
        fd[i] = dial();
        open += fd[i] >= 0;
    }
    ck_assert_int_gt(open, 100);
    for (int i = 0; i < 100; i++) { /* the server lives in this process: what it took is an open file, too */
        int now = open_files() - before - open;
        taken = now > taken ? now : taken;
        proc_pause_ms(5);
    }
    ck_assert_int_ge(taken, 100);
    ck_assert_int_le(taken, 129);
    for (int i = 0; i < 200; i++)
        if (fd[i] >= 0)
            (void)close(fd[i]);
    for (int i = 0; i < 100 && get("/plain") != 200; i++)
        proc_pause_ms(20);
    ck_assert_int_eq(get("/plain"), 200);
}
END_TEST

START_TEST(start__bad_address_or_port_in_use__named)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_http *other = NULL;

    ck_assert_int_eq(fr_http_start("nowhere", 0, routes, 2, NULL, &fault, &other), FR_EINVAL);
    ck_assert_ptr_nonnull(strstr(fault.msg, "nowhere"));
    fault.err = FR_OK;
    ck_assert_int_eq(fr_http_start("127.0.0.1", fr_http_port(h), routes, 2, NULL, &fault, &other), FR_EIO);
    ck_assert_ptr_nonnull(strstr(fault.msg, "cannot listen"));
    ck_assert_ptr_null(other);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("serve/http");
    TCase *tc = tcase_create("clients");
    SRunner *sr;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, path__hostile_ids__reach_the_handler_as_data, 0, sizeof(paths) / sizeof(paths[0]));
    tcase_add_test(tc, path__128_bytes_taken_129_refused__by_decoded_length);
    tcase_add_test(tc, path__oversized__refused_and_the_server_lives);
    tcase_add_loop_test(tc, method__not_get_or_head__405_with_allow, 0, sizeof(methods) / sizeof(methods[0]));
    tcase_add_test(tc, headers__of_an_answer__say_the_type_and_that_it_is_not_to_be_kept);
    tcase_add_test(tc, method__head__length_without_body);
    tcase_add_test(tc, body__sent_with_a_request__read_and_thrown_away);
    tcase_add_test(tc, pipelining__two_requests_then_junk__two_answers_and_no_more);
    tcase_add_loop_test(tc, junk__any__no_crash_and_others_are_served, 0, sizeof(junk) / sizeof(junk[0]));
    tcase_add_test(tc, headers__64_kilobytes__refused);
    tcase_add_test(tc, slow_client__half_a_request__cut_off_and_nobody_waits_for_it);
    tcase_add_test(tc, connections__200_idle_ones__limited_and_free_again);
    tcase_add_test(tc, start__bad_address_or_port_in_use__named);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
