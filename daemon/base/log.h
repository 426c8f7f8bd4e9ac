/*
 * daemon/base/log.h - one line a fact: `2026-01-02T03:04:05.678Z warn kafka key=value ...`.
 *
 * Rules: only daemon/ logs. No payloads above debug. Rate-limited per call site: 10 lines a second,
 *        then `left_out=N` in the next one that is written. A line has at most 1024 bytes, is cut at a
 *        character, holds no control characters, and goes to standard error in one write().
 * Layer: lowest.
 */
#ifndef FR_BASE_LOG_H
#define FR_BASE_LOG_H

#include <stdatomic.h>
#include <stdint.h>

#include "daemon/base/err.h"

enum fr_log_level { FR_LOG_ERROR, FR_LOG_WARN, FR_LOG_INFO, FR_LOG_DEBUG };

/** State of one call site; static, zero-initialised by the macro. */
struct fr_log_site {
    _Atomic int64_t window_s;
    _Atomic uint32_t in_window;
    _Atomic uint32_t dropped;
};

void fr_log_set_level(enum fr_log_level l);
enum fr_log_level fr_log_level(void);
/** Parse "error", "warn", "info", "debug". */
FR_MUST_CHECK enum fr_err fr_log_level_parse(const char *s, enum fr_log_level *out);

/** @thread any, not from signal handlers */
void fr_log_write(struct fr_log_site *site,
                  enum fr_log_level l,
                  const char *component,
                  const char *fmt,
                  ...) FR_PRINTF(4, 5);

#define fr_log(l, component, ...)                                                                  \
    do {                                                                                           \
        static struct fr_log_site fr_log_site_;                                                    \
        if ((l) <= fr_log_level())                                                                 \
            fr_log_write(&fr_log_site_, (l), (component), __VA_ARGS__);                            \
    } while (0)

#endif
