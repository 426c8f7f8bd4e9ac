/*
 * daemon/cli/import_map.c - see import_map.h.
 */
#include "daemon/cli/import_map.h"

#include <stdio.h>
#include <string.h>

#include "daemon/cli/import_time.h"

#define MAX_TEXT ((size_t)64 << 10)

static const char yoochoose[] = "events.file = period_{n}.txt\n"
                                "events.n = 0-16\n"
                                "events.separator = space\n"
                                "events.quotes = no\n"
                                "events.user = 1\n"
                                "events.item = 2\n"
                                "events.time = spread\n"
                                "events.day0 = 2014-09-01\n"
                                "events.type = click\n"
                                "events.order = file\n";

static const char ml_1m[] = "events.file = ratings_users_1-2999.dat\n"
                            "events.separator = \"::\"\n"
                            "events.quotes = no\n"
                            "events.user = 1\n"
                            "events.item = 2\n"
                            "events.value = 3\n"
                            "events.time = 4\n"
                            "events.time_format = seconds\n"
                            "events.type = rating\n"
                            "events.order = time_user_item\n"
                            "items.file = movies.dat\n"
                            "items.separator = \"::\"\n"
                            "items.quotes = no\n"
                            "items.encoding = latin1\n"
                            "items.id = 1\n"
                            "items.title = 2\n"
                            "items.categories = 3\n"
                            "items.category_separator = |\n";

const char *fr_import_map_builtin(const char *layout)
{
    if (strcmp(layout, "yoochoose") == 0)
        return yoochoose;
    if (strcmp(layout, "ml-1m") == 0)
        return ml_1m;
    return NULL;
}

/* ---- values ---- */

struct line {
    const char *name; /* of the mapping */
    int number;
    char key[FR_IMPORT_TEXT];
    char value[1024];
    uint64_t seen; /* bit i: known_keys[i] has stood there */
    struct fr_fault *fault;
};

static enum fr_err bad(const struct line *l, const char *why)
{
    return fr_fault(l->fault, FR_ESCHEMA, "%.150s:%d: %.60s: %.100s", l->name, l->number, l->key, why);
}

static enum fr_err word(const struct line *l, char out[FR_IMPORT_TEXT])
{
    size_t n = strlen(l->value);

    if (n == 0 || n >= FR_IMPORT_TEXT)
        return bad(l, "a text of 1 to 127 bytes is needed");
    memcpy(out, l->value, n + 1);
    return FR_OK;
}

static enum fr_err yes_no(const struct line *l, bool *out)
{
    *out = strcmp(l->value, "yes") == 0;
    return *out || strcmp(l->value, "no") == 0 ? FR_OK : bad(l, "yes or no is needed");
}

static enum fr_err column_of(const struct line *l, const char *text, struct fr_import_column *out)
{
    const char *why = fr_import_column_parse(text, out);

    return why == NULL ? FR_OK : bad(l, why);
}

/* "A-B", or "A" alone. */
static enum fr_err span_of(const struct line *l, int64_t min, int64_t max, int *from, int *to)
{
    struct fr_str s = fr_str_z(l->value);
    const char *dash = strchr(l->value, '-');
    int64_t a, b;

    if (dash == NULL) {
        if (fr_str_to_i64(s, &a) != FR_OK)
            return bad(l, "a number or A-B is needed");
        b = a;
    } else if (fr_str_to_i64((struct fr_str){s.p, (size_t)(dash - s.p)}, &a) != FR_OK ||
               fr_str_to_i64(fr_str_z(dash + 1), &b) != FR_OK) {
        return bad(l, "a number or A-B is needed");
    }
    if (a < min || b < a || b > max)
        return bad(l, "out of range");
    *from = (int)a;
    *to = (int)b;
    return FR_OK;
}

static enum fr_err separator(const struct line *l, char out[FR_IMPORT_TEXT])
{
    static const char *const names[][2] = {{"comma", ","}, {"tab", "\t"}, {"space", " "}, {"semicolon", ";"}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(l->value, names[i][0]) == 0) {
            memcpy(out, names[i][1], 2);
            return FR_OK;
        }
    if (strpbrk(l->value, "\"\r\n") != NULL)
        return bad(l, "not a separator");
    return word(l, out);
}

/* A type of events with one item; the wire's `impressions` have a list. */
static enum fr_err type(const struct line *l, const char *name)
{
    return strcmp(name, "impressions") == 0 ? bad(l, "impressions cannot be imported") : FR_OK;
}

static enum fr_err rule(struct line *l, struct fr_import_map *m)
{
    struct fr_import_rule *r = &m->rule[m->n_rules];
    const char *why;

    if (m->n_rules == FR_IMPORT_RULES)
        return bad(l, "more than 16 rules");
    why = fr_import_rule_parse(l->value, r);
    if (why != NULL)
        return bad(l, why);
    m->n_rules++;
    return type(l, r->type);
}

static enum fr_err file(const struct line *l, struct fr_import_table *t)
{
    if (strchr(l->value, '/') != NULL)
        return bad(l, "a name without folders is needed");
    if (t->n_files == FR_IMPORT_FILES)
        return bad(l, "more than 32 files");
    return word(l, t->file[t->n_files++]);
}

static enum fr_err require(struct line *l, struct fr_import_map *m)
{
    char *rest = l->value, *w;

    while ((w = fr_import_word(&rest)) != NULL) {
        enum fr_err e;
        if (m->n_require == 4)
            return bad(l, "more than 4 columns");
        e = column_of(l, w, &m->require[m->n_require]);
        if (e != FR_OK)
            return e;
        m->n_require++;
    }
    return FR_OK;
}

static enum fr_err flag_names(struct line *l, struct fr_import_map *m)
{
    char *p = l->value;

    m->n_flags = 0;
    while (p != NULL) {
        char *comma = strchr(p, ',');
        size_t n = comma == NULL ? strlen(p) : (size_t)(comma - p);
        if (n == 0 || n >= FR_IMPORT_TEXT || m->n_flags == FR_IMPORT_FLAGS)
            return bad(l, "names of 1 to 127 bytes, at most 64, between commas");
        memcpy(m->flag_name[m->n_flags], p, n);
        m->flag_name[m->n_flags++][n] = '\0';
        p = comma == NULL ? NULL : comma + 1;
    }
    return FR_OK;
}

static enum fr_err order(const struct line *l, struct fr_import_map *m)
{
    static const char *const names[] = {"file", "time", "time_user_item"};

    for (int i = 0; i < 3; i++)
        if (strcmp(l->value, names[i]) == 0) {
            m->order = (enum fr_import_order)i;
            return FR_OK;
        }
    return bad(l, "file, time or time_user_item is needed");
}

/* ---- keys ---- */

static enum fr_err table_key(struct line *l, const char *key, struct fr_import_table *t, bool *known)
{
    *known = true;
    if (strcmp(key, "file") == 0)
        return file(l, t);
    if (strcmp(key, "separator") == 0)
        return separator(l, t->separator);
    if (strcmp(key, "quotes") == 0)
        return yes_no(l, &t->quotes);
    if (strcmp(key, "header") == 0)
        return yes_no(l, &t->header);
    if (strcmp(key, "encoding") == 0) {
        t->latin1 = strcmp(l->value, "latin1") == 0;
        return t->latin1 || strcmp(l->value, "utf8") == 0 ? FR_OK : bad(l, "utf8 or latin1 is needed");
    }
    *known = false;
    return FR_OK;
}

static const char *const known_keys[] = {
    "events.file", "events.n", "events.separator", "events.quotes", "events.header", "events.encoding",
    "events.user", "events.item", "events.value", "events.id", "events.time", "events.time_format",
    "events.day0", "events.type", "events.type_column", "events.rule", "events.require", "events.order", "items.file",
    "items.separator", "items.quotes", "items.header", "items.encoding", "items.id", "items.title",
    "items.brand", "items.price", "items.categories", "items.category_separator", "items.flags",
    "items.flag_names"};

static enum fr_err unknown(const struct line *l)
{
    int best = fr_str_nearest(fr_str_z(l->key), known_keys, (int)(sizeof(known_keys) / sizeof(known_keys[0])));

    return fr_fault(l->fault, FR_ESCHEMA, "%.150s:%d: unknown key \"%.60s\"%s%s", l->name, l->number, l->key,
                    best < 0 ? "" : "; did you mean ", best < 0 ? "" : known_keys[best]);
}

static bool repeats(const char *key)
{
    return strcmp(key, "events.file") == 0 || strcmp(key, "items.file") == 0 || strcmp(key, "events.rule") == 0;
}

/* A key that stands twice is a mistake: which one was meant? */
static enum fr_err once(struct line *l)
{
    for (size_t i = 0; i < sizeof(known_keys) / sizeof(known_keys[0]); i++)
        if (strcmp(l->key, known_keys[i]) == 0 && !repeats(l->key)) {
            if ((l->seen >> i & 1) != 0)
                return bad(l, "stands twice");
            l->seen |= UINT64_C(1) << i;
        }
    return FR_OK;
}

static enum fr_err event_time(struct line *l, struct fr_import_map *m)
{
    m->spread = strcmp(l->value, "spread") == 0;
    return m->spread ? FR_OK : column_of(l, l->value, &m->time);
}

static enum fr_err events_key(struct line *l, struct fr_import_map *m)
{
    const char *key = l->key + strlen("events.");
    const struct {
        const char *key;
        struct fr_import_column *to;
    } columns[] = {{"user", &m->user}, {"item", &m->item}, {"value", &m->value}, {"id", &m->id},
                   {"type_column", &m->type_column}};
    bool known;
    enum fr_err e = table_key(l, key, &m->events, &known);

    if (known)
        return e;
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        if (strcmp(key, columns[i].key) == 0)
            return column_of(l, l->value, columns[i].to);
    if (strcmp(key, "n") == 0)
        return span_of(l, 0, 100000, &m->n_from, &m->n_to);
    if (strcmp(key, "time") == 0)
        return event_time(l, m);
    if (strcmp(key, "time_format") == 0)
        return fr_import_time_format_valid(l->value) ? word(l, m->time_format)
                                                     : bad(l, "seconds, milliseconds, or a pattern with %Y %m %d %H %M %S");
    if (strcmp(key, "day0") == 0)
        return fr_import_time(fr_str_z(l->value), "%Y-%m-%d", &m->day0_ms) == FR_OK ? FR_OK
                                                                                     : bad(l, "a day like 2014-04-01 is needed");
    if (strcmp(key, "type") == 0) {
        e = word(l, m->type);
        return e == FR_OK ? type(l, m->type) : e;
    }
    if (strcmp(key, "rule") == 0)
        return rule(l, m);
    if (strcmp(key, "require") == 0)
        return require(l, m);
    if (strcmp(key, "order") == 0)
        return order(l, m);
    return unknown(l);
}

static enum fr_err items_key(struct line *l, struct fr_import_map *m)
{
    const char *key = l->key + strlen("items.");
    const struct {
        const char *key;
        struct fr_import_column *to;
    } columns[] = {{"id", &m->item_id}, {"title", &m->title}, {"brand", &m->brand}, {"price", &m->price},
                   {"categories", &m->categories}};
    bool known;
    enum fr_err e = table_key(l, key, &m->items, &known);

    if (known)
        return e;
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        if (strcmp(key, columns[i].key) == 0)
            return column_of(l, l->value, columns[i].to);
    if (strcmp(key, "category_separator") == 0)
        return separator(l, m->category_separator);
    if (strcmp(key, "flags") == 0) {
        e = span_of(l, 1, FR_IMPORT_COLUMNS, &m->flag_from, &m->flag_to);
        m->flag_from--;
        m->flag_to--;
        return e;
    }
    if (strcmp(key, "flag_names") == 0)
        return flag_names(l, m);
    return unknown(l);
}

/* ---- the text ---- */

static struct fr_str trim(struct fr_str s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
        s.n--;
    return s;
}

static enum fr_err split(struct fr_str s, struct line *l)
{
    const char *eq = memchr(s.p, '=', s.n);
    struct fr_str key, value;

    if (memchr(s.p, '\0', s.n) != NULL || eq == NULL)
        return fr_fault(l->fault, FR_ESYNTAX, "%.150s:%d: `key = value` is needed", l->name, l->number);
    key = trim((struct fr_str){s.p, (size_t)(eq - s.p)});
    value = trim((struct fr_str){eq + 1, s.n - (size_t)(eq - s.p) - 1});
    if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"') {
        value.p++;
        value.n -= 2;
    }
    if (key.n >= sizeof(l->key) || value.n >= sizeof(l->value))
        return fr_fault(l->fault, FR_ETOOLARGE, "%.150s:%d: the line is too long", l->name, l->number);
    memcpy(l->key, key.p, key.n);
    l->key[key.n] = '\0';
    memcpy(l->value, value.p, value.n);
    l->value[value.n] = '\0';
    return FR_OK;
}

static enum fr_err whole(const struct fr_import_map *m, const char *name, struct fr_fault *fault)
{
    const char *missing = NULL;

    if (m->events.n_files == 0)
        missing = "events.file";
    else if (!fr_import_column_given(&m->user))
        missing = "events.user";
    else if (!fr_import_column_given(&m->item))
        missing = "events.item";
    else if (!m->spread && !fr_import_column_given(&m->time))
        missing = "events.time";
    else if (m->type[0] == '\0' && m->n_rules == 0 && !fr_import_column_given(&m->type_column))
        missing = "events.type";
    else if (m->items.n_files > 0 && !fr_import_column_given(&m->item_id))
        missing = "items.id";
    if (missing != NULL)
        return fr_fault(fault, FR_ESCHEMA, "%.150s: %s is needed", name, missing);
    for (int i = 0; m->events.n_files > 1 && i < m->events.n_files; i++)
        if (strstr(m->events.file[i], "{n}") != NULL)
            return fr_fault(fault, FR_ESCHEMA, "%.150s: events.file: {n} or several files, not both", name);
    if (m->flag_from >= 0 && m->n_flags != m->flag_to - m->flag_from + 1)
        return fr_fault(fault, FR_ESCHEMA, "%.150s: items.flags has %d columns, items.flag_names %d names", name,
                        m->flag_to - m->flag_from + 1, m->n_flags);
    return FR_OK;
}

static void defaults(struct fr_import_map *m)
{
    struct fr_import_column *const none[] = {&m->user, &m->item, &m->value, &m->id, &m->time, &m->type_column, &m->item_id,
                                             &m->title, &m->brand, &m->price, &m->categories};

    memset(m, 0, sizeof(*m));
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        none[i]->at = -1;
    m->flag_from = m->flag_to = -1;
    m->events.quotes = m->items.quotes = true;
    memcpy(m->events.separator, ",", 2);
    memcpy(m->items.separator, ",", 2);
    memcpy(m->category_separator, "|", 2);
    memcpy(m->time_format, "seconds", sizeof("seconds"));
    m->order = FR_IMPORT_ORDER_TIME;
}

enum fr_err
fr_import_map_parse(struct fr_str text, const char *name, struct fr_import_map *out, struct fr_fault *fault)
{
    struct line l = {.name = name, .fault = fault};
    enum fr_err e = FR_OK;

    defaults(out);
    if (text.n > MAX_TEXT)
        return fr_fault(fault, FR_ETOOLARGE, "%.150s: a mapping has at most 64 KiB", name);
    while (text.n > 0 && e == FR_OK) {
        const char *nl = memchr(text.p, '\n', text.n);
        size_t n = nl == NULL ? text.n : (size_t)(nl - text.p);
        struct fr_str s = trim((struct fr_str){text.p, n});
        text.p += n + (nl != NULL);
        text.n -= n + (nl != NULL);
        l.number++;
        if (s.n == 0 || s.p[0] == '#')
            continue;
        e = split(s, &l);
        if (e == FR_OK)
            e = once(&l);
        if (e != FR_OK)
            return e;
        if (strncmp(l.key, "events.", 7) == 0)
            e = events_key(&l, out);
        else if (strncmp(l.key, "items.", 6) == 0)
            e = items_key(&l, out);
        else
            e = unknown(&l);
    }
    return e == FR_OK ? whole(out, name, fault) : e;
}
