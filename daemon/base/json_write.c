/*
 * daemon/base/json_write.c - the JSON writer of json.h.
 */
#include "daemon/base/json.h"

#include <math.h>
#include <stdio.h>

void fr_jsonw_init(struct fr_jsonw *w, struct fr_buf *out)
{
    w->out = out;
    w->first_bits = 1;
    w->depth = 0;
    w->after_key = false;
}

/* Comma before a value or key, unless it is the first or follows its key. */
static void separate(struct fr_jsonw *w)
{
    uint64_t bit = UINT64_C(1) << w->depth;

    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if ((w->first_bits & bit) != 0)
        w->first_bits &= ~bit;
    else
        fr_buf_putc(w->out, ',');
}

static void open_container(struct fr_jsonw *w, char c)
{
    separate(w);
    fr_buf_putc(w->out, c);
    if (w->depth == 63) {
        if (w->out->err == FR_OK)
            w->out->err = FR_EINTERNAL;
        return;
    }
    w->depth++;
    w->first_bits |= UINT64_C(1) << w->depth;
}

void fr_jsonw_object(struct fr_jsonw *w)
{
    open_container(w, '{');
}

void fr_jsonw_array(struct fr_jsonw *w)
{
    open_container(w, '[');
}

void fr_jsonw_end(struct fr_jsonw *w, char close)
{
    fr_buf_putc(w->out, close);
    if (w->depth > 0)
        w->depth--;
    else if (w->out->err == FR_OK)
        w->out->err = FR_EINTERNAL;
}

static void put_escaped(struct fr_buf *out, unsigned char c)
{
    switch (c) {
    case '"':
        fr_buf_puts(out, "\\\"");
        break;
    case '\\':
        fr_buf_puts(out, "\\\\");
        break;
    case '\n':
        fr_buf_puts(out, "\\n");
        break;
    case '\r':
        fr_buf_puts(out, "\\r");
        break;
    case '\t':
        fr_buf_puts(out, "\\t");
        break;
    default:
        fr_buf_printf(out, "\\u%04x", c);
        break;
    }
}

/* Bytes of the longest valid UTF-8 sequence at p, 0 if there is none. */
static size_t valid_len(const char *p, size_t n)
{
    size_t max = n < 4 ? n : 4;

    for (size_t len = 1; len <= max; len++)
        if (fr_utf8_valid((struct fr_str){p, len}))
            return len;
    return 0;
}

static void put_string(struct fr_buf *out, struct fr_str s)
{
    size_t from = 0, i = 0;

    fr_buf_putc(out, '"');
    while (i < s.n) {
        unsigned char c = (unsigned char)s.p[i];
        size_t len = 1;

        if (c >= 0x20 && c != '"' && c != '\\' && c < 0x80) {
            i++;
            continue;
        }
        if (c >= 0x80) {
            len = valid_len(s.p + i, s.n - i);
            if (len > 0) {
                i += len;
                continue;
            }
            len = 1;
        }
        fr_buf_put(out, s.p + from, i - from);
        if (c >= 0x80)
            fr_buf_puts(out, "\xEF\xBF\xBD");
        else
            put_escaped(out, c);
        i += len;
        from = i;
    }
    fr_buf_put(out, s.p + from, i - from);
    fr_buf_putc(out, '"');
}

void fr_jsonw_keys(struct fr_jsonw *w, struct fr_str key)
{
    separate(w);
    put_string(w->out, key);
    fr_buf_putc(w->out, ':');
    w->after_key = true;
}

void fr_jsonw_key(struct fr_jsonw *w, const char *key)
{
    fr_jsonw_keys(w, fr_str_z(key));
}

void fr_jsonw_str(struct fr_jsonw *w, struct fr_str s)
{
    separate(w);
    put_string(w->out, s);
}

void fr_jsonw_z(struct fr_jsonw *w, const char *z)
{
    fr_jsonw_str(w, fr_str_z(z));
}

void fr_jsonw_i64(struct fr_jsonw *w, int64_t v)
{
    separate(w);
    fr_buf_put_i64(w->out, v);
}

void fr_jsonw_u64(struct fr_jsonw *w, uint64_t v)
{
    separate(w);
    fr_buf_put_u64(w->out, v);
}

void fr_jsonw_f64(struct fr_jsonw *w, double v)
{
    char tmp[32];

    if (!isfinite(v)) {
        fr_jsonw_null(w);
        return;
    }
    separate(w);
    fr_buf_put(w->out, tmp, fr_f64_to_str(v, tmp));
}

void fr_jsonw_f32(struct fr_jsonw *w, float v)
{
    char tmp[32];
    int n;

    if (!isfinite(v)) {
        fr_jsonw_null(w);
        return;
    }
    separate(w);
    n = snprintf(tmp, sizeof(tmp), "%.9g", (double)v);
    if (n > 0)
        fr_buf_put(w->out, tmp, (size_t)n);
}

void fr_jsonw_bool(struct fr_jsonw *w, bool v)
{
    separate(w);
    fr_buf_puts(w->out, v ? "true" : "false");
}

void fr_jsonw_null(struct fr_jsonw *w)
{
    separate(w);
    fr_buf_puts(w->out, "null");
}
