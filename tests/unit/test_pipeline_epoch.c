/*
 * tests/unit/test_pipeline_epoch.c - daemon/pipeline/epoch: tower and index are swapped as a pair while
 * readers pin and items come and go; what is refused leaves the old ones serving. Runs under TSan too.
 */
#include "daemon/pipeline/epoch.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ann/live_index.h"
#include "daemon/base/alloc.h"
#include "features/row.h"
#include "tests/support/feat.h"
#include "tests/support/model_fixture.h"

#define ITEMS 24
#define READERS 2
#define SWAPS 12
#define DIM 8

static struct fr_spec *spec;
static struct fr_epochs *ep;
static struct fr_arena *ar;
static struct fr_train_two_tower *tower[2];

static void put(int from, int n, bool deleted)
{
    for (int i = from; i < from + n; i++) {
        char id[16], category[16];
        struct fr_item_record rec;
        (void)snprintf(id, sizeof(id), "i%d", i);
        (void)snprintf(category, sizeof(category), "c%d", i % 5);
        fr_arena_reset(ar);
        rec = feat_item(spec, ar, id, category, id);
        rec.deleted = deleted;
        ck_assert_int_eq(fr_epochs_put(ep, &rec, 1), FR_OK);
    }
}

/* A tower that has met the items; different seeds, different vectors. */
static struct fr_train_two_tower *train(uint64_t seed)
{
    struct fr_two_tower_train_config cfg;
    struct fr_train_two_tower *tr = NULL;
    struct fr_fault f = {FR_OK, NULL, 0, ""};
    uint32_t nu = spec->fields.n_cells[FR_ENTITY_USER], nc = spec->fields.n_cells[FR_ENTITY_CONTEXT];
    uint32_t ni = spec->fields.n_cells[FR_ENTITY_ITEM], which[ITEMS];
    struct fr_cell *user = fr_calloc(nu + 1, sizeof(*user)), *context = fr_calloc(nc + 1, sizeof(*context));
    struct fr_cell *items = fr_calloc((size_t)ITEMS * ni, sizeof(*items));
    const struct fr_cell *users[ITEMS], *contexts[ITEMS];
    struct fr_epoch v;

    ck_assert(user != NULL && context != NULL && items != NULL);
    fr_epochs_pin(ep, &v);
    for (uint32_t i = 0; i < ITEMS; i++) {
        fr_row_item(spec, v.table, i, NULL, 0, items + (size_t)i * ni);
        which[i] = i;
        users[i] = user;
        contexts[i] = context;
    }
    fr_epochs_unpin(ep, &v);
    fr_two_tower_train_config_default(&cfg);
    cfg.opt.seed = seed;
    cfg.opt.init_std = 0.3f;
    cfg.opt.threads = 1;
    cfg.negatives = 3;
    cfg.model.emb_dim = cfg.model.dim = DIM;
    cfg.model.hidden[0] = DIM;
    ck_assert_msg(fr_train_two_tower_new(&cfg, &spec->fields, &tr, &f) == FR_OK, "%s", f.msg);
    {
        struct fr_two_tower_batch b = {ITEMS, users, contexts, which, NULL, {items, ITEMS}};
        ck_assert_int_eq(fr_train_two_tower_step(tr, &b, NULL), FR_OK);
    }
    fr_free(user);
    fr_free(context);
    fr_free(items);
    return tr;
}

static void set_tower(int which)
{
    struct fr_model *m = NULL, *none = NULL;
    struct fr_fault f = {FR_OK, NULL, 0, ""};

    ck_assert_int_eq(fr_train_two_tower_model(tower[which], &m, &f), FR_OK);
    ck_assert_msg(fr_epochs_set_models(ep, &m, &none, &f) == FR_OK, "%s", f.msg);
    ck_assert_ptr_null(m);
}

static void setup(void)
{
    struct fr_epochs_config c = {.m = 8, .ef_construction = 40, .ef_search = 40};

    spec = feat_spec(NULL);
    ar = feat_arena();
    ck_assert_int_eq(fr_epochs_new(spec, &c, &ep), FR_OK);
    put(0, ITEMS, false);
    tower[0] = train(1);
    tower[1] = train(2);
}

static void teardown(void)
{
    fr_epochs_free(ep);
    fr_train_two_tower_free(tower[0]);
    fr_train_two_tower_free(tower[1]);
    fr_arena_free(ar);
    fr_spec_free(spec);
}

/* Inner product of an item's vector by the model m with what the index holds of it; -2 = not there. */
static float own_product(const struct fr_epoch *v, const struct fr_model *m, uint32_t idx, struct fr_arena *mine)
{
    const struct fr_item *it = fr_item_table_get(v->table, idx);
    struct fr_cell *cells;
    struct fr_slot *slots;
    const struct fr_slot *row;
    float vec[DIM], out = -2;
    uint64_t label;

    if (it == NULL)
        return -2;
    fr_arena_reset(mine);
    cells = fr_arena_zarray(mine, spec->fields.n_cells[FR_ENTITY_ITEM] + 1U, sizeof(*cells));
    slots = fr_arena_zarray(mine, fr_model_info(m)->n_slots[FR_ENTITY_ITEM] + 1U, sizeof(*slots));
    row = slots;
    label = it->item;
    fr_row_item(spec, v->table, idx, NULL, 0, cells);
    if (fr_model_encode(m, FR_ENTITY_ITEM, cells, 1, slots) != FR_OK ||
        fr_model_items(m, &row, 1, 0, mine, vec) != FR_OK ||
        fr_live_index_score(v->index, vec, &label, 1, &out) != FR_OK)
        return -3;
    return out;
}

START_TEST(own_product__other_towers_index__tells_them_apart)
{
    struct fr_model *other = NULL;
    struct fr_epoch v;
    int differ = 0;

    set_tower(0);
    ck_assert_int_eq(fr_train_two_tower_model(tower[1], &other, NULL), FR_OK);
    fr_epochs_pin(ep, &v);
    for (uint32_t i = 0; i < ITEMS; i++) {
        ck_assert(fabsf(own_product(&v, v.retrieval, i, ar) - 1.0f) < 1e-4f);
        differ += fabsf(own_product(&v, other, i, ar) - 1.0f) > 1e-2f;
    }
    fr_epochs_unpin(ep, &v);
    fr_model_free(other);
    ck_assert_int_gt(differ, ITEMS / 2); /* a torn pair would be seen */
}
END_TEST

static _Atomic bool stop;
static _Atomic long looks, torn, missing;
static _Atomic uint64_t newest;

static void *reader(void *arg)
{
    struct fr_arena *mine = feat_arena();
    uint64_t last = 0;
    uint32_t i = 0;

    (void)arg;
    while (!atomic_load(&stop)) {
        struct fr_epoch v;
        float p;
        fr_epochs_pin(ep, &v);
        p = own_product(&v, v.retrieval, i, mine);
        i = (i + 1) % ITEMS;
        if (p < -1.5f)
            missing++;
        else if (fabsf(p - 1.0f) > 1e-4f)
            torn++;
        if (v.index_generation < last)
            torn++; /* never back */
        last = v.index_generation;
        if (last > atomic_load(&newest))
            atomic_store(&newest, last);
        fr_epochs_unpin(ep, &v);
        looks++;
    }
    fr_arena_free(mine);
    return NULL;
}

static void *churn(void *arg)
{
    struct fr_arena *mine = feat_arena();

    (void)arg;
    for (int n = 0; !atomic_load(&stop); n++) {
        struct fr_item_record rec;
        char id[16];
        (void)snprintf(id, sizeof(id), "x%d", n % 40);
        fr_arena_reset(mine);
        rec = feat_item(spec, mine, id, "c1|c2", id);
        rec.deleted = n % 3 == 2;
        if (fr_epochs_put(ep, &rec, 1) != FR_OK)
            torn++;
        (void)fr_epochs_maintain(ep, 8);
    }
    fr_arena_free(mine);
    return NULL;
}

START_TEST(set_models__while_readers_pin_and_items_change__pairs_only)
{
    pthread_t t[READERS + 1];
    struct fr_epoch v;

    set_tower(0);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, reader, NULL), 0);
    ck_assert_int_eq(pthread_create(&t[READERS], NULL, churn, NULL), 0);
    for (int i = 1; i <= SWAPS; i++)
        set_tower(i % 2);
    for (long until = atomic_load(&looks) + 200; atomic_load(&looks) < until;)
        (void)sched_yield();
    atomic_store(&stop, true);
    for (int i = 0; i <= READERS; i++)
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    fr_epochs_pin(ep, &v);
    ck_assert_uint_eq(v.index_generation, SWAPS + 1);
    fr_epochs_unpin(ep, &v);
    printf("%ld looks, %ld torn, %ld missing, newest generation seen %llu\n", (long)looks, (long)torn, (long)missing,
           (unsigned long long)newest);
    ck_assert_int_eq((long)torn, 0);
    ck_assert_int_eq((long)missing, 0);
    ck_assert_uint_eq(atomic_load(&newest), SWAPS + 1);
}
END_TEST

START_TEST(set_models__wrong_job__refused_and_nothing_moves)
{
    struct fr_model *m = NULL, *none = NULL;
    struct fr_fault f = {FR_OK, NULL, 0, ""};
    struct fr_epoch a, b;

    set_tower(0);
    fr_epochs_pin(ep, &a);
    fr_epochs_unpin(ep, &a);
    ck_assert_int_eq(fr_train_two_tower_model(tower[1], &m, &f), FR_OK);
    ck_assert_int_eq(fr_epochs_set_models(ep, &none, &m, &f), FR_EINVAL);
    ck_assert_ptr_nonnull(m); /* still the caller's */
    ck_assert_ptr_nonnull(strstr(f.msg, "no ranker"));
    fr_epochs_pin(ep, &b);
    ck_assert(a.retrieval == b.retrieval && a.index == b.index && a.index_generation == b.index_generation);
    fr_epochs_unpin(ep, &b);
    fr_model_free(m);
}
END_TEST

START_TEST(set_models__none__no_index_and_items_still_come)
{
    struct fr_model *none[2] = {NULL, NULL};
    struct fr_epoch v;
    uint64_t items, indexed, pending;

    set_tower(0);
    ck_assert_int_eq(fr_epochs_set_models(ep, &none[0], &none[1], NULL), FR_OK);
    put(100, 3, false);
    put(100, 1, true);
    fr_epochs_pin(ep, &v);
    ck_assert(v.retrieval == NULL && v.ranker == NULL && v.index == NULL);
    fr_epochs_unpin(ep, &v);
    fr_epochs_sizes(ep, &items, &indexed, &pending);
    ck_assert_uint_eq(items, ITEMS + 2);
    ck_assert_uint_eq(indexed, 0);
    set_tower(1); /* builds from what is in the catalogue now */
    fr_epochs_sizes(ep, &items, &indexed, &pending);
    ck_assert_uint_eq(indexed, ITEMS + 2);
}
END_TEST

START_TEST(set_models__every_nth_allocation_fails__old_pair_serves_on)
{
    int failed = 0;
    bool passed = false;

    set_tower(0);
    for (uint64_t nth = 1; nth < 500 && !passed; nth++) {
        struct fr_model *m = NULL, *none = NULL;
        struct fr_epoch v;
        enum fr_err e;
        ck_assert_int_eq(fr_train_two_tower_model(tower[1], &m, NULL), FR_OK);
        fr_alloc_fail_at(nth);
        e = fr_epochs_set_models(ep, &m, &none, NULL);
        fr_alloc_fail_at(0);
        passed = e == FR_OK;
        failed += !passed;
        ck_assert(passed || (e == FR_ENOMEM && m != NULL));
        fr_model_free(m);
        fr_epochs_pin(ep, &v);
        ck_assert_uint_eq(v.index_generation, passed ? 2 : 1);
        ck_assert(fabsf(own_product(&v, v.retrieval, 3, ar) - 1.0f) < 1e-4f);
        fr_epochs_unpin(ep, &v);
    }
    ck_assert(passed);
    ck_assert_int_gt(failed, 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pipeline/epoch");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, own_product__other_towers_index__tells_them_apart);
    tcase_add_test(tc, set_models__while_readers_pin_and_items_change__pairs_only);
    tcase_add_test(tc, set_models__wrong_job__refused_and_nothing_moves);
    tcase_add_test(tc, set_models__none__no_index_and_items_still_come);
    tcase_add_test(tc, set_models__every_nth_allocation_fails__old_pair_serves_on);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
