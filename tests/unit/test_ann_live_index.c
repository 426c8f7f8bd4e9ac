/* The published index against a plain map: random changes, each visible at once, removed labels
 * never returned, moved vectors win; searches on other threads meanwhile; failures on one side. */
#include "ann/live_index.h"

#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "ann/flat.h"
#include "ann/hnsw_shim.h"
#include "daemon/base/alloc.h"
#include "daemon/base/rng.h"

enum { DIM = 13, LABELS = 400 };

struct model { /* label i + 1 */
    bool in[LABELS];
    float v[LABELS][DIM];
};

static void unit_vector(struct fr_rng *r, float *v)
{
    double n2 = 0;
    for (int i = 0; i < DIM; i++) {
        v[i] = (float)fr_rng_normal(r);
        n2 += (double)v[i] * (double)v[i];
    }
    for (int i = 0; i < DIM; i++)
        v[i] = (float)((double)v[i] / sqrt(n2));
}

static struct fr_live_index *new_index(bool flat)
{
    struct fr_live_index *ix;
    struct fr_live_index_config c = {
        .dim = DIM, .m = 8, .ef_construction = 60, .ef_search = 40, .flat = flat};
    ck_assert_int_eq(fr_live_index_new(&c, &ix), FR_OK);
    return ix;
}

static struct fr_arena *new_arena(void)
{
    struct fr_arena *ar;
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    return ar;
}

static uint64_t model_size(const struct model *m)
{
    uint64_t n = 0;
    for (int i = 0; i < LABELS; i++)
        n += m->in[i];
    return n;
}

static double naive_dot(const float *a, const float *b)
{
    double s = 0;
    for (int i = 0; i < DIM; i++)
        s += (double)a[i] * (double)b[i];
    return s;
}

/* Every hit is in the model with the model's vector, sorted; a stored vector finds itself. */
static void
check_against(struct fr_live_index *ix, const struct model *m, struct fr_rng *r, bool exact)
{
    struct fr_arena *ar = new_arena();
    struct fr_ann_hit *hit;
    uint32_t n;
    float q[DIM], got[LABELS];
    uint64_t labels[LABELS];

    unit_vector(r, q);
    ck_assert_int_eq(fr_live_index_search(ix, q, 30, ar, &hit, &n), FR_OK);
    uint64_t want = model_size(m) < 30 ? model_size(m) : 30;
    ck_assert_uint_le(n, want);
    if (exact)
        ck_assert_uint_eq(n, want);
    for (uint32_t i = 0; i < n; i++) {
        ck_assert_uint_ge(hit[i].label, 1);
        ck_assert_uint_le(hit[i].label, LABELS);
        ck_assert(m->in[hit[i].label - 1]);
        ck_assert_double_eq_tol((double)hit[i].score, naive_dot(q, m->v[hit[i].label - 1]), 1e-5);
        if (i > 0)
            ck_assert(hit[i - 1].score >= hit[i].score);
        for (uint32_t j = 0; j < i; j++)
            ck_assert_uint_ne(hit[i].label, hit[j].label);
    }
    for (int i = 0; i < LABELS; i++)
        labels[i] = (uint64_t)i + 1;
    ck_assert_int_eq(fr_live_index_score(ix, q, labels, LABELS, got), FR_OK);
    for (int i = 0; i < LABELS; i++)
        ck_assert_double_eq_tol((double)got[i], m->in[i] ? naive_dot(q, m->v[i]) : -2.0, 1e-5);
    fr_arena_free(ar);
}

static void check_visible(struct fr_live_index *ix, const struct model *m, uint64_t label)
{
    struct fr_arena *ar = new_arena();
    struct fr_ann_hit *hit;
    uint32_t n;
    bool found = false;

    ck_assert_int_eq(fr_live_index_search(ix, m->v[label - 1], 3, ar, &hit, &n), FR_OK);
    for (uint32_t i = 0; i < n; i++)
        found |= hit[i].label == label;
    ck_assert_int_eq(found, m->in[label - 1]);
    fr_arena_free(ar);
}

static void random_ops(struct fr_live_index *ix, struct model *m, struct fr_rng *r, int n)
{
    struct fr_ann_op op[16] = {{.kind = FR_ANN_REMOVE}};

    ck_assert_int_le(n, 16);
    for (int i = 0; i < n; i++) {
        uint64_t at = fr_rng_below(r, LABELS);
        bool put = fr_rng_below(r, 3) > 0;
        if (put)
            unit_vector(r, m->v[at]);
        m->in[at] = put;
        op[i] = (struct fr_ann_op){
            .kind = put ? FR_ANN_PUT : FR_ANN_REMOVE, .label = at + 1, .vector = m->v[at]};
    }
    /* two ops on one label share the model's vector: the later one is what counts, so do its bits
     */
    ck_assert_int_eq(fr_live_index_apply(ix, op, n), FR_OK);
    for (int i = 0; i < n; i++)
        check_visible(ix, m, op[i].label);
}

static void run_model(bool flat, int rounds)
{
    struct fr_live_index *ix = new_index(flat);
    struct model *m = fr_calloc(1, sizeof(*m));
    struct fr_live_index_stats st;
    struct fr_rng r;
    bool more = true;

    fr_rng_seed(&r, 11);
    for (int round = 0; round < rounds; round++) {
        random_ops(ix, m, &r, 1 + (int)fr_rng_below(&r, 16));
        if (fr_rng_below(&r, 3) > 0)
            ck_assert_int_eq(fr_live_index_maintain(ix, (int)fr_rng_below(&r, 40), &more), FR_OK);
        check_against(ix, m, &r, flat);
        fr_live_index_stats(ix, &st);
        ck_assert_uint_eq(st.entries, model_size(m));
        ck_assert_uint_le(st.pending, st.entries);
    }
    for (int i = 0; more && i < 10000; i++)
        ck_assert_int_eq(fr_live_index_maintain(ix, 32, &more), FR_OK);
    ck_assert(!more);
    fr_live_index_stats(ix, &st);
    ck_assert_uint_eq(st.pending, 0);
    if (!flat) {
        ck_assert_uint_gt(st.rebuilds, 2);
        ck_assert(st.dead < 64 || st.dead * 5 <= st.dead + st.entries);
    }
    for (uint64_t l = 1; l <= LABELS; l++)
        check_visible(ix, m, l);
    fr_free(m);
    fr_live_index_free(ix);
}

START_TEST(apply__random_ops_graphs__as_the_map)
{
    run_model(false, 300);
}
END_TEST

START_TEST(apply__random_ops_flat__as_the_map)
{
    run_model(true, 150);
}
END_TEST

/* ---- readers while the writer works ---- */

struct shared {
    struct fr_live_index *ix;
    _Atomic bool stop;
    _Atomic bool removed[LABELS]; /* set after a removal returned, cleared before a put begins */
    _Atomic uint64_t searches, wrong;
};

static void *reader(void *arg)
{
    struct shared *s = arg;
    struct fr_arena *ar;
    struct fr_rng r;
    bool gone[LABELS];

    fr_rng_seed(&r, 5);
    if (fr_arena_new(1 << 16, 0, &ar) != FR_OK)
        return NULL;
    while (!atomic_load(&s->stop)) {
        struct fr_ann_hit *hit;
        uint32_t n;
        float q[DIM];
        unit_vector(&r, q);
        for (int i = 0; i < LABELS; i++)
            gone[i] = atomic_load(&s->removed[i]);
        if (fr_live_index_search(s->ix, q, 50, ar, &hit, &n) != FR_OK)
            atomic_fetch_add(&s->wrong, 1);
        else
            for (uint32_t i = 0; i < n; i++) {
                uint64_t at = hit[i].label - 1;
                bool bad = at >= LABELS || hit[i].score > 1.001f || hit[i].score < -1.001f;
                /* removed before the search and still removed after it, so removed all the time
                 * unless put and removed again meanwhile: the writer puts a label once */
                if (bad || (gone[at] && atomic_load(&s->removed[at])))
                    atomic_fetch_add(&s->wrong, 1);
            }
        atomic_fetch_add(&s->searches, 1);
        fr_arena_reset(ar);
    }
    fr_arena_free(ar);
    return NULL;
}

static void put_one(struct fr_live_index *ix, uint64_t label, const float *v)
{
    struct fr_ann_op op = {.kind = FR_ANN_PUT, .label = label, .vector = v};
    ck_assert_int_eq(fr_live_index_apply(ix, &op, 1), FR_OK);
}

START_TEST(search__threads_while_writing__never_a_removed_label)
{
    struct shared s = {.ix = new_index(false)};
    struct model *m = fr_calloc(1, sizeof(*m));
    pthread_t t[2];
    struct fr_rng r;

    fr_rng_seed(&r, 21);
    for (uint64_t l = 1; l <= LABELS; l++) {
        unit_vector(&r, m->v[l - 1]);
        put_one(s.ix, l, m->v[l - 1]);
    }
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, reader, &s), 0);
    for (int step = 0; step < 800 || atomic_load(&s.searches) < 200; step++) {
        uint64_t at = fr_rng_below(&r, LABELS);
        if (step % 4 == 0) { /* labels of the upper half leave for good, the others move */
            at = LABELS / 2 + at / 2;
            struct fr_ann_op op = {.kind = FR_ANN_REMOVE, .label = at + 1};
            ck_assert_int_eq(fr_live_index_apply(s.ix, &op, 1), FR_OK);
            atomic_store(&s.removed[at], true);
        } else {
            at /= 2;
            unit_vector(&r, m->v[at]);
            put_one(s.ix, at + 1, m->v[at]);
        }
        ck_assert_int_eq(fr_live_index_maintain(s.ix, 4, NULL), FR_OK);
    }
    atomic_store(&s.stop, true);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    ck_assert_uint_eq(atomic_load(&s.wrong), 0);
    ck_assert_uint_ge(atomic_load(&s.searches), 200);
    struct fr_live_index_stats st;
    fr_live_index_stats(s.ix, &st);
    ck_assert_uint_ge(st.rebuilds, 1);
    fr_live_index_free(s.ix);
    fr_free(m);
}
END_TEST

/* ---- refusals and failures ---- */

START_TEST(apply__bad_op__nothing_changes)
{
    struct fr_live_index *ix = new_index(false);
    struct fr_live_index_stats st;
    struct fr_rng r;
    float good[DIM], bad[DIM];
    struct fr_ann_op op[2] = {{.kind = FR_ANN_PUT, .label = 1, .vector = good},
                              {.kind = FR_ANN_PUT, .label = 2, .vector = bad}};

    fr_rng_seed(&r, 3);
    unit_vector(&r, good);
    memcpy(bad, good, sizeof(bad));
    bad[5] = NAN;
    ck_assert_int_eq(fr_live_index_apply(ix, op, 2), FR_ENONFINITE);
    bad[5] = INFINITY;
    ck_assert_int_eq(fr_live_index_apply(ix, op, 2), FR_ENONFINITE);
    for (int i = 0; i < DIM; i++)
        bad[i] = good[i] * 1.01f;
    ck_assert_int_eq(fr_live_index_apply(ix, op, 2), FR_EINVAL);
    for (int i = 0; i < DIM; i++)
        bad[i] = 3e38f;
    ck_assert_int_eq(fr_live_index_apply(ix, op, 2), FR_EINVAL);
    memcpy(bad, good, sizeof(bad));
    op[1].label = 0;
    ck_assert_int_eq(fr_live_index_apply(ix, op, 2), FR_EINVAL);
    fr_live_index_stats(ix, &st);
    ck_assert_uint_eq(st.entries, 0);
    bad[0] = NAN;
    struct fr_arena *ar = new_arena();
    struct fr_ann_hit *hit;
    uint32_t n = 77;
    ck_assert_int_eq(fr_live_index_search(ix, bad, 5, ar, &hit, &n), FR_ENONFINITE);
    ck_assert_int_eq(fr_live_index_search(ix, good, 5, ar, &hit, &n), FR_OK);
    ck_assert_uint_eq(n, 0);
    fr_arena_free(ar);
    fr_live_index_free(ix);
}
END_TEST

START_TEST(apply__same_vector__graph_not_touched)
{
    struct fr_live_index *ix = new_index(false);
    struct fr_live_index_stats st;
    struct fr_rng r;
    float v[DIM];
    bool more;

    fr_rng_seed(&r, 3);
    unit_vector(&r, v);
    put_one(ix, 9, v);
    ck_assert_int_eq(fr_live_index_maintain(ix, 10, &more), FR_OK);
    ck_assert(!more);
    put_one(ix, 9, v);
    fr_live_index_stats(ix, &st);
    ck_assert_uint_eq(st.pending, 0);
    ck_assert_uint_eq(st.dead, 0);
    fr_live_index_free(ix);
}
END_TEST

/* An insertion that throws half way, on either side: that side is replaced, nothing is lost. */
START_TEST(maintain__insertion_throws__side_is_replaced)
{
    struct fr_rng r;
    struct model *m = fr_calloc(1, sizeof(*m));
    int thrown = 0;

    for (uint64_t nth = 1; nth < 4000; nth += 193) {
        struct fr_live_index *ix = new_index(false);
        bool more = true;
        fr_rng_seed(&r, nth);
        for (uint64_t l = 1; l <= 60; l++) {
            unit_vector(&r, m->v[l - 1]);
            m->in[l - 1] = true;
            put_one(ix, l, m->v[l - 1]);
        }
        ck_assert_int_eq(fr_live_index_maintain(ix, 30, &more), FR_OK);
        fr_hnsw_shim_fail_at(nth);
        enum fr_err e = fr_live_index_maintain(ix, 30, &more);
        ck_assert(e == FR_OK || e == FR_ENOMEM);
        fr_hnsw_shim_fail_at(0);
        struct fr_live_index_stats st;
        fr_live_index_stats(ix, &st);
        thrown += st.pending > 0;
        check_against(ix, m, &r, true);
        for (uint64_t l = 1; l <= 60; l++)
            check_visible(ix, m, l);
        for (int i = 0; i < 2; i++) { /* both sides are searched: each put swaps them */
            unit_vector(&r, m->v[0]);
            put_one(ix, 1, m->v[0]);
            check_against(ix, m, &r, true);
        }
        do
            ck_assert_int_eq(fr_live_index_maintain(ix, 30, &more), FR_OK);
        while (more);
        check_against(ix, m, &r, true);
        fr_live_index_free(ix);
    }
    ck_assert_int_gt(thrown, 3);
    fr_free(m);
}
END_TEST

/* Every allocation of ours fails once: an error or success, never a wrong answer. */
START_TEST(all__nth_allocation_fails__nothing_lost)
{
    struct model *m = fr_calloc(1, sizeof(*m));
    struct fr_rng r;
    bool done = false;

    for (uint64_t nth = 1; !done && nth < 500; nth += nth < 40 ? 1 : 5) {
        struct fr_live_index *ix = NULL;
        struct fr_live_index_config c = {
            .dim = DIM, .m = 4, .ef_construction = 20, .ef_search = 20};
        bool more;
        fr_rng_seed(&r, 2);
        memset(m, 0, sizeof(*m));
        fr_alloc_fail_at(nth);
        enum fr_err e = fr_live_index_new(&c, &ix);
        for (uint64_t l = 1; l <= 200 && e == FR_OK; l++) {
            float v[DIM];
            unit_vector(&r, v);
            struct fr_ann_op op = {.kind = FR_ANN_PUT, .label = l, .vector = v};
            e = fr_live_index_apply(ix, &op, 1);
            m->in[l - 1] = e == FR_OK;
            if (e == FR_OK)
                memcpy(m->v[l - 1], v, sizeof(v));
            if (e == FR_OK && l % 7 == 0)
                e = fr_live_index_maintain(ix, 5, &more);
        }
        done = e == FR_OK;
        ck_assert(e == FR_OK || e == FR_ENOMEM);
        fr_alloc_fail_at(0);
        if (ix != NULL) {
            check_against(ix, m, &r, false);
            do
                ck_assert_int_eq(fr_live_index_maintain(ix, 50, &more), FR_OK);
            while (more);
            for (uint64_t l = 1; l <= 200; l++)
                check_visible(ix, m, l);
        }
        fr_live_index_free(ix);
    }
    ck_assert(done);
    fr_free(m);
}
END_TEST

START_TEST(build__bulk__found_and_duplicates_refused)
{
    struct fr_live_index *ix = new_index(false);
    struct model *m = fr_calloc(1, sizeof(*m));
    uint64_t labels[LABELS];
    struct fr_rng r;

    fr_rng_seed(&r, 8);
    for (uint64_t i = 0; i < LABELS; i++) {
        labels[i] = i + 1;
        m->in[i] = true;
        unit_vector(&r, m->v[i]);
    }
    labels[7] = 3;
    ck_assert_int_eq(fr_live_index_build(ix, labels, &m->v[0][0], LABELS), FR_EDUPLICATE);
    labels[7] = 8;
    ck_assert_int_eq(fr_live_index_build(ix, labels, &m->v[0][0], LABELS), FR_OK);
    ck_assert_int_eq(fr_live_index_build(ix, labels, &m->v[0][0], LABELS), FR_ESTATE);
    check_against(ix, m, &r, true);
    for (uint64_t l = 1; l <= LABELS; l++)
        check_visible(ix, m, l);
    random_ops(ix, m, &r, 16);
    check_against(ix, m, &r, true);
    fr_live_index_free(ix);
    fr_free(m);
}
END_TEST

/* One vector under two labels, one in the graph and one in the buffer, either way round. */
START_TEST(search__equal_scores_across_graph_and_buffer__smaller_label_first)
{
    struct fr_live_index *ix = new_index(false);
    struct fr_arena *ar = new_arena();
    struct fr_ann_hit *hit;
    struct fr_rng r;
    uint32_t n;
    float v[DIM];
    struct fr_ann_op first = {.kind = FR_ANN_PUT, .label = _i == 0 ? 3 : 9, .vector = v};
    struct fr_ann_op second = {.kind = FR_ANN_PUT, .label = _i == 0 ? 9 : 3, .vector = v};

    fr_rng_seed(&r, 21);
    unit_vector(&r, v);
    ck_assert_int_eq(fr_live_index_apply(ix, &first, 1), FR_OK);
    ck_assert_int_eq(fr_live_index_maintain(ix, 10, NULL), FR_OK); /* into the graph */
    ck_assert_int_eq(fr_live_index_apply(ix, &second, 1), FR_OK);
    ck_assert_int_eq(fr_live_index_search(ix, v, 2, ar, &hit, &n), FR_OK);
    ck_assert_uint_eq(n, 2);
    ck_assert(hit[0].score == hit[1].score);
    ck_assert_uint_eq(hit[0].label, 3);
    ck_assert_uint_eq(hit[1].label, 9);
    fr_arena_free(ar);
    fr_live_index_free(ix);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ann/live_index");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, apply__random_ops_graphs__as_the_map);
    tcase_add_loop_test(t, search__equal_scores_across_graph_and_buffer__smaller_label_first, 0, 2);
    tcase_add_test(t, apply__random_ops_flat__as_the_map);
    tcase_add_test(t, search__threads_while_writing__never_a_removed_label);
    tcase_add_test(t, apply__bad_op__nothing_changes);
    tcase_add_test(t, apply__same_vector__graph_not_touched);
    tcase_add_test(t, maintain__insertion_throws__side_is_replaced);
    tcase_add_test(t, all__nth_allocation_fails__nothing_lost);
    tcase_add_test(t, build__bulk__found_and_duplicates_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
