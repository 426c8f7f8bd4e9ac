/*
 * models/train/checkpoint.c - the file and the single values; compounds are in checkpoint_state.c.
 */
#include "models/train/checkpoint.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/base/hash.h"
#include "models/safetensors.h"
#include "models/train/checkpoint_priv.h"

#define MAX_FILE ((size_t)1 << 40)
#define CRC_KEY "crc32"
#define CRC_TEXT 9 /* 8 digits and NUL */

enum fr_err fr_checkpoint_new(struct fr_checkpoint **out)
{
    struct fr_checkpoint *ck = fr_calloc(1, sizeof(*ck));
    enum fr_err e = ck == NULL ? FR_ENOMEM : fr_arena_new((size_t)1 << 16, 0, &ck->ar);

    if (e != FR_OK) {
        fr_checkpoint_free(ck);
        return e;
    }
    fr_buf_init(&ck->text);
    fr_jsonw_init(&ck->w, &ck->text);
    fr_jsonw_object(&ck->w);
    *out = ck;
    return FR_OK;
}

void fr_checkpoint_free(struct fr_checkpoint *ck)
{
    if (ck == NULL)
        return;
    fr_buf_done(&ck->text);
    fr_arena_free(ck->ar);
    fr_free(ck->file);
    if (!ck->loading)
        fr_free(ck->tensor);
    fr_free(ck->used);
    fr_free(ck->used_member);
    fr_free(ck);
}

/* ---- writing ---- */

static void crc_text(uint32_t crc, char out[CRC_TEXT])
{
    (void)snprintf(out, CRC_TEXT, "%08" PRIx32, crc);
}

enum fr_err fr_checkpoint_write(struct fr_checkpoint *ck, const char *path, struct fr_fault *fault)
{
    struct fr_str *part = fr_malloc_array((size_t)ck->n_tensors + 1, sizeof(*part));
    struct fr_st_note notes[2] = {{FR_CHECKPOINT_SCHEMA, {NULL, 0}}, {CRC_KEY, {NULL, 0}}};
    struct fr_buf head;
    char sum[CRC_TEXT];
    uint32_t crc;
    enum fr_err e;

    fr_buf_init(&head);
    if (part == NULL)
        fr_checkpoint_fail(ck, FR_ENOMEM, "", "out of memory");
    fr_jsonw_end(&ck->w, '}');
    if (fr_buf_err(&ck->text) != FR_OK)
        fr_checkpoint_fail(ck, FR_ENOMEM, "", "out of memory");
    if ((e = ck->err) != FR_OK) {
        e = fr_fault(fault, e, "%s: %s", path, ck->fault.msg);
        goto out;
    }
    crc = fr_crc32(0, ck->text.p, ck->text.n);
    for (int i = 0; i < ck->n_tensors; i++) {
        const struct fr_tensor *t = &ck->tensor[i];

        part[i + 1] = (struct fr_str){t->data, fr_tensor_count(t) * fr_dtype_size(t->dtype)};
        crc = fr_crc32(crc, part[i + 1].p, part[i + 1].n);
    }
    crc_text(crc, sum);
    notes[0].text = fr_buf_str(&ck->text);
    notes[1].text = fr_str_z(sum);
    if ((e = fr_safetensors_head(ck->tensor, ck->n_tensors, notes, 2, &head)) != FR_OK) {
        e = fr_fault(fault, e, "%s: tensors: %s", path, fr_err_text(e));
        goto out;
    }
    part[0] = fr_buf_str(&head);
    e = fr_file_replace_parts(path, part, (size_t)ck->n_tensors + 1, fault);
out:
    fr_buf_done(&head);
    fr_free(part);
    return e;
}

/* ---- reading ---- */

static enum fr_err load(struct fr_checkpoint *ck, struct fr_str file, struct fr_fault *fault)
{
    const struct fr_json *meta = NULL, *text;
    struct fr_json_error je = {0};
    enum fr_err e = fr_safetensors_parse_meta(file, ck->ar, &ck->tensor, &ck->n_tensors, &meta, fault);

    if (e != FR_OK)
        return e;
    text = fr_json_get(meta, FR_CHECKPOINT_SCHEMA);
    if (text == NULL)
        return fr_fault(fault, FR_EVERSION, "no checkpoint: __metadata__ has no " FR_CHECKPOINT_SCHEMA);
    ck->meta = meta;
    ck->json = text->str;
    if ((e = fr_json_parse(ck->ar, text->str, &ck->root, &je)) != FR_OK)
        return fr_fault(fault, e, FR_CHECKPOINT_SCHEMA " byte %zu: %s", je.offset, je.what == NULL ? "" : je.what);
    if (ck->root->type != FR_JSON_OBJECT)
        return fr_fault(fault, FR_ESCHEMA, FR_CHECKPOINT_SCHEMA ": not an object");
    ck->used = fr_calloc((size_t)ck->n_tensors + 1, sizeof(*ck->used));
    ck->used_member = fr_calloc(ck->root->n + 1, sizeof(*ck->used_member));
    if (ck->used == NULL || ck->used_member == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    return FR_OK;
}

enum fr_err fr_checkpoint_parse(struct fr_str file, struct fr_checkpoint **out, struct fr_fault *fault)
{
    struct fr_checkpoint *ck = NULL;
    enum fr_err e = fr_checkpoint_new(&ck);

    if (e != FR_OK)
        return fr_fault(fault, e, "out of memory");
    ck->loading = true;
    if ((e = load(ck, file, fault)) != FR_OK) {
        fr_checkpoint_free(ck);
        return e;
    }
    *out = ck;
    return FR_OK;
}

static enum fr_err check_sum(const struct fr_checkpoint *ck, struct fr_str file, struct fr_fault *fault)
{
    const struct fr_json *sum = fr_json_get(ck->meta, CRC_KEY);
    char want[CRC_TEXT];
    uint64_t header = 0;

    for (int i = 7; i >= 0; i--)
        header = header << 8 | (unsigned char)file.p[i];
    crc_text(fr_crc32(fr_crc32(0, ck->json.p, ck->json.n), file.p + 8 + header, file.n - 8 - (size_t)header), want);
    if (sum == NULL || !fr_str_eqz(sum->str, want))
        return fr_fault(fault, FR_ECORRUPT, "__metadata__ " CRC_KEY " does not fit the contents");
    return FR_OK;
}

enum fr_err fr_checkpoint_read(const char *path, struct fr_checkpoint **out, struct fr_fault *fault)
{
    struct fr_checkpoint *ck = NULL;
    struct fr_fault why = {.err = FR_OK};
    char *file = NULL;
    size_t n = 0;
    enum fr_err e = fr_file_read(path, MAX_FILE, &file, &n, fault);

    if (e != FR_OK)
        return e;
    if ((e = fr_checkpoint_parse((struct fr_str){file, n}, &ck, &why)) == FR_OK)
        e = check_sum(ck, (struct fr_str){file, n}, &why);
    if (e != FR_OK) {
        fr_checkpoint_free(ck);
        fr_free(file);
        return fr_fault(fault, e, "%s: %s", path, why.msg);
    }
    ck->file = file;
    *out = ck;
    return FR_OK;
}

enum fr_err fr_checkpoint_end(struct fr_checkpoint *ck, struct fr_fault *fault)
{
    size_t i = 0;

    for (int k = 0; k < ck->n_tensors && ck->err == FR_OK; k++)
        if (!ck->used[k]) {
            ck->section[0] = '\0';
            fr_checkpoint_fail(ck, FR_ESCHEMA, ck->tensor[k].name, "nothing here has such a tensor");
        }
    for (const struct fr_json *v = ck->root->child; v != NULL && ck->err == FR_OK; v = v->next, i++)
        if (!ck->used_member[i]) {
            char key[FR_TENSOR_NAME];

            (void)snprintf(key, sizeof(key), "%.*s", (int)(v->key.n < 80 ? v->key.n : 80), v->key.p);
            ck->section[0] = '\0';
            fr_checkpoint_fail(ck, FR_ESCHEMA, key, "nothing here has such a value");
        }
    return ck->err == FR_OK ? FR_OK : fr_fault(fault, ck->err, "%s", ck->fault.msg);
}

/* ---- names and errors ---- */

bool fr_checkpoint_loading(const struct fr_checkpoint *ck)
{
    return ck->loading;
}

enum fr_err fr_checkpoint_err(const struct fr_checkpoint *ck)
{
    return ck->err;
}

void fr_checkpoint_failf(struct fr_checkpoint *ck, enum fr_err e, const char *key, const char *fmt, ...)
{
    char why[FR_FAULT_MSG];
    va_list ap;

    if (ck->err != FR_OK)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    ck->err = fr_fault(&ck->fault, e, "%s%s%s%s%s", ck->section, ck->section[0] == '\0' ? "" : "/", key,
                       key[0] == '\0' ? "" : ": ", why);
}

void fr_checkpoint_fail(struct fr_checkpoint *ck, enum fr_err e, const char *key, const char *why)
{
    fr_checkpoint_failf(ck, e, key, "%s", why);
}

void fr_checkpoint_section(struct fr_checkpoint *ck, const char *section)
{
    (void)snprintf(ck->section, sizeof(ck->section), "%s", section);
}

bool fr_checkpoint_name(struct fr_checkpoint *ck, const char *key, char out[FR_TENSOR_NAME])
{
    int n = snprintf(out, FR_TENSOR_NAME, "%s%s%s", ck->section, ck->section[0] == '\0' ? "" : "/", key);

    if (n > 0 && n < FR_TENSOR_NAME)
        return true;
    fr_checkpoint_fail(ck, FR_EINVAL, key, "the name is too long");
    return false;
}

void *fr_checkpoint_room(struct fr_checkpoint *ck, size_t n, size_t size)
{
    void *p = fr_arena_array(ck->ar, n, size);

    if (p == NULL)
        fr_checkpoint_fail(ck, FR_ENOMEM, "", "out of memory");
    return p;
}

/* ---- members of the text ---- */

static bool put_key(struct fr_checkpoint *ck, const char *key)
{
    char name[FR_TENSOR_NAME];

    if (ck->err != FR_OK || !fr_checkpoint_name(ck, key, name))
        return false;
    fr_jsonw_key(&ck->w, name);
    return true;
}

/* NULL: told */
static const struct fr_json *take(struct fr_checkpoint *ck, const char *key, enum fr_json_type type, const char *want)
{
    char name[FR_TENSOR_NAME];
    size_t i = 0;

    if (ck->err != FR_OK || !fr_checkpoint_name(ck, key, name))
        return NULL;
    for (const struct fr_json *v = ck->root->child; v != NULL; v = v->next, i++) {
        if (!fr_str_eqz(v->key, name))
            continue;
        ck->used_member[i] = true;
        if (v->type == type)
            return v;
        fr_checkpoint_failf(ck, FR_ESCHEMA, key, "must be %s", want);
        return NULL;
    }
    fr_checkpoint_fail(ck, FR_ESCHEMA, key, "is missing");
    return NULL;
}

void fr_checkpoint_i64(struct fr_checkpoint *ck, const char *key, int64_t *v, int64_t min, int64_t max)
{
    const struct fr_json *j;

    if (!ck->loading) {
        if (put_key(ck, key))
            fr_jsonw_i64(&ck->w, *v);
        return;
    }
    if ((j = take(ck, key, FR_JSON_NUMBER, "a number")) == NULL)
        return;
    if (!j->is_int || j->i < min || j->i > max) {
        fr_checkpoint_failf(ck, FR_ERANGE, key, "must be whole, %" PRId64 "..%" PRId64, min, max);
        return;
    }
    *v = j->i;
}

void fr_checkpoint_int(struct fr_checkpoint *ck, const char *key, int *v, int min, int max)
{
    int64_t x = *v;

    fr_checkpoint_i64(ck, key, &x, min, max);
    *v = (int)x;
}

void fr_checkpoint_bool(struct fr_checkpoint *ck, const char *key, bool *v)
{
    const struct fr_json *j;

    if (!ck->loading) {
        if (put_key(ck, key))
            fr_jsonw_bool(&ck->w, *v);
        return;
    }
    if ((j = take(ck, key, FR_JSON_BOOL, "true or false")) != NULL)
        *v = j->b;
}

void fr_checkpoint_f64(struct fr_checkpoint *ck, const char *key, double *v)
{
    const struct fr_json *j;

    if (!ck->loading) {
        if (!isfinite(*v))
            fr_checkpoint_fail(ck, FR_ENONFINITE, key, "is not finite");
        if (put_key(ck, key))
            fr_jsonw_f64(&ck->w, *v);
        return;
    }
    if ((j = take(ck, key, FR_JSON_NUMBER, "a number")) != NULL)
        *v = j->num;
}

void fr_checkpoint_f32(struct fr_checkpoint *ck, const char *key, float *v)
{
    double x = (double)*v;

    fr_checkpoint_f64(ck, key, &x);
    if (fabs(x) > (double)FLT_MAX) {
        fr_checkpoint_fail(ck, FR_ERANGE, key, "is too large");
        return;
    }
    *v = (float)x;
}

void fr_checkpoint_f64s(struct fr_checkpoint *ck, const char *key, double *v, int n)
{
    const struct fr_json *j, *x;

    if (!ck->loading) {
        if (!put_key(ck, key))
            return;
        fr_jsonw_array(&ck->w);
        for (int i = 0; i < n; i++)
            fr_jsonw_f64(&ck->w, v[i]);
        fr_jsonw_end(&ck->w, ']');
        return;
    }
    if ((j = take(ck, key, FR_JSON_ARRAY, "an array")) == NULL)
        return;
    if (j->n != (size_t)n) {
        fr_checkpoint_failf(ck, FR_EMISMATCH, key, "%zu numbers, not %d", j->n, n);
        return;
    }
    x = j->child;
    for (int i = 0; i < n; i++, x = x->next) {
        if (x->type != FR_JSON_NUMBER && x->type != FR_JSON_NULL) {
            fr_checkpoint_failf(ck, FR_ESCHEMA, key, "[%d] must be a number or null", i);
            return;
        }
        v[i] = x->type == FR_JSON_NULL ? (double)NAN : x->num;
    }
}

void fr_checkpoint_same_str(struct fr_checkpoint *ck, const char *key, const char *v)
{
    const struct fr_json *j;

    if (!ck->loading) {
        if (put_key(ck, key))
            fr_jsonw_z(&ck->w, v);
        return;
    }
    if ((j = take(ck, key, FR_JSON_STRING, "a text")) != NULL && !fr_str_eqz(j->str, v))
        fr_checkpoint_failf(ck, FR_EMISMATCH, key, "%.*s there, %s here", (int)(j->str.n < 80 ? j->str.n : 80),
                            j->str.p, v);
}

void fr_checkpoint_same_u64(struct fr_checkpoint *ck, const char *key, uint64_t v)
{
    char text[24]; /* a JSON number would be a double in most readers */

    (void)snprintf(text, sizeof(text), "%" PRIu64, v);
    fr_checkpoint_same_str(ck, key, text);
}

void fr_checkpoint_same_f64(struct fr_checkpoint *ck, const char *key, double v)
{
    double there = v;

    fr_checkpoint_f64(ck, key, &there);
    if (ck->loading && ck->err == FR_OK && there != v)
        fr_checkpoint_failf(ck, FR_EMISMATCH, key, "%.9g there, %.9g here", there, v);
}

/* ---- tensors ---- */

static void
put_tensor(struct fr_checkpoint *ck, const char *key, enum fr_dtype type, const void *v, uint64_t rows, uint64_t cols)
{
    struct fr_tensor t = {.dtype = type, .ndim = cols == 0 ? 1 : 2, .dim = {rows, cols}, .data = v};

    if (ck->err != FR_OK || !fr_checkpoint_name(ck, key, t.name))
        return;
    if (ck->n_tensors == ck->cap_tensors) {
        int cap = ck->cap_tensors == 0 ? 64 : 2 * ck->cap_tensors;
        struct fr_tensor *p = fr_realloc_array(ck->tensor, (size_t)cap, sizeof(*p));

        if (p == NULL || cap > FR_ST_MAX_TENSORS) {
            ck->tensor = p == NULL ? ck->tensor : p;
            fr_checkpoint_fail(ck, p == NULL ? FR_ENOMEM : FR_ETOOLARGE, key, "too many tensors");
            return;
        }
        ck->tensor = p;
        ck->cap_tensors = cap;
    }
    ck->tensor[ck->n_tensors++] = t;
}

static const struct fr_tensor *find(const struct fr_checkpoint *ck, const char *name)
{
    for (int i = 0; i < ck->n_tensors; i++)
        if (strcmp(ck->tensor[i].name, name) == 0)
            return &ck->tensor[i];
    return NULL;
}

uint64_t fr_checkpoint_count(const struct fr_checkpoint *ck, const char *key)
{
    char name[FR_TENSOR_NAME];
    int n = snprintf(name, sizeof(name), "%s%s%s", ck->section, ck->section[0] == '\0' ? "" : "/", key);
    const struct fr_tensor *t = n < 0 || n >= (int)sizeof(name) ? NULL : find(ck, name);

    return t == NULL ? 0 : t->dim[0];
}

const void *fr_checkpoint_take(
    struct fr_checkpoint *ck, const char *key, enum fr_dtype type, uint64_t rows, uint64_t cols)
{
    char name[FR_TENSOR_NAME];
    const struct fr_tensor *t;

    if (ck->err != FR_OK || !fr_checkpoint_name(ck, key, name))
        return NULL;
    if ((t = find(ck, name)) == NULL) {
        fr_checkpoint_fail(ck, FR_ESCHEMA, key, "the tensor is missing");
        return NULL;
    }
    ck->used[t - ck->tensor] = true;
    if (t->dtype != type || t->ndim != (cols == 0 ? 1 : 2) || t->dim[0] != rows || (cols > 0 && t->dim[1] != cols)) {
        fr_checkpoint_failf(ck, FR_EMISMATCH, key,
                            "%s of %d dimensions [%" PRIu64 ", %" PRIu64 "] there, %s [%" PRIu64 ", %" PRIu64 "] here",
                            fr_dtype_name(t->dtype), t->ndim, t->dim[0], t->ndim < 2 ? 0 : t->dim[1],
                            fr_dtype_name(type), rows, cols);
        return NULL;
    }
    return t->data;
}

static void
tensor(struct fr_checkpoint *ck, const char *key, enum fr_dtype type, void *v, uint64_t rows, uint64_t cols)
{
    size_t n = (size_t)rows * (size_t)(cols == 0 ? 1 : cols); /* of memory that is there */
    const void *from;

    if (v == NULL || n == 0) /* the file's, if it has one, is left over in end() */
        return;
    if (!ck->loading)
        put_tensor(ck, key, type, v, rows, cols);
    else if ((from = fr_checkpoint_take(ck, key, type, rows, cols)) != NULL)
        memcpy(v, from, n * fr_dtype_size(type));
}

void fr_checkpoint_f32s(struct fr_checkpoint *ck, const char *key, float *v, uint64_t rows, uint64_t cols)
{
    tensor(ck, key, FR_DTYPE_F32, v, rows, cols);
}

void fr_checkpoint_u32s(struct fr_checkpoint *ck, const char *key, uint32_t *v, uint64_t n)
{
    tensor(ck, key, FR_DTYPE_I32, v, n, 0); /* the format has U32, the project does not need it elsewhere */
}

void fr_checkpoint_u64s(struct fr_checkpoint *ck, const char *key, uint64_t *v, uint64_t n)
{
    tensor(ck, key, FR_DTYPE_U64, v, n, 0);
}

void fr_checkpoint_rng(struct fr_checkpoint *ck, const char *key, struct fr_rng *rng)
{
    fr_checkpoint_u64s(ck, key, rng->s, 4);
    /* xoshiro would stay there for ever, and a normal deviate would never come */
    if (ck->loading && ck->err == FR_OK && (rng->s[0] | rng->s[1] | rng->s[2] | rng->s[3]) == 0)
        fr_checkpoint_fail(ck, FR_EINVAL, key, "all zero is no state of the generator");
}
