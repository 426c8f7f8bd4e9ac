/*
 * models/bundle.c - reading a bundle directory; writing is bundle_write.c.
 */
#include "models/bundle.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/base/hash.h"
#include "models/safetensors.h"

#define CRC_PIECE ((size_t)1 << 16)

/* ---- members of the manifest ---- */

static enum fr_err get_string(const struct fr_json *obj,
                              const char *key,
                              size_t max,
                              struct fr_str *out,
                              struct fr_fault *fault)
{
    const struct fr_json *v = fr_json_get(obj, key);
    if (v == NULL || v->type != FR_JSON_STRING)
        return fr_fault(fault, FR_ESCHEMA, "manifest: %s must be a string", key);
    if (v->str.n > max)
        return fr_fault(fault, FR_ETOOLARGE, "manifest: %s is longer than %zu bytes", key, max);
    *out = v->str;
    return FR_OK;
}

static enum fr_err get_int(const struct fr_json *obj,
                           const char *key,
                           int64_t min,
                           int64_t max,
                           int64_t *out,
                           struct fr_fault *fault)
{
    const struct fr_json *v = fr_json_get(obj, key);
    if (v == NULL || v->type != FR_JSON_NUMBER || !v->is_int)
        return fr_fault(fault, FR_ESCHEMA, "manifest: %s must be an integer", key);
    if (v->i < min || v->i > max)
        return fr_fault(fault,
                        FR_ERANGE,
                        "manifest: %s is %lld, allowed %lld..%lld",
                        key,
                        (long long)v->i,
                        (long long)min,
                        (long long)max);
    *out = v->i;
    return FR_OK;
}

static enum fr_err get_object(const struct fr_json *obj,
                              const char *key,
                              enum fr_json_type type,
                              const struct fr_json **out,
                              struct fr_fault *fault)
{
    const struct fr_json *v = fr_json_get(obj, key);
    if (v == NULL || v->type != type)
        return fr_fault(fault,
                        FR_ESCHEMA,
                        "manifest: %s must be an %s",
                        key,
                        type == FR_JSON_ARRAY ? "array" : "object");
    *out = v;
    return FR_OK;
}

/* Exactly 16 hexadecimal digits: 64-bit values do not fit JSON numbers. */
static bool parse_hex64(struct fr_str s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n != 16)
        return false;
    for (size_t i = 0; i < 16; i++) {
        char c = s.p[i];
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

static bool label_valid(struct fr_str s, bool may_have_version)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
                  (may_have_version && c == '@');
        if (!ok)
            return false;
    }
    return true;
}

static enum fr_err read_identity(struct fr_bundle *b,
                                 const struct fr_json *root,
                                 const struct fr_field_set *fs,
                                 struct fr_fault *fault)
{
    struct fr_str s = {0};
    int64_t i = 0;
    enum fr_err e;

    if ((e = get_string(root, "schema", 64, &s, fault)) != FR_OK)
        return e;
    if (!fr_str_eqz(s, FR_BUNDLE_SCHEMA))
        return fr_fault(fault, FR_EVERSION, "manifest: schema is not " FR_BUNDLE_SCHEMA);
    if ((e = get_string(root, "kind", 32, &s, fault)) != FR_OK)
        return e;
    b->info.kind = fr_model_kind_find(s);
    if (b->info.kind == FR_MODEL_KIND_COUNT)
        return fr_fault(fault, FR_EUNSUPPORTED, "manifest: kind is no model this build knows");
    if ((e = get_string(root, "name", FR_MODEL_NAME - 1, &s, fault)) != FR_OK)
        return e;
    if (s.n == 0 || !label_valid(s, false))
        return fr_fault(fault, FR_ESCHEMA, "manifest: name must be of a-z 0-9 _ -");
    memcpy(b->info.name, s.p, s.n);
    if ((e = get_string(root, "parent", FR_MODEL_NAME - 1, &s, fault)) != FR_OK)
        return e;
    if (!label_valid(s, true))
        return fr_fault(fault, FR_ESCHEMA, "manifest: parent must be of a-z 0-9 _ - @");
    if (s.n > 0)
        memcpy(b->info.parent, s.p, s.n);
    if ((e = get_int(root, "version", 0, INT64_MAX, &i, fault)) != FR_OK)
        return e;
    b->info.version = (uint64_t)i;
    if ((e = get_int(root, "created_ms", 0, INT64_MAX, &b->info.created_ms, fault)) != FR_OK ||
        (e = get_string(root, "schema_hash", 16, &s, fault)) != FR_OK)
        return e;
    if (!parse_hex64(s, &b->info.schema_hash))
        return fr_fault(fault, FR_ESCHEMA, "manifest: schema_hash must be 16 hexadecimal digits");
    if (b->info.schema_hash != fs->hash)
        return fr_fault(fault,
                        FR_EMISMATCH,
                        "schema_hash of the bundle is %016llx, the running features have %016llx: "
                        "train again with this configuration",
                        (unsigned long long)b->info.schema_hash,
                        (unsigned long long)fs->hash);
    return FR_OK;
}

/* ---- fields ---- */

static enum fr_err
check_field(const struct fr_json *v, const struct fr_field *f, struct fr_fault *fault)
{
    struct fr_str entity = {0}, kind = {0}, table = {0};
    int64_t vocab = 0, cell = 0, slots = 0;
    enum fr_err e;

    if ((e = get_string(v, "entity", 16, &entity, fault)) != FR_OK ||
        (e = get_string(v, "kind", 16, &kind, fault)) != FR_OK ||
        (e = get_string(v, "table", FR_FIELD_NAME - 1, &table, fault)) != FR_OK ||
        (e = get_int(v, "vocab", 0, UINT32_MAX, &vocab, fault)) != FR_OK ||
        (e = get_int(v, "cell", 0, UINT32_MAX, &cell, fault)) != FR_OK ||
        (e = get_int(v, "slots", 1, UINT16_MAX, &slots, fault)) != FR_OK)
        return e;
    if (!fr_str_eqz(entity, fr_entity_name(f->entity)) ||
        !fr_str_eqz(kind, fr_field_kind_name(f->kind)) || !fr_str_eqz(table, f->table) ||
        vocab != (int64_t)f->vocab || cell != (int64_t)f->first || slots != (int64_t)f->slots)
        return fr_fault(fault,
                        FR_EMISMATCH,
                        "manifest: field %s differs from the running configuration",
                        f->name);
    return FR_OK;
}

static enum fr_err
read_normaliser(const struct fr_json *v, struct fr_enc_field *ef, struct fr_fault *fault)
{
    const struct fr_json *mean = fr_json_get(v, "mean"), *scale = fr_json_get(v, "scale");

    if (mean == NULL || scale == NULL || mean->type != FR_JSON_NUMBER ||
        scale->type != FR_JSON_NUMBER)
        return fr_fault(
            fault, FR_ESCHEMA, "manifest: field %s: mean and scale must be numbers", ef->f.name);
    ef->mean = (float)mean->num;
    ef->scale = (float)scale->num;
    if (!fr_is_finite(ef->mean) || !fr_is_finite(ef->scale) || ef->scale < 0)
        return fr_fault(
            fault, FR_ERANGE, "manifest: field %s: mean or scale out of range", ef->f.name);
    return FR_OK;
}

static enum fr_err read_fields(struct fr_bundle *b,
                               const struct fr_json *root,
                               const struct fr_field_set *fs,
                               struct fr_fault *fault)
{
    const struct fr_json *a = NULL;
    const char *names[FR_MAX_FIELDS];
    int n = 0;
    enum fr_err e = get_object(root, "fields", FR_JSON_ARRAY, &a, fault);

    if (e != FR_OK)
        return e;
    if (a->n > FR_MAX_FIELDS)
        return fr_fault(fault, FR_ETOOLARGE, "manifest: more than %d fields", FR_MAX_FIELDS);
    for (const struct fr_json *v = a->child; v != NULL; v = v->next) {
        struct fr_str s = {0}, copy = {0};
        if ((e = get_string(v, "name", FR_FIELD_NAME - 1, &s, fault)) != FR_OK)
            return e;
        if (!label_valid(s, false) || s.n == 0)
            return fr_fault(fault, FR_ESCHEMA, "manifest: fields[%d]: bad name", n);
        if ((e = fr_arena_dup(b->ar, s, &copy)) != FR_OK)
            return fr_fault(fault, e, "manifest: out of memory");
        names[n++] = copy.p;
    }
    unsigned all = (1u << FR_ENTITY_COUNT) - 1;
    if ((e = fr_encoder_new(fs, names, n, all, INT32_MAX, 1, &b->enc, fault)) != FR_OK)
        return e;
    n = 0;
    for (const struct fr_json *v = a->child; v != NULL; v = v->next) {
        struct fr_enc_field *ef = &b->enc->field[fr_encoder_find(b->enc, names[n++])];
        if ((e = check_field(v, &ef->f, fault)) != FR_OK ||
            (e = read_normaliser(v, ef, fault)) != FR_OK)
            return e;
    }
    return FR_OK;
}

/* ---- weights entry ---- */

static enum fr_err
read_weights(const struct fr_json *root, struct fr_bundle_weights *out, struct fr_fault *fault)
{
    struct fr_bundle_weights w = {0};
    const struct fr_json *obj = NULL;
    struct fr_str s = {0};
    int64_t bytes = 0, crc = 0;
    enum fr_err e = get_object(root, "weights", FR_JSON_OBJECT, &obj, fault);

    if (e != FR_OK || (e = get_string(obj, "file", sizeof(w.file) - 1, &s, fault)) != FR_OK)
        return e;
    bool ok = s.n > 0 && s.p[0] != '.';
    for (size_t i = 0; i < s.n && ok; i++) {
        char c = s.p[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '_' || c == '-' || c == '.';
    }
    if (!ok)
        return fr_fault(fault,
                        FR_EREFUSED,
                        "manifest: weights.file must be a plain file name inside the bundle");
    memcpy(w.file, s.p, s.n);
    int64_t max = (int64_t)FR_BUNDLE_MAX_WEIGHTS;
    if ((e = get_int(obj, "bytes", 8, max, &bytes, fault)) != FR_OK ||
        (e = get_int(obj, "crc32", 0, UINT32_MAX, &crc, fault)) != FR_OK)
        return e;
    w.bytes = (uint64_t)bytes;
    w.crc32 = (uint32_t)crc;
    *out = w;
    return FR_OK;
}

/* ---- self-tests ---- */

/* An array of exactly n cells ["16 hex digits", x]. */
static enum fr_err read_cells(const struct fr_json *a,
                              const char *what,
                              uint32_t n,
                              struct fr_cell *out,
                              struct fr_fault *fault)
{
    if (a == NULL || a->type != FR_JSON_ARRAY || a->n != n)
        return fr_fault(
            fault, FR_ESCHEMA, "manifest: selftest %s must have %u cells", what, (unsigned)n);
    for (const struct fr_json *c = a->child; c != NULL; c = c->next, out++) {
        const struct fr_json *id = c->type == FR_JSON_ARRAY && c->n == 2 ? c->child : NULL;
        if (id == NULL || id->type != FR_JSON_STRING || !parse_hex64(id->str, &out->id) ||
            id->next->type != FR_JSON_NUMBER)
            return fr_fault(fault,
                            FR_ESCHEMA,
                            "manifest: selftest %s: a cell is [\"16 hex digits\", number]",
                            what);
        out->x = (float)id->next->num;
        if (!fr_is_finite(out->x))
            return fr_fault(fault, FR_ERANGE, "manifest: selftest %s: value too large", what);
    }
    return FR_OK;
}

/* n rows of n_cells cells each, contiguous at out. */
static enum fr_err read_rows(const struct fr_json *a,
                             const char *what,
                             int n,
                             uint32_t n_cells,
                             struct fr_cell *out,
                             struct fr_fault *fault)
{
    if (a == NULL || a->type != FR_JSON_ARRAY || a->n != (size_t)n)
        return fr_fault(fault, FR_ESCHEMA, "manifest: selftest %s must have %d rows", what, n);
    for (const struct fr_json *r = a->child; r != NULL; r = r->next, out += n_cells) {
        enum fr_err e = read_cells(r, what, n_cells, out, fault);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

static enum fr_err
read_expected(const struct fr_json *a, const char *what, int n, float *out, struct fr_fault *fault)
{
    int i = 0;

    if (a->type != FR_JSON_ARRAY || a->n != (size_t)n)
        return fr_fault(fault, FR_ESCHEMA, "manifest: selftest %s must have %d numbers", what, n);
    for (const struct fr_json *v = a->child; v != NULL && i < n; v = v->next, i++) {
        if (v->type != FR_JSON_NUMBER)
            return fr_fault(fault, FR_ESCHEMA, "manifest: selftest %s must be numbers", what);
        out[i] = (float)v->num;
        if (!fr_is_finite(out[i]))
            return fr_fault(fault, FR_ERANGE, "manifest: selftest %s too large", what);
    }
    return FR_OK;
}

static enum fr_err read_case(struct fr_bundle *b,
                             const struct fr_json *v,
                             const struct fr_field_set *fs,
                             struct fr_bundle_case *out,
                             struct fr_fault *fault)
{
    const uint32_t *nc = fs->n_cells;
    const struct fr_json *want = NULL, *value = fr_json_get(v, "expected_value"); /* absent: one head */
    enum fr_err e = get_object(v, "expected", FR_JSON_ARRAY, &want, fault);

    if (e != FR_OK)
        return e;
    if (want->n < 1 || want->n > FR_BUNDLE_MAX_CANDIDATES)
        return fr_fault(fault,
                        FR_ESCHEMA,
                        "manifest: selftest expected must have 1..%d numbers",
                        FR_BUNDLE_MAX_CANDIDATES);
    size_t n = want->n;
    struct fr_cell *user = fr_arena_array(b->ar, nc[FR_ENTITY_USER] + 1, sizeof(*user));
    struct fr_cell *context = fr_arena_array(b->ar, nc[FR_ENTITY_CONTEXT] + 1, sizeof(*context));
    struct fr_cell *items = fr_arena_array(b->ar, n * nc[FR_ENTITY_ITEM] + 1, sizeof(*items));
    struct fr_cell *cross = fr_arena_array(b->ar, n * nc[FR_ENTITY_CROSS] + 1, sizeof(*cross));
    const struct fr_cell **ptr = fr_arena_array(b->ar, n, sizeof(*ptr));
    float *expected = fr_arena_array(b->ar, n, sizeof(*expected));
    float *expected_value = fr_arena_array(b->ar, n, sizeof(*expected_value));
    if (user == NULL || context == NULL || items == NULL || cross == NULL || ptr == NULL ||
        expected == NULL || expected_value == NULL)
        return fr_fault(fault, FR_ENOMEM, "manifest: out of memory");
    e = read_cells(fr_json_get(v, "user"), "user", nc[FR_ENTITY_USER], user, fault);
    if (e == FR_OK)
        e = read_cells(fr_json_get(v, "context"), "context", nc[FR_ENTITY_CONTEXT], context, fault);
    if (e == FR_OK)
        e = read_rows(fr_json_get(v, "items"), "items", (int)n, nc[FR_ENTITY_ITEM], items, fault);
    if (e == FR_OK)
        e = read_rows(fr_json_get(v, "cross"), "cross", (int)n, nc[FR_ENTITY_CROSS], cross, fault);
    if (e == FR_OK)
        e = read_expected(want, "expected", (int)n, expected, fault);
    if (e == FR_OK && value != NULL)
        e = read_expected(value, "expected_value", (int)n, expected_value, fault);
    if (e != FR_OK)
        return e;
    for (size_t i = 0; i < n; i++)
        ptr[i] = items + i * nc[FR_ENTITY_ITEM];
    *out = (struct fr_bundle_case){{user, context, ptr, cross, (int)n}, expected, value == NULL ? NULL : expected_value};
    return FR_OK;
}

static enum fr_err read_selftest(struct fr_bundle *b,
                                 const struct fr_json *root,
                                 const struct fr_field_set *fs,
                                 struct fr_fault *fault)
{
    const struct fr_json *a = NULL;
    enum fr_err e = get_object(root, "selftest", FR_JSON_ARRAY, &a, fault);

    if (e != FR_OK)
        return e;
    if (a->n < 1 || a->n > FR_BUNDLE_MAX_CASES)
        return fr_fault(
            fault, FR_ESCHEMA, "manifest: selftest must have 1..%d cases", FR_BUNDLE_MAX_CASES);
    for (const struct fr_json *v = a->child; v != NULL; v = v->next) {
        if ((e = read_case(b, v, fs, &b->cases[b->n_cases], fault)) != FR_OK)
            return e;
        b->n_cases++;
    }
    return FR_OK;
}

enum fr_err fr_bundle_parse_manifest(struct fr_bundle *b,
                                     struct fr_str text,
                                     const struct fr_field_set *fs,
                                     struct fr_bundle_weights *out_weights,
                                     struct fr_fault *fault)
{
    const struct fr_json *root = NULL;
    struct fr_json_error je = {0};
    enum fr_err e = fr_json_parse(b->ar, text, &root, &je);

    if (e != FR_OK)
        return fr_fault(
            fault, e, "manifest: byte %zu: %s", je.offset, je.what == NULL ? "" : je.what);
    if (root->type != FR_JSON_OBJECT)
        return fr_fault(fault, FR_ESCHEMA, "manifest: must be an object");
    if ((e = read_identity(b, root, fs, fault)) != FR_OK ||
        (e = read_fields(b, root, fs, fault)) != FR_OK ||
        (e = get_object(root, "config", FR_JSON_OBJECT, &b->config, fault)) != FR_OK ||
        (e = read_weights(root, out_weights, fault)) != FR_OK)
        return e;
    return read_selftest(b, root, fs, fault);
}

/* ---- files ---- */

/* DIR/name into `path`; it must not be a link. */
static enum fr_err
path_of(const char *dir, const char *name, char path[PATH_MAX], struct fr_fault *fault)
{
    struct stat st;
    int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);

    if (n < 0 || n >= PATH_MAX)
        return fr_fault(fault, FR_EINVAL, "path of the bundle is too long");
    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
        return fr_fault(fault, FR_EREFUSED, "%.200s is a symbolic link", path);
    return FR_OK;
}

/* "vocab.<table>" of every ID table into the encoder; the tensors of the model stay. */
static enum fr_err load_vocabs(struct fr_bundle *b, struct fr_fault *fault)
{
    char name[FR_TENSOR_NAME];

    for (int i = 0; i < b->enc->n_tables; i++) {
        struct fr_enc_table *t = &b->enc->table[i];
        if (t->kind != FR_FIELD_ID)
            continue;
        (void)snprintf(name, sizeof(name), "vocab.%s", t->name);
        const struct fr_tensor *v = fr_tensor_find(b->tensor, b->n_tensors, name);
        if (v == NULL)
            return fr_fault(fault, FR_ENOTFOUND, "tensor %s is missing", name);
        if (v->dtype != FR_DTYPE_U64 || v->ndim != 1 || v->dim[0] > INT32_MAX)
            return fr_fault(fault, FR_EMISMATCH, "tensor %s must be a U64 vector", name);
        uint64_t *keys = b->own[v - b->tensor];
        enum fr_err e = fr_vocab_take(&t->vocab, &keys, (uint32_t)v->dim[0]);
        if (e != FR_OK)
            return fr_fault(fault, e, "tensor %s: %s", name, fr_err_text(e));
        b->own[v - b->tensor] = NULL;
        t->rows = t->vocab.n_rows;
    }
    return FR_OK;
}

static enum fr_err check_crc(int fd,
                             size_t n,
                             const struct fr_bundle_weights *w,
                             struct fr_arena *ar,
                             struct fr_fault *fault)
{
    struct fr_arena_mark mark = fr_arena_mark(ar);
    char *piece = fr_arena_array(ar, CRC_PIECE, 1);
    uint32_t crc = 0;

    if (piece == NULL)
        return fr_fault(fault, FR_ENOMEM, "bundle: out of memory");
    for (size_t at = 0, k; at < n; at += k) {
        k = n - at < CRC_PIECE ? n - at : CRC_PIECE;
        enum fr_err e = fr_file_pread(fd, at, piece, k);
        if (e != FR_OK)
            return fr_fault(fault, e, "cannot read %s: %s", w->file, fr_err_text(e));
        crc = fr_crc32(crc, piece, k);
    }
    fr_arena_release(ar, mark);
    if (crc != w->crc32)
        return fr_fault(fault,
                        FR_ECORRUPT,
                        "%s has CRC %08x, the manifest says %08x",
                        w->file,
                        (unsigned)crc,
                        (unsigned)w->crc32);
    return FR_OK;
}

/* The file is read twice, for the CRC and for the tensors, so that it need not stand in memory as a whole beside
 * them. A file that changes in between meets the same checks of every byte's meaning as any other. */
static enum fr_err read_tensors(struct fr_bundle *b,
                                int fd,
                                size_t n,
                                const struct fr_bundle_weights *w,
                                struct fr_fault *fault)
{
    void **own = NULL;

    if (n != w->bytes)
        return fr_fault(fault,
                        FR_ECORRUPT,
                        "%s has %zu bytes, the manifest says %llu: truncated?",
                        w->file,
                        n,
                        (unsigned long long)w->bytes);
    enum fr_err e = check_crc(fd, n, w, b->ar, fault);
    if (e == FR_OK)
        e = fr_safetensors_read(fd, n, b->ar, &b->tensor, &own, &b->n_tensors, fault);
    if (e != FR_OK)
        return e;
    b->own = fr_calloc((size_t)b->n_tensors + 1, sizeof(*b->own));
    if (b->own == NULL) {
        for (int i = 0; i < b->n_tensors; i++)
            fr_free(own[i]);
        return fr_fault(fault, FR_ENOMEM, "bundle: out of memory");
    }
    memcpy(b->own, own, (size_t)b->n_tensors * sizeof(*own));
    return FR_OK;
}

static enum fr_err load_weights(struct fr_bundle *b,
                                const char *dir,
                                const struct fr_bundle_weights *w,
                                struct fr_fault *fault)
{
    char path[PATH_MAX];
    size_t n = 0;
    int fd = -1;
    enum fr_err e = path_of(dir, w->file, path, fault);

    if (e != FR_OK || (e = fr_file_open(path, (size_t)w->bytes, &fd, &n, fault)) != FR_OK)
        return e;
    e = read_tensors(b, fd, n, w, fault);
    (void)close(fd);
    return e == FR_OK ? load_vocabs(b, fault) : e;
}

enum fr_err fr_bundle_read(const char *dir,
                           const struct fr_field_set *fs,
                           struct fr_bundle **out_b,
                           struct fr_fault *fault)
{
    struct fr_bundle *b = fr_calloc(1, sizeof(*b));
    struct fr_bundle_weights w = {0};
    char path[PATH_MAX];
    size_t n = 0;
    enum fr_err e = FR_OK;

    if (b == NULL)
        return fr_fault(fault, FR_ENOMEM, "bundle: out of memory");
    if ((e = fr_arena_new(1 << 16, 0, &b->ar)) != FR_OK) {
        e = fr_fault(fault, e, "bundle: out of memory");
        goto out;
    }
    if ((e = path_of(dir, "manifest.json", path, fault)) != FR_OK ||
        (e = fr_file_read(path, FR_BUNDLE_MAX_MANIFEST, &b->manifest_text, &n, fault)) != FR_OK)
        goto out;
    struct fr_str text = {b->manifest_text, n};
    if ((e = fr_bundle_parse_manifest(b, text, fs, &w, fault)) != FR_OK ||
        (e = load_weights(b, dir, &w, fault)) != FR_OK)
        goto out;
    *out_b = b;
    b = NULL;
out:
    fr_bundle_free(b);
    return e;
}

void fr_bundle_free(struct fr_bundle *b)
{
    if (b == NULL)
        return;
    fr_encoder_free(b->enc);
    fr_free(b->manifest_text);
    for (int i = 0; b->own != NULL && i < b->n_tensors; i++)
        fr_free(b->own[i]);
    fr_free(b->own);
    fr_arena_free(b->ar);
    fr_free(b);
}
