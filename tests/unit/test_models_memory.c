/* Bytes held, by the allocator: a large table is trained on, written, loaded and ranked with within 1.3 times
 * its weights and optimiser state (loading: its weights), and what every thread has anyway. What bench_memory
 * measures of 10 M rows, small enough to be run always.
 * ctest: timeout 600
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"
#include "models/train/train_ctr.h"
#include "models/train/train_two_tower.h"
#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

#define ROWS 300000
#define DIM 16
#define LIMIT 1.3
#define THREAD 1.1e6 /* a trainer, and each of its workers: an arena of 1 MiB */
#define N 256 /* candidates of a list */

static struct fr_field_set fs;
static struct fr_cell user, item[N];
static const struct fr_cell *ptr[N];
static float label[N];
static struct fr_rank_list list;
static char *dir, path[512];

static void setup(void)
{
    memset(&fs, 0, sizeof(fs));
    fs.hash = 1;
    ck_assert_int_eq(fr_field_add(&fs, "user", FR_ENTITY_USER, FR_FIELD_ID, "user", 0, 1), FR_OK);
    ck_assert_int_eq(fr_field_add(&fs, "item", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1), FR_OK);
    dir = tmpdir_make();
    ck_assert_ptr_nonnull(dir);
    (void)snprintf(path, sizeof(path), "%s/bundle", dir);
}

static void teardown(void)
{
    fr_alloc_watch(false);
    tmpdir_free(dir);
}

static void fill(uint64_t first, uint64_t stride)
{
    user = (struct fr_cell){fr_mix64(first % 50 + 1), 1};
    for (uint64_t i = 0; i < N; i++) {
        item[i] = (struct fr_cell){fr_mix64((first + i * stride) % ROWS + 1), 1};
        ptr[i] = &item[i];
        label[i] = i == 0;
    }
    list = (struct fr_rank_list){{&user, NULL, ptr, NULL, N}, 0, label, 1, NULL};
}

static double arrays(enum fr_optimizer o)
{
    return 1 + fr_optimizer_has_m(o) + fr_optimizer_has_v(o);
}

static void within(const char *what, double base, int arenas)
{
    double got = ((double)fr_alloc_peak() - THREAD * arenas) / base;
    ck_assert_msg(got <= LIMIT, "%s: %.2f MB of %.2f MB: %.3fx", what, (double)fr_alloc_peak() / 1e6, base / 1e6, got);
    ck_assert_msg(got >= 1, "%s: %.3fx: something is not counted", what, got);
}

static struct fr_train_ctr *trainer(enum fr_optimizer o, int threads)
{
    struct fr_ctr_train_config c;
    struct fr_train_ctr *tr = NULL;
    fr_ctr_train_config_default(&c);
    c.loss = FR_LOSS_BCE;
    c.model.dim = DIM;
    c.model.hidden[0] = c.model.hidden[1] = 8;
    c.opt.optimizer = o;
    c.opt.threads = threads;
    c.opt.admit = 1;
    ck_assert_int_eq(fr_train_ctr_new(&c, &fs, &tr, NULL), FR_OK);
    return tr;
}

/* Loop: adam with 6 threads, then sgd with 1; the vocabulary is there before the first step or grows with the
 * steps. */
START_TEST(deepfm__trained_and_written__within_the_limit)
{
    enum fr_optimizer o = _i / 2 == 0 ? FR_OPTIMIZER_ADAM : FR_OPTIMIZER_SGD;
    int threads = _i / 2 == 0 ? 6 : 1;
    struct fr_model_meta meta = {.name = "deepfm", .version = 1, .parent = "", .created_ms = 1};
    double base = (double)ROWS * (DIM + 1) * sizeof(float) * arrays(o);
    struct fr_fault f = {0};
    fr_alloc_watch(true);
    struct fr_train_ctr *tr = trainer(o, threads);
    for (uint64_t at = 0; at < ROWS; at += N) {
        fill(at, 1);
        if (_i % 2 == 0)
            ck_assert_int_eq(fr_train_ctr_observe(tr, &list, 1), FR_OK);
        else
            ck_assert_int_eq(fr_train_ctr_step(tr, &list, 1, NULL), FR_OK);
    }
    for (uint64_t step = 0; step < 50; step++) {
        fill(step * 7919, 7919);
        ck_assert_int_eq(fr_train_ctr_step(tr, &list, 1, NULL), FR_OK);
    }
    list.c.n = 8;
    ck_assert_msg(fr_train_ctr_finish(tr, &meta, &list.c, 1, path, &f) == FR_OK, "%s", f.msg);
    within("trained and written", base, threads + 1);
    fr_train_ctr_free(tr);
}
END_TEST

START_TEST(deepfm__loaded_and_ranked__within_the_limit_of_its_weights)
{
    static struct fr_slot slots[N];
    static const struct fr_slot *items[N];
    static float before[N], after[N];
    struct fr_model_meta meta = {.name = "deepfm", .version = 1, .parent = "", .created_ms = 1};
    struct fr_train_ctr *tr = trainer(FR_OPTIMIZER_SGD, 1);
    struct fr_model *m = NULL;
    struct fr_arena *ar = NULL;
    struct fr_slot us;
    struct fr_fault f = {0};
    for (uint64_t at = 0; at < ROWS; at += N) {
        fill(at, 1);
        ck_assert_int_eq(fr_train_ctr_step(tr, &list, 1, NULL), FR_OK);
    }
    ck_assert_int_eq(fr_train_ctr_eval(tr, &list, 1, NULL, before), FR_OK);
    list.c.n = 8;
    ck_assert_msg(fr_train_ctr_finish(tr, &meta, &list.c, 1, path, &f) == FR_OK, "%s", f.msg);
    fr_train_ctr_free(tr);
    fr_alloc_watch(true);
    ck_assert_msg(fr_model_load(path, &fs, &m, &f) == FR_OK, "%s", f.msg);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_model_encode(m, FR_ENTITY_USER, &user, 1, &us), FR_OK);
    for (int i = 0; i < N; i++) {
        items[i] = &slots[i];
        ck_assert_int_eq(fr_model_encode(m, FR_ENTITY_ITEM, &item[i], 1, &slots[i]), FR_OK);
    }
    struct fr_rank_query q = {&us, NULL, items, NULL, N, NULL};
    ck_assert_int_eq(fr_model_rank(m, &q, 0, ar, after, NULL), FR_OK);
    within("loaded and ranked", (double)ROWS * (DIM + 1) * sizeof(float), 0);
    for (int i = 0; i < N; i++)
        mf_float_tol(after[i], (double)before[i], 1e-5);
    fr_arena_free(ar);
    fr_model_free(m);
}
END_TEST

START_TEST(two_tower__trained_written_and_loaded__within_the_limit)
{
    struct fr_model_meta meta = {.name = "two_tower", .version = 1, .parent = "", .created_ms = 1};
    struct fr_two_tower_train_config c;
    struct fr_train_two_tower *tr = NULL;
    struct fr_cell *all = fr_calloc(ROWS, sizeof(*all));
    const struct fr_cell *users[N];
    uint32_t positive[N];
    struct fr_two_tower_batch b = {.n = N, .user = users, .item = positive, .items = {all, ROWS}};
    struct fr_model_case mc;
    struct fr_model *m = NULL;
    struct fr_fault f = {0};
    double base = (double)ROWS * DIM * sizeof(float);
    ck_assert_ptr_nonnull(all);
    for (uint64_t i = 0; i < ROWS; i++)
        all[i] = (struct fr_cell){fr_mix64(i + 1), 1};
    fill(0, 1);
    for (int i = 0; i < N; i++)
        users[i] = &user;
    fr_two_tower_train_config_default(&c);
    c.model.emb_dim = c.model.dim = DIM;
    c.model.n_hidden = 0;
    c.model.skip = c.model.gates = false;
    c.opt.admit = 1;
    c.negatives = 32;
    c.logq = false;
    fr_alloc_watch(true);
    ck_assert_msg(fr_train_two_tower_new(&c, &fs, &tr, &f) == FR_OK, "%s", f.msg);
    for (uint32_t at = 0; at < ROWS; at += N) {
        for (uint32_t i = 0; i < N; i++)
            positive[i] = (at + i) % ROWS;
        ck_assert_int_eq(fr_train_two_tower_step(tr, &b, NULL), FR_OK);
    }
    mc = (struct fr_model_case){&user, NULL, ptr, NULL, 8};
    ck_assert_msg(fr_train_two_tower_finish(tr, &meta, &mc, 1, path, &f) == FR_OK, "%s", f.msg);
    within("trained and written", 3 * base, 2);
    fr_train_two_tower_free(tr);
    fr_alloc_watch(true);
    ck_assert_msg(fr_model_load(path, &fs, &m, &f) == FR_OK, "%s", f.msg);
    within("loaded", base, 0);
    fr_model_free(m);
    fr_alloc_watch(false);
    fr_free(all);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/memory");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, deepfm__trained_and_written__within_the_limit, 0, 4);
    tcase_add_test(tc, deepfm__loaded_and_ranked__within_the_limit_of_its_weights);
    tcase_add_test(tc, two_tower__trained_written_and_loaded__within_the_limit);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
