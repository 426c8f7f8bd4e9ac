/*
 * tests/support/exposition.c - see exposition.h. Shares no code with daemon/metrics.c.
 */
#include "tests/support/exposition.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FAMILIES 256
#define MAX_SAMPLES 4096
#define NAME 128
#define SERIES 400

enum kind { COUNTER, GAUGE, HISTOGRAM };

struct family {
    char name[NAME];
    enum kind kind;
    bool typed;
};

/* The histogram series being read: its labels without le. */
struct series {
    char labels[SERIES];
    double bound, count, inf, sum;
    bool any, has_inf, has_sum, has_count;
};

struct page {
    struct family fam[MAX_FAMILIES];
    int n_fam;
    char *sample[MAX_SAMPLES]; /* names with labels, to find repeats */
    int n_sample;
    struct series s;
    int line;
    char *why;
    size_t cap;
};

static bool bad(struct page *p, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(p->why, p->cap, "line %d: ", p->line);

    va_start(ap, fmt);
    (void)vsnprintf(p->why + n, p->cap - (size_t)n, fmt, ap);
    va_end(ap);
    return false;
}

static bool first_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
}

/* Length of a metric or label name at s; 0 = none. */
static size_t name_length(const char *s)
{
    size_t n = 0;

    if (!first_char(s[0]))
        return 0;
    while (first_char(s[n]) || (s[n] >= '0' && s[n] <= '9'))
        n++;
    return n < NAME ? n : 0;
}

static struct family *current(struct page *p)
{
    return p->n_fam == 0 ? NULL : &p->fam[p->n_fam - 1];
}

static bool end_series(struct page *p)
{
    struct series *s = &p->s;

    if (!s->any)
        return true;
    if (!s->has_inf || !s->has_sum || !s->has_count)
        return bad(p, "histogram {%s} ends without +Inf, _sum or _count", s->labels);
    if (s->inf != s->count)
        return bad(p, "histogram {%s}: _count %g, +Inf %g", s->labels, s->count, s->inf);
    if (s->count == 0 && s->sum != 0)
        return bad(p, "histogram {%s}: sum %g of nothing", s->labels, s->sum);
    memset(s, 0, sizeof(*s));
    return true;
}

static bool on_help(struct page *p, const char *at)
{
    size_t n = name_length(at);

    if (!end_series(p))
        return false;
    if (current(p) != NULL && !current(p)->typed)
        return bad(p, "%s has HELP and no TYPE", current(p)->name);
    if (n == 0 || at[n] != ' ' || at[n + 1] == '\0')
        return bad(p, "HELP without name or text");
    for (int i = 0; i < p->n_fam; i++)
        if (strlen(p->fam[i].name) == n && memcmp(p->fam[i].name, at, n) == 0)
            return bad(p, "HELP of %s twice", p->fam[i].name);
    if (p->n_fam == MAX_FAMILIES)
        return bad(p, "too many families");
    memset(&p->fam[p->n_fam], 0, sizeof(p->fam[0]));
    memcpy(p->fam[p->n_fam++].name, at, n);
    return true;
}

static bool on_type(struct page *p, const char *at)
{
    struct family *f = current(p);
    size_t n = name_length(at);

    if (f == NULL || f->typed || strlen(f->name) != n || memcmp(f->name, at, n) != 0 || at[n] != ' ')
        return bad(p, "TYPE does not follow its HELP");
    f->typed = true;
    at += n + 1;
    f->kind = strcmp(at, "counter") == 0 ? COUNTER : strcmp(at, "gauge") == 0 ? GAUGE : HISTOGRAM;
    if (f->kind == HISTOGRAM && strcmp(at, "histogram") != 0)
        return bad(p, "unknown type %s", at);
    if (f->kind == COUNTER && (n < 6 || strcmp(f->name + n - 6, "_total") != 0))
        return bad(p, "counter %s does not end in _total", f->name);
    return true;
}

/* {name="value",...}: `rest` gets all labels but le, `le` its value. @return after '}' or NULL */
static const char *labels(struct page *p, const char *at, char rest[SERIES], char le[64])
{
    size_t m = 0;

    for (at++; *at != '}';) {
        const char *start = at, *value;
        size_t n = name_length(at), v = 0;
        bool is_le = n == 2 && memcmp(at, "le", 2) == 0;
        if (n == 0 || at[n] != '=' || at[n + 1] != '"')
            return bad(p, "broken labels") ? at : NULL;
        value = at + n + 2;
        for (at = value; *at != '"'; at++, v++) {
            if (*at == '\0' || (*at == '\\' && strchr("\\\"n", at[1]) == NULL))
                return bad(p, "broken label value") ? at : NULL;
            if (*at == '\\')
                at++;
        }
        at++;
        if (is_le)
            (void)snprintf(le, 64, "%.*s", (int)v, value);
        else
            m += (size_t)snprintf(rest + m, SERIES - m, "%.*s;", (int)(at - start), start);
        if (m >= SERIES)
            return bad(p, "labels too long") ? at : NULL;
        if (*at == ',')
            at++;
        else if (*at != '}')
            return bad(p, "broken labels") ? at : NULL;
    }
    return at + 1;
}

static bool number(const char *s, double *out)
{
    char *end;

    if (strcmp(s, "+Inf") == 0) {
        *out = HUGE_VAL;
        return true;
    }
    if (s[strspn(s, "0123456789+-.eE")] != '\0' || s[0] == '\0')
        return false;
    errno = 0;
    *out = strtod(s, &end);
    return *end == '\0' && errno == 0;
}

static bool bucket(struct page *p, const char *le, double v)
{
    struct series *s = &p->s;
    double bound;

    if (!number(le, &bound))
        return bad(p, "le=\"%s\"", le);
    if (s->has_inf || s->has_sum || s->has_count || (s->any && bound <= s->bound))
        return bad(p, "bounds do not rise, or stand after _sum");
    if (s->any && v < s->count)
        return bad(p, "counts fall at le=%s", le);
    s->bound = bound;
    s->count = v;
    if (isinf(bound)) {
        s->has_inf = true;
        s->inf = v;
    }
    s->any = true;
    return true;
}

static bool histogram(struct page *p, const char *suffix, const char *rest, const char *le, double v)
{
    struct series *s = &p->s;

    if (s->any && strcmp(s->labels, rest) != 0 && !end_series(p))
        return false;
    (void)snprintf(s->labels, sizeof(s->labels), "%s", rest);
    if (strcmp(suffix, "_bucket") == 0)
        return bucket(p, le, v);
    if (le[0] != '\0')
        return bad(p, "le outside of a bucket");
    s->any = true;
    if (strcmp(suffix, "_sum") == 0 && !s->has_sum) {
        s->has_sum = true;
        s->sum = v;
        return true;
    }
    if (strcmp(suffix, "_count") == 0 && !s->has_count) {
        s->has_count = true;
        s->count = v;
        return true;
    }
    return bad(p, "unknown or repeated histogram sample %s", suffix);
}

static bool on_sample(struct page *p, const char *at)
{
    struct family *f = current(p);
    char rest[SERIES] = "", le[64] = "", *key;
    size_t n = name_length(at), base = f == NULL ? 0 : strlen(f->name);
    const char *end = at + n;
    double v;

    if (n == 0 || f == NULL || !f->typed || n < base || memcmp(at, f->name, base) != 0)
        return bad(p, "a sample outside of its family");
    if (f->kind != HISTOGRAM && n != base)
        return bad(p, "a sample outside of its family");
    if (*end == '{')
        end = labels(p, end, rest, le);
    if (end == NULL)
        return false;
    if (*end != ' ' || !number(end + 1, &v) || v < 0)
        return bad(p, "no value, or a negative one"); /* none of our gauges is below zero either */
    if (p->n_sample == MAX_SAMPLES)
        return bad(p, "too many samples");
    key = malloc((size_t)(end - at) + 1);
    if (key == NULL)
        return bad(p, "out of memory");
    memcpy(key, at, (size_t)(end - at));
    key[end - at] = '\0';
    p->sample[p->n_sample++] = key;
    for (int i = 0; i + 1 < p->n_sample; i++)
        if (strcmp(p->sample[i], key) == 0)
            return bad(p, "%s twice", key);
    if (f->kind == HISTOGRAM) {
        char suffix[NAME];
        (void)snprintf(suffix, sizeof(suffix), "%.*s", (int)(n - base), at + base);
        return histogram(p, suffix, rest, le, v);
    }
    return f->kind == GAUGE || v == floor(v) ? true : bad(p, "a counter that is no whole number");
}

static bool on_line(struct page *p, const char *line)
{
    if (strncmp(line, "# HELP ", 7) == 0)
        return on_help(p, line + 7);
    if (strncmp(line, "# TYPE ", 7) == 0)
        return on_type(p, line + 7);
    if (line[0] == '#' || line[0] == '\0')
        return bad(p, "an empty line or a comment");
    return on_sample(p, line);
}

bool exposition_check(const char *text, char *why, size_t cap)
{
    struct page *p = calloc(1, sizeof(*p));
    bool ok = p != NULL;

    if (ok) {
        p->why = why;
        p->cap = cap;
    }
    while (ok && *text != '\0') {
        const char *nl = strchr(text, '\n');
        char line[1024];
        p->line++;
        if (nl == NULL || (size_t)(nl - text) >= sizeof(line)) {
            ok = bad(p, "no line feed at the end, or a line too long");
            break;
        }
        memcpy(line, text, (size_t)(nl - text));
        line[nl - text] = '\0';
        ok = on_line(p, line);
        text = nl + 1;
    }
    ok = ok && end_series(p);
    if (ok && (current(p) == NULL || !current(p)->typed))
        ok = bad(p, "no families, or the last has no TYPE");
    for (int i = 0; p != NULL && i < p->n_sample; i++)
        free(p->sample[i]);
    free(p);
    return ok;
}

double exposition_value(const char *text, const char *sample)
{
    size_t n = strlen(sample);

    for (const char *at = strstr(text, sample); at != NULL; at = strstr(at + 1, sample))
        if ((at == text || at[-1] == '\n') && at[n] == ' ')
            return strtod(at + n + 1, NULL);
    return -1;
}
