/*
 * tests/support/tmpdir.h - private folders that disappear whatever ends the test.
 *
 * Why:   Check's teardown does not run after a failed case. A small shell waits on a pipe whose other
 *        end is this process (and its forked test cases) and removes the folder when all have gone.
 */
#ifndef FR_TESTS_TMPDIR_H
#define FR_TESTS_TMPDIR_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Make ${TMPDIR:-/tmp}/freshet-test-XXXXXX (mode 0700). @return its path, owned by the caller
 * (tmpdir_free()), or NULL with a message on standard error.
 */
char *tmpdir_make(void);

/** Remove the folder and all in it now, and release the path. NULL is a no-op. */
void tmpdir_free(char *dir);

/** Join `dir` and `name` into `out`; false if it does not fit. @return out's validity */
bool tmpdir_path(const char *dir, const char *name, char *out, size_t cap);

/** Write a whole file (created or replaced). */
bool tmpdir_write(const char *path, const void *data, size_t n);

/** Read a whole file, NUL-terminated, into memory of the caller (fr_free()); NULL on failure. */
char *tmpdir_read(const char *path, size_t *out_n);

/** Remove a file or a folder with all in it (symbolic links are not followed). True if it is gone. */
bool tmpdir_remove(const char *path);

#endif
