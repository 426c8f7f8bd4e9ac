/*
 * daemon/config_yaml.c - the YAML file: a mapping of sections, each a mapping of keys to scalars or
 * sequences of scalars. libyaml gives the tokens and their lines; anchors, aliases, tags and deeper
 * nesting are refused.
 */
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/config.h"
#include "daemon/config_row.h"

#define MAX_LIST 256
#define MAX_FILE (1 << 20)

struct loader {
    struct fr_config *c;
    const char *name;
    yaml_parser_t parser;
    struct fr_fault *fault;
    bool seen[512]; /* by row index */
    char where[256];
};

static const char *at(struct loader *l, const yaml_event_t *ev)
{
    snprintf(l->where, sizeof(l->where), "%.200s:%lu: ", l->name,
             (unsigned long)ev->start_mark.line + 1);
    return l->where;
}

/* Does the event carry an anchor ("&a") or a tag ("!!binary")? */
static bool decorated(const yaml_event_t *ev)
{
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        return ev->data.scalar.anchor != NULL || ev->data.scalar.tag != NULL;
    case YAML_SEQUENCE_START_EVENT:
        return ev->data.sequence_start.anchor != NULL || ev->data.sequence_start.tag != NULL;
    case YAML_MAPPING_START_EVENT:
        return ev->data.mapping_start.anchor != NULL || ev->data.mapping_start.tag != NULL;
    default:
        return false;
    }
}

static enum fr_err next_event(struct loader *l, yaml_event_t *ev)
{
    if (!yaml_parser_parse(&l->parser, ev)) {
        const char *what = l->parser.problem == NULL ? "malformed YAML" : l->parser.problem;
        return fr_fault(l->fault, FR_ESYNTAX, "%.200s:%lu: %s", l->name,
                        (unsigned long)l->parser.problem_mark.line + 1, what);
    }
    if (ev->type == YAML_ALIAS_EVENT || decorated(ev)) {
        enum fr_err e = fr_fault(l->fault, FR_ESCHEMA, "%sanchors, aliases and tags are not allowed", at(l, ev));
        yaml_event_delete(ev);
        return e;
    }
    return FR_OK;
}

static struct fr_str scalar(const yaml_event_t *ev)
{
    return (struct fr_str){(const char *)ev->data.scalar.value, ev->data.scalar.length};
}

/* Items up to the end of the sequence into the list row. */
static enum fr_err load_list(struct loader *l, const struct fr_config_row *row)
{
    struct fr_str items[MAX_LIST];
    int n = 0;
    enum fr_err e = FR_OK;

    for (;;) {
        yaml_event_t ev;
        bool end;

        e = next_event(l, &ev);
        if (e != FR_OK)
            break;
        end = ev.type == YAML_SEQUENCE_END_EVENT;
        if (!end && ev.type != YAML_SCALAR_EVENT)
            e = fr_fault(l->fault, FR_ESCHEMA, "%s%s.%s: a list of plain values is expected",
                         at(l, &ev), row->section, row->key);
        else if (!end && n == MAX_LIST)
            e = fr_fault(l->fault, FR_ETOOLARGE, "%s%s.%s: more than %d entries", at(l, &ev),
                         row->section, row->key, MAX_LIST);
        else if (!end && memchr(ev.data.scalar.value, '\0', ev.data.scalar.length) != NULL)
            e = fr_fault(l->fault, FR_ESCHEMA, "%s%s.%s: NUL byte", at(l, &ev), row->section,
                         row->key);
        if (!end && e == FR_OK) {
            items[n].p = fr_memdup0(scalar(&ev).p, scalar(&ev).n);
            items[n].n = scalar(&ev).n;
            if (items[n].p == NULL)
                e = fr_fault(l->fault, FR_ENOMEM, "out of memory");
            else
                n++;
        }
        yaml_event_delete(&ev);
        if (end || e != FR_OK)
            break;
    }
    if (e == FR_OK)
        e = fr_config_put_list(l->c, row, items, n, l->fault);
    for (int i = 0; i < n; i++) {
        union {
            const char *c;
            char *m;
        } u = {items[i].p};
        fr_free(u.m);
    }
    return e;
}

static enum fr_err load_value(struct loader *l, struct fr_str section, struct fr_str key, const char *where)
{
    const struct fr_config_row *row = fr_config_find(section, key);
    yaml_event_t ev;
    enum fr_err e;

    if (row == NULL)
        return fr_config_unknown(section, key, where, l->fault);
    if (l->seen[row - fr_config_rows])
        return fr_fault(l->fault, FR_EDUPLICATE, "%s%s.%s is given twice", where, row->section,
                        row->key);
    l->seen[row - fr_config_rows] = true;
    e = next_event(l, &ev);
    if (e != FR_OK)
        return e;
    if (ev.type == YAML_SCALAR_EVENT && row->type == FR_CONFIG_LIST && ev.data.scalar.length == 0)
        e = fr_config_put_list(l->c, row, NULL, 0, l->fault);
    else if (ev.type == YAML_SCALAR_EVENT)
        e = fr_config_put(l->c, row, scalar(&ev), at(l, &ev), l->fault);
    else if (ev.type == YAML_SEQUENCE_START_EVENT && row->type == FR_CONFIG_LIST)
        e = load_list(l, row);
    else
        e = fr_fault(l->fault, FR_ESCHEMA, "%s%s.%s: a %s is expected", at(l, &ev), row->section,
                     row->key, row->type == FR_CONFIG_LIST ? "list" : "single value");
    yaml_event_delete(&ev);
    return e;
}

static enum fr_err load_section(struct loader *l, struct fr_str section)
{
    for (;;) {
        yaml_event_t ev;
        enum fr_err e = next_event(l, &ev);
        bool end;

        if (e != FR_OK)
            return e;
        end = ev.type == YAML_MAPPING_END_EVENT;
        if (!end && ev.type != YAML_SCALAR_EVENT) {
            e = fr_fault(l->fault, FR_ESCHEMA, "%sa key is expected", at(l, &ev));
        } else if (!end) {
            char where[256];
            snprintf(where, sizeof(where), "%s", at(l, &ev));
            e = load_value(l, section, scalar(&ev), where);
        }
        yaml_event_delete(&ev);
        if (end || e != FR_OK)
            return e;
    }
}

static bool known_section(struct fr_str s)
{
    for (int i = 0; i < fr_config_n_rows; i++)
        if (fr_str_eqz(s, fr_config_rows[i].section))
            return true;
    return false;
}

static enum fr_err unknown_section(struct loader *l, const yaml_event_t *ev)
{
    const char *names[512];
    int n = 0, best;

    for (int i = 0; i < fr_config_n_rows; i++)
        if (n == 0 || strcmp(names[n - 1], fr_config_rows[i].section) != 0)
            names[n++] = fr_config_rows[i].section;
    best = fr_str_nearest(scalar(ev), names, n);
    return fr_fault(l->fault, FR_ESCHEMA, "%sunknown section \"%.*s\"%s%s%s", at(l, ev),
                    (int)(scalar(ev).n > 60 ? 60 : scalar(ev).n), scalar(ev).p,
                    best < 0 ? "" : "; did you mean ", best < 0 ? "" : names[best],
                    best < 0 ? "" : "?");
}

/* One "section: {...}"; *out_end at the end of the top mapping. */
static enum fr_err load_top(struct loader *l, bool *out_end)
{
    yaml_event_t key, open;
    enum fr_err e = next_event(l, &key);

    if (e != FR_OK)
        return e;
    if (key.type == YAML_MAPPING_END_EVENT) {
        *out_end = true;
    } else if (key.type != YAML_SCALAR_EVENT) {
        e = fr_fault(l->fault, FR_ESCHEMA, "%sa section name is expected", at(l, &key));
    } else if (!known_section(scalar(&key))) {
        e = unknown_section(l, &key);
    } else {
        e = next_event(l, &open);
        if (e == FR_OK) {
            bool empty = open.type == YAML_SCALAR_EVENT && open.data.scalar.length == 0;
            if (open.type == YAML_MAPPING_START_EVENT)
                e = load_section(l, scalar(&key));
            else if (!empty)
                e = fr_fault(l->fault, FR_ESCHEMA, "%ssection %.*s: a mapping is expected",
                             at(l, &open), FR_STR_ARG(scalar(&key)));
            yaml_event_delete(&open);
        }
    }
    yaml_event_delete(&key);
    return e;
}

static enum fr_err load_document(struct loader *l)
{
    enum fr_err e = FR_OK;
    bool in_map = false, done = false;

    while (e == FR_OK && !done) {
        yaml_event_t ev;
        if (in_map) {
            bool end = false;
            e = load_top(l, &end);
            in_map = !end;
            continue;
        }
        e = next_event(l, &ev);
        if (e != FR_OK)
            break;
        if (ev.type == YAML_MAPPING_START_EVENT)
            in_map = true;
        else if (ev.type == YAML_STREAM_END_EVENT)
            done = true;
        else if (ev.type == YAML_SEQUENCE_START_EVENT ||
                 (ev.type == YAML_SCALAR_EVENT && ev.data.scalar.length > 0))
            e = fr_fault(l->fault, FR_ESCHEMA, "%sa mapping of sections is expected", at(l, &ev));
        yaml_event_delete(&ev);
    }
    return e;
}

enum fr_err fr_config_load_text(struct fr_config *c,
                                const char *name,
                                const char *text,
                                size_t n,
                                struct fr_fault *fault)
{
    struct loader *l = fr_calloc(1, sizeof(*l));
    enum fr_err e;

    if (l == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    l->c = c;
    l->name = name;
    l->fault = fault;
    if (!yaml_parser_initialize(&l->parser)) {
        fr_free(l);
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    }
    yaml_parser_set_input_string(&l->parser, (const unsigned char *)text, n);
    yaml_parser_set_encoding(&l->parser, YAML_UTF8_ENCODING);
    e = load_document(l);
    yaml_parser_delete(&l->parser);
    fr_free(l);
    return e;
}

enum fr_err fr_config_load_file(struct fr_config *c, const char *path, struct fr_fault *fault)
{
    char *text;
    size_t n;
    enum fr_err e = fr_file_read(path, MAX_FILE, &text, &n, fault);

    if (e != FR_OK)
        return e;
    e = fr_config_load_text(c, path, text, n, fault);
    fr_free(text);
    return e;
}
