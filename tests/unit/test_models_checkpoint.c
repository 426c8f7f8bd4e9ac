/*
 * Checkpoints of every kind of trainer: three steps, saved, three more = loaded and three more, in every byte of the
 * state. Then the file as hostile input: each tensor and each value of it missing, of another shape or type, each
 * setting changed, cut anywhere: refused by name. Failing allocations.
 */
#include "models/train/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/model_parts.h"
#include "models/safetensors.h"
#include "models/train/checkpoint_priv.h"
#include "models/train/checkpoint_trainers.h"
#include "models/train/train_mf.h"
#include "models/train/train_ncf_priv.h"
#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

enum { LISTS = 12, STEPS = 6, USERS = 7, ITEMS = 13 };

enum family { CTR, TOWER, NCF, MF };

static const struct {
    enum family family;
    enum fr_model_kind kind;
    int threads;
    bool plain; /* without what is optional: dropout, norm, growth, Adam; full softmax */
} kinds[] = {
    {CTR, FR_MODEL_LR, 1, false},       {CTR, FR_MODEL_FM, 2, false},      {CTR, FR_MODEL_WIDE_DEEP, 3, false},
    {CTR, FR_MODEL_DEEPFM, 2, false},   {CTR, FR_MODEL_DEEPFM, 1, true},   {CTR, FR_MODEL_AUTOINT, 2, false},
    {CTR, FR_MODEL_AUTOINT_PLUS, 2, false}, {TOWER, FR_MODEL_TWO_TOWER, 2, false},
    {TOWER, FR_MODEL_TWO_TOWER, 1, true},   {NCF, FR_MODEL_NEUMF, 2, false},   {NCF, FR_MODEL_GMF, 1, false},
    {NCF, FR_MODEL_MLP, 2, false},      {NCF, FR_MODEL_NEUMF, 1, true},    {MF, FR_MODEL_MF, 2, false},
};
#define N_KINDS ((int)(sizeof(kinds) / sizeof(kinds[0])))
#define DEEPFM 3
#define TWO_TOWER 7
#define NEUMF 9

/* One of the trainers. */
struct subject {
    int i;
    struct fr_train_ctr *ctr;
    struct fr_train_two_tower *tower;
    struct fr_train_ncf *ncf;
    struct fr_train_mf *mf;
};

/* What is changed in the settings of a trainer; 0 nothing. */
enum change { SAME, SEED, THREADS, L2, DIM, WIDTH, DROPOUT, ADMIT, N_CHANGES };

static struct fr_field_set fs, pair_fs;
static struct fr_cell user[USERS], item[ITEMS];
static struct mf_list list[STEPS][LISTS];
static uint32_t pick[STEPS][LISTS], who[STEPS][LISTS];
static float label[STEPS][LISTS];
static char *dir;

static void setup(void)
{
    struct fr_rng rng;
    dir = tmpdir_make();
    ck_assert_ptr_nonnull(dir);
    mf_field_set(&fs);
    memset(&pair_fs, 0, sizeof(pair_fs));
    pair_fs.hash = 5;
    ck_assert_int_eq(fr_field_add(&pair_fs, "user", FR_ENTITY_USER, FR_FIELD_ID, "user", 0, 1), FR_OK);
    ck_assert_int_eq(fr_field_add(&pair_fs, "item", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1), FR_OK);
    for (uint32_t i = 0; i < USERS; i++)
        user[i] = (struct fr_cell){100 + i, 1};
    for (uint32_t i = 0; i < ITEMS; i++)
        item[i] = (struct fr_cell){500 + 3 * i, 1};
    fr_rng_seed(&rng, 8);
    for (int s = 0; s < STEPS; s++)
        for (int k = 0; k < LISTS; k++) {
            mf_random_list(&rng, MF_MAX_LIST - k, &list[s][k]);
            pick[s][k] = (uint32_t)fr_rng_below(&rng, ITEMS);
            who[s][k] = (uint32_t)fr_rng_below(&rng, USERS);
            label[s][k] = (float)fr_rng_below(&rng, 2);
        }
}

static void teardown(void)
{
    tmpdir_free(dir);
}

/* ---- trainers ---- */

static void options(struct fr_train_options *o, int i, enum change change)
{
    o->seed = change == SEED ? 8 : 7;
    o->threads = change == THREADS ? 4 : kinds[i].threads;
    o->l2_embedding = change == L2 ? 2e-3f : 1e-3f;
    o->l2_dense = 1e-4f;
    o->lr = 0.01f;
    o->lr_dense = 0.003f;
    o->clip_norm = 1;
    o->clip_all = true;
    o->admit = change == ADMIT ? 39 : 40; /* some have a row by the third step, some wait then, some for ever */
    o->id_dropout = kinds[i].plain ? 0 : 0.3f;
    o->sgd = kinds[i].plain;
    o->dense_rows = kinds[i].plain;
}

static void new_ctr(struct subject *x, enum change change)
{
    struct fr_ctr_train_config c;
    bool attention = kinds[x->i].kind == FR_MODEL_AUTOINT || kinds[x->i].kind == FR_MODEL_AUTOINT_PLUS;
    bool deep = kinds[x->i].kind != FR_MODEL_LR && kinds[x->i].kind != FR_MODEL_FM && kinds[x->i].kind != FR_MODEL_AUTOINT;

    fr_ctr_train_config_default(&c);
    options(&c.opt, x->i, change);
    c.model.kind = kinds[x->i].kind;
    c.model.dim = kinds[x->i].kind == FR_MODEL_LR ? 0 : change == DIM ? 6 : 5;
    c.model.n_hidden = deep ? 2 : 0;
    c.model.hidden[0] = 7;
    c.model.hidden[1] = change == WIDTH ? 4 : 3;
    c.model.batch_norm = deep && !kinds[x->i].plain;
    c.dropout = !deep || kinds[x->i].plain ? 0 : change == DROPOUT ? 0.4f : 0.3f;
    if (attention)
        c.model.attention = (struct fr_attention_config){
            .layers = 2, .heads = 2, .width = 6, .scale = true, .layer_norm = true, .residual = FR_RESIDUAL_PROJECTED};
    c.model.linear = attention;
    ck_assert_int_eq(fr_train_ctr_new(&c, &fs, &x->ctr, NULL), FR_OK);
}

static void new_tower(struct subject *x, enum change change)
{
    static const char *const names[] = {"u_id", "hist", "u_num", "hour", "i_id", "cats"};
    struct fr_two_tower_train_config c;

    fr_two_tower_train_config_default(&c);
    options(&c.opt, x->i, change);
    c.fields = names;
    c.n_fields = 6;
    c.negatives = 3;
    c.full_softmax = kinds[x->i].plain;
    c.log_uniform = !kinds[x->i].plain; /* ranks of frequency are state */
    c.model.emb_dim = c.model.dim = change == DIM ? 6 : 5;
    c.model.hidden[0] = change == WIDTH ? 8 : 7;
    if (change == DROPOUT)
        c.opt.id_dropout = 0.1f;
    ck_assert_int_eq(fr_train_two_tower_new(&c, &fs, &x->tower, NULL), FR_OK);
}

static void new_ncf(struct subject *x, enum change change)
{
    struct fr_ncf_train_config c;

    fr_ncf_train_config_default(&c);
    options(&c.opt, x->i, change);
    c.model.kind = kinds[x->i].kind;
    c.model.factors = kinds[x->i].kind == FR_MODEL_MLP ? 0 : change == DIM ? 6 : 5;
    c.model.n_hidden = kinds[x->i].kind == FR_MODEL_GMF ? 0 : 3;
    c.model.hidden[0] = 6;
    c.model.hidden[1] = change == WIDTH ? 5 : 4;
    c.model.hidden[2] = 3;
    if (change == DROPOUT)
        c.opt.clip_norm = 2;
    ck_assert_int_eq(fr_train_ncf_new(&c, &pair_fs, &x->ncf, NULL), FR_OK);
    ck_assert_int_eq(fr_train_ncf_ids(x->ncf, user, USERS, item, ITEMS), FR_OK);
}

static struct subject subject_new(int i, enum change change)
{
    struct subject x = {.i = i};
    struct fr_mf_train_config c;

    switch (kinds[i].family) {
    case CTR:
        new_ctr(&x, change);
        break;
    case TOWER:
        new_tower(&x, change);
        break;
    case NCF:
        new_ncf(&x, change);
        break;
    case MF:
        fr_mf_train_config_default(&c);
        c.dim = 5;
        c.threads = kinds[i].threads;
        ck_assert_int_eq(fr_train_mf_new(&c, &pair_fs, user, USERS, item, ITEMS, &x.mf, NULL), FR_OK);
        break;
    }
    return x;
}

static void subject_free(struct subject *x)
{
    fr_train_ctr_free(x->ctr);
    fr_train_two_tower_free(x->tower);
    fr_train_ncf_free(x->ncf);
    fr_train_mf_free(x->mf);
}

static void step(struct subject *x, int s)
{
    const struct fr_cell *u[LISTS], *c[LISTS];
    struct fr_rank_list lists[LISTS];
    double loss = 0;
    for (int k = 0; k < LISTS; k++) {
        lists[k] = list[s][k].list;
        u[k] = list[s][k].user;
        c[k] = list[s][k].context;
    }
    if (x->ctr != NULL)
        ck_assert_int_eq(fr_train_ctr_step(x->ctr, lists, LISTS, &loss), FR_OK);
    if (x->ctr != NULL && !kinds[x->i].plain) /* while tables grow */
        ck_assert_int_eq(fr_train_ctr_average(x->ctr, 0.3f), FR_OK);
    if (x->tower != NULL) {
        struct fr_two_tower_batch b = {LISTS, u, c, pick[s], NULL, {&list[0][0].item[0][0], ITEMS}};

        ck_assert_int_eq(fr_train_two_tower_step(x->tower, &b, &loss), FR_OK);
    }
    if (x->ncf != NULL) {
        struct fr_ncf_rows rows = {who[s], pick[s], label[s], LISTS};

        ck_assert_int_eq(fr_train_ncf_step(x->ncf, &rows, &loss), FR_OK);
        if (!kinds[x->i].plain && s % 2 == 1) /* an average settles the rows that wait; some shall wait when it is saved */
            ck_assert_int_eq(fr_train_ncf_average(x->ncf, 0.3f), FR_OK);
    }
    if (x->mf != NULL)
        ck_assert_int_eq(fr_train_mf_pass(x->mf, who[s], pick[s], label[s], LISTS, &loss), FR_OK);
}

static void slower(struct subject *x)
{
    if (x->ctr != NULL)
        fr_train_ctr_set_lr(x->ctr, 0.005f);
    else if (x->tower != NULL)
        fr_train_two_tower_set_lr(x->tower, 0.005f);
}

static void walk(struct subject *x, struct fr_checkpoint *ck)
{
    fr_checkpoint_section(ck, "trainer");
    if (x->ctr != NULL)
        fr_train_ctr_checkpoint(x->ctr, ck);
    if (x->tower != NULL)
        fr_train_two_tower_checkpoint(x->tower, ck);
    if (x->ncf != NULL)
        fr_train_ncf_checkpoint(x->ncf, ck);
    if (x->mf != NULL)
        fr_train_mf_checkpoint(x->mf, ck);
}

/* ---- files ---- */

static const char *path_of(const char *name)
{
    static char path[2][4096];
    static int turn;

    turn = !turn;
    ck_assert(tmpdir_path(dir, name, path[turn], sizeof(path[turn])));
    return path[turn];
}

static void save(struct subject *x, const char *path)
{
    struct fr_checkpoint *ck = NULL;
    struct fr_fault f = {.err = FR_OK};

    ck_assert_int_eq(fr_checkpoint_new(&ck), FR_OK);
    walk(x, ck);
    ck_assert_msg(fr_checkpoint_write(ck, path, &f) == FR_OK, "%s", f.msg);
    fr_checkpoint_free(ck);
}

static enum fr_err load_from(struct subject *x, struct fr_checkpoint *ck, struct fr_fault *f)
{
    enum fr_err e;

    walk(x, ck);
    e = fr_checkpoint_end(ck, f);
    fr_checkpoint_free(ck);
    return e;
}

static enum fr_err load(struct subject *x, const char *path, struct fr_fault *f)
{
    struct fr_checkpoint *ck = NULL;
    enum fr_err e = fr_checkpoint_read(path, &ck, f);

    return e == FR_OK ? load_from(x, ck, f) : e;
}

/* A trainer after three steps, as a file in memory. Owner: free() */
static struct fr_str file_of(int i)
{
    struct subject x = subject_new(i, SAME);
    struct fr_str file = {NULL, 0};
    size_t n = 0;

    for (int s = 0; s < 3; s++)
        step(&x, s);
    save(&x, path_of("file"));
    subject_free(&x);
    file.p = tmpdir_read(path_of("file"), &n);
    ck_assert_ptr_nonnull(file.p);
    file.n = n;
    return file;
}

static enum fr_err load_bytes(int i, struct fr_str file, struct fr_fault *f)
{
    struct subject x = subject_new(i, SAME);
    struct fr_checkpoint *ck = NULL;
    enum fr_err e = fr_checkpoint_parse(file, &ck, f);

    if (e == FR_OK)
        e = load_from(&x, ck, f);
    subject_free(&x);
    return e;
}

/* ---- the same bits ---- */

/* All state of both, as files. */
static bool same_state(struct subject *a, struct subject *b)
{
    struct subject *x[2] = {a, b};
    size_t n[2] = {0, 0};
    char *bytes[2];
    for (int k = 0; k < 2; k++) {
        save(x[k], path_of("state"));
        bytes[k] = tmpdir_read(path_of("state"), &n[k]);
        ck_assert_ptr_nonnull(bytes[k]);
    }
    bool same = n[0] == n[1] && memcmp(bytes[0], bytes[1], n[0]) == 0;
    free(bytes[0]);
    free(bytes[1]);
    return same;
}

START_TEST(every_kind__saved_and_loaded_between_steps__same_bytes_after_three_more)
{
    struct subject whole = subject_new(_i, SAME), again = subject_new(_i, SAME);
    struct fr_fault f = {.err = FR_OK};

    for (int s = 0; s < 3; s++)
        step(&whole, s);
    slower(&whole);
    save(&whole, path_of("mid"));
    ck_assert_msg(load(&again, path_of("mid"), &f) == FR_OK, "%s", f.msg);
    for (int s = 3; s < STEPS; s++) {
        step(&whole, s);
        step(&again, s);
    }
    ck_assert(same_state(&whole, &again));
    subject_free(&whole);
    subject_free(&again);
}
END_TEST

/* Without the state that a walk might forget, the comparison above would have to fail. */
START_TEST(every_kind__new_trainer_not_loaded__other_bytes)
{
    struct subject whole = subject_new(_i, SAME), again = subject_new(_i, SAME);

    for (int s = 0; s < STEPS; s++)
        step(&whole, s);
    for (int s = 3; s < STEPS; s++)
        step(&again, s);
    ck_assert(!same_state(&whole, &again));
    subject_free(&whole);
    subject_free(&again);
}
END_TEST

START_TEST(model__there_or_not__comes_back_as_it_was)
{
    struct subject x = subject_new(DEEPFM, SAME);
    struct fr_model *m[2] = {NULL, NULL}, *back[2] = {NULL, NULL};
    const struct fr_tensor *a = NULL, *b = NULL;
    struct fr_checkpoint *ck = NULL;
    struct fr_fault f = {.err = FR_OK};
    int n = 0, n_back = 0;

    step(&x, 0);
    ck_assert_int_eq(fr_train_ctr_model(x.ctr, &m[0], NULL), FR_OK);
    ck_assert_int_eq(fr_checkpoint_new(&ck), FR_OK);
    for (int k = 0; k < 2; k++) {
        fr_checkpoint_section(ck, k == 0 ? "first" : "second");
        fr_checkpoint_model(ck, &m[k], fr_train_ctr_build, x.ctr);
    }
    ck_assert_int_eq(fr_checkpoint_write(ck, path_of("models"), NULL), FR_OK);
    fr_checkpoint_free(ck);
    ck_assert_int_eq(fr_checkpoint_read(path_of("models"), &ck, NULL), FR_OK);
    for (int k = 0; k < 2; k++) {
        fr_checkpoint_section(ck, k == 0 ? "first" : "second");
        fr_checkpoint_model(ck, &back[k], fr_train_ctr_build, x.ctr);
    }
    ck_assert_msg(fr_checkpoint_end(ck, &f) == FR_OK, "%s", f.msg);
    fr_checkpoint_free(ck);
    ck_assert_ptr_null(back[1]);
    a = fr_model_tensors(m[0], &n);
    b = fr_model_tensors(back[0], &n_back);
    ck_assert_int_eq(n_back, n);
    for (int i = 0; i < n; i++) {
        ck_assert_str_eq(a[i].name, b[i].name);
        ck_assert_mem_eq(a[i].data, b[i].data, fr_tensor_count(&a[i]) * sizeof(float));
    }
    fr_model_free(m[0]);
    fr_model_free(back[0]);
    subject_free(&x);
}
END_TEST

START_TEST(values__extremes__exact)
{
    double in[] = {0.1, -1e308, 5e-324, 1.0 / 3, (double)NAN, 1e15 + 0.3, 0}, out[7] = {0}, one = 2.0 / 3;
    float f32[] = {1e-45f, 3.4028235e38f, -0.1f}, got = 0;
    int64_t i64[] = {INT64_MIN, INT64_MAX, 0}, whole = 0;
    struct fr_checkpoint *ck = NULL;
    bool yes = true, no = false;
    char key[8];

    for (int in_out = 0; in_out < 2; in_out++) {
        if (in_out == 0)
            ck_assert_int_eq(fr_checkpoint_new(&ck), FR_OK);
        else
            ck_assert_int_eq(fr_checkpoint_read(path_of("values"), &ck, NULL), FR_OK);
        fr_checkpoint_section(ck, "x");
        fr_checkpoint_f64s(ck, "f64s", in_out == 0 ? in : out, 7);
        fr_checkpoint_f64(ck, "f64", in_out == 0 ? &one : &out[0]);
        for (int k = 0; k < 3; k++) {
            (void)snprintf(key, sizeof(key), "f%d", k);
            fr_checkpoint_f32(ck, key, in_out == 0 ? &f32[k] : &got);
            ck_assert(in_out == 0 || memcmp(&got, &f32[k], sizeof(got)) == 0);
            (void)snprintf(key, sizeof(key), "i%d", k);
            fr_checkpoint_i64(ck, key, in_out == 0 ? &i64[k] : &whole, INT64_MIN, INT64_MAX);
            ck_assert(in_out == 0 || whole == i64[k]);
        }
        fr_checkpoint_bool(ck, "b", in_out == 0 ? &yes : &no);
        fr_checkpoint_same_u64(ck, "u64", UINT64_MAX);
        if (in_out == 0)
            ck_assert_int_eq(fr_checkpoint_write(ck, path_of("values"), NULL), FR_OK);
        else
            ck_assert_int_eq(fr_checkpoint_end(ck, NULL), FR_OK);
        fr_checkpoint_free(ck);
    }
    ck_assert(no && out[0] == one && isnan(out[4]));
    for (int k = 1; k < 7; k++)
        ck_assert(k == 4 || out[k] == in[k]);
}
END_TEST

/* ---- hostile ---- */

START_TEST(settings__each_changed__refused_by_name)
{
    static const char *const name[N_CHANGES] = {NULL,       "/seed",   "/threads", "/l2_embedding",
                                                "dim there", "/hidden", "dropout",  "/admit"};
    static const int kind[] = {DEEPFM, TWO_TOWER, NEUMF};

    for (int k = 0; k < 3; k++) {
        struct fr_str file = file_of(kind[k]);

        for (int change = SEED; change < N_CHANGES; change++) {
            struct subject x = subject_new(kind[k], (enum change)change);
            struct fr_fault f = {.err = FR_OK};

            ck_assert_int_eq(load(&x, path_of("file"), &f), FR_EMISMATCH);
            /* of ncf these are the factors and the clip */
            if (change != DIM && !(kind[k] == NEUMF && change == DROPOUT))
                ck_assert_msg(strstr(f.msg, name[change]) != NULL, "%d: %s", change, f.msg);
            ck_assert_msg(strstr(f.msg, " there, ") != NULL, "%s", f.msg);
            subject_free(&x);
        }
        free((char *)(uintptr_t)file.p);
    }
}
END_TEST

/* The file again from (changed) tensors and text. Owner: fr_buf_done() */
static void write_again(const struct fr_tensor *t, int n, struct fr_str text, struct fr_buf *out)
{
    struct fr_st_note note = {FR_CHECKPOINT_SCHEMA, text};

    fr_buf_init(out);
    ck_assert_int_eq(fr_safetensors_head(t, n, &note, 1, out), FR_OK);
    for (int i = 0; i < n; i++)
        fr_buf_put(out, t[i].data, fr_tensor_count(&t[i]) * fr_dtype_size(t[i].dtype));
    ck_assert_int_eq(fr_buf_err(out), FR_OK);
}

static void refused(int kind, const struct fr_tensor *t, int n, struct fr_str text, const char *name, const char *what)
{
    struct fr_fault f = {.err = FR_OK};
    struct fr_buf b;
    enum fr_err e;

    write_again(t, n, text, &b);
    e = load_bytes(kind, fr_buf_str(&b), &f);
    ck_assert_msg(e != FR_OK && f.err == e, "%s %s: was taken", name, what);
    ck_assert_msg(strstr(f.msg, name) != NULL, "%s %s: %s", name, what, f.msg);
    fr_buf_done(&b);
}

/* A tensor that its owner looks up by another's length, so that the message may name that one. */
static const char *told_as(const char *name)
{
    if (strcmp(name, "trainer/last") == 0 || strcmp(name, "trainer/times") == 0 || strcmp(name, "trainer/gap") == 0)
        return "trainer/";
    if (strncmp(name, "trainer/vocab.", 14) == 0 || strncmp(name, "trainer/waiting.", 16) == 0 ||
        strncmp(name, "trainer/times.", 14) == 0)
        return "trainer/";
    return name;
}

START_TEST(every_tensor__missing_or_of_another_shape_or_type__refused_by_name)
{
    struct fr_str file = file_of(_i);
    const struct fr_json *meta = NULL;
    struct fr_tensor *t = NULL, one[1], copy[FR_ST_MAX_TENSORS];
    struct fr_arena *ar = NULL;
    struct fr_str text;
    int n = 0;

    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_safetensors_parse_meta(file, ar, &t, &n, &meta, NULL), FR_OK);
    text = fr_json_get(meta, FR_CHECKPOINT_SCHEMA)->str;
    ck_assert_int_gt(n, 3);
    for (int i = 0; i < n; i++) {
        memcpy(copy, t, (size_t)n * sizeof(*t));
        copy[i] = copy[n - 1];
        /* without the ids that wait, it is a smaller state, but a whole one: only their counts are left over */
        refused(_i, copy, n - 1, text, told_as(t[i].name), "missing");
        memcpy(copy, t, (size_t)n * sizeof(*t));
        copy[i].ndim = 3;
        copy[i].dim[2] = 1;
        copy[i].dim[1] = t[i].ndim < 2 ? 1 : t[i].dim[1];
        refused(_i, copy, n, text, told_as(t[i].name), "of three dimensions");
        if (fr_tensor_count(&t[i]) > 1) {
            memcpy(copy, t, (size_t)n * sizeof(*t));
            copy[i].dim[0] -= t[i].dim[0] > 1;
            copy[i].dim[1] -= t[i].dim[0] == 1;
            refused(_i, copy, n, text, told_as(t[i].name), "a row less");
        }
        memcpy(copy, t, (size_t)n * sizeof(*t));
        copy[i].dtype = t[i].dtype == FR_DTYPE_F32   ? FR_DTYPE_I32
                        : t[i].dtype == FR_DTYPE_I32 ? FR_DTYPE_F32
                                                     : FR_DTYPE_I64;
        refused(_i, copy, n, text, told_as(t[i].name), "of another type");
    }
    memcpy(copy, t, (size_t)n * sizeof(*t));
    one[0] = t[0];
    (void)snprintf(one[0].name, sizeof(one[0].name), "trainer/v.more");
    copy[n] = one[0];
    refused(_i, copy, n + 1, text, "trainer/v.more", "too many");
    fr_arena_free(ar);
    free((char *)(uintptr_t)file.p);
}
END_TEST

static void put_value(struct fr_jsonw *w, const struct fr_json *v)
{
    switch (v->type) {
    case FR_JSON_STRING:
        fr_jsonw_str(w, v->str);
        break;
    case FR_JSON_BOOL:
        fr_jsonw_bool(w, v->b);
        break;
    case FR_JSON_NUMBER:
        if (v->is_int)
            fr_jsonw_i64(w, v->i);
        else
            fr_jsonw_f64(w, v->num);
        break;
    default:
        ck_abort_msg("a trainer has no such value");
    }
}

/* The text without member `i`, or with an object in its place. */
static void text_without(const struct fr_json *root, size_t i, bool object, struct fr_buf *out)
{
    struct fr_jsonw w;
    size_t k = 0;

    fr_buf_clear(out);
    fr_jsonw_init(&w, out);
    fr_jsonw_object(&w);
    for (const struct fr_json *v = root->child; v != NULL; v = v->next, k++) {
        if (k == i && !object)
            continue;
        fr_jsonw_keys(&w, v->key);
        if (k != i) {
            put_value(&w, v);
            continue;
        }
        fr_jsonw_object(&w);
        fr_jsonw_end(&w, '}');
    }
    fr_jsonw_end(&w, '}');
}

START_TEST(every_value__missing_or_of_another_type__refused_by_name)
{
    struct fr_str file = file_of(_i);
    const struct fr_json *meta = NULL, *root = NULL;
    struct fr_tensor *t = NULL;
    struct fr_arena *ar = NULL;
    struct fr_buf text;
    size_t i = 0;
    int n = 0;

    fr_buf_init(&text);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_safetensors_parse_meta(file, ar, &t, &n, &meta, NULL), FR_OK);
    ck_assert_int_eq(fr_json_parse(ar, fr_json_get(meta, FR_CHECKPOINT_SCHEMA)->str, &root, NULL), FR_OK);
    ck_assert_uint_gt(root->n, 8);
    for (const struct fr_json *v = root->child; v != NULL; v = v->next, i++) {
        char name[FR_TENSOR_NAME + 8];

        (void)snprintf(name, sizeof(name), "%.*s: ", (int)v->key.n, v->key.p);
        text_without(root, i, false, &text);
        refused(_i, t, n, fr_buf_str(&text), name, "missing");
        text_without(root, i, true, &text);
        refused(_i, t, n, fr_buf_str(&text), name, "an object");
    }
    fr_buf_done(&text);
    fr_arena_free(ar);
    free((char *)(uintptr_t)file.p);
}
END_TEST

/* Values that are of the right type and shape, but no state. */
START_TEST(impossible_values__refused)
{
    static const struct {
        int kind;
        const char *tensor;
        size_t at; /* element */
        uint64_t bits;
        const char *told;
    } bad[] = {
        {DEEPFM, "trainer/vocab.item", 0, 9, "trainer/vocab.item"},            /* row 0 has no key */
        {DEEPFM, "trainer/vocab.item", 1, 0, "trainer/vocab.item"},            /* and the others have one */
        {DEEPFM, "trainer/times.item", 0, 0, "trainer/waiting.item"},          /* seen, but never */
        {DEEPFM, "trainer/times.item", 0, 40, "trainer/waiting.item"},         /* would have its row */
        {DEEPFM, "trainer/waiting.item", 0, 0, "trainer/waiting.item"},        /* no id */
        {DEEPFM, "trainer/w.bias", 0, 0x7fc00000, "trainer/w.bias"},           /* NaN */
        {DEEPFM, "trainer/m.mlp.0.weight", 3, 0x7f800000, "trainer/m.mlp.0"},  /* infinite */
        {TWO_TOWER, "trainer/last", 2, 1 << 20, "trainer/gap"},                /* after the last step */
        {TWO_TOWER, "trainer/times", 2, 1 << 20, "trainer/gap"},
        {TWO_TOWER, "trainer/gap", 2, 0, "trainer/gap"},
        {TWO_TOWER, "trainer/order", 2, ITEMS, "trainer/order"}, /* no item */
        {TWO_TOWER, "trainer/gap", 2, 0xbf800000, "trainer/gap"}, /* -1 */
        {NEUMF, "trainer/vocab.user", 3, 77, "trainer/vocab.user"}, /* another id than in the data */
    };

    for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
        struct fr_str file = file_of(bad[k].kind);
        struct fr_tensor *t = NULL;
        struct fr_arena *ar = NULL;
        struct fr_fault f = {.err = FR_OK};
        const struct fr_json *meta = NULL;
        const struct fr_tensor *x;
        int n = 0;

        ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
        ck_assert_int_eq(fr_safetensors_parse_meta(file, ar, &t, &n, &meta, NULL), FR_OK);
        x = fr_tensor_find(t, n, bad[k].tensor);
        ck_assert_msg(x != NULL && bad[k].at < fr_tensor_count(x), "%s", bad[k].tensor);
        memcpy((char *)(uintptr_t)x->data + bad[k].at * fr_dtype_size(x->dtype), &bad[k].bits, fr_dtype_size(x->dtype));
        if (x->dtype == FR_DTYPE_F32) { /* within the file; the writer would not write a NaN */
            ck_assert_msg(load_bytes(bad[k].kind, file, &f) != FR_OK, "%zu: %s was taken", k, bad[k].tensor);
            ck_assert_msg(strstr(f.msg, bad[k].told) != NULL, "%zu: %s", k, f.msg);
        } else { /* perhaps a copy, for its alignment */
            refused(bad[k].kind, t, n, fr_json_get(meta, FR_CHECKPOINT_SCHEMA)->str, bad[k].told, "changed");
        }
        fr_arena_free(ar);
        free((char *)(uintptr_t)file.p);
    }
}
END_TEST

START_TEST(generator__all_zero__refused)
{
    struct fr_rng zero = {{0, 0, 0, 0}};
    struct fr_checkpoint *ck = NULL;
    struct fr_fault f = {.err = FR_OK};

    ck_assert_int_eq(fr_checkpoint_new(&ck), FR_OK);
    fr_checkpoint_rng(ck, "rng", &zero);
    ck_assert_int_eq(fr_checkpoint_write(ck, path_of("zero"), NULL), FR_OK);
    fr_checkpoint_free(ck);
    ck_assert_int_eq(fr_checkpoint_read(path_of("zero"), &ck, NULL), FR_OK);
    fr_checkpoint_rng(ck, "rng", &zero);
    ck_assert_int_eq(fr_checkpoint_end(ck, &f), FR_EINVAL);
    ck_assert_ptr_nonnull(strstr(f.msg, "rng: all zero"));
    fr_checkpoint_free(ck);
}
END_TEST

START_TEST(file__cut_anywhere_or_a_bit_flipped__refused)
{
    struct fr_str file = file_of(NEUMF);
    char *bytes = (char *)(uintptr_t)file.p;
    struct subject x = subject_new(NEUMF, SAME);
    struct fr_fault f = {.err = FR_OK};

    for (size_t n = 0; n < file.n; n += n < 300 ? 1 : 97) {
        ck_assert(tmpdir_write(path_of("cut"), bytes, n));
        ck_assert_msg(load(&x, path_of("cut"), &f) != FR_OK, "%zu of %zu bytes were taken", n, file.n);
        ck_assert_ptr_nonnull(strstr(f.msg, path_of("cut")));
    }
    for (size_t at = 8; at < file.n; at += 61) { /* of the padding too: then the header is longer */
        if (bytes[at] == ' ')
            continue;
        bytes[at] ^= 1;
        ck_assert(tmpdir_write(path_of("cut"), bytes, file.n));
        ck_assert_msg(load(&x, path_of("cut"), &f) != FR_OK, "a flipped bit at %zu of %zu was taken", at, file.n);
        bytes[at] ^= 1;
    }
    ck_assert_int_eq(load(&x, path_of("absent"), &f), FR_ENOTFOUND);
    subject_free(&x);
    free(bytes);
}
END_TEST

START_TEST(save_and_load__every_nth_allocation_fails__no_leak_and_the_file_stays)
{
    struct fr_str file = file_of(_i);
    struct subject x = subject_new(_i, SAME);
    bool saved = false, loaded = false;
    size_t n = 0;

    for (uint64_t nth = 1; !saved; nth++) {
        struct fr_checkpoint *ck = NULL;
        enum fr_err e;
        char *now;

        fr_alloc_fail_at(nth);
        e = fr_checkpoint_new(&ck);
        if (e == FR_OK) {
            walk(&x, ck);
            e = fr_checkpoint_write(ck, path_of("file"), NULL);
        }
        fr_alloc_fail_at(0);
        fr_checkpoint_free(ck);
        saved = e == FR_OK;
        if (saved)
            break;
        ck_assert_int_eq(e, FR_ENOMEM);
        now = tmpdir_read(path_of("file"), &n);
        ck_assert_uint_eq(n, file.n);
        ck_assert_mem_eq(now, file.p, n);
        free(now);
        ck_assert_uint_lt(nth, 1000);
    }
    ck_assert(tmpdir_write(path_of("file"), file.p, file.n));
    for (uint64_t nth = 1; !loaded; nth++) {
        struct subject y = subject_new(_i, SAME);
        enum fr_err e;

        fr_alloc_fail_at(nth);
        e = load(&y, path_of("file"), NULL);
        fr_alloc_fail_at(0);
        loaded = e == FR_OK;
        ck_assert(loaded || e == FR_ENOMEM);
        ck_assert_uint_lt(nth, 1000);
        subject_free(&y);
    }
    subject_free(&x);
    free((char *)(uintptr_t)file.p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/train/checkpoint");
    TCase *tc = tcase_create("checkpoint");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, every_kind__saved_and_loaded_between_steps__same_bytes_after_three_more, 0, N_KINDS);
    tcase_add_loop_test(tc, every_kind__new_trainer_not_loaded__other_bytes, 0, N_KINDS);
    tcase_add_test(tc, model__there_or_not__comes_back_as_it_was);
    tcase_add_test(tc, values__extremes__exact);
    tcase_add_test(tc, settings__each_changed__refused_by_name);
    tcase_add_loop_test(tc, every_tensor__missing_or_of_another_shape_or_type__refused_by_name, 0, N_KINDS);
    tcase_add_loop_test(tc, every_value__missing_or_of_another_type__refused_by_name, 0, N_KINDS);
    tcase_add_test(tc, impossible_values__refused);
    tcase_add_test(tc, generator__all_zero__refused);
    tcase_add_test(tc, file__cut_anywhere_or_a_bit_flipped__refused);
    tcase_add_loop_test(tc, save_and_load__every_nth_allocation_fails__no_leak_and_the_file_stays, 0, N_KINDS);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
