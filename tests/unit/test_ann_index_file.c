/*
 * tests/unit/test_ann_index_file.c - saved indexes: what comes back is what was saved, and a file that was
 * cut, changed or made by an enemy is refused or harmless.
 */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ann/flat.h"
#include "ann/hnsw.h"
#include "ann/index.h"
#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/base/hash.h"
#include "daemon/base/rng.h"
#include "models/tensor.h"
#include "tests/support/tmpdir.h"

#define DIM 7
#define N 120
#define CRC_BYTES 4

static char *dir;
static char path[512];
static struct fr_arena *ar;
static struct fr_rng rng;

static void set_up(void)
{
    dir = tmpdir_make();
    ck_assert_ptr_nonnull(dir);
    ck_assert(tmpdir_path(dir, "index", path, sizeof(path)));
    ck_assert_int_eq(fr_arena_new(65536, 0, &ar), FR_OK);
    fr_rng_seed(&rng, 3);
}

static void tear_down(void)
{
    fr_arena_free(ar);
    tmpdir_free(dir);
}

static void vector(float v[DIM])
{
    double sum = 0;

    for (int i = 0; i < DIM; i++) {
        v[i] = (float)fr_rng_normal(&rng);
        sum += (double)v[i] * (double)v[i];
    }
    for (int i = 0; i < DIM; i++)
        v[i] /= (float)sqrt(sum);
}

static struct fr_index *make(bool graph)
{
    const struct fr_hnsw_config c = {DIM, 5, 40, 60, 0};
    struct fr_index *ix;
    float v[DIM];

    ck_assert_int_eq(graph ? fr_hnsw_new(&c, &ix) : fr_flat_new(DIM, &ix), FR_OK);
    for (uint64_t i = 1; i <= N; i++) {
        vector(v);
        ck_assert_int_eq(fr_index_put(ix, i * 977, v), FR_OK);
    }
    for (uint64_t i = 1; i <= N; i += 6) /* tombstones and moved points go into the file too */
        ck_assert(fr_index_remove(ix, i * 977));
    for (uint64_t i = 2; i <= N; i += 7) {
        vector(v);
        ck_assert_int_eq(fr_index_put(ix, i * 977, v), FR_OK);
    }
    return ix;
}

static enum fr_err load(bool graph, int dim, struct fr_index **out, struct fr_fault *fault)
{
    return graph ? fr_hnsw_load(path, dim, out, fault) : fr_flat_load(path, dim, out, fault);
}

static void assert_same(const struct fr_index *a, const struct fr_index *b)
{
    struct fr_index_stats sa, sb;
    float q[DIM];

    fr_index_stats(a, &sa);
    fr_index_stats(b, &sb);
    ck_assert_uint_eq(sa.live, sb.live);
    for (int i = 0; i < 200; i++) {
        struct fr_ann_hit *ha, *hb;
        uint32_t na, nb;
        vector(q);
        ck_assert_int_eq(fr_index_search(a, q, 10, NULL, NULL, ar, &ha, &na), FR_OK);
        ck_assert_int_eq(fr_index_search(b, q, 10, NULL, NULL, ar, &hb, &nb), FR_OK);
        ck_assert_uint_eq(na, nb);
        for (uint32_t k = 0; k < na; k++) {
            ck_assert_uint_eq(ha[k].label, hb[k].label);
            ck_assert_mem_eq(&ha[k].score, &hb[k].score, sizeof(float));
        }
        fr_arena_reset(ar);
    }
}

START_TEST(save_load__same_answers_and_still_changeable)
{
    bool graph = _i == 1;
    struct fr_index *ix = make(graph), *back;
    struct fr_fault fault;
    float v[DIM];

    ck_assert_int_eq(fr_index_save(ix, path, &fault), FR_OK);
    ck_assert_int_eq(load(graph, DIM, &back, &fault), FR_OK);
    assert_same(ix, back);
    vector(v);
    ck_assert_int_eq(fr_index_put(ix, 5, v), FR_OK);
    ck_assert_int_eq(fr_index_put(back, 5, v), FR_OK);
    ck_assert_mem_eq(fr_index_vector(back, 5), v, sizeof(v));
    ck_assert(fr_index_remove(back, 5));
    fr_index_free(ix);
    fr_index_free(back);
    ck_assert_int_eq(load(graph, DIM + 1, &back, &fault), FR_EMISMATCH);
    ck_assert(strstr(fault.msg, "dimension") != NULL);
    ck_assert_int_eq(load(!graph, DIM, &back, &fault), FR_EMISMATCH);
    ck_assert(strstr(fault.msg, "kind") != NULL);
    ck_assert(tmpdir_remove(path));
    ck_assert_int_eq(load(graph, DIM, &back, &fault), FR_ENOTFOUND);
}
END_TEST

START_TEST(save_load__empty)
{
    bool graph = _i == 1;
    const struct fr_hnsw_config c = {DIM, 5, 40, 60, 0};
    struct fr_index *ix, *back;
    struct fr_fault fault;

    ck_assert_int_eq(graph ? fr_hnsw_new(&c, &ix) : fr_flat_new(DIM, &ix), FR_OK);
    ck_assert_int_eq(fr_index_save(ix, path, &fault), FR_OK);
    ck_assert_int_eq(load(graph, 0, &back, &fault), FR_OK);
    ck_assert_uint_eq(fr_index_size(back), 0);
    fr_index_free(ix);
    fr_index_free(back);
}
END_TEST

/* Read the saved file; the caller frees. */
static char *image(bool graph, size_t *n)
{
    struct fr_index *ix = make(graph);
    struct fr_fault fault;
    char *bytes;

    ck_assert_int_eq(fr_index_save(ix, path, &fault), FR_OK);
    ck_assert_int_eq(fr_file_read(path, 1 << 24, &bytes, n, &fault), FR_OK);
    fr_index_free(ix);
    return bytes;
}

START_TEST(load__cut_anywhere__refused)
{
    bool graph = _i == 1;
    size_t n;
    char *bytes = image(graph, &n);

    for (size_t cut = 0; cut < n; cut += cut < 100 ? 1 : 37) {
        struct fr_index *back = NULL;
        struct fr_fault fault = {FR_OK, NULL, 0, ""};
        ck_assert(tmpdir_write(path, bytes, cut));
        ck_assert_int_ne(load(graph, DIM, &back, &fault), FR_OK);
        ck_assert(back == NULL && fault.msg[0] != '\0');
    }
    fr_free(bytes);
}
END_TEST

START_TEST(load__a_byte_changed__refused_by_the_checksum)
{
    bool graph = _i == 1;
    size_t n;
    char *bytes = image(graph, &n);

    for (size_t at = 0; at < n; at += at < 100 ? 1 : 41) {
        struct fr_index *back = NULL;
        struct fr_fault fault = {FR_OK, NULL, 0, ""};
        bytes[at] ^= (char)(1 << (at % 8));
        ck_assert(tmpdir_write(path, bytes, n));
        bytes[at] ^= (char)(1 << (at % 8));
        ck_assert_int_ne(load(graph, DIM, &back, &fault), FR_OK);
        ck_assert_ptr_null(back);
    }
    fr_free(bytes);
}
END_TEST

/* With a checksum that fits, every field is checked on its own: refused, or an index that can be searched
 * and changed without harm. */
START_TEST(load__changed_with_a_fitting_checksum__refused_or_harmless)
{
    bool graph = _i == 1;
    size_t n;
    char *bytes = image(graph, &n), *copy = fr_malloc_array(n, 1);
    int refused = 0, taken = 0;

    ck_assert_ptr_nonnull(copy);
    for (int round = 0; round < 3000; round++) {
        struct fr_index *back = NULL;
        struct fr_fault fault = {FR_OK, NULL, 0, ""};
        int changes = 1 + (int)fr_rng_below(&rng, 3);
        uint32_t crc;
        memcpy(copy, bytes, n);
        for (int c = 0; c < changes; c++) {
            size_t at = (size_t)fr_rng_below(&rng, (c & 1) != 0 ? 200 : n - CRC_BYTES);
            static const unsigned char nasty[] = {0, 1, 0x7f, 0x80, 0xff};
            if (fr_rng_below(&rng, 2) == 0)
                copy[at] = (char)nasty[fr_rng_below(&rng, sizeof(nasty))];
            else
                copy[at] ^= (char)(1 << fr_rng_below(&rng, 8));
        }
        crc = fr_crc32(0, copy, n - CRC_BYTES);
        for (int k = 0; k < CRC_BYTES; k++)
            copy[n - CRC_BYTES + (size_t)k] = (char)(unsigned char)(crc >> (8 * k));
        ck_assert(tmpdir_write(path, copy, n));
        if (load(graph, DIM, &back, &fault) != FR_OK) {
            ck_assert(back == NULL && fault.msg[0] != '\0');
            refused++;
            continue;
        }
        taken++;
        float q[DIM];
        struct fr_ann_hit *hits;
        uint32_t got;
        vector(q);
        ck_assert_int_eq(fr_index_search(back, q, 20, NULL, NULL, ar, &hits, &got), FR_OK);
        ck_assert_int_eq(fr_index_put(back, 1234567, q), FR_OK);
        fr_arena_reset(ar);
        fr_index_free(back);
    }
    ck_assert_int_gt(refused, 500);
    ck_assert_int_gt(taken, 0); /* a vector's last bits, a label, a link to another point */
    fr_free(copy);
    fr_free(bytes);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ann/index_file");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, save_load__same_answers_and_still_changeable, 0, 2);
    tcase_add_loop_test(t, save_load__empty, 0, 2);
    tcase_add_loop_test(t, load__cut_anywhere__refused, 0, 2);
    tcase_add_loop_test(t, load__a_byte_changed__refused_by_the_checksum, 0, 2);
    tcase_add_loop_test(t, load__changed_with_a_fitting_checksum__refused_or_harmless, 0, 2);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
