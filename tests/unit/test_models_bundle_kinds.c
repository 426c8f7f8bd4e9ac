/*
 * Broken bundles of every kind of model: each of its tensors missing, of another shape, type or with a
 * NaN, one too many, the weights file cut at any of its parts, and each of the kind's own settings out of
 * range; refused with a reason that names the place.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/model_priv.h"
#include "models/safetensors.h"
#include "tests/support/bundle_edit.h"
#include "tests/support/model_fixture.h"
#include "tests/support/model_kinds.h"
#include "tests/support/tmpdir.h"

static struct mk_world world;
static struct fr_arena *ar;
static char *tmp;
static char dir[512];

/* The files of the good bundle at `dir`. */
static char *good[2];
static size_t good_n[2];
static const char *const files[2] = {"manifest.json", "weights.safetensors"};

static void setup(void)
{
    mk_world_make(&world);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    tmp = tmpdir_make();
    ck_assert_ptr_nonnull(tmp);
    ck_assert(tmpdir_path(tmp, "bundle", dir, sizeof(dir)));
}

static void teardown(void)
{
    fr_free(good[0]);
    fr_free(good[1]);
    fr_arena_free(ar);
    tmpdir_free(tmp);
}

/* The bundle at `dir`; its field set. */
static const struct fr_field_set *save(const struct fr_model *m)
{
    struct fr_model_meta meta = {.name = "m", .version = 1, .parent = ""};
    const struct fr_cell *cand[] = {&world.item[0], &world.item[4]};
    struct fr_model_case pair = {&world.user[1], NULL, cand, NULL, 2};
    bool is_pair = mk_is_pair(fr_model_info(m)->kind);
    struct fr_fault f = {.err = FR_OK};

    ck_assert_msg(fr_model_save(m, &meta, is_pair ? &pair : &world.list.list.c, 1, dir, &f) == FR_OK, "%s", f.msg);
    for (int i = 0; i < 2; i++)
        good[i] = bundle_read_file(dir, files[i], &good_n[i]);
    return is_pair ? &world.pair_fs : &world.fs;
}

static void restore(void)
{
    for (int i = 0; i < 2; i++)
        bundle_write_file(dir, files[i], good[i], good_n[i]);
}

static void refused(const struct fr_field_set *set, enum fr_err want, const char *why, const char *what)
{
    struct fr_fault f = {.err = FR_OK};
    struct fr_model *m = NULL;
    enum fr_err e = fr_model_load(dir, set, &m, &f);

    ck_assert_msg(e == want && strstr(f.msg, why) != NULL,
                  "%s: %s instead of %s with %s: %s", what, fr_err_name(e), fr_err_name(want), why, f.msg);
    ck_assert_ptr_null(m);
}

/* ---- each tensor ---- */

enum harm { HARM_MISSING, HARM_LONGER, HARM_FLAT, HARM_TYPE, HARM_EXTRA, HARM_COUNT };
struct change {
    const char *name;
    enum harm harm;
};
static const float zeros[4096];

static void harm(void *ctx, struct fr_tensor *t, int *n)
{
    const struct change *c = ctx;
    struct fr_tensor *x = NULL;

    for (int i = 0; i < *n; i++)
        if (strcmp(t[i].name, c->name) == 0)
            x = &t[i];
    ck_assert_msg(x != NULL, "no tensor %s", c->name);
    switch (c->harm) {
    case HARM_MISSING:
        *x = t[--*n];
        break;
    case HARM_LONGER: /* one row more; all zero, so that nothing else is wrong */
        x->dim[0]++;
        ck_assert_uint_le(fr_tensor_count(x), 4096);
        x->data = zeros;
        break;
    case HARM_FLAT: /* the same numbers in another rank */
        x->dim[0] = fr_tensor_count(x);
        x->ndim = x->ndim == 1 ? 2 : 1;
        x->dim[1] = 1;
        break;
    case HARM_TYPE:
        x->dtype = FR_DTYPE_I32;
        break;
    case HARM_EXTRA: /* the parser leaves one spare entry */
        ck_assert_int_eq(fr_tensor_f32(&t[(*n)++], "surprise", 1, 0, zeros), FR_OK);
        break;
    case HARM_COUNT:
        break;
    }
}

/* The last number of a tensor is another. */
static void with_last(const char *name, float last)
{
    size_t n = 0;
    int count = 0;
    struct fr_tensor *t = NULL;
    char *p = bundle_read_file(dir, "weights.safetensors", &n);

    ck_assert_int_eq(fr_safetensors_parse((struct fr_str){p, n}, ar, &t, &count, NULL), FR_OK);
    for (int i = 0; i < count; i++)
        if (strcmp(t[i].name, name) == 0)
            memcpy(p + ((const char *)t[i].data - p) + 4 * (fr_tensor_count(&t[i]) - 1), &last, sizeof(last));
    bundle_replace_weights(dir, p, n);
    fr_free(p);
}

START_TEST(load__each_tensor_harmed__refused_by_its_name)
{
    struct fr_model *m = mk_model(&world, (enum fr_model_kind)_i, FR_VALUE_NONE);
    const char *kind = fr_model_kind_name((enum fr_model_kind)_i);
    const struct fr_field_set *set = save(m);
    char what[128];

    ck_assert_int_gt(m->n_tensors, 3);
    for (int i = 0; i < m->n_tensors; i++) {
        const char *name = m->tensor[i].name;
        for (int h = 0; h < HARM_EXTRA; h++) {
            struct change c = {name, (enum harm)h};
            /* batch norm's tensors are counted before they are looked for */
            bool counted = h == HARM_MISSING && strncmp(name, "mlp_norm.", 9) == 0;

            (void)snprintf(what, sizeof(what), "%s %s harm %d", kind, name, h);
            bundle_change_tensors(dir, ar, harm, &c);
            refused(set, h == HARM_MISSING && !counted ? FR_ENOTFOUND : FR_EMISMATCH, counted ? "tensors" : name, what);
            restore();
        }
        with_last(name, NAN);
        refused(set, FR_ENONFINITE, name, name);
        restore();
    }
    struct change extra = {m->tensor[0].name, HARM_EXTRA};
    bundle_change_tensors(dir, ar, harm, &extra);
    refused(set, FR_EMISMATCH, "tensors", kind);
    fr_model_free(m);
}
END_TEST

/* Each number is a fine one; what the layer becomes with its batch norm is not. */
START_TEST(load__batch_norm_that_makes_no_layer__refused)
{
    struct fr_model *m = mk_model(&world, FR_MODEL_DEEPFM, FR_VALUE_NONE);
    const struct fr_field_set *set = save(m);

    with_last("mlp_norm.1.running_var", -1e-9f);
    refused(set, FR_ERANGE, "mlp_norm.1.running_var has a negative variance", "negative variance");
    restore();
    with_last("mlp_norm.1.weight", 3e38f);
    with_last("mlp_norm.1.running_var", 0);
    refused(set, FR_ENONFINITE, "mlp_norm.1 makes weights of mlp.1", "infinite weight");
    restore();
    with_last("mlp_norm.0.running_mean", 3e38f);
    with_last("mlp_norm.0.running_var", 0);
    refused(set, FR_ENONFINITE, "mlp_norm.0 makes weights of mlp.0", "infinite bias");
    fr_model_free(m);
}
END_TEST

/* Right size and CRC each time, so that the parser has to notice. */
START_TEST(load__weights_cut_or_overlapping__refused)
{
    struct fr_model *m = mk_model(&world, (enum fr_model_kind)_i, FR_VALUE_NONE);
    const struct fr_field_set *set = save(m);
    size_t n = 0;
    char *p = bundle_read_file(dir, "weights.safetensors", &n);

    for (size_t k = 1; k <= 8; k++) {
        struct fr_fault f = {.err = FR_OK};
        struct fr_model *x = NULL;

        bundle_replace_weights(dir, p, n * k / 9);
        ck_assert_int_ne(fr_model_load(dir, set, &x, &f), FR_OK);
        ck_assert(f.msg[0] != '\0');
        ck_assert_ptr_null(x);
        restore();
    }
    /* the second tensor begins where the first does */
    char *at = strstr(p + 8, "\"data_offsets\":[");
    ck_assert_ptr_nonnull(at);
    at = strstr(at + 1, "\"data_offsets\":[");
    ck_assert_ptr_nonnull(at);
    at += strlen("\"data_offsets\":[");
    for (; *at != ','; at++)
        *at = '0';
    bundle_replace_weights(dir, p, n);
    struct fr_fault f = {.err = FR_OK};
    struct fr_model *x = NULL;
    ck_assert_int_ne(fr_model_load(dir, set, &x, &f), FR_OK);
    ck_assert_ptr_null(x);
    fr_free(p);
    fr_model_free(m);
}
END_TEST

/* ---- a kind's own settings, and those all have ---- */

static const struct {
    enum fr_model_kind kind;
    const char *from, *to;
    enum fr_err err;
    const char *why;
} manifest[] = {
    {FR_MODEL_NEUMF, "\"factors\":3", "\"factors\":0", FR_EINVAL, "factors"},
    {FR_MODEL_NEUMF, "\"factors\":3", "\"factors\":513", FR_ERANGE, "factors"},
    {FR_MODEL_NEUMF, "\"factors\":3", "\"factors\":4", FR_EMISMATCH, "gmf_embedding.user"},
    {FR_MODEL_NEUMF, "\"factors\":3", "\"factors\":3.0", FR_ESCHEMA, "factors"},
    {FR_MODEL_NEUMF, "\"factors\":3", "\"factor\":3", FR_ESCHEMA, "factors"},
    {FR_MODEL_NEUMF, "\"hidden\":[8,5,2]", "\"hidden\":[7,5,2]", FR_EINVAL, "hidden[0]"},
    {FR_MODEL_NEUMF, "\"hidden\":[8,5,2]", "\"hidden\":[8,5]", FR_EMISMATCH, ""},
    {FR_MODEL_NEUMF, "\"hidden\":[8,5,2]", "\"hidden\":[8]", FR_EINVAL, "hidden"},
    {FR_MODEL_NEUMF, "\"hidden\":[8,5,2]", "\"hidden\":[8,5,1000000000]", FR_ERANGE, "hidden[2]"},
    {FR_MODEL_NEUMF, "\"hidden\":[8,5,2]", "\"hidden\":[2,2,2,2,2,2,2,2,2,2,2,2]", FR_ESCHEMA, "hidden"},
    {FR_MODEL_NEUMF, "\"neumf\"", "\"gmf\"", FR_EINVAL, "gmf"},
    {FR_MODEL_GMF, "\"gmf\"", "\"neumf\"", FR_EINVAL, "neumf"},
    {FR_MODEL_GMF, "\"gmf\"", "\"mf\"", FR_ESCHEMA, "config.dim"},
    {FR_MODEL_GMF, "\"hidden\":[]", "\"hidden\":[4,2]", FR_EINVAL, "hidden"},
    {FR_MODEL_MLP, "\"factors\":0", "\"factors\":1", FR_EINVAL, "factors"},
    {FR_MODEL_MLP, "\"factors\":0", "\"factors\":-1", FR_ERANGE, "factors"},
    {FR_MODEL_MLP, "\"hidden\":[8,5,2]", "\"hidden\":[]", FR_EINVAL, "hidden"},
    {FR_MODEL_MLP, "\"hidden\":[8,5,2]", "\"hidden\":\"8,5,2\"", FR_ESCHEMA, "hidden"},
    {FR_MODEL_MF, "\"dim\":6", "\"dim\":0", FR_ERANGE, "dim"},
    {FR_MODEL_MF, "\"dim\":6", "\"dim\":99999999999", FR_ERANGE, "dim"},
    {FR_MODEL_MF, "\"dim\":6", "\"dim\":3", FR_EMISMATCH, "embedding.user"},
    {FR_MODEL_MF, "\"mf\"", "\"neumf\"", FR_ESCHEMA, "config.factors"},
    {FR_MODEL_MF, "\"slots\":1", "\"slots\":2", FR_EMISMATCH, "user"},
    {FR_MODEL_AUTOINT, "\"layers\":2", "\"layers\":0", FR_ERANGE, "layers"},
    {FR_MODEL_AUTOINT, "\"layers\":2", "\"layers\":3", FR_ENOTFOUND, "attention.2"},
    {FR_MODEL_AUTOINT, "\"layers\":2", "\"layers\":1", FR_EMISMATCH, "tensors"},
    {FR_MODEL_AUTOINT, "\"heads\":2", "\"heads\":4", FR_EINVAL, "heads"},
    {FR_MODEL_AUTOINT, "\"heads\":2", "\"heads\":1000000", FR_ERANGE, "heads"},
    {FR_MODEL_AUTOINT, "\"width\":6", "\"width\":8", FR_EMISMATCH, "attention.0"},
    {FR_MODEL_AUTOINT, "\"width\":6", "\"width\":true", FR_ESCHEMA, "width"},
    {FR_MODEL_AUTOINT, "\"scale\":true", "\"scale\":1", FR_ESCHEMA, "scale"},
    {FR_MODEL_AUTOINT, "\"scale\":true", "\"scale\":false", FR_EREFUSED, "selftest"},
    {FR_MODEL_AUTOINT, "\"layer_norm\":false", "\"layer_norm\":true", FR_ENOTFOUND, "norm"},
    {FR_MODEL_AUTOINT, "\"residual\":\"projected\"", "\"residual\":\"sideways\"", FR_ESCHEMA, "residual"},
    {FR_MODEL_AUTOINT, "\"residual\":\"projected\"", "\"residual\":\"none\"", FR_EMISMATCH, "tensors"},
    {FR_MODEL_AUTOINT, "\"linear\":false", "\"linear\":true", FR_ENOTFOUND, "linear"},
    {FR_MODEL_AUTOINT, "\"attention\":{", "\"attention\":[],\"was\":{", FR_ESCHEMA, "attention"},
    {FR_MODEL_AUTOINT_PLUS, "\"autoint+\"", "\"autoint\"", FR_EINVAL, "layers"},
    {FR_MODEL_AUTOINT_PLUS, "\"autoint+\"", "\"deepfm\"", FR_ENOTFOUND, ""},
    {FR_MODEL_AUTOINT_PLUS, "\"hidden\":[7,3]", "\"hidden\":[7,4]", FR_EMISMATCH, "mlp.1"},
    {FR_MODEL_DEEPFM, "\"batch_norm\":true", "\"batch_norm\":false", FR_EMISMATCH, "tensors"},
    {FR_MODEL_DEEPFM, "\"batch_norm\":true", "\"batch_norm\":7", FR_ESCHEMA, "batch_norm"},
    {FR_MODEL_WIDE_DEEP, "\"batch_norm\":false", "\"batch_norm\":true", FR_EMISMATCH, "tensors"},
    {FR_MODEL_WIDE_DEEP, "\"wide_deep\"", "\"deepfm\"", FR_EREFUSED, "selftest"},
    {FR_MODEL_LR, "\"dim\":0", "\"dim\":4", FR_EINVAL, "lr"},
    {FR_MODEL_FM, "\"fm\"", "\"lr\"", FR_EINVAL, "lr"},
    {FR_MODEL_TWO_TOWER, "\"tau\":", "\"tau\":0,\"was\":", FR_ERANGE, "tau"},
};

START_TEST(load__manifest_of_the_kind_edited__refused_with_the_reason)
{
    struct fr_model *m = mk_model(&world, manifest[_i].kind, FR_VALUE_NONE);
    const struct fr_field_set *set = save(m);

    bundle_edit_manifest(dir, manifest[_i].from, manifest[_i].to);
    refused(set, manifest[_i].err, manifest[_i].why, manifest[_i].to);
    fr_model_free(m);
}
END_TEST

START_TEST(load__weights_elsewhere__refused_for_every_kind)
{
    static const char *const path[] = {"../x", "/etc/hostname", "a/b", "..", ".", ""};
    struct fr_model *m = mk_model(&world, (enum fr_model_kind)_i, FR_VALUE_NONE);
    const struct fr_field_set *set = save(m);
    char to[64];

    for (size_t i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
        (void)snprintf(to, sizeof(to), "\"file\":\"%s\"", path[i]);
        bundle_edit_manifest(dir, "\"file\":\"weights.safetensors\"", to);
        struct fr_model *x = NULL;
        struct fr_fault f = {.err = FR_OK};
        enum fr_err e = fr_model_load(dir, set, &x, &f);
        ck_assert_msg(e == FR_EREFUSED || e == FR_ESCHEMA, "%s: %s %s", path[i], fr_err_name(e), f.msg);
        ck_assert(f.msg[0] != '\0');
        restore();
    }
    fr_model_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/bundle_kinds");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, load__each_tensor_harmed__refused_by_its_name, 0, FR_MODEL_KIND_COUNT);
    tcase_add_test(tc, load__batch_norm_that_makes_no_layer__refused);
    tcase_add_loop_test(tc, load__weights_cut_or_overlapping__refused, 0, FR_MODEL_KIND_COUNT);
    tcase_add_loop_test(tc, load__manifest_of_the_kind_edited__refused_with_the_reason, 0,
                        (int)(sizeof(manifest) / sizeof(manifest[0])));
    tcase_add_loop_test(tc, load__weights_elsewhere__refused_for_every_kind, 0, FR_MODEL_KIND_COUNT);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
