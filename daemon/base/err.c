/*
 * daemon/base/err.c - tables made from err.def.
 */
#include "daemon/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
#define X(name, label, text, retriable) "FR_" #name,
#include "daemon/base/err.def"
#undef X
};

static const char *const labels[] = {
#define X(name, label, text, retriable) label,
#include "daemon/base/err.def"
#undef X
};

static const char *const texts[] = {
#define X(name, label, text, retriable) text,
#include "daemon/base/err.def"
#undef X
};

static const bool retriables[] = {
#define X(name, label, text, retriable) (retriable) != 0,
#include "daemon/base/err.def"
#undef X
};

static bool known(enum fr_err e)
{
    return (int)e >= 0 && e < FR_ERR_COUNT;
}

const char *fr_err_name(enum fr_err e)
{
    return known(e) ? names[e] : "FR_E?";
}

const char *fr_err_label(enum fr_err e)
{
    return known(e) ? labels[e] : "unknown";
}

const char *fr_err_text(enum fr_err e)
{
    return known(e) ? texts[e] : "unknown error";
}

bool fr_err_retriable(enum fr_err e)
{
    return known(e) && retriables[e];
}

enum fr_err
fr_fault_set(struct fr_fault *f, enum fr_err e, const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    int n;

    if (f == NULL)
        return e;
    f->err = e;
    f->src_file = file;
    f->src_line = line;
    va_start(ap, fmt);
    n = vsnprintf(f->msg, sizeof(f->msg), fmt, ap);
    va_end(ap);
    if (n < 0) {
        f->msg[0] = '\0';
    } else if ((size_t)n >= sizeof(f->msg)) {
        size_t end = sizeof(f->msg) - 1;
        while (end > 0 && ((unsigned char)f->msg[end - 1] & 0xC0) == 0x80)
            end--;
        if (end > 0 && (unsigned char)f->msg[end - 1] >= 0xC0)
            end--;
        f->msg[end] = '\0';
    }
    return e;
}
