/*
 * daemon/learn/benchmark_files.c - see benchmark_files.h.
 */
#include "daemon/learn/benchmark_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES 4096
#define TEST ".test.negative"
#define PAIRS ".train.pairs"
#define RATING ".train.rating"

/* X of X.test.negative: its length; 0: another file. */
static size_t stem(const char *name)
{
    size_t n = strlen(name), end = sizeof(TEST) - 1;

    return n > end && n < FR_BENCHMARK_FILE && strcmp(name + n - end, TEST) == 0 ? n - end : 0;
}

static bool is_there(const char *dir, const char *name)
{
    char path[PATH_BYTES];
    struct stat st;

    return snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) && stat(path, &st) == 0;
}

enum fr_err fr_benchmark_files_find(const char *dir, struct fr_benchmark_files *out, struct fr_fault *fault)
{
    DIR *d = opendir(dir);
    const struct dirent *de;
    enum fr_err e = FR_OK;
    int n;

    *out = (struct fr_benchmark_files){"", ""};
    if (d == NULL)
        return fr_fault(fault, errno == ENOENT ? FR_ENOTFOUND : FR_EIO, "cannot open %.200s: %s", dir, strerror(errno));
    while (e == FR_OK && (de = readdir(d)) != NULL) {
        if (stem(de->d_name) == 0)
            continue;
        if (out->test[0] != '\0')
            e = fr_fault(fault, FR_EINVAL, "%.200s: several *" TEST ", %.60s and %.60s: one set of files a folder", dir,
                         out->test, de->d_name);
        else
            memcpy(out->test, de->d_name, strlen(de->d_name) + 1);
    }
    (void)closedir(d);
    if (e != FR_OK)
        return e;
    if (out->test[0] == '\0')
        return fr_fault(fault, FR_ENOTFOUND, "%.200s: no *" TEST, dir);
    n = (int)stem(out->test);
    (void)snprintf(out->train, sizeof(out->train), "%.*s" PAIRS, n, out->test);
    if (is_there(dir, out->train))
        return FR_OK;
    (void)snprintf(out->train, sizeof(out->train), "%.*s" RATING, n, out->test);
    return FR_OK;
}
