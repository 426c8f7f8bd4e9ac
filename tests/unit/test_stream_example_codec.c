/*
 * An example read back: what fr_example_encode() wrote comes back cell by cell, under the whole declaration and under
 * a part of it; what is not right is refused, and the reason names the field.
 */
#include "daemon/stream/example_codec.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/rng.h"
#include "tests/support/feat.h"

#define ROWS 3

static struct fr_recommended_item items[ROWS] = {
    {{"a", 1}, 0.5f, {"ann", 3}, 1.0}, {{"b", 1}, 0.25f, {"ann", 3}, 1.0}, {{"\xc3\xa9", 2}, 0, {"history", 7}, 1.0}};

static struct fr_recommendation rec(void)
{
    struct fr_recommendation r = {.user_id = FR_STR_LIT("u"), .items = items, .n_items = ROWS, .ts_event = 1234};

    fr_rec_id("events", 0, 1, 2, r.rec_id);
    return r;
}

START_TEST(written__read_back)
{
    struct fr_spec *spec = feat_spec(NULL);
    const struct fr_field_set *fs = &spec->fields;
    static struct fr_field_set part;
    struct fr_arena *ar = feat_arena();
    struct fr_recommendation r = rec();
    struct fr_cell *cells[FR_ENTITY_COUNT];
    uint32_t row[ROWS] = {2, 0, 1};
    struct fr_example_rows x;
    struct fr_fault fault = {.err = FR_OK};
    struct fr_buf b = {0};
    struct fr_rng rng;

    fr_rng_seed(&rng, 3);
    for (int e = 0; e < FR_ENTITY_COUNT; e++)
        cells[e] = fr_arena_zarray(ar, (size_t)fs->n_cells[e] * ROWS + 1, sizeof(**cells));
    for (int i = 0; i < fs->n; i++) /* used slots first, as features/ fills them */
        for (uint32_t k = 0; k < ROWS; k++) {
            uint64_t n = fr_rng_below(&rng, fs->f[i].slots + 1u);
            for (uint64_t s = 0; s < (fs->f[i].kind == FR_FIELD_NUMERIC ? 1 : n); s++)
                cells[fs->f[i].entity][k * fs->n_cells[fs->f[i].entity] + fs->f[i].first + s] =
                    (struct fr_cell){fs->f[i].kind == FR_FIELD_ID       ? fr_rng_u64(&rng) | 1
                                     : fs->f[i].kind == FR_FIELD_BUCKET ? 1 + fr_rng_below(&rng, 9)
                                                                        : 0,
                                     (float)fr_rng_normal(&rng)};
        }
    struct fr_example ex = {fs, &r, cells[0], cells[1], cells[2], cells[3], row, sizeof(row[0])};
    fr_example_encode(&ex, &b);
    ck_assert_int_eq(fr_buf_err(&b), FR_OK);
    ck_assert_msg(fr_example_decode(fs, ar, fr_buf_str(&b), &x, &fault) == FR_OK, "%s", fault.msg);
    ck_assert(fr_str_eqz(x.user_id, "u") && fr_str_eqz(x.rec_id, r.rec_id) && x.ts == 1234);
    ck_assert_uint_eq(x.n, ROWS);
    ck_assert(fr_str_eqz(x.item_id[2], "\xc3\xa9"));
    for (int e = 0; e < FR_ENTITY_COUNT; e++) {
        const struct fr_cell *got[] = {x.user, x.context, x.items, x.cross};
        uint32_t n = fs->n_cells[e], rows = e < 2 ? 1 : ROWS;
        for (uint32_t k = 0; k < rows; k++)
            for (uint32_t i = 0; i < n; i++) {
                const struct fr_cell *want = &cells[e][(e < 2 ? 0 : row[k]) * n + i], *g = &got[e][k * n + i];
                ck_assert_uint_eq(g->id, want->id);
                ck_assert_double_eq((double)g->x, (double)want->x);
            }
    }
    /* a model's part of the declaration: the second half of the fields */
    part = *fs;
    part.n = 0;
    for (int i = fs->n / 2; i < fs->n; i++)
        part.f[part.n++] = fs->f[i];
    ck_assert_int_eq(fr_example_decode(&part, ar, fr_buf_str(&b), &x, NULL), FR_OK);
    const struct fr_field *last = &part.f[part.n - 1];
    const struct fr_cell *group[] = {x.user, x.context, x.items, x.cross};
    uint32_t from = last->entity < FR_ENTITY_ITEM ? 0 : row[0];
    ck_assert_uint_eq(group[last->entity][last->first].id,
                      cells[last->entity][from * fs->n_cells[last->entity] + last->first].id);
    fr_buf_done(&b);
    fr_arena_free(ar);
    fr_spec_free(spec);
}
END_TEST

/* ---- hostile ---- */

#define HEAD "{\"schema\":\"freshet.example.v1\",\"schema_hash\":\"00000000000000ff\",\"user_id\":\"u\","
#define USER "\"user\":{\"hist\":[\"0000000000000007\",0.5],\"age\":3},\"context\":{\"hour\":[4,1]},"
#define ROW "{\"item_id\":\"i\",\"item\":{\"id\":[\"0000000000000009\",1]},\"cross\":{}}"

static const struct {
    const char *text;
    enum fr_err e;
    const char *says;
} bad[] = {
    {"", FR_ESYNTAX, "byte 0"},
    {"[]", FR_ESCHEMA, "an object is expected"},
    {"{}", FR_EVERSION, "schema"},
    {"{\"schema\":\"freshet.example.v1\",\"schema_hash\":255}", FR_ESCHEMA, "schema_hash"},
    {"{\"schema\":\"freshet.example.v1\",\"schema_hash\":\"00000000000000FF\"}", FR_ESCHEMA, "schema_hash"},
    {"{\"schema\":\"freshet.example.v1\",\"schema_hash\":\"00000000000000fe\"}", FR_EMISMATCH, "00000000000000fe"},
    {"{\"schema\":\"freshet.example.v1\",\"schema_hash\":\"00000000000000ff\"}", FR_ESCHEMA, "user_id"},
    {HEAD "\"ts\":\"x\"}", FR_ESCHEMA, "ts"},
    {HEAD "\"user\":[]}", FR_ESCHEMA, "user: an object"},
    {HEAD "\"user\":{\"age\":3}}", FR_ESCHEMA, "user.hist: is missing"},
    {HEAD "\"user\":{\"hist\":7,\"age\":3}}", FR_ESCHEMA, "user.hist: an array"},
    {HEAD "\"user\":{\"hist\":[\"0000000000000007\"],\"age\":3}}", FR_ESCHEMA, "user.hist: an array of pairs"},
    {HEAD "\"user\":{\"hist\":[\"7\",1],\"age\":3}}", FR_ESCHEMA, "user.hist: an id"},
    {HEAD "\"user\":{\"hist\":[\"0000000000000000\",1],\"age\":3}}", FR_ESCHEMA, "user.hist: an id"},
    {HEAD "\"user\":{\"hist\":[\"0000000000000007\",\"1\"],\"age\":3}}", FR_ESCHEMA, "user.hist: a number"},
    {HEAD "\"user\":{\"hist\":[\"0000000000000007\",1e39],\"age\":3}}", FR_ESCHEMA, "user.hist: a number"},
    {HEAD "\"user\":{\"hist\":[\"0000000000000007\",1,\"0000000000000007\",1,\"0000000000000007\",1],\"age\":3}}",
     FR_ESCHEMA, "user.hist: more values"},
    {HEAD "\"user\":{\"hist\":[],\"age\":\"3\"}}", FR_ESCHEMA, "user.age: a number"},
    {HEAD "\"user\":{\"hist\":[],\"age\":1e300}}", FR_ESCHEMA, "user.age: a number"},
    {HEAD "\"user\":{\"hist\":[],\"age\":3},\"context\":{\"hour\":[-1,1]}}", FR_ESCHEMA, "context.hour: a bucket"},
    {HEAD "\"user\":{\"hist\":[],\"age\":3},\"context\":{\"hour\":[1.5,1]}}", FR_ESCHEMA, "context.hour: a bucket"},
    {HEAD USER "\"rows\":[]}", FR_ESCHEMA, "rows: an array"},
    {HEAD USER "\"rows\":{}}", FR_ESCHEMA, "rows: an array"},
    {HEAD USER "\"rows\":[" ROW ",{}]}", FR_ESCHEMA, "rows[1].item_id"},
    {HEAD USER "\"rows\":[" ROW ",7]}", FR_ESCHEMA, "rows[1].item_id"},
    {HEAD USER "\"rows\":[" ROW ",{\"item_id\":\"i\"}]}", FR_ESCHEMA, "rows[1].item: an object"},
    {HEAD USER "\"rows\":[{\"item_id\":\"i\",\"item\":{\"id\":[]},\"cross\":1}]}", FR_ESCHEMA, "rows[0].cross: an object"},
    {HEAD USER "\"rows\":[{\"item_id\":\"i\",\"item\":{\"id\":[1,1]},\"cross\":{}}]}", FR_ESCHEMA, "rows[0].item.id: an id"},
    {HEAD USER "\"rows\":[" ROW "]} x", FR_ESYNTAX, "byte"},
};

static void fields(struct fr_field_set *fs)
{
    memset(fs, 0, sizeof(*fs));
    fs->hash = 255;
    ck_assert_int_eq(fr_field_add(fs, "hist", FR_ENTITY_USER, FR_FIELD_ID, "item", 0, 2), FR_OK);
    ck_assert_int_eq(fr_field_add(fs, "age", FR_ENTITY_USER, FR_FIELD_NUMERIC, "", 0, 1), FR_OK);
    ck_assert_int_eq(fr_field_add(fs, "hour", FR_ENTITY_CONTEXT, FR_FIELD_BUCKET, "", 25, 1), FR_OK);
    ck_assert_int_eq(fr_field_add(fs, "id", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1), FR_OK);
}

START_TEST(hostile__refused_by_name)
{
    static struct fr_field_set fs;
    struct fr_arena *ar = feat_arena();
    struct fr_example_rows x = {.n = 77};
    struct fr_fault fault = {.err = FR_OK};

    fields(&fs);
    enum fr_err e = fr_example_decode(&fs, ar, fr_str_z(bad[_i].text), &x, &fault);
    ck_assert_msg(e == bad[_i].e && fault.err == e && strstr(fault.msg, bad[_i].says) != NULL, "%s: %s: %s",
                  bad[_i].text, fr_err_name(e), fault.msg);
    ck_assert_uint_eq(x.n, 77);
    fr_arena_free(ar);
}
END_TEST

START_TEST(smallest__taken_and_unknown_members_ignored)
{
    static struct fr_field_set fs;
    struct fr_arena *ar = feat_arena();
    struct fr_example_rows x;
    struct fr_fault fault = {.err = FR_OK};
    const char *text = HEAD "\"new\":{}," USER "\"rows\":[" ROW "]}";

    fields(&fs);
    ck_assert_msg(fr_example_decode(&fs, ar, fr_str_z(text), &x, &fault) == FR_OK, "%s", fault.msg);
    ck_assert(x.user[0].id == 7 && x.user[1].id == 0 && x.items[0].id == 9 && x.context[0].id == 4);
    ck_assert_double_eq((double)x.user[2].x, 3);
    ck_assert(x.ts == 0 && x.rec_id.n == 0);
    fr_arena_free(ar);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream/example_codec");
    TCase *tc = tcase_create("decode");

    tcase_add_test(tc, written__read_back);
    tcase_add_loop_test(tc, hostile__refused_by_name, 0, (int)(sizeof(bad) / sizeof(bad[0])));
    tcase_add_test(tc, smallest__taken_and_unknown_members_ignored);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
