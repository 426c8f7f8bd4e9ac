#include "features/spec_feature.h"

#include <string.h>

#include "daemon/base/buf.h"
#include "features/buckets.h"
#include "features/spec.h"
#include "features/spec_line.h"

enum arg {
    ARG_ENTITY,
    ARG_TYPE,
    ARG_TYPES,
    ARG_OVER,
    ARG_OF,
    ARG_HALF_LIFE,
    ARG_AS,
    ARG_N,
    ARG_FIELD,
    ARG_PRIOR,
    ARG_STRENGTH,
    ARG_SOURCE,
    ARG_COUNT
};

static const char *const arg_names[ARG_COUNT] = {"entity",
                                                 "type",
                                                 "types",
                                                 "over",
                                                 "of",
                                                 "half_life",
                                                 "as",
                                                 "n",
                                                 "field",
                                                 "prior",
                                                 "strength",
                                                 "source"};

#define A(x) (1u << ARG_##x)
#define TYPE_ARGS (A(TYPE) | A(TYPES))

struct kind_row {
    const char *name;
    enum fr_entity entity;
    unsigned args;     /* allowed */
    unsigned required; /* must be there */
    uint32_t n;        /* default of n */
    uint32_t n_max;    /* 0 = takes no n */
};

static const struct kind_row kinds[FR_KIND_COUNT] = {
    [FR_KIND_USER_ID] = {"user_id", FR_ENTITY_USER, 0, 0, 1, 0},
    [FR_KIND_EVENT_COUNT] = {"event_count", FR_ENTITY_USER, A(AS), 0, 1, 0},
    [FR_KIND_DECAYED_COUNT] =
        {"decayed_count", FR_ENTITY_USER, A(ENTITY) | TYPE_ARGS | A(HALF_LIFE) | A(AS), 0, 1, 0},
    [FR_KIND_RECENCY] = {"recency", FR_ENTITY_USER, TYPE_ARGS | A(AS), 0, 1, 0},
    [FR_KIND_FIRST_SEEN] = {"first_seen", FR_ENTITY_USER, A(ENTITY) | A(AS), 0, 1, 0},
    [FR_KIND_HISTORY] = {"history", FR_ENTITY_USER, TYPE_ARGS | A(N), 0, 50, FR_MAX_HISTORY},
    [FR_KIND_CONTEXT] = {"context", FR_ENTITY_CONTEXT, A(FIELD), A(FIELD), 1, 0},
    [FR_KIND_ITEM_ID] = {"item_id", FR_ENTITY_ITEM, 0, 0, 1, 0},
    [FR_KIND_ATTRIBUTE] = {"attribute", FR_ENTITY_ITEM, A(FIELD) | A(N) | A(AS), A(FIELD), 4, 32},
    [FR_KIND_TITLE_WORDS] = {"title_words", FR_ENTITY_ITEM, A(N), 0, 8, 32},
    [FR_KIND_RATIO] = {"ratio",
                       FR_ENTITY_ITEM,
                       A(OVER) | A(OF) | A(PRIOR) | A(STRENGTH) | A(HALF_LIFE) | A(AS),
                       A(OVER) | A(OF),
                       1,
                       0},
    [FR_KIND_ITEM_AGE] = {"item_age", FR_ENTITY_ITEM, A(AS), 0, 1, 0},
    [FR_KIND_HISTORY_COUNT] = {"history_count", FR_ENTITY_CROSS, TYPE_ARGS | A(AS), 0, 1, 0},
    [FR_KIND_HISTORY_RECENCY] =
        {"history_recency", FR_ENTITY_CROSS, TYPE_ARGS | A(FIELD) | A(AS), 0, 1, 0},
    [FR_KIND_CATEGORY_SHARE] =
        {"category_share", FR_ENTITY_CROSS, TYPE_ARGS | A(N) | A(AS), 0, 50, FR_MAX_HISTORY},
    [FR_KIND_SEEN] = {"seen", FR_ENTITY_CROSS, 0, 0, 1, 0},
    [FR_KIND_RETRIEVAL_SCORE] = {"retrieval_score", FR_ENTITY_CROSS, 0, 0, 1, 0},
    [FR_KIND_SOURCE_RANK] = {"source_rank", FR_ENTITY_CROSS, A(SOURCE) | A(AS), A(SOURCE), 1, 0},
};

static const char *const context_names[] = {"hour", "weekday", "type", "device"};
static const char *const attribute_names[] = {"category", "brand", "price", "tags"};
static const char *const history_names[] = {"position", "age"};
static const char *const source_names[FR_SOURCE_COUNT] = {"index", "popular", "history", "request"};

const char *fr_cand_source_name(enum fr_cand_source s)
{
    return (unsigned)s < FR_SOURCE_COUNT ? source_names[s] : "unknown";
}

const char *fr_kind_name(enum fr_kind k)
{
    return (unsigned)k < FR_KIND_COUNT ? kinds[k].name : "unknown";
}

/* ---- places in messages ---- */

/* Where a refusal points: one argument of one line. */
struct place {
    int line;
    int col;
    struct fr_fault *fault;
};

static enum fr_err unknown_name(
    const struct place *p, const char *what, struct fr_str got, const char *const *names, int n)
{
    int near = fr_str_nearest(got, names, n);
    if (near >= 0)
        return fr_fault(p->fault,
                        FR_EINVAL,
                        "features line %d, column %d: unknown %s \"%.*s\" (nearest: %s)",
                        p->line,
                        p->col,
                        what,
                        FR_STR_ARG(got),
                        names[near]);
    struct fr_buf all = {0};
    for (int i = 0; i < n; i++)
        fr_buf_printf(&all, "%s%s", i == 0 ? "" : ", ", names[i]);
    enum fr_err e = fr_fault(p->fault,
                             FR_EINVAL,
                             "features line %d, column %d: unknown %s \"%.*s\" (one of: %.*s)",
                             p->line,
                             p->col,
                             what,
                             FR_STR_ARG(got),
                             (int)all.n,
                             all.n == 0 ? "" : all.p);
    fr_buf_done(&all);
    return e;
}

static int find_name(struct fr_str s, const char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        if (fr_str_eqz(s, names[i]))
            return i;
    return -1;
}

static enum fr_err one_of(const struct place *p,
                          const char *what,
                          struct fr_str v,
                          const char *const *names,
                          int n,
                          int *out)
{
    int i = find_name(v, names, n);
    if (i < 0)
        return unknown_name(p, what, v, names, n);
    *out = i;
    return FR_OK;
}

/* ---- values ---- */

enum fr_err fr_duration_parse(struct fr_str s, int64_t *out_ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {"", 1}};
    size_t digits = 0;
    uint64_t v;

    while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
        digits++;
    enum fr_err e = fr_str_to_u64((struct fr_str){s.p, digits}, &v);
    if (e != FR_OK)
        return e;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (!fr_str_eqz((struct fr_str){s.p + digits, s.n - digits}, units[i].unit))
            continue;
        if (v > (uint64_t)(INT64_C(1) << 53) / (uint64_t)units[i].ms)
            return FR_ERANGE;
        *out_ms = (int64_t)v * units[i].ms;
        return FR_OK;
    }
    return FR_ESYNTAX;
}

/* "any", "positive", "shown", or types joined by "|" -> bits */
static enum fr_err
parse_types(const struct fr_spec *spec, const struct place *p, struct fr_str v, uint32_t *out)
{
    const char *names[FR_MAX_EVENT_TYPES + 3];
    int n = 0;
    uint32_t mask = 0;

    for (; n < spec->n_types; n++)
        names[n] = spec->type[n].name;
    names[n++] = "any";
    names[n++] = "positive";
    names[n++] = "shown";
    for (size_t from = 0; from <= v.n;) {
        size_t to = from;
        while (to < v.n && v.p[to] != '|')
            to++;
        struct fr_str word = {v.p + from, to - from};
        while (word.n > 0 && word.p[0] == ' ')
            word = (struct fr_str){word.p + 1, word.n - 1};
        while (word.n > 0 && word.p[word.n - 1] == ' ')
            word.n--;
        int i = find_name(word, names, n);
        if (i < 0) {
            struct place at = {p->line, p->col + (int)from, p->fault};
            return unknown_name(&at, "event type", word, names, n);
        }
        for (int t = 0; t < spec->n_types; t++)
            if (i == t || i == spec->n_types ||
                (i == spec->n_types + 1 && spec->type[t].positive > 0) ||
                (i == spec->n_types + 2 && spec->type[t].shown))
                mask |= 1u << t;
        from = to + 1;
    }
    *out = mask;
    return FR_OK;
}

static enum fr_err parse_number(
    const struct place *p, const char *what, struct fr_str v, double lo, double hi, double *out)
{
    double x;
    if (fr_str_to_f64(v, &x) != FR_OK || x < lo || x > hi)
        return fr_fault(p->fault,
                        FR_ERANGE,
                        "features line %d, column %d: %s must be a number from %g to %g",
                        p->line,
                        p->col,
                        what,
                        lo,
                        hi);
    *out = x;
    return FR_OK;
}

static enum fr_err parse_half_life(const struct fr_spec *spec,
                                   const struct place *p,
                                   enum fr_entity entity,
                                   struct fr_str v,
                                   int *out)
{
    const int64_t *known =
        entity == FR_ENTITY_ITEM ? spec->item_half_life_ms : spec->user_half_life_ms;
    int64_t ms;
    if (fr_duration_parse(v, &ms) != FR_OK)
        return fr_fault(p->fault,
                        FR_ESYNTAX,
                        "features line %d, column %d: \"%.*s\" is no duration (a number and one of "
                        "ms, s, m, h, d)",
                        p->line,
                        p->col,
                        FR_STR_ARG(v));
    for (int k = 0; k < FR_HALF_LIVES; k++)
        if (known[k] == ms) {
            *out = k;
            return FR_OK;
        }
    return fr_fault(p->fault,
                    FR_EINVAL,
                    "features line %d, column %d: half_life must be one of the configured %s "
                    "half-lives, %lld ms and %lld ms",
                    p->line,
                    p->col,
                    fr_entity_name(entity),
                    (long long)known[0],
                    (long long)known[1]);
}

static enum fr_err parse_entity(const struct place *p, struct fr_str v, enum fr_entity *out)
{
    static const char *const names[] = {"user", "item"};
    int i;
    enum fr_err e = one_of(p, "entity", v, names, 2, &i);
    if (e == FR_OK)
        *out = i == 0 ? FR_ENTITY_USER : FR_ENTITY_ITEM;
    return e;
}

/* The names that `field=` (or `source=`) takes depend on the kind. */
static enum fr_err parse_what(const struct place *p, enum fr_kind kind, struct fr_str v, int *out)
{
    switch (kind) {
    case FR_KIND_CONTEXT:
        return one_of(p, "context field", v, context_names, 4, out);
    case FR_KIND_ATTRIBUTE:
        return one_of(p, "attribute", v, attribute_names, 4, out);
    case FR_KIND_HISTORY_RECENCY:
        return one_of(p, "history field", v, history_names, 2, out);
    default:
        return one_of(p, "candidate source", v, source_names, FR_SOURCE_REQUEST, out);
    }
}

static enum fr_err set_arg(const struct fr_spec *spec,
                           const struct place *p,
                           const struct kind_row *row,
                           enum arg a,
                           struct fr_str v,
                           struct fr_feature *ft)
{
    static const char *const as_names[] = {"bucket", "number"};
    double x = 0;
    int i = 0;
    enum fr_err e;

    switch (a) {
    case ARG_ENTITY:
        return FR_OK; /* read first, see read_args() */
    case ARG_TYPE:
    case ARG_TYPES:
    case ARG_OVER:
        return parse_types(spec, p, v, &ft->types);
    case ARG_OF:
        return parse_types(spec, p, v, &ft->of);
    case ARG_HALF_LIFE:
        return parse_half_life(spec, p, ft->entity, v, &ft->half_life);
    case ARG_AS:
        e = one_of(p, "cell form", v, as_names, 2, &i);
        if (e == FR_OK)
            ft->number = i == 1;
        return e;
    case ARG_N:
        e = parse_number(p, "n", v, 1, row->n_max, &x);
        if (e == FR_OK)
            ft->n = (uint32_t)x;
        return e;
    case ARG_FIELD:
    case ARG_SOURCE:
        return parse_what(p, ft->kind, v, &ft->what);
    case ARG_PRIOR:
        return parse_number(p, "prior", v, 1e-6, 1, &ft->prior);
    case ARG_STRENGTH:
        return parse_number(p, "strength", v, 1e-3, 1e6, &ft->strength);
    case ARG_COUNT:
        break;
    }
    return FR_EINTERNAL;
}

/* ---- fields ---- */

static const char *attribute_table(int what)
{
    return what == FR_ATTR_BRAND ? "brand" : what == FR_ATTR_TAGS ? "tag" : "category";
}

static uint32_t vocab_of(const struct fr_spec *spec, const struct fr_feature *ft)
{
    switch (ft->kind) {
    case FR_KIND_CONTEXT:
        return ft->what == FR_CONTEXT_HOUR      ? 25
               : ft->what == FR_CONTEXT_WEEKDAY ? 8
                                                : (uint32_t)spec->n_types + 1;
    case FR_KIND_RECENCY:
    case FR_KIND_FIRST_SEEN:
    case FR_KIND_ITEM_AGE:
        return FR_BUCKETS_AGE;
    case FR_KIND_RATIO:
        return FR_BUCKETS_RATE;
    case FR_KIND_ATTRIBUTE:
        return FR_BUCKETS_PRICE;
    case FR_KIND_HISTORY_COUNT:
        return FR_BUCKETS_TIMES;
    case FR_KIND_HISTORY_RECENCY:
        return ft->what == FR_HISTORY_AGE ? FR_BUCKETS_AGE + 1 : FR_BUCKETS_PLACE;
    case FR_KIND_CATEGORY_SHARE:
        return FR_BUCKETS_SHARE;
    case FR_KIND_SEEN:
        return 3;
    case FR_KIND_SOURCE_RANK:
        return FR_BUCKETS_RANK;
    default:
        return FR_BUCKETS_COUNT;
    }
}

/* ID space of a feature's cells, NULL when its cells are no ids */
static const char *id_table(const struct fr_feature *ft)
{
    switch (ft->kind) {
    case FR_KIND_USER_ID:
        return "user";
    case FR_KIND_HISTORY:
    case FR_KIND_ITEM_ID:
        return "item";
    case FR_KIND_TITLE_WORDS:
        return "word";
    case FR_KIND_CONTEXT:
        return ft->what == FR_CONTEXT_DEVICE ? "device" : NULL;
    case FR_KIND_ATTRIBUTE:
        return ft->what == FR_ATTR_PRICE ? NULL : attribute_table(ft->what);
    default:
        return NULL;
    }
}

static enum fr_err add_field(struct fr_spec *spec, const char *name, struct fr_feature *ft)
{
    const char *table = id_table(ft);
    bool many = ft->kind == FR_KIND_HISTORY || ft->kind == FR_KIND_TITLE_WORDS ||
                (ft->kind == FR_KIND_ATTRIBUTE && ft->what != FR_ATTR_PRICE);
    uint16_t slots = many ? (uint16_t)ft->n : 1;
    bool number = ft->number || ft->kind == FR_KIND_RETRIEVAL_SCORE;

    if (table != NULL)
        return fr_field_add(&spec->fields, name, ft->entity, FR_FIELD_ID, table, 0, slots);
    if (number)
        return fr_field_add(&spec->fields, name, ft->entity, FR_FIELD_NUMERIC, "", 0, 1);
    return fr_field_add(
        &spec->fields, name, ft->entity, FR_FIELD_BUCKET, "", vocab_of(spec, ft), 1);
}

/* ---- one line ---- */

static enum fr_err find_kind(const struct fr_line *l, int no, enum fr_kind *out, struct fr_fault *f)
{
    const char *names[FR_KIND_COUNT];
    struct place p = {no, l->kind_col, f};
    int k = 0;
    for (int i = 0; i < FR_KIND_COUNT; i++)
        names[i] = kinds[i].name;
    enum fr_err e = one_of(&p, "kind", l->kind, names, FR_KIND_COUNT, &k);
    if (e == FR_OK)
        *out = (enum fr_kind)k;
    return e;
}

/* Resolve an argument's name among those the kind allows. */
static enum fr_err find_arg(const struct kind_row *row,
                            const struct fr_line_arg *a,
                            int no,
                            enum arg *out,
                            struct fr_fault *f)
{
    const char *names[ARG_COUNT];
    enum arg ids[ARG_COUNT];
    struct place p = {no, a->name_col, f};
    int n = 0, i = 0;

    for (int k = 0; k < ARG_COUNT; k++)
        if (row->args & (1u << k)) {
            names[n] = arg_names[k];
            ids[n++] = (enum arg)k;
        }
    if (n == 0)
        return fr_fault(f,
                        FR_EINVAL,
                        "features line %d, column %d: %s takes no arguments",
                        no,
                        a->name_col,
                        row->name);
    enum fr_err e = one_of(&p, "argument", a->name, names, n, &i);
    if (e == FR_OK)
        *out = ids[i];
    return e;
}

static enum fr_err read_args(const struct fr_spec *spec,
                             const struct fr_line *l,
                             int no,
                             struct fr_feature *ft,
                             struct fr_fault *f)
{
    const struct kind_row *row = &kinds[ft->kind];
    enum arg id[FR_LINE_MAX_ARGS];
    unsigned given = 0;
    enum fr_err e;

    for (int i = 0; i < l->n_args; i++) {
        struct place p = {no, l->arg[i].value_col, f};
        e = find_arg(row, &l->arg[i], no, &id[i], f);
        if (e == FR_OK && id[i] == ARG_ENTITY)
            e = parse_entity(&p, l->arg[i].value, &ft->entity);
        if (e != FR_OK)
            return e;
        given |= 1u << id[i];
    }
    if ((given & TYPE_ARGS) == TYPE_ARGS)
        return fr_fault(
            f, FR_EDUPLICATE, "features line %d, column %d: both type and types", no, l->kind_col);
    for (int k = 0; k < ARG_COUNT; k++)
        if ((row->required & ~given) & (1u << k))
            return fr_fault(f,
                            FR_EINVAL,
                            "features line %d, column %d: %s needs the argument \"%s\"",
                            no,
                            l->kind_col,
                            row->name,
                            arg_names[k]);
    for (int i = 0; i < l->n_args; i++) {
        struct place p = {no, l->arg[i].value_col, f};
        e = set_arg(spec, &p, row, id[i], l->arg[i].value, ft);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

enum fr_err
fr_spec_add_feature(struct fr_spec *spec, struct fr_str text, int no, struct fr_fault *f)
{
    struct fr_line l;
    char name[FR_FIELD_NAME];
    enum fr_err e = fr_line_parse(text, no, &l, f);
    if (e != FR_OK)
        return e;
    if (spec->n_feat == FR_MAX_FIELDS)
        return fr_fault(f, FR_EFULL, "features line %d: more than %d features", no, FR_MAX_FIELDS);
    if (l.name.n >= sizeof name)
        return fr_fault(f,
                        FR_ERANGE,
                        "features line %d, column %d: name longer than %d bytes",
                        no,
                        l.name_col,
                        FR_FIELD_NAME - 1);
    memcpy(name, l.name.p, l.name.n);
    name[l.name.n] = '\0';

    struct fr_feature ft = {.types = (1u << spec->n_types) - 1, .column = -1};
    e = find_kind(&l, no, &ft.kind, f);
    if (e != FR_OK)
        return e;
    ft.entity = kinds[ft.kind].entity;
    ft.n = kinds[ft.kind].n;
    ft.prior = 0.05;
    ft.strength = 20;
    e = read_args(spec, &l, no, &ft, f);
    if (e != FR_OK)
        return e;
    if (ft.n > spec->history_length &&
        (ft.kind == FR_KIND_HISTORY || ft.kind == FR_KIND_CATEGORY_SHARE))
        ft.n = spec->history_length;
    if (ft.kind == FR_KIND_SEEN && spec->seen_cap == 0)
        return fr_fault(f,
                        FR_EINVAL,
                        "features line %d, column %d: seen() needs a seen set (its cap is 0)",
                        no,
                        l.kind_col);
    ft.field = spec->fields.n;
    e = add_field(spec, name, &ft);
    if (e != FR_OK)
        return fr_fault(f,
                        e,
                        "features line %d, column %d: %s \"%s\"",
                        no,
                        l.name_col,
                        e == FR_EDUPLICATE ? "a second feature named" : "cannot add the feature",
                        name);
    if (ft.entity == FR_ENTITY_ITEM &&
        (ft.kind == FR_KIND_DECAYED_COUNT || ft.kind == FR_KIND_RATIO)) {
        ft.column = spec->n_columns;
        spec->column_feat[spec->n_columns++] = spec->n_feat;
    }
    spec->feat[spec->n_feat++] = ft;
    return FR_OK;
}
