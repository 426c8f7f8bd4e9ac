/*
 * daemon/cli/delimited.c - see delimited.h. Fields without quotes point into the text; the others are
 * copied into a buffer that is made large enough before, so that it never moves within a record.
 */
#include "daemon/cli/delimited.h"

#include <string.h>

#include "daemon/base/alloc.h"

void fr_delimited_init(struct fr_delimited *d, struct fr_str text, struct fr_str separator, bool quotes)
{
    memset(d, 0, sizeof(*d));
    d->rest = text;
    d->separator = separator;
    d->quotes = quotes;
    d->line = 1;
}

static void advance(struct fr_delimited *d, size_t n)
{
    for (size_t i = 0; i < n; i++)
        d->line += d->rest.p[i] == '\n';
    d->rest.p += n;
    d->rest.n -= n;
}

/* Skip what is left of the line. */
static void skip_line(struct fr_delimited *d)
{
    const char *nl = d->rest.n == 0 ? NULL : memchr(d->rest.p, '\n', d->rest.n);

    advance(d, nl == NULL ? d->rest.n : (size_t)(nl - d->rest.p) + 1);
}

static bool at_separator(const struct fr_delimited *d, size_t at)
{
    return d->rest.n - at >= d->separator.n && memcmp(d->rest.p + at, d->separator.p, d->separator.n) == 0;
}

/* Bytes of the line end at `at`: 0 = none here. */
static size_t line_end(const struct fr_delimited *d, size_t at)
{
    if (at < d->rest.n && d->rest.p[at] == '\n')
        return 1;
    if (at + 1 < d->rest.n && d->rest.p[at] == '\r' && d->rest.p[at + 1] == '\n')
        return 2;
    return 0;
}

/* Length of the record: up to a line end outside of quotes. @return false: longer than allowed */
static bool measure(const struct fr_delimited *d, size_t *out)
{
    bool inside = false;
    size_t i = 0;

    for (; i < d->rest.n && i <= FR_DELIMITED_RECORD; i++) {
        if (d->quotes && d->rest.p[i] == '"')
            inside = !inside;
        else if (!inside && d->rest.p[i] == '\n')
            break;
    }
    *out = i;
    return i <= FR_DELIMITED_RECORD;
}

/* A field in quotes, from the byte after the opening one; *at ends behind the closing one. */
static enum fr_err quoted(struct fr_delimited *d, size_t *at, size_t end, struct fr_str *out)
{
    size_t from = d->n_text;

    for (size_t i = *at; i < end; i++) {
        if (d->rest.p[i] != '"') {
            d->text[d->n_text++] = d->rest.p[i];
        } else if (i + 1 < end && d->rest.p[i + 1] == '"') {
            d->text[d->n_text++] = '"';
            i++;
        } else {
            *at = i + 1;
            *out = (struct fr_str){d->text + from, d->n_text - from};
            return FR_OK;
        }
    }
    return FR_ESYNTAX;
}

static enum fr_err plain(struct fr_delimited *d, size_t *at, size_t end, struct fr_str *out)
{
    size_t i = *at;

    while (i < end && !at_separator(d, i) && !(line_end(d, i) > 0)) {
        if (d->quotes && d->rest.p[i] == '"')
            return FR_ESYNTAX;
        i++;
    }
    *out = (struct fr_str){d->rest.p + *at, i - *at};
    *at = i;
    return FR_OK;
}

static enum fr_err fields(struct fr_delimited *d, size_t end)
{
    size_t at = 0;

    for (;;) {
        struct fr_str f;
        enum fr_err e;
        if (d->n_fields == FR_DELIMITED_FIELDS)
            return FR_ETOOLARGE;
        if (d->quotes && at < end && d->rest.p[at] == '"') {
            at++;
            e = quoted(d, &at, end, &f);
        } else {
            e = plain(d, &at, end, &f);
        }
        if (e != FR_OK)
            return e;
        d->field[d->n_fields++] = f;
        if (at >= end || line_end(d, at) > 0)
            return FR_OK;
        if (!at_separator(d, at))
            return FR_ESYNTAX; /* text after a closing quote */
        at += d->separator.n;
        if (at > end)
            return FR_ESYNTAX;
    }
}

enum fr_err fr_delimited_next(struct fr_delimited *d)
{
    size_t end;
    enum fr_err e;

    while (d->rest.n > 0 && line_end(d, 0) > 0)
        advance(d, line_end(d, 0));
    d->at = d->line;
    d->n_fields = 0;
    d->n_text = 0;
    if (d->rest.n == 0)
        return FR_ENOTFOUND;
    if (!measure(d, &end)) {
        skip_line(d);
        return FR_ETOOLARGE;
    }
    if (end > d->cap) {
        char *p = fr_realloc_array(d->text, end, 1);
        if (p == NULL)
            return FR_ENOMEM;
        d->text = p;
        d->cap = end;
    }
    e = fields(d, end);
    if (e == FR_OK)
        advance(d, end);
    else
        skip_line(d);
    return e;
}

void fr_delimited_done(struct fr_delimited *d)
{
    fr_free(d->text);
    d->text = NULL;
}
