/*
 * tests/unit/test_cli_import_data.c - the real data sets through the layouts and the shipped mapping files:
 * no bad record, and the daemon's own codecs take every event and every item.
 * Data: $FRESHET_DATA, else SOURCE_DIR/../shared/data. (What the events must be: tests/script/import.sh.)
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/cli/import_map.h"
#include "daemon/cli/import_read.h"
#include "daemon/stream/event_codec.h"
#include "daemon/stream/item_codec.h"
#include "tests/support/feat.h"

/* One data set; `map` NULL: a layout that is built in. */
static const struct {
    const char *name, *map;
    int n; /* of {n} */
    uint64_t events, items;
} sets[] = {
    {"yoochoose", NULL, 1, 209219, 0},
    {"ml-1m", NULL, 0, 487650, 3883},
    {"ml-100k", "ml-100k.map", 0, 100000, 1682},
    {"online-retail", "online-retail.map", 0, 397924, 0},
};
#define N_SETS ((int)(sizeof(sets) / sizeof(sets[0])))

static const char *data_dir(int i)
{
    static char path[1024];
    const char *env = getenv("FRESHET_DATA");

    (void)snprintf(path, sizeof(path), "%s/%s", env != NULL ? env : FR_TEST_DIR "/../../shared/data", sets[i].name);
    return path;
}

static void load_map(int i, struct fr_import_map *m)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    char path[1024], *text = NULL;
    size_t n = 0;
    enum fr_err e;

    if (sets[i].map == NULL) {
        e = fr_import_map_parse(fr_str_z(fr_import_map_builtin(sets[i].name)), sets[i].name, m, &fault);
    } else {
        (void)snprintf(path, sizeof(path), "%s/../deploy/conf/import/%s", FR_TEST_DIR, sets[i].map);
        e = fr_file_read(path, 1 << 20, &text, &n, &fault);
        if (e == FR_OK)
            e = fr_import_map_parse((struct fr_str){text, n}, path, m, &fault);
        fr_free(text);
    }
    ck_assert_msg(e == FR_OK, "%s", fault.msg);
}

/* As the daemon would, were they records that came a second after the event. */
static void decode_all(const struct fr_import_rows *rows)
{
    struct fr_spec *spec = feat_spec(NULL);
    struct fr_arena *ar = feat_arena();
    struct fr_codec_error ce;
    struct fr_buf b;

    fr_buf_init(&b);
    for (uint64_t i = 0; i < rows->n_events; i++) {
        const struct fr_import_event *from = &rows->event[i];
        struct fr_event ev;
        fr_buf_clear(&b);
        fr_import_event_json(rows, from, from->ts, &b);
        if (fr_event_decode(spec, ar, fr_import_rows_str(rows, from->user), fr_buf_str(&b), from->ts + 1000, &ev, &ce) != FR_OK ||
            ev.ts != from->ts || !fr_str_eq(ev.item_id, fr_import_rows_str(rows, from->item)) ||
            ev.has_value != from->has_value || ev.value < from->value || ev.value > from->value)
            ck_abort_msg("event %llu: %.*s", (unsigned long long)i, FR_STR_ARG(fr_buf_str(&b)));
        fr_arena_reset(ar);
    }
    for (uint64_t i = 0; i < rows->n_items; i++) {
        struct fr_item_record it;
        fr_buf_clear(&b);
        fr_import_item_json(rows, &rows->item[i], &b);
        ck_assert_msg(fr_item_decode(spec, ar, fr_import_rows_str(rows, rows->item[i].id), fr_buf_str(&b), &it, &ce) == FR_OK,
                      "%.*s", FR_STR_ARG(fr_buf_str(&b)));
        fr_arena_reset(ar);
    }
    fr_buf_done(&b);
    fr_arena_free(ar);
    fr_spec_free(spec);
}

START_TEST(data__every_record_is_taken)
{
    static struct fr_import_map m;
    struct fr_import_rows rows = {0};
    struct fr_import_read r = {.map = &m, .dir = data_dir(_i), .n_from = sets[_i].n, .n_to = sets[_i].n, .strict = true};
    struct fr_fault fault = {FR_OK, NULL, 0, ""};

    load_map(_i, &m);
    ck_assert_msg(fr_import_read(&r, &rows, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_uint_eq(rows.n_events, sets[_i].events);
    ck_assert_uint_ge(rows.n_items, sets[_i].items == 0 ? 1 : sets[_i].items);
    if (sets[_i].items > 0)
        ck_assert_uint_eq(rows.n_items, sets[_i].items);
    decode_all(&rows);
    fr_import_rows_done(&rows);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli/import_data");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    for (int i = 0; i < N_SETS; i++) {
        struct stat st;
        if (stat(data_dir(i), &st) != 0) {
            (void)printf("SKIP unit.cli_import_data: no %s\n", data_dir(i));
            return 77;
        }
    }
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, data__every_record_is_taken, 0, N_SETS);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
