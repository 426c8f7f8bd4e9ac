/* The check of OpenBLAS' kernels: its decision, and real restarts of this very program with a wrong
 * one. */
#include "models/gemm_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/cpu.h"
#include "models/gemm.h"
#include "tests/support/model_fixture.h"

START_TEST(better__lower_equal_higher_unknown__as_stated)
{
    ck_assert_str_eq(fr_gemm_core_better("Prescott", "SkylakeX"), "SkylakeX");
    ck_assert_str_eq(fr_gemm_core_better("Sandybridge", "Zen"), "Zen");
    ck_assert_str_eq(fr_gemm_core_better("Haswell", "SkylakeX"), "SkylakeX");
    ck_assert_ptr_null(fr_gemm_core_better("SkylakeX", "SkylakeX"));
    ck_assert_ptr_null(fr_gemm_core_better("SapphireRapids", "SkylakeX"));
    ck_assert_ptr_null(fr_gemm_core_better("Haswell", "Zen"));
    ck_assert_ptr_null(fr_gemm_core_better("Prescott", NULL));
    ck_assert_ptr_null(fr_gemm_core_better("Futurelake", "SkylakeX"));
    ck_assert_int_eq(fr_gemm_core_rank("Futurelake"), -1);
    /* what this machine reports is in the table, or it is not x86-64 */
    ck_assert(fr_cpu_openblas_core() == NULL || fr_gemm_core_rank(fr_cpu_openblas_core()) >= 2);
}
END_TEST

/* Runs this program as a child that calls fr_gemm_core_ensure() and prints core and state. */
static void child(const char *environment, char core[64], char state[64])
{
    char self[512], command[800];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    ck_assert_int_gt(n, 0);
    self[n] = '\0';
    (void)snprintf(command,
                   sizeof(command),
                   "env -u FRESHET_OPENBLAS_RESTARTED %s '%s' child with args",
                   environment,
                   self);
    FILE *p = popen(command, "r");
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(fscanf(p, "%63s %63s", core, state), 2);
    ck_assert_int_eq(pclose(p), 0);
}

START_TEST(ensure__forced_wrong_kernel__restarted_once_with_the_right_one)
{
    char core[64], state[64];
    const char *want = fr_cpu_openblas_core();
    child("OPENBLAS_CORETYPE=Prescott", core, state);
    if (want == NULL) {
        ck_assert_str_eq(state, "right");
        return;
    }
    ck_assert_str_eq(state, "restarted");
    ck_assert_str_eq(core, want);
}
END_TEST

START_TEST(ensure__right_kernel_or_told_to_keep__no_restart)
{
    char core[64], state[64], set[64];
    const char *want = fr_cpu_openblas_core();
    if (want == NULL)
        return;
    (void)snprintf(set, sizeof(set), "OPENBLAS_CORETYPE=%s", want);
    child(set, core, state);
    ck_assert_str_eq(state, "right");
    ck_assert_str_eq(core, want);
    child("FRESHET_OPENBLAS=keep OPENBLAS_CORETYPE=Prescott", core, state);
    ck_assert_str_eq(state, "kept");
    ck_assert_str_eq(core, "Prescott");
    child("FRESHET_OPENBLAS_RESTARTED=1 OPENBLAS_CORETYPE=Prescott", core, state);
    ck_assert_str_eq(state, "lower"); /* a second restart never */
}
END_TEST

static int child_main(int argc, char **argv)
{
    enum fr_gemm_core_state s = fr_gemm_core_ensure(argv);
    if (argc != 4 || strcmp(argv[3], "args") != 0)
        return 1; /* the restart must keep the arguments */
    return printf("%s %s\n", fr_gemm_core(), fr_gemm_core_state_name(s)) > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "child") == 0)
        return child_main(argc, argv);
    Suite *s = suite_create("models/gemm_core");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, better__lower_equal_higher_unknown__as_stated);
    tcase_add_test(tc, ensure__forced_wrong_kernel__restarted_once_with_the_right_one);
    tcase_add_test(tc, ensure__right_kernel_or_told_to_keep__no_restart);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
