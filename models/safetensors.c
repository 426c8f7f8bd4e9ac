/*
 * models/safetensors.c - the format's reader and writer.
 */
#include "models/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/base/json.h"

static uint64_t load_le64(const char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

/* Printable ASCII without blanks, so that a name can stand in a message. */
static bool name_valid(struct fr_str s)
{
    if (s.n == 0 || s.n >= FR_TENSOR_NAME)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
            return false;
    return true;
}

static enum fr_err read_dtype(const struct fr_json *v, struct fr_tensor *t, struct fr_fault *fault)
{
    if (v == NULL || v->type != FR_JSON_STRING)
        return fr_fault(fault, FR_ESCHEMA, "tensor %s: dtype must be a string", t->name);
    for (int d = 0; d < FR_DTYPE_COUNT; d++) {
        if (fr_str_eqz(v->str, fr_dtype_name((enum fr_dtype)d))) {
            t->dtype = (enum fr_dtype)d;
            return FR_OK;
        }
    }
    return fr_fault(fault, FR_EMISMATCH, "tensor %s: dtype is not F32, I32, I64 or U64", t->name);
}

static enum fr_err
read_shape(const struct fr_json *v, struct fr_tensor *t, size_t *out_bytes, struct fr_fault *fault)
{
    size_t bytes = fr_dtype_size(t->dtype);

    if (v == NULL || v->type != FR_JSON_ARRAY || v->n < 1 || v->n > FR_TENSOR_MAX_DIMS)
        return fr_fault(fault,
                        FR_ESCHEMA,
                        "tensor %s: shape must be an array of 1..%d numbers",
                        t->name,
                        FR_TENSOR_MAX_DIMS);
    for (const struct fr_json *d = v->child; d != NULL; d = d->next) {
        if (d->type != FR_JSON_NUMBER || !d->is_int || d->i < 1)
            return fr_fault(
                fault, FR_ESCHEMA, "tensor %s: shape[%d] must be above 0", t->name, t->ndim);
        if (!fr_mul_size(bytes, (size_t)d->i, &bytes))
            return fr_fault(fault, FR_EOVERFLOW, "tensor %s: shape overflows", t->name);
        t->dim[t->ndim++] = (uint64_t)d->i;
    }
    *out_bytes = bytes;
    return FR_OK;
}

static enum fr_err read_range(const struct fr_json *v,
                              const struct fr_tensor *t,
                              size_t bytes,
                              size_t data_n,
                              size_t *out_begin,
                              struct fr_fault *fault)
{
    const struct fr_json *a = v != NULL && v->type == FR_JSON_ARRAY && v->n == 2 ? v->child : NULL;
    const struct fr_json *b = a == NULL ? NULL : a->next;

    if (b == NULL || !a->is_int || !b->is_int || a->type != FR_JSON_NUMBER ||
        b->type != FR_JSON_NUMBER)
        return fr_fault(fault, FR_ESCHEMA, "tensor %s: data_offsets must be two integers", t->name);
    if (a->i < 0 || b->i < a->i || (uint64_t)b->i > data_n)
        return fr_fault(fault,
                        FR_ERANGE,
                        "tensor %s: data_offsets [%lld, %lld] outside the %zu bytes of data",
                        t->name,
                        (long long)a->i,
                        (long long)b->i,
                        data_n);
    if ((uint64_t)(b->i - a->i) != bytes)
        return fr_fault(fault,
                        FR_ERANGE,
                        "tensor %s: data_offsets span %lld bytes, shape and dtype need %zu",
                        t->name,
                        (long long)(b->i - a->i),
                        bytes);
    *out_begin = (size_t)a->i;
    return FR_OK;
}

/* One tensor with its place, before sorting. */
struct placed {
    struct fr_tensor t;
    size_t begin, bytes;
};

static int by_begin(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

static enum fr_err
read_entry(const struct fr_json *v, size_t data_n, struct placed *out, struct fr_fault *fault)
{
    struct placed p = {0};
    enum fr_err e;

    if (!name_valid(v->key))
        return fr_fault(fault,
                        FR_ESCHEMA,
                        "header byte %zu: a tensor name must be 1..%d printable characters",
                        v->offset,
                        FR_TENSOR_NAME - 1);
    memcpy(p.t.name, v->key.p, v->key.n);
    if (v->type != FR_JSON_OBJECT)
        return fr_fault(fault, FR_ESCHEMA, "tensor %s: must be an object", p.t.name);
    if ((e = read_dtype(fr_json_get(v, "dtype"), &p.t, fault)) != FR_OK ||
        (e = read_shape(fr_json_get(v, "shape"), &p.t, &p.bytes, fault)) != FR_OK ||
        (e = read_range(fr_json_get(v, "data_offsets"), &p.t, p.bytes, data_n, &p.begin, fault)) !=
            FR_OK)
        return e;
    *out = p;
    return FR_OK;
}

static enum fr_err check_finite(const struct fr_tensor *t, struct fr_fault *fault)
{
    if (t->dtype == FR_DTYPE_F32 && !fr_all_finite(t->data, fr_tensor_count(t)))
        return fr_fault(fault, FR_ENONFINITE, "tensor %s has a NaN or infinite value", t->name);
    return FR_OK;
}

/* Points a tensor at its bytes, copying where they are not aligned, and checks its values. */
static enum fr_err
attach(struct placed *p, const char *data, struct fr_arena *ar, struct fr_fault *fault)
{
    const char *at = data + p->begin;

    if ((uintptr_t)at % fr_dtype_size(p->t.dtype) != 0) {
        char *copy = fr_arena_array(ar, p->bytes, 1);
        if (copy == NULL)
            return fr_fault(fault, FR_ENOMEM, "tensor %s: out of memory", p->t.name);
        memcpy(copy, at, p->bytes);
        at = copy;
    }
    p->t.data = at;
    return check_finite(&p->t, fault);
}

/* The ranges, in order, must cover the data exactly. */
static enum fr_err check_cover(const struct placed *p, int n, size_t data_n, struct fr_fault *fault)
{
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        if (p[i].begin != at)
            return fr_fault(fault,
                            FR_ERANGE,
                            "tensor %s: begins at %zu, %s the bytes before end at %zu",
                            p[i].t.name,
                            p[i].begin,
                            p[i].begin < at ? "overlaps:" : "a gap:",
                            at);
        at += p[i].bytes;
    }
    if (at != data_n)
        return fr_fault(
            fault, FR_ERANGE, "%zu bytes after the last tensor's end at %zu", data_n - at, at);
    return FR_OK;
}

/* Length of the JSON, from the first 8 bytes of a file of `size`. */
static enum fr_err
header_length(const char *first, size_t size, size_t *out_n, struct fr_fault *fault)
{
    if (size < 8)
        return fr_fault(fault, FR_ESYNTAX, "file of %zu bytes is too short for a header", size);
    uint64_t n = load_le64(first);
    if (n > FR_ST_MAX_HEADER)
        return fr_fault(fault,
                        FR_ETOOLARGE,
                        "header length %llu is above the limit of %u bytes",
                        (unsigned long long)n,
                        FR_ST_MAX_HEADER);
    if (n > size - 8)
        return fr_fault(fault,
                        FR_ERANGE,
                        "header length %llu is past the end of the file (%zu bytes)",
                        (unsigned long long)n,
                        size);
    *out_n = (size_t)n;
    return FR_OK;
}

/* The tensors of a header, in the order of their bytes, which cover data_n bytes; no data yet. @param out_root  the header */
static enum fr_err parse_header(struct fr_str json,
                                size_t data_n,
                                struct fr_arena *ar,
                                const struct fr_json **out_root,
                                struct placed **out_p,
                                int *out_n,
                                struct fr_fault *fault)
{
    const struct fr_json *root = NULL;
    struct fr_json_error je = {0};
    int n = 0;
    enum fr_err e = fr_json_parse(ar, json, &root, &je);

    if (e != FR_OK)
        return fr_fault(fault, e, "header byte %zu: %s", je.offset, je.what == NULL ? "" : je.what);
    if (root->type != FR_JSON_OBJECT)
        return fr_fault(fault, FR_ESCHEMA, "header is not an object");
    *out_root = root;
    if (root->n > FR_ST_MAX_TENSORS)
        return fr_fault(fault, FR_ETOOLARGE, "%zu tensors, at most %d", root->n, FR_ST_MAX_TENSORS);
    struct placed *p = fr_arena_array(ar, root->n + 1, sizeof(*p));
    if (p == NULL)
        return fr_fault(fault, FR_ENOMEM, "safetensors: out of memory");
    for (const struct fr_json *v = root->child; v != NULL; v = v->next) {
        if (fr_str_eqz(v->key, "__metadata__"))
            continue;
        if ((e = read_entry(v, data_n, &p[n], fault)) != FR_OK)
            return e;
        n++;
    }
    if (n > 1)
        qsort(p, (size_t)n, sizeof(*p), by_begin);
    if ((e = check_cover(p, n, data_n, fault)) != FR_OK)
        return e;
    *out_p = p;
    *out_n = n;
    return FR_OK;
}

/* Header and tensors. @param out_root  the header */
static enum fr_err parse(struct fr_str file,
                         struct fr_arena *ar,
                         const struct fr_json **out_root,
                         struct fr_tensor **out_t,
                         int *out_n,
                         struct fr_fault *fault)
{
    struct placed *p = NULL;
    size_t json = 0;
    int n = 0;
    enum fr_err e = header_length(file.p, file.n, &json, fault);

    if (e != FR_OK)
        return e;
    const char *data = file.p + 8 + json;
    e = parse_header((struct fr_str){file.p + 8, json}, file.n - 8 - json, ar, out_root, &p, &n, fault);
    if (e != FR_OK)
        return e;
    struct fr_tensor *t = fr_arena_array(ar, (size_t)n + 1, sizeof(*t));
    if (t == NULL)
        return fr_fault(fault, FR_ENOMEM, "safetensors: out of memory");
    for (int i = 0; i < n; i++) {
        if ((e = attach(&p[i], data, ar, fault)) != FR_OK)
            return e;
        t[i] = p[i].t;
    }
    *out_t = t;
    *out_n = n;
    return FR_OK;
}

enum fr_err fr_safetensors_parse(struct fr_str file,
                                 struct fr_arena *ar,
                                 struct fr_tensor **out_t,
                                 int *out_n,
                                 struct fr_fault *fault)
{
    const struct fr_json *root = NULL;

    return parse(file, ar, &root, out_t, out_n, fault);
}

enum fr_err fr_safetensors_parse_meta(struct fr_str file,
                                      struct fr_arena *ar,
                                      struct fr_tensor **out_t,
                                      int *out_n,
                                      const struct fr_json **out_meta,
                                      struct fr_fault *fault)
{
    const struct fr_json *root = NULL, *meta;
    struct fr_tensor *t = NULL;
    int n = 0;
    enum fr_err e = parse(file, ar, &root, &t, &n, fault);

    if (e != FR_OK)
        return e;
    meta = fr_json_get(root, "__metadata__");
    if (meta != NULL && meta->type != FR_JSON_OBJECT)
        return fr_fault(fault, FR_ESCHEMA, "__metadata__ is not an object");
    for (const struct fr_json *v = meta == NULL ? NULL : meta->child; v != NULL; v = v->next)
        if (v->type != FR_JSON_STRING)
            return fr_fault(fault, FR_ESCHEMA, "__metadata__: header byte %zu is no string", v->offset);
    *out_t = t;
    *out_n = n;
    *out_meta = meta;
    return FR_OK;
}

/* One tensor's bytes into memory of its own. */
static enum fr_err
read_tensor(int fd, size_t data_at, struct placed *p, void **out_own, struct fr_fault *fault)
{
    void *q = fr_malloc_aligned(p->bytes, 1);
    enum fr_err e = q == NULL ? FR_ENOMEM : fr_file_pread(fd, data_at + p->begin, q, p->bytes);

    if (e != FR_OK) {
        fr_free(q);
        return fr_fault(fault, e, "tensor %s: %s", p->t.name, fr_err_text(e));
    }
    p->t.data = *out_own = q;
    return check_finite(&p->t, fault);
}

enum fr_err fr_safetensors_read(int fd,
                                size_t size,
                                struct fr_arena *ar,
                                struct fr_tensor **out_t,
                                void ***out_own,
                                int *out_n,
                                struct fr_fault *fault)
{
    const struct fr_json *root = NULL;
    struct placed *p = NULL;
    char first[8] = {0}, *text = NULL;
    size_t json = 0;
    int n = 0;
    enum fr_err e = size < 8 ? FR_OK : fr_file_pread(fd, 0, first, sizeof(first));

    if (e != FR_OK)
        return fr_fault(fault, e, "header: %s", fr_err_text(e));
    if ((e = header_length(first, size, &json, fault)) != FR_OK)
        return e;
    if ((text = fr_arena_array(ar, json + 1, 1)) == NULL)
        return fr_fault(fault, FR_ENOMEM, "safetensors: out of memory");
    if ((e = fr_file_pread(fd, 8, text, json)) != FR_OK)
        return fr_fault(fault, e, "header: %s", fr_err_text(e));
    if ((e = parse_header((struct fr_str){text, json}, size - 8 - json, ar, &root, &p, &n, fault)) != FR_OK)
        return e;
    struct fr_tensor *t = fr_arena_array(ar, (size_t)n + 1, sizeof(*t));
    void **own = fr_arena_zarray(ar, (size_t)n + 1, sizeof(*own));
    if (t == NULL || own == NULL)
        return fr_fault(fault, FR_ENOMEM, "safetensors: out of memory");
    for (int i = 0; i < n && e == FR_OK; i++) {
        e = read_tensor(fd, 8 + json, &p[i], &own[i], fault);
        t[i] = p[i].t;
    }
    if (e != FR_OK) {
        for (int i = 0; i < n; i++)
            fr_free(own[i]);
        return e;
    }
    *out_t = t;
    *out_own = own;
    *out_n = n;
    return FR_OK;
}

/* ---- writer ---- */

static void write_header(
    const struct fr_tensor *t, int n, const struct fr_st_note *notes, int n_notes, struct fr_buf *out)
{
    struct fr_jsonw w;
    size_t at = 0;

    fr_jsonw_init(&w, out);
    fr_jsonw_object(&w);
    if (n_notes > 0) {
        fr_jsonw_key(&w, "__metadata__");
        fr_jsonw_object(&w);
        for (int i = 0; i < n_notes; i++) {
            fr_jsonw_key(&w, notes[i].key);
            fr_jsonw_str(&w, notes[i].text);
        }
        fr_jsonw_end(&w, '}');
    }
    for (int i = 0; i < n; i++) {
        size_t bytes = fr_tensor_count(&t[i]) * fr_dtype_size(t[i].dtype);
        fr_jsonw_key(&w, t[i].name);
        fr_jsonw_object(&w);
        fr_jsonw_key(&w, "dtype");
        fr_jsonw_z(&w, fr_dtype_name(t[i].dtype));
        fr_jsonw_key(&w, "shape");
        fr_jsonw_array(&w);
        for (int d = 0; d < t[i].ndim; d++)
            fr_jsonw_u64(&w, t[i].dim[d]);
        fr_jsonw_end(&w, ']');
        fr_jsonw_key(&w, "data_offsets");
        fr_jsonw_array(&w);
        fr_jsonw_u64(&w, at);
        fr_jsonw_u64(&w, at + bytes);
        fr_jsonw_end(&w, ']');
        fr_jsonw_end(&w, '}');
        at += bytes;
    }
    fr_jsonw_end(&w, '}');
}

static enum fr_err check_writable(const struct fr_tensor *t, int n)
{
    for (int i = 0; i < n; i++) {
        size_t bytes = fr_dtype_size(t[i].dtype);
        if (!name_valid(fr_str_z(t[i].name)) || t[i].ndim < 1 || t[i].ndim > FR_TENSOR_MAX_DIMS)
            return FR_EINVAL;
        for (int d = 0; d < t[i].ndim; d++)
            if (t[i].dim[d] < 1 || !fr_mul_size(bytes, (size_t)t[i].dim[d], &bytes))
                return FR_EINVAL;
        for (int j = 0; j < i; j++)
            if (strcmp(t[i].name, t[j].name) == 0)
                return FR_EINVAL;
        if (t[i].dtype == FR_DTYPE_F32 && !fr_all_finite(t[i].data, fr_tensor_count(&t[i])))
            return FR_ENONFINITE;
    }
    return FR_OK;
}

enum fr_err fr_safetensors_head(const struct fr_tensor *t,
                                int n,
                                const struct fr_st_note *notes,
                                int n_notes,
                                struct fr_buf *out)
{
    struct fr_buf header;
    enum fr_err e = check_writable(t, n);

    if (e != FR_OK)
        return e;
    fr_buf_init(&header);
    write_header(t, n, notes, n_notes, &header);
    while (fr_buf_err(&header) == FR_OK && header.n % 8 != 0)
        fr_buf_putc(&header, ' ');
    if ((e = fr_buf_err(&header)) != FR_OK)
        goto out;
    if (header.n > FR_ST_MAX_HEADER) {
        e = FR_ETOOLARGE;
        goto out;
    }
    for (int i = 0; i < 8; i++)
        fr_buf_putc(out, (char)((uint64_t)header.n >> (8 * i) & 0xff));
    fr_buf_put(out, header.p, header.n);
    e = fr_buf_err(out);
out:
    fr_buf_done(&header);
    return e;
}

enum fr_err fr_safetensors_write(const struct fr_tensor *t, int n, struct fr_buf *out)
{
    enum fr_err e = fr_safetensors_head(t, n, NULL, 0, out);

    if (e != FR_OK)
        return e;
    for (int i = 0; i < n; i++)
        fr_buf_put(out, t[i].data, fr_tensor_count(&t[i]) * fr_dtype_size(t[i].dtype));
    return fr_buf_err(out);
}
