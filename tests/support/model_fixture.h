/*
 * tests/support/model_fixture.h - one field set for all model tests, and the way from golden files
 * to trainers: the same declaration stands in tests/golden/make_golden.py.
 */
#ifndef FR_TESTS_SUPPORT_MODEL_FIXTURE_H
#define FR_TESTS_SUPPORT_MODEL_FIXTURE_H

#include <check.h>

#include "daemon/base/field.h"
#include "daemon/base/rng.h"
#include "models/model.h"
#include "models/train/train_priv.h"
#include "tests/support/golden.h"

#define MF_USER_CELLS 6
#define MF_CONTEXT_CELLS 1
#define MF_ITEM_CELLS 5
#define MF_CROSS_CELLS 2
#define MF_MAX_LIST 16

/* Check's own float assertions promote to double under our warnings. */
#define mf_float_eq(a, b) ck_assert_double_eq((double)(a), (double)(b))
#define mf_float_tol(a, b, t) ck_assert_double_eq_tol((double)(a), (double)(b), (double)(t))

/** Run a suite; the exit code of the test program. */
int mf_run(Suite *s);

/** u_id hist(4) u_num | hour | i_id cats(3) i_num | x_num x_bkt */
void mf_field_set(struct fr_field_set *fs);

/** Cells "<name>.id" and "<name>.x" of a golden file: rows x cells, in the file's arena. */
struct fr_cell *mf_cells(const struct golden *g, const char *name, size_t *out_rows);

/** The names in meta "fields". */
int mf_meta_names(const struct golden *g, const char **out, int cap);

/** Copy "param.<name>" of the file over every parameter; ends the test if a size differs. */
void mf_set_params(struct fr_params *p, const struct golden *g);
/** Compare all parameters with "<prefix>.<name>". */
void mf_check_params(const struct fr_params *p,
                     const struct golden *g,
                     const char *prefix,
                     double atol,
                     double rtol);
/** Compare gradients with "grad.<name>"; untouched rows are 0. */
void mf_check_grads(const struct fr_params *p,
                    const struct fr_grads *gr,
                    const struct golden *g,
                    double atol,
                    double rtol);

/** A random list of n candidates over the field set; owns its memory. */
struct mf_list {
    struct fr_cell user[MF_USER_CELLS], context[MF_CONTEXT_CELLS];
    struct fr_cell item[MF_MAX_LIST][MF_ITEM_CELLS], cross[MF_MAX_LIST][MF_CROSS_CELLS];
    const struct fr_cell *item_ptr[MF_MAX_LIST];
    struct fr_rank_list list;
};
void mf_random_list(struct fr_rng *r, int n, struct mf_list *out);

/** A DeepFM / Two-Tower trained for some steps on random data: any valid model for format tests. */
struct fr_train_ctr *mf_deepfm(uint64_t seed, const struct fr_field_set *fs);
struct fr_train_two_tower *mf_two_tower(uint64_t seed, const struct fr_field_set *fs);

#endif
