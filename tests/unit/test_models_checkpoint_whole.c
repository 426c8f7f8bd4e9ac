/* A whole model in a checkpoint, ids and weights, when its trainer is gone: it comes back as it was, or is refused. */
#include <string.h>

#include "models/model_parts.h"
#include "models/train/checkpoint_trainers.h"
#include "models/train/train_two_tower.h"
#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

enum { N = 6, STEPS = 5 };

static struct fr_field_set fs;
static struct fr_cell user[N], item[N];
static char *dir, path[4096];

static void setup(void)
{
    memset(&fs, 0, sizeof(fs));
    fs.hash = 5;
    ck_assert_int_eq(fr_field_add(&fs, "user", FR_ENTITY_USER, FR_FIELD_ID, "user", 0, 1), FR_OK);
    ck_assert_int_eq(fr_field_add(&fs, "item", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1), FR_OK);
    for (uint64_t i = 0; i < N; i++) {
        user[i] = (struct fr_cell){100 + i, 1};
        item[i] = (struct fr_cell){500 + i, 1};
    }
    dir = tmpdir_make();
    ck_assert_ptr_nonnull(dir);
    ck_assert(tmpdir_path(dir, "whole", path, sizeof(path)));
}

static void teardown(void)
{
    tmpdir_free(dir);
}

static struct fr_train_two_tower *trainer(int dim)
{
    struct fr_two_tower_train_config c;
    struct fr_train_two_tower *tr = NULL;

    fr_two_tower_train_config_default(&c);
    c.model.emb_dim = c.model.dim = dim;
    c.model.n_hidden = 0;
    c.negatives = 2;
    ck_assert_int_eq(fr_train_two_tower_new(&c, &fs, &tr, NULL), FR_OK);
    return tr;
}

static struct fr_model *trained(void)
{
    struct fr_train_two_tower *tr = trainer(4);
    struct fr_model *m = NULL;

    for (uint32_t s = 0; s < STEPS; s++) {
        const struct fr_cell *u[2] = {&user[s], &user[(s + 2) % N]};
        const uint32_t positive[2] = {s, (s + 3) % N};
        struct fr_two_tower_batch b = {2, u, NULL, positive, NULL, {item, N}};

        ck_assert_int_eq(fr_train_two_tower_step(tr, &b, NULL), FR_OK);
    }
    ck_assert_int_eq(fr_train_two_tower_model(tr, &m, NULL), FR_OK);
    fr_train_two_tower_free(tr);
    return m;
}

static void save(struct fr_model *m)
{
    struct fr_checkpoint *ck = NULL;

    ck_assert_int_eq(fr_checkpoint_new(&ck), FR_OK);
    fr_checkpoint_section(ck, "tower");
    fr_train_two_tower_left(NULL, &m, ck);
    ck_assert_int_eq(fr_checkpoint_write(ck, path, NULL), FR_OK);
    fr_checkpoint_free(ck);
}

static enum fr_err load(int dim, struct fr_model **m, struct fr_fault *f)
{
    struct fr_train_two_tower *tr = trainer(dim);
    struct fr_checkpoint *ck = NULL;
    enum fr_err e;

    ck_assert_int_eq(fr_checkpoint_read(path, &ck, NULL), FR_OK);
    fr_checkpoint_section(ck, "tower");
    fr_train_two_tower_left(tr, m, ck);
    e = fr_checkpoint_end(ck, f);
    fr_checkpoint_free(ck);
    fr_train_two_tower_free(tr);
    return e;
}

START_TEST(left__loaded_by_a_new_trainer__ids_weights_and_scores_as_they_were)
{
    const struct fr_cell *items[N];
    struct fr_model *m = trained(), *back = NULL;
    const struct fr_tensor *a, *b;
    struct fr_arena *ar = NULL;
    float was[N], is[N];
    int n = 0, n_back = 0;

    save(m);
    ck_assert_int_eq(load(4, &back, NULL), FR_OK);
    ck_assert(fr_encoder_same_ids(fr_model_encoder(m), fr_model_encoder(back)));
    ck_assert(fr_encoder_same_ids(fr_model_encoder(back), fr_model_encoder(m)));
    a = fr_model_tensors(m, &n);
    b = fr_model_tensors(back, &n_back);
    ck_assert_int_eq(n_back, n);
    for (int i = 0; i < n; i++) {
        ck_assert_str_eq(a[i].name, b[i].name);
        ck_assert_mem_eq(a[i].data, b[i].data, fr_tensor_count(&a[i]) * sizeof(float));
    }
    for (int i = 0; i < N; i++)
        items[i] = &item[i];
    ck_assert_int_eq(fr_arena_new(1 << 12, 0, &ar), FR_OK);
    for (int u = 0; u < N; u++) {
        struct fr_model_case c = {&user[u], NULL, items, NULL, N};

        ck_assert_int_eq(fr_model_score_case(m, &c, 0, ar, was), FR_OK);
        ck_assert_int_eq(fr_model_score_case(back, &c, 0, ar, is), FR_OK);
        ck_assert_mem_eq(was, is, sizeof(was));
    }
    fr_arena_free(ar);
    fr_model_free(m);
    fr_model_free(back);
}
END_TEST

START_TEST(left__another_width_or_other_fields__refused)
{
    struct fr_model *m = trained(), *back = NULL;
    struct fr_fault f = {.err = FR_OK};

    save(m);
    ck_assert_int_ne(load(3, &back, &f), FR_OK);
    ck_assert_ptr_null(back);
    ck_assert_msg(strstr(f.msg, "tower/model: ") != NULL, "%s", f.msg);
    fs.hash = 6;
    ck_assert_int_eq(load(4, &back, &f), FR_EMISMATCH);
    ck_assert_ptr_null(back);
    ck_assert_msg(strstr(f.msg, "tower/fields: 5 there, 6 here") != NULL, "%s", f.msg);
    fr_model_free(m);
}
END_TEST

START_TEST(left__there_is_no_model__refused)
{
    struct fr_model *m = trained(), *none = NULL;
    struct fr_checkpoint *ck = NULL;
    struct fr_fault f = {.err = FR_OK};

    ck_assert_int_eq(fr_checkpoint_new(&ck), FR_OK);
    fr_checkpoint_section(ck, "tower");
    fr_checkpoint_encoder(ck, (struct fr_encoder *)(uintptr_t)fr_model_encoder(m), false);
    fr_checkpoint_model(ck, &none, fr_train_two_tower_build, NULL);
    ck_assert_int_eq(fr_checkpoint_write(ck, path, NULL), FR_OK);
    fr_checkpoint_free(ck);
    ck_assert_int_eq(load(4, &none, &f), FR_ESCHEMA);
    ck_assert_msg(strstr(f.msg, "tower/model: is missing") != NULL, "%s", f.msg);
    fr_model_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/train/checkpoint: whole models");
    TCase *tc = tcase_create("left");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, left__loaded_by_a_new_trainer__ids_weights_and_scores_as_they_were);
    tcase_add_test(tc, left__another_width_or_other_fields__refused);
    tcase_add_test(tc, left__there_is_no_model__refused);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
