/*
 * daemon/config.c - values of the configuration: rows, checked conversion, env, --set.
 */
#include "daemon/config.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/config_row.h"

const struct fr_config_row fr_config_rows[] = {
#define X(section, key, TYPE, def, min, max, unit, reload, help)                                   \
    {#section, #key,  FR_CONFIG_##TYPE, def, (double)(min), (double)(max),                         \
     unit,     reload != 0, help,            offsetof(struct fr_config, section##_##key)},
#include "daemon/config.def"
#undef X
};
const int fr_config_n_rows = (int)(sizeof(fr_config_rows) / sizeof(fr_config_rows[0]));

static void *field(struct fr_config *c, const struct fr_config_row *row)
{
    return (char *)c + row->offset;
}

static const void *cfield(const struct fr_config *c, const struct fr_config_row *row)
{
    return (const char *)c + row->offset;
}

const struct fr_config_row *fr_config_find(struct fr_str section, struct fr_str key)
{
    for (int i = 0; i < fr_config_n_rows; i++) {
        if (fr_str_eqz(section, fr_config_rows[i].section) &&
            fr_str_eqz(key, fr_config_rows[i].key))
            return &fr_config_rows[i];
    }
    return NULL;
}

enum fr_err fr_config_unknown(struct fr_str section,
                              struct fr_str key,
                              const char *where,
                              struct fr_fault *fault)
{
    char given[160];
    const char *names[512];
    char store[512][48];
    int best;

    snprintf(given, sizeof(given), "%.*s.%.*s", (int)(section.n > 60 ? 60 : section.n), section.p,
             (int)(key.n > 60 ? 60 : key.n), key.p);
    for (int i = 0; i < fr_config_n_rows; i++) {
        snprintf(store[i], sizeof(store[i]), "%s.%s", fr_config_rows[i].section,
                 fr_config_rows[i].key);
        names[i] = store[i];
    }
    best = fr_str_nearest(fr_str_z(given), names, fr_config_n_rows);
    if (best < 0)
        return fr_fault(fault, FR_ESCHEMA, "%sunknown key %s", where, given);
    return fr_fault(fault, FR_ESCHEMA, "%sunknown key %s; did you mean %s?", where, given,
                    names[best]);
}

static void list_free(struct fr_config_list *l)
{
    for (int i = 0; i < l->n; i++)
        fr_free(l->v[i]);
    fr_free(l->v);
    l->v = NULL;
    l->n = 0;
}

enum fr_err fr_config_put_list(struct fr_config *c,
                               const struct fr_config_row *row,
                               const struct fr_str *items,
                               int n,
                               struct fr_fault *fault)
{
    struct fr_config_list fresh = {NULL, 0};
    struct fr_config_list *dst = field(c, row);

    if (n > 0) {
        fresh.v = fr_calloc((size_t)n, sizeof(char *));
        if (fresh.v == NULL)
            return fr_fault(fault, FR_ENOMEM, "out of memory");
    }
    for (int i = 0; i < n; i++) {
        fresh.v[i] = fr_memdup0(items[i].p, items[i].n);
        if (fresh.v[i] == NULL) {
            list_free(&fresh);
            return fr_fault(fault, FR_ENOMEM, "out of memory");
        }
        fresh.n++;
    }
    list_free(dst);
    *dst = fresh;
    return FR_OK;
}

enum fr_err fr_config_put_split(struct fr_config *c,
                                const struct fr_config_row *row,
                                struct fr_str text,
                                char sep,
                                struct fr_fault *fault)
{
    struct fr_str parts[256];
    int n = 0;
    size_t from = 0;

    for (size_t i = 0; i <= text.n && text.n > 0; i++) {
        if (i < text.n && text.p[i] != sep)
            continue;
        if (n == 256)
            return fr_fault(fault, FR_ETOOLARGE, "%s.%s: more than 256 entries", row->section,
                            row->key);
        parts[n++] = (struct fr_str){text.p + from, i - from};
        from = i + 1;
    }
    return fr_config_put_list(c, row, parts, n, fault);
}

/* A number and its unit suffix; the factor of the unit, or 0 when the unit is unknown. */
static double unit_factor(enum fr_config_type type, struct fr_str unit)
{
    static const struct {
        const char *name;
        double factor;
    } ms[] = {{"", 1},         {"ms", 1},          {"s", 1000},
              {"m", 60000},    {"min", 60000},     {"h", 3600000},
              {"d", 86400000}, {"y", 31536000000}},
      bytes[] = {{"", 1}, {"b", 1}, {"k", 1024}, {"m", 1048576}, {"g", 1073741824}};

    if (type == FR_CONFIG_MS) {
        for (size_t i = 0; i < sizeof(ms) / sizeof(ms[0]); i++)
            if (fr_str_eqz(unit, ms[i].name))
                return ms[i].factor;
    } else if (type == FR_CONFIG_BYTES) {
        for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
            if (fr_str_eqz(unit, bytes[i].name))
                return bytes[i].factor;
    } else if (unit.n == 0) {
        return 1;
    }
    return 0;
}

static enum fr_err parse_number(const struct fr_config_row *row,
                                struct fr_str text,
                                const char *where,
                                struct fr_fault *fault,
                                double *out)
{
    size_t digits = 0;
    double v, factor;
    struct fr_str unit;

    while (digits < text.n && (strchr("0123456789.-", text.p[digits]) != NULL))
        digits++;
    if (fr_str_to_f64((struct fr_str){text.p, digits}, &v) != FR_OK)
        return fr_fault(fault, FR_ESCHEMA, "%s%s.%s: \"%.*s\" is not a number", where, row->section,
                        row->key, (int)(text.n > 60 ? 60 : text.n), text.p);
    unit = (struct fr_str){text.p + digits, text.n - digits};
    factor = unit_factor(row->type, unit);
    if (factor <= 0)
        return fr_fault(fault, FR_ESCHEMA, "%s%s.%s: unknown unit \"%.*s\" (use %s)", where,
                        row->section, row->key, (int)(unit.n > 20 ? 20 : unit.n), unit.p,
                        row->type == FR_CONFIG_MS      ? "ms, s, m, h, d"
                        : row->type == FR_CONFIG_BYTES ? "k, m, g"
                                                       : "no unit");
    v *= factor;
    if (v < row->min || v > row->max)
        return fr_fault(fault, FR_ERANGE, "%s%s.%s: %.16g is out of range [%.16g, %.16g]%s%s", where,
                        row->section, row->key, v, row->min, row->max, row->unit[0] ? " " : "",
                        row->unit);
    if (row->type != FR_CONFIG_F64) {
        double whole = nearbyint(v);
        if (fabs(v - whole) > 4 * DBL_EPSILON * fabs(v)) /* 1.001 * 1000 is 1000.9999999999999 */
            return fr_fault(fault, FR_ESCHEMA, "%s%s.%s: not a whole number", where, row->section,
                            row->key);
        v = whole;
    }
    *out = v;
    return FR_OK;
}

static int choice_index(const char *choices, struct fr_str text)
{
    int i = 0;
    const char *p = choices;

    for (;;) {
        const char *end = strchr(p, '|');
        size_t n = end == NULL ? strlen(p) : (size_t)(end - p);
        if (n == text.n && memcmp(p, text.p, n) == 0)
            return i;
        if (end == NULL)
            return -1;
        p = end + 1;
        i++;
    }
}

enum fr_err fr_config_put(struct fr_config *c,
                          const struct fr_config_row *row,
                          struct fr_str text,
                          const char *where,
                          struct fr_fault *fault)
{
    void *dst = field(c, row);
    double v = 0;
    enum fr_err e;

    switch (row->type) {
    case FR_CONFIG_STR: {
        char *copy;
        if (memchr(text.p, '\0', text.n) != NULL)
            return fr_fault(fault, FR_ESCHEMA, "%s%s.%s: NUL byte", where, row->section, row->key);
        copy = fr_memdup0(text.p, text.n);
        if (copy == NULL)
            return fr_fault(fault, FR_ENOMEM, "out of memory");
        fr_free(*(char **)dst);
        *(char **)dst = copy;
        return FR_OK;
    }
    case FR_CONFIG_BOOL:
        if (!fr_str_eqz(text, "true") && !fr_str_eqz(text, "false"))
            return fr_fault(fault, FR_ESCHEMA, "%s%s.%s: use true or false", where, row->section,
                            row->key);
        *(bool *)dst = fr_str_eqz(text, "true");
        return FR_OK;
    case FR_CONFIG_ENUM: {
        int i = choice_index(row->unit, text);
        if (i < 0)
            return fr_fault(fault, FR_ESCHEMA, "%s%s.%s: \"%.*s\" is none of %s", where,
                            row->section, row->key, (int)(text.n > 60 ? 60 : text.n), text.p,
                            row->unit);
        *(int *)dst = i;
        return FR_OK;
    }
    case FR_CONFIG_LIST:
        return fr_fault(fault, FR_ESCHEMA, "%s%s.%s: a list is expected", where, row->section,
                        row->key);
    case FR_CONFIG_INT:
    case FR_CONFIG_MS:
    case FR_CONFIG_BYTES:
        e = parse_number(row, text, where, fault, &v);
        if (e == FR_OK)
            *(int64_t *)dst = (int64_t)v;
        return e;
    case FR_CONFIG_F64:
        e = parse_number(row, text, where, fault, &v);
        if (e == FR_OK)
            *(double *)dst = v;
        return e;
    }
    return FR_EINTERNAL;
}

enum fr_err fr_config_init(struct fr_config *c, struct fr_fault *fault)
{
    memset(c, 0, sizeof(*c));
    for (int i = 0; i < fr_config_n_rows; i++) {
        const struct fr_config_row *row = &fr_config_rows[i];
        struct fr_str text = fr_str_z(row->def);
        struct fr_str first = {row->unit, strcspn(row->unit, "|")};
        enum fr_err e;

        if (row->type == FR_CONFIG_ENUM && text.n == 0)
            text = first;
        e = row->type == FR_CONFIG_LIST ? fr_config_put_split(c, row, text, '\n', fault)
                                        : fr_config_put(c, row, text, "default: ", fault);
        if (e != FR_OK) {
            fr_config_done(c);
            return e;
        }
    }
    return FR_OK;
}

void fr_config_done(struct fr_config *c)
{
    for (int i = 0; i < fr_config_n_rows; i++) {
        void *p = field(c, &fr_config_rows[i]);
        if (fr_config_rows[i].type == FR_CONFIG_STR) {
            fr_free(*(char **)p);
            *(char **)p = NULL;
        } else if (fr_config_rows[i].type == FR_CONFIG_LIST) {
            list_free(p);
        }
    }
}

/* FRESHET_SECTION_KEY of a row. */
static void env_name(const struct fr_config_row *row, char name[96])
{
    snprintf(name, 96, "FRESHET_%s_%s", row->section, row->key);
    for (char *p = name; *p != '\0'; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
}

void fr_config_drop_env(void)
{
    char name[96];

    for (int i = 0; i < fr_config_n_rows; i++) {
        env_name(&fr_config_rows[i], name);
        (void)unsetenv(name);
    }
}

extern char **environ;

/* FRESHET_SECTION_... of a section that there is, but no such key: most likely a slip. */
static enum fr_err env_known(const char *entry, struct fr_fault *fault)
{
    const char *eq = strchr(entry, '=');
    size_t n = eq == NULL ? strlen(entry) : (size_t)(eq - entry), at = 0;
    char lower[96], name[96];

    if (strncmp(entry, "FRESHET_", 8) != 0 || n >= sizeof(lower))
        return FR_OK;
    for (size_t i = 0; i < n; i++)
        lower[i] = entry[i] >= 'A' && entry[i] <= 'Z' ? (char)(entry[i] - 'A' + 'a') : entry[i];
    lower[n] = '\0';
    for (int i = 0; i < fr_config_n_rows; i++) {
        size_t section = strlen(fr_config_rows[i].section);

        env_name(&fr_config_rows[i], name);
        if (strlen(name) == n && strncmp(name, entry, n) == 0)
            return FR_OK;
        if (8 + section + 1 < n && strncmp(lower + 8, fr_config_rows[i].section, section) == 0 &&
            lower[8 + section] == '_')
            at = 8 + section;
    }
    if (at == 0)
        return FR_OK;
    snprintf(name, sizeof(name), "%.*s: ", (int)(n > 90 ? 90 : n), entry);
    return fr_config_unknown(
        (struct fr_str){lower + 8, at - 8}, (struct fr_str){lower + at + 1, n - at - 1}, name, fault);
}

enum fr_err fr_config_load_env(struct fr_config *c, struct fr_fault *fault)
{
    for (char **e = environ; *e != NULL; e++) {
        enum fr_err bad = env_known(*e, fault);

        if (bad != FR_OK)
            return bad;
    }
    for (int i = 0; i < fr_config_n_rows; i++) {
        const struct fr_config_row *row = &fr_config_rows[i];
        char name[96];
        char where[112];
        const char *value;
        enum fr_err e;

        env_name(row, name);
        value = getenv(name);
        if (value == NULL)
            continue;
        snprintf(where, sizeof(where), "%s: ", name);
        e = row->type == FR_CONFIG_LIST
                ? fr_config_put_split(c, row, fr_str_z(value), ',', fault)
                : fr_config_put(c, row, fr_str_z(value), where, fault);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

enum fr_err fr_config_set(struct fr_config *c, const char *assignment, struct fr_fault *fault)
{
    const char *eq = strchr(assignment, '=');
    const char *dot = strchr(assignment, '.');
    const struct fr_config_row *row;
    struct fr_str section, key;

    if (eq == NULL || dot == NULL || dot > eq)
        return fr_fault(fault, FR_ESYNTAX, "--set %s: expected section.key=value", assignment);
    section = (struct fr_str){assignment, (size_t)(dot - assignment)};
    key = (struct fr_str){dot + 1, (size_t)(eq - dot - 1)};
    row = fr_config_find(section, key);
    if (row == NULL)
        return fr_config_unknown(section, key, "--set: ", fault);
    if (row->type == FR_CONFIG_LIST)
        return fr_config_put_split(c, row, fr_str_z(eq + 1), ',', fault);
    return fr_config_put(c, row, fr_str_z(eq + 1), "--set ", fault);
}

static bool in_list(const struct fr_config_list *l, const char *s)
{
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->v[i], s) == 0)
            return true;
    return false;
}

enum fr_err fr_config_check(const struct fr_config *c, struct fr_fault *fault)
{
    const struct fr_config_list *subsets[] = {&c->events_positive, &c->recommend_on};
    const char *const names[] = {"events.positive", "recommend.on"};

    for (int s = 0; s < 2; s++)
        for (int i = 0; i < subsets[s]->n; i++)
            if (!in_list(&c->events_types, subsets[s]->v[i]))
                return fr_fault(fault, FR_ESCHEMA, "%s: \"%s\" is not in events.types", names[s],
                                subsets[s]->v[i]);
    for (int i = 0; i < c->kafka_properties.n; i++)
        if (strchr(c->kafka_properties.v[i], '=') == NULL)
            return fr_fault(fault, FR_ESCHEMA, "kafka.properties: \"%s\" is not key=value",
                            c->kafka_properties.v[i]);
    if (!(c->models_score_click_power > 0) && !(c->models_score_value_power > 0))
        return fr_fault(fault, FR_ESCHEMA,
                        "models.score_click_power and models.score_value_power are both 0: nothing would order a list");
    return FR_OK;
}

static bool same_value(const struct fr_config *a, const struct fr_config *b, const struct fr_config_row *row)
{
    const void *x = cfield(a, row), *y = cfield(b, row);

    switch (row->type) {
    case FR_CONFIG_STR:
        return strcmp(*(char *const *)x, *(char *const *)y) == 0;
    case FR_CONFIG_INT:
    case FR_CONFIG_MS:
    case FR_CONFIG_BYTES:
        return *(const int64_t *)x == *(const int64_t *)y;
    case FR_CONFIG_F64:
        return memcmp(x, y, sizeof(double)) == 0;
    case FR_CONFIG_BOOL:
        return *(const bool *)x == *(const bool *)y;
    case FR_CONFIG_ENUM:
        return *(const int *)x == *(const int *)y;
    case FR_CONFIG_LIST: {
        const struct fr_config_list *l = x, *m = y;
        if (l->n != m->n)
            return false;
        for (int i = 0; i < l->n; i++)
            if (strcmp(l->v[i], m->v[i]) != 0)
                return false;
        return true;
    }
    }
    return false;
}

int fr_config_diff(const struct fr_config *cur,
                   const struct fr_config *next,
                   bool reloadable,
                   struct fr_buf *out)
{
    int n = 0;

    for (int i = 0; i < fr_config_n_rows; i++) {
        const struct fr_config_row *r = &fr_config_rows[i];
        if (r->reload == reloadable && !same_value(cur, next, r))
            fr_buf_printf(out, "%s%s.%s", n++ == 0 ? "" : ", ", r->section, r->key);
    }
    return n;
}
