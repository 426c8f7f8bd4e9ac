/*
 * tests/support/json_schema.c - see the header. Recursion over the schema and the document: both
 * are ours and shallow (the parser's limit is 32).
 */
#include "tests/support/json_schema.h"

#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/arena.h"
#include "daemon/base/file.h"
#include "daemon/base/json.h"

struct run {
    const struct fr_json *root; /* of the schema, for $ref */
    char *why;
    size_t cap;
};

static bool valid(struct run *r, const struct fr_json *s, const struct fr_json *v);

static bool no(struct run *r, const char *keyword, const struct fr_json *v)
{
    if (r->why[0] == '\0')
        snprintf(r->why, r->cap, "%s at byte %zu", keyword, v->offset);
    return false;
}

static bool equal(const struct fr_json *a, const struct fr_json *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case FR_JSON_STRING:
        return fr_str_eq(a->str, b->str);
    case FR_JSON_NUMBER:
        return a->num <= b->num && a->num >= b->num;
    case FR_JSON_BOOL:
        return a->b == b->b;
    case FR_JSON_NULL:
        return true;
    default:
        return false; /* our schemas name scalars only */
    }
}

static bool is_type(struct fr_str name, const struct fr_json *v)
{
    static const char *const NAMES[] = {"null", "boolean", "number", "string", "array", "object"};
    if (fr_str_eqz(name, "integer"))
        return v->type == FR_JSON_NUMBER && v->is_int;
    return fr_str_eqz(name, NAMES[v->type]);
}

static bool check_type(const struct fr_json *k, const struct fr_json *v)
{
    if (k->type == FR_JSON_STRING)
        return is_type(k->str, v);
    for (const struct fr_json *c = k->child; c != NULL; c = c->next)
        if (is_type(c->str, v))
            return true;
    return false;
}

static double code_points(struct fr_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return (double)n;
}

static bool check_pattern(const struct fr_json *k, const struct fr_json *v)
{
    char pattern[200], text[400];
    regex_t re;
    if (k->str.n >= sizeof pattern || v->str.n >= sizeof text ||
        memchr(v->str.p, '\0', v->str.n) != NULL)
        return false;
    snprintf(pattern, sizeof pattern, "%.*s", FR_STR_ARG(k->str));
    snprintf(text, sizeof text, "%.*s", FR_STR_ARG(v->str));
    if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    bool ok = regexec(&re, text, 0, NULL, 0) == 0;
    regfree(&re);
    return ok;
}

static bool check_object(struct run *r, const struct fr_json *s, const struct fr_json *v)
{
    const struct fr_json *props = fr_json_get(s, "properties");
    const struct fr_json *more = fr_json_get(s, "additionalProperties");
    for (const struct fr_json *c = v->child; c != NULL; c = c->next) {
        const struct fr_json *p = props == NULL ? NULL : props->child;
        while (p != NULL && !fr_str_eq(p->key, c->key))
            p = p->next;
        if (p != NULL) {
            if (!valid(r, p, c))
                return false;
        } else if (more != NULL && more->type == FR_JSON_BOOL) {
            if (!more->b)
                return no(r, "additionalProperties", c);
        } else if (more != NULL && !valid(r, more, c)) {
            return false;
        }
    }
    return true;
}

static bool check_required(const struct fr_json *k, const struct fr_json *v)
{
    char name[100];
    for (const struct fr_json *c = k->child; c != NULL; c = c->next) {
        snprintf(name, sizeof name, "%.*s", FR_STR_ARG(c->str));
        if (fr_json_get(v, name) == NULL)
            return false;
    }
    return true;
}

static bool check_ref(struct run *r, const struct fr_json *k, const struct fr_json *v)
{
    char name[100];
    snprintf(name, sizeof name, "%.*s", FR_STR_ARG(k->str));
    const struct fr_json *def = strncmp(name, "#/$defs/", 8) != 0
                                    ? NULL
                                    : fr_json_get(fr_json_get(r->root, "$defs"), name + 8);
    return def == NULL ? no(r, "$ref leads nowhere", k) : valid(r, def, v);
}

static bool check_any(struct run *r, const struct fr_json *k, const struct fr_json *v)
{
    char quiet[8];
    for (const struct fr_json *c = k->child; c != NULL; c = c->next) {
        struct run inner = {r->root, quiet, sizeof quiet};
        quiet[0] = '\0';
        if (valid(&inner, c, v))
            return true;
    }
    return false;
}

static bool check_not(struct run *r, const struct fr_json *k, const struct fr_json *v)
{
    char quiet[8] = "";
    struct run inner = {r->root, quiet, sizeof quiet};
    return !valid(&inner, k, v);
}

/* One keyword: -1 unknown, 0 violated, 1 fine. */
static int keyword(struct run *r, const struct fr_json *k, const struct fr_json *v)
{
    static const char *const NOTES[] = {
        "$schema", "$id", "title", "description", "$defs", "properties", "additionalProperties"};
    bool num = v->type == FR_JSON_NUMBER, str = v->type == FR_JSON_STRING,
         arr = v->type == FR_JSON_ARRAY;
    for (size_t i = 0; i < sizeof NOTES / sizeof NOTES[0]; i++)
        if (fr_str_eqz(k->key, NOTES[i]))
            return 1;
    if (fr_str_eqz(k->key, "type"))
        return check_type(k, v);
    if (fr_str_eqz(k->key, "$ref"))
        return check_ref(r, k, v);
    if (fr_str_eqz(k->key, "anyOf"))
        return check_any(r, k, v);
    if (fr_str_eqz(k->key, "not"))
        return check_not(r, k, v);
    if (fr_str_eqz(k->key, "const"))
        return equal(k, v);
    if (fr_str_eqz(k->key, "enum")) {
        for (const struct fr_json *c = k->child; c != NULL; c = c->next)
            if (equal(c, v))
                return 1;
        return 0;
    }
    if (fr_str_eqz(k->key, "required"))
        return v->type != FR_JSON_OBJECT || check_required(k, v);
    if (fr_str_eqz(k->key, "minimum"))
        return !num || v->num >= k->num;
    if (fr_str_eqz(k->key, "maximum"))
        return !num || v->num <= k->num;
    if (fr_str_eqz(k->key, "minLength"))
        return !str || code_points(v->str) >= k->num;
    if (fr_str_eqz(k->key, "maxLength"))
        return !str || code_points(v->str) <= k->num;
    if (fr_str_eqz(k->key, "pattern"))
        return !str || check_pattern(k, v);
    if (fr_str_eqz(k->key, "minItems"))
        return !arr || (double)v->n >= k->num;
    if (fr_str_eqz(k->key, "maxItems"))
        return !arr || (double)v->n <= k->num;
    if (fr_str_eqz(k->key, "items")) {
        for (const struct fr_json *c = arr ? v->child : NULL; c != NULL; c = c->next)
            if (!valid(r, k, c))
                return 0;
        return 1;
    }
    return -1;
}

static bool valid(struct run *r, const struct fr_json *s, const struct fr_json *v)
{
    char name[64];
    for (const struct fr_json *k = s->child; k != NULL; k = k->next) {
        int ok = keyword(r, k, v);
        snprintf(name,
                 sizeof name,
                 "%s%.*s",
                 ok < 0 ? "unknown keyword " : "",
                 (int)(k->key.n < 40 ? k->key.n : 40),
                 k->key.p);
        if (ok <= 0)
            return no(r, name, v);
    }
    return v->type != FR_JSON_OBJECT || check_object(r, s, v);
}

bool json_schema_valid(const char *name, struct fr_str json, char *why, size_t cap)
{
    char path[1000];
    char *text = NULL;
    size_t n = 0;
    struct fr_fault fault = {0};
    struct fr_arena *ar = NULL;
    const struct fr_json *doc = NULL;
    struct fr_json_error je = {0};
    struct run r = {NULL, why, cap};
    bool ok = false;
    why[0] = '\0';
    snprintf(path, sizeof path, "%s/../deploy/schemas/%s.schema.json", FR_TEST_DIR, name);
    if (fr_file_read(path, 1000000, &text, &n, &fault) != FR_OK ||
        fr_arena_new(65536, 0, &ar) != FR_OK)
        snprintf(why, cap, "%s", fault.msg);
    else if (fr_json_parse(ar, (struct fr_str){text, n}, &r.root, &je) != FR_OK)
        snprintf(why, cap, "schema: %s at byte %zu", je.what, je.offset);
    else if (fr_json_parse(ar, json, &doc, &je) != FR_OK)
        snprintf(why, cap, "document: %s at byte %zu", je.what, je.offset);
    else
        ok = valid(&r, r.root, doc);
    fr_arena_free(ar);
    fr_free(text);
    return ok;
}
