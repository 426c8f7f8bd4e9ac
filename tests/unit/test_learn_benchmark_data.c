/* The benchmark layouts: what is read, and what is refused with which line. */
#include "daemon/learn/benchmark_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "tests/support/model_fixture.h"

START_TEST(rows__two_lines_with_crlf__ids_and_labels)
{
    struct fr_benchmark_rows r = {.n = 0};
    struct fr_fault f = {.err = FR_OK};
    ck_assert_int_eq(
        fr_benchmark_read_rows(FR_STR_LIT("label,user,item\r\n1,5,7\r\n\r\n0,6,67108863"), "a.csv", &r, &f),
        FR_OK);
    ck_assert_uint_eq(r.n, 2);
    ck_assert_uint_eq(r.columns, 2);
    ck_assert_str_eq(r.name[0], "user");
    ck_assert_str_eq(r.name[1], "item");
    ck_assert_uint_eq(r.label[0], 1);
    ck_assert_uint_eq(r.label[1], 0);
    ck_assert_uint_eq(r.id[0], 5);
    ck_assert_uint_eq(r.id[1], 7);
    ck_assert_uint_eq(r.id[3], 67108863);
    fr_benchmark_rows_done(&r);
}
END_TEST

typedef enum fr_err (*lists_fn)(struct fr_str, const char *, struct fr_benchmark_lists *, struct fr_fault *);

static const struct {
    const char *text;
    enum fr_err e;
    const char *message;
} bad_rows[] = {
    {"", FR_EINVAL, "x.csv: no header"},
    {"label,a\n", FR_EINVAL, "x.csv: no rows"},
    {"user,item\n1,2\n", FR_ESYNTAX, "x.csv:1: the header does not begin with `label`"},
    {"label\n1\n", FR_ESYNTAX, "x.csv:1: the header has no column after `label`"},
    {"label,a,a\n1,2,3\n", FR_EDUPLICATE, "x.csv:1: a column name stands twice"},
    {"label,a,,b\n", FR_ESYNTAX, "x.csv:1: a column name is empty or longer than 47 bytes"},
    {"label,A\n", FR_ESYNTAX, "x.csv:1: a column name has other bytes than a-z, 0-9 and _"},
    {"label,a\n2,1\n", FR_ESYNTAX, "x.csv:2: the label is neither 0 nor 1"},
    {"label,a\n1,1\n,1\n", FR_ESYNTAX, "x.csv:3: the label is neither 0 nor 1"},
    {"label,a\n1,-1\n", FR_ESYNTAX, "x.csv:2: an id is not a whole number"},
    {"label,a\n1,67108864\n", FR_ERANGE, "x.csv:2: an id is 67108864 or more"},
    {"label,a\n1,99999999999999999999999\n", FR_ERANGE, "x.csv:2: an id is 67108864 or more"},
    {"label,a,b\n1,1\n", FR_ESYNTAX, "x.csv:2: fewer columns than the header"},
    {"label,a\n1,1,2\n", FR_ESYNTAX, "x.csv:2: more columns than the header"},
};

START_TEST(rows__malformed__path_line_and_reason)
{
    struct fr_benchmark_rows r = {.n = 0};
    struct fr_fault f = {.err = FR_OK};
    enum fr_err e = fr_benchmark_read_rows(fr_str_z(bad_rows[_i].text), "x.csv", &r, &f);
    ck_assert_int_eq(e, bad_rows[_i].e);
    ck_assert_str_eq(f.msg, bad_rows[_i].message);
    fr_benchmark_rows_done(&r);
}
END_TEST

START_TEST(rows__sixty_five_columns__refused)
{
    char text[400] = "label";
    struct fr_benchmark_rows r = {.n = 0};
    for (int i = 0; i < 65; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), ",c%d", i);
    ck_assert_int_eq(fr_benchmark_read_rows(fr_str_z(text), "x", &r, NULL), FR_ETOOLARGE);
    fr_benchmark_rows_done(&r);
}
END_TEST

START_TEST(pairs__more_columns__left_unread)
{
    struct fr_benchmark_lists l = {.n = 0};
    ck_assert_int_eq(fr_benchmark_read_pairs(FR_STR_LIT("0\t25\t5\t978824351\n1\t133\n"), "p", &l, NULL), FR_OK);
    ck_assert_uint_eq(l.n, 2);
    ck_assert_uint_eq(l.user[1], 1);
    ck_assert_uint_eq(l.item[0], 25);
    ck_assert_uint_eq(l.item[l.start[1]], 133);
    fr_benchmark_lists_done(&l);
}
END_TEST

START_TEST(negatives__test_item__last_of_its_row)
{
    struct fr_benchmark_lists l = {.n = 0};
    ck_assert_int_eq(fr_benchmark_read_negatives(FR_STR_LIT("(3,25)\t1064\t174\n(4,9)\n"), "n", &l, NULL), FR_OK);
    ck_assert_uint_eq(l.n, 2);
    ck_assert_uint_eq(l.user[0], 3);
    ck_assert_uint_eq(l.start[1], 3);
    ck_assert_uint_eq(l.item[0], 1064);
    ck_assert_uint_eq(l.item[1], 174);
    ck_assert_uint_eq(l.item[2], 25);
    ck_assert_uint_eq(l.start[2], 4);
    ck_assert_uint_eq(l.item[3], 9);
    fr_benchmark_lists_done(&l);
}
END_TEST

START_TEST(lists__no_items_and_many_rows__kept)
{
    struct fr_benchmark_lists l = {.n = 0};
    char *text = malloc(3000 * 24 + 1);
    size_t n = 0;
    for (int i = 0; i < 3000; i++)
        n += (size_t)snprintf(text + n, 24, i % 7 == 0 ? "%d \n" : "%d %d %d\n", i, i + 1, i + 2);
    ck_assert_int_eq(fr_benchmark_read_lists((struct fr_str){text, n}, "l", &l, NULL), FR_OK);
    ck_assert_uint_eq(l.n, 3000);
    for (uint32_t i = 0; i < 3000; i++) {
        ck_assert_uint_eq(l.user[i], i);
        ck_assert_uint_eq(l.start[i + 1] - l.start[i], i % 7 == 0 ? 0 : 2);
        if (i % 7 != 0)
            ck_assert_uint_eq(l.item[l.start[i] + 1], i + 2);
    }
    fr_benchmark_lists_done(&l);
    free(text);
}
END_TEST

static const struct {
    lists_fn read;
    const char *text;
    enum fr_err e;
    const char *message;
} bad_lists[] = {
    {fr_benchmark_read_pairs, "", FR_EINVAL, "y: no rows"},
    {fr_benchmark_read_pairs, "1\t2\n3\n", FR_ESYNTAX, "y:2: an id is not a whole number"},
    {fr_benchmark_read_pairs, "1 2\n", FR_ESYNTAX, "y:1: an id is not a whole number"},
    {fr_benchmark_read_negatives, "(1,2)\t3\n1,2\t3\n", FR_ESYNTAX, "y:2: the line does not begin with (user,item)"},
    {fr_benchmark_read_negatives, "(\t1\n", FR_ESYNTAX, "y:1: the line does not begin with (user,item)"},
    {fr_benchmark_read_negatives, "(1,2,3)\t1\n", FR_ESYNTAX, "y:1: an id is not a whole number"},
    {fr_benchmark_read_negatives, "(1,2)\t1\t\t2\n", FR_ESYNTAX, "y:1: an id is not a whole number"},
    {fr_benchmark_read_lists, "\n\n", FR_EINVAL, "y: no rows"},
    {fr_benchmark_read_lists, "1 2\n\n2 x\n", FR_ESYNTAX, "y:3: an id is not a whole number"},
    {fr_benchmark_read_lists, "1 2\n3 67108864\n", FR_ERANGE, "y:2: an id is 67108864 or more"},
};

START_TEST(lists__malformed__path_line_and_reason)
{
    struct fr_benchmark_lists l = {.n = 0};
    struct fr_fault f = {.err = FR_OK};
    enum fr_err e = bad_lists[_i].read(fr_str_z(bad_lists[_i].text), "y", &l, &f);
    ck_assert_int_eq(e, bad_lists[_i].e);
    ck_assert_str_eq(f.msg, bad_lists[_i].message);
    fr_benchmark_lists_done(&l);
}
END_TEST

START_TEST(all__allocation_fails__told)
{
    static const char *const text[] = {"1\t2\n", "(1,2)\t3\n", "1 2\n"};
    static const lists_fn read[] = {fr_benchmark_read_pairs, fr_benchmark_read_negatives, fr_benchmark_read_lists};
    for (uint64_t nth = 1; nth <= 3; nth++) {
        struct fr_benchmark_lists l = {.n = 0};
        fr_alloc_fail_at(nth);
        ck_assert_int_eq(read[_i](fr_str_z(text[_i]), "z", &l, NULL), FR_ENOMEM);
        fr_alloc_fail_at(0);
        fr_benchmark_lists_done(&l);
    }
    for (uint64_t nth = 1; nth <= 2; nth++) {
        struct fr_benchmark_rows r = {.n = 0};
        fr_alloc_fail_at(nth);
        ck_assert_int_eq(fr_benchmark_read_rows(FR_STR_LIT("label,a\n1,2\n"), "z", &r, NULL), FR_ENOMEM);
        fr_alloc_fail_at(0);
        fr_benchmark_rows_done(&r);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn/benchmark_data");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, rows__two_lines_with_crlf__ids_and_labels);
    tcase_add_loop_test(tc, rows__malformed__path_line_and_reason, 0, sizeof(bad_rows) / sizeof(bad_rows[0]));
    tcase_add_test(tc, rows__sixty_five_columns__refused);
    tcase_add_test(tc, pairs__more_columns__left_unread);
    tcase_add_test(tc, negatives__test_item__last_of_its_row);
    tcase_add_test(tc, lists__no_items_and_many_rows__kept);
    tcase_add_loop_test(tc, lists__malformed__path_line_and_reason, 0, sizeof(bad_lists) / sizeof(bad_lists[0]));
    tcase_add_loop_test(tc, all__allocation_fails__told, 0, 3);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
