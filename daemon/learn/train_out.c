/*
 * daemon/learn/train_out.c - see train_out.h.
 */
#include "daemon/learn/train_out.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define BESIDE 32 /* bytes of what the writer appends: ".tmp.PID" */

static enum fr_err cannot(struct fr_fault *fault, const char *what, const char *path)
{
    return fr_fault(fault, FR_EIO, "cannot %s %.200s: %s", what, path, strerror(errno));
}

/* Files of a bundle only. @param d  closed */
static enum fr_err check_files(DIR *d, const char *dir, struct fr_fault *fault)
{
    static const char *const own[] = {".", "..", "manifest.json", "weights.safetensors"};
    const struct dirent *de;
    enum fr_err e = FR_OK;

    while (e == FR_OK && (de = readdir(d)) != NULL) {
        bool known = false;

        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
            known = known || strcmp(de->d_name, own[i]) == 0;
        if (!known)
            e = fr_fault(fault, FR_EREFUSED, "%.200s holds %.100s, so it is no bundle and is not replaced", dir,
                         de->d_name);
    }
    (void)closedir(d);
    return e;
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
    DIR *d;

    while (n > 1 && dir[n - 1] == '/')
        n--;
    if (n == 0 || n + BESIDE >= sizeof(path))
        return fr_fault(fault, FR_EINVAL, "bad path for the bundle");
    memcpy(path, dir, n);
    path[n] = '\0';
    if ((d = opendir(path)) != NULL) {
        enum fr_err e = check_files(d, path, fault);

        if (e != FR_OK)
            return e;
    } else if (errno != ENOENT) {
        return cannot(fault, "open", path);
    } else if (lstat(path, &st) == 0) {
        return fr_fault(fault, FR_EREFUSED, "%.200s is a link to nowhere", path);
    }
    return check_above(path, fault);
}
