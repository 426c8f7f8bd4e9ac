/* Where a bundle may go, asked before a training: new places, bundles, what must stay; as the writer says it. */
#include "daemon/learn/train_out.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

static char *dir;
static char at[512];
static struct fr_fault f;

static void setup(void)
{
    dir = tmpdir_make();
    ck_assert_ptr_nonnull(dir);
    memset(&f, 0, sizeof(f));
}

static void teardown(void)
{
    tmpdir_free(dir);
}

static const char *in(const char *name)
{
    ck_assert(tmpdir_path(dir, name, at, sizeof(at)));
    return at;
}

static void put(const char *name)
{
    ck_assert(tmpdir_write(in(name), "x", 1));
}

START_TEST(check__new_or_a_bundle__taken_and_untouched)
{
    struct stat st;

    ck_assert_int_eq(fr_train_out_check(in("a/b/c"), &f), FR_OK);
    ck_assert_int_ne(stat(in("a"), &st), 0);
    ck_assert_int_eq(mkdir(in("m"), 0755), 0);
    ck_assert_int_eq(fr_train_out_check(in("m"), &f), FR_OK); /* empty */
    put("m/manifest.json");
    put("m/weights.safetensors");
    ck_assert_int_eq(fr_train_out_check(in("m"), &f), FR_OK);
    ck_assert_int_eq(fr_train_out_check(in("m///"), &f), FR_OK);
    ck_assert_int_eq(symlink("m", in("link")), 0);
    ck_assert_int_eq(fr_train_out_check(in("link"), &f), FR_OK);
    ck_assert_int_eq(chdir(dir), 0);
    ck_assert_int_eq(fr_train_out_check("new", &f), FR_OK);
}
END_TEST

START_TEST(check__other_things__refused_by_name)
{
    static char longest[5000];

    ck_assert_int_eq(mkdir(in("m"), 0755), 0);
    put("m/manifest.json");
    put("m/notes");
    ck_assert_int_eq(fr_train_out_check(in("m/"), &f), FR_EREFUSED);
    ck_assert_msg(strstr(f.msg, "/m holds notes, so it is no bundle and is not replaced") != NULL, "%s", f.msg);
    ck_assert_int_eq(fr_train_out_check(in("m/notes"), &f), FR_EIO);
    ck_assert_int_eq(fr_train_out_check(in("m/notes/x"), &f), FR_EIO);
    ck_assert_int_eq(symlink("gone", in("link")), 0);
    ck_assert_int_eq(fr_train_out_check(in("link"), &f), FR_EREFUSED);
    ck_assert_msg(strstr(f.msg, "link to nowhere") != NULL, "%s", f.msg);
    ck_assert_int_eq(fr_train_out_check("", &f), FR_EINVAL);
    memset(longest, 'a', sizeof(longest) - 1);
    ck_assert_int_eq(fr_train_out_check(longest, &f), FR_EINVAL);
}
END_TEST

/* In a process of its own: root may write everywhere, so it becomes somebody else. */
START_TEST(check__no_right_to_write__refused)
{
    int status = 0;
    pid_t child;

    ck_assert_int_eq(mkdir(in("closed"), 0555), 0);
    ck_assert_int_eq(chmod(dir, 0755), 0);
    child = fork();
    if (child == 0) {
        if (geteuid() == 0 && setuid(65534) != 0)
            _exit(2);
        _exit(fr_train_out_check(in("closed/new/m"), &f) == FR_EIO && strstr(f.msg, "cannot write to") != NULL ? 0 : 1);
    }
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn/train_out");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, check__new_or_a_bundle__taken_and_untouched);
    tcase_add_test(tc, check__other_things__refused_by_name);
    tcase_add_test(tc, check__no_right_to_write__refused);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
