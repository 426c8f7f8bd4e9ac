/*
 * tests/support/xml_check.c - one pass, a stack of element names.
 */
#include "tests/support/xml_check.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define DEPTH 64
#define ATTRIBUTES 32

struct reader {
    const unsigned char *p;
    size_t n, at;
    const char *wrong;
    struct {
        size_t from, n;
    } open[DEPTH];
    int depth;
};

static bool bad(struct reader *r, const char *what)
{
    if (r->wrong == NULL)
        r->wrong = what;
    return false;
}

static bool name_char(unsigned char c)
{
    return isalnum(c) || c == '-' || c == '_' || c == ':' || c == '.';
}

static size_t name(struct reader *r)
{
    size_t from = r->at;

    if (r->at < r->n && !isalpha(r->p[r->at]))
        return 0;
    while (r->at < r->n && name_char(r->p[r->at]))
        r->at++;
    return r->at - from;
}

static bool entity(struct reader *r)
{
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"};
    size_t at = r->at + 2;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t n = strlen(known[i]);

        if (r->n - r->at >= n && memcmp(r->p + r->at, known[i], n) == 0) {
            r->at += n;
            return true;
        }
    }
    if (r->n - r->at < 4 || r->p[r->at + 1] != '#')
        return bad(r, "a bare & or unknown entity");
    while (at < r->n && isdigit(r->p[at]))
        at++;
    if (at == r->at + 2 || at >= r->n || r->p[at] != ';')
        return bad(r, "a broken number entity");
    r->at = at + 1;
    return true;
}

/* One character of text or of an attribute's value: XML's Char as valid UTF-8. */
static bool character(struct reader *r)
{
    unsigned char c = r->p[r->at];
    size_t n = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
    uint32_t v = n == 1 ? c : n == 2 ? c & 0x1Fu : n == 3 ? c & 0x0Fu : c & 0x07u;

    if (c == '&')
        return entity(r);
    if (n == 0 || r->n - r->at < n)
        return bad(r, "broken UTF-8");
    for (size_t i = 1; i < n; i++) {
        if ((r->p[r->at + i] & 0xC0) != 0x80)
            return bad(r, "broken UTF-8");
        v = v << 6 | (r->p[r->at + i] & 0x3Fu);
    }
    if ((v < 0x20 && v != '\t' && v != '\n' && v != '\r') || (v >= 0xD800 && v < 0xE000) || v == 0xFFFE ||
        v == 0xFFFF || v > 0x10FFFF || (n == 3 && v < 0x800) || (n == 4 && v < 0x10000))
        return bad(r, "a character that XML may not hold");
    r->at += n;
    return true;
}

/* name="value", each name once; `at` behind the element's name. */
static bool attributes(struct reader *r)
{
    struct {
        size_t from, n;
    } seen[ATTRIBUTES];
    int k = 0;

    for (;;) {
        size_t from, n, before = r->at;

        while (r->at < r->n && isspace(r->p[r->at]))
            r->at++;
        if (r->at < r->n && (r->p[r->at] == '>' || r->p[r->at] == '/'))
            return true;
        if (r->at == before)
            return bad(r, "no space before an attribute");
        from = r->at;
        n = name(r);
        if (n == 0 || r->n - r->at < 2 || r->p[r->at] != '=' || r->p[r->at + 1] != '"')
            return bad(r, "not an attribute");
        for (int i = 0; i < k; i++)
            if (seen[i].n == n && memcmp(r->p + seen[i].from, r->p + from, n) == 0)
                return bad(r, "an attribute twice");
        if (k == ATTRIBUTES)
            return bad(r, "too many attributes");
        seen[k].from = from;
        seen[k++].n = n;
        r->at += 2;
        while (r->at < r->n && r->p[r->at] != '"') {
            if (r->p[r->at] == '<')
                return bad(r, "< in a value");
            if (!character(r))
                return false;
        }
        if (r->at++ >= r->n)
            return bad(r, "an open value");
    }
}

static bool tag(struct reader *r)
{
    bool closing = r->n - r->at > 1 && r->p[r->at + 1] == '/';
    size_t from, n;

    r->at += closing ? 2 : 1;
    from = r->at;
    n = name(r);
    if (n == 0)
        return bad(r, "not an element");
    if (closing) {
        if (r->depth == 0 || r->open[r->depth - 1].n != n ||
            memcmp(r->p + r->open[r->depth - 1].from, r->p + from, n) != 0)
            return bad(r, "closes another element");
        r->depth--;
    } else {
        if (!attributes(r))
            return false;
        if (r->p[r->at] == '/') {
            r->at++;
        } else if (r->depth == DEPTH) {
            return bad(r, "too deep");
        } else {
            r->open[r->depth].from = from;
            r->open[r->depth++].n = n;
        }
    }
    if (r->at >= r->n || r->p[r->at] != '>')
        return bad(r, "an open tag");
    r->at++;
    return true;
}

bool xml_well_formed(const char *text, size_t n, char why[160])
{
    struct reader r = {.p = (const unsigned char *)text, .n = n};
    int roots = 0;

    while (r.at < n && r.wrong == NULL) {
        if (r.p[r.at] == '<') {
            roots += r.depth == 0;
            (void)tag(&r);
        } else if (r.depth == 0) {
            if (!isspace(r.p[r.at]))
                (void)bad(&r, "text outside the root");
            r.at++;
        } else if (r.p[r.at] == '>') {
            (void)bad(&r, "a bare >");
        } else {
            (void)character(&r);
        }
    }
    if (r.wrong == NULL && (r.depth != 0 || roots != 1))
        (void)bad(&r, "not one whole root");
    if (r.wrong != NULL)
        (void)snprintf(why, 160, "%s at byte %zu: %.60s", r.wrong, r.at, r.at < n ? text + r.at : "");
    return r.wrong == NULL;
}

size_t xml_count(const char *text, const char *what)
{
    size_t n = 0;

    for (const char *p = text; (p = strstr(p, what)) != NULL; p += strlen(what))
        n++;
    return n;
}
