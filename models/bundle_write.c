/*
 * models/bundle_write.c - writing a bundle directory: beside, fsync, rename. Apart from bundle.c
 * because reading hostile input and writing our own share nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/base/hash.h"
#include "models/bundle.h"
#include "models/model_priv.h"
#include "models/safetensors.h"

#define WEIGHTS_FILE "weights.safetensors"

static void put_hex64(struct fr_jsonw *w, uint64_t v)
{
    char s[17];
    (void)snprintf(s, sizeof(s), "%016llx", (unsigned long long)v);
    fr_jsonw_z(w, s);
}

static void put_field(struct fr_jsonw *w, const struct fr_enc_field *ef)
{
    fr_jsonw_object(w);
    fr_jsonw_key(w, "name");
    fr_jsonw_z(w, ef->f.name);
    fr_jsonw_key(w, "entity");
    fr_jsonw_z(w, fr_entity_name(ef->f.entity));
    fr_jsonw_key(w, "kind");
    fr_jsonw_z(w, fr_field_kind_name(ef->f.kind));
    fr_jsonw_key(w, "table");
    fr_jsonw_z(w, ef->f.table);
    fr_jsonw_key(w, "vocab");
    fr_jsonw_u64(w, ef->f.vocab);
    fr_jsonw_key(w, "cell");
    fr_jsonw_u64(w, ef->f.first);
    fr_jsonw_key(w, "slots");
    fr_jsonw_u64(w, ef->f.slots);
    fr_jsonw_key(w, "mean");
    fr_jsonw_f32(w, ef->mean);
    fr_jsonw_key(w, "scale");
    fr_jsonw_f32(w, ef->scale);
    fr_jsonw_end(w, '}');
}

/* Groups the model ignores may be NULL in a case: they are written as absent cells. */
static void put_cells(struct fr_jsonw *w, const struct fr_cell *c, uint32_t n)
{
    fr_jsonw_array(w);
    for (uint32_t i = 0; i < n; i++) {
        fr_jsonw_array(w);
        put_hex64(w, c == NULL ? 0 : c[i].id);
        fr_jsonw_f32(w, c == NULL ? 0.0f : c[i].x);
        fr_jsonw_end(w, ']');
    }
    fr_jsonw_end(w, ']');
}

static void put_case(struct fr_jsonw *w, const struct fr_bundle_case *t, const uint32_t *nc)
{
    fr_jsonw_object(w);
    fr_jsonw_key(w, "user");
    put_cells(w, t->c.user, nc[FR_ENTITY_USER]);
    fr_jsonw_key(w, "context");
    put_cells(w, t->c.context, nc[FR_ENTITY_CONTEXT]);
    fr_jsonw_key(w, "items");
    fr_jsonw_array(w);
    for (int i = 0; i < t->c.n; i++)
        put_cells(w, t->c.items == NULL ? NULL : t->c.items[i], nc[FR_ENTITY_ITEM]);
    fr_jsonw_end(w, ']');
    fr_jsonw_key(w, "cross");
    fr_jsonw_array(w);
    for (int i = 0; i < t->c.n; i++)
        put_cells(w,
                  t->c.cross == NULL ? NULL : t->c.cross + (size_t)i * nc[FR_ENTITY_CROSS],
                  nc[FR_ENTITY_CROSS]);
    fr_jsonw_end(w, ']');
    fr_jsonw_key(w, "expected");
    fr_jsonw_array(w);
    for (int i = 0; i < t->c.n; i++)
        fr_jsonw_f32(w, t->expected[i]);
    fr_jsonw_end(w, ']');
    if (t->expected_value != NULL) {
        fr_jsonw_key(w, "expected_value");
        fr_jsonw_array(w);
        for (int i = 0; i < t->c.n; i++)
            fr_jsonw_f32(w, t->expected_value[i]);
        fr_jsonw_end(w, ']');
    }
    fr_jsonw_end(w, '}');
}

static void
put_identity(struct fr_jsonw *w, const struct fr_model *m, const struct fr_model_meta *meta)
{
    fr_jsonw_key(w, "schema");
    fr_jsonw_z(w, FR_BUNDLE_SCHEMA);
    fr_jsonw_key(w, "kind");
    fr_jsonw_z(w, fr_model_kind_name(m->info.kind));
    fr_jsonw_key(w, "name");
    fr_jsonw_z(w, meta->name);
    fr_jsonw_key(w, "version");
    fr_jsonw_u64(w, meta->version);
    fr_jsonw_key(w, "parent");
    fr_jsonw_z(w, meta->parent == NULL ? "" : meta->parent);
    fr_jsonw_key(w, "created_ms");
    fr_jsonw_i64(w, meta->created_ms);
    fr_jsonw_key(w, "schema_hash");
    put_hex64(w, m->enc->schema_hash);
}

/* The weights file in parts: header, then each tensor where it stands, so that no second copy is made. */
struct weights_file {
    struct fr_buf header;
    struct fr_tensor *t; /* the model's tensors and its vocabularies */
    struct fr_str *part;
    int n_parts;
};

static void weights_done(struct weights_file *wf)
{
    fr_buf_done(&wf->header);
    fr_free(wf->t);
    fr_free(wf->part);
}

static void put_weights(struct fr_jsonw *w, const struct weights_file *wf)
{
    uint64_t bytes = 0;
    uint32_t crc = 0;

    for (int i = 0; i < wf->n_parts; i++) {
        bytes += wf->part[i].n;
        crc = fr_crc32(crc, wf->part[i].p, wf->part[i].n);
    }
    fr_jsonw_key(w, "weights");
    fr_jsonw_object(w);
    fr_jsonw_key(w, "file");
    fr_jsonw_z(w, WEIGHTS_FILE);
    fr_jsonw_key(w, "bytes");
    fr_jsonw_u64(w, bytes);
    fr_jsonw_key(w, "crc32");
    fr_jsonw_u64(w, crc);
    fr_jsonw_end(w, '}');
}

static void put_manifest(struct fr_buf *out,
                         const struct fr_model *m,
                         const struct fr_model_meta *meta,
                         const struct fr_bundle_case *cases,
                         int n_cases,
                         const struct weights_file *weights)
{
    struct fr_jsonw w;

    fr_jsonw_init(&w, out);
    fr_jsonw_object(&w);
    put_identity(&w, m, meta);
    fr_jsonw_key(&w, "fields");
    fr_jsonw_array(&w);
    for (int i = 0; i < m->enc->n_fields; i++)
        put_field(&w, &m->enc->field[i]);
    fr_jsonw_end(&w, ']');
    fr_jsonw_key(&w, "config");
    fr_jsonw_object(&w);
    m->ops->describe(m, &w);
    fr_jsonw_end(&w, '}');
    put_weights(&w, weights);
    fr_jsonw_key(&w, "metrics");
    fr_jsonw_object(&w);
    for (int i = 0; i < meta->n_metrics; i++) {
        fr_jsonw_key(&w, meta->metric_names[i]);
        fr_jsonw_f64(&w, meta->metric_values[i]);
    }
    fr_jsonw_end(&w, '}');
    fr_jsonw_key(&w, "selftest");
    fr_jsonw_array(&w);
    for (int i = 0; i < n_cases; i++)
        put_case(&w, &cases[i], m->enc->n_cells);
    fr_jsonw_end(&w, ']');
    fr_jsonw_end(&w, '}');
    fr_buf_putc(out, '\n');
}

static enum fr_err
weights_lay_out(const struct fr_model *m, struct weights_file *wf, struct fr_fault *fault)
{
    int n = m->n_tensors;

    wf->t = fr_calloc((size_t)n + FR_MAX_FIELDS, sizeof(*wf->t));
    wf->part = fr_calloc((size_t)n + FR_MAX_FIELDS + 1, sizeof(*wf->part));
    if (wf->t == NULL || wf->part == NULL)
        return fr_fault(fault, FR_ENOMEM, "bundle: out of memory");
    memcpy(wf->t, m->tensor, (size_t)n * sizeof(*wf->t));
    for (int i = 0; i < m->enc->n_tables; i++) {
        const struct fr_enc_table *et = &m->enc->table[i];
        struct fr_tensor *t = &wf->t[n];
        if (et->kind != FR_FIELD_ID)
            continue;
        (void)snprintf(t->name, sizeof(t->name), "vocab.%s", et->name);
        t->dtype = FR_DTYPE_U64;
        t->ndim = 1;
        t->dim[0] = et->vocab.n_rows;
        t->data = et->vocab.keys;
        n++;
    }
    enum fr_err e = fr_safetensors_head(wf->t, n, NULL, 0, &wf->header);
    if (e != FR_OK)
        return fr_fault(fault, e, "bundle: weights: %s", fr_err_text(e));
    wf->part[0] = fr_buf_str(&wf->header);
    for (int i = 0; i < n; i++)
        wf->part[i + 1] = (struct fr_str){
            wf->t[i].data, fr_tensor_count(&wf->t[i]) * fr_dtype_size(wf->t[i].dtype)};
    wf->n_parts = n + 1;
    return FR_OK;
}

static enum fr_err io_fault(struct fr_fault *fault, const char *what, const char *path)
{
    return fr_fault(fault, FR_EIO, "cannot %s %.200s: %s", what, path, strerror(errno));
}

enum fr_err fr_bundle_check_target(const char *dir, bool *out_exists, struct fr_fault *fault)
{
    DIR *d = opendir(dir);
    const struct dirent *de;
    enum fr_err e = FR_OK;

    *out_exists = d != NULL;
    if (d == NULL)
        return errno == ENOENT ? FR_OK : io_fault(fault, "open", dir);
    while (e == FR_OK && (de = readdir(d)) != NULL) {
        const char *s = de->d_name;
        if (strcmp(s, ".") != 0 && strcmp(s, "..") != 0 && strcmp(s, "manifest.json") != 0 &&
            strcmp(s, WEIGHTS_FILE) != 0)
            e = fr_fault(fault,
                         FR_EREFUSED,
                         "%.200s holds %.100s, so it is no bundle and is not replaced",
                         dir,
                         s);
    }
    (void)closedir(d);
    return e;
}

static enum fr_err write_files(const char *tmp,
                               struct fr_str manifest,
                               const struct weights_file *weights,
                               struct fr_fault *fault)
{
    char path[PATH_MAX];
    enum fr_err e = fr_file_mkdirs(tmp, fault);

    if (e != FR_OK)
        return e;
    int n = snprintf(path, sizeof(path), "%s/%s", tmp, WEIGHTS_FILE);
    if (n < 0 || (size_t)n >= sizeof(path))
        return fr_fault(fault, FR_EINVAL, "path of the bundle is too long");
    if ((e = fr_file_replace_parts(path, weights->part, weights->n_parts, fault)) != FR_OK)
        return e;
    n = snprintf(path, sizeof(path), "%s/%s", tmp, "manifest.json");
    if (n < 0 || (size_t)n >= sizeof(path))
        return fr_fault(fault, FR_EINVAL, "path of the bundle is too long");
    return fr_file_replace(path, manifest, fault);
}

/* fsync of the folder that holds `dir`. */
static enum fr_err sync_parent(const char *dir, struct fr_fault *fault)
{
    char parent[PATH_MAX];
    int n = snprintf(parent, sizeof(parent), "%s/..", dir);
    if (n < 0 || (size_t)n >= sizeof(parent))
        return fr_fault(fault, FR_EINVAL, "path of the bundle is too long");
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return io_fault(fault, "open", parent);
    int rc = fsync(fd);
    (void)close(fd);
    return rc == 0 ? FR_OK : io_fault(fault, "sync", parent);
}

/* tmp becomes dir; an earlier bundle goes to `old` and is removed when all is well. */
static enum fr_err
swap_in(const char *tmp, const char *dir, const char *old, bool exists, struct fr_fault *fault)
{
    if (exists && rename(dir, old) != 0)
        return io_fault(fault, "move aside", dir);
    if (rename(tmp, dir) != 0) {
        enum fr_err e = io_fault(fault, "rename into", dir);
        if (exists && rename(old, dir) != 0)
            return fr_fault(
                fault, FR_EIO, "the bundle that was at %.150s is now at %.150s", dir, old);
        return e;
    }
    enum fr_err e = sync_parent(dir, fault);
    if (e == FR_OK && exists)
        e = fr_file_remove_tree(old, fault);
    return e;
}

static bool name_valid(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '_' ||
              s[i] == '-'))
            return false;
    return n > 0 && n < FR_MODEL_NAME;
}

static enum fr_err check_meta(const struct fr_model_meta *meta, struct fr_fault *fault)
{
    if (meta->name == NULL || !name_valid(meta->name))
        return fr_fault(fault, FR_EINVAL, "model name must be 1..63 of a-z 0-9 _ -");
    if (meta->version > INT64_MAX || meta->created_ms < 0)
        return fr_fault(fault, FR_EINVAL, "model version or time out of range");
    if (meta->parent != NULL && strlen(meta->parent) >= FR_MODEL_NAME)
        return fr_fault(fault, FR_EINVAL, "model parent is too long");
    return FR_OK;
}

static enum fr_err write_bundle(const char *dir,
                                struct fr_str manifest,
                                const struct weights_file *weights,
                                struct fr_fault *fault)
{
    char target[PATH_MAX], tmp[PATH_MAX], old[PATH_MAX];
    size_t n = strlen(dir);
    bool exists = false;

    while (n > 1 && dir[n - 1] == '/')
        n--;
    int a = snprintf(target, sizeof(target), "%.*s", (int)n, dir);
    int b = snprintf(tmp, sizeof(tmp), "%.*s.tmp.%ld", (int)n, dir, (long)getpid());
    int c = snprintf(old, sizeof(old), "%.*s.old.%ld", (int)n, dir, (long)getpid());
    if (n == 0 || a < 0 || b < 0 || c < 0 || (size_t)b >= sizeof(tmp) || (size_t)c >= sizeof(old))
        return fr_fault(fault, FR_EINVAL, "bad path for the bundle");
    enum fr_err e = fr_bundle_check_target(target, &exists, fault);
    if (e != FR_OK)
        return e;
    if ((e = write_files(tmp, manifest, weights, fault)) == FR_OK)
        e = swap_in(tmp, target, old, exists, fault);
    if (e != FR_OK)
        (void)!fr_file_remove_tree(tmp, NULL);
    return e;
}

enum fr_err fr_bundle_write(const struct fr_model *m,
                            const struct fr_model_meta *meta,
                            const struct fr_bundle_case *cases,
                            int n_cases,
                            const char *dir,
                            struct fr_fault *fault)
{
    struct weights_file weights = {.n_parts = 0};
    struct fr_buf manifest;
    enum fr_err e = check_meta(meta, fault);

    if (e != FR_OK)
        return e;
    fr_buf_init(&manifest);
    fr_buf_init(&weights.header);
    if ((e = weights_lay_out(m, &weights, fault)) != FR_OK)
        goto out;
    put_manifest(&manifest, m, meta, cases, n_cases, &weights);
    if ((e = fr_buf_err(&manifest)) != FR_OK) {
        e = fr_fault(fault, e, "bundle: manifest: %s", fr_err_text(e));
        goto out;
    }
    e = write_bundle(dir, fr_buf_str(&manifest), &weights, fault);
out:
    fr_buf_done(&manifest);
    weights_done(&weights);
    return e;
}
