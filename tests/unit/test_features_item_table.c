/* The catalogue: upsert, delete, reuse of indexes, cells from attributes. */
#include "features/item_table.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/rng.h"
#include "features/buckets.h"
#include "features/item_cells.h"
#include "features/item_generation.h"
#include "tests/support/feat.h"

/* Check's own float checks promote to double, which our warnings refuse. */
#define check_float(got, want) ck_assert_double_eq((double)(got), (double)(want))

static struct fr_spec *spec;
static struct fr_arena *ar;
static struct fr_item_table *t;

static void setup(void)
{
    spec = feat_spec(NULL);
    ar = feat_arena();
    ck_assert_int_eq(fr_item_table_new(spec, 0, &t), FR_OK);
}
static void teardown(void)
{
    fr_item_table_free(t);
    fr_arena_free(ar);
    fr_spec_free(spec);
}

static uint32_t put(const char *id, const char *categories, const char *title)
{
    struct fr_item_record r = feat_item(spec, ar, id, categories, title);
    uint32_t idx = 12345;
    ck_assert_int_eq(fr_item_table_put(t, &r, &idx), FR_OK);
    return idx;
}

static uint64_t hash(const char *z)
{
    return fr_id_hash(spec->key, fr_str_z(z));
}

/* Random writes against an array of names; the record's memory is overwritten after each call. */
START_TEST(put_and_delete__random__equals_the_naive_table)
{
    enum { N = 300 };
    static int version[N]; /* 0 = absent, else what its title says */
    static uint32_t at[N];
    struct fr_rng r;
    uint32_t live = 0;
    fr_rng_seed(&r, 31);
    memset(version, 0, sizeof version);
    for (int step = 1; step <= 6000; step++) {
        int i = (int)fr_rng_below(&r, N);
        char id[32], title[32];
        struct fr_arena_mark m = fr_arena_mark(ar);
        snprintf(id, sizeof id, "i%d", i);
        snprintf(title, sizeof title, "title %d", step);
        if (fr_rng_below(&r, 3) == 0) {
            uint32_t idx;
            bool was = version[i] != 0;
            ck_assert_int_eq(fr_item_table_delete(t, hash(id), &idx), was);
            ck_assert_uint_eq(idx, was ? at[i] : FR_ITEM_NONE);
            live -= was;
            version[i] = 0;
        } else {
            uint32_t idx = put(id, "a|b", title);
            if (version[i] != 0)
                ck_assert_uint_eq(idx, at[i]);
            live += version[i] == 0;
            at[i] = idx;
            version[i] = step;
        }
        void *junk = fr_arena_alloc(ar, 16);
        (void)junk;
        fr_arena_release(ar, m);
        ck_assert_uint_eq(fr_item_table_size(t), live);
    }
    ck_assert_uint_le(fr_item_table_end(t), N);
    for (int i = 0; i < N; i++) {
        char id[32], title[32];
        snprintf(id, sizeof id, "i%d", i);
        uint32_t idx = fr_item_table_find(t, hash(id));
        if (version[i] == 0) {
            ck_assert_uint_eq(idx, FR_ITEM_NONE);
            continue;
        }
        const struct fr_item *it = fr_item_table_get(t, idx);
        snprintf(title, sizeof title, "title %d", version[i]);
        ck_assert_uint_eq(idx, at[i]);
        ck_assert(fr_str_eqz(it->id, id));
        ck_assert(fr_str_eqz(it->title, title));
        ck_assert_uint_eq(it->n_category, 2);
        ck_assert_uint_eq(it->category[1], hash("b"));
    }
    ck_assert_ptr_null(fr_item_table_get(t, fr_item_table_end(t)));
    ck_assert_ptr_null(fr_item_table_get(t, FR_ITEM_NONE));
}
END_TEST

START_TEST(put__two_instances_same_records__same_indexes)
{
    struct fr_item_table *b;
    struct fr_rng r;
    ck_assert_int_eq(fr_item_table_new(spec, 0, &b), FR_OK);
    fr_rng_seed(&r, 5);
    for (int step = 0; step < 2000; step++) {
        char id[32];
        uint32_t x, y;
        snprintf(id, sizeof id, "i%d", (int)fr_rng_below(&r, 100));
        struct fr_item_record rec = feat_item(spec, ar, id, NULL, NULL);
        rec.deleted = fr_rng_below(&r, 2) == 0;
        ck_assert_int_eq(fr_item_table_put(t, &rec, &x), FR_OK);
        ck_assert_int_eq(fr_item_table_put(b, &rec, &y), FR_OK);
        ck_assert_uint_eq(x, y);
    }
    ck_assert_uint_eq(fr_item_table_version(t), fr_item_table_version(b));
    fr_item_table_free(b);
}
END_TEST

START_TEST(put__all_attributes__kept_and_in_cells)
{
    struct fr_item_record r = feat_item(spec, ar, "x", "a|b|a", "The Matrix, the (1999)");
    static const float vec[3] = {1, 2, 3};
    struct fr_str tags[2] = {FR_STR_LIT("new"), FR_STR_LIT("hot")};
    uint32_t idx;
    r.brand = FR_STR_LIT("acme");
    r.has_price = true;
    r.price = 9.5;
    r.tags = tags;
    r.n_tags = 2;
    r.created_ts = 77;
    r.vector = vec;
    r.n_vector = 3;
    r.available = false;
    ck_assert_int_eq(fr_item_table_put(t, &r, &idx), FR_OK);
    const struct fr_item *it = fr_item_table_get(t, idx);
    ck_assert(fr_str_eqz(it->brand, "acme"));
    ck_assert_double_eq(it->price, 9.5);
    ck_assert_int_eq(it->created_ts, 77);
    ck_assert(!it->available);
    ck_assert_uint_eq(it->n_vector, 3);
    ck_assert_mem_eq(it->vector, vec, sizeof vec);

    const struct fr_field_set *fs = &spec->fields;
#define CELLS(name) (it->cells + fs->f[fr_field_find(fs, FR_STR_LIT(name))].first)
    ck_assert_uint_eq(CELLS("item_id")[0].id, hash("x"));
    ck_assert_uint_eq(CELLS("item_category")[0].id, hash("a"));
    ck_assert_uint_eq(CELLS("item_category")[1].id, hash("b"));
    ck_assert_uint_eq(CELLS("item_category")[2].id, 0); /* the repeat is dropped */
    check_float(CELLS("item_category")[0].x, 0.5f);
    check_float(CELLS("item_category")[2].x, 0.0f);
    ck_assert_uint_eq(CELLS("item_brand")[0].id, hash("acme"));
    ck_assert_uint_eq(CELLS("item_price")[0].id, fr_bucket_price(9.5));
    ck_assert_uint_eq(CELLS("item_tags")[1].id, hash("hot"));
    ck_assert_uint_eq(CELLS("item_words")[0].id, hash("the"));
    ck_assert_uint_eq(CELLS("item_words")[1].id, hash("matrix"));
    ck_assert_uint_eq(CELLS("item_words")[2].id, hash("1999"));
    ck_assert_uint_eq(CELLS("item_words")[3].id, 0);
    check_float(CELLS("item_words")[2].x, (float)(1.0 / 3));
    ck_assert_uint_eq(CELLS("item_popular_3h")[0].id, 0);
#undef CELLS
}
END_TEST

START_TEST(put__bare_record__unknown_cells)
{
    uint32_t idx = put("y", NULL, NULL);
    const struct fr_item *it = fr_item_table_get(t, idx);
    int price = fr_field_find(&spec->fields, FR_STR_LIT("item_price"));
    ck_assert_double_lt(it->price, 0);
    ck_assert_ptr_null(it->vector);
    ck_assert_uint_eq(it->cells[spec->fields.f[price].first].id, 0);
    ck_assert(it->available);
}
END_TEST

START_TEST(title_words__separators_case_utf8__as_documented)
{
    uint64_t h[32];
    ck_assert_uint_eq(fr_title_words(spec->key, FR_STR_LIT(""), h, 32), 0);
    ck_assert_uint_eq(fr_title_words(spec->key, FR_STR_LIT(" -- "), h, 32), 0);
    ck_assert_uint_eq(fr_title_words(spec->key, FR_STR_LIT("a-B a b C"), h, 32), 3);
    ck_assert_uint_eq(h[1], hash("b"));
    ck_assert_uint_eq(fr_title_words(spec->key, FR_STR_LIT("Caf\xc3\xa9 x"), h, 32), 2);
    ck_assert_uint_eq(h[0], hash("caf\xc3\xa9"));
    ck_assert_uint_eq(fr_title_words(spec->key, FR_STR_LIT("a b c d"), h, 2), 2);
    ck_assert_uint_eq(fr_title_words(spec->key, FR_STR_LIT("a b c d"), h, 0), 0);
}
END_TEST

START_TEST(put__past_the_limit__full_and_unchanged)
{
    struct fr_item_table *small;
    struct fr_item_record a = feat_item(spec, ar, "a", NULL, NULL);
    struct fr_item_record b = feat_item(spec, ar, "b", NULL, NULL);
    struct fr_item_record c = feat_item(spec, ar, "c", NULL, NULL);
    ck_assert_int_eq(fr_item_table_new(spec, 2, &small), FR_OK);
    ck_assert_int_eq(fr_item_table_put(small, &a, NULL), FR_OK);
    ck_assert_int_eq(fr_item_table_put(small, &b, NULL), FR_OK);
    ck_assert_int_eq(fr_item_table_put(small, &c, NULL), FR_EFULL);
    ck_assert_int_eq(fr_item_table_put(small, &a, NULL), FR_OK); /* replacing still works */
    ck_assert_uint_eq(fr_item_table_size(small), 2);
    ck_assert(fr_item_table_delete(small, a.item, NULL));
    ck_assert_int_eq(fr_item_table_put(small, &c, NULL), FR_OK);
    fr_item_table_free(small);
}
END_TEST

START_TEST(put__bad_record__refused)
{
    struct fr_item_record r = feat_item(spec, ar, "a", NULL, NULL);
    r.item = 0;
    ck_assert_int_eq(fr_item_table_put(t, &r, NULL), FR_EINVAL);
    r.item = 5;
    r.n_categories = FR_MAX_CATEGORIES + 1;
    ck_assert_int_eq(fr_item_table_put(t, &r, NULL), FR_EINVAL);
}
END_TEST

START_TEST(put__every_allocation_fails__table_unchanged)
{
    int failures = 0;
    for (int i = 0; i < 600; i++) {
        char id[32];
        enum fr_err e = FR_ENOMEM;
        snprintf(id, sizeof id, "i%d", i);
        struct fr_item_record r = feat_item(spec, ar, id, "a", "t");
        for (uint64_t nth = 1; e == FR_ENOMEM; nth++) {
            uint64_t version = fr_item_table_version(t);
            fr_alloc_fail_at(nth);
            e = fr_item_table_put(t, &r, NULL);
            fr_alloc_fail_at(0);
            if (e != FR_ENOMEM)
                break;
            failures++;
            ck_assert_uint_eq(fr_item_table_size(t), (uint32_t)i);
            ck_assert_uint_eq(fr_item_table_version(t), version);
            ck_assert_uint_eq(fr_item_table_find(t, r.item), FR_ITEM_NONE);
        }
        ck_assert_int_eq(e, FR_OK);
    }
    ck_assert_int_gt(failures, 600);
}
END_TEST

START_TEST(generation__set_and_replaced__references_balance)
{
    struct fr_item_generation *a, *b;
    ck_assert_int_eq(fr_item_generation_build(spec, NULL, 0, 1, &a), FR_OK);
    ck_assert_int_eq(fr_item_generation_build(spec, NULL, 0, 2, &b), FR_OK);
    ck_assert_ptr_null(fr_item_table_generation(t));
    fr_item_table_set_generation(t, a);
    fr_item_generation_unref(a); /* the table holds its own */
    ck_assert_uint_eq(fr_item_table_generation(t)->number, 1);
    fr_item_table_set_generation(t, b);
    fr_item_generation_unref(b);
    ck_assert_uint_eq(fr_item_table_generation(t)->number, 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("features/item_table");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, put_and_delete__random__equals_the_naive_table);
    tcase_add_test(tc, put__two_instances_same_records__same_indexes);
    tcase_add_test(tc, put__all_attributes__kept_and_in_cells);
    tcase_add_test(tc, put__bare_record__unknown_cells);
    tcase_add_test(tc, title_words__separators_case_utf8__as_documented);
    tcase_add_test(tc, put__past_the_limit__full_and_unchanged);
    tcase_add_test(tc, put__bad_record__refused);
    tcase_add_test(tc, put__every_allocation_fails__table_unchanged);
    tcase_add_test(tc, generation__set_and_replaced__references_balance);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
