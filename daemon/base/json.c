/*
 * daemon/base/json.c - strict JSON parser: one pass, an explicit stack of open containers, nodes in
 * the caller's arena. Duplicate keys: small objects by comparing with earlier members, objects past
 * DUP_LINEAR members through a hash table in the arena.
 */
#include "daemon/base/json.h"

#include "daemon/base/hash.h"

#define DUP_LINEAR 16

struct open_container {
    struct fr_json *node;
    struct fr_json *last; /* newest child */
    uint64_t *seen;       /* hash set of member names, or NULL */
    size_t seen_cap;
};

struct parser {
    struct fr_arena *ar;
    const char *p;
    size_t n, at;
    struct open_container open[FR_JSON_MAX_DEPTH];
    int depth;
    struct fr_json_error err;
};

static enum fr_err fail(struct parser *ps, enum fr_err e, size_t at, const char *what)
{
    ps->err.err = e;
    ps->err.offset = at;
    ps->err.what = what;
    return e;
}

static void skip_space(struct parser *ps)
{
    while (ps->at < ps->n) {
        char c = ps->p[ps->at];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            break;
        ps->at++;
    }
}

/* ---- UTF-8 ---- */

/* Length of the valid sequence at p (n bytes left), 0 if it is none. */
static size_t utf8_len(const unsigned char *p, size_t n)
{
    unsigned char c = p[0];

    if (c < 0x80)
        return 1;
    if (c >= 0xC2 && c <= 0xDF)
        return n >= 2 && (p[1] & 0xC0) == 0x80 ? 2 : 0;
    if (c >= 0xE0 && c <= 0xEF) {
        if (n < 3 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80)
            return 0;
        if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F))
            return 0;
        return 3;
    }
    if (c >= 0xF0 && c <= 0xF4) {
        if (n < 4 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80 || (p[3] & 0xC0) != 0x80)
            return 0;
        if ((c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] > 0x8F))
            return 0;
        return 4;
    }
    return 0;
}

size_t fr_utf8_len(struct fr_str s)
{
    return s.n == 0 ? 0 : utf8_len((const unsigned char *)s.p, s.n);
}

bool fr_utf8_valid(struct fr_str s)
{
    size_t i = 0;

    while (i < s.n) {
        uint64_t eight;
        if (s.n - i >= sizeof eight) { /* ids and most text: eight ASCII bytes at a time */
            memcpy(&eight, s.p + i, sizeof eight);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                i += sizeof eight;
                continue;
            }
        }
        if ((unsigned char)s.p[i] < 0x80) {
            i++;
            continue;
        }
        size_t len = utf8_len((const unsigned char *)s.p + i, s.n - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

static size_t utf8_put(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | (c >> 6));
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | (c >> 12));
        out[1] = (char)(0x80 | ((c >> 6) & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | (c >> 18));
    out[1] = (char)(0x80 | ((c >> 12) & 0x3F));
    out[2] = (char)(0x80 | ((c >> 6) & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* ---- strings ---- */

static int hex4(const struct parser *ps, size_t at, uint32_t *out)
{
    uint32_t v = 0;

    if (ps->n - at < 4)
        return 0;
    for (size_t i = 0; i < 4; i++) {
        char c = ps->p[at + i];
        uint32_t d;
        if (c >= '0' && c <= '9')
            d = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            d = (uint32_t)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            d = (uint32_t)(c - 'A') + 10;
        else
            return 0;
        v = v * 16 + d;
    }
    *out = v;
    return 1;
}

/* Code point of the escape "\uXXXX" whose backslash is at `at`; *used = bytes taken. */
static enum fr_err unicode_escape(struct parser *ps, size_t at, uint32_t *out, size_t *used)
{
    uint32_t hi, lo;

    if (!hex4(ps, at + 2, &hi))
        return fail(ps, FR_ESYNTAX, at, "bad \\u escape");
    *used = 6;
    *out = hi;
    if (hi >= 0xDC00 && hi <= 0xDFFF)
        return fail(ps, FR_EUTF8, at, "unpaired surrogate");
    if (hi < 0xD800 || hi > 0xDBFF)
        return FR_OK;
    if (ps->n - at < 12 || ps->p[at + 6] != '\\' || ps->p[at + 7] != 'u' ||
        !hex4(ps, at + 8, &lo) || lo < 0xDC00 || lo > 0xDFFF)
        return fail(ps, FR_EUTF8, at, "unpaired surrogate");
    *used = 12;
    *out = 0x10000 + ((hi - 0xD800) << 10) + (lo - 0xDC00);
    return FR_OK;
}

static int simple_escape(char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/':
        return c;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return -1;
    }
}

/* Find the closing quote, check every byte; *escapes tells whether unescaping is needed. */
static enum fr_err scan_string(struct parser *ps, size_t *end, bool *escapes)
{
    size_t i = ps->at + 1;

    *escapes = false;
    while (i < ps->n) {
        unsigned char c = (unsigned char)ps->p[i];
        size_t len;

        if (c == '"') {
            *end = i;
            return FR_OK;
        }
        if (c < 0x20)
            return fail(ps, FR_ESYNTAX, i, "control character in string");
        if (c == '\\') {
            *escapes = true;
            i += 2;
            continue;
        }
        len = utf8_len((const unsigned char *)ps->p + i, ps->n - i);
        if (len == 0)
            return fail(ps, FR_EUTF8, i, "invalid UTF-8");
        i += len;
    }
    return fail(ps, FR_ESYNTAX, ps->n, "string is not closed");
}

static enum fr_err unescape(struct parser *ps, size_t end, struct fr_str *out)
{
    size_t i = ps->at + 1, n = 0;
    char *buf = fr_arena_alloc(ps->ar, end - i);

    if (buf == NULL)
        return fail(ps, FR_ENOMEM, ps->at, "out of memory");
    while (i < end) {
        if (ps->p[i] != '\\') {
            buf[n++] = ps->p[i++];
        } else if (ps->p[i + 1] == 'u') {
            uint32_t c = 0;
            size_t used = 0;
            enum fr_err e = unicode_escape(ps, i, &c, &used);
            if (e != FR_OK)
                return e;
            n += utf8_put(buf + n, c);
            i += used;
        } else {
            int c = simple_escape(ps->p[i + 1]);
            if (c < 0)
                return fail(ps, FR_ESYNTAX, i, "unknown escape");
            buf[n++] = (char)c;
            i += 2;
        }
    }
    *out = (struct fr_str){buf, n};
    return FR_OK;
}

static enum fr_err parse_string(struct parser *ps, struct fr_str *out)
{
    size_t end;
    bool escapes;
    enum fr_err e = scan_string(ps, &end, &escapes);

    if (e != FR_OK)
        return e;
    if (!escapes) {
        *out = (struct fr_str){ps->p + ps->at + 1, end - ps->at - 1};
    } else {
        e = unescape(ps, end, out);
        if (e != FR_OK)
            return e;
    }
    ps->at = end + 1;
    return FR_OK;
}

/* ---- numbers ---- */

static bool digit_at(const struct parser *ps, size_t i)
{
    return i < ps->n && ps->p[i] >= '0' && ps->p[i] <= '9';
}

static enum fr_err parse_number(struct parser *ps, struct fr_json *node)
{
    size_t from = ps->at, i = from;
    bool integer = true;
    enum fr_err e;

    if (ps->p[i] == '-')
        i++;
    if (!digit_at(ps, i))
        return fail(ps, FR_ESYNTAX, i, "digit expected");
    if (ps->p[i] == '0' && digit_at(ps, i + 1))
        return fail(ps, FR_ESYNTAX, i, "leading zero");
    while (digit_at(ps, i))
        i++;
    if (i < ps->n && ps->p[i] == '.') {
        integer = false;
        if (!digit_at(ps, ++i))
            return fail(ps, FR_ESYNTAX, i, "digit expected after '.'");
        while (digit_at(ps, i))
            i++;
    }
    if (i < ps->n && (ps->p[i] == 'e' || ps->p[i] == 'E')) {
        integer = false;
        i++;
        if (i < ps->n && (ps->p[i] == '+' || ps->p[i] == '-'))
            i++;
        if (!digit_at(ps, i))
            return fail(ps, FR_ESYNTAX, i, "digit expected in exponent");
        while (digit_at(ps, i))
            i++;
    }
    node->type = FR_JSON_NUMBER;
    node->str = (struct fr_str){ps->p + from, i - from};
    node->is_int = integer && fr_str_to_i64(node->str, &node->i) == FR_OK;
    if (node->is_int) {
        node->num = node->i == 0 && ps->p[from] == '-' ? -0.0 : (double)node->i;
    } else {
        if (node->str.n > 60)
            return fail(ps, FR_ERANGE, from, "number is too long");
        e = fr_str_to_f64(node->str, &node->num);
        if (e != FR_OK)
            return fail(ps, FR_ERANGE, from, "number out of range");
    }
    ps->at = i;
    return FR_OK;
}

/* ---- structure ---- */

static bool literal(struct parser *ps, const char *word)
{
    size_t n = strlen(word);

    if (ps->n - ps->at < n || memcmp(ps->p + ps->at, word, n) != 0)
        return false;
    ps->at += n;
    return true;
}

static const struct fr_hash_key dup_key = {UINT64_C(0x51ed270b7a5e3c91), UINT64_C(0x1f83d9abfb41bd6b)};

static bool set_add(uint64_t *slots, size_t cap, uint64_t h)
{
    size_t i = (size_t)h & (cap - 1);

    while (slots[i] != 0) {
        if (slots[i] == h)
            return false;
        i = (i + 1) & (cap - 1);
    }
    slots[i] = h;
    return true;
}

static uint64_t key_hash(struct fr_str key)
{
    return fr_siphash(dup_key, key) | 1U;
}

static bool member_exists(const struct open_container *oc, struct fr_str key)
{
    for (const struct fr_json *m = oc->node->child; m != NULL; m = m->next)
        if (fr_str_eq(m->key, key))
            return true;
    return false;
}

/* Is `key` new in the open object? A hash that is met again is settled by comparing the names. */
static enum fr_err check_duplicate(struct parser *ps, struct open_container *oc, struct fr_str key, size_t at)
{
    if (oc->node->n < DUP_LINEAR) {
        if (member_exists(oc, key))
            return fail(ps, FR_EDUPLICATE, at, "duplicate key");
        return FR_OK;
    }
    if (oc->seen == NULL || oc->node->n * 2 >= oc->seen_cap) {
        size_t cap = oc->seen_cap == 0 ? (size_t)DUP_LINEAR * 8 : oc->seen_cap * 4;
        uint64_t *slots = fr_arena_zarray(ps->ar, cap, sizeof(*slots));
        if (slots == NULL)
            return fail(ps, FR_ENOMEM, at, "out of memory");
        for (const struct fr_json *m = oc->node->child; m != NULL; m = m->next)
            (void)set_add(slots, cap, key_hash(m->key));
        oc->seen = slots;
        oc->seen_cap = cap;
    }
    if (!set_add(oc->seen, oc->seen_cap, key_hash(key)) && member_exists(oc, key))
        return fail(ps, FR_EDUPLICATE, at, "duplicate key");
    return FR_OK;
}

static void attach(struct open_container *oc, struct fr_json *node)
{
    if (oc->last == NULL)
        oc->node->child = node;
    else
        oc->last->next = node;
    oc->last = node;
    oc->node->n++;
}

/* "key" : before a member. */
static enum fr_err parse_key(struct parser *ps, struct open_container *oc, struct fr_str *key)
{
    size_t at = ps->at;
    enum fr_err e;

    if (ps->at >= ps->n || ps->p[ps->at] != '"')
        return fail(ps, FR_ESYNTAX, ps->at, "member name expected");
    e = parse_string(ps, key);
    if (e == FR_OK)
        e = check_duplicate(ps, oc, *key, at);
    if (e != FR_OK)
        return e;
    skip_space(ps);
    if (ps->at >= ps->n || ps->p[ps->at] != ':')
        return fail(ps, FR_ESYNTAX, ps->at, "':' expected");
    ps->at++;
    skip_space(ps);
    return FR_OK;
}

static enum fr_err open_node(struct parser *ps, struct fr_json *node, enum fr_json_type type)
{
    if (ps->depth == FR_JSON_MAX_DEPTH)
        return fail(ps, FR_EDEPTH, ps->at, "nested too deeply");
    node->type = type;
    ps->open[ps->depth++] = (struct open_container){node, NULL, NULL, 0};
    ps->at++;
    return FR_OK;
}

/* One value at ps->at: a scalar is complete, a container is only opened. */
static enum fr_err parse_value(struct parser *ps, struct fr_json *node)
{
    node->offset = ps->at;
    if (ps->at >= ps->n)
        return fail(ps, FR_ESYNTAX, ps->at, "value expected");
    switch (ps->p[ps->at]) {
    case '{':
        return open_node(ps, node, FR_JSON_OBJECT);
    case '[':
        return open_node(ps, node, FR_JSON_ARRAY);
    case '"':
        node->type = FR_JSON_STRING;
        return parse_string(ps, &node->str);
    case 't':
        node->type = FR_JSON_BOOL;
        node->b = true;
        return literal(ps, "true") ? FR_OK : fail(ps, FR_ESYNTAX, ps->at, "value expected");
    case 'f':
        node->type = FR_JSON_BOOL;
        return literal(ps, "false") ? FR_OK : fail(ps, FR_ESYNTAX, ps->at, "value expected");
    case 'n':
        node->type = FR_JSON_NULL;
        return literal(ps, "null") ? FR_OK : fail(ps, FR_ESYNTAX, ps->at, "value expected");
    default:
        if (ps->p[ps->at] == '-' || digit_at(ps, ps->at))
            return parse_number(ps, node);
        return fail(ps, FR_ESYNTAX, ps->at, "value expected");
    }
}

/* After a value: close what ends here; *more = a further value follows in the open container. */
static enum fr_err after_value(struct parser *ps, bool *more)
{
    *more = false;
    while (ps->depth > 0) {
        struct open_container *oc = &ps->open[ps->depth - 1];
        char close = oc->node->type == FR_JSON_OBJECT ? '}' : ']';

        skip_space(ps);
        if (ps->at >= ps->n)
            return fail(ps, FR_ESYNTAX, ps->at, close == '}' ? "'}' or ',' expected" : "']' or ',' expected");
        if (ps->p[ps->at] == close) {
            ps->at++;
            ps->depth--;
            continue;
        }
        if (oc->node->n > 0) {
            if (ps->p[ps->at] != ',')
                return fail(ps, FR_ESYNTAX, ps->at, close == '}' ? "'}' or ',' expected" : "']' or ',' expected");
            ps->at++;
            skip_space(ps);
        }
        *more = true;
        return FR_OK;
    }
    return FR_OK;
}

static enum fr_err parse_all(struct parser *ps, struct fr_json **root)
{
    bool more = true;

    *root = NULL;
    skip_space(ps);
    while (more) {
        struct open_container *oc = ps->depth > 0 ? &ps->open[ps->depth - 1] : NULL;
        struct fr_json *node = fr_arena_alloc(ps->ar, sizeof(*node));
        enum fr_err e = FR_OK;

        if (node == NULL)
            return fail(ps, FR_ENOMEM, ps->at, "out of memory");
        memset(node, 0, sizeof(*node));
        if (oc != NULL && oc->node->type == FR_JSON_OBJECT)
            e = parse_key(ps, oc, &node->key);
        if (e == FR_OK)
            e = parse_value(ps, node);
        if (e != FR_OK)
            return e;
        if (oc != NULL)
            attach(oc, node);
        else
            *root = node;
        e = after_value(ps, &more);
        if (e != FR_OK)
            return e;
    }
    skip_space(ps);
    return ps->at == ps->n ? FR_OK : fail(ps, FR_ESYNTAX, ps->at, "bytes after the value");
}

enum fr_err fr_json_parse(struct fr_arena *ar,
                          struct fr_str in,
                          const struct fr_json **out_root,
                          struct fr_json_error *je)
{
    struct parser ps;
    struct fr_json *root;
    enum fr_err e;

    memset(&ps.err, 0, sizeof(ps.err));
    ps.ar = ar;
    ps.p = in.p;
    ps.n = in.n;
    ps.at = 0;
    ps.depth = 0;
    e = parse_all(&ps, &root);
    if (e == FR_OK)
        *out_root = root;
    else if (je != NULL)
        *je = ps.err;
    return e;
}

const struct fr_json *fr_json_get(const struct fr_json *obj, const char *key)
{
    if (obj == NULL || obj->type != FR_JSON_OBJECT)
        return NULL;
    for (const struct fr_json *m = obj->child; m != NULL; m = m->next)
        if (fr_str_eqz(m->key, key))
            return m;
    return NULL;
}
