/*
 * daemon/stream/example_codec_read.c - an example back to cells; what writes it is example_codec.c.
 */
#include "daemon/stream/example_codec.h"

#include <math.h>
#include <string.h>

/* Where in the line: "rows[3].item", and the field within. */
struct place {
    const char *group;
    uint32_t row; /* UINT32_MAX: not in rows */
    struct fr_fault *fault;
};

static enum fr_err refuse(const struct place *p, const char *field, const char *what)
{
    if (p->row == UINT32_MAX)
        return fr_fault(p->fault, FR_ESCHEMA, "%s%s%s: %s", p->group, field[0] == '\0' ? "" : ".", field, what);
    return fr_fault(p->fault,
                    FR_ESCHEMA,
                    "rows[%u].%s%s%s: %s",
                    (unsigned)p->row,
                    p->group,
                    field[0] == '\0' ? "" : ".",
                    field,
                    what);
}

static bool hex64(const struct fr_json *v, uint64_t *out)
{
    uint64_t h = 0;

    if (v == NULL || v->type != FR_JSON_STRING || v->str.n != 16)
        return false;
    for (size_t i = 0; i < 16; i++) {
        char c = v->str.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        h = h << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *out = h;
    return true;
}

static bool number(const struct fr_json *v, float *out)
{
    if (v == NULL || v->type != FR_JSON_NUMBER || !(fabs(v->num) <= 3.4e38))
        return false;
    *out = (float)v->num;
    return true;
}

static enum fr_err
numeric(const struct fr_json *v, const struct fr_field *f, struct fr_cell *out, const struct place *p)
{
    if (f->slots == 1)
        return number(v, &out->x) ? FR_OK : refuse(p, f->name, "a number of a float's range is expected");
    if (v->type != FR_JSON_ARRAY || v->n != f->slots) /* unused ones are left out: which is not known */
        return refuse(p, f->name, "one number for every slot is expected");
    for (v = v->child; v != NULL; v = v->next, out++)
        if (!number(v, &out->x))
            return refuse(p, f->name, "a number of a float's range is expected");
    return FR_OK;
}

static enum fr_err
field(const struct fr_json *v, const struct fr_field *f, struct fr_cell *out, const struct place *p)
{
    if (f->kind == FR_FIELD_NUMERIC)
        return numeric(v, f, out, p);
    if (v->type != FR_JSON_ARRAY || v->n % 2 != 0)
        return refuse(p, f->name, "an array of pairs is expected");
    if (v->n / 2 > f->slots)
        return refuse(p, f->name, "more values than the field has slots");
    for (v = v->child; v != NULL; v = v->next->next, out++) {
        bool bucket = f->kind == FR_FIELD_BUCKET && v->type == FR_JSON_NUMBER && v->is_int && v->i >= 0;

        if (bucket)
            out->id = (uint64_t)v->i;
        else if (f->kind == FR_FIELD_BUCKET)
            return refuse(p, f->name, "a bucket is an integer of 0 or more");
        else if (!hex64(v, &out->id) || out->id == 0)
            return refuse(p, f->name, "an id is 16 hexadecimal digits, not all 0");
        if (!number(v->next, &out->x))
            return refuse(p, f->name, "a number of a float's range is expected after each id or bucket");
    }
    return FR_OK;
}

/* The declared fields of a group, all of them; others are ignored. */
static enum fr_err group(const struct fr_field_set *fs,
                         const struct fr_json *o,
                         enum fr_entity e,
                         struct fr_cell *out,
                         const struct place *p)
{
    memset(out, 0, fs->n_cells[e] * sizeof(*out));
    if (o == NULL || o->type != FR_JSON_OBJECT)
        return refuse(p, "", "an object of fields is expected");
    for (int i = 0; i < fs->n; i++) {
        const struct fr_field *f = &fs->f[i];
        const struct fr_json *v;
        enum fr_err err;

        if (f->entity != e)
            continue;
        if ((v = fr_json_get(o, f->name)) == NULL)
            return refuse(p, f->name, "is missing");
        if ((err = field(v, f, out + f->first, p)) != FR_OK)
            return err;
    }
    return FR_OK;
}

static enum fr_err rows(const struct fr_field_set *fs,
                        struct fr_arena *ar,
                        const struct fr_json *a,
                        struct fr_example_rows *out,
                        struct fr_fault *fault)
{
    const uint32_t *nc = fs->n_cells;
    struct place p = {"", 0, fault};
    size_t n = a == NULL || a->type != FR_JSON_ARRAY ? 0 : a->n;

    if (n < 1 || n > FR_MAX_RECOMMENDED)
        return fr_fault(fault, FR_ESCHEMA, "rows: an array of 1..%d rows is expected", FR_MAX_RECOMMENDED);
    out->n = (uint32_t)n;
    out->item_id = fr_arena_array(ar, n, sizeof(*out->item_id));
    out->items = fr_arena_array(ar, n * nc[FR_ENTITY_ITEM] + 1, sizeof(*out->items));
    out->cross = fr_arena_array(ar, n * nc[FR_ENTITY_CROSS] + 1, sizeof(*out->cross));
    if (out->item_id == NULL || out->items == NULL || out->cross == NULL)
        return fr_fault(fault, FR_ENOMEM, "rows: out of memory");
    for (const struct fr_json *v = a->child; v != NULL; v = v->next, p.row++) {
        struct fr_codec_error ce = {FR_OK, 0, NULL, NULL};
        enum fr_err e;

        if (fr_codec_id(v, "item_id", true, &out->item_id[p.row], &ce) != FR_OK)
            return fr_fault(fault, ce.err, "rows[%u].item_id: %s", (unsigned)p.row, ce.what);
        p.group = "item";
        e = group(fs, fr_json_get(v, "item"), FR_ENTITY_ITEM, out->items + (size_t)p.row * nc[FR_ENTITY_ITEM], &p);
        if (e != FR_OK)
            return e;
        p.group = "cross";
        e = group(fs, fr_json_get(v, "cross"), FR_ENTITY_CROSS, out->cross + (size_t)p.row * nc[FR_ENTITY_CROSS], &p);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

static enum fr_err head(const struct fr_field_set *fs,
                        const struct fr_json *root,
                        struct fr_example_rows *out,
                        struct fr_fault *fault)
{
    const struct fr_json *schema = fr_json_get(root, "schema");
    struct fr_codec_error ce = {FR_OK, 0, NULL, NULL};
    uint64_t hash = 0;

    if (schema == NULL || schema->type != FR_JSON_STRING || !fr_str_eqz(schema->str, FR_EXAMPLE_SCHEMA))
        return fr_fault(fault, FR_EVERSION, "schema: is not " FR_EXAMPLE_SCHEMA);
    if (!hex64(fr_json_get(root, "schema_hash"), &hash))
        return fr_fault(fault, FR_ESCHEMA, "schema_hash: 16 hexadecimal digits are expected");
    if (hash != fs->hash)
        return fr_fault(fault,
                        FR_EMISMATCH,
                        "schema_hash: made under %016llx, the fields here have %016llx",
                        (unsigned long long)hash,
                        (unsigned long long)fs->hash);
    if (fr_codec_id(root, "user_id", true, &out->user_id, &ce) != FR_OK ||
        fr_codec_id(root, "rec_id", false, &out->rec_id, &ce) != FR_OK ||
        fr_codec_ts(root, "ts", 0, &out->ts, &ce) != FR_OK)
        return fr_fault(fault, ce.err, "%s: %s", ce.field, ce.what);
    return FR_OK;
}

enum fr_err fr_example_decode(const struct fr_field_set *fs,
                              struct fr_arena *ar,
                              struct fr_str value,
                              struct fr_example_rows *out,
                              struct fr_fault *fault)
{
    struct fr_codec_error ce = {FR_OK, 0, NULL, NULL};
    struct place p = {"user", UINT32_MAX, fault};
    struct fr_example_rows x = {.n = 0};
    const struct fr_json *root = NULL;
    enum fr_err e = fr_codec_object_max(ar, value, FR_EXAMPLE_MAX_BYTES, &root, &ce);

    if (e != FR_OK)
        return fr_fault(fault, e, "byte %zu: %s", ce.offset, ce.what == NULL ? fr_err_text(e) : ce.what);
    if ((e = head(fs, root, &x, fault)) != FR_OK)
        return e;
    x.user = fr_arena_array(ar, fs->n_cells[FR_ENTITY_USER] + (size_t)1, sizeof(*x.user));
    x.context = fr_arena_array(ar, fs->n_cells[FR_ENTITY_CONTEXT] + (size_t)1, sizeof(*x.context));
    if (x.user == NULL || x.context == NULL)
        return fr_fault(fault, FR_ENOMEM, "example: out of memory");
    if ((e = group(fs, fr_json_get(root, "user"), FR_ENTITY_USER, x.user, &p)) != FR_OK)
        return e;
    p.group = "context";
    if ((e = group(fs, fr_json_get(root, "context"), FR_ENTITY_CONTEXT, x.context, &p)) != FR_OK ||
        (e = rows(fs, ar, fr_json_get(root, "rows"), &x, fault)) != FR_OK)
        return e;
    *out = x;
    return FR_OK;
}
