#include "features/seen.h"

#include <string.h>

#include "daemon/base/json.h"
#include "daemon/base/msgpack.h"
#include "features/event.h"

void fr_seen_init(struct fr_seen *s, uint32_t cap)
{
    *s = (struct fr_seen){.cap = cap};
}

void fr_seen_clear(struct fr_seen *s)
{
    uint64_t evicted = fr_seen_evicted(s);
    *s = (struct fr_seen){.cap = s->cap, .evicted = evicted, .dirty = s->cap != 0};
}

/* ---- the stored strings: walked often, so without fr_mp_next() ---- */

/* Bytes before the text of the string at p (of `left` bytes) and the text's length; 0 = no string.
 */
static inline size_t str_head(const unsigned char *p, size_t left, size_t *out_n)
{
    if (left > 0 && (p[0] & 0xe0) == 0xa0) {
        *out_n = p[0] & 31;
        return 1;
    }
    if (left > 1 && p[0] == 0xd9) {
        *out_n = p[1];
        return 2;
    }
    if (left > 2 && p[0] == 0xda) {
        *out_n = (size_t)p[1] << 8 | p[2];
        return 3;
    }
    if (left > 4 && p[0] == 0xdb) {
        *out_n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
        return 5;
    }
    return 0;
}

/* Next string at *at of bytes that fr_seen_decode() has checked; moves on. */
static inline struct fr_str next_str(struct fr_str in, size_t *at)
{
    size_t n = 0;
    size_t head = str_head((const unsigned char *)in.p + *at, in.n - *at, &n);
    *at += head + n;
    return (struct fr_str){in.p + *at - n, n};
}

/* Position in the list where the set begins. */
static uint32_t first_of(const struct fr_seen *s)
{
    uint64_t total = (uint64_t)s->base_n + s->added_n;
    return total > s->cap ? (uint32_t)(total - s->cap) : 0;
}

struct walk {
    const struct fr_seen *s;
    uint32_t i; /* list position */
    size_t at;  /* byte offset in base */
};

static struct walk walk_set(const struct fr_seen *s)
{
    struct walk w = {s, 0, 0};
    uint32_t first = first_of(s);
    while (w.i < first && w.i < s->base_n) {
        (void)next_str(s->base, &w.at);
        w.i++;
    }
    if (first > w.i)
        w.i = first;
    return w;
}

static bool walk_next(struct walk *w, struct fr_str *out)
{
    const struct fr_seen *s = w->s;
    if (w->i < s->base_n)
        *out = next_str(s->base, &w->at);
    else if (w->i - s->base_n < s->added_n)
        *out = s->added[w->i - s->base_n];
    else
        return false;
    w->i++;
    return true;
}

uint32_t fr_seen_size(const struct fr_seen *s)
{
    return s->base_n + s->added_n - first_of(s);
}

uint64_t fr_seen_evicted(const struct fr_seen *s)
{
    return (s->evicted + first_of(s)) & FR_KEY53_MASK; /* fits the record's integers */
}

bool fr_seen_has(const struct fr_seen *s, struct fr_str id)
{
    struct fr_str x;
    for (struct walk w = walk_set(s); walk_next(&w, &x);) /* ids tend to differ at the end */
        if (x.n == id.n && x.n > 0 && x.p[x.n - 1] == id.p[id.n - 1] && memcmp(x.p, id.p, x.n) == 0)
            return true;
    return false;
}

bool fr_seen_at(const struct fr_seen *s, uint32_t i, struct fr_str *out_id)
{
    struct fr_str x;
    struct walk w = walk_set(s);
    do {
        if (!walk_next(&w, &x))
            return false;
    } while (i-- > 0);
    *out_id = x;
    return true;
}

enum fr_err fr_seen_add(struct fr_seen *s, struct fr_arena *ar, struct fr_str id, bool *out_added)
{
    struct fr_str copy;

    if (s->cap == 0 || fr_seen_has(s, id)) {
        *out_added = false;
        return FR_OK;
    }
    if (s->base_n > UINT32_MAX / 2 || s->added_n > UINT32_MAX / 4)
        return FR_EOVERFLOW;
    if (fr_arena_dup(ar, id, &copy) != FR_OK)
        return FR_ENOMEM;
    if (s->added_n == s->added_cap) {
        uint32_t cap = s->added_cap == 0 ? 8 : s->added_cap * 2;
        struct fr_str *grown = fr_arena_array(ar, cap, sizeof *grown);
        if (grown == NULL)
            return FR_ENOMEM;
        if (s->added_n > 0)
            memcpy(grown, s->added, s->added_n * sizeof *grown);
        s->added = grown;
        s->added_cap = cap;
    }
    s->added[s->added_n++] = copy;
    s->dirty = true;
    *out_added = true;
    return FR_OK;
}

/* ---- record ---- */

static enum fr_err bad(struct fr_fault *f, const char *key, size_t at, const char *what)
{
    return fr_fault(f, FR_ECORRUPT, "seen record, key \"%s\", byte %zu: %s", key, at, what);
}

static enum fr_err read_list(struct fr_mp_reader *r, struct fr_seen *s, struct fr_fault *f)
{
    struct fr_mp_value v;
    if (fr_mp_next(r, &v) != FR_OK || v.type != FR_MP_ARRAY)
        return bad(f, "s", r->at, "no array");
    uint32_t n = v.n;
    size_t from = r->at;
    for (uint32_t i = 0; i < n; i++) {
        const char *p = r->in.p + r->at;
        size_t left = r->in.n - r->at, len = 0;
        size_t head = str_head((const unsigned char *)p, left, &len);
        if (head == 0 || len == 0 || len > FR_ID_MAX || len > left - head ||
            !fr_utf8_valid((struct fr_str){p + head, len}))
            return bad(f, "s", r->at, "no item id");
        r->at += head + len;
    }
    s->base = (struct fr_str){r->in.p + from, r->at - from};
    s->base_n = n;
    return FR_OK;
}

static enum fr_err
read_pair(struct fr_mp_reader *r, struct fr_seen *s, unsigned *have, struct fr_fault *f)
{
    struct fr_mp_value v;
    size_t at = r->at;
    unsigned bit;

    if (fr_mp_next(r, &v) != FR_OK || v.type != FR_MP_STR)
        return bad(f, "?", at, "no key");
    bit = fr_str_eqz(v.s, "v") ? 1u : fr_str_eqz(v.s, "x") ? 2u : fr_str_eqz(v.s, "s") ? 4u : 0u;
    if (bit == 0)
        return fr_mp_skip(r) == FR_OK ? FR_OK : bad(f, "?", at, "malformed value");
    if (*have & bit)
        return bad(f, bit == 1 ? "v" : bit == 2 ? "x" : "s", at, "twice");
    *have |= bit;
    if (bit == 4)
        return read_list(r, s, f);
    at = r->at;
    if (fr_mp_next(r, &v) != FR_OK || v.type != FR_MP_INT || v.i < 0)
        return bad(f, bit == 1 ? "v" : "x", at, "no count");
    if (bit == 1 && v.i != 1)
        return fr_fault(f, FR_EVERSION, "seen record: version %lld, known is 1", (long long)v.i);
    if (bit == 2)
        s->evicted = (uint64_t)v.i;
    return FR_OK;
}

enum fr_err
fr_seen_decode(struct fr_seen *s, uint32_t cap, struct fr_str record, struct fr_fault *fault)
{
    struct fr_seen d = {.cap = cap};
    struct fr_mp_reader r;
    struct fr_mp_value v;
    unsigned have = 0;

    if (record.n == 0) {
        *s = d;
        return FR_OK;
    }
    fr_mp_reader_init(&r, record);
    if (fr_mp_next(&r, &v) != FR_OK || v.type != FR_MP_MAP)
        return bad(fault, "", 0, "no map");
    uint32_t pairs = v.n;
    for (uint32_t i = 0; i < pairs; i++) {
        enum fr_err e = read_pair(&r, &d, &have, fault);
        if (e != FR_OK)
            return e;
    }
    if (!fr_mp_at_end(&r))
        return bad(fault, "", r.at, "trailing bytes");
    if (have != 7)
        return bad(fault, !(have & 1) ? "v" : !(have & 2) ? "x" : "s", record.n, "missing");
    if (d.base_n > FR_MAX_SEEN_STORED)
        return bad(fault, "s", record.n, "too long");
    *s = d;
    return FR_OK;
}

enum fr_err
fr_seen_adopt(struct fr_seen *s, uint32_t cap, struct fr_str record, struct fr_fault *fault)
{
    static const char head[] = "\x83\xa1v\x01\xa1x";
    struct fr_seen d = {.cap = cap};
    struct fr_mp_reader r;
    struct fr_mp_value x, key, list;

    if (record.n == 0) {
        *s = d;
        return FR_OK;
    }
    fr_mp_reader_init(&r, record);
    r.at = sizeof head - 1;
    if (record.n < sizeof head || memcmp(record.p, head, sizeof head - 1) != 0 ||
        fr_mp_next(&r, &x) != FR_OK || x.type != FR_MP_INT || x.i < 0 ||
        fr_mp_next(&r, &key) != FR_OK || key.type != FR_MP_STR || !fr_str_eqz(key.s, "s") ||
        fr_mp_next(&r, &list) != FR_OK || list.type != FR_MP_ARRAY)
        return bad(fault, "", r.at, "not as this process writes it");
    d.evicted = (uint64_t)x.i;
    d.base = (struct fr_str){record.p + r.at, record.n - r.at};
    d.base_n = list.n;
    *s = d;
    return FR_OK;
}

void fr_seen_encode(const struct fr_seen *s, struct fr_buf *out)
{
    struct walk w = walk_set(s);
    struct fr_str x;

    fr_mp_put_map(out, 3);
    fr_mp_put_str(out, FR_STR_LIT("v"));
    fr_mp_put_int(out, 1);
    fr_mp_put_str(out, FR_STR_LIT("x"));
    fr_mp_put_int(out, (int64_t)fr_seen_evicted(s));
    fr_mp_put_str(out, FR_STR_LIT("s"));
    fr_mp_put_array(out, fr_seen_size(s));
    if (w.i < s->base_n) {
        fr_buf_put(out, s->base.p + w.at, s->base.n - w.at); /* already encoded */
        w.i = s->base_n;
    }
    while (walk_next(&w, &x))
        fr_mp_put_str(out, x);
}

/* ---- filter ---- */

enum fr_err fr_seen_filter_build(const struct fr_seen *s,
                                 struct fr_hash_key key,
                                 struct fr_arena *ar,
                                 struct fr_seen_filter *out)
{
    uint32_t n = fr_seen_size(s);
    uint64_t cap = 16;
    struct fr_str x;

    while (cap < 2 * (uint64_t)n)
        cap *= 2;
    uint64_t *slot = fr_arena_zarray(ar, cap, sizeof *slot);
    if (slot == NULL)
        return FR_ENOMEM;
    for (struct walk w = walk_set(s); walk_next(&w, &x);) {
        uint64_t h = fr_id_hash(key, x);
        uint64_t i = h & (cap - 1);
        while (slot[i] != 0 && slot[i] != h)
            i = (i + 1) & (cap - 1);
        slot[i] = h;
    }
    *out = (struct fr_seen_filter){slot, cap - 1, n};
    return FR_OK;
}

bool fr_seen_filter_has(const struct fr_seen_filter *f, uint64_t item)
{
    if (f->n == 0)
        return false;
    for (uint64_t i = item & f->mask; f->slot[i] != 0; i = (i + 1) & f->mask)
        if (f->slot[i] == item)
            return true;
    return false;
}
