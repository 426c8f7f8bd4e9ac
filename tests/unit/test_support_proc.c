/*
 * tests/unit/test_support_proc.c - the process and folder helpers themselves.
 */
#include "tests/support/proc.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "tests/support/tmpdir.h"

START_TEST(spawn__program_prints_and_exits__output_and_status)
{
    const char *const argv[] = {"sh", "-c", "echo out; echo err >&2; exit 3", NULL};
    struct proc *p = proc_spawn(argv, NULL);
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(proc_wait(p, 5000), 3);
    ck_assert_str_eq(proc_output(p, 1, 0), "out\n");
    ck_assert_str_eq(proc_output(p, 2, 0), "err\n");
    ck_assert_str_eq(proc_output(p, 1, 2), "t\n");
    ck_assert(!proc_running(p));
    proc_free(p);
}
END_TEST

START_TEST(spawn__program_missing__null)
{
    const char *const argv[] = {"no-such-program-freshet", NULL};
    ck_assert_ptr_null(proc_spawn(argv, NULL));
}
END_TEST

START_TEST(spawn__env_dir_and_stdin__reach_the_program)
{
    const char *const env[] = {"FRESHET_X=5", NULL};
    struct proc_opt opt = {.dir = "/", .env = env, .pipe_stdin = true};
    const char *const argv[] = {"sh", "-c", "read line; echo $FRESHET_X $(pwd) $line", NULL};
    struct proc *p = proc_spawn(argv, &opt);
    ck_assert_ptr_nonnull(p);
    ck_assert(proc_write(p, "hello\n", 6));
    ck_assert(proc_write(p, NULL, 0));
    ck_assert_int_eq(proc_wait(p, 5000), 0);
    ck_assert_str_eq(proc_output(p, 1, 0), "5 / hello\n");
    proc_free(p);
}
END_TEST

START_TEST(wait__program_hangs__minus_one_then_killed)
{
    const char *const argv[] = {"sleep", "100", NULL};
    struct proc *p = proc_spawn(argv, NULL);
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(proc_wait(p, 20), -1);
    ck_assert(proc_signal(p, SIGKILL));
    ck_assert_int_eq(proc_wait(p, 0), 256 + SIGKILL);
    ck_assert(!proc_signal(p, SIGTERM));
    proc_free(p);
}
END_TEST

START_TEST(wait_text__text_comes_late__found)
{
    const char *const argv[] = {"sh", "-c", "sleep 0.1; echo ready; sleep 100", NULL};
    struct proc *p = proc_spawn(argv, NULL);
    ck_assert_ptr_nonnull(p);
    ck_assert(proc_wait_text(p, 1, "ready", 5000));
    proc_free(p);
}
END_TEST

START_TEST(wait_text__program_ends_without_it__false_at_once)
{
    const char *const argv[] = {"true", NULL};
    struct proc *p = proc_spawn(argv, NULL);
    ck_assert_ptr_nonnull(p);
    int64_t t0 = proc_now_ms();
    ck_assert(!proc_wait_text(p, 1, "ready", 20000));
    ck_assert_int_lt(proc_now_ms() - t0, 15000);
    proc_free(p);
}
END_TEST

START_TEST(spawn__log_path__both_streams_appended_and_only_own_output_seen)
{
    char *dir = tmpdir_make();
    char path[200];
    ck_assert_ptr_nonnull(dir);
    ck_assert(tmpdir_path(dir, "log", path, sizeof path));
    ck_assert(tmpdir_write(path, "before\n", 7));
    struct proc_opt opt = {.log_path = path};
    const char *const argv[] = {"sh", "-c", "echo a; echo b >&2", NULL};
    struct proc *p = proc_spawn(argv, &opt);
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(proc_wait(p, 5000), 0);
    ck_assert_str_eq(proc_output(p, 1, 0), "a\nb\n");
    char *text = tmpdir_read(path, NULL);
    ck_assert_str_eq(text, "before\na\nb\n");
    fr_free(text);
    proc_free(p);
    tmpdir_free(dir);
}
END_TEST

static bool gone(void *arg)
{
    struct stat st;
    return stat(arg, &st) != 0;
}

static bool pid_gone(void *arg)
{
    return kill(*(pid_t *)arg, 0) != 0;
}

/* A process that makes a folder and a child, tells both, and is killed without any clean-up. */
START_TEST(killed_test__its_child_and_its_folder__disappear)
{
    int fd[2];
    ck_assert_int_eq(pipe(fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        const char *const argv[] = {"sleep", "100", NULL};
        char line[256] = "";
        char *dir = tmpdir_make();
        struct proc *p = proc_spawn(argv, NULL);
        if (dir && p)
            snprintf(line, sizeof line, "%ld %s", (long)proc_pid(p), dir);
        if (write(fd[1], line, sizeof line) != (ssize_t)sizeof line)
            _exit(1);
        pause();
        _exit(0);
    }
    char line[256], *dir;
    ck_assert_int_eq(read(fd[0], line, sizeof line), sizeof line);
    pid_t child = (pid_t)strtol(line, &dir, 10);
    ck_assert_int_gt(child, 0);
    dir++;
    struct stat st;
    ck_assert_int_eq(stat(dir, &st), 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(fd[0]);
    close(fd[1]);
    ck_assert(proc_poll(pid_gone, &child, 5000));
    ck_assert(proc_poll(gone, dir, 10000));
}
END_TEST

START_TEST(remove__tree_with_files_and_links__gone_and_link_target_kept)
{
    char *dir = tmpdir_make();
    char keep[200], tree[200], path[300];
    ck_assert_ptr_nonnull(dir);
    ck_assert(tmpdir_path(dir, "keep", keep, sizeof keep));
    ck_assert(tmpdir_write(keep, "x", 1));
    ck_assert(tmpdir_path(dir, "tree", tree, sizeof tree));
    ck_assert_int_eq(mkdir(tree, 0700), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/d%d", tree, i);
        ck_assert_int_eq(mkdir(path, 0700), 0);
        snprintf(path, sizeof path, "%s/d%d/f", tree, i);
        ck_assert(tmpdir_write(path, "y", 1));
        snprintf(path, sizeof path, "%s/d%d/e", tree, i);
        ck_assert_int_eq(mkdir(path, 0700), 0);
    }
    snprintf(path, sizeof path, "%s/link", tree);
    ck_assert_int_eq(symlink(dir, path), 0);
    ck_assert(tmpdir_remove(tree));
    ck_assert(gone(tree));
    ck_assert(!gone(keep));
    ck_assert(tmpdir_remove(tree)); /* already gone */
    tmpdir_free(dir);
}
END_TEST

START_TEST(free_port__nobody_there__and_wait_port_says_no)
{
    uint16_t port = proc_free_port();
    ck_assert_uint_ge(port, 10000);
    ck_assert_uint_lt(port, 32768);
    ck_assert(!proc_wait_port(port, 10));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("support/proc");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, spawn__program_prints_and_exits__output_and_status);
    tcase_add_test(tc, spawn__program_missing__null);
    tcase_add_test(tc, spawn__env_dir_and_stdin__reach_the_program);
    tcase_add_test(tc, wait__program_hangs__minus_one_then_killed);
    tcase_add_test(tc, wait_text__text_comes_late__found);
    tcase_add_test(tc, wait_text__program_ends_without_it__false_at_once);
    tcase_add_test(tc, spawn__log_path__both_streams_appended_and_only_own_output_seen);
    tcase_add_test(tc, killed_test__its_child_and_its_folder__disappear);
    tcase_add_test(tc, remove__tree_with_files_and_links__gone_and_link_target_kept);
    tcase_add_test(tc, free_port__nobody_there__and_wait_port_says_no);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
