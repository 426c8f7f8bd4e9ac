/* Rows of cells come back as they were added. */
#include "daemon/learn/cell_rows.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/rng.h"

#define ROWS 3000
#define N 37

static struct fr_cell cell(struct fr_rng *r)
{
    uint64_t k = fr_rng_below(r, 4);

    return (struct fr_cell){k < 2 ? 0 : fr_rng_u64(r), k == 0 || k == 2 ? 0.0f : (float)fr_rng_f64(r)};
}

START_TEST(rows_come_back)
{
    struct fr_cell want[N], got[N];
    struct fr_cell_rows rows = {0};
    struct fr_rng r;

    fr_rng_seed(&r, 7);
    for (int i = 0; i < ROWS; i++) {
        for (int k = 0; k < N; k++)
            want[k] = cell(&r);
        ck_assert_int_eq(fr_cell_rows_add(&rows, want, N), FR_OK);
    }
    fr_rng_seed(&r, 7);
    for (size_t i = 0; i < ROWS; i++) {
        fr_cell_rows_get(&rows, i, got, N);
        for (int k = 0; k < N; k++) {
            want[k] = cell(&r);
            ck_assert_uint_eq(got[k].id, want[k].id);
            ck_assert_double_eq((double)got[k].x, (double)want[k].x);
        }
    }
    fr_cell_rows_done(&rows);
    ck_assert_uint_eq(rows.n, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn_cell_rows");
    TCase *tc = tcase_create("rows");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, rows_come_back);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
