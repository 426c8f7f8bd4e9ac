/*
 * Scoring takes no memory: once an arena is warm, every allocation fails (and is counted), and each kind of model
 * encodes, ranks and embeds as before, with the same bits.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/rank_cache.h"
#include "tests/support/model_fixture.h"
#include "tests/support/model_kinds.h"

#define B 600  /* more than two chunks of a list */
#define SLOTS 16 /* of a group, at most */

static struct mk_world w;
static struct fr_arena *ar;

/* A kind over one or two heads. */
static const struct {
    enum fr_model_kind kind;
    enum fr_value_kind value;
} rankers[] = {
    {FR_MODEL_LR, FR_VALUE_NONE},      {FR_MODEL_FM, FR_VALUE_NONE},      {FR_MODEL_WIDE_DEEP, FR_VALUE_NONE},
    {FR_MODEL_DEEPFM, FR_VALUE_NONE},  {FR_MODEL_AUTOINT, FR_VALUE_NONE}, {FR_MODEL_AUTOINT_PLUS, FR_VALUE_NONE},
    {FR_MODEL_NEUMF, FR_VALUE_NONE},   {FR_MODEL_GMF, FR_VALUE_NONE},     {FR_MODEL_MLP, FR_VALUE_NONE},
    {FR_MODEL_DEEPFM, FR_VALUE_LOG},   {FR_MODEL_AUTOINT, FR_VALUE_LOG},
};

/* One user, B candidates: as cells, and as slots of the model. */
static struct fr_cell user[MF_USER_CELLS], context[MF_CONTEXT_CELLS];
static struct fr_cell item[B * MF_ITEM_CELLS], cross[B * MF_CROSS_CELLS];
static struct fr_slot s_user[SLOTS], s_context[SLOTS], s_item[B * SLOTS], s_cross[B * SLOTS];
static const struct fr_slot *p_user[B], *p_context[B], *p_item[B];

static void cells(bool pair)
{
    static struct mf_list l;
    struct fr_rng r;

    fr_rng_seed(&r, 5);
    for (size_t i = 0; i < B; i++) {
        mf_random_list(&r, 1, &l);
        memcpy(cross + i * MF_CROSS_CELLS, l.cross[0], sizeof(l.cross[0]));
        if (pair)
            item[i] = w.item[i % MK_IDS];
        else
            memcpy(item + i * MF_ITEM_CELLS, l.item[0], sizeof(l.item[0]));
    }
    memcpy(user, l.user, sizeof(user));
    memcpy(context, l.context, sizeof(context));
    if (pair)
        user[0] = w.user[1];
}

static enum fr_err encode(const struct fr_model *m)
{
    const struct fr_model_info *info = fr_model_info(m);
    const struct fr_cell *in[FR_ENTITY_COUNT];
    struct fr_slot *out[FR_ENTITY_COUNT];
    enum fr_err e = FR_OK;

    in[FR_ENTITY_USER] = user, out[FR_ENTITY_USER] = s_user;
    in[FR_ENTITY_CONTEXT] = context, out[FR_ENTITY_CONTEXT] = s_context;
    in[FR_ENTITY_ITEM] = item, out[FR_ENTITY_ITEM] = s_item;
    in[FR_ENTITY_CROSS] = cross, out[FR_ENTITY_CROSS] = s_cross;
    for (int g = 0; g < FR_ENTITY_COUNT && e == FR_OK; g++) {
        bool single = g == FR_ENTITY_USER || g == FR_ENTITY_CONTEXT;

        if (info->n_slots[g] > SLOTS)
            return FR_ETOOLARGE;
        if (info->n_slots[g] > 0)
            e = fr_model_encode(m, (enum fr_entity)g, in[g], single ? 1 : B, out[g]);
    }
    for (size_t i = 0; i < B; i++) {
        p_user[i] = s_user;
        p_context[i] = s_context;
        p_item[i] = s_item + i * info->n_slots[FR_ENTITY_ITEM];
    }
    return e;
}

/* Everything a ranker has to say. */
struct said {
    float logit[B], score[B], key[B], final[B], value[B];
};

static enum fr_err rank(const struct fr_model *m, unsigned flags, struct fr_rank_cache *cache, struct said *o)
{
    struct fr_rank_query q = {s_user, s_context, p_item, s_cross, B, cache};
    struct fr_score_powers pw = {.click = 1, .value = 0.5};
    enum fr_err e = encode(m);

    if (e == FR_OK)
        e = fr_model_rank(m, &q, flags, ar, o->logit, o->score);
    if (e == FR_OK)
        e = fr_model_rank_final(m, &q, flags, &pw, ar, o->key, o->final, o->value);
    return e;
}

START_TEST(rank__no_allocation_succeeds__same_bits)
{
    static struct said want, got;
    const unsigned flags = _i % 2 == 0 ? 0 : FR_SCORE_DETERMINISTIC;
    struct fr_model *m = mk_model(&w, rankers[_i / 2].kind, rankers[_i / 2].value);
    struct fr_rank_cache *cache = NULL;
    const char *name = fr_model_kind_name(rankers[_i / 2].kind);
    enum fr_err e;

    cells(mk_is_pair(rankers[_i / 2].kind));
    ck_assert_int_eq(fr_rank_cache_new(1 << 16, &cache), FR_OK);
    for (int with = 0; with < 2; with++) { /* the thread's cache of items, full and less than all of them */
        struct fr_rank_cache *c = with ? cache : NULL;

        ck_assert_int_eq(rank(m, flags, c, &want), FR_OK);
        memset(&got, 0, sizeof(got));
        fr_alloc_fail_at(1);
        e = rank(m, flags, c, &got);
        uint64_t asked = fr_alloc_count();
        fr_alloc_fail_at(0);
        ck_assert_msg(e == FR_OK, "%s: %s", name, fr_err_name(e));
        ck_assert_msg(asked == 0, "%s: %llu allocations", name, (unsigned long long)asked);
        ck_assert_mem_eq(got.logit, want.logit, sizeof(want.logit));
        ck_assert_mem_eq(got.score, want.score, sizeof(want.score));
        ck_assert_mem_eq(got.key, want.key, sizeof(want.key));
        ck_assert_mem_eq(got.final, want.final, sizeof(want.final));
        ck_assert_mem_eq(got.value, want.value, sizeof(want.value));
        ck_assert_double_ne((double)got.logit[0], (double)got.logit[1]); /* there is something to say */
    }
    fr_rank_cache_free(cache);
    fr_model_free(m);
}
END_TEST

static enum fr_err embed(const struct fr_model *m, unsigned flags, float *users, float *items)
{
    const struct fr_slot *const *ctx = fr_model_info(m)->n_slots[FR_ENTITY_CONTEXT] > 0 ? p_context : NULL;
    enum fr_err e = encode(m);

    if (e == FR_OK)
        e = fr_model_users(m, p_user, ctx, B, flags, ar, users);
    return e == FR_OK ? fr_model_items(m, p_item, B, flags, ar, items) : e;
}

START_TEST(embed__no_allocation_succeeds__same_bits)
{
    static float users[2][B * SLOTS], items[2][B * SLOTS];
    const enum fr_model_kind kind = _i / 2 == 0 ? FR_MODEL_TWO_TOWER : FR_MODEL_MF;
    const unsigned flags = _i % 2 == 0 ? 0 : FR_SCORE_DETERMINISTIC;
    struct fr_model *m = mk_model(&w, kind, FR_VALUE_NONE);
    size_t dim = (size_t)fr_model_info(m)->dim;
    enum fr_err e;

    ck_assert(dim > 0 && dim <= SLOTS);
    cells(mk_is_pair(kind));
    ck_assert_int_eq(embed(m, flags, users[0], items[0]), FR_OK);
    fr_alloc_fail_at(1);
    e = embed(m, flags, users[1], items[1]);
    uint64_t asked = fr_alloc_count();
    fr_alloc_fail_at(0);
    ck_assert_msg(e == FR_OK && asked == 0, "%s: %s, %llu allocations", fr_model_kind_name(kind), fr_err_name(e),
                  (unsigned long long)asked);
    ck_assert_mem_eq(users[1], users[0], sizeof(float) * B * dim);
    ck_assert_mem_eq(items[1], items[0], sizeof(float) * B * dim);
    ck_assert_mem_ne(items[0], items[0] + dim, sizeof(float) * dim);
    fr_model_free(m);
}
END_TEST

/* The hook that the others stand on: a cold arena has to ask, and is refused. */
START_TEST(rank__arena_not_warm__asks_and_is_refused)
{
    static struct said got;
    struct fr_model *m = mk_model(&w, FR_MODEL_DEEPFM, FR_VALUE_NONE);
    enum fr_err e;

    cells(false);
    fr_alloc_fail_at(1);
    e = rank(m, 0, NULL, &got);
    uint64_t asked = fr_alloc_count();
    fr_alloc_fail_at(0);
    ck_assert_int_eq(e, FR_ENOMEM);
    ck_assert_uint_gt(asked, 0);
    fr_model_free(m);
}
END_TEST

static void setup(void)
{
    mk_world_make(&w);
    ck_assert_int_eq(fr_arena_new(1 << 12, 0, &ar), FR_OK);
}

static void teardown(void)
{
    fr_arena_free(ar);
}

int main(void)
{
    Suite *s = suite_create("models/no_alloc");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, rank__no_allocation_succeeds__same_bits, 0, 2 * (int)(sizeof(rankers) / sizeof(rankers[0])));
    tcase_add_loop_test(tc, embed__no_allocation_succeeds__same_bits, 0, 4);
    tcase_add_test(tc, rank__arena_not_warm__asks_and_is_refused);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
