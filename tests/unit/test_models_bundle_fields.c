/*
 * The fields of a bundle from the bundle itself: a ranker and a retrieval model (which takes a part of the fields)
 * load under them and score as under the declaration; manifests that say nonsense are refused by name.
 */
#include "models/bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

static struct fr_field_set fs, own;

START_TEST(bundle__loads_under_its_own_fields)
{
    char *tmp = tmpdir_make(), dir[512];
    struct fr_model_meta meta = {.name = "m", .version = 1, .parent = ""};
    struct fr_fault f = {.err = FR_OK};
    struct fr_model *m = NULL, *declared = NULL;
    static struct mf_list list;
    struct fr_arena *ar = NULL;
    struct fr_rng rng;
    float z[5], want[5];

    mf_field_set(&fs);
    fs.hash = 0xfedcba9876543210u;
    fr_rng_seed(&rng, 9);
    mf_random_list(&rng, 5, &list);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    ck_assert(tmpdir_path(tmp, "bundle", dir, sizeof(dir)));
    if (_i == 0) {
        struct fr_train_ctr *tr = mf_deepfm(3, &fs);
        ck_assert_int_eq(fr_train_ctr_finish(tr, &meta, &list.list.c, 1, dir, NULL), FR_OK);
        fr_train_ctr_free(tr);
    } else {
        struct fr_train_two_tower *tr = mf_two_tower(3, &fs);
        ck_assert_int_eq(fr_train_two_tower_finish(tr, &meta, &list.list.c, 1, dir, NULL), FR_OK);
        fr_train_two_tower_free(tr);
    }
    ck_assert_msg(fr_bundle_fields(dir, &own, &f) == FR_OK, "%s", f.msg);
    ck_assert_uint_eq(own.hash, fs.hash);
    ck_assert_int_eq(own.n < fs.n, _i == 1);
    ck_assert_int_eq(memcmp(own.n_cells, fs.n_cells, sizeof(own.n_cells)), 0);
    for (int i = 0; i < own.n; i++) {
        const struct fr_field *a = &own.f[i], *b = &fs.f[fr_field_find(&fs, fr_str_z(a->name))];
        ck_assert_str_eq(a->name, b->name);
        ck_assert_str_eq(a->table, b->table);
        ck_assert(a->entity == b->entity && a->kind == b->kind && a->vocab == b->vocab && a->slots == b->slots &&
                  a->first == b->first);
    }
    ck_assert_msg(fr_model_load(dir, &own, &m, &f) == FR_OK, "%s", f.msg);
    ck_assert_int_eq(fr_model_load(dir, &fs, &declared, NULL), FR_OK);
    ck_assert_int_eq(fr_model_score_case(m, &list.list.c, 0, ar, z), FR_OK);
    ck_assert_int_eq(fr_model_score_case(declared, &list.list.c, 0, ar, want), FR_OK);
    ck_assert_int_eq(memcmp(z, want, sizeof(z)), 0);
    ck_assert_int_eq(fr_bundle_fields("/nonexistent", &own, &f), FR_ENOTFOUND);
    fr_model_free(m);
    fr_model_free(declared);
    fr_arena_free(ar);
    tmpdir_free(tmp);
}
END_TEST

#define TEST ",\"selftest\":[{\"user\":[1,2],\"context\":[],\"items\":[[3]],\"cross\":[[]]}]}"
#define HASH "{\"schema_hash\":\"00000000000000ff\",\"fields\":["
#define FIELD(name, entity, kind, table, cell, slots, vocab)                                                           \
    "{\"name\":\"" name "\",\"entity\":\"" entity "\",\"kind\":\"" kind "\",\"table\":\"" table "\",\"cell\":" cell     \
    ",\"slots\":" slots ",\"vocab\":" vocab "}"
#define ITEM FIELD("item", "item", "id", "item", "0", "1", "0")

static const struct {
    const char *text;
    enum fr_err e;
    const char *says;
} bad[] = {
    {"", FR_ESYNTAX, "byte 0"},
    {"[]", FR_ESCHEMA, "fields"},
    {"{\"fields\":[]}", FR_ESCHEMA, "fields"},
    {"{\"fields\":[1]}", FR_ESCHEMA, "schema_hash"},
    {"{\"fields\":[1],\"schema_hash\":\"00000000000000fF\"}", FR_ESCHEMA, "schema_hash"},
    {HASH "1]}", FR_ESCHEMA, "selftest[0].user"},
    {HASH "1],\"selftest\":{}}", FR_ESCHEMA, "selftest[0].user"},
    {HASH "1],\"selftest\":[{\"user\":[],\"context\":[],\"items\":[],\"cross\":[]}]}", FR_ESCHEMA, "selftest[0].items"},
    {HASH "1]" TEST, FR_ESCHEMA, "fields[0]"},
    {HASH ITEM "," FIELD("No", "item", "id", "item", "0", "1", "0") "]" TEST, FR_ESCHEMA, "fields[1]: bad name"},
    {HASH FIELD("u", "users", "id", "item", "0", "1", "0") "]" TEST, FR_ESCHEMA, "field u: unknown entity"},
    {HASH FIELD("u", "user", "text", "item", "0", "1", "0") "]" TEST, FR_ESCHEMA, "field u: unknown entity or kind"},
    {HASH FIELD("u", "user", "id", "", "0", "1", "0") "]" TEST, FR_ESCHEMA, "bad table"},
    {HASH FIELD("u", "user", "id", "a/b", "0", "1", "0") "]" TEST, FR_ESCHEMA, "bad table"},
    {HASH FIELD("u", "user", "id", "t", "-1", "1", "0") "]" TEST, FR_ESCHEMA, "field u: cell"},
    {HASH FIELD("u", "user", "id", "t", "0", "65536", "0") "]" TEST, FR_ESCHEMA, "field u: slots"},
    {HASH FIELD("u", "user", "id", "t", "0", "1", "1.5") "]" TEST, FR_ESCHEMA, "field u: vocab"},
    {HASH FIELD("u", "user", "id", "t", "0", "0", "0") "]" TEST, FR_ESCHEMA, "field u: slots or vocab"},
    {HASH FIELD("u", "user", "bucket", "", "0", "1", "0") "]" TEST, FR_ESCHEMA, "field u: slots or vocab"},
    {HASH FIELD("u", "user", "id", "t", "1", "2", "0") "]" TEST, FR_ESCHEMA, "field u: cells 1..2 of 2"},
    {HASH ITEM "," ITEM "]" TEST, FR_EDUPLICATE, "field item is named twice"},
};

START_TEST(nonsense__refused_by_name)
{
    struct fr_fault f = {.err = FR_OK};

    own.n = -3;
    enum fr_err e = fr_bundle_fields_parse(fr_str_z(bad[_i].text), &own, &f);
    ck_assert_msg(e == bad[_i].e && f.err == e && strstr(f.msg, bad[_i].says) != NULL, "%s: %s: %s", bad[_i].text,
                  fr_err_name(e), f.msg);
    ck_assert_int_eq(own.n, -3);
}
END_TEST

START_TEST(order__by_cell_whatever_the_manifest_says)
{
    struct fr_fault f = {.err = FR_OK};
    const char *text = HASH ITEM "," FIELD("b", "user", "numeric", "", "1", "1", "0") "," FIELD(
        "a", "user", "bucket", "", "0", "1", "9") "]" TEST;

    ck_assert_msg(fr_bundle_fields_parse(fr_str_z(text), &own, &f) == FR_OK, "%s", f.msg);
    ck_assert_str_eq(own.f[0].name, "a");
    ck_assert_str_eq(own.f[1].name, "b");
    ck_assert_str_eq(own.f[2].name, "item");
    ck_assert(own.n == 3 && own.n_cells[0] == 2 && own.n_cells[1] == 0 && own.n_cells[2] == 1 && own.n_cells[3] == 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/bundle_fields");
    TCase *tc = tcase_create("fields");

    tcase_add_loop_test(tc, bundle__loads_under_its_own_fields, 0, 2);
    tcase_add_loop_test(tc, nonsense__refused_by_name, 0, (int)(sizeof(bad) / sizeof(bad[0])));
    tcase_add_test(tc, order__by_cell_whatever_the_manifest_says);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
