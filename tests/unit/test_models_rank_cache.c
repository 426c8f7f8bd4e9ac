/*
 * The cache of item parts: what it finds is what was put there, also when sets overflow, in small
 * blocks and after another model; ranking with it scores as without and as the deterministic way does, by both heads.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/hash.h"
#include "models/rank_cache.h"
#include "tests/support/model_fixture.h"

#define SLOTS 3
#define FLOATS 5

static struct fr_rng rng;

static void setup(void)
{
    fr_rng_seed(&rng, 9);
}

static void key_of(uint32_t id, struct fr_slot out[SLOTS])
{
    for (int i = 0; i < SLOTS; i++)
        out[i] = (struct fr_slot){(int32_t)(id + (uint32_t)i * 7), (float)id};
}

static void payload_of(uint32_t id, uint64_t serial, float out[FLOATS])
{
    for (int i = 0; i < FLOATS; i++)
        out[i] = (float)(id * 10 + (uint32_t)i) + (float)serial * 0.5f;
}

static bool find(struct fr_rank_cache *c, const struct fr_slot *slots, float **out)
{
    return fr_rank_cache_find(c, slots, fr_rank_cache_soon(c, slots), out);
}

/* Rounds of random keys: whatever is found must hold the key's own floats. */
static void churn(struct fr_rank_cache *c, uint64_t serial, uint32_t keys, int rounds)
{
    for (int r = 0; r < rounds; r++) {
        float *used[32];
        uint32_t ids[32];
        int n = 0;
        ck_assert(fr_rank_cache_begin(c, serial, SLOTS, FLOATS));
        for (int i = 0; i < 32; i++) {
            struct fr_slot key[SLOTS];
            float want[FLOATS], *got = NULL;
            uint32_t id = (uint32_t)fr_rng_below(&rng, keys);
            key_of(id, key);
            payload_of(id, serial, want);
            bool found = find(c, key, &got);
            ck_assert(!found || got != NULL);
            if (got == NULL)
                continue;
            ck_assert_uint_eq((uintptr_t)got % 64, 0);
            if (!found)
                memcpy(got, want, sizeof(want));
            used[n] = got;
            ids[n++] = id;
        }
        for (int i = 0; i < n; i++) { /* nothing of this round was given away */
            float want[FLOATS];
            payload_of(ids[i], serial, want);
            ck_assert_mem_eq(used[i], want, sizeof(want));
        }
    }
}

START_TEST(find__any_size_of_block__the_keys_own_payload)
{
    static const size_t bytes[] = {1u << 10, 2000, 1u << 14, 1u << 20};
    struct fr_rank_cache *c = NULL;
    struct fr_rank_cache_stats s = {0, 0};

    ck_assert_int_eq(fr_rank_cache_new(bytes[_i], &c), FR_OK);
    churn(c, 1, 200, 300);
    fr_rank_cache_stats(c, &s);
    ck_assert_uint_eq(s.hits + s.misses, 300 * 32);
    ck_assert_uint_gt(s.hits, 0);
    ck_assert_uint_ge(s.misses, _i == 3 ? 150 : 300); /* 200 keys: the big one holds them all */
    if (_i == 3)
        ck_assert_uint_le(s.misses, 200);
    churn(c, 2, 200, 50); /* another model: nothing of the old one is found */
    churn(c, 1, 200, 50);
    fr_rank_cache_free(c);
    fr_rank_cache_free(NULL);
}
END_TEST

/* A key's tag: the high half of its hash. Two keys of one tag are told apart by their slots alone. */
static uint32_t tag_of(int32_t row)
{
    struct fr_slot s = {row, 1.0f};
    uint64_t one;
    memcpy(&one, &s, sizeof(one));
    return (uint32_t)(fr_mix64(UINT64_C(0x9e3779b97f4a7c15) ^ 1 ^ one) >> 32) | 1u;
}

#define KEYS 200000

struct tagged {
    uint32_t tag;
    int32_t row;
};

static int by_tag(const void *a, const void *b)
{
    const struct tagged *x = a, *y = b;
    return (x->tag > y->tag) - (x->tag < y->tag);
}

START_TEST(find__two_keys_of_one_tag__told_apart)
{
    static struct tagged t[KEYS];
    struct fr_rank_cache *c = NULL;
    float *got = NULL;
    int pairs = 0;

    for (int i = 0; i < KEYS; i++)
        t[i] = (struct tagged){tag_of(i), i};
    qsort(t, KEYS, sizeof(t[0]), by_tag);
    ck_assert_int_eq(fr_rank_cache_new(512, &c), FR_OK); /* one set: all keys share it */
    for (int i = 1; i < KEYS; i++) {
        struct fr_slot a = {t[i - 1].row, 1.0f}, b = {t[i].row, 1.0f};
        if (t[i].tag != t[i - 1].tag)
            continue;
        pairs++;
        ck_assert(fr_rank_cache_begin(c, 1, 1, FLOATS));
        ck_assert(!find(c, &a, &got));
        ck_assert_ptr_nonnull(got);
        ck_assert(!find(c, &b, &got));
        ck_assert(find(c, &a, &got));
    }
    ck_assert_int_gt(pairs, 3);
    fr_rank_cache_free(c);
}
END_TEST

START_TEST(begin__no_set_fits__not_used)
{
    struct fr_rank_cache *c = NULL;
    ck_assert_int_eq(fr_rank_cache_new(0, &c), FR_EINVAL);
    ck_assert_int_eq(fr_rank_cache_new(100, &c), FR_OK);
    ck_assert(!fr_rank_cache_begin(c, 1, SLOTS, FLOATS));
    ck_assert(!fr_rank_cache_begin(c, 1, 1000, 1000));
    fr_rank_cache_free(c);
}
END_TEST

/* ---- ranking with it ---- */

#define POOL 400
#define LIST 1100 /* more than are looked up together (512), no multiple of those that are computed together (60) */

static struct fr_field_set fs;

static struct fr_model *
make_model(uint64_t seed, enum fr_model_kind kind, enum fr_value_kind value, const char *const *fields, int n)
{
    struct fr_ctr_train_config cfg;
    struct fr_train_ctr *tr = NULL;
    struct fr_model *m = NULL;
    static struct mf_list l;

    fr_ctr_train_config_default(&cfg);
    cfg.opt.seed = seed;
    cfg.opt.admit = 1;
    cfg.opt.init_std = 0.5f;
    cfg.fields = fields;
    cfg.n_fields = n;
    cfg.model.kind = kind;
    cfg.model.value = value;
    cfg.model.dim = 5;
    cfg.model.n_hidden = 2;
    cfg.model.hidden[0] = 33;
    cfg.model.hidden[1] = 7;
    ck_assert_int_eq(fr_train_ctr_new(&cfg, &fs, &tr, NULL), FR_OK);
    for (int i = 0; i < 10; i++) {
        mf_random_list(&rng, MF_MAX_LIST, &l);
        ck_assert_int_eq(fr_train_ctr_step(tr, &l.list, 1, NULL), FR_OK);
    }
    ck_assert_int_eq(fr_train_ctr_model(tr, &m, NULL), FR_OK);
    fr_train_ctr_free(tr);
    return m;
}

/* Logits, then what the value head says: zeros without one. @param out (n, n) */
static void rank(const struct fr_model *m, const struct fr_rank_query *q, unsigned flags, struct fr_arena *ar, float *out)
{
    static const struct fr_score_powers powers = {1, 1};
    static float key[LIST], score[LIST];

    memset(out, 0, (size_t)q->n * 2 * sizeof(*out));
    ck_assert_int_eq(fr_model_rank(m, q, flags, ar, out, NULL), FR_OK);
    if (fr_model_info(m)->value != FR_VALUE_NONE)
        ck_assert_int_eq(fr_model_rank_final(m, q, flags, &powers, ar, key, score, out + q->n), FR_OK);
}

static void near(const float *a, const float *b, int n)
{
    for (int i = 0; i < n * 2; i++)
        mf_float_tol(a[i], b[i], 1e-5 * (1 + fabs((double)b[i])));
}

/* A query over a pool of items, repeats among them: scores with and without the cache. */
static void compare(const struct fr_model *m, struct fr_rank_cache *c, struct fr_arena *ar, int n)
{
    static struct mf_list l;
    static struct fr_slot item[POOL][MF_ITEM_CELLS], cross[LIST * MF_CROSS_CELLS];
    struct fr_slot user[MF_USER_CELLS], context[MF_CONTEXT_CELLS];
    static const struct fr_slot *ptr[LIST];
    static float plain[LIST * 2], cached[LIST * 2], fixed[LIST * 2];
    const uint32_t *ns = fr_model_info(m)->n_slots;
    struct fr_rng pool;

    fr_rng_seed(&pool, 77); /* the same items in every query */
    for (int i = 0; i < POOL; i++) {
        mf_random_list(&pool, 1, &l);
        ck_assert_int_eq(fr_model_encode(m, FR_ENTITY_ITEM, l.item[0], 1, item[i]), FR_OK);
    }
    mf_random_list(&rng, 1, &l);
    ck_assert_int_eq(fr_model_encode(m, FR_ENTITY_USER, l.user, 1, user), FR_OK);
    ck_assert_int_eq(fr_model_encode(m, FR_ENTITY_CONTEXT, l.context, 1, context), FR_OK);
    for (int i = 0; i < n; i++) {
        struct fr_slot *x = cross + (size_t)i * ns[FR_ENTITY_CROSS];
        mf_random_list(&rng, 1, &l);
        ptr[i] = item[fr_rng_below(&rng, POOL)];
        ck_assert_int_eq(fr_model_encode(m, FR_ENTITY_CROSS, l.cross[0], 1, x), FR_OK);
    }
    struct fr_rank_query q = {user, context, ptr, cross, n, NULL};
    rank(m, &q, 0, ar, plain);
    q.cache = c;
    rank(m, &q, 0, ar, cached);
    near(cached, plain, n);
    rank(m, &q, FR_SCORE_DETERMINISTIC, ar, fixed);
    near(cached, fixed, n); /* another way to the same */
    q.cache = NULL;
    rank(m, &q, FR_SCORE_DETERMINISTIC, ar, plain);
    ck_assert_mem_eq(fixed, plain, (size_t)n * 2 * sizeof(float));
}

START_TEST(rank__with_a_cache__as_without)
{
    static const char *const some[] = {"hist", "i_id", "cats", "u_num"};
    static const size_t bytes[] = {1u << 20, 1500, 64};
    struct fr_rank_cache *c = NULL;
    struct fr_rank_cache_stats s = {0, 0};
    static const int lists[] = {LIST, 60, 61, 1, 512, 513, 37};
    struct fr_arena *ar = NULL;
    struct fr_model *a, *b;

    mf_field_set(&fs);
    a = make_model(1, FR_MODEL_DEEPFM, FR_VALUE_LOG, NULL, 0);
    b = _i % 2 == 0 ? make_model(2, FR_MODEL_DEEPFM, FR_VALUE_NONE, some, 4)
                    : make_model(2, FR_MODEL_WIDE_DEEP, FR_VALUE_UNIT, NULL, 0);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    ck_assert_int_eq(fr_rank_cache_new(bytes[_i], &c), FR_OK);
    for (int i = 0; i < 12; i++)
        compare(i / 3 % 2 == 0 ? a : b, c, ar, lists[i % 7]);
    fr_rank_cache_stats(c, &s);
    if (_i < 2)
        ck_assert_uint_gt(s.hits, 0);
    else
        ck_assert_uint_eq(s.hits + s.misses, 0); /* too small to be used */
    fr_rank_cache_free(c);
    fr_arena_free(ar);
    fr_model_free(a);
    fr_model_free(b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/rank_cache");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, find__any_size_of_block__the_keys_own_payload, 0, 4);
    tcase_add_test(tc, find__two_keys_of_one_tag__told_apart);
    tcase_add_test(tc, begin__no_set_fits__not_used);
    tcase_add_loop_test(tc, rank__with_a_cache__as_without, 0, 3);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
