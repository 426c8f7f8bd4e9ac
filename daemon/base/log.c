/*
 * daemon/base/log.c - one write() a line, rate-limited per call site.
 */
#include "daemon/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINES_PER_SECOND 10U
#define LEFT_OUT_MAX 24 /* " left_out=4294967295" */

static _Atomic int current_level = FR_LOG_INFO;
static const char *const level_names[] = {"error", "warn", "info", "debug"};

void fr_log_set_level(enum fr_log_level l)
{
    atomic_store_explicit(&current_level, (int)l, memory_order_relaxed);
}

enum fr_log_level fr_log_level(void)
{
    return (enum fr_log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

enum fr_err fr_log_level_parse(const char *s, enum fr_log_level *out)
{
    for (int i = 0; i < 4; i++) {
        if (strcmp(s, level_names[i]) == 0) {
            *out = (enum fr_log_level)i;
            return FR_OK;
        }
    }
    return FR_EINVAL;
}

/* True if the site may write now; *out_dropped = lines left out since its last line. */
static bool admit(struct fr_log_site *site, int64_t now_s, unsigned *out_dropped)
{
    int64_t window = atomic_load_explicit(&site->window_s, memory_order_relaxed);

    *out_dropped = 0;
    if (window != now_s &&
        atomic_compare_exchange_strong(&site->window_s, &window, now_s)) {
        atomic_store_explicit(&site->in_window, 0, memory_order_relaxed);
        *out_dropped = atomic_exchange_explicit(&site->dropped, 0, memory_order_relaxed);
    }
    if (atomic_fetch_add_explicit(&site->in_window, 1, memory_order_relaxed) < LINES_PER_SECOND)
        return true;
    atomic_fetch_add_explicit(&site->dropped, 1, memory_order_relaxed);
    return false;
}

static size_t put(char *line, size_t cap, size_t at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static size_t put(char *line, size_t cap, size_t at, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line + at, cap - at, fmt, ap);
    va_end(ap);
    if (n < 0)
        return at;
    return at + (size_t)n < cap ? at + (size_t)n : cap - 1;
}

/* Nothing from outside may begin a line or speak to a terminal: C0, DEL and C1 controls become spaces. */
static void blank_controls(char *line, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)line[i];
        if (c < 0x20 || c == 0x7f) {
            line[i] = ' ';
        } else if (c == 0xC2 && i + 1 < n && ((unsigned char)line[i + 1] & 0xE0) == 0x80) {
            line[i] = ' ';
            line[i + 1] = ' ';
        }
    }
}

/* End of a text that was cut at n: the last character may be a part, so it goes too. */
static size_t cut_at_character(const char *line, size_t n)
{
    size_t end = n;

    while (end > 0 && n - end < 3 && ((unsigned char)line[end - 1] & 0xC0) == 0x80)
        end--;
    return end > 0 && (unsigned char)line[end - 1] >= 0xC0 ? end - 1 : n;
}

void fr_log_write(struct fr_log_site *site,
                  enum fr_log_level l,
                  const char *component,
                  const char *fmt,
                  ...)
{
    char line[1024];
    const size_t cap = sizeof(line) - 1;       /* room for the newline */
    const size_t text_cap = cap - LEFT_OUT_MAX; /* and for the count, whatever the text's length */
    struct timespec ts = {0, 0};
    struct tm tm;
    unsigned dropped;
    size_t at = 0;
    va_list ap;
    int n;
    ssize_t written;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    if (!admit(site, ts.tv_sec, &dropped))
        return;
    memset(&tm, 0, sizeof(tm));
    (void)gmtime_r(&ts.tv_sec, &tm);
    at = put(line, text_cap, at, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s %s ", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, ts.tv_nsec / 1000000,
             level_names[l], component);
    va_start(ap, fmt);
    n = vsnprintf(line + at, text_cap - at, fmt, ap);
    va_end(ap);
    if (n > 0 && at + (size_t)n < text_cap)
        at += (size_t)n;
    else if (n > 0)
        at = cut_at_character(line, text_cap - 1);
    if (dropped > 0)
        at = put(line, cap, at, " left_out=%u", dropped);
    blank_controls(line, at);
    line[at++] = '\n';
    written = write(STDERR_FILENO, line, at);
    (void)written;
}
