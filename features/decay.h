/*
 * features/decay.h - forward decay with landmarks on a grid of whole half-lives.
 *
 * An event at time t adds 2^((t - L)/hl); the value at x is c * 2^(-(x - L)/hl). L is the newest
 * multiple of hl not after the newest event, so it depends on the newest time only, the exponent of
 * a new event is in [0, 1), and moving L by k half-lives multiplies by exactly 2^-k. Source:
 * Cormode, Shkapenyuk, Srivastava, Xu: Forward decay, ICDE 2009.
 *
 * Layer: features; includes daemon/base/ and features/fmath.h only.
 */
#ifndef FR_FEATURES_DECAY_H
#define FR_FEATURES_DECAY_H

#include <stdbool.h>
#include <stdint.h>

/** Weight 2^((t - landmark) / half_life). half_life > 0. */
double fr_decay_up(int64_t t_ms, int64_t landmark_ms, int64_t half_life_ms);

/** 2^(-(t - landmark) / half_life): multiply a forward-decayed sum to get its value at t. */
double fr_decay_down(int64_t t_ms, int64_t landmark_ms, int64_t half_life_ms);

/** Landmark grid: the newest multiple of half_life that is <= t (also for negative t). */
int64_t fr_decay_landmark(int64_t t_ms, int64_t half_life_ms);

/**
 * Move the FR_HALF_LIVES landmarks of a counter block up to time t (never back).
 * @param c      (n_types, FR_HALF_LIVES), all types share a landmark per half-life.
 * @param empty  nothing was counted yet: just set the landmarks.
 */
void fr_decay_rebase(double *c,
                     int n_types,
                     int64_t landmark[],
                     const int64_t half_life_ms[],
                     int64_t t_ms,
                     bool empty);

#endif
