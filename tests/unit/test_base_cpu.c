/* The dispatch switch: down is allowed, up and nonsense are said at start and change nothing. */
#include "daemon/base/cpu.h"

#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {"baseline", "avx2", "avx512"};

START_TEST(level_name__each__what_the_switch_reads)
{
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(fr_cpu_level_name((enum fr_cpu_level)i), names[i]);
    ck_assert_str_eq(fr_cpu_level_name((enum fr_cpu_level)3), "?");
    ck_assert_str_eq(fr_cpu_level_name((enum fr_cpu_level)(-1)), "?");
}
END_TEST

START_TEST(level__forced__at_or_below_what_there_is)
{
    enum fr_cpu_level have = fr_cpu_detected();
    unsetenv("FRESHET_CPU");
    ck_assert_int_eq(fr_cpu_level(), have);
    ck_assert_int_eq(fr_cpu_check(NULL), FR_OK);
    setenv("FRESHET_CPU", "", 1); /* empty = not set */
    ck_assert_int_eq(fr_cpu_level(), have);
    ck_assert_int_eq(fr_cpu_check(NULL), FR_OK);
    for (int i = 0; i < 3; i++) {
        struct fr_fault f;
        memset(&f, 0, sizeof(f));
        setenv("FRESHET_CPU", names[i], 1);
        if (i <= (int)have) {
            ck_assert_int_eq(fr_cpu_level(), i);
            ck_assert_int_eq(fr_cpu_check(&f), FR_OK);
            ck_assert_int_eq(f.err, FR_OK);
        } else {
            ck_assert_int_eq(fr_cpu_level(), have); /* never above, even unchecked */
            ck_assert_int_eq(fr_cpu_check(&f), FR_EINVAL);
            ck_assert_ptr_nonnull(strstr(f.msg, names[i]));
            ck_assert_ptr_nonnull(strstr(f.msg, names[have]));
        }
    }
    ck_assert_int_eq(fr_cpu_detected(), have); /* the switch does not change what there is */
    unsetenv("FRESHET_CPU");
}
END_TEST

START_TEST(check__nonsense__refused_with_the_choices)
{
    const char *const bad[] = {"AVX2", "avx", "sse4", " avx2", "baseline ", "2"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fr_fault f;
        memset(&f, 0, sizeof(f));
        setenv("FRESHET_CPU", bad[i], 1);
        ck_assert_int_eq(fr_cpu_check(&f), FR_EINVAL);
        for (int k = 0; k < 3; k++)
            ck_assert_ptr_nonnull(strstr(f.msg, names[k]));
        ck_assert_ptr_nonnull(strstr(f.msg, "FRESHET_CPU"));
        ck_assert_int_eq(fr_cpu_level(), fr_cpu_detected());
    }
    unsetenv("FRESHET_CPU");
}
END_TEST

#if defined(__x86_64__) && defined(__GNUC__)
/* The compiler's own detection as the second opinion. */
START_TEST(detected__gcc_builtin__agrees)
{
    bool avx2, avx512;
    __builtin_cpu_init();
    avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    ck_assert_int_eq(fr_cpu_detected(), avx512 ? FR_CPU_AVX512 : avx2 ? FR_CPU_AVX2 : FR_CPU_BASELINE);
}
END_TEST
#else
START_TEST(detected__gcc_builtin__agrees)
{
    ck_assert_int_eq(fr_cpu_detected(), FR_CPU_BASELINE);
}
END_TEST
#endif

static void *detect(void *arg)
{
    *(enum fr_cpu_level *)arg = fr_cpu_detected();
    return NULL;
}

START_TEST(detected__many_threads_first__all_the_same)
{
    pthread_t t[8];
    enum fr_cpu_level got[8];
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, detect, &got[i]), 0);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(got[i], fr_cpu_detected());
}
END_TEST

START_TEST(count__capped__between_one_and_what_is_online)
{
    ck_assert_int_eq(fr_cpu_count(1), 1);
    ck_assert_int_eq(fr_cpu_count(1 << 20), (int)sysconf(_SC_NPROCESSORS_ONLN));
}
END_TEST

START_TEST(openblas_core__detected_level__names_a_kernel_that_runs)
{
    const char *core = fr_cpu_openblas_core();
    if (fr_cpu_detected() == FR_CPU_AVX512)
        ck_assert_str_eq(core, "SkylakeX");
    else if (fr_cpu_detected() == FR_CPU_AVX2)
        ck_assert(strcmp(core, "Haswell") == 0 || strcmp(core, "Zen") == 0);
    else
        ck_assert_ptr_null(core);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/cpu");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, level_name__each__what_the_switch_reads);
    tcase_add_test(tc, level__forced__at_or_below_what_there_is);
    tcase_add_test(tc, check__nonsense__refused_with_the_choices);
    tcase_add_test(tc, detected__gcc_builtin__agrees);
    tcase_add_test(tc, detected__many_threads_first__all_the_same);
    tcase_add_test(tc, count__capped__between_one_and_what_is_online);
    tcase_add_test(tc, openblas_core__detected_level__names_a_kernel_that_runs);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
