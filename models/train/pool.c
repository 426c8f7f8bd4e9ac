/*
 * models/train/pool.c - generations of work: the caller raises `generation`, workers lower `busy`.
 */
#include "models/train/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "daemon/base/alloc.h"

#define SPIN 500 /* looks before sleeping: some 20 us, the phases of a small step; none if threads share a core */

struct member {
    struct fr_pool *pool;
    pthread_t id;
    int worker;
};

struct fr_pool {
    int threads, started, spin;
    struct member *member; /* (threads), [0] unused */
    void (*fn)(void *arg, int worker);
    void *arg;
    bool stop;
    _Atomic uint32_t generation; /* of the work; a new one is posted under the lock */
    _Atomic int busy;            /* workers that have not finished it */
    _Atomic int arrived;         /* at the barrier */
    _Atomic uint32_t passed;     /* barriers passed */
    pthread_mutex_t lock;
    pthread_cond_t work, done, gate;
};

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Spin, then sleep on `cond` until *value is not `old`. */
static void
wait_change(struct fr_pool *p, _Atomic uint32_t *value, uint32_t old, pthread_cond_t *cond)
{
    for (int i = 0; i < p->spin; i++) {
        if (atomic_load_explicit(value, memory_order_acquire) != old)
            return;
        relax();
    }
    (void)pthread_mutex_lock(&p->lock);
    while (atomic_load_explicit(value, memory_order_acquire) == old)
        (void)pthread_cond_wait(cond, &p->lock);
    (void)pthread_mutex_unlock(&p->lock);
}

static void finish(struct fr_pool *p)
{
    if (atomic_fetch_sub_explicit(&p->busy, 1, memory_order_acq_rel) != 1)
        return;
    (void)pthread_mutex_lock(&p->lock);
    (void)pthread_cond_signal(&p->done);
    (void)pthread_mutex_unlock(&p->lock);
}

static void *serve(void *arg)
{
    const struct member *m = arg;
    struct fr_pool *p = m->pool;
    uint32_t seen = 0;

    for (;;) {
        wait_change(p, &p->generation, seen, &p->work);
        seen++;
        if (p->stop)
            return NULL;
        p->fn(p->arg, m->worker);
        finish(p);
    }
}

static void post(struct fr_pool *p)
{
    (void)pthread_mutex_lock(&p->lock);
    atomic_fetch_add_explicit(&p->generation, 1, memory_order_release);
    (void)pthread_cond_broadcast(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
}

enum fr_err fr_pool_new(int threads, struct fr_pool **out_p)
{
    struct fr_pool *p;

    if (threads < 1)
        return FR_EINVAL;
    p = fr_calloc(1, sizeof(*p));
    if (p == NULL)
        return FR_ENOMEM;
    p->threads = threads;
    p->started = 1;
    p->spin = threads <= sysconf(_SC_NPROCESSORS_ONLN) ? SPIN : 0;
    p->member = fr_calloc((size_t)threads, sizeof(*p->member));
    if (p->member == NULL || pthread_mutex_init(&p->lock, NULL) != 0) {
        fr_free(p->member);
        fr_free(p);
        return FR_ENOMEM;
    }
    (void)pthread_cond_init(&p->work, NULL); /* cannot fail without attributes */
    (void)pthread_cond_init(&p->done, NULL);
    (void)pthread_cond_init(&p->gate, NULL);
    while (p->started < threads) {
        struct member *m = &p->member[p->started];
        *m = (struct member){.pool = p, .worker = p->started};
        if (pthread_create(&m->id, NULL, serve, m) != 0) {
            fr_pool_free(p);
            return FR_EAGAIN;
        }
        p->started++;
    }
    *out_p = p;
    return FR_OK;
}

void fr_pool_free(struct fr_pool *p)
{
    if (p == NULL)
        return;
    p->stop = true;
    post(p);
    for (int i = 1; i < p->started; i++)
        (void)pthread_join(p->member[i].id, NULL);
    (void)pthread_cond_destroy(&p->work);
    (void)pthread_cond_destroy(&p->done);
    (void)pthread_cond_destroy(&p->gate);
    (void)pthread_mutex_destroy(&p->lock);
    fr_free(p->member);
    fr_free(p);
}

void fr_pool_run(struct fr_pool *p, void (*fn)(void *arg, int worker), void *arg)
{
    if (p->threads == 1) {
        fn(arg, 0);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    atomic_store_explicit(&p->busy, p->threads - 1, memory_order_relaxed);
    post(p);
    fn(arg, 0);
    for (int i = 0; i < p->spin; i++) {
        if (atomic_load_explicit(&p->busy, memory_order_acquire) == 0)
            return;
        relax();
    }
    (void)pthread_mutex_lock(&p->lock);
    while (atomic_load_explicit(&p->busy, memory_order_acquire) != 0)
        (void)pthread_cond_wait(&p->done, &p->lock);
    (void)pthread_mutex_unlock(&p->lock);
}

void fr_pool_barrier(struct fr_pool *p)
{
    uint32_t passed = atomic_load_explicit(&p->passed, memory_order_acquire);

    if (atomic_fetch_add_explicit(&p->arrived, 1, memory_order_acq_rel) + 1 < p->threads) {
        wait_change(p, &p->passed, passed, &p->gate);
        return;
    }
    atomic_store_explicit(&p->arrived, 0, memory_order_relaxed);
    (void)pthread_mutex_lock(&p->lock);
    atomic_fetch_add_explicit(&p->passed, 1, memory_order_release);
    (void)pthread_cond_broadcast(&p->gate);
    (void)pthread_mutex_unlock(&p->lock);
}

int fr_pool_threads(const struct fr_pool *p)
{
    return p->threads;
}
