/*
 * tests/fuzz/fuzz_checkpoint.c - a checkpoint, hostile; its sum is not looked at. The first byte chooses the trainer it
 * is loaded into, and whether the rest is the file (bit 3) or changes to a good one that is made here: three bytes each,
 * where (16 bits, modulo its length) and what. So every depth is reached whatever a trainer's state comes to be.
 * What is refused has a reason; what is taken can be trained on and gives a model, or an error.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "models/train/checkpoint_trainers.h"
#include "models/train/train_ctr.h"
#include "models/train/train_mf.h"
#include "models/train/train_ncf.h"
#include "models/train/train_two_tower.h"

#define N 5
#define KINDS 6
#define RAW 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fr_field_set fs;
static struct fr_cell user[N], item[N];

/* ---- trainers, small ---- */

static void *ctr_new(void)
{
    struct fr_ctr_train_config c;
    struct fr_train_ctr *tr = NULL;

    fr_ctr_train_config_default(&c);
    c.model.dim = 3;
    c.model.n_hidden = 1;
    c.model.hidden[0] = 2;
    c.model.batch_norm = true;
    return fr_train_ctr_new(&c, &fs, &tr, NULL) == FR_OK ? tr : NULL;
}

static enum fr_err ctr_step(void *tr)
{
    const struct fr_cell *items[2] = {&item[0], &item[3]};
    struct fr_rank_list list = {{&user[1], NULL, items, NULL, 2}, 1, NULL, 1, NULL};

    return fr_train_ctr_step(tr, &list, 1, NULL);
}

static enum fr_err ctr_model(void *tr, struct fr_model **m)
{
    return fr_train_ctr_model(tr, m, NULL);
}

static void ctr_walk(void *tr, struct fr_model **m, struct fr_checkpoint *ck)
{
    fr_train_ctr_checkpoint(tr, ck);
    fr_checkpoint_section(ck, "best");
    fr_checkpoint_model(ck, m, fr_train_ctr_build, tr);
}

static void ctr_free(void *tr)
{
    fr_train_ctr_free(tr);
}

static void *tower_new(void)
{
    struct fr_two_tower_train_config c;
    struct fr_train_two_tower *tr = NULL;

    fr_two_tower_train_config_default(&c);
    c.model.emb_dim = c.model.dim = 3;
    c.model.n_hidden = 0;
    c.negatives = 2;
    return fr_train_two_tower_new(&c, &fs, &tr, NULL) == FR_OK ? tr : NULL;
}

static enum fr_err tower_step(void *tr)
{
    const struct fr_cell *users[2] = {&user[0], &user[2]};
    const uint32_t positive[2] = {1, 4};
    struct fr_two_tower_batch b = {2, users, NULL, positive, NULL, {item, N}};

    return fr_train_two_tower_step(tr, &b, NULL);
}

static enum fr_err tower_model(void *tr, struct fr_model **m)
{
    return fr_train_two_tower_model(tr, m, NULL);
}

static void tower_walk(void *tr, struct fr_model **m, struct fr_checkpoint *ck)
{
    (void)m;
    fr_train_two_tower_checkpoint(tr, ck);
}

/* A model whose trainer is gone. */
static void left_walk(void *tr, struct fr_model **m, struct fr_checkpoint *ck)
{
    fr_train_two_tower_left(tr, m, ck);
}

static void tower_free(void *tr)
{
    fr_train_two_tower_free(tr);
}

static void *gmf(enum fr_optimizer optimizer)
{
    struct fr_ncf_train_config c;
    struct fr_train_ncf *tr = NULL;

    fr_ncf_train_config_default(&c);
    c.model.kind = FR_MODEL_GMF;
    c.model.factors = 3;
    c.opt.optimizer = optimizer;
    return fr_train_ncf_new(&c, &fs, &tr, NULL) == FR_OK && fr_train_ncf_ids(tr, user, N, item, N) == FR_OK ? tr : NULL;
}

static void *ncf_new(void)
{
    return gmf(FR_OPTIMIZER_ADAM);
}

/* No moments, so no rows that wait for them. */
static void *ncf_sgd_new(void)
{
    return gmf(FR_OPTIMIZER_SGD);
}

static enum fr_err ncf_step(void *tr)
{
    const uint32_t u[2] = {0, 4}, i[2] = {3, 1};
    const float y[2] = {0, 1};
    struct fr_ncf_rows rows = {u, i, y, 2};

    return fr_train_ncf_step(tr, &rows, NULL);
}

static enum fr_err ncf_model(void *tr, struct fr_model **m)
{
    return fr_train_ncf_model(tr, m, NULL);
}

static void ncf_walk(void *tr, struct fr_model **m, struct fr_checkpoint *ck)
{
    fr_train_ncf_checkpoint(tr, ck);
    fr_checkpoint_section(ck, "best");
    fr_checkpoint_model(ck, m, fr_train_ncf_build, tr);
}

static void ncf_free(void *tr)
{
    fr_train_ncf_free(tr);
}

static void *mf_new(void)
{
    struct fr_mf_train_config c;
    struct fr_train_mf *tr = NULL;

    fr_mf_train_config_default(&c);
    c.dim = 3;
    return fr_train_mf_new(&c, &fs, user, N, item, N, &tr, NULL) == FR_OK ? tr : NULL;
}

static enum fr_err mf_step(void *tr)
{
    const uint32_t u[2] = {0, 4}, i[2] = {3, 1};
    const float y[2] = {0, 1};
    double loss;

    return fr_train_mf_pass(tr, u, i, y, 2, &loss);
}

static enum fr_err mf_model(void *tr, struct fr_model **m)
{
    return fr_train_mf_model(tr, m, NULL);
}

static void mf_walk(void *tr, struct fr_model **m, struct fr_checkpoint *ck)
{
    fr_train_mf_checkpoint(tr, ck);
    fr_checkpoint_section(ck, "best");
    fr_checkpoint_model(ck, m, fr_train_mf_build, tr);
}

static void mf_free(void *tr)
{
    fr_train_mf_free(tr);
}

static struct kind {
    void *(*new)(void);
    enum fr_err (*step)(void *tr);
    enum fr_err (*model)(void *tr, struct fr_model **m);
    void (*walk)(void *tr, struct fr_model **m, struct fr_checkpoint *ck);
    void (*free)(void *tr);
    bool spent; /* a trainer is of no use once loaded: the model is what is taken */
    char *good; /* a file of it */
    size_t n;
} kind[KINDS] = {{ctr_new, ctr_step, ctr_model, ctr_walk, ctr_free, false, NULL, 0},
                 {tower_new, tower_step, tower_model, tower_walk, tower_free, false, NULL, 0},
                 {ncf_new, ncf_step, ncf_model, ncf_walk, ncf_free, false, NULL, 0},
                 {ncf_sgd_new, ncf_step, ncf_model, ncf_walk, ncf_free, false, NULL, 0},
                 {mf_new, mf_step, mf_model, mf_walk, mf_free, false, NULL, 0},
                 {tower_new, tower_step, tower_model, left_walk, tower_free, true, NULL, 0}};

/* ---- one input ---- */

/* A score or an error. */
static void use(const struct fr_model *m)
{
    const struct fr_cell *items[2] = {&item[0], &item[3]};
    struct fr_model_case c = {&user[1], NULL, items, NULL, 2};
    struct fr_arena *ar = NULL;
    float out[2];
    enum fr_err e = fr_arena_new((size_t)1 << 12, 0, &ar);

    if (e == FR_OK)
        e = fr_model_score_case(m, &c, 0, ar, out);
    if (e == FR_EINTERNAL)
        abort();
    fr_arena_free(ar);
}

/* @return true: it was taken */
static bool load(const struct kind *k, struct fr_str file)
{
    struct fr_checkpoint *ck = NULL;
    struct fr_fault fault = {.err = FR_OK};
    struct fr_model *m[2] = {NULL, NULL};
    void *tr;
    enum fr_err e = fr_checkpoint_parse(file, &ck, &fault), after;

    if (e == FR_OK) {
        if ((tr = k->new()) == NULL)
            abort();
        fr_checkpoint_section(ck, "trainer");
        k->walk(tr, &m[0], ck);
        e = fr_checkpoint_end(ck, &fault);
        if (e == FR_OK && k->spent)
            use(m[0]);
        else if (e == FR_OK && (after = k->step(tr)) == FR_OK)
            after = k->model(tr, &m[1]);
        fr_model_free(m[0]);
        fr_model_free(m[1]);
        k->free(tr);
    }
    if (e != FR_OK && (fault.err != e || fault.msg[0] == '\0'))
        abort(); /* a refusal without a reason */
    fr_checkpoint_free(ck);
    return e == FR_OK;
}

static void make_good(struct kind *k)
{
    char path[] = "/tmp/freshet-fuzz-XXXXXX";
    int fd = mkstemp(path);
    struct fr_checkpoint *ck = NULL;
    struct fr_model *m = NULL;
    void *tr = k->new();

    if (fd < 0 || close(fd) != 0 || tr == NULL || k->step(tr) != FR_OK || k->step(tr) != FR_OK ||
        k->model(tr, &m) != FR_OK || fr_checkpoint_new(&ck) != FR_OK)
        abort();
    fr_checkpoint_section(ck, "trainer");
    k->walk(tr, &m, ck);
    if (fr_checkpoint_write(ck, path, NULL) != FR_OK ||
        fr_file_read(path, (size_t)1 << 20, &k->good, &k->n, NULL) != FR_OK || unlink(path) != 0)
        abort();
    fr_checkpoint_free(ck);
    fr_model_free(m);
    k->free(tr);
    if (!load(k, (struct fr_str){k->good, k->n}))
        abort(); /* unchanged, it must be taken */
}

static void setup(void)
{
    fs.hash = 5;
    if (fr_field_add(&fs, "user", FR_ENTITY_USER, FR_FIELD_ID, "user", 0, 1) != FR_OK ||
        fr_field_add(&fs, "item", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1) != FR_OK)
        abort();
    for (uint64_t i = 0; i < N; i++) {
        user[i] = (struct fr_cell){100 + i, 1};
        item[i] = (struct fr_cell){500 + i, 1};
    }
    for (int i = 0; i < KINDS; i++)
        make_good(&kind[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct kind *k;
    bool raw;
    char *copy;
    size_t n;

    if (size < 2)
        return 0;
    if (fs.n == 0)
        setup();
    k = &kind[(data[0] & 7) % KINDS];
    raw = (data[0] & RAW) != 0;
    n = raw ? size - 1 : k->n;
    copy = fr_malloc_array(n, 1); /* its own block: ASan sees any over-read */
    if (copy == NULL)
        abort();
    memcpy(copy, raw ? (const char *)data + 1 : k->good, n);
    for (size_t i = 1; !raw && i + 2 < size; i += 3)
        copy[((size_t)data[i] << 8 | data[i + 1]) % n] = (char)data[i + 2];
    (void)load(k, (struct fr_str){copy, n});
    fr_free(copy);
    return 0;
}
