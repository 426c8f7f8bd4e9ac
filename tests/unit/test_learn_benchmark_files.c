/* The files of ncf by their endings: any name, pairs before ratings, none and several refused. */
#include "daemon/learn/benchmark_files.h"

#include <string.h>

#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

static char *dir;
static struct fr_benchmark_files got;
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

static void put(const char *name)
{
    char path[512];

    ck_assert(tmpdir_path(dir, name, path, sizeof(path)));
    ck_assert(tmpdir_write(path, "x", 1));
}

START_TEST(find__a_set_of_any_name__pairs_before_ratings)
{
    put(".test.negative"); /* no name at all: not one of them */
    put("ml-1m.test.negative.gz");
    put("pinterest-20.test.negative");
    put("pinterest-20.test.rating");
    put("ml-1m.train.pairs");
    ck_assert_int_eq(fr_benchmark_files_find(dir, &got, &f), FR_OK);
    ck_assert_str_eq(got.test, "pinterest-20.test.negative");
    ck_assert_str_eq(got.train, "pinterest-20.train.rating"); /* not there: who reads it names it */
    put("pinterest-20.train.rating");
    ck_assert_int_eq(fr_benchmark_files_find(dir, &got, &f), FR_OK);
    ck_assert_str_eq(got.train, "pinterest-20.train.rating");
    put("pinterest-20.train.pairs");
    ck_assert_int_eq(fr_benchmark_files_find(dir, &got, &f), FR_OK);
    ck_assert_str_eq(got.train, "pinterest-20.train.pairs");
}
END_TEST

START_TEST(find__none_or_several__refused_by_name)
{
    ck_assert_int_eq(fr_benchmark_files_find(dir, &got, &f), FR_ENOTFOUND);
    ck_assert_msg(strstr(f.msg, "no *.test.negative") != NULL, "%s", f.msg);
    put("a.test.negative");
    put("b.test.negative");
    ck_assert_int_eq(fr_benchmark_files_find(dir, &got, &f), FR_EINVAL);
    ck_assert_msg(strstr(f.msg, "a.test.negative") != NULL && strstr(f.msg, "b.test.negative") != NULL, "%s", f.msg);
    ck_assert_int_eq(fr_benchmark_files_find("/nowhere at all", &got, &f), FR_ENOTFOUND);
}
END_TEST

/* The longest name there can be: that of the training file is shorter. */
START_TEST(find__the_longest_name__whole)
{
    char name[FR_BENCHMARK_FILE];

    memset(name, 'n', sizeof(name));
    memcpy(name + sizeof(name) - sizeof(".test.negative"), ".test.negative", sizeof(".test.negative"));
    put(name);
    ck_assert_int_eq(fr_benchmark_files_find(dir, &got, &f), FR_OK);
    ck_assert_str_eq(got.test, name);
    ck_assert_uint_eq(strlen(got.train), sizeof(name) - 1 - strlen(".test.negative") + strlen(".train.rating"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn/benchmark_files");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, find__a_set_of_any_name__pairs_before_ratings);
    tcase_add_test(tc, find__none_or_several__refused_by_name);
    tcase_add_test(tc, find__the_longest_name__whole);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
