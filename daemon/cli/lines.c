/*
 * daemon/cli/lines.c - lines over a sliding buffer.
 *
 *   buffer: | done | line being looked for ...... | free |
 *             at     at                      end
 */
#include "daemon/cli/lines.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/base/alloc.h"

#define CHUNK ((size_t)1 << 16)

struct fr_lines {
    FILE *f;
    bool own; /* not standard input */
    bool eof;
    char *buf;
    size_t cap, at, end;
    size_t max_line;
    uint64_t number;
    char *path;
};

enum fr_err fr_lines_open(const char *path, size_t max_line, struct fr_lines **out_lines, struct fr_fault *fault)
{
    struct fr_lines *l = fr_calloc(1, sizeof(*l));
    bool std = strcmp(path, "-") == 0;
    struct stat st;

    if (l == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    l->own = !std;
    l->max_line = max_line;
    l->cap = max_line + CHUNK;
    l->path = fr_memdup0(std ? "(stdin)" : path, strlen(std ? "(stdin)" : path));
    l->buf = fr_malloc_array(l->cap, 1);
    if (l->path == NULL || l->buf == NULL) {
        fr_lines_free(l);
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    }
    l->f = std ? stdin : fopen(path, "rb");
    if (l->f == NULL) {
        int no = errno;
        fr_lines_free(l);
        return fr_fault(fault, no == ENOENT ? FR_ENOTFOUND : FR_EIO, "%s: %s", path, strerror(no));
    }
    if (fstat(fileno(l->f), &st) == 0 && S_ISDIR(st.st_mode)) {
        fr_lines_free(l);
        return fr_fault(fault, FR_EIO, "%s: %s", path, strerror(EISDIR));
    }
    *out_lines = l;
    return FR_OK;
}

/* Room at the end of the buffer, then one read. */
static enum fr_err fill(struct fr_lines *l)
{
    size_t got;

    if (l->at > 0) {
        memmove(l->buf, l->buf + l->at, l->end - l->at);
        l->end -= l->at;
        l->at = 0;
    }
    got = fread(l->buf + l->end, 1, l->cap - l->end, l->f);
    if (got == 0) {
        if (ferror(l->f))
            return FR_EIO;
        l->eof = true;
    }
    l->end += got;
    return FR_OK;
}

/* Drop bytes up to and with the next line end. */
static enum fr_err skip(struct fr_lines *l)
{
    for (;;) {
        char *nl = memchr(l->buf + l->at, '\n', l->end - l->at);
        enum fr_err e;

        if (nl != NULL) {
            l->at = (size_t)(nl - l->buf) + 1;
            return FR_ETOOLARGE;
        }
        l->at = l->end;
        if (l->eof)
            return FR_ETOOLARGE;
        e = fill(l);
        if (e != FR_OK)
            return e;
    }
}

enum fr_err fr_lines_next(struct fr_lines *l, struct fr_str *out_line)
{
    size_t looked = 0; /* bytes after `at` known to hold no line end */

    for (;;) {
        char *nl = l->end - l->at == looked
                       ? NULL
                       : memchr(l->buf + l->at + looked, '\n', l->end - l->at - looked);
        size_t n = nl == NULL ? l->end - l->at : (size_t)(nl - l->buf) - l->at;
        enum fr_err e;

        if (nl == NULL && l->eof && n == 0)
            return FR_ENOTFOUND;
        if (n > l->max_line + 1) { /* one more for a possible '\r' */
            l->number++;
            return skip(l);
        }
        if (nl != NULL || l->eof) {
            struct fr_str line = {l->buf + l->at, n};

            l->at += n + (nl != NULL);
            l->number++;
            if (line.n > 0 && line.p[line.n - 1] == '\r')
                line.n--;
            if (line.n > l->max_line)
                return FR_ETOOLARGE;
            *out_line = line;
            return FR_OK;
        }
        looked = n;
        e = fill(l);
        if (e != FR_OK)
            return e;
    }
}

uint64_t fr_lines_number(const struct fr_lines *l)
{
    return l->number;
}

const char *fr_lines_path(const struct fr_lines *l)
{
    return l->path;
}

void fr_lines_free(struct fr_lines *l)
{
    if (l == NULL)
        return;
    if (l->f != NULL && l->own)
        (void)fclose(l->f);
    fr_free(l->buf);
    fr_free(l->path);
    fr_free(l);
}
