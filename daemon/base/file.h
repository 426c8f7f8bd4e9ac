/*
 * daemon/base/file.h - whole-file reads with a limit, and atomic replacement.
 *
 * Replace = write a temporary file beside the target, fsync it, rename over, fsync the directory.
 * Layer: lowest. Thread: any.
 */
#ifndef FR_BASE_FILE_H
#define FR_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/err.h"
#include "daemon/base/str.h"

/**
 * Read a regular file of at most max_bytes.
 * @param out_data  NUL-terminated copy (NUL not counted), owned by the caller, fr_free().
 * @errors FR_ENOTFOUND FR_ETOOLARGE FR_EIO FR_ENOMEM; `fault` names the path.
 */
FR_MUST_CHECK enum fr_err
fr_file_read(const char *path, size_t max_bytes, char **out_data, size_t *out_n, struct fr_fault *fault);

/** Replace `path` by the bytes; the old file stays on any failure (only if the folder cannot be synced
 *  at the end the new one is there already). Several threads or processes may replace the same file:
 *  it is always one whole version. @errors FR_ENOTFOUND (no such folder) FR_EIO */
FR_MUST_CHECK enum fr_err fr_file_replace(const char *path, struct fr_str data, struct fr_fault *fault);
/** As fr_file_replace(), of n parts one after the other: what is large need not be copied together. */
FR_MUST_CHECK enum fr_err
fr_file_replace_parts(const char *path, const struct fr_str *parts, size_t n, struct fr_fault *fault);

/** A regular file of at most max_bytes, open for reading in pieces; close(fd) is the caller's.
 *  @errors as fr_file_read() */
FR_MUST_CHECK enum fr_err
fr_file_open(const char *path, size_t max_bytes, int *out_fd, size_t *out_n, struct fr_fault *fault);
/** n bytes from byte `at` on. @errors FR_EIO, FR_ERANGE the file ends before */
FR_MUST_CHECK enum fr_err fr_file_pread(int fd, size_t at, void *out, size_t n);

/** Do both paths name the same regular file, or, where neither exists, are they the same text? */
bool fr_file_same(const char *a, const char *b);

/** mkdir -p with mode 0755. */
FR_MUST_CHECK enum fr_err fr_file_mkdirs(const char *path, struct fr_fault *fault);

/** Remove a directory tree (files, links, directories; does not follow links). */
FR_MUST_CHECK enum fr_err fr_file_remove_tree(const char *path, struct fr_fault *fault);

#endif
