/*
 * daemon/cli/span.c - lengths of time.
 */
#include "daemon/cli/span.h"

#include <string.h>

#include "daemon/base/str.h"

enum fr_err fr_span_parse(const char *text, int64_t *out_ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = strspn(text, "0123456789");
    uint64_t v;
    enum fr_err e = fr_str_to_u64((struct fr_str){text, digits}, &v);

    if (e != FR_OK)
        return e;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + digits, units[i].unit) != 0)
            continue;
        if (v > (uint64_t)(INT64_MAX / units[i].ms))
            return FR_ERANGE;
        *out_ms = (int64_t)v * units[i].ms;
        return FR_OK;
    }
    return FR_ESYNTAX;
}
