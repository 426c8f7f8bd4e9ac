/*
 * tests/support/proc.c - see proc.h.
 *
 * Outputs go to unlinked temporary files, not pipes: a child that prints a lot never blocks, and a
 * test may look at the output while the child runs. Signals a child's death by PR_SET_PDEATHSIG;
 * the getppid() check closes the gap between fork and prctl.
 */
#include "tests/support/proc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/alloc.h"

struct proc {
    pid_t pid;
    bool ended;
    int status;     /* as proc_wait() returns it; valid once ended */
    int in_fd;      /* write end of standard input, -1 if none */
    int out_fd[2];  /* standard output, standard error; the same file with log_path */
    char *text[2];  /* what proc_output() returned last */
    off_t start[2]; /* where this child's output begins (log_path is appended to) */
};

extern char **environ;

int64_t proc_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void proc_pause_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

int64_t proc_deadline_ms(int64_t ms)
{
    const char *text = getenv("CK_TIMEOUT_MULTIPLIER");
    double factor = text ? strtod(text, NULL) : 1.0;
    return factor > 1.0 ? (int64_t)((double)ms * factor) : ms;
}

bool proc_poll(bool (*ready)(void *arg), void *arg, int64_t deadline_ms)
{
    int64_t end = proc_now_ms() + proc_deadline_ms(deadline_ms);
    int64_t pause = 1;
    for (;;) {
        if (ready(arg))
            return true;
        if (proc_now_ms() >= end)
            return false;
        proc_pause_ms(pause);
        if (pause < 20)
            pause *= 2;
    }
}

/* `fd` moved out of 0..2 and closed on exec: the test itself may run with its standard input closed. */
static int above_standard(int fd)
{
    if (fd < 0)
        return -1;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return moved;
}

/* An unlinked file in the temporary folder, or -1. */
static int anonymous_file(void)
{
    const char *base = getenv("TMPDIR");
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/freshet-out-XXXXXX", base && *base ? base : "/tmp");
    if (n < 0 || (size_t)n >= sizeof path)
        return -1;
    int fd = mkstemp(path);
    if (fd >= 0)
        unlink(path);
    return above_standard(fd);
}

/* The test's environment with `extra` put over it; the array is the caller's, the strings are not. */
static char **merged_env(const char *const *extra)
{
    size_t have = 0, add = 0;
    while (environ[have])
        have++;
    while (extra && extra[add])
        add++;
    char **env = fr_calloc(have + add + 1, sizeof *env);
    if (!env)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < have; i++) {
        bool replaced = false;
        size_t name = strcspn(environ[i], "=");
        for (size_t j = 0; j < add; j++)
            replaced |= strncmp(environ[i], extra[j], name) == 0 && extra[j][name] == '=';
        if (!replaced)
            env[n++] = environ[i];
    }
    for (size_t j = 0; j < add; j++) {
        union {
            const char *in;
            char *out;
        } entry = {.in = extra[j]}; /* execve() takes char *, and does not write */
        env[n++] = entry.out;
    }
    return env;
}

/* Absolute path of a program as execvp() would find it; false if there is none. */
static bool find_program(const char *name, char *out, size_t cap)
{
    if (strchr(name, '/')) {
        int n = snprintf(out, cap, "%s", name);
        return n > 0 && (size_t)n < cap && access(out, X_OK) == 0;
    }
    const char *path = getenv("PATH");
    for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
        size_t len = strcspn(p, ":");
        int n = snprintf(out, cap, "%.*s/%s", (int)len, p, name);
        if (n > 0 && (size_t)n < cap && access(out, X_OK) == 0)
            return true;
        p += len + (p[len] == ':');
    }
    return false;
}

/* In the child: only async-signal-safe calls, since the test may have threads. */
static void become(const char *program, char *const argv[], char **env, const char *dir, const int fds[3],
                   pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126);
    for (int i = 0; i < 3; i++) {
        if (dup2(fds[i], i) < 0)
            _exit(126);
    }
    if (dir && chdir(dir) != 0)
        _exit(126);
    execve(program, argv, env);
    _exit(127);
}

/* Open the three descriptors of the child. Those of `child` that are not shared with p are >= 0 in `own`. */
static bool open_streams(struct proc *p, const struct proc_opt *opt, int child[3], int *own_in)
{
    int pipe_fd[2];
    if (opt->pipe_stdin) {
        if (pipe(pipe_fd) != 0)
            return false;
        *own_in = above_standard(pipe_fd[0]);
        p->in_fd = above_standard(pipe_fd[1]);
    } else {
        *own_in = above_standard(open("/dev/null", O_RDONLY | O_CLOEXEC));
    }
    if (*own_in < 0 || (opt->pipe_stdin && p->in_fd < 0))
        return false;
    if (opt->log_path) {
        p->out_fd[0] = above_standard(open(opt->log_path, O_RDWR | O_CREAT | O_APPEND, 0600));
        p->out_fd[1] = p->out_fd[0] >= 0 ? fcntl(p->out_fd[0], F_DUPFD_CLOEXEC, 3) : -1;
    } else {
        p->out_fd[0] = anonymous_file();
        p->out_fd[1] = anonymous_file();
    }
    if (p->out_fd[0] < 0 || p->out_fd[1] < 0)
        return false;
    for (int i = 0; i < 2; i++)
        p->start[i] = lseek(p->out_fd[i], 0, SEEK_END);
    child[0] = *own_in;
    child[1] = p->out_fd[0];
    child[2] = p->out_fd[1];
    return true;
}

struct proc *proc_spawn(const char *const argv[], const struct proc_opt *opt)
{
    static const struct proc_opt none;
    if (!opt)
        opt = &none;
    char program[PATH_MAX];
    char **env = NULL;
    int child[3], own_in = -1;
    struct proc *p = fr_calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->in_fd = p->out_fd[0] = p->out_fd[1] = -1;
    p->ended = true; /* until it runs */
    if (!find_program(argv[0], program, sizeof program)) {
        fprintf(stderr, "proc: %s: not found\n", argv[0]);
        goto fail;
    }
    env = merged_env(opt->env);
    if (!env || !open_streams(p, opt, child, &own_in)) {
        fprintf(stderr, "proc: %s: %s\n", argv[0], strerror(errno));
        goto fail;
    }
    pid_t parent = getpid();
    union {
        const char *const *in;
        char *const *out;
    } words = {.in = argv}; /* execve() takes char *const [], and does not write */
    p->pid = fork();
    if (p->pid == 0)
        become(program, words.out, env, opt->dir, child, parent);
    if (p->pid < 0) {
        fprintf(stderr, "proc: fork: %s\n", strerror(errno));
        goto fail;
    }
    p->ended = false;
    close(own_in);
    fr_free(env);
    return p;
fail:
    if (own_in >= 0)
        close(own_in);
    fr_free(env);
    proc_free(p);
    return NULL;
}

pid_t proc_pid(const struct proc *p)
{
    return p->pid;
}

/* Reap without (flags WNOHANG) or with waiting (0). */
static bool reap(struct proc *p, int flags)
{
    int status;
    pid_t got;
    do {
        got = waitpid(p->pid, &status, flags);
    } while (got < 0 && errno == EINTR);
    if (got == 0)
        return false;
    if (got < 0) { /* the child of our parent (an unchecked fixture): visible, but not ours to reap */
        p->ended = kill(p->pid, 0) != 0;
        p->status = 256;
        return p->ended;
    }
    p->ended = true;
    p->status = WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
    return true;
}

bool proc_running(struct proc *p)
{
    return !p->ended && !reap(p, WNOHANG);
}

static bool has_ended(void *arg)
{
    return !proc_running(arg);
}

int proc_wait(struct proc *p, int64_t deadline_ms)
{
    return proc_poll(has_ended, p, deadline_ms) ? p->status : -1;
}

bool proc_signal(struct proc *p, int sig)
{
    if (!proc_running(p) || kill(p->pid, sig) != 0)
        return false;
    if (sig == SIGKILL)
        reap(p, 0);
    return true;
}

const char *proc_output(struct proc *p, int fd, size_t from)
{
    int i = fd == 2 ? 1 : 0;
    struct stat st;
    off_t at = p->start[i] + (off_t)from;
    fr_free(p->text[i]);
    p->text[i] = NULL;
    if (fstat(p->out_fd[i], &st) != 0 || st.st_size <= at)
        return "";
    size_t n = (size_t)(st.st_size - at), got = 0;
    char *text = fr_malloc_array(n + 1, 1);
    if (!text)
        return "";
    while (got < n) {
        ssize_t r = pread(p->out_fd[i], text + got, n - got, at + (off_t)got);
        if (r <= 0)
            break;
        got += (size_t)r;
    }
    text[got] = '\0';
    p->text[i] = text;
    return text;
}

struct text_wait {
    struct proc *p;
    int fd;
    const char *text;
    bool found;
};

static bool text_or_end(void *arg)
{
    struct text_wait *w = arg;
    bool alive = proc_running(w->p); /* first, so that a last line is not missed */
    w->found = strstr(proc_output(w->p, w->fd, 0), w->text) != NULL;
    return w->found || !alive;
}

bool proc_wait_text(struct proc *p, int fd, const char *text, int64_t deadline_ms)
{
    struct text_wait w = {.p = p, .fd = fd, .text = text};
    proc_poll(text_or_end, &w, deadline_ms);
    return w.found;
}

bool proc_write(struct proc *p, const void *data, size_t n)
{
    if (p->in_fd < 0)
        return false;
    if (n == 0) {
        close(p->in_fd);
        p->in_fd = -1;
        return true;
    }
    const char *at = data;
    while (n > 0) {
        ssize_t w = write(p->in_fd, at, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return false;
        at += w;
        n -= (size_t)w;
    }
    return true;
}

void proc_free(struct proc *p)
{
    if (!p)
        return;
    if (proc_running(p))
        proc_signal(p, SIGKILL);
    if (p->in_fd >= 0)
        close(p->in_fd);
    for (int i = 0; i < 2; i++) {
        if (p->out_fd[i] >= 0)
            close(p->out_fd[i]);
        fr_free(p->text[i]);
    }
    fr_free(p);
}

int proc_run(const char *const argv[], int64_t deadline_ms, char *out, size_t cap)
{
    struct proc *p = proc_spawn(argv, NULL);
    if (!p)
        return -1;
    int rc = proc_wait(p, deadline_ms);
    if (out && cap > 0)
        snprintf(out, cap, "%s", proc_output(p, 1, 0));
    proc_free(p);
    return rc;
}

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

/* Below the range that the kernel hands out for outgoing connections: else a client's own connection
 * may take the port while a server is down between kill and restart. */
uint16_t proc_free_port(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t x = (uint64_t)t.tv_nsec * 2654435761u + (uint64_t)getpid() * 40503u;
    for (int i = 0; i < 200; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        uint16_t port = (uint16_t)(10000 + (x >> 33) % 22000);
        struct sockaddr_in a = loopback(port);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
        if (fd >= 0)
            close(fd);
        if (ok)
            return port;
    }
    return 0;
}

static bool port_answers(void *arg)
{
    struct sockaddr_in a = loopback(*(uint16_t *)arg);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

bool proc_wait_port(uint16_t port, int64_t deadline_ms)
{
    return proc_poll(port_answers, &port, deadline_ms);
}
