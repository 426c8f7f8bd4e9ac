/*
 * tests/support/model_fixture.c - fields, cells, parameters.
 */
#include "tests/support/model_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

static const struct {
    const char *name;
    enum fr_entity entity;
    enum fr_field_kind kind;
    const char *table;
    uint32_t vocab;
    uint16_t slots;
} fields[] = {
    {"u_id", FR_ENTITY_USER, FR_FIELD_ID, "user", 0, 1},
    {"hist", FR_ENTITY_USER, FR_FIELD_ID, "item", 0, 4},
    {"u_num", FR_ENTITY_USER, FR_FIELD_NUMERIC, "", 0, 1},
    {"hour", FR_ENTITY_CONTEXT, FR_FIELD_BUCKET, "", 5, 1},
    {"i_id", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1},
    {"cats", FR_ENTITY_ITEM, FR_FIELD_ID, "cat", 0, 3},
    {"i_num", FR_ENTITY_ITEM, FR_FIELD_NUMERIC, "", 0, 1},
    {"x_num", FR_ENTITY_CROSS, FR_FIELD_NUMERIC, "", 0, 1},
    {"x_bkt", FR_ENTITY_CROSS, FR_FIELD_BUCKET, "", 4, 1},
};

int mf_run(Suite *s)
{
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

void mf_field_set(struct fr_field_set *fs)
{
    memset(fs, 0, sizeof(*fs));
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        ck_assert_int_eq(fr_field_add(fs,
                                      fields[i].name,
                                      fields[i].entity,
                                      fields[i].kind,
                                      fields[i].table,
                                      fields[i].vocab,
                                      fields[i].slots),
                         FR_OK);
    fs->hash = UINT64_C(0x0123456789abcdef);
    ck_assert_uint_eq(fs->n_cells[FR_ENTITY_USER], MF_USER_CELLS);
    ck_assert_uint_eq(fs->n_cells[FR_ENTITY_CONTEXT], MF_CONTEXT_CELLS);
    ck_assert_uint_eq(fs->n_cells[FR_ENTITY_ITEM], MF_ITEM_CELLS);
    ck_assert_uint_eq(fs->n_cells[FR_ENTITY_CROSS], MF_CROSS_CELLS);
}

struct fr_cell *mf_cells(const struct golden *g, const char *name, size_t *out_rows)
{
    char key[96];

    (void)snprintf(key, sizeof(key), "%s.id", name);
    const struct golden_tensor *id = golden_get(g, key);
    ck_assert_str_eq(id->dtype, "U64");
    (void)snprintf(key, sizeof(key), "%s.x", name);
    const float *x = golden_f32(g, key, id->n);
    struct fr_cell *c = fr_arena_array(g->ar, id->n, sizeof(*c));
    ck_assert_ptr_nonnull(c);
    for (size_t i = 0; i < id->n; i++)
        c[i] = (struct fr_cell){((const uint64_t *)id->data)[i], x[i]};
    if (out_rows != NULL)
        *out_rows = id->dim[0];
    return c;
}

int mf_meta_names(const struct golden *g, const char **out, int cap)
{
    const struct fr_json *list = fr_json_get(g->meta, "fields");
    int n = 0;

    ck_assert_ptr_nonnull(list);
    for (const struct fr_json *v = list->child; v != NULL; v = v->next) {
        struct fr_str copy = {0};
        ck_assert_int_lt(n, cap);
        ck_assert_int_eq(fr_arena_dup(g->ar, v->str, &copy), FR_OK);
        out[n++] = copy.p;
    }
    return n;
}

/* Every parameter, dense or table, as a tensor. */
static int all_params(const struct fr_params *p, struct fr_tensor *t)
{
    return fr_params_tensors(p, t);
}

static float *weights(struct fr_params *p, const char *name)
{
    for (int i = 0; i < p->n_dense; i++)
        if (strcmp(p->dense[i].name, name) == 0)
            return p->dense[i].w;
    for (int i = 0; i < p->n_tables; i++)
        if (strcmp(p->table[i].name, name) == 0)
            return p->table[i].w;
    for (int i = 0; i < p->n_buffers; i++)
        if (strcmp(p->buffer[i].name, name) == 0)
            return p->buffer[i].w;
    return NULL;
}

void mf_set_params(struct fr_params *p, const struct golden *g)
{
    struct fr_tensor t[FR_PARAMS_MAX_TENSORS];
    int n = all_params(p, t), in_file = 0;
    char key[160];

    for (int i = 0; i < n; i++) {
        (void)snprintf(key, sizeof(key), "param.%.95s", t[i].name);
        size_t count = fr_tensor_count(&t[i]);
        memcpy(weights(p, t[i].name), golden_f32(g, key, count), count * sizeof(float));
    }
    for (int i = 0; i < g->n; i++)
        in_file += strncmp(g->t[i].name, "param.", 6) == 0;
    ck_assert_int_eq(in_file, n);
}

void mf_check_params(
    const struct fr_params *p, const struct golden *g, const char *prefix, double atol, double rtol)
{
    struct fr_tensor t[FR_PARAMS_MAX_TENSORS];
    int n = all_params(p, t);
    char key[160];

    for (int i = 0; i < n; i++) {
        (void)snprintf(key, sizeof(key), "%.20s.%.95s", prefix, t[i].name);
        golden_check(g, key, t[i].data, fr_tensor_count(&t[i]), atol, rtol);
    }
}

void mf_check_grads(const struct fr_params *p,
                    const struct fr_grads *gr,
                    const struct golden *g,
                    double atol,
                    double rtol)
{
    char key[160];

    for (int i = 0; i < p->n_dense; i++) {
        (void)snprintf(key, sizeof(key), "grad.%.95s", p->dense[i].name);
        golden_check(g, key, gr->dense + p->dense[i].at, p->dense[i].n, atol, rtol);
    }
    for (int i = 0; i < p->n_tables; i++) {
        const struct fr_table *t = &p->table[i];
        size_t dim = (size_t)t->dim;
        (void)snprintf(key, sizeof(key), "grad.%.95s", t->name);
        const float *want = golden_f32(g, key, t->rows * dim);
        const float *zero = fr_arena_zarray(g->ar, dim, sizeof(float));
        for (uint32_t r = 0; r < t->rows; r++) {
            const float *got = fr_grads_find(gr, p, i, (int32_t)r);
            bool same =
                golden_close_enough(key, got != NULL ? got : zero, want + r * dim, dim, atol, rtol);
            ck_assert_msg(same, "%s row %u differs", key, r);
        }
    }
}

/* ---- random data ---- */

static struct fr_cell id_cell(struct fr_rng *r, uint64_t base, uint64_t n)
{
    return (struct fr_cell){base + fr_rng_below(r, n), 1.0f};
}

static struct fr_cell number(struct fr_rng *r)
{
    return (struct fr_cell){0, (float)(fr_rng_normal(r) * 3 + 1)};
}

static void bag(struct fr_rng *r, uint64_t base, uint64_t n, int slots, struct fr_cell *out)
{
    int used = (int)fr_rng_below(r, (uint64_t)slots + 1);
    for (int i = 0; i < slots; i++)
        out[i] = i < used ? (struct fr_cell){base + fr_rng_below(r, n), 1.0f / (float)(i + 1)}
                          : (struct fr_cell){0, 0};
}

void mf_random_list(struct fr_rng *r, int n, struct mf_list *o)
{
    ck_assert_int_le(n, MF_MAX_LIST);
    o->user[0] = id_cell(r, 1000, 8);
    bag(r, 2000, 12, 4, o->user + 1);
    o->user[5] = number(r);
    o->context[0] = (struct fr_cell){fr_rng_below(r, 7), 1.0f};
    for (int i = 0; i < n; i++) {
        o->item[i][0] = id_cell(r, 2000, 12);
        bag(r, 3000, 5, 3, o->item[i] + 1);
        o->item[i][4] = number(r);
        o->cross[i][0] = number(r);
        o->cross[i][1] = (struct fr_cell){fr_rng_below(r, 6), 1.0f};
        o->item_ptr[i] = o->item[i];
    }
    o->list = (struct fr_rank_list){
        .c = {o->user, o->context, o->item_ptr, &o->cross[0][0], n},
        .label = (int)fr_rng_below(r, (uint64_t)n),
        .weight = 1.0f,
    };
}

struct fr_train_ctr *mf_deepfm(uint64_t seed, const struct fr_field_set *fs)
{
    struct fr_ctr_train_config cfg;
    struct fr_train_ctr *tr = NULL;
    static struct mf_list l[8];
    struct fr_rank_list lists[8];
    struct fr_rng r;

    fr_rng_seed(&r, seed);
    fr_ctr_train_config_default(&cfg);
    cfg.opt.seed = seed;
    cfg.opt.init_std = 0.3f;
    cfg.model.dim = 5;
    cfg.model.hidden[0] = 13;
    cfg.model.hidden[1] = 7;
    ck_assert_int_eq(fr_train_ctr_new(&cfg, fs, &tr, NULL), FR_OK);
    for (int step = 0; step < 3; step++) {
        for (int i = 0; i < 8; i++) {
            mf_random_list(&r, 1 + i, &l[i]);
            lists[i] = l[i].list;
        }
        ck_assert_int_eq(fr_train_ctr_step(tr, lists, 8, NULL), FR_OK);
    }
    return tr;
}

struct fr_train_two_tower *mf_two_tower(uint64_t seed, const struct fr_field_set *fs)
{
    static const char *const names[] = {"u_id", "hist", "u_num", "hour", "i_id", "cats"};
    struct fr_two_tower_train_config cfg;
    struct fr_train_two_tower *tr = NULL;
    static struct mf_list l[8];
    const struct fr_cell *user[8], *context[8];
    struct fr_cell items[MF_MAX_LIST * MF_ITEM_CELLS];
    uint32_t item[8];
    struct fr_rng r;

    fr_rng_seed(&r, seed);
    fr_two_tower_train_config_default(&cfg);
    cfg.opt.seed = seed;
    cfg.fields = names;
    cfg.n_fields = 6;
    cfg.negatives = 3;
    cfg.model.emb_dim = cfg.model.dim = 5;
    cfg.model.hidden[0] = 7;
    cfg.model.gates = true;
    ck_assert_int_eq(fr_train_two_tower_new(&cfg, fs, &tr, NULL), FR_OK);
    for (int step = 0; step < 3; step++) {
        for (int i = 0; i < 8; i++) {
            mf_random_list(&r, MF_MAX_LIST, &l[i]);
            user[i] = l[i].user;
            context[i] = l[i].context;
            item[i] = (uint32_t)fr_rng_below(&r, MF_MAX_LIST);
        }
        memcpy(items, l[0].item, sizeof(items));
        struct fr_two_tower_batch b = {8, user, context, item, NULL, {items, MF_MAX_LIST}};
        ck_assert_int_eq(fr_train_two_tower_step(tr, &b, NULL), FR_OK);
    }
    return tr;
}
