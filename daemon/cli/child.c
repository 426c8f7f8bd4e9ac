/*
 * daemon/cli/child.c - see child.h.
 */
#include "daemon/cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 10

struct plan {
    const char *const *argv;
    int out, err; /* descriptors the child writes to */
    int in;
    int tell; /* where a failed exec says why */
    pid_t parent;
};

/* Between fork and exec: async-signal-safe calls only. */
static void become(const struct plan *p)
{
    struct sigaction sa;
    sigset_t none;
    char *const *argv; /* execvp() changes nothing of it, its type is older than const */
    int why;

    memcpy(&argv, &p->argv, sizeof(argv));
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = SIG_DFL;
    (void)sigaction(SIGPIPE, &sa, NULL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setpgid(0, 0);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != p->parent)
        _exit(127); /* the parent is gone already */
    if (dup2(p->in, 0) >= 0 && dup2(p->out, 1) >= 0 && dup2(p->err, 2) >= 0)
        (void)execvp(argv[0], argv);
    why = errno;
    if (write(p->tell, &why, sizeof(why)) < 0)
        _exit(126);
    _exit(127);
}

static enum fr_err spawn(const struct plan *p, int listen_fd, pid_t *out_pid, struct fr_fault *fault)
{
    int why = 0;
    ssize_t n;
    pid_t pid = fork();

    if (pid < 0)
        return fr_fault(fault, FR_ENOMEM, "%s: no new process: %s", p->argv[0], strerror(errno));
    if (pid == 0)
        become(p);
    (void)close(p->tell);
    do
        n = read(listen_fd, &why, sizeof(why));
    while (n < 0 && errno == EINTR);
    if (n == 0) {
        *out_pid = pid;
        return FR_OK;
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return fr_fault(fault, FR_ENOTFOUND, "%s: %s", p->argv[0], strerror(why));
}

static int open_cloexec(const char *path, int flags)
{
    return open(path, flags | O_CLOEXEC, 0600);
}

enum fr_err fr_child_start(const char *name,
                           const char *const argv[],
                           const char *log_path,
                           struct fr_child *out,
                           struct fr_fault *fault)
{
    int tell[2] = {-1, -1}, log = -1;
    struct plan p = {argv, -1, STDERR_FILENO, -1, -1, getpid()};
    enum fr_err e;

    *out = (struct fr_child){0, 0, name};
    p.in = open_cloexec("/dev/null", O_RDWR);
    if (log_path != NULL)
        log = open_cloexec(log_path, O_WRONLY | O_APPEND | O_CREAT);
    if (p.in < 0 || (log_path != NULL && log < 0) || pipe(tell) != 0) {
        e = fr_fault(fault, FR_EIO, "%s: %s", log_path != NULL ? log_path : "/dev/null", strerror(errno));
    } else {
        (void)fcntl(tell[0], F_SETFD, FD_CLOEXEC);
        (void)fcntl(tell[1], F_SETFD, FD_CLOEXEC);
        p.out = log >= 0 ? log : p.in;
        p.err = log >= 0 ? log : STDERR_FILENO;
        p.tell = tell[1];
        e = spawn(&p, tell[0], &out->pid, fault);
        (void)close(tell[0]);
        if (e == FR_ENOMEM)
            (void)close(tell[1]);
    }
    if (log >= 0)
        (void)close(log);
    if (p.in >= 0)
        (void)close(p.in);
    return e;
}

bool fr_child_running(struct fr_child *c)
{
    int st;
    pid_t got;

    if (c->pid == 0)
        return false;
    got = waitpid(c->pid, &st, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR))
        return true;
    c->pid = 0;
    if (got > 0)
        c->status = WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
    return false;
}

void fr_child_stop(struct fr_child *c, int grace_ms, bool (*hurry)(void))
{
    const struct timespec ts = {0, POLL_MS * 1000000L};

    if (!fr_child_running(c))
        return;
    (void)kill(c->pid, SIGTERM);
    for (int waited = 0; fr_child_running(c); waited += POLL_MS) {
        if (waited >= grace_ms || (hurry != NULL && hurry()))
            (void)kill(c->pid, SIGKILL);
        (void)nanosleep(&ts, NULL);
    }
}
