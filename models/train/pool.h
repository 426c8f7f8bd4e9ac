/*
 * models/train/pool.h - the threads of a trainer: fn(arg, i) on all of them, and a barrier.
 *
 * Worker 0 is the calling thread. Others sleep between calls after a short spin: a step of a small
 * batch takes tens of microseconds, and a thread's start as long.
 * Layer: daemon/base/ and models/.
 */
#ifndef FR_MODELS_TRAIN_POOL_H
#define FR_MODELS_TRAIN_POOL_H

#include "daemon/base/err.h"

struct fr_pool;

/**
 * @param threads  >= 1; all of them run, or it is an error: a barrier needs every one.
 * @errors FR_EINVAL FR_ENOMEM FR_EAGAIN no thread to be had. Owner: the caller, fr_pool_free().
 */
FR_MUST_CHECK enum fr_err fr_pool_new(int threads, struct fr_pool **out_p);
/** NULL is a no-op. Not inside fn. */
void fr_pool_free(struct fr_pool *p);

/** fn(arg, i) for i in [0, threads), each in its own thread; returns when all have returned.
 *  What was written before the call is seen by all; what they wrote is seen after it.
 *  @thread one caller at a time, not from inside fn */
void fr_pool_run(struct fr_pool *p, void (*fn)(void *arg, int worker), void *arg);

/** Inside fn: waits until all workers are here. All of them must call it equally often. */
void fr_pool_barrier(struct fr_pool *p);

int fr_pool_threads(const struct fr_pool *p);

#endif
