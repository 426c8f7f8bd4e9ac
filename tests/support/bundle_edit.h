/*
 * tests/support/bundle_edit.h - bundles damaged on purpose: manifests edited, tensors exchanged under a
 * right size and CRC. Every function ends the test on an error of its own.
 */
#ifndef FR_TESTS_SUPPORT_BUNDLE_EDIT_H
#define FR_TESTS_SUPPORT_BUNDLE_EDIT_H

#include <stddef.h>

#include "daemon/base/arena.h"
#include "models/tensor.h"

/** A file of the bundle at dir. Owner: the caller, fr_free(). */
char *bundle_read_file(const char *dir, const char *name, size_t *n);
void bundle_write_file(const char *dir, const char *name, const void *p, size_t n);
/** Replace the first `from` in the manifest by `to`. */
void bundle_edit_manifest(const char *dir, const char *from, const char *to);
/** New weights with matching size and CRC in the manifest: only their content is wrong. */
void bundle_replace_weights(const char *dir, const void *p, size_t n);
/** The tensors parsed, changed (one more may be added) and written back. `ar` holds them. */
void bundle_change_tensors(const char *dir,
                           struct fr_arena *ar,
                           void (*change)(void *ctx, struct fr_tensor *t, int *n),
                           void *ctx);

#endif
