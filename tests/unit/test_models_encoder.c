/* Cells to slots: unknown ids, buckets past the end, normalisers, non-finite cells, field
 * selection. */
#include "models/encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "tests/support/model_fixture.h"

#define ALL ((1u << FR_ENTITY_COUNT) - 1)

static struct fr_field_set fs;
static struct fr_encoder *enc;

static void setup(void)
{
    enc = NULL;
    mf_field_set(&fs);
    ck_assert_int_eq(fr_encoder_new(&fs, NULL, 0, ALL, 1000, 1, &enc, NULL), FR_OK);
}

static void teardown(void)
{
    fr_encoder_free(enc);
}

START_TEST(new__all_fields__ordered_by_entity_tables_shared)
{
    ck_assert_int_eq(enc->n_fields, 9);
    ck_assert_int_eq(enc->n_tables, 8); /* hist and i_id share "item" */
    ck_assert_int_eq(enc->field[fr_encoder_find(enc, "hist")].table,
                     enc->field[fr_encoder_find(enc, "i_id")].table);
    ck_assert_uint_eq(enc->n_slots[FR_ENTITY_USER], 6);
    ck_assert_uint_eq(enc->n_slots[FR_ENTITY_CROSS], 2);
    ck_assert_int_eq(fr_encoder_find(enc, "nothing"), -1);
}
END_TEST

START_TEST(new__bad_choices__each_refused_by_name)
{
    const char *const unknown[] = {"hist", "nope"}, *const twice[] = {"hist", "hist"};
    const char *const cross[] = {"x_num"};
    struct fr_fault f = {0};
    struct fr_encoder *e = NULL;
    ck_assert_int_eq(fr_encoder_new(&fs, unknown, 2, ALL, 9, 1, &e, &f), FR_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(f.msg, "nope"));
    ck_assert_int_eq(fr_encoder_new(&fs, twice, 2, ALL, 9, 1, &e, &f), FR_EDUPLICATE);
    ck_assert_int_eq(fr_encoder_new(&fs, cross, 1, 1u << FR_ENTITY_USER, 9, 1, &e, &f), FR_EINVAL);
    ck_assert_int_eq(fr_encoder_new(&fs, NULL, 0, 0, 9, 1, &e, &f), FR_EINVAL);
    ck_assert_int_eq(fr_field_add(&fs, "odd", FR_ENTITY_USER, FR_FIELD_ID, "bucket_hour", 0, 1),
                     FR_OK);
    ck_assert_int_eq(fr_encoder_new(&fs, NULL, 0, ALL, 9, 1, &e, &f), FR_EDUPLICATE);
    ck_assert_ptr_null(e);
}
END_TEST

START_TEST(encode__known_unknown_unused__rows_and_values)
{
    struct fr_cell user[6] = {{77, 1}, {5, 0.5f}, {6, 0.25f}, {0, 0}, {0, 0}, {0, 3.0f}};
    struct fr_slot s[6];
    ck_assert_int_eq(fr_encoder_observe(enc, FR_ENTITY_USER, user), FR_OK);
    user[2].id = 999; /* never seen */
    ck_assert_int_eq(fr_encoder_encode(enc, FR_ENTITY_USER, user, s), FR_OK);
    ck_assert(s[0].row == 1 && s[0].x == 1.0f);
    ck_assert(s[1].row == 1 && s[1].x == 0.5f);
    ck_assert(s[2].row == 0 && s[2].x == 0.25f); /* unknown: row 0 counts */
    ck_assert(s[3].row == 0 && s[3].x == 0.0f);  /* unused: nothing counts */
    ck_assert(s[5].row == 1 && s[5].x == 3.0f);  /* not fitted: as it is */
    ck_assert(fr_encoder_rows_valid(enc, FR_ENTITY_USER, s));
    s[1].row = 3;
    ck_assert(!fr_encoder_rows_valid(enc, FR_ENTITY_USER, s));
    s[1].row = -1;
    ck_assert(!fr_encoder_rows_valid(enc, FR_ENTITY_USER, s));
}
END_TEST

START_TEST(encode__bucket_past_the_end__unknown)
{
    struct fr_slot s[1];
    for (uint64_t id = 0; id < 8; id++) {
        struct fr_cell c[1] = {{id, 1.0f}};
        ck_assert_int_eq(fr_encoder_encode(enc, FR_ENTITY_CONTEXT, c, s), FR_OK);
        ck_assert_int_eq(s[0].row, id < 5 ? (int)id : 0);
    }
    struct fr_cell huge[1] = {{UINT64_MAX, 1.0f}};
    ck_assert_int_eq(fr_encoder_encode(enc, FR_ENTITY_CONTEXT, huge, s), FR_OK);
    ck_assert_int_eq(s[0].row, 0);
}
END_TEST

START_TEST(fit__mean_scale_clamp_and_constant__as_stated)
{
    struct fr_slot s[2];
    for (int i = 0; i < 10; i++) {
        struct fr_cell c[2] = {{0, (float)i}, {1, 1}};
        ck_assert_int_eq(fr_encoder_observe(enc, FR_ENTITY_CROSS, c), FR_OK);
    }
    fr_encoder_fit(enc);
    struct fr_cell c[2] = {{0, 7.5f}, {1, 1}};
    ck_assert_int_eq(fr_encoder_encode(enc, FR_ENTITY_CROSS, c, s), FR_OK);
    mf_float_tol(s[0].x, (float)(3.0 / sqrt(8.25)), 1e-6f);
    c[0].x = 1e30f;
    ck_assert_int_eq(fr_encoder_encode(enc, FR_ENTITY_CROSS, c, s), FR_OK);
    mf_float_eq(s[0].x, FR_ENC_CLAMP);

    struct fr_cell item[5] = {{9, 1}, {0, 0}, {0, 0}, {0, 0}, {0, 4.0f}};
    struct fr_slot is[5];
    ck_assert_int_eq(fr_encoder_observe(enc, FR_ENTITY_ITEM, item), FR_OK);
    fr_encoder_fit(enc);
    item[4].x = 1000;
    ck_assert_int_eq(fr_encoder_encode(enc, FR_ENTITY_ITEM, item, is), FR_OK);
    mf_float_eq(is[4].x, 0); /* was constant in training */
}
END_TEST

START_TEST(encode__nan_or_infinite_cell__refused_everywhere)
{
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int k = 0; k < 6; k++) {
        struct fr_cell user[6] = {{77, 1}, {5, 1}, {6, 1}, {7, 1}, {8, 1}, {0, 3.0f}};
        struct fr_slot s[6];
        user[k].x = bad[k % 3];
        ck_assert_int_eq(fr_encoder_encode(enc, FR_ENTITY_USER, user, s), FR_ENONFINITE);
        ck_assert_int_eq(fr_encoder_observe(enc, FR_ENTITY_USER, user), FR_ENONFINITE);
    }
}
END_TEST

START_TEST(same_ids__clone_grown_or_other_fields__told_apart)
{
    const struct fr_enc_field *id = &enc->field[fr_encoder_find(enc, "i_id")];
    struct fr_vocab *v = &enc->table[id->table].vocab;
    struct fr_encoder *twin = NULL, *part = NULL;
    const char *const one[] = {"i_id"};
    int32_t row = 0;

    ck_assert_int_eq(fr_vocab_see(v, 77, &row), FR_OK);
    enc->table[id->table].rows = v->n_rows;
    ck_assert_int_eq(fr_encoder_clone(enc, &twin), FR_OK);
    ck_assert(fr_encoder_same_ids(enc, twin) && fr_encoder_same_ids(twin, enc));
    twin->table[id->table].vocab.keys[1] = 78;
    ck_assert(!fr_encoder_same_ids(enc, twin));
    twin->table[id->table].vocab.keys[1] = 77;
    ck_assert_int_eq(fr_vocab_see(v, 79, &row), FR_OK);
    enc->table[id->table].rows = v->n_rows;
    ck_assert(!fr_encoder_same_ids(enc, twin));
    ck_assert_int_eq(fr_encoder_new(&fs, one, 1, ALL, 1000, 1, &part, NULL), FR_OK);
    ck_assert(!fr_encoder_same_ids(enc, part));
    fr_encoder_free(twin);
    fr_encoder_free(part);
}
END_TEST

START_TEST(clone__allocation_fails_at_each_place__no_leak)
{
    struct fr_cell user[6] = {{77, 1}, {5, 1}, {6, 1}, {7, 1}, {8, 1}, {0, 3.0f}};
    ck_assert_int_eq(fr_encoder_observe(enc, FR_ENTITY_USER, user), FR_OK);
    for (uint64_t nth = 1; nth < 100; nth++) {
        struct fr_encoder *c = NULL;
        fr_alloc_fail_at(nth);
        enum fr_err e = fr_encoder_clone(enc, &c);
        fr_alloc_fail_at(0);
        if (e == FR_OK) {
            ck_assert_int_eq(fr_vocab_row(&c->table[1].vocab, 8), 4);
            fr_encoder_free(c);
            return;
        }
        ck_assert_int_eq(e, FR_ENOMEM);
        ck_assert_ptr_null(c);
    }
    ck_abort_msg("never passed");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/encoder");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, new__all_fields__ordered_by_entity_tables_shared);
    tcase_add_test(tc, new__bad_choices__each_refused_by_name);
    tcase_add_test(tc, encode__known_unknown_unused__rows_and_values);
    tcase_add_test(tc, encode__bucket_past_the_end__unknown);
    tcase_add_test(tc, fit__mean_scale_clamp_and_constant__as_stated);
    tcase_add_test(tc, encode__nan_or_infinite_cell__refused_everywhere);
    tcase_add_test(tc, same_ids__clone_grown_or_other_fields__told_apart);
    tcase_add_test(tc, clone__allocation_fails_at_each_place__no_leak);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
