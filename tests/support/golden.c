/*
 * tests/support/golden.c - reading and comparing reference tensors.
 */
#include "tests/support/golden.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <check.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/base/hash.h"
#include "models/tensor.h"

static uint32_t le32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v)); /* the project's hosts are little-endian */
    return v;
}

static void read_tensor(struct golden *g, const struct fr_json *v, const char *data, size_t data_n)
{
    struct golden_tensor *t = &g->t[g->n];
    const struct fr_json *name = fr_json_get(v, "name"), *dtype = fr_json_get(v, "dtype");
    const struct fr_json *dims = fr_json_get(v, "dims"), *offset = fr_json_get(v, "offset");

    ck_assert_msg(g->n < GOLDEN_MAX, "too many tensors");
    ck_assert_msg(name != NULL && dtype != NULL && dims != NULL && offset != NULL,
                  "directory entry");
    ck_assert_msg(name->str.n < sizeof(t->name) && dtype->str.n == 3, "name or type");
    memcpy(t->name, name->str.p, name->str.n);
    memcpy(t->dtype, dtype->str.p, 3);
    t->n = 1;
    for (const struct fr_json *d = dims->child; d != NULL; d = d->next) {
        ck_assert_msg(t->ndim < 4 && d->is_int && d->i > 0, "%s: dims", t->name);
        t->dim[t->ndim++] = (size_t)d->i;
        t->n *= (size_t)d->i;
    }
    size_t bytes = t->n * (strcmp(t->dtype, "U64") == 0 ? 8 : 4);
    ck_assert_msg(offset->is_int && offset->i >= 0 && (size_t)offset->i + bytes <= data_n,
                  "%s: past the end of the file",
                  t->name);
    char *copy = fr_arena_array(g->ar, bytes, 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data + offset->i, bytes);
    t->data = copy;
    g->n++;
}

void golden_open(struct golden *g, const char *name)
{
    char path[512];
    struct fr_fault fault = {0};
    const struct fr_json *root = NULL;
    size_t n = 0;

    *g = (struct golden){0};
    (void)snprintf(path, sizeof(path), "%s/golden/%s", FR_TEST_DIR, name);
    ck_assert_msg(fr_file_read(path, 1u << 24, &g->file, &n, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_msg(n >= 16 && memcmp(g->file, "FRGOLD1\n", 8) == 0, "%s: no golden file", name);
    size_t json_n = le32(g->file + 8);
    ck_assert_msg(json_n <= n - 16, "%s: header length", name);
    ck_assert_msg(le32(g->file + 12) == fr_crc32(0, g->file + 16, n - 16),
                  "%s: checksum; make it again with tests/golden/make_golden.py",
                  name);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &g->ar), FR_OK);
    struct fr_str text = {g->file + 16, json_n};
    ck_assert_msg(fr_json_parse(g->ar, text, &root, NULL) == FR_OK, "%s: directory", name);
    g->meta = fr_json_get(root, "meta");
    ck_assert_msg(fr_json_get(g->meta, "torch") != NULL, "%s: no torch version", name);
    const struct fr_json *list = fr_json_get(root, "tensors");
    ck_assert_ptr_nonnull(list);
    for (const struct fr_json *v = list->child; v != NULL; v = v->next)
        read_tensor(g, v, g->file + 16 + json_n, n - 16 - json_n);
}

void golden_close(struct golden *g)
{
    fr_arena_free(g->ar);
    fr_free(g->file);
    *g = (struct golden){0};
}

const struct golden_tensor *golden_find(const struct golden *g, const char *name)
{
    for (int i = 0; i < g->n; i++)
        if (strcmp(g->t[i].name, name) == 0)
            return &g->t[i];
    return NULL;
}

const struct golden_tensor *golden_get(const struct golden *g, const char *name)
{
    const struct golden_tensor *t = golden_find(g, name);
    ck_assert_msg(t != NULL, "golden tensor %s is missing", name);
    return t;
}

const float *golden_f32(const struct golden *g, const char *name, size_t n)
{
    const struct golden_tensor *t = golden_get(g, name);
    ck_assert_msg(
        strcmp(t->dtype, "F32") == 0 && t->n == n, "%s: %zu values, not %zu", name, t->n, n);
    return t->data;
}

long golden_meta_int(const struct golden *g, const char *key)
{
    const struct fr_json *v = fr_json_get(g->meta, key);
    ck_assert_msg(v != NULL, "golden meta %s is missing", key);
    return v->type == FR_JSON_BOOL ? (long)v->b : (long)v->i;
}

double golden_meta_num(const struct golden *g, const char *key)
{
    const struct fr_json *v = fr_json_get(g->meta, key);
    ck_assert_msg(v != NULL && v->type == FR_JSON_NUMBER, "golden meta %s is missing", key);
    return v->num;
}

bool golden_close_enough(
    const char *name, const float *got, const float *want, size_t n, double atol, double rtol)
{
    size_t bad = 0, first = 0;
    double worst = 0;

    for (size_t i = 0; i < n; i++) {
        double err = fabs((double)got[i] - (double)want[i]);
        bool ok = fr_is_finite(got[i]) && fr_is_finite(want[i]) &&
                  err <= atol + rtol * fabs((double)want[i]);
        if (ok)
            continue;
        if (bad++ == 0)
            first = i;
        worst = err > worst ? err : worst;
    }
    if (bad > 0)
        (void)fprintf(stderr,
                      "%s: %zu of %zu differ, first [%zu] got %.9g want %.9g, largest error %.3g\n",
                      name,
                      bad,
                      n,
                      first,
                      (double)got[first],
                      (double)want[first],
                      worst);
    return bad == 0;
}

void golden_check(
    const struct golden *g, const char *name, const float *got, size_t n, double atol, double rtol)
{
    ck_assert_msg(
        golden_close_enough(name, got, golden_f32(g, name, n), n, atol, rtol), "%s differs", name);
}
