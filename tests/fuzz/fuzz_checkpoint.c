/*
 * tests/fuzz/fuzz_checkpoint.c - a checkpoint, hostile; its sum is not looked at. The first byte chooses the trainer it
 * is loaded into. Whatever is refused has a reason; whatever is taken can be trained on and gives a model, or an error.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/train/checkpoint_trainers.h"
#include "models/train/train_ctr.h"
#include "models/train/train_mf.h"
#include "models/train/train_ncf.h"
#include "models/train/train_two_tower.h"

#define N 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fr_field_set fs;
static struct fr_cell user[N], item[N];

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
}

/* What all have to do after their walk. @return true: go on */
static bool loaded(struct fr_checkpoint *ck)
{
    struct fr_fault fault = {.err = FR_OK};
    enum fr_err e = fr_checkpoint_end(ck, &fault);

    if (e != FR_OK && (fault.err != e || fault.msg[0] == '\0'))
        abort(); /* a refusal without a reason */
    return e == FR_OK;
}

static void ctr(struct fr_checkpoint *ck)
{
    const struct fr_cell *items[2] = {&item[0], &item[3]};
    struct fr_rank_list list = {{&user[1], NULL, items, NULL, 2}, 1, NULL, 1};
    struct fr_ctr_train_config c;
    struct fr_train_ctr *tr = NULL;
    struct fr_model *m = NULL;
    double loss;
    enum fr_err e;

    fr_ctr_train_config_default(&c);
    c.model.dim = 3;
    c.model.n_hidden = 1;
    c.model.hidden[0] = 2;
    c.model.batch_norm = true;
    if (fr_train_ctr_new(&c, &fs, &tr, NULL) != FR_OK)
        abort();
    fr_checkpoint_section(ck, "trainer");
    fr_train_ctr_checkpoint(tr, ck);
    fr_checkpoint_section(ck, "best");
    fr_checkpoint_model(ck, &m, fr_train_ctr_build, tr);
    if (loaded(ck)) {
        e = fr_train_ctr_step(tr, &list, 1, &loss);
        (void)e;
    }
    fr_model_free(m);
    fr_train_ctr_free(tr);
}

static void tower(struct fr_checkpoint *ck)
{
    const struct fr_cell *users[2] = {&user[0], &user[2]};
    const uint32_t positive[2] = {1, 4};
    struct fr_two_tower_batch b = {2, users, NULL, positive, NULL, {item, N}};
    struct fr_two_tower_train_config c;
    struct fr_train_two_tower *tr = NULL;
    double loss;
    enum fr_err e;

    fr_two_tower_train_config_default(&c);
    c.model.emb_dim = c.model.dim = 3;
    c.model.n_hidden = 0;
    c.negatives = 2;
    if (fr_train_two_tower_new(&c, &fs, &tr, NULL) != FR_OK)
        abort();
    fr_checkpoint_section(ck, "trainer");
    fr_train_two_tower_checkpoint(tr, ck);
    if (loaded(ck)) {
        e = fr_train_two_tower_step(tr, &b, &loss);
        (void)e;
    }
    fr_train_two_tower_free(tr);
}

static void ncf(struct fr_checkpoint *ck)
{
    const uint32_t u[2] = {0, 4}, i[2] = {3, 1};
    const float y[2] = {0, 1};
    struct fr_ncf_rows rows = {u, i, y, 2};
    struct fr_ncf_train_config c;
    struct fr_train_ncf *tr = NULL;
    struct fr_model *m = NULL;
    double loss;
    enum fr_err e;

    fr_ncf_train_config_default(&c);
    c.model.kind = FR_MODEL_GMF;
    c.model.factors = 3;
    if (fr_train_ncf_new(&c, &fs, &tr, NULL) != FR_OK || fr_train_ncf_ids(tr, user, N, item, N) != FR_OK)
        abort();
    fr_checkpoint_section(ck, "trainer");
    fr_train_ncf_checkpoint(tr, ck);
    fr_checkpoint_section(ck, "best");
    fr_checkpoint_model(ck, &m, fr_train_ncf_build, tr);
    if (loaded(ck)) {
        e = fr_train_ncf_step(tr, &rows, &loss);
        (void)e;
    }
    fr_model_free(m);
    fr_train_ncf_free(tr);
}

static void mf(struct fr_checkpoint *ck)
{
    const uint32_t u[2] = {0, 4}, i[2] = {3, 1};
    const float y[2] = {0, 1};
    struct fr_mf_train_config c;
    struct fr_train_mf *tr = NULL;
    struct fr_model *m = NULL;
    double loss;
    enum fr_err e;

    fr_mf_train_config_default(&c);
    c.dim = 3;
    if (fr_train_mf_new(&c, &fs, user, N, item, N, &tr, NULL) != FR_OK)
        abort();
    fr_checkpoint_section(ck, "trainer");
    fr_train_mf_checkpoint(tr, ck);
    fr_checkpoint_section(ck, "best");
    fr_checkpoint_model(ck, &m, fr_train_mf_build, tr);
    if (loaded(ck)) {
        e = fr_train_mf_pass(tr, u, i, y, 2, &loss);
        (void)e;
    }
    fr_model_free(m);
    fr_train_mf_free(tr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const into[4])(struct fr_checkpoint *) = {ctr, tower, ncf, mf};
    struct fr_checkpoint *ck = NULL;
    struct fr_fault fault = {.err = FR_OK};
    char *copy;

    if (size < 1)
        return 0;
    if (fs.n == 0)
        setup();
    copy = fr_malloc_array(size, 1); /* its own block: ASan sees any over-read */
    if (copy == NULL)
        abort();
    memcpy(copy, data + 1, size - 1);
    if (fr_checkpoint_parse((struct fr_str){copy, size - 1}, &ck, &fault) == FR_OK)
        into[data[0] & 3](ck);
    else if (fault.err == FR_OK || fault.msg[0] == '\0')
        abort(); /* a refusal without a reason */
    fr_checkpoint_free(ck);
    fr_free(copy);
    return 0;
}
