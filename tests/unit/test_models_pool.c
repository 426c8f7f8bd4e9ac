/*
 * The trainers' threads: every worker runs each piece of work once, sees what came before, and no one
 * passes a barrier before all are there. (Under the thread sanitizer this is also its race test.)
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "models/train/pool.h"
#include "tests/support/model_fixture.h"

#define MAX 7

struct work {
    struct fr_pool *pool;
    int threads;
    long plain[MAX]; /* written by its worker only */
    long sum[MAX];
    int round;
    _Atomic int wrong;
};

static void count(void *arg, int worker)
{
    struct work *w = arg;
    w->plain[worker] += w->round;
}

START_TEST(run__many_rounds__each_worker_once_a_round)
{
    struct work w = {.threads = _i};
    long want = 0;

    ck_assert_int_eq(fr_pool_new(_i, &w.pool), FR_OK);
    ck_assert_int_eq(fr_pool_threads(w.pool), _i);
    for (int r = 0; r < 3000; r++) {
        w.round = r;
        want += r;
        fr_pool_run(w.pool, count, &w);
    }
    for (int i = 0; i < _i; i++)
        ck_assert_int_eq(w.plain[i], want);
    fr_pool_free(w.pool);
}
END_TEST

/* Each worker writes its number, then sums everybody's: only right if all have written. */
static void exchange(void *arg, int worker)
{
    struct work *w = arg;
    for (int r = 1; r <= 50; r++) {
        long sum = 0, want = 0;
        w->plain[worker] = (long)r * (worker + 1);
        fr_pool_barrier(w->pool);
        for (int i = 0; i < w->threads; i++) {
            sum += w->plain[i];
            want += (long)r * (i + 1);
        }
        if (sum != want)
            atomic_fetch_add(&w->wrong, 1);
        fr_pool_barrier(w->pool);
    }
    w->sum[worker]++;
}

START_TEST(barrier__values_exchanged__all_have_written)
{
    struct work w = {.threads = _i};

    ck_assert_int_eq(fr_pool_new(_i, &w.pool), FR_OK);
    for (int r = 0; r < 40; r++)
        fr_pool_run(w.pool, exchange, &w);
    ck_assert_int_eq(atomic_load(&w.wrong), 0);
    for (int i = 0; i < _i; i++)
        ck_assert_int_eq(w.sum[i], 40);
    fr_pool_free(w.pool);
}
END_TEST

START_TEST(new_free__no_work_or_no_threads)
{
    struct fr_pool *p = NULL;
    ck_assert_int_eq(fr_pool_new(0, &p), FR_EINVAL);
    ck_assert_ptr_null(p);
    fr_pool_free(NULL);
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(fr_pool_new(1 + i % 4, &p), FR_OK);
        fr_pool_free(p);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/pool");
    TCase *tc = tcase_create("all");
    tcase_add_loop_test(tc, run__many_rounds__each_worker_once_a_round, 1, 5);
    tcase_add_loop_test(tc, barrier__values_exchanged__all_have_written, 1, 5);
    tcase_add_test(tc, new_free__no_work_or_no_threads);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
