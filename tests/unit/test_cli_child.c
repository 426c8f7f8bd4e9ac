/*
 * tests/unit/test_cli_child.c - children of a command: started, seen ending, stopped, not left behind.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/cli/child.h"
#include "tests/support/proc.h"
#include "tests/support/tmpdir.h"

static struct fr_fault fault;

static void wait_end(struct fr_child *c)
{
    for (int i = 0; i < 2000 && fr_child_running(c); i++) {
        struct timespec ts = {0, 5000000};
        (void)nanosleep(&ts, NULL);
    }
}

static void run(const char *script, struct fr_child *out, const char *log)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};

    ck_assert_int_eq(fr_child_start("sh", argv, log, out, &fault), FR_OK);
}

static bool in_a_hurry(void)
{
    return true;
}

START_TEST(tells_exit_status_and_signal)
{
    struct fr_child c;

    run("exit 7", &c, NULL);
    wait_end(&c);
    ck_assert_int_eq(c.pid, 0);
    ck_assert_int_eq(c.status, 7);
    run("kill -9 $$", &c, NULL);
    wait_end(&c);
    ck_assert_int_eq(c.status, 128 + SIGKILL);
    ck_assert(!fr_child_running(&c));
}
END_TEST

START_TEST(missing_program_is_an_error_with_its_name)
{
    const char *const argv[] = {"/nonexistent/freshet-program", NULL};
    struct fr_child c;

    ck_assert_int_eq(fr_child_start("x", argv, NULL, &c, &fault), FR_ENOTFOUND);
    ck_assert(strstr(fault.msg, "/nonexistent/freshet-program") != NULL);
    ck_assert_int_eq(c.pid, 0);
    fr_child_stop(&c, 10, NULL);
    ck_assert_int_lt(waitpid(-1, NULL, WNOHANG), 0); /* nothing to reap */
}
END_TEST

START_TEST(outputs_go_to_the_log)
{
    char *dir = tmpdir_make();
    char path[512], *text;
    size_t n;
    struct fr_child c;

    ck_assert_ptr_nonnull(dir);
    ck_assert(tmpdir_path(dir, "log", path, sizeof(path)));
    run("echo out; echo err >&2; cat", &c, path); /* cat: standard input is empty */
    wait_end(&c);
    ck_assert_int_eq(c.status, 0);
    run("echo more", &c, path);
    wait_end(&c);
    ck_assert_int_eq(fr_file_read(path, 1000, &text, &n, &fault), FR_OK);
    ck_assert_str_eq(text, "out\nerr\nmore\n");
    fr_free(text);
    tmpdir_free(dir);
}
END_TEST

START_TEST(stop_is_term_first_and_kill_at_the_end_of_patience)
{
    struct fr_child c;
    int64_t t;

    run("trap 'exit 3' TERM; while :; do sleep 0.01; done", &c, NULL);
    nanosleep(&(struct timespec){0, 200000000}, NULL); /* the trap is set */
    fr_child_stop(&c, 5000, NULL);
    ck_assert_int_eq(c.status, 3);

    run("trap '' TERM; while :; do sleep 0.01; done", &c, NULL);
    nanosleep(&(struct timespec){0, 200000000}, NULL);
    t = proc_now_ms();
    fr_child_stop(&c, 300, NULL);
    ck_assert_int_eq(c.status, 128 + SIGKILL);
    ck_assert_int_ge(proc_now_ms() - t, 250);

    run("trap '' TERM; while :; do sleep 0.01; done", &c, NULL);
    t = proc_now_ms();
    fr_child_stop(&c, 600000, in_a_hurry);
    ck_assert_int_eq(c.pid, 0);
    ck_assert_int_lt(proc_now_ms() - t, 20000);
}
END_TEST

START_TEST(a_group_of_its_own_and_gone_with_its_parent)
{
    int fd[2];
    pid_t mine, child = 0;

    ck_assert_int_eq(pipe(fd), 0);
    mine = fork();
    ck_assert_int_ge(mine, 0);
    if (mine == 0) {
        struct fr_child c;
        pid_t told = 0;
        run("exec sleep 600", &c, NULL);
        if (getpgid(c.pid) != getpgid(0))
            told = c.pid;
        if (write(fd[1], &told, sizeof(told)) != (ssize_t)sizeof(told))
            _exit(1);
        raise(SIGKILL);
    }
    ck_assert_int_eq(read(fd[0], &child, sizeof(child)), (int)sizeof(child));
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(mine, NULL, 0), mine);
    for (int i = 0; i < 1000 && kill(child, 0) == 0; i++) {
        /* an orphan that nobody reaps yet still takes signals: look at its state */
        char path[64], stat[256] = "";
        FILE *f;
        snprintf(path, sizeof(path), "/proc/%d/stat", (int)child);
        f = fopen(path, "r");
        if (f != NULL) {
            if (fgets(stat, sizeof(stat), f) == NULL)
                stat[0] = '\0';
            fclose(f);
        }
        if (f == NULL || strstr(stat, ") Z") != NULL)
            child = 0;
        if (child == 0)
            break;
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    ck_assert(child == 0 || kill(child, 0) != 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli_child");
    TCase *tc = tcase_create("child");
    SRunner *sr = srunner_create(s);
    int failed;

    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, tells_exit_status_and_signal);
    tcase_add_test(tc, missing_program_is_an_error_with_its_name);
    tcase_add_test(tc, outputs_go_to_the_log);
    tcase_add_test(tc, stop_is_term_first_and_kill_at_the_end_of_patience);
    tcase_add_test(tc, a_group_of_its_own_and_gone_with_its_parent);
    suite_add_tcase(s, tc);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
