/*
 * Bundles: written, loaded, the same scores; and a table of broken ones, each refused with its
 * reason while the model that serves stays as it was.
 */
#include "models/bundle.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "models/safetensors.h"
#include "tests/support/bundle_edit.h"
#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

static struct fr_field_set fs;
static char *tmp;
static char dir[512];
static struct fr_arena *ar;
static struct mf_list list;
static const struct fr_model_meta meta = {.name = "shop_ranker",
                                          .version = 41,
                                          .parent = "shop_ranker@40",
                                          .created_ms = 1790000000000,
                                          .metric_names = (const char *const[]){"auc", "logloss"},
                                          .metric_values = (const double[]){0.75, 0.31},
                                          .n_metrics = 2};

static void setup(void)
{
    struct fr_rng r;
    mf_field_set(&fs);
    tmp = tmpdir_make();
    ck_assert_ptr_nonnull(tmp);
    ck_assert(tmpdir_path(tmp, "bundle", dir, sizeof(dir)));
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    fr_rng_seed(&r, 77);
    mf_random_list(&r, 5, &list);
}

static void teardown(void)
{
    fr_arena_free(ar);
    tmpdir_free(tmp);
}

/* A trained model written to `dir`; its logits for the list in z. */
static void write_model(bool ranker, uint64_t seed, float z[5])
{
    struct fr_model *m = NULL;
    struct fr_fault f = {0};
    if (ranker) {
        struct fr_train_ctr *tr = mf_deepfm(seed, &fs);
        ck_assert_int_eq(fr_train_ctr_model(tr, &m, NULL), FR_OK);
        ck_assert_msg(
            fr_train_ctr_finish(tr, &meta, &list.list.c, 1, dir, &f) == FR_OK, "%s", f.msg);
        fr_train_ctr_free(tr);
    } else {
        struct fr_train_two_tower *tr = mf_two_tower(seed, &fs);
        ck_assert_int_eq(fr_train_two_tower_model(tr, &m, NULL), FR_OK);
        ck_assert_msg(
            fr_train_two_tower_finish(tr, &meta, &list.list.c, 1, dir, &f) == FR_OK, "%s", f.msg);
        fr_train_two_tower_free(tr);
    }
    ck_assert_int_eq(fr_model_score_case(m, &list.list.c, 0, ar, z), FR_OK);
    fr_model_free(m);
}

START_TEST(save_and_load__both_kinds__same_facts_and_scores)
{
    float before[5], after[5];
    struct fr_model *m = NULL;
    struct fr_fault f = {0};
    write_model(_i == 0, 3, before);
    ck_assert_msg(fr_model_load(dir, &fs, &m, &f) == FR_OK, "%s", f.msg);
    const struct fr_model_info *info = fr_model_info(m);
    ck_assert_str_eq(info->name, "shop_ranker");
    ck_assert_str_eq(info->parent, "shop_ranker@40");
    ck_assert_uint_eq(info->version, 41);
    ck_assert_int_eq(info->created_ms, 1790000000000);
    ck_assert_uint_eq(info->schema_hash, fs.hash);
    ck_assert_int_eq(info->job, _i == 0 ? FR_JOB_RANKER : FR_JOB_RETRIEVAL);
    ck_assert_int_eq(fr_model_score_case(m, &list.list.c, 0, ar, after), FR_OK);
    ck_assert_int_eq(memcmp(before, after, sizeof(before)), 0);
    fr_model_free(m);
}
END_TEST

START_TEST(save__over_an_older_bundle_and_over_something_else__replaced_or_refused)
{
    float z[5], z2[5], got[5];
    struct fr_model *m = NULL;
    struct fr_fault f = {0};
    char path[600];
    write_model(true, 3, z);
    write_model(true, 4, z2);
    ck_assert_int_eq(fr_model_load(dir, &fs, &m, NULL), FR_OK);
    ck_assert_int_eq(fr_model_score_case(m, &list.list.c, 0, ar, got), FR_OK);
    ck_assert_int_eq(memcmp(got, z2, sizeof(got)), 0);
    ck_assert(tmpdir_path(dir, "notes.txt", path, sizeof(path)));
    ck_assert(tmpdir_write(path, "mine", 4));
    ck_assert_int_eq(fr_model_save(m, &meta, &list.list.c, 1, dir, &f), FR_EREFUSED);
    ck_assert_ptr_nonnull(strstr(f.msg, "notes.txt"));
    ck_assert_int_eq(access(path, F_OK), 0);
    fr_model_free(m);
    /* nothing of ours lies around beside it */
    (void)snprintf(path, sizeof(path), "%s.tmp.%ld", dir, (long)getpid());
    ck_assert_int_ne(access(path, F_OK), 0);
    (void)snprintf(path, sizeof(path), "%s.old.%ld", dir, (long)getpid());
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(save__bad_meta_cases_or_path__refused)
{
    struct fr_train_ctr *tr = mf_deepfm(3, &fs);
    struct fr_model_meta bad = meta;
    struct fr_model_case c = list.list.c;
    char file[600];
    bad.name = "../up";
    ck_assert_int_eq(fr_train_ctr_finish(tr, &bad, &c, 1, dir, NULL), FR_EINVAL);
    ck_assert_int_eq(fr_train_ctr_finish(tr, &meta, &c, 0, dir, NULL), FR_EINVAL);
    c.n = 9;
    ck_assert_int_eq(fr_train_ctr_finish(tr, &meta, &c, 1, dir, NULL), FR_EINVAL);
    c.n = 1;
    ck_assert_int_eq(fr_train_ctr_finish(tr, &meta, &c, 1, "", NULL), FR_EINVAL);
    ck_assert(tmpdir_path(tmp, "file", file, sizeof(file)));
    ck_assert(tmpdir_write(file, "x", 1));
    ck_assert_int_eq(fr_train_ctr_finish(tr, &meta, &c, 1, file, NULL), FR_EIO);
    ck_assert_int_ne(access(dir, F_OK), 0);
    fr_train_ctr_free(tr);
}
END_TEST

/* ---- broken bundles ---- */

static struct fr_tensor *named(struct fr_tensor *t, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(t[i].name, name) == 0)
            return &t[i];
    ck_abort_msg("no tensor %s", name);
    return NULL;
}

static void do_rename(void *ctx, struct fr_tensor *t, int *n)
{
    (void)ctx;
    memcpy(named(t, *n, "mlp.1.bias")->name, "mlp.9.bias", 10);
}

static void do_drop_vocab(void *ctx, struct fr_tensor *t, int *n)
{
    (void)ctx;
    *named(t, *n, "vocab.item") = t[*n - 1];
    (*n)--;
}

static void do_shape(void *ctx, struct fr_tensor *t, int *n)
{
    (void)ctx;
    struct fr_tensor *w = named(t, *n, "mlp.0.weight");
    uint64_t d = w->dim[0];
    w->dim[0] = w->dim[1];
    w->dim[1] = d;
}

static void do_type(void *ctx, struct fr_tensor *t, int *n)
{
    (void)ctx;
    named(t, *n, "mlp.0.weight")->dtype = FR_DTYPE_I32;
}

static void do_extra(void *ctx, struct fr_tensor *t, int *n)
{
    (void)ctx;
    static const float x[1] = {1};
    static struct fr_tensor more;
    (void)t;
    ck_assert_int_eq(fr_tensor_f32(&more, "surprise", 1, 0, x), FR_OK);
    t[*n] = more; /* the parser leaves one spare entry */
    (*n)++;
}

static void do_vocab_twice(void *ctx, struct fr_tensor *t, int *n)
{
    (void)ctx;
    static uint64_t keys[64];
    struct fr_tensor *v = named(t, *n, "vocab.item");
    memcpy(keys, v->data, (size_t)v->dim[0] * 8);
    keys[2] = keys[1];
    v->data = keys;
}

static void do_vocab_short(void *ctx, struct fr_tensor *t, int *n)
{
    (void)ctx;
    named(t, *n, "vocab.item")->dim[0] -= 1;
}

static void do_weights(void *ctx, struct fr_tensor *t, int *n)
{
    (void)ctx;
    static float w[13 * 64];
    struct fr_tensor *x = named(t, *n, "mlp.0.weight");
    for (size_t i = 0; i < fr_tensor_count(x); i++)
        w[i] = ((const float *)x->data)[i] * 1.5f + 0.1f;
    x->data = w;
}

static void no_manifest(void)
{
    char path[600];
    ck_assert(tmpdir_path(dir, "manifest.json", path, sizeof(path)));
    ck_assert_int_eq(unlink(path), 0);
}

static void no_weights(void)
{
    char path[600];
    ck_assert(tmpdir_path(dir, "weights.safetensors", path, sizeof(path)));
    ck_assert_int_eq(unlink(path), 0);
}

static void cut_manifest(void)
{
    size_t n = 0;
    char *p = bundle_read_file(dir, "manifest.json", &n);
    bundle_write_file(dir, "manifest.json", p, n / 2);
    fr_free(p);
}

static void cut_weights(void)
{
    size_t n = 0;
    char *p = bundle_read_file(dir, "weights.safetensors", &n);
    bundle_write_file(dir, "weights.safetensors", p, n - 4);
    fr_free(p);
}

static void flip_weights(void)
{
    size_t n = 0;
    char *p = bundle_read_file(dir, "weights.safetensors", &n);
    p[n - 3] = (char)(p[n - 3] ^ 1);
    bundle_write_file(dir, "weights.safetensors", p, n);
    fr_free(p);
}

/* A NaN in the last tensor's data; the CRC is right. */
static void nan_weights(void)
{
    size_t n = 0;
    char *p = bundle_read_file(dir, "weights.safetensors", &n);
    float nan = NAN;
    struct fr_tensor *t = NULL;
    int count = 0;
    ck_assert_int_eq(fr_safetensors_parse((struct fr_str){p, n}, ar, &t, &count, NULL), FR_OK);
    const struct fr_tensor *w = named(t, count, "mlp.0.weight");
    memcpy(p + ((const char *)w->data - p), &nan, sizeof(nan));
    bundle_replace_weights(dir, p, n);
    fr_free(p);
}

static void link_weights(void)
{
    char path[600], other[600];
    ck_assert(tmpdir_path(dir, "weights.safetensors", path, sizeof(path)));
    ck_assert(tmpdir_path(tmp, "elsewhere", other, sizeof(other)));
    ck_assert_int_eq(rename(path, other), 0);
    ck_assert_int_eq(symlink(other, path), 0);
}

static void dir_weights(void)
{
    no_weights();
    char path[600];
    ck_assert(tmpdir_path(dir, "weights.safetensors", path, sizeof(path)));
    ck_assert_int_eq(mkdir(path, 0700), 0);
}

/* Each row: what is done to a good bundle (an edit of the manifest, or a function), and the
 * refusal. */
static const struct {
    const char *what;
    const char *from, *to;
    void (*change)(void *ctx, struct fr_tensor *t, int *n);
    void (*damage)(void);
    enum fr_err err;
    const char *reason;
} broken[] = {
    {"no manifest", 0, 0, 0, no_manifest, FR_ENOTFOUND, "manifest.json"},
    {"no weights", 0, 0, 0, no_weights, FR_ENOTFOUND, "weights.safetensors"},
    {"manifest cut", 0, 0, 0, cut_manifest, FR_ESYNTAX, "byte"},
    {"weights cut", 0, 0, 0, cut_weights, FR_ECORRUPT, "truncated"},
    {"a bit of the weights flipped", 0, 0, 0, flip_weights, FR_ECORRUPT, "CRC"},
    {"NaN in the weights", 0, 0, 0, nan_weights, FR_ENONFINITE, "mlp.0.weight"},
    {"weights are a symbolic link", 0, 0, 0, link_weights, FR_EREFUSED, "symbolic link"},
    {"weights are a folder", 0, 0, 0, dir_weights, FR_EIO, "regular file"},
    {"tensor missing", 0, 0, do_rename, 0, FR_ENOTFOUND, "mlp.1.bias"},
    {"vocabulary missing", 0, 0, do_drop_vocab, 0, FR_ENOTFOUND, "vocab.item"},
    {"tensor transposed", 0, 0, do_shape, 0, FR_EMISMATCH, "mlp.0.weight"},
    {"tensor of another type", 0, 0, do_type, 0, FR_EMISMATCH, "mlp.0.weight"},
    {"tensor too many", 0, 0, do_extra, 0, FR_EMISMATCH, "tensors"},
    {"key twice in a vocabulary", 0, 0, do_vocab_twice, 0, FR_EDUPLICATE, "vocab.item"},
    {"vocabulary shorter than its table", 0, 0, do_vocab_short, 0, FR_EMISMATCH, "embedding.item"},
    {"other weights, right CRC", 0, 0, do_weights, 0, FR_EREFUSED, "selftest"},
    {"schema of the future", "bundle.v1", "bundle.v9", 0, 0, FR_EVERSION, "schema"},
    {"unknown kind", "\"deepfm\"", "\"shallowfm\"", 0, 0, FR_EUNSUPPORTED, "kind"},
    {"another kind of model", "\"deepfm\"", "\"two_tower\"", 0, 0, FR_ESCHEMA, "config."},
    {"schema hash differs",
     "0123456789abcdef",
     "0123456789abcdee",
     0,
     0,
     FR_EMISMATCH,
     "schema_hash"},
    {"schema hash is no hash", "0123456789abcdef", "0123", 0, 0, FR_ESCHEMA, "schema_hash"},
    {"name with a path", "\"shop_ranker\"", "\"../x\"", 0, 0, FR_ESCHEMA, "name"},
    {"version is a string", "\"version\":41", "\"version\":\"41\"", 0, 0, FR_ESCHEMA, "version"},
    {"version negative", "\"version\":41", "\"version\":-1", 0, 0, FR_ERANGE, "version"},
    {"field unknown here", "\"hist\"", "\"hust\"", 0, 0, FR_ENOTFOUND, "hust"},
    {"field of another table",
     "\"table\":\"cat\"",
     "\"table\":\"cot\"",
     0,
     0,
     FR_EMISMATCH,
     "cats"},
    {"field with other slots", "\"slots\":4", "\"slots\":3", 0, 0, FR_EMISMATCH, "hist"},
    {"normaliser missing", "\"mean\"", "\"meen\"", 0, 0, FR_ESCHEMA, "mean"},
    {"mean no float holds", "\"mean\":", "\"mean\":1e39,\"was\":", 0, 0, FR_ERANGE, "out of range"},
    {"scale no float holds", "\"scale\":", "\"scale\":1e39,\"was\":", 0, 0, FR_ERANGE, "out of range"},
    {"scale negative", "\"scale\":", "\"scale\":-1,\"was\":", 0, 0, FR_ERANGE, "out of range"},
    {"weights outside the bundle",
     "\"weights.safetensors\"",
     "\"../elsewhere\"",
     0,
     0,
     FR_EREFUSED,
     "inside the bundle"},
    {"weights by an absolute path",
     "\"weights.safetensors\"",
     "\"/etc/hostname\"",
     0,
     0,
     FR_EREFUSED,
     "inside the bundle"},
    {"weights name with NUL",
     "\"weights.safetensors\"",
     "\"weights\\u0000.x\"",
     0,
     0,
     FR_EREFUSED,
     "inside the bundle"},
    {"hidden widths huge", "\"hidden\":[13,", "\"hidden\":[99999999,", 0, 0, FR_ERANGE, "hidden"},
    {"hidden widths other", "\"hidden\":[13,", "\"hidden\":[14,", 0, 0, FR_EMISMATCH, "mlp.0"},
    {"config missing", "\"config\"", "\"conf\"", 0, 0, FR_ESCHEMA, "config"},
    {"no self-test", "\"selftest\"", "\"selfless\"", 0, 0, FR_ESCHEMA, "selftest"},
    {"self-test of other cells", "\"user\":[[", "\"user\":[[\"00\",1],[", 0, 0, FR_ESCHEMA, "user"},
    {"duplicate member",
     "\"version\":41",
     "\"version\":41,\"version\":41",
     0,
     0,
     FR_EDUPLICATE,
     "duplicate"},
};

START_TEST(load__broken_bundle__refused_with_its_reason_and_the_old_model_serves_on)
{
    float before[5], after[5];
    struct fr_model *old = NULL, *m = NULL;
    struct fr_fault f = {0};
    write_model(true, 3, before);
    ck_assert_int_eq(fr_model_load(dir, &fs, &old, NULL), FR_OK);
    if (broken[_i].from != NULL)
        bundle_edit_manifest(dir, broken[_i].from, broken[_i].to);
    else if (broken[_i].change != NULL)
        bundle_change_tensors(dir, ar, broken[_i].change, NULL);
    else
        broken[_i].damage();
    enum fr_err e = fr_model_load(dir, &fs, &m, &f);
    ck_assert_msg(e == broken[_i].err,
                  "%s: %s instead of %s (%s)",
                  broken[_i].what,
                  fr_err_name(e),
                  fr_err_name(broken[_i].err),
                  f.msg);
    ck_assert_int_eq(f.err, e);
    ck_assert_msg(
        strstr(f.msg, broken[_i].reason) != NULL, "%s: message: %s", broken[_i].what, f.msg);
    ck_assert_ptr_null(m);
    ck_assert_int_eq(fr_model_score_case(old, &list.list.c, 0, ar, after), FR_OK);
    ck_assert_int_eq(memcmp(before, after, sizeof(before)), 0);
    fr_model_free(old);
}
END_TEST

/* Add `by` times its tolerance's unit to the first expected score of the last self-test. */
static void move_last_expected(double by)
{
    static const char mark[] = "\"expected\":[";
    size_t n = 0;
    char *p = bundle_read_file(dir, "manifest.json", &n), *at = NULL, *end = NULL, number[40];
    struct fr_buf b;
    for (char *q = p; (q = strstr(q, mark)) != NULL; q += sizeof(mark) - 1)
        at = q + sizeof(mark) - 1;
    ck_assert_ptr_nonnull(at);
    double want = strtod(at, &end);
    (void)snprintf(number, sizeof(number), "%.9g", want + by * (1 + fabs(want)));
    fr_buf_init(&b);
    fr_buf_put(&b, p, (size_t)(at - p));
    fr_buf_puts(&b, number);
    fr_buf_puts(&b, end);
    bundle_write_file(dir, "manifest.json", b.p, b.n);
    fr_buf_done(&b);
    fr_free(p);
}

START_TEST(load__two_self_tests__each_is_run_to_its_tolerance)
{
    struct fr_model *m = NULL, *x = NULL;
    struct mf_list other;
    struct fr_model_case cases[2];
    struct fr_fault f = {0};
    struct fr_rng r;
    float z[5];
    fr_rng_seed(&r, 78);
    mf_random_list(&r, 3, &other);
    cases[0] = list.list.c;
    cases[1] = other.list.c;
    write_model(_i == 0, 3, z);
    ck_assert_int_eq(fr_model_load(dir, &fs, &m, NULL), FR_OK);
    ck_assert_int_eq(fr_model_save(m, &meta, cases, 2, dir, NULL), FR_OK);
    move_last_expected(1e-5);
    ck_assert_msg(fr_model_load(dir, &fs, &x, &f) == FR_OK, "%s", f.msg);
    fr_model_free(x);
    x = NULL;
    move_last_expected(5e-4);
    ck_assert_int_eq(fr_model_load(dir, &fs, &x, &f), FR_EREFUSED);
    ck_assert_msg(strstr(f.msg, "selftest[1] candidate 0") != NULL, "%s", f.msg);
    ck_assert_ptr_null(x);
    fr_model_free(m);
}
END_TEST

START_TEST(load__other_field_set__refused)
{
    float z[5];
    struct fr_model *m = NULL;
    struct fr_fault f = {0};
    write_model(true, 3, z);
    fs.hash++;
    ck_assert_int_eq(fr_model_load(dir, &fs, &m, &f), FR_EMISMATCH);
    ck_assert_ptr_nonnull(strstr(f.msg, "schema_hash"));
}
END_TEST

START_TEST(load_and_save__every_nth_allocation_fails__no_leak_no_damage)
{
    float z[5];
    struct fr_model *m = NULL;
    int failed = 0;
    write_model(_i == 0, 3, z);
    ck_assert_int_eq(fr_model_load(dir, &fs, &m, NULL), FR_OK);
    for (int save = 0; save < 2; save++) {
        bool passed = false;
        for (uint64_t nth = 1; nth < 2000 && !passed; nth++) {
            struct fr_model *x = NULL;
            struct fr_fault f = {0};
            fr_alloc_fail_at(nth);
            enum fr_err e = save ? fr_model_save(m, &meta, &list.list.c, 1, dir, &f)
                                 : fr_model_load(dir, &fs, &x, &f);
            fr_alloc_fail_at(0);
            passed = e == FR_OK;
            failed += !passed;
            ck_assert_msg(passed || e == FR_ENOMEM || e == FR_EREFUSED, "%s", f.msg);
            if (!passed)
                ck_assert_ptr_null(x);
            fr_model_free(x);
        }
        ck_assert(passed);
    }
    ck_assert_int_gt(failed, 20);
    struct fr_model *again = NULL;
    ck_assert_int_eq(fr_model_load(dir, &fs, &again, NULL), FR_OK);
    fr_model_free(again);
    fr_model_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/bundle");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, save_and_load__both_kinds__same_facts_and_scores, 0, 2);
    tcase_add_test(tc, save__over_an_older_bundle_and_over_something_else__replaced_or_refused);
    tcase_add_test(tc, save__bad_meta_cases_or_path__refused);
    tcase_add_loop_test(tc,
                        load__broken_bundle__refused_with_its_reason_and_the_old_model_serves_on,
                        0,
                        (int)(sizeof(broken) / sizeof(broken[0])));
    tcase_add_loop_test(tc, load__two_self_tests__each_is_run_to_its_tolerance, 0, 2);
    tcase_add_test(tc, load__other_field_set__refused);
    tcase_add_loop_test(tc, load_and_save__every_nth_allocation_fails__no_leak_no_damage, 0, 2);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
