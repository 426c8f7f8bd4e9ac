/*
 * tests/support/bundle_edit.c - see bundle_edit.h.
 */
#include "tests/support/bundle_edit.h"

#include <stdio.h>
#include <string.h>

#include <check.h>

#include "daemon/base/alloc.h"
#include "daemon/base/buf.h"
#include "daemon/base/hash.h"
#include "models/safetensors.h"
#include "tests/support/tmpdir.h"

char *bundle_read_file(const char *dir, const char *name, size_t *n)
{
    char path[600];

    ck_assert(tmpdir_path(dir, name, path, sizeof(path)));
    char *p = tmpdir_read(path, n);
    ck_assert_ptr_nonnull(p);
    return p;
}

void bundle_write_file(const char *dir, const char *name, const void *p, size_t n)
{
    char path[600];

    ck_assert(tmpdir_path(dir, name, path, sizeof(path)));
    ck_assert(tmpdir_write(path, p, n));
}

void bundle_edit_manifest(const char *dir, const char *from, const char *to)
{
    size_t n = 0;
    char *p = bundle_read_file(dir, "manifest.json", &n), *at = strstr(p, from);
    struct fr_buf b;

    ck_assert_msg(at != NULL, "manifest has no %s", from);
    fr_buf_init(&b);
    fr_buf_put(&b, p, (size_t)(at - p));
    fr_buf_puts(&b, to);
    fr_buf_puts(&b, at + strlen(from));
    bundle_write_file(dir, "manifest.json", b.p, b.n);
    fr_buf_done(&b);
    fr_free(p);
}

void bundle_replace_weights(const char *dir, const void *p, size_t n)
{
    size_t old_n = 0;
    char from[64], to[64];
    char *old = bundle_read_file(dir, "weights.safetensors", &old_n);

    (void)snprintf(
        from, sizeof(from), "\"bytes\":%zu,\"crc32\":%u", old_n, (unsigned)fr_crc32(0, old, old_n));
    (void)snprintf(to, sizeof(to), "\"bytes\":%zu,\"crc32\":%u", n, (unsigned)fr_crc32(0, p, n));
    bundle_edit_manifest(dir, from, to);
    bundle_write_file(dir, "weights.safetensors", p, n);
    fr_free(old);
}

void bundle_change_tensors(const char *dir,
                           struct fr_arena *ar,
                           void (*change)(void *ctx, struct fr_tensor *t, int *n),
                           void *ctx)
{
    size_t n = 0;
    int count = 0;
    struct fr_tensor *t = NULL;
    struct fr_buf b;
    char *old = bundle_read_file(dir, "weights.safetensors", &n);

    fr_buf_init(&b);
    ck_assert_int_eq(fr_safetensors_parse((struct fr_str){old, n}, ar, &t, &count, NULL), FR_OK);
    change(ctx, t, &count);
    ck_assert_int_eq(fr_safetensors_write(t, count, &b), FR_OK);
    bundle_replace_weights(dir, b.p, b.n);
    fr_buf_done(&b);
    fr_free(old);
}
