/*
 * tests/support/tmpdir.c - see tmpdir.h.
 */
#include "tests/support/tmpdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/alloc.h"

/*
 * Start the shell that removes `dir` when every holder of the pipe's write end has gone. It runs in
 * its own session, so that Check's killing of a process group does not reach it, and is a grandchild,
 * so that nobody has to reap it.
 */
static bool start_reaper(const char *dir)
{
    int fd[2];
    if (pipe(fd) != 0)
        return false;
    /* Not 0..2, even if the test runs with its standard input closed; and closed on exec, since
     * programs that we start must not keep the folder alive. */
    for (int i = 0; i < 2; i++) {
        int moved = fcntl(fd[i], F_DUPFD_CLOEXEC, 3);
        close(fd[i]);
        fd[i] = moved;
    }
    if (fd[0] < 0 || fd[1] < 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        if (fork() != 0)
            _exit(0);
        int null = open("/dev/null", O_RDWR);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setsid();
        dup2(fd[0], 0);
        dup2(null, 1); /* else whoever waits for the end of our output waits for the reaper */
        dup2(null, 2);
        for (int i = 3; i < 256; i++)
            close(i);
        execl("/bin/sh", "sh", "-c", "read x; rm -rf -- \"$0\"; sleep 0.3; rm -rf -- \"$0\"", dir,
              (char *)NULL);
        _exit(127);
    }
    close(fd[0]);
    if (pid < 0) {
        close(fd[1]);
        return false;
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return true; /* fd[1] stays open until the process ends */
}

char *tmpdir_make(void)
{
    const char *base = getenv("TMPDIR");
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/freshet-test-XXXXXX", base && *base ? base : "/tmp");
    if (n < 0 || (size_t)n >= sizeof path || !mkdtemp(path)) {
        fprintf(stderr, "tmpdir: %s: %s\n", path, strerror(errno));
        return NULL;
    }
    char *copy = fr_memdup0(path, (size_t)n);
    if (!copy || !start_reaper(path)) {
        fprintf(stderr, "tmpdir: no process for %s\n", path);
        rmdir(path);
        fr_free(copy);
        return NULL;
    }
    return copy;
}

void tmpdir_free(char *dir)
{
    if (!dir)
        return;
    tmpdir_remove(dir);
    fr_free(dir);
}

bool tmpdir_path(const char *dir, const char *name, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%s/%s", dir, name);
    return n > 0 && (size_t)n < cap;
}

bool tmpdir_write(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f)
        return false;
    bool ok = fwrite(data, 1, n, f) == n;
    return fclose(f) == 0 && ok;
}

char *tmpdir_read(const char *path, size_t *out_n)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    if (f && fstat(fileno(f), &st) == 0 && st.st_size >= 0)
        text = fr_malloc_array((size_t)st.st_size + 1, 1);
    if (text) {
        size_t n = fread(text, 1, (size_t)st.st_size, f);
        text[n] = '\0';
        if (out_n)
            *out_n = n;
    }
    if (f)
        fclose(f);
    return text;
}

/* Remove what is in `path` (length n); `top` bounds the walk. Iterates by path, depth first: the deepest
 * entry found first is removed and the walk starts over at the parent, so nothing recurses. */
static bool empty_tree(char *path, size_t cap)
{
    size_t root = strlen(path);
    for (;;) {
        DIR *d = opendir(path);
        if (!d)
            return false;
        struct dirent *e;
        bool descended = false;
        while ((e = readdir(d)) != NULL) {
            struct stat st;
            if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
                continue;
            size_t n = strlen(path);
            if (n + strlen(e->d_name) + 2 > cap) {
                closedir(d);
                return false;
            }
            snprintf(path + n, cap - n, "/%s", e->d_name);
            if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
                chmod(path, 0700);
                descended = true;
                break;
            }
            if (unlink(path) != 0 && errno != ENOENT) {
                closedir(d);
                return false;
            }
            path[n] = '\0';
        }
        closedir(d);
        if (descended)
            continue;
        if (rmdir(path) != 0 && errno != ENOENT)
            return false;
        if (strlen(path) == root)
            return true;
        *strrchr(path, '/') = '\0';
    }
}

bool tmpdir_remove(const char *path)
{
    struct stat st;
    char buf[PATH_MAX];
    int n = snprintf(buf, sizeof buf, "%s", path);
    if (n <= 0 || (size_t)n >= sizeof buf)
        return false;
    if (lstat(buf, &st) != 0)
        return errno == ENOENT;
    if (!S_ISDIR(st.st_mode))
        return unlink(buf) == 0;
    return empty_tree(buf, sizeof buf);
}
