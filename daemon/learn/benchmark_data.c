/*
 * daemon/learn/benchmark_data.c - line by line, id by id.
 */
#include "daemon/learn/benchmark_data.h"

#include <stdbool.h>
#include <string.h>

#include "daemon/base/alloc.h"

/* A text and the place in it. */
struct reader {
    struct fr_str rest;
    const char *path;
    unsigned long long line; /* of the newest line, from 1 */
    struct fr_fault *fault;
};

static enum fr_err bad_line(const struct reader *r, enum fr_err e, const char *what)
{
    return fr_fault(r->fault, e, "%s:%llu: %s", r->path, r->line, what);
}

/* The next line without its end; false at the end of the text. Empty lines are passed over. */
static bool next_line(struct reader *r, struct fr_str *out)
{
    while (r->rest.n > 0) {
        const char *nl = memchr(r->rest.p, '\n', r->rest.n);
        size_t n = nl == NULL ? r->rest.n : (size_t)(nl - r->rest.p), used = n + (nl != NULL);

        *out = (struct fr_str){r->rest.p, n};
        r->rest = (struct fr_str){r->rest.p + used, r->rest.n - used};
        r->line++;
        if (out->n > 0 && out->p[out->n - 1] == '\r')
            out->n--;
        if (out->n > 0)
            return true;
    }
    return false;
}

/* Cut the part before the first `sep` off `s`. */
static struct fr_str cut(struct fr_str *s, char sep)
{
    const char *at = s->n == 0 ? NULL : memchr(s->p, sep, s->n);
    struct fr_str head = {s->p, at == NULL ? s->n : (size_t)(at - s->p)};
    size_t used = head.n + (at != NULL);

    *s = (struct fr_str){s->p == NULL ? NULL : s->p + used, s->n - used};
    return head;
}

static enum fr_err read_id(const struct reader *r, struct fr_str s, uint32_t *out)
{
    uint64_t v = 0;
    enum fr_err e = fr_str_to_u64(s, &v);

    if (e == FR_ESYNTAX)
        return bad_line(r, e, "an id is not a whole number");
    if (e != FR_OK || v >= FR_BENCHMARK_MAX_ID)
        return bad_line(r, FR_ERANGE, "an id is 67108864 or more");
    *out = (uint32_t)v;
    return FR_OK;
}

/* Room for one more of n elements. */
static bool room(void **p, size_t n, size_t *cap, size_t size)
{
    size_t want = *cap < 1024 ? 1024 : *cap * 2;
    void *q;

    if (n < *cap)
        return true;
    q = fr_realloc_array(*p, want, size);
    if (q == NULL)
        return false;
    *p = q;
    *cap = want;
    return true;
}

/* ---- rows ---- */

static enum fr_err read_header(const struct reader *r, struct fr_str line, struct fr_benchmark_rows *out)
{
    if (!fr_str_eqz(cut(&line, ','), "label"))
        return bad_line(r, FR_ESYNTAX, "the header does not begin with `label`");
    while (line.n > 0) {
        struct fr_str name = cut(&line, ',');

        if (out->columns == FR_BENCHMARK_COLUMNS)
            return bad_line(r, FR_ETOOLARGE, "more than 64 columns");
        if (name.n == 0 || name.n >= FR_FIELD_NAME)
            return bad_line(r, FR_ESYNTAX, "a column name is empty or longer than 47 bytes");
        for (size_t i = 0; i < name.n; i++)
            if (!((name.p[i] >= 'a' && name.p[i] <= 'z') || (name.p[i] >= '0' && name.p[i] <= '9') ||
                  name.p[i] == '_'))
                return bad_line(r, FR_ESYNTAX, "a column name has other bytes than a-z, 0-9 and _");
        for (uint32_t i = 0; i < out->columns; i++)
            if (fr_str_eqz(name, out->name[i]))
                return bad_line(r, FR_EDUPLICATE, "a column name stands twice");
        memcpy(out->name[out->columns], name.p, name.n);
        out->name[out->columns++][name.n] = '\0';
    }
    return out->columns > 0 ? FR_OK : bad_line(r, FR_ESYNTAX, "the header has no column after `label`");
}

static enum fr_err grow_rows(struct fr_benchmark_rows *o)
{
    size_t want = o->cap < 1024 ? 1024 : o->cap * 2;
    uint8_t *label;
    uint32_t *id;

    if (o->n < o->cap)
        return FR_OK;
    if ((label = fr_realloc_array(o->label, want, sizeof(*label))) == NULL)
        return FR_ENOMEM;
    o->label = label;
    if ((id = fr_realloc_array(o->id, want, o->columns * sizeof(*id))) == NULL)
        return FR_ENOMEM;
    o->id = id;
    o->cap = want;
    return FR_OK;
}

enum fr_err fr_benchmark_read_rows(struct fr_str text,
                                   const char *path,
                                   struct fr_benchmark_rows *out,
                                   struct fr_fault *fault)
{
    struct reader r = {text, path, 0, fault};
    struct fr_str line;
    enum fr_err e;

    if (!next_line(&r, &line))
        return fr_fault(fault, FR_EINVAL, "%s: no header", path);
    if ((e = read_header(&r, line, out)) != FR_OK)
        return e;
    while (next_line(&r, &line)) {
        struct fr_str label = cut(&line, ',');

        if (grow_rows(out) != FR_OK)
            return bad_line(&r, FR_ENOMEM, "out of memory");
        if (!fr_str_eqz(label, "0") && !fr_str_eqz(label, "1"))
            return bad_line(&r, FR_ESYNTAX, "the label is neither 0 nor 1");
        out->label[out->n] = label.p[0] == '1';
        for (uint32_t c = 0; c < out->columns; c++) {
            if (line.n == 0)
                return bad_line(&r, FR_ESYNTAX, "fewer columns than the header");
            if ((e = read_id(&r, cut(&line, ','), &out->id[out->n * out->columns + c])) != FR_OK)
                return e;
        }
        if (line.n > 0)
            return bad_line(&r, FR_ESYNTAX, "more columns than the header");
        out->n++;
    }
    return out->n > 0 ? FR_OK : fr_fault(fault, FR_EINVAL, "%s: no rows", path);
}

/* ---- pairs, negatives, lists ---- */

static enum fr_err begin_row(const struct reader *r, struct fr_benchmark_lists *o, uint32_t user)
{
    size_t want = o->cap < 1024 ? 1024 : o->cap * 2;

    if (o->start == NULL || o->n + 1 >= o->cap) {
        uint32_t *u = fr_realloc_array(o->user, want, sizeof(*u));
        size_t *s;

        if (u != NULL)
            o->user = u;
        s = u == NULL ? NULL : fr_realloc_array(o->start, want, sizeof(*s));
        if (s == NULL)
            return bad_line(r, FR_ENOMEM, "out of memory");
        if (o->start == NULL)
            s[0] = 0;
        o->start = s;
        o->cap = want;
    }
    o->user[o->n] = user;
    o->start[o->n + 1] = o->start[o->n];
    o->n++;
    return FR_OK;
}

/* Append an item to the newest row. */
static enum fr_err add_item(const struct reader *r, struct fr_benchmark_lists *o, uint32_t item)
{
    void *p = o->item;

    if (!room(&p, o->start[o->n], &o->item_cap, sizeof(*o->item)))
        return bad_line(r, FR_ENOMEM, "out of memory");
    o->item = p;
    o->item[o->start[o->n]++] = item;
    return FR_OK;
}

static enum fr_err some(const struct fr_benchmark_lists *o, const char *path, struct fr_fault *fault)
{
    return o->n > 0 ? FR_OK : fr_fault(fault, FR_EINVAL, "%s: no rows", path);
}

enum fr_err fr_benchmark_read_pairs(struct fr_str text,
                                    const char *path,
                                    struct fr_benchmark_lists *out,
                                    struct fr_fault *fault)
{
    struct reader r = {text, path, 0, fault};
    struct fr_str line;
    enum fr_err e = FR_OK;

    while (e == FR_OK && next_line(&r, &line)) {
        struct fr_str u = cut(&line, '\t'), i = cut(&line, '\t');
        uint32_t user = 0, item = 0;

        if ((e = read_id(&r, u, &user)) == FR_OK && (e = read_id(&r, i, &item)) == FR_OK &&
            (e = begin_row(&r, out, user)) == FR_OK)
            e = add_item(&r, out, item);
    }
    return e == FR_OK ? some(out, path, fault) : e;
}

enum fr_err fr_benchmark_read_negatives(struct fr_str text,
                                        const char *path,
                                        struct fr_benchmark_lists *out,
                                        struct fr_fault *fault)
{
    struct reader r = {text, path, 0, fault};
    struct fr_str line;
    enum fr_err e = FR_OK;

    while (e == FR_OK && next_line(&r, &line)) {
        struct fr_str pair = cut(&line, '\t'), u;
        uint32_t user = 0, item = 0, negative = 0;

        if (pair.n < 2 || pair.p[0] != '(' || pair.p[pair.n - 1] != ')')
            return bad_line(&r, FR_ESYNTAX, "the line does not begin with (user,item)");
        pair = (struct fr_str){pair.p + 1, pair.n - 2};
        u = cut(&pair, ',');
        if ((e = read_id(&r, u, &user)) == FR_OK && (e = read_id(&r, pair, &item)) == FR_OK)
            e = begin_row(&r, out, user);
        while (e == FR_OK && line.n > 0)
            if ((e = read_id(&r, cut(&line, '\t'), &negative)) == FR_OK)
                e = add_item(&r, out, negative);
        if (e == FR_OK)
            e = add_item(&r, out, item);
    }
    return e == FR_OK ? some(out, path, fault) : e;
}

enum fr_err fr_benchmark_read_lists(struct fr_str text,
                                    const char *path,
                                    struct fr_benchmark_lists *out,
                                    struct fr_fault *fault)
{
    struct reader r = {text, path, 0, fault};
    struct fr_str line;
    enum fr_err e = FR_OK;

    while (e == FR_OK && next_line(&r, &line)) {
        uint32_t id = 0;

        if ((e = read_id(&r, cut(&line, ' '), &id)) == FR_OK)
            e = begin_row(&r, out, id);
        while (e == FR_OK && line.n > 0) {
            struct fr_str s = cut(&line, ' ');

            if (s.n > 0 && (e = read_id(&r, s, &id)) == FR_OK)
                e = add_item(&r, out, id);
        }
    }
    return e == FR_OK ? some(out, path, fault) : e;
}

void fr_benchmark_rows_done(struct fr_benchmark_rows *r)
{
    fr_free(r->id);
    fr_free(r->label);
    memset(r, 0, sizeof(*r));
}

void fr_benchmark_lists_done(struct fr_benchmark_lists *l)
{
    fr_free(l->user);
    fr_free(l->start);
    fr_free(l->item);
    memset(l, 0, sizeof(*l));
}
