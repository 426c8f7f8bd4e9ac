/* The progress line and the table: never wider than the terminal, the bar gives way first, rates and
 * times as people read them; columns line up whatever stands in them. */
#include "daemon/cli/progress.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/cli/label.h"
#include "daemon/cli/table.h"

static char line[FR_PROGRESS_LINE];

static struct fr_progress epoch12(void)
{
    return (struct fr_progress){.what = "epoch 12/50", .unit = "rows", .note = "loss 0.1234 auc 0.97812", .total = 1000000};
}

START_TEST(line__80_columns__everything)
{
    struct fr_progress p = epoch12();

    fr_progress_line(&p, 500000, 0.4, 80, line);
    ck_assert_str_eq(line, "epoch 12/50 [#######........] 50% loss 0.1234 auc 0.97812 1.25M rows/s ETA 0:00");
    ck_assert_uint_le(strlen(line), 79);
    fr_progress_line(&p, 500000, 0.4, 120, line);
    ck_assert_ptr_nonnull(strstr(line, "[###############...............]"));
    fr_progress_line(&p, 500000, 0.4, 70, line); /* no room for a bar */
    ck_assert_str_eq(line, "epoch 12/50 50% loss 0.1234 auc 0.97812 1.25M rows/s ETA 0:00");
}
END_TEST

START_TEST(line__any_width__never_wider)
{
    struct fr_progress p = epoch12();

    for (size_t columns = 0; columns < 200; columns++)
        for (uint64_t done = 0; done <= 1200000; done += 100000) {
            fr_progress_line(&p, done, 3.7, columns, line);
            ck_assert_uint_lt(strlen(line), columns < 2 ? 2 : columns);
        }
}
END_TEST

START_TEST(line__rates_and_times)
{
    static const struct {
        uint64_t done, total;
        double seconds;
        const char *has;
    } t[] = {{10, 100, 10, " 1.00 rows/s ETA 1:30"},
             {999600, 1999200, 1, " 1.00M rows/s ETA 0:01"},
             {123456, 1000000, 1, " 123k rows/s ETA 0:07"},
             {12345, 100000, 1, " 12.3k rows/s ETA 0:07"},
             {1, 3725, 1, " ETA 1:02:04"},
             {1, UINT64_MAX, 1, " ETA 99:59:59"},
             {100, 100, 1, " 100% 100 rows/s ETA 0:00"},
             {5000000000, 10000000000, 1, " 5.00G rows/s"},
             {150, 100, 1, " 100% "}};
    struct fr_progress p = {.what = "x", .unit = "rows"};

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        p.total = t[i].total;
        fr_progress_line(&p, t[i].done, t[i].seconds, 120, line);
        ck_assert_msg(strstr(line, t[i].has) != NULL, "%s: %s", t[i].has, line);
    }
    p.total = 100;
    fr_progress_line(&p, 0, 5, 80, line); /* nothing done: nothing to promise */
    ck_assert_ptr_null(strstr(line, "ETA"));
    fr_progress_line(&p, 50, 0.1, 80, line); /* too early */
    ck_assert_ptr_null(strstr(line, "/s"));
    p.total = 0; /* not known */
    fr_progress_line(&p, 5000, 2, 80, line);
    ck_assert_str_eq(line, "x 5000 rows 2.50k rows/s");
}
END_TEST

START_TEST(table__columns_line_up)
{
    struct fr_table t = {.columns = 3};
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);

    fr_table_printf(&t, "name");
    fr_table_printf(&t, "auc");
    fr_table_printf(&t, "%s", "");
    fr_table_cell(&t, FR_STR_LIT("\xe6\xb7\xb1\x1b[2J"), 0);
    fr_table_printf(&t, "%.3f", .5);
    fr_table_printf(&t, "worse");
    fr_table_cell(&t, FR_STR_LIT("0123456789"), 5);
    fr_table_printf(&t, "%.3f", 12.0);
    fr_table_printf(&t, "%s", "");
    ck_assert_int_eq(fr_table_print(&t, 1u | 4u, f), FR_OK);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_str_eq(text, "name       auc  \n"
                           "\xe6\xb7\xb1\xef\xbf\xbd[2J   0.500  worse\n"
                           "01\xe2\x80\xa6" "89   12.000  \n");
    free(text);
    fr_table_done(&t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli/progress");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, line__80_columns__everything);
    tcase_add_test(tc, line__any_width__never_wider);
    tcase_add_test(tc, line__rates_and_times);
    tcase_add_test(tc, table__columns_line_up);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
