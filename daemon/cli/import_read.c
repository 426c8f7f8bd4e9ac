/*
 * daemon/cli/import_read.c - see import_read.h.
 */
#include "daemon/cli/import_read.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/base/json.h"
#include "daemon/cli/delimited.h"
#include "daemon/cli/import_time.h"
#include "daemon/cli/stop_signal.h"

#define MAX_FILE ((size_t)8 << 30)
#define ID_MAX 128
#define TITLE_MAX 512
#define CATEGORIES_MAX 16
#define DAY_MS 86400000

/* One file being read. */
struct pass {
    struct fr_import_read *r;
    struct fr_import_rows *rows;
    const struct fr_import_table *table;
    char name[FR_IMPORT_TEXT + 32]; /* the file's */
    int n;                          /* of {n}, or the file's place among several */
    bool numbered;                  /* there is more than one file */
    int n_columns;                  /* of the header; 0 = there is none */
    struct fr_delimited d;
    struct fr_buf utf8; /* the newest latin1 field as UTF-8 */
    struct fr_fault *fault;
};

/* A record's fault, or FR_OK. */
static enum fr_err bad(struct pass *p, const char *field, const char *why)
{
    if (p->r->strict)
        return fr_fault(p->fault, FR_ESCHEMA, "%s:%llu: %s: %s", p->name, (unsigned long long)p->d.at, field, why);
    if (p->r->bad++ < FR_IMPORT_BAD_SHOWN && !p->r->quiet)
        (void)fprintf(stderr, "%s:%llu: %s: %s\n", p->name, (unsigned long long)p->d.at, field, why);
    return FR_EAGAIN; /* go on with the next record */
}

/* ---- columns ---- */

static enum fr_err find_column(struct pass *p, struct fr_import_column *c)
{
    if (c->name[0] == '\0')
        return FR_OK;
    for (int i = 0; i < p->d.n_fields; i++)
        if (fr_str_eqz(p->d.field[i], c->name)) {
            c->at = i;
            return FR_OK;
        }
    return fr_fault(p->fault, FR_ESCHEMA, "%s: no column \"%s\" in its header", p->name, c->name);
}

/* Names become numbers by the header line. */
static enum fr_err find_columns(struct pass *p, struct fr_import_column *const *c, int n)
{
    enum fr_err e = FR_OK;

    p->n_columns = 0;
    if (p->table->header) {
        e = fr_delimited_next(&p->d);
        if (e != FR_OK)
            return fr_fault(p->fault, FR_ESCHEMA, "%s: no header line", p->name);
        p->n_columns = p->d.n_fields;
    } else {
        for (int i = 0; i < n; i++)
            if (c[i]->name[0] != '\0')
                return fr_fault(p->fault, FR_ESCHEMA, "%s: column \"%s\", but the file has no header", p->name,
                                c[i]->name);
    }
    for (int i = 0; i < n && e == FR_OK; i++)
        e = find_column(p, c[i]);
    return e;
}

/* The field, or n == 0 when the column is not given or not in this record. */
static struct fr_str field(const struct pass *p, const struct fr_import_column *c)
{
    return c->at < 0 || c->at >= p->d.n_fields ? (struct fr_str){NULL, 0} : p->d.field[c->at];
}

/* As UTF-8 in the rows' buffer. @return false: too long, not UTF-8, or with control characters */
static bool text_of(struct pass *p, struct fr_str s, size_t max, struct fr_import_ref *out)
{
    fr_buf_clear(&p->utf8);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x80 || !p->table->latin1) {
            fr_buf_putc(&p->utf8, (char)c);
        } else {
            fr_buf_putc(&p->utf8, (char)(0xc0 | (c >> 6)));
            fr_buf_putc(&p->utf8, (char)(0x80 | (c & 0x3f)));
        }
    }
    s = fr_buf_str(&p->utf8);
    if (fr_buf_err(&p->utf8) != FR_OK || s.n > max || !fr_utf8_valid(s))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    *out = fr_import_rows_text(p->rows, s);
    return true;
}

static enum fr_err id_of(struct pass *p, const struct fr_import_column *c, const char *what, struct fr_import_ref *out)
{
    struct fr_str s = field(p, c);

    if (s.n == 0)
        return bad(p, what, "empty");
    return text_of(p, s, ID_MAX, out) ? FR_OK : bad(p, what, "not UTF-8 text of at most 128 bytes");
}

/* ---- events ---- */

/* The type: by the rules, by its column, or the constant one; n == 0 = left out. */
static enum fr_err type_of(struct pass *p, struct fr_import_ref *out)
{
    const struct fr_import_map *m = p->r->map;
    struct fr_str column = field(p, &m->type_column);

    for (int i = 0; i < m->n_rules; i++) {
        bool holds;
        if (fr_import_rule_holds(&m->rule[i], field(p, &m->rule[i].column), &holds) != FR_OK)
            return bad(p, "events.rule", "the column is no number");
        if (!holds)
            continue;
        if (strcmp(m->rule[i].type, "skip") == 0)
            *out = (struct fr_import_ref){0, 0};
        else
            *out = fr_import_rows_text(p->rows, fr_str_z(m->rule[i].type));
        return FR_OK;
    }
    if (column.n > 0)
        return text_of(p, column, ID_MAX, out) && !fr_str_eqz(fr_import_rows_str(p->rows, *out), "impressions")
                   ? FR_OK
                   : bad(p, "events.type_column", "not UTF-8 text of at most 128 bytes, or impressions");
    if (m->type[0] == '\0')
        return bad(p, "events.type", "no rule holds, and there is no type");
    *out = fr_import_rows_text(p->rows, fr_str_z(m->type));
    return FR_OK;
}

static bool filtered(const struct pass *p)
{
    const struct fr_import_map *m = p->r->map;
    int64_t u;

    for (int i = 0; i < m->n_require; i++)
        if (field(p, &m->require[i]).n == 0)
            return true;
    if (p->r->user_from == 0 && p->r->user_to == 0)
        return false;
    return fr_str_to_i64(field(p, &m->user), &u) != FR_OK || u < p->r->user_from || u > p->r->user_to;
}

/* Made from file and line when the data has none: the same record always gets the same id. */
static enum fr_err event_id(struct pass *p, struct fr_import_event *ev)
{
    char made[64];
    int n;

    if (field(p, &p->r->map->id).n > 0)
        return id_of(p, &p->r->map->id, "events.id", &ev->id);
    n = p->numbered ? snprintf(made, sizeof(made), "f%d-%llu", p->n, (unsigned long long)p->d.at)
                                            : snprintf(made, sizeof(made), "l%llu", (unsigned long long)p->d.at);
    ev->id = fr_import_rows_text(p->rows, (struct fr_str){made, (size_t)n});
    return FR_OK;
}

static enum fr_err event_record(struct pass *p)
{
    const struct fr_import_map *m = p->r->map;
    struct fr_import_event ev = {0};
    enum fr_err e;

    if (filtered(p)) {
        p->r->left_out++;
        return FR_OK;
    }
    e = type_of(p, &ev.type);
    if (e == FR_OK && ev.type.n == 0)
        p->r->left_out++;
    if (e != FR_OK || ev.type.n == 0)
        return e;
    e = id_of(p, &m->user, "events.user", &ev.user);
    if (e == FR_OK)
        e = id_of(p, &m->item, "events.item", &ev.item);
    if (e == FR_OK)
        e = event_id(p, &ev);
    if (e != FR_OK)
        return e;
    if (!m->spread && fr_import_time(field(p, &m->time), m->time_format, &ev.ts) != FR_OK)
        return bad(p, "events.time", "not in events.time_format");
    if (field(p, &m->value).n > 0) {
        ev.has_value = true;
        if (fr_str_to_f64(field(p, &m->value), &ev.value) != FR_OK)
            return bad(p, "events.value", "not a number");
    }
    return fr_import_rows_event(p->rows, &ev);
}

/* ---- items ---- */

static enum fr_err category(struct pass *p, struct fr_str name, struct fr_import_item *it, int *n)
{
    struct fr_import_ref r;

    if (name.n == 0 || *n == CATEGORIES_MAX)
        return FR_OK;
    if (!text_of(p, name, ID_MAX, &r))
        return bad(p, "items.categories", "not UTF-8 text of at most 128 bytes");
    (void)fr_import_rows_text(p->rows, (struct fr_str){"\n", 1});
    if ((*n)++ == 0)
        it->categories.at = r.at;
    it->categories.n += r.n + 1;
    return FR_OK;
}

static enum fr_err categories(struct pass *p, struct fr_import_item *it)
{
    const struct fr_import_map *m = p->r->map;
    struct fr_str rest = field(p, &m->categories);
    size_t sep = strlen(m->category_separator);
    enum fr_err e = FR_OK;
    int n = 0;

    while (rest.n > 0 && e == FR_OK) {
        size_t len = 0;
        while (len < rest.n && (rest.n - len < sep || memcmp(rest.p + len, m->category_separator, sep) != 0))
            len++;
        e = category(p, (struct fr_str){rest.p, len}, it, &n);
        len = len + sep < rest.n ? len + sep : rest.n;
        rest.p += len;
        rest.n -= len;
    }
    for (int i = m->flag_from; i >= 0 && i <= m->flag_to && e == FR_OK; i++) {
        struct fr_import_column c = {i, ""};
        if (fr_str_eqz(field(p, &c), "1"))
            e = category(p, fr_str_z(m->flag_name[i - m->flag_from]), it, &n);
    }
    return e;
}

static enum fr_err item_record(struct pass *p)
{
    const struct fr_import_map *m = p->r->map;
    struct fr_import_item it = {0};
    enum fr_err e = id_of(p, &m->item_id, "items.id", &it.id);

    if (e == FR_OK)
        e = categories(p, &it);
    if (e != FR_OK)
        return e;
    if (!text_of(p, field(p, &m->title), TITLE_MAX, &it.title))
        return bad(p, "items.title", "not UTF-8 text of at most 512 bytes");
    if (!text_of(p, field(p, &m->brand), ID_MAX, &it.brand))
        return bad(p, "items.brand", "not UTF-8 text of at most 128 bytes");
    if (field(p, &m->price).n > 0) {
        it.has_price = true;
        if (fr_str_to_f64(field(p, &m->price), &it.price) != FR_OK || it.price < 0)
            return bad(p, "items.price", "not a number of at least 0");
    }
    return fr_import_rows_item(p->rows, &it);
}

/* ---- files ---- */

/* A byte order mark is no part of the first field. */
static struct fr_str without_mark(struct fr_str s)
{
    if (s.n >= 3 && memcmp(s.p, "\xef\xbb\xbf", 3) == 0)
        return (struct fr_str){s.p + 3, s.n - 3};
    return s;
}

static enum fr_err records(struct pass *p, enum fr_err (*take)(struct pass *))
{
    enum fr_err e = FR_OK;

    while (e == FR_OK || e == FR_EAGAIN) {
        e = fr_delimited_next(&p->d);
        if (e == FR_ENOTFOUND)
            return FR_OK;
        if (e == FR_ESYNTAX)
            e = bad(p, "record", "quotes do not match");
        else if (e == FR_ETOOLARGE)
            e = bad(p, "record", "over 256 fields or 1 MiB");
        else if (e == FR_OK && p->n_columns > 0 && p->d.n_fields != p->n_columns)
            e = bad(p, "record", "not as many fields as the header has"); /* else columns would be taken for others */
        else if (e == FR_OK)
            e = take(p);
        if (fr_stop_signal_asked())
            return fr_fault(p->fault, FR_ECLOSED, "stopped");
    }
    return p->fault != NULL && p->fault->err != FR_OK ? e : fr_fault(p->fault, e, "%s: %s", p->name, fr_err_text(e));
}

static enum fr_err one_file(struct pass *p,
                            struct fr_import_column *const *columns,
                            int n_columns,
                            enum fr_err (*take)(struct pass *))
{
    char path[1024], *text;
    size_t n;
    int len = snprintf(path, sizeof(path), "%s/%s", p->r->dir, p->name);
    enum fr_err e;

    if (len < 0 || (size_t)len >= sizeof(path))
        return fr_fault(p->fault, FR_ETOOLARGE, "%.200s: the path is too long", p->r->dir);
    e = fr_file_read(path, MAX_FILE, &text, &n, p->fault);
    if (e != FR_OK)
        return e;
    fr_delimited_init(&p->d, without_mark((struct fr_str){text, n}), fr_str_z(p->table->separator), p->table->quotes);
    e = find_columns(p, columns, n_columns);
    if (e == FR_OK)
        e = records(p, take);
    fr_delimited_done(&p->d);
    fr_free(text);
    return e;
}

/* Times evenly over the day of file n. */
static void spread(struct pass *p, uint64_t from)
{
    uint64_t n = p->rows->n_events - from;

    for (uint64_t i = 0; i < n; i++)
        p->rows->event[from + i].ts =
            p->r->map->day0_ms + (int64_t)p->n * DAY_MS + (int64_t)((double)i * (double)DAY_MS / (double)n);
}

/* p->name: file p->n of the table, or with p->n for {n}. */
static void name_file(struct pass *p)
{
    const char *name = p->table->file[p->table->n_files > 1 ? p->n : 0], *mark = strstr(name, "{n}");

    if (mark == NULL)
        (void)snprintf(p->name, sizeof(p->name), "%s", name);
    else
        (void)snprintf(p->name, sizeof(p->name), "%.*s%d%s", (int)(mark - name), name, p->n, mark + 3);
}

static enum fr_err event_files(struct pass *p)
{
    struct fr_import_map m = *p->r->map; /* column numbers are found anew in each header */
    struct fr_import_column *columns[6 + FR_IMPORT_RULES + 4] = {&m.user, &m.item, &m.value,
                                                                 &m.id,   &m.time, &m.type_column};
    const struct fr_import_map *given = p->r->map;
    bool mark = strstr(m.events.file[0], "{n}") != NULL;
    int n_columns = 6, from = mark ? p->r->n_from : 0, to = mark ? p->r->n_to : m.events.n_files - 1;
    enum fr_err e = FR_OK;

    for (int i = 0; i < m.n_rules; i++)
        columns[n_columns++] = &m.rule[i].column;
    for (int i = 0; i < m.n_require; i++)
        columns[n_columns++] = &m.require[i];
    p->r->map = &m;
    p->table = &m.events;
    p->numbered = mark || m.events.n_files > 1;
    for (p->n = from; p->n <= to && e == FR_OK; p->n++) {
        uint64_t before = p->rows->n_events;
        name_file(p);
        e = one_file(p, columns, n_columns, event_record);
        if (e == FR_OK && m.spread)
            spread(p, before);
    }
    p->r->map = given;
    return e;
}

static enum fr_err item_files(struct pass *p)
{
    struct fr_import_map m = *p->r->map;
    struct fr_import_column *columns[] = {&m.item_id, &m.title, &m.brand, &m.price, &m.categories};
    const struct fr_import_map *given = p->r->map;
    enum fr_err e = FR_OK;

    p->r->map = &m;
    p->table = &m.items;
    for (p->n = 0; p->n < m.items.n_files && e == FR_OK; p->n++) {
        name_file(p);
        e = one_file(p, columns, (int)(sizeof(columns) / sizeof(columns[0])), item_record);
    }
    p->r->map = given;
    return e;
}

enum fr_err fr_import_read(struct fr_import_read *r, struct fr_import_rows *rows, struct fr_fault *fault)
{
    struct pass p = {.r = r, .rows = rows, .fault = fault};
    enum fr_err e;

    fr_buf_init(&p.utf8);
    r->bad = r->left_out = 0;
    e = event_files(&p);
    if (e == FR_OK)
        e = item_files(&p);
    fr_buf_done(&p.utf8);
    if (e == FR_OK && r->map->order != FR_IMPORT_ORDER_FILE)
        e = fr_import_rows_sort(rows, r->map->order == FR_IMPORT_ORDER_TIME_USER_ITEM);
    if (e == FR_OK)
        e = fr_import_rows_complete(rows);
    return e == FR_OK || (fault != NULL && fault->err != FR_OK) ? e : fr_fault(fault, e, "%s", fr_err_text(e));
}
