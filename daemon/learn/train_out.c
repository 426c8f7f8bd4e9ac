/*
 * daemon/learn/train_out.c - see train_out.h.
 */
#include "daemon/learn/train_out.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "models/bundle.h"

#define PATH_BYTES 4096
#define BESIDE 32 /* bytes of what the writer appends: ".tmp.PID" */

static enum fr_err cannot(struct fr_fault *fault, const char *what, const char *path)
{
    return fr_fault(fault, FR_EIO, "cannot %s %.200s: %s", what, path, strerror(errno));
}

/* The nearest folder above `path` that is there. @param path  cut */
static enum fr_err check_above(char *path, struct fr_fault *fault)
{
    struct stat st = {.st_mode = 0};

    do {
        char *slash = strrchr(path, '/');

        if (slash == NULL)
            (void)snprintf(path, 2, ".");
        else
            slash[slash == path] = '\0';
    } while (stat(path, &st) != 0 && errno == ENOENT && strcmp(path, "/") != 0 && strcmp(path, ".") != 0);
    if (access(path, W_OK | X_OK) != 0)
        return cannot(fault, "write to", path);
    return S_ISDIR(st.st_mode) ? FR_OK : fr_fault(fault, FR_EIO, "%.200s is no folder", path);
}

enum fr_err fr_train_out_check(const char *dir, struct fr_fault *fault)
{
    char path[PATH_BYTES];
    size_t n = strlen(dir);
    struct stat st;
    bool exists = false;
    enum fr_err e;

    while (n > 1 && dir[n - 1] == '/')
        n--;
    if (n == 0 || n + BESIDE >= sizeof(path))
        return fr_fault(fault, FR_EINVAL, "bad path for the bundle");
    memcpy(path, dir, n);
    path[n] = '\0';
    if ((e = fr_bundle_check_target(path, &exists, fault)) != FR_OK)
        return e;
    if (!exists && lstat(path, &st) == 0)
        return fr_fault(fault, FR_EREFUSED, "%.200s is a link to nowhere", path);
    return check_above(path, fault);
}
