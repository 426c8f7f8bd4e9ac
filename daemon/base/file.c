/*
 * daemon/base/file.c - reads with a limit, atomic replacement, directory trees.
 */
#include "daemon/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/alloc.h"

#define MAX_READ ((size_t)1 << 30) /* one read() takes less than 2 GB */

static enum fr_err io_fault(struct fr_fault *fault, const char *what, const char *path)
{
    int err = errno;

    return fr_fault(fault, err == ENOENT ? FR_ENOTFOUND : FR_EIO, "%s %.300s: %s", what, path,
                    strerror(err));
}

/* Read up to max_bytes from fd into a growing buffer. */
static enum fr_err read_all(int fd, size_t hint, size_t max_bytes, char **out, size_t *out_n)
{
    size_t cap = hint + 1, n = 0;
    char *p = fr_malloc_array(cap, 1);

    if (p == NULL)
        return FR_ENOMEM;
    for (;;) {
        ssize_t got;
        if (n + 1 >= cap) {
            char *q = fr_realloc_array(p, cap * 2, 1);
            if (q == NULL) {
                fr_free(p);
                return FR_ENOMEM;
            }
            p = q;
            cap *= 2;
        }
        got = read(fd, p + n, cap - n - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || (size_t)got > max_bytes - n) {
            enum fr_err e = got < 0 ? FR_EIO : FR_ETOOLARGE;
            fr_free(p);
            return e;
        }
        if (got == 0)
            break;
        n += (size_t)got;
    }
    p[n] = '\0';
    *out = p;
    *out_n = n;
    return FR_OK;
}

enum fr_err fr_file_open(
    const char *path, size_t max_bytes, int *out_fd, size_t *out_n, struct fr_fault *fault)
{
    struct stat st;
    enum fr_err e = FR_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return io_fault(fault, "cannot open", path);
    if (fstat(fd, &st) != 0)
        e = io_fault(fault, "cannot stat", path);
    else if (!S_ISREG(st.st_mode))
        e = fr_fault(fault, FR_EIO, "%.300s is not a regular file", path);
    else if ((uint64_t)st.st_size > max_bytes)
        e = fr_fault(fault, FR_ETOOLARGE, "%.300s has %lld bytes, more than %zu", path,
                     (long long)st.st_size, max_bytes);
    if (e != FR_OK) {
        (void)close(fd);
        return e;
    }
    *out_fd = fd;
    *out_n = (size_t)st.st_size;
    return FR_OK;
}

enum fr_err fr_file_pread(int fd, size_t at, void *out, size_t n)
{
    char *p = out;

    while (n > 0) {
        ssize_t got = pread(fd, p, n < MAX_READ ? n : MAX_READ, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? FR_EIO : FR_ERANGE;
        p += got;
        at += (size_t)got;
        n -= (size_t)got;
    }
    return FR_OK;
}

enum fr_err fr_file_read(
    const char *path, size_t max_bytes, char **out_data, size_t *out_n, struct fr_fault *fault)
{
    size_t n = 0;
    int fd = -1;
    enum fr_err e = fr_file_open(path, max_bytes, &fd, &n, fault);

    if (e != FR_OK)
        return e;
    e = read_all(fd, n + 1, max_bytes, out_data, out_n);
    if (e == FR_EIO)
        e = io_fault(fault, "cannot read", path);
    else if (e != FR_OK)
        e = fr_fault(fault, e, "%.300s: %s", path, fr_err_text(e));
    (void)close(fd);
    return e;
}

static enum fr_err write_all(int fd, struct fr_str data)
{
    size_t at = 0;

    while (at < data.n) {
        ssize_t put = write(fd, data.p + at, data.n - at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return FR_EIO;
        at += (size_t)put;
    }
    return FR_OK;
}

static enum fr_err sync_parent(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - path);
    int fd, rc;

    if (n >= sizeof(dir) - 1)
        return FR_EIO;
    if (slash == NULL)
        memcpy(dir, ".", 2);
    else if (n == 0)
        memcpy(dir, "/", 2);
    else {
        memcpy(dir, path, n);
        dir[n] = '\0';
    }
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return FR_EIO;
    rc = fsync(fd);
    (void)close(fd);
    return rc == 0 ? FR_OK : FR_EIO;
}

/*
 * A new file beside `path`; its name goes to tmp. Always a fresh one: two threads that replace the same
 * file must not write into one another's, and a name that somebody planted (a link) is not followed.
 * -1 and errno on failure.
 */
static int open_beside(const char *path, char *tmp, size_t cap)
{
    static _Atomic unsigned counter;

    for (int tries = 0; tries < 1000; tries++) {
        unsigned id = atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed);
        int n = snprintf(tmp, cap, "%s.tmp.%ld.%u", path, (long)getpid(), id);
        int fd;

        if (n < 0 || (size_t)n >= cap) {
            errno = ENAMETOOLONG;
            return -1;
        }
        fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

enum fr_err
fr_file_replace_parts(const char *path, const struct fr_str *parts, size_t n, struct fr_fault *fault)
{
    char tmp[PATH_MAX];
    enum fr_err e = FR_OK;
    int fd = open_beside(path, tmp, sizeof(tmp));

    if (fd < 0)
        return io_fault(fault, "cannot create a file beside", path);
    for (size_t i = 0; i < n && e == FR_OK; i++)
        e = write_all(fd, parts[i]);
    if (e == FR_OK && fsync(fd) != 0)
        e = FR_EIO;
    if (e != FR_OK)
        (void)io_fault(fault, "cannot write", tmp);
    if (close(fd) != 0 && e == FR_OK)
        e = io_fault(fault, "cannot close", tmp);
    if (e == FR_OK && rename(tmp, path) != 0)
        e = io_fault(fault, "cannot replace", path);
    if (e == FR_OK) {
        e = sync_parent(path);
        if (e != FR_OK)
            return io_fault(fault, "cannot sync the folder of", path);
        return FR_OK;
    }
    (void)unlink(tmp);
    return e;
}

enum fr_err fr_file_replace(const char *path, struct fr_str data, struct fr_fault *fault)
{
    return fr_file_replace_parts(path, &data, 1, fault);
}

bool fr_file_same(const char *a, const char *b)
{
    struct stat sa, sb;
    bool have_a = stat(a, &sa) == 0, have_b = stat(b, &sb) == 0;

    if (!have_a && !have_b)
        return strcmp(a, b) == 0;
    return have_a && have_b && S_ISREG(sa.st_mode) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

enum fr_err fr_file_mkdirs(const char *path, struct fr_fault *fault)
{
    char tmp[PATH_MAX];
    size_t n = strlen(path);
    struct stat st;

    if (n == 0 || n >= sizeof(tmp))
        return fr_fault(fault, FR_EIO, "bad path: %.300s", path);
    memcpy(tmp, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        char saved = tmp[i];
        if (saved != '/' && saved != '\0')
            continue;
        tmp[i] = '\0';
        if (mkdir(tmp, 0755) != 0 && errno != EEXIST)
            return io_fault(fault, "cannot create folder", tmp);
        tmp[i] = saved;
    }
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return fr_fault(fault, FR_EIO, "%.300s is not a folder", path);
    return FR_OK;
}

/* Remove the entry `path`; a folder must be empty. */
static int remove_one(const char *path, bool is_dir)
{
    return is_dir ? rmdir(path) : unlink(path);
}

/* First entry of a folder into `out` (full path); 1 found, 0 empty, -1 error. */
static int first_entry(const char *dir, char *out, size_t cap, bool *is_dir)
{
    DIR *d = opendir(dir);
    struct dirent *de;
    int found = 0;

    if (d == NULL)
        return -1;
    while (found == 0 && (de = readdir(d)) != NULL) {
        struct stat st;
        int n;
        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        n = snprintf(out, cap, "%s/%s", dir, de->d_name);
        if (n < 0 || (size_t)n >= cap || lstat(out, &st) != 0) {
            found = -1;
        } else {
            *is_dir = S_ISDIR(st.st_mode);
            found = 1;
        }
    }
    (void)closedir(d);
    return found;
}

enum fr_err fr_file_remove_tree(const char *path, struct fr_fault *fault)
{
    char cur[PATH_MAX], next[PATH_MAX];
    size_t root_n = strlen(path);
    struct stat st;

    if (root_n == 0 || root_n >= sizeof(cur))
        return fr_fault(fault, FR_EIO, "bad path: %.300s", path);
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? FR_OK : io_fault(fault, "cannot stat", path);
    if (!S_ISDIR(st.st_mode))
        return remove_one(path, false) == 0 ? FR_OK : io_fault(fault, "cannot remove", path);
    memcpy(cur, path, root_n + 1);
    for (;;) { /* walk down to a leaf, remove it, go one up: no recursion */
        bool is_dir = false;
        int rc = first_entry(cur, next, sizeof(next), &is_dir);
        if (rc < 0)
            return io_fault(fault, "cannot list", cur);
        if (rc == 1 && is_dir) {
            memcpy(cur, next, strlen(next) + 1);
            continue;
        }
        if (rc == 1) {
            if (remove_one(next, false) != 0)
                return io_fault(fault, "cannot remove", next);
            continue;
        }
        if (remove_one(cur, true) != 0)
            return io_fault(fault, "cannot remove folder", cur);
        if (strlen(cur) <= root_n)
            return FR_OK;
        *strrchr(cur, '/') = '\0';
    }
}
