/*
 * tests/support/proc.h - run other programs from a test and never leave one behind.
 *
 * Why:   process tests start daemons, brokers and redis-servers and must not leak them, whatever
 *        ends the test: return, failed assertion, crash, kill -9. A child asks the kernel for
 *        SIGKILL when the thread that spawned it ends (PR_SET_PDEATHSIG, GNU/Linux). So spawn from
 *        a thread that lives as long as the test: its main thread.
 * Check: a test case is a forked process of its own: a child spawned in a checked fixture or in the
 *        case dies with the case; one of an unchecked fixture lives as long as the whole program.
 */
#ifndef FR_TESTS_PROC_H
#define FR_TESTS_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** Owner: the caller; release with proc_free(). Thread: one at a time. */
struct proc;

/** All fields may be zero. */
struct proc_opt {
    const char *dir;        /* working directory; NULL = the test's own */
    const char *const *env; /* "NAME=value" added to the test's environment, NULL-terminated */
    bool pipe_stdin;        /* true: write to it with proc_write(); false: standard input is empty */
    const char *log_path;   /* append standard output and error here; NULL = kept apart, unnamed */
};

/**
 * Start argv[0] (searched in PATH unless it has a '/') with both outputs captured in files, so a
 * child that prints much never blocks. NULL, and a message on standard error, if it cannot start
 * (program not found, no more processes).
 */
struct proc *proc_spawn(const char *const argv[], const struct proc_opt *opt);

/** Process id; stays readable after the end. */
pid_t proc_pid(const struct proc *p);

/** Not yet ended (reaps it if it has). */
bool proc_running(struct proc *p);

/**
 * Wait for the end. @return the exit status 0..255, 256 + signal number if a signal ended it, or
 * -1 if it still runs after `deadline_ms` (already multiplied by CK_TIMEOUT_MULTIPLIER).
 */
int proc_wait(struct proc *p, int64_t deadline_ms);

/** Send a signal; false if it has already ended. SIGKILL also waits until it is gone. */
bool proc_signal(struct proc *p, int sig);

/**
 * Standard output (fd 1) or error (fd 2) so far, NUL-terminated, from byte `from` on. Owned by the
 * proc, valid until the next call for the same fd. With log_path both are one file. Never NULL.
 */
const char *proc_output(struct proc *p, int fd, size_t from);

/** Wait until `text` stands in the output `fd`; false at the deadline or when the child ended without it. */
bool proc_wait_text(struct proc *p, int fd, const char *text, int64_t deadline_ms);

/** Write to standard input (pipe_stdin); false on error. `n` == 0 closes it. */
bool proc_write(struct proc *p, const void *data, size_t n);

/** Kill (SIGKILL) and reap if still running, then release. NULL is a no-op. */
void proc_free(struct proc *p);

/** Spawn, wait, and copy the output (cut to `cap` - 1). @return as proc_wait(); -1 also if it cannot start. */
int proc_run(const char *const argv[], int64_t deadline_ms, char *out, size_t cap);

/**
 * A TCP port on 127.0.0.1 that was free a moment ago; 0 on failure. Another process may take it
 * before it is used: callers retry with a new one.
 */
uint16_t proc_free_port(void);

/** Wait until 127.0.0.1:port accepts a connection. */
bool proc_wait_port(uint16_t port, int64_t deadline_ms);

/** Milliseconds on a clock that never jumps. */
int64_t proc_now_ms(void);

/** Sleep; for polling loops with a deadline only, never as synchronisation. */
void proc_pause_ms(int64_t ms);

/** `ms` times CK_TIMEOUT_MULTIPLIER (sanitizer builds are slower). All deadlines here apply it. */
int64_t proc_deadline_ms(int64_t ms);

/**
 * Poll `ready(arg)` every few milliseconds until it is true or the deadline (multiplied as above)
 * has passed. @return its last answer.
 */
bool proc_poll(bool (*ready)(void *arg), void *arg, int64_t deadline_ms);

#endif
