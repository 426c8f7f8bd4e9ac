/* Users and their items: order, repeats, ids beyond the file; a held-out share is a partition;
 * hostile files. */
#include "daemon/learn/benchmark_pairs.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

static char *dir;
static struct fr_benchmark_pairs p, held;

static void setup(void)
{
    dir = tmpdir_make();
    ck_assert_ptr_nonnull(dir);
    memset(&p, 0, sizeof(p));
    memset(&held, 0, sizeof(held));
}

static void teardown(void)
{
    fr_benchmark_pairs_done(&p);
    fr_benchmark_pairs_done(&held);
    tmpdir_free(dir);
}

static enum fr_err
read_text(const char *text, enum fr_benchmark_layout layout, uint32_t users, uint32_t items)
{
    char path[256];

    ck_assert(tmpdir_path(dir, "f.txt", path, sizeof(path)));
    ck_assert(tmpdir_write(path, text, strlen(text)));
    return fr_benchmark_pairs_read(dir, "f.txt", layout, users, items, &p, NULL);
}

START_TEST(read__users_in_any_order__sorted_once_each)
{
    ck_assert_int_eq(read_text("3 9 2 2 5\n0 7\n3 1 9\n1\n", FR_BENCHMARK_LISTS, 0, 0), FR_OK);
    ck_assert_uint_eq(p.users, 4);
    ck_assert_uint_eq(p.items, 10);
    static const size_t start[] = {0, 1, 1, 1, 5};
    static const uint32_t item[] = {7, 1, 2, 5, 9};
    ck_assert_mem_eq(p.start, start, sizeof(start));
    ck_assert_mem_eq(p.item, item, sizeof(item));
    ck_assert_uint_eq(p.n, 5);
    for (uint32_t i = 0; i < 12; i++)
        ck_assert_int_eq(fr_benchmark_pairs_has(&p, 3, i), i == 1 || i == 2 || i == 5 || i == 9);
    ck_assert(!fr_benchmark_pairs_has(&p, 1, 7) && !fr_benchmark_pairs_has(&p, 4, 7));
}
END_TEST

START_TEST(read__room_for_more_ids__empty_users)
{
    ck_assert_int_eq(read_text("1\t4\n0\t2\n1\t3\n", FR_BENCHMARK_PAIRS, 5, 9), FR_OK);
    ck_assert_uint_eq(p.users, 5);
    ck_assert_uint_eq(p.items, 9);
    ck_assert_uint_eq(p.start[2], 3);
    ck_assert_uint_eq(p.start[5], 3);
}
END_TEST

START_TEST(read__bad_files__refused)
{
    ck_assert_int_eq(read_text("1 x\n", FR_BENCHMARK_LISTS, 0, 0), FR_ESYNTAX);
    ck_assert_int_eq(read_text("1 99999999\n", FR_BENCHMARK_LISTS, 0, 0), FR_ERANGE);
    ck_assert_int_ne(fr_benchmark_pairs_read(dir, "absent", FR_BENCHMARK_LISTS, 0, 0, &p, NULL),
                     FR_OK);
}
END_TEST

START_TEST(hold_out__shares__a_partition_of_each_user)
{
    static const double shares[] = {0.1, 0.5, 0.0001};
    char text[4096];
    struct fr_benchmark_pairs all = {.n = 0};
    struct fr_rng rng;
    int n = 0;

    for (int u = 0; u < 20; u++) {
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%d", u);
        for (int i = 0; i < u; i++)
            n += snprintf(text + n, sizeof(text) - (size_t)n, " %d", (7 * u + 3 * i) % 64);
        n += snprintf(text + n, sizeof(text) - (size_t)n, "\n");
    }
    ck_assert_int_eq(read_text(text, FR_BENCHMARK_LISTS, 0, 0), FR_OK);
    ck_assert_int_eq(fr_benchmark_pairs_read(dir, "f.txt", FR_BENCHMARK_LISTS, 0, 0, &all, NULL),
                     FR_OK);
    fr_rng_seed(&rng, 4);
    ck_assert_int_eq(fr_benchmark_pairs_hold_out(&p, shares[_i], 1, &rng, &held), FR_OK);
    ck_assert_uint_eq(p.n + held.n, all.n);
    for (uint32_t u = 0; u < all.users; u++) {
        size_t had = all.start[u + 1] - all.start[u], kept = p.start[u + 1] - p.start[u];
        size_t want = (size_t)((double)had * shares[_i]);

        want = want < 1 && had >= 2 ? 1 : want;
        ck_assert_uint_eq(held.start[u + 1] - held.start[u], want);
        ck_assert_uint_eq(kept, had - want);
        for (size_t k = all.start[u]; k < all.start[u + 1]; k++)
            ck_assert_int_eq(fr_benchmark_pairs_has(&p, u, all.item[k]) +
                                 fr_benchmark_pairs_has(&held, u, all.item[k]),
                             1);
        for (size_t k = p.start[u]; k + 1 < p.start[u + 1]; k++)
            ck_assert_uint_lt(p.item[k], p.item[k + 1]);
    }
    fr_benchmark_pairs_done(&all);
}
END_TEST

START_TEST(fields__two_ids)
{
    struct fr_field_set *fs = NULL;

    ck_assert_int_eq(fr_benchmark_pairs_fields(&fs), FR_OK);
    ck_assert_int_eq(fs->n, 2);
    ck_assert_uint_eq(fs->n_cells[FR_ENTITY_USER], 1);
    ck_assert_uint_eq(fs->n_cells[FR_ENTITY_ITEM], 1);
    ck_assert_uint_ne(fr_benchmark_cell(0).id, 0);
    fr_free(fs);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn/benchmark_pairs");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, read__users_in_any_order__sorted_once_each);
    tcase_add_test(tc, read__room_for_more_ids__empty_users);
    tcase_add_test(tc, read__bad_files__refused);
    tcase_add_loop_test(tc, hold_out__shares__a_partition_of_each_user, 0, 3);
    tcase_add_test(tc, fields__two_ids);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
