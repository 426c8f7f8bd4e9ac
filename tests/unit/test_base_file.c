/* Whole files: the limit, what is no regular file, a replacement that fails anywhere, folder trees. */
#include "daemon/base/file.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "tests/support/tmpdir.h"

static char *dir;

static void setup(void)
{
    dir = tmpdir_make();
    ck_assert_ptr_nonnull(dir);
}

static void teardown(void)
{
    tmpdir_free(dir);
}

static const char *in_dir(const char *name)
{
    static char path[4][1024];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
    return path[turn];
}

static void check_content(const char *path, struct fr_str want)
{
    char *got = NULL;
    size_t n = 0;
    struct fr_fault f;
    ck_assert_msg(fr_file_read(path, 1 << 24, &got, &n, &f) == FR_OK, "%s", f.msg);
    ck_assert(fr_str_eq((struct fr_str){got, n}, want));
    ck_assert_int_eq(got[n], '\0');
    fr_free(got);
}

static int entries(const char *path)
{
    DIR *d = opendir(path);
    int n = -2; /* . and .. */
    ck_assert_ptr_nonnull(d);
    while (readdir(d) != NULL)
        n++;
    (void)closedir(d);
    return n;
}

START_TEST(read__sizes_around_the_limit__exact)
{
    static char data[5000];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7);
    for (size_t n = 0; n <= sizeof(data); n += n < 70 ? 1 : 493) {
        char *got = NULL;
        size_t got_n = 4711;
        struct fr_fault f;
        const char *path = in_dir("f");
        ck_assert_int_eq(fr_file_replace(path, (struct fr_str){data, n}, NULL), FR_OK);
        check_content(path, (struct fr_str){data, n});
        ck_assert_int_eq(fr_file_read(path, n, &got, &got_n, &f), FR_OK);
        ck_assert_uint_eq(got_n, n);
        fr_free(got);
        if (n == 0)
            continue;
        got = NULL;
        got_n = 4711;
        ck_assert_int_eq(fr_file_read(path, n - 1, &got, &got_n, &f), FR_ETOOLARGE);
        ck_assert_ptr_null(got);
        ck_assert_uint_eq(got_n, 4711);
        ck_assert_ptr_nonnull(strstr(f.msg, path));
    }
}
END_TEST

/* Nothing that blocks or has no end is opened as a file. */
START_TEST(read__missing_folder_fifo_device__refused_with_the_path)
{
    char *got = NULL;
    size_t n = 0;
    struct fr_fault f;
    ck_assert_int_eq(fr_file_read(in_dir("absent"), 100, &got, &n, &f), FR_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(f.msg, "absent"));
    ck_assert_int_eq(fr_file_read(dir, 100, &got, &n, &f), FR_EIO);
    ck_assert_ptr_nonnull(strstr(f.msg, "not a regular file"));
    ck_assert_int_eq(mkfifo(in_dir("fifo"), 0600), 0);
    ck_assert_int_eq(fr_file_read(in_dir("fifo"), 100, &got, &n, &f), FR_EIO);
    ck_assert_int_eq(fr_file_read("/dev/zero", 100, &got, &n, &f), FR_EIO);
    ck_assert_ptr_null(got);
}
END_TEST

/* /proc says size 0 and has content: read to the end, the limit holds. */
START_TEST(read__size_not_known_beforehand__whole_or_too_large)
{
    char *got = NULL;
    size_t n = 0;
    if (access("/proc/self/status", R_OK) != 0)
        return;
    ck_assert_int_eq(fr_file_read("/proc/self/status", 1 << 20, &got, &n, NULL), FR_OK);
    ck_assert_uint_gt(n, 100);
    ck_assert_uint_eq(strlen(got), n);
    fr_free(got);
    got = NULL;
    ck_assert_int_eq(fr_file_read("/proc/self/status", 50, &got, &n, NULL), FR_ETOOLARGE);
    ck_assert_ptr_null(got);
}
END_TEST

START_TEST(read__allocation_fails__enomem_and_nothing_leaks)
{
    char *got = NULL;
    size_t n = 0;
    ck_assert_int_eq(fr_file_replace(in_dir("f"), FR_STR_LIT("hello"), NULL), FR_OK);
    fr_alloc_fail_at(1);
    ck_assert_int_eq(fr_file_read(in_dir("f"), 100, &got, &n, NULL), FR_ENOMEM);
    fr_alloc_fail_at(0);
    if (access("/proc/self/status", R_OK) == 0) {
        fr_alloc_fail_at(2); /* the growth */
        ck_assert_int_eq(fr_file_read("/proc/self/status", 1 << 20, &got, &n, NULL), FR_ENOMEM);
        fr_alloc_fail_at(0);
    }
    ck_assert_ptr_null(got);
}
END_TEST

START_TEST(replace__again_and_again__whole_new_content_and_no_rest)
{
    static char big[100000];
    struct stat st;
    memset(big, 'b', sizeof(big));
    ck_assert_int_eq(fr_file_replace(in_dir("f"), (struct fr_str){big, sizeof(big)}, NULL), FR_OK);
    check_content(in_dir("f"), (struct fr_str){big, sizeof(big)});
    ck_assert_int_eq(fr_file_replace(in_dir("f"), FR_STR_LIT("small"), NULL), FR_OK);
    check_content(in_dir("f"), FR_STR_LIT("small"));
    ck_assert_int_eq(fr_file_replace(in_dir("f"), (struct fr_str){NULL, 0}, NULL), FR_OK);
    check_content(in_dir("f"), FR_STR_LIT(""));
    ck_assert_int_eq(
        fr_file_replace_parts(in_dir("f"), (struct fr_str[]){FR_STR_LIT("in "), {NULL, 0}, FR_STR_LIT("parts")}, 3, NULL),
        FR_OK);
    check_content(in_dir("f"), FR_STR_LIT("in parts"));
    ck_assert_int_eq(fr_file_replace_parts(in_dir("f"), NULL, 0, NULL), FR_OK);
    check_content(in_dir("f"), FR_STR_LIT(""));
    ck_assert_int_eq(entries(dir), 1);
    ck_assert_int_eq(stat(in_dir("f"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0133, 0); /* a plain file: not executable, others do not write */
}
END_TEST

/* The reader of the old file keeps it: the new one is another inode. */
START_TEST(replace__open_reader__keeps_the_old_bytes)
{
    char buf[8] = "";
    int fd;
    ck_assert_int_eq(fr_file_replace(in_dir("f"), FR_STR_LIT("old"), NULL), FR_OK);
    fd = open(in_dir("f"), O_RDONLY);
    ck_assert_int_eq(fr_file_replace(in_dir("f"), FR_STR_LIT("new"), NULL), FR_OK);
    ck_assert_int_eq(read(fd, buf, sizeof(buf) - 1), 3);
    ck_assert_str_eq(buf, "old");
    (void)close(fd);
}
END_TEST

/* Where writing is cut short (as on a full disk): an error, the old file, no temporary one. */
START_TEST(replace__no_room__old_file_stays)
{
    static char big[1 << 20];
    struct rlimit lim;
    struct fr_fault f;
    ck_assert_int_eq(fr_file_replace(in_dir("f"), FR_STR_LIT("old"), NULL), FR_OK);
    (void)signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &lim), 0);
    lim.rlim_cur = 70000; /* the first write is short, the second fails with EFBIG */
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &lim), 0);
    memset(&f, 0, sizeof(f));
    ck_assert_int_eq(fr_file_replace(in_dir("f"), (struct fr_str){big, sizeof(big)}, &f), FR_EIO);
    ck_assert_int_eq(f.err, FR_EIO);
    ck_assert_ptr_nonnull(strstr(f.msg, strerror(EFBIG)));
    lim.rlim_cur = lim.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &lim), 0);
    check_content(in_dir("f"), FR_STR_LIT("old"));
    ck_assert_int_eq(entries(dir), 1);
}
END_TEST

START_TEST(replace__missing_folder_or_folder_in_the_way__refused)
{
    struct fr_fault f;
    char longer[5000];
    ck_assert_int_eq(fr_file_replace(in_dir("absent/f"), FR_STR_LIT("x"), &f), FR_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(f.msg, "absent/f"));
    ck_assert_int_eq(mkdir(in_dir("sub"), 0700), 0);
    ck_assert_int_eq(mkdir(in_dir("sub/inner"), 0700), 0);
    ck_assert_int_eq(fr_file_replace(in_dir("sub"), FR_STR_LIT("x"), &f), FR_EIO);
    ck_assert_int_eq(entries(dir), 1); /* no temporary file left beside it */
    ck_assert_int_eq(fr_file_replace(in_dir("sub/inner/f/g"), FR_STR_LIT("x"), &f), FR_ENOTFOUND);
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    ck_assert_int_eq(fr_file_replace(longer, FR_STR_LIT("x"), &f), FR_EIO);
    ck_assert_int_eq(mkdir(in_dir("locked"), 0700), 0);
    ck_assert_int_eq(fr_file_replace(in_dir("locked/f"), FR_STR_LIT("old"), NULL), FR_OK);
    ck_assert_int_eq(chmod(in_dir("locked"), 0500), 0);
    if (geteuid() != 0) { /* root writes everywhere */
        ck_assert_int_eq(fr_file_replace(in_dir("locked/f"), FR_STR_LIT("new"), &f), FR_EIO);
        check_content(in_dir("locked/f"), FR_STR_LIT("old"));
    }
    ck_assert_int_eq(chmod(in_dir("locked"), 0700), 0);
}
END_TEST

/* A name somebody left or planted beside the target is neither followed nor overwritten. */
START_TEST(replace__planted_link_at_the_old_temporary_name__not_followed)
{
    char tmp[1200];
    ck_assert_int_eq(fr_file_replace(in_dir("victim"), FR_STR_LIT("precious"), NULL), FR_OK);
    snprintf(tmp, sizeof(tmp), "%s.tmp.%ld", in_dir("f"), (long)getpid());
    ck_assert_int_eq(symlink(in_dir("victim"), tmp), 0);
    for (int i = 0; i < 3; i++) {
        char numbered[1300];
        snprintf(numbered, sizeof(numbered), "%s.%d", tmp, i);
        ck_assert_int_eq(symlink(in_dir("victim"), numbered), 0);
    }
    ck_assert_int_eq(fr_file_replace(in_dir("f"), FR_STR_LIT("new"), NULL), FR_OK);
    check_content(in_dir("f"), FR_STR_LIT("new"));
    check_content(in_dir("victim"), FR_STR_LIT("precious"));
}
END_TEST

struct writer {
    char path[1024];
    char fill;
    int bad;
};

static void *replace_often(void *arg)
{
    struct writer *w = arg;
    static const size_t size = 60000;
    char *data = malloc(size);
    memset(data, w->fill, size);
    for (int i = 0; i < 25; i++) {
        char *got = NULL;
        size_t n = 0;
        if (fr_file_replace(w->path, (struct fr_str){data, size}, NULL) != FR_OK)
            w->bad++;
        if (fr_file_read(w->path, size, &got, &n, NULL) != FR_OK || n != size ||
            memcmp(got, got + 1, n - 1) != 0)
            w->bad++;
        fr_free(got);
    }
    free(data);
    return NULL;
}

/* Several threads replace the same file: each reader sees one whole version of one of them. */
START_TEST(replace__same_file_from_threads__always_one_whole_version)
{
    enum { THREADS = 4 };
    pthread_t t[THREADS];
    static struct writer w[THREADS];
    for (int i = 0; i < THREADS; i++) {
        snprintf(w[i].path, sizeof(w[i].path), "%s/f", dir);
        w[i].fill = (char)('a' + i);
        ck_assert_int_eq(pthread_create(&t[i], NULL, replace_often, &w[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
        ck_assert_int_eq(w[i].bad, 0);
    }
    ck_assert_int_eq(entries(dir), 1);
}
END_TEST

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
    (void)sig;
    alarms++;
}

/* A timer that interrupts system calls all the time changes nothing. */
START_TEST(read_and_replace__signals_all_the_time__unharmed)
{
    static char big[3 << 20];
    struct itimerval often = {{0, 200}, {0, 200}}, off = {{0, 0}, {0, 0}};
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_alarm; /* no SA_RESTART */
    ck_assert_int_eq(sigaction(SIGALRM, &sa, NULL), 0);
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i % 251);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (int i = 0; i < 10 || alarms < 20; i++) {
        ck_assert_int_eq(fr_file_replace(in_dir("f"), (struct fr_str){big, sizeof(big)}, NULL), FR_OK);
        check_content(in_dir("f"), (struct fr_str){big, sizeof(big)});
    }
    ck_assert_int_eq(setitimer(ITIMER_REAL, &off, NULL), 0);
    ck_assert_int_eq(entries(dir), 1);
}
END_TEST

START_TEST(same__one_file_by_two_names__found)
{
    char a[512];

    ck_assert_int_eq(fr_file_replace(in_dir("a"), FR_STR_LIT("x"), NULL), FR_OK);
    (void)snprintf(a, sizeof(a), "%s", in_dir("a"));
    ck_assert(fr_file_same(a, in_dir("./a")));
    ck_assert_int_eq(symlink(a, in_dir("link")), 0);
    ck_assert(fr_file_same(a, in_dir("link")));
    ck_assert(!fr_file_same(a, in_dir("absent")));
    ck_assert_int_eq(fr_file_replace(in_dir("b"), FR_STR_LIT("x"), NULL), FR_OK);
    ck_assert(!fr_file_same(a, in_dir("b")));
    ck_assert(fr_file_same("/nowhere/x", "/nowhere/x"));
    ck_assert(!fr_file_same("/nowhere/x", "/nowhere/y"));
    ck_assert(!fr_file_same("/dev/null", "/dev/null")); /* nothing can be lost there */
}
END_TEST

START_TEST(mkdirs__any_form_of_path__there_afterwards)
{
    const char *const paths[] = {"a", "a/b/c", "a/b/c", "x//y///z/", "a/./q/../r"};
    struct fr_fault f;
    struct stat st;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        ck_assert_msg(fr_file_mkdirs(in_dir(paths[i]), &f) == FR_OK, "%s", f.msg);
        ck_assert_int_eq(stat(in_dir(paths[i]), &st), 0);
        ck_assert(S_ISDIR(st.st_mode));
    }
    ck_assert_int_eq(fr_file_replace(in_dir("file"), FR_STR_LIT("x"), NULL), FR_OK);
    ck_assert_int_ne(fr_file_mkdirs(in_dir("file"), &f), FR_OK);
    ck_assert_int_ne(fr_file_mkdirs(in_dir("file/sub"), &f), FR_OK);
    ck_assert_ptr_nonnull(strstr(f.msg, "file"));
    ck_assert_int_ne(fr_file_mkdirs("", &f), FR_OK);
    check_content(in_dir("file"), FR_STR_LIT("x"));
}
END_TEST

START_TEST(remove_tree__files_folders_links__gone_and_nothing_else)
{
    struct stat st;
    struct fr_fault f;
    char deep[900] = "t";
    ck_assert_int_eq(fr_file_mkdirs(in_dir("keep/inner"), NULL), FR_OK);
    ck_assert_int_eq(fr_file_replace(in_dir("keep/inner/f"), FR_STR_LIT("kept"), NULL), FR_OK);
    while (strlen(deep) < 800)
        memcpy(deep + strlen(deep), "/deeper", 8);
    ck_assert_int_eq(fr_file_mkdirs(in_dir(deep), NULL), FR_OK);
    for (int i = 0; i < 30; i++) {
        char name[40];
        snprintf(name, sizeof(name), "t/deeper/f%d", i);
        ck_assert_int_eq(fr_file_replace(in_dir(name), FR_STR_LIT("x"), NULL), FR_OK);
    }
    ck_assert_int_eq(symlink(in_dir("keep"), in_dir("t/link")), 0);
    ck_assert_int_eq(symlink("nowhere", in_dir("t/dangling")), 0);
    ck_assert_int_eq(mkfifo(in_dir("t/fifo"), 0600), 0);
    ck_assert_msg(fr_file_remove_tree(in_dir("t"), &f) == FR_OK, "%s", f.msg);
    ck_assert_int_ne(lstat(in_dir("t"), &st), 0);
    check_content(in_dir("keep/inner/f"), FR_STR_LIT("kept")); /* links are not followed */
    ck_assert_int_eq(symlink(in_dir("keep"), in_dir("link")), 0);
    ck_assert_int_eq(fr_file_remove_tree(in_dir("link"), NULL), FR_OK);
    ck_assert_int_eq(fr_file_remove_tree(in_dir("keep/inner/f"), NULL), FR_OK); /* a file */
    ck_assert_int_eq(fr_file_remove_tree(in_dir("keep/"), NULL), FR_OK);        /* slash at the end */
    ck_assert_int_eq(fr_file_remove_tree(in_dir("never"), NULL), FR_OK);        /* nothing to do */
    ck_assert_int_ne(fr_file_remove_tree("", &f), FR_OK);
    ck_assert_int_eq(entries(dir), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/file");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, read__sizes_around_the_limit__exact);
    tcase_add_test(tc, read__missing_folder_fifo_device__refused_with_the_path);
    tcase_add_test(tc, read__size_not_known_beforehand__whole_or_too_large);
    tcase_add_test(tc, read__allocation_fails__enomem_and_nothing_leaks);
    tcase_add_test(tc, replace__again_and_again__whole_new_content_and_no_rest);
    tcase_add_test(tc, replace__open_reader__keeps_the_old_bytes);
    tcase_add_test(tc, replace__no_room__old_file_stays);
    tcase_add_test(tc, replace__missing_folder_or_folder_in_the_way__refused);
    tcase_add_test(tc, replace__planted_link_at_the_old_temporary_name__not_followed);
    tcase_add_test(tc, replace__same_file_from_threads__always_one_whole_version);
    tcase_add_test(tc, read_and_replace__signals_all_the_time__unharmed);
    tcase_add_test(tc, same__one_file_by_two_names__found);
    tcase_add_test(tc, mkdirs__any_form_of_path__there_afterwards);
    tcase_add_test(tc, remove_tree__files_folders_links__gone_and_nothing_else);
    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
