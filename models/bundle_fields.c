/*
 * models/bundle_fields.c - the field set that a manifest was written under, as far as the model uses it.
 */
#include "models/bundle.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"

static enum fr_err number(const struct fr_json *field, const char *key, uint32_t max, uint32_t *out, struct fr_fault *fault)
{
    const struct fr_json *v = fr_json_get(field, key), *name = fr_json_get(field, "name");

    if (v == NULL || v->type != FR_JSON_NUMBER || !v->is_int || v->i < 0 || v->i > (int64_t)max)
        return fr_fault(fault,
                        FR_ESCHEMA,
                        "manifest: field %.*s: %s must be an integer in 0..%u",
                        (int)name->str.n,
                        name->str.p,
                        key,
                        (unsigned)max);
    *out = (uint32_t)v->i;
    return FR_OK;
}

/* One of n words. @return n if it is none */
static int word(const struct fr_json *v, int n, const char *(*text)(int i))
{
    int i = 0;

    while (v != NULL && v->type == FR_JSON_STRING && i < n && !fr_str_eqz(v->str, text(i)))
        i++;
    return v == NULL || v->type != FR_JSON_STRING ? n : i;
}

static const char *entity_text(int i)
{
    return fr_entity_name((enum fr_entity)i);
}

static const char *kind_text(int i)
{
    return fr_field_kind_name((enum fr_field_kind)i);
}

/* A name of a field or a table: short, of the letters that fields may have. */
static bool name_valid(const struct fr_json *v, bool may_be_empty)
{
    if (v == NULL || v->type != FR_JSON_STRING || v->str.n >= FR_FIELD_NAME || (v->str.n == 0 && !may_be_empty))
        return false;
    for (size_t i = 0; i < v->str.n; i++) {
        char c = v->str.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return true;
}

static enum fr_err read_field(const struct fr_json *v, int at, struct fr_field *out, struct fr_fault *fault)
{
    const struct fr_json *name = fr_json_get(v, "name"), *table = fr_json_get(v, "table");
    int entity = word(fr_json_get(v, "entity"), FR_ENTITY_COUNT, entity_text);
    int kind = word(fr_json_get(v, "kind"), FR_FIELD_NUMERIC + 1, kind_text);
    uint32_t cell = 0, slots = 0, vocab = 0;
    enum fr_err e;

    if (!name_valid(name, false))
        return fr_fault(fault, FR_ESCHEMA, "manifest: fields[%d]: bad name", at);
    if (entity == FR_ENTITY_COUNT || kind > FR_FIELD_NUMERIC || !name_valid(table, kind != FR_FIELD_ID))
        return fr_fault(fault,
                        FR_ESCHEMA,
                        "manifest: field %.*s: unknown entity or kind, or a bad table",
                        (int)name->str.n,
                        name->str.p);
    if ((e = number(v, "cell", UINT16_MAX, &cell, fault)) != FR_OK ||
        (e = number(v, "slots", UINT16_MAX, &slots, fault)) != FR_OK ||
        (e = number(v, "vocab", UINT32_MAX, &vocab, fault)) != FR_OK)
        return e;
    if (slots == 0 || (kind == FR_FIELD_BUCKET) != (vocab > 0))
        return fr_fault(fault,
                        FR_ESCHEMA,
                        "manifest: field %.*s: slots or vocab do not fit its kind",
                        (int)name->str.n,
                        name->str.p);
    memset(out, 0, sizeof(*out));
    memcpy(out->name, name->str.p, name->str.n);
    if (table->str.n > 0)
        memcpy(out->table, table->str.p, table->str.n);
    out->entity = (enum fr_entity)entity;
    out->kind = (enum fr_field_kind)kind;
    out->vocab = vocab;
    out->slots = (uint16_t)slots;
    out->first = (uint16_t)cell;
    return FR_OK;
}

/* Cells of a group, from the first self-test: the fields that the model leaves out have theirs too. */
static enum fr_err read_cells(const struct fr_json *root, struct fr_field_set *out, struct fr_fault *fault)
{
    const struct fr_json *tests = fr_json_get(root, "selftest");
    const struct fr_json *first = tests == NULL || tests->type != FR_JSON_ARRAY ? NULL : tests->child;

    static const char *const key[FR_ENTITY_COUNT] = {"user", "context", "items", "cross"};

    for (int g = 0; g < FR_ENTITY_COUNT; g++) {
        const struct fr_json *row = fr_json_get(first, key[g]);
        bool rows = g == FR_ENTITY_ITEM || g == FR_ENTITY_CROSS;

        if (row != NULL && rows)
            row = row->type == FR_JSON_ARRAY ? row->child : NULL;
        if (row == NULL || row->type != FR_JSON_ARRAY || row->n > UINT16_MAX)
            return fr_fault(fault, FR_ESCHEMA, "manifest: selftest[0].%s must be cells", key[g]);
        out->n_cells[g] = (uint32_t)row->n;
    }
    return FR_OK;
}

/* In the order of declaration: by cell within a group. */
static enum fr_err insert(struct fr_field_set *fs, const struct fr_field *f, struct fr_fault *fault)
{
    int at = fs->n;

    if (fs->n == FR_MAX_FIELDS)
        return fr_fault(fault, FR_ETOOLARGE, "manifest: more than %d fields", FR_MAX_FIELDS);
    if (fr_field_find(fs, fr_str_z(f->name)) >= 0)
        return fr_fault(fault, FR_EDUPLICATE, "manifest: field %s is named twice", f->name);
    if ((uint32_t)f->first + f->slots > fs->n_cells[f->entity])
        return fr_fault(fault,
                        FR_ESCHEMA,
                        "manifest: field %s: cells %u..%u of %u",
                        f->name,
                        (unsigned)f->first,
                        (unsigned)f->first + f->slots - 1,
                        (unsigned)fs->n_cells[f->entity]);
    while (at > 0 && (fs->f[at - 1].entity > f->entity ||
                      (fs->f[at - 1].entity == f->entity && fs->f[at - 1].first > f->first))) {
        fs->f[at] = fs->f[at - 1];
        at--;
    }
    fs->f[at] = *f;
    fs->n++;
    return FR_OK;
}

static enum fr_err hash(const struct fr_json *root, uint64_t *out, struct fr_fault *fault)
{
    const struct fr_json *v = fr_json_get(root, "schema_hash");
    uint64_t h = 0;
    bool ok = v != NULL && v->type == FR_JSON_STRING && v->str.n == 16;

    for (size_t i = 0; ok && i < 16; i++) {
        char c = v->str.p[i];
        ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        h = h << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *out = h;
    return ok ? FR_OK : fr_fault(fault, FR_ESCHEMA, "manifest: schema_hash must be 16 hexadecimal digits");
}

enum fr_err fr_bundle_fields_parse(struct fr_str text, struct fr_field_set *out, struct fr_fault *fault)
{
    struct fr_field_set *fs = NULL;
    const struct fr_json *root = NULL, *a;
    struct fr_json_error je = {0};
    struct fr_arena *ar = NULL;
    enum fr_err e = fr_arena_new(1 << 16, 0, &ar);
    int n = 0;

    fs = fr_calloc(1, sizeof(*fs));
    if (e != FR_OK || fs == NULL) {
        e = fr_fault(fault, FR_ENOMEM, "manifest: out of memory");
        goto out;
    }
    if ((e = fr_json_parse(ar, text, &root, &je)) != FR_OK) {
        e = fr_fault(fault, e, "manifest: byte %zu: %s", je.offset, je.what == NULL ? "" : je.what);
        goto out;
    }
    a = fr_json_get(root, "fields");
    if (a == NULL || a->type != FR_JSON_ARRAY || a->n == 0) {
        e = fr_fault(fault, FR_ESCHEMA, "manifest: fields must be an array of fields");
        goto out;
    }
    if ((e = hash(root, &fs->hash, fault)) != FR_OK || (e = read_cells(root, fs, fault)) != FR_OK)
        goto out;
    for (const struct fr_json *v = a->child; v != NULL; v = v->next) {
        struct fr_field f;
        if ((e = read_field(v, n++, &f, fault)) != FR_OK || (e = insert(fs, &f, fault)) != FR_OK)
            goto out;
    }
    *out = *fs;
out:
    fr_free(fs);
    fr_arena_free(ar);
    return e;
}

enum fr_err fr_bundle_fields(const char *dir, struct fr_field_set *out, struct fr_fault *fault)
{
    char path[PATH_MAX];
    char *text = NULL;
    size_t n = 0;
    int len = snprintf(path, sizeof(path), "%s/manifest.json", dir);
    enum fr_err e;

    if (len < 0 || (size_t)len >= sizeof(path))
        return fr_fault(fault, FR_EINVAL, "path of the bundle is too long");
    if ((e = fr_file_read(path, FR_BUNDLE_MAX_MANIFEST, &text, &n, fault)) != FR_OK)
        return e;
    e = fr_bundle_fields_parse((struct fr_str){text, n}, out, fault);
    fr_free(text);
    return e;
}
