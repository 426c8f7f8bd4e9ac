/* Declared fields: layout within each entity group, and everything that is refused. */
#include "daemon/base/field.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(add__mixed_entities__cells_laid_out_per_group)
{
    static struct fr_field_set fs;
    memset(&fs, 0, sizeof(fs));
    ck_assert_int_eq(fr_field_add(&fs, "history", FR_ENTITY_USER, FR_FIELD_ID, "item", 0, 50), FR_OK);
    ck_assert_int_eq(fr_field_add(&fs, "hour", FR_ENTITY_CONTEXT, FR_FIELD_BUCKET, NULL, 25, 1), FR_OK);
    ck_assert_int_eq(fr_field_add(&fs, "clicks", FR_ENTITY_USER, FR_FIELD_NUMERIC, NULL, 0, 2), FR_OK);
    ck_assert_int_eq(fr_field_add(&fs, "item", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1), FR_OK);
    ck_assert_int_eq(fr_field_add(&fs, "age", FR_ENTITY_ITEM, FR_FIELD_BUCKET, "", 8, 1), FR_OK);
    ck_assert_int_eq(fs.n, 5);
    ck_assert_uint_eq(fs.n_cells[FR_ENTITY_USER], 52);
    ck_assert_uint_eq(fs.n_cells[FR_ENTITY_CONTEXT], 1);
    ck_assert_uint_eq(fs.n_cells[FR_ENTITY_ITEM], 2);
    ck_assert_uint_eq(fs.n_cells[FR_ENTITY_CROSS], 0);
    ck_assert_uint_eq(fs.f[2].first, 50);
    ck_assert_uint_eq(fs.f[4].first, 1);
    ck_assert_str_eq(fs.f[0].table, "item");
    ck_assert_str_eq(fs.f[1].table, "");
    ck_assert_int_eq(fr_field_find(&fs, FR_STR_LIT("clicks")), 2);
    ck_assert_int_eq(fr_field_find(&fs, FR_STR_LIT("click")), -1);
    ck_assert_int_eq(fr_field_find(&fs, FR_STR_LIT("")), -1);
}
END_TEST

START_TEST(add__bad_declarations__refused_and_nothing_changed)
{
    static struct fr_field_set fs, before;
    char name[FR_FIELD_NAME + 1];
    memset(&fs, 0, sizeof(fs));
    ck_assert_int_eq(fr_field_add(&fs, "a", FR_ENTITY_USER, FR_FIELD_NUMERIC, NULL, 0, 1), FR_OK);
    before = fs;
    ck_assert_int_eq(fr_field_add(&fs, "", FR_ENTITY_USER, FR_FIELD_NUMERIC, NULL, 0, 1), FR_EINVAL);
    ck_assert_int_eq(fr_field_add(&fs, "b", FR_ENTITY_USER, FR_FIELD_NUMERIC, NULL, 0, 0), FR_EINVAL);
    ck_assert_int_eq(fr_field_add(&fs, "b", FR_ENTITY_COUNT, FR_FIELD_NUMERIC, NULL, 0, 1), FR_EINVAL);
    ck_assert_int_eq(fr_field_add(&fs, "b", (enum fr_entity)(-1), FR_FIELD_NUMERIC, NULL, 0, 1), FR_EINVAL);
    ck_assert_int_eq(fr_field_add(&fs, "b", FR_ENTITY_USER, FR_FIELD_BUCKET, NULL, 0, 1), FR_EINVAL);
    ck_assert_int_eq(fr_field_add(&fs, "b", FR_ENTITY_USER, FR_FIELD_NUMERIC, NULL, 7, 1), FR_EINVAL);
    ck_assert_int_eq(fr_field_add(&fs, "b", FR_ENTITY_USER, FR_FIELD_ID, NULL, 0, 1), FR_EINVAL);
    ck_assert_int_eq(fr_field_add(&fs, "b", FR_ENTITY_USER, FR_FIELD_ID, "", 0, 1), FR_EINVAL);
    ck_assert_int_eq(fr_field_add(&fs, "b", FR_ENTITY_USER, FR_FIELD_NUMERIC, "t", 0, 1), FR_EINVAL);
    ck_assert_int_eq(fr_field_add(&fs, "a", FR_ENTITY_ITEM, FR_FIELD_NUMERIC, NULL, 0, 1), FR_EDUPLICATE);
    memset(name, 'n', sizeof(name));
    name[FR_FIELD_NAME] = '\0';
    ck_assert_int_eq(fr_field_add(&fs, name, FR_ENTITY_USER, FR_FIELD_NUMERIC, NULL, 0, 1), FR_EINVAL);
    ck_assert_int_eq(fr_field_add(&fs, "b", FR_ENTITY_USER, FR_FIELD_ID, name, 0, 1), FR_EINVAL);
    ck_assert_mem_eq(&fs, &before, sizeof(fs));
    name[FR_FIELD_NAME - 1] = '\0'; /* the longest that fits */
    ck_assert_int_eq(fr_field_add(&fs, name, FR_ENTITY_USER, FR_FIELD_NUMERIC, NULL, 0, 1), FR_OK);
    ck_assert_str_eq(fs.f[1].name, name);
}
END_TEST

START_TEST(add__too_many_fields_or_cells__full)
{
    static struct fr_field_set fs;
    char name[16];
    memset(&fs, 0, sizeof(fs));
    for (int i = 0; i < FR_MAX_FIELDS; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        ck_assert_int_eq(fr_field_add(&fs, name, FR_ENTITY_USER, FR_FIELD_NUMERIC, NULL, 0, 1), FR_OK);
    }
    ck_assert_int_eq(fr_field_add(&fs, "g", FR_ENTITY_USER, FR_FIELD_NUMERIC, NULL, 0, 1), FR_EFULL);
    memset(&fs, 0, sizeof(fs));
    ck_assert_int_eq(fr_field_add(&fs, "a", FR_ENTITY_USER, FR_FIELD_NUMERIC, NULL, 0, UINT16_MAX), FR_OK);
    ck_assert_int_eq(fr_field_add(&fs, "b", FR_ENTITY_USER, FR_FIELD_NUMERIC, NULL, 0, 1), FR_EFULL);
    ck_assert_int_eq(fr_field_add(&fs, "b", FR_ENTITY_ITEM, FR_FIELD_NUMERIC, NULL, 0, 1), FR_OK);
    ck_assert_int_eq(fs.n, 2);
}
END_TEST

START_TEST(names__each_and_unknown)
{
    ck_assert_str_eq(fr_entity_name(FR_ENTITY_USER), "user");
    ck_assert_str_eq(fr_entity_name(FR_ENTITY_CONTEXT), "context");
    ck_assert_str_eq(fr_entity_name(FR_ENTITY_ITEM), "item");
    ck_assert_str_eq(fr_entity_name(FR_ENTITY_CROSS), "cross");
    ck_assert_str_eq(fr_entity_name(FR_ENTITY_COUNT), "?");
    ck_assert_str_eq(fr_field_kind_name(FR_FIELD_ID), "id");
    ck_assert_str_eq(fr_field_kind_name(FR_FIELD_BUCKET), "bucket");
    ck_assert_str_eq(fr_field_kind_name(FR_FIELD_NUMERIC), "numeric");
    ck_assert_str_eq(fr_field_kind_name((enum fr_field_kind)99), "?");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/field");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, add__mixed_entities__cells_laid_out_per_group);
    tcase_add_test(tc, add__bad_declarations__refused_and_nothing_changed);
    tcase_add_test(tc, add__too_many_fields_or_cells__full);
    tcase_add_test(tc, names__each_and_unknown);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
