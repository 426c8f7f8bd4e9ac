/*
 * tests/support/model_kinds.c - see model_kinds.h.
 */
#include "tests/support/model_kinds.h"

#include <string.h>

#include "models/train/train_mf.h"
#include "models/train/train_ncf.h"

void mk_world_make(struct mk_world *w)
{
    struct fr_rng r;

    memset(w, 0, sizeof(*w));
    mf_field_set(&w->fs);
    ck_assert_int_eq(fr_field_add(&w->pair_fs, "user", FR_ENTITY_USER, FR_FIELD_ID, "user", 0, 1), FR_OK);
    ck_assert_int_eq(fr_field_add(&w->pair_fs, "item", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1), FR_OK);
    for (uint32_t i = 0; i < MK_IDS; i++) {
        w->user[i] = (struct fr_cell){10 + i, 1};
        w->item[i] = (struct fr_cell){70 + i, 1};
    }
    fr_rng_seed(&r, 3);
    mf_random_list(&r, 6, &w->list);
}

bool mk_is_pair(enum fr_model_kind kind)
{
    return kind == FR_MODEL_MF || kind == FR_MODEL_NEUMF || kind == FR_MODEL_GMF || kind == FR_MODEL_MLP;
}

static struct fr_model *ctr(const struct mk_world *w, enum fr_model_kind kind, enum fr_value_kind value)
{
    struct fr_ctr_train_config c;
    struct fr_train_ctr *tr = NULL;
    struct fr_model *m = NULL;
    bool deep = kind != FR_MODEL_LR && kind != FR_MODEL_FM && kind != FR_MODEL_AUTOINT;

    fr_ctr_train_config_default(&c);
    c.opt.admit = 1;
    c.opt.init_std = 0.7f;
    c.model = (struct fr_ctr_config){.kind = kind,
                                     .dim = kind == FR_MODEL_LR ? 0 : 4,
                                     .n_hidden = deep ? 2 : 0,
                                     .hidden = {deep ? 7 : 0, deep ? 3 : 0},
                                     .batch_norm = kind == FR_MODEL_DEEPFM,
                                     .value = value};
    if (kind == FR_MODEL_AUTOINT || kind == FR_MODEL_AUTOINT_PLUS)
        c.model.attention = (struct fr_attention_config){
            2, 2, 6, true, kind == FR_MODEL_AUTOINT_PLUS, FR_RESIDUAL_PROJECTED};
    ck_assert_int_eq(fr_train_ctr_new(&c, &w->fs, &tr, NULL), FR_OK);
    ck_assert_int_eq(fr_train_ctr_step(tr, &w->list.list, 1, NULL), FR_OK);
    ck_assert_int_eq(fr_train_ctr_model(tr, &m, NULL), FR_OK);
    fr_train_ctr_free(tr);
    return m;
}

static struct fr_model *ncf(const struct mk_world *w, enum fr_model_kind kind)
{
    struct fr_ncf_train_config c;
    struct fr_train_ncf *tr = NULL;
    struct fr_model *m = NULL;

    fr_ncf_train_config_default(&c);
    c.model.kind = kind;
    c.model.factors = kind == FR_MODEL_MLP ? 0 : 3;
    if (kind != FR_MODEL_GMF) {
        c.model.n_hidden = 3;
        memcpy(c.model.hidden, (int[]){8, 5, 2}, 3 * sizeof(int));
    }
    ck_assert_int_eq(fr_train_ncf_new(&c, &w->pair_fs, &tr, NULL), FR_OK);
    ck_assert_int_eq(fr_train_ncf_ids(tr, w->user, MK_IDS, w->item, MK_IDS), FR_OK);
    ck_assert_int_eq(fr_train_ncf_model(tr, &m, NULL), FR_OK);
    fr_train_ncf_free(tr);
    return m;
}

static struct fr_model *mf(const struct mk_world *w)
{
    struct fr_mf_train_config c;
    struct fr_train_mf *tr = NULL;
    struct fr_model *m = NULL;

    fr_mf_train_config_default(&c);
    c.dim = 6;
    ck_assert_int_eq(fr_train_mf_new(&c, &w->pair_fs, w->user, MK_IDS, w->item, MK_IDS, &tr, NULL), FR_OK);
    ck_assert_int_eq(fr_train_mf_model(tr, &m, NULL), FR_OK);
    fr_train_mf_free(tr);
    return m;
}

struct fr_model *mk_model(const struct mk_world *w, enum fr_model_kind kind, enum fr_value_kind value)
{
    struct fr_train_two_tower *tr;
    struct fr_model *m = NULL;

    if (kind == FR_MODEL_MF)
        return mf(w);
    if (mk_is_pair(kind))
        return ncf(w, kind);
    if (kind != FR_MODEL_TWO_TOWER)
        return ctr(w, kind, value);
    tr = mf_two_tower(3, &w->fs);
    ck_assert_int_eq(fr_train_two_tower_model(tr, &m, NULL), FR_OK);
    fr_train_two_tower_free(tr);
    return m;
}
