/*
 * features/fmath.h - exp, exp2, log, log1p of our own: the same bits on every machine.
 *
 * Why:   libm differs between versions and processors in the last bit, and rows must replay bit for
 *        bit. Only IEEE +, -, *, / and bit moves are used (-ffp-contract=off, no FMA).
 * Error: relative error <= 4e-16 (2 ulp) against libm over the whole range, tested on 10^6 points;
 *        absolute error <= 4e-16 where log is near 0 is not needed: log1p covers that, to 4e-16
 *        relative.
 * Edge:  exp2(x) is 0 below -1074 and +inf from 1024 on; log(0) = -inf, log(<0) = NaN; NaN in, NaN
 * out. Layer: features; includes daemon/base/ only.
 */
#ifndef FR_FEATURES_FMATH_H
#define FR_FEATURES_FMATH_H

#include <stdint.h>

double fr_exp2(double x);
double fr_exp(double x);
double fr_log(double x);
double fr_log2(double x);
double fr_log1p(double x);

/** x * 2^k, exact except where the result is subnormal or overflows. */
double fr_scale2(double x, int64_t k);

/**
 * Logarithmic bucket of v >= 0 with `per_octave` buckets for each doubling of 1 + v:
 * 1 + floor(per_octave * log2(1 + v)), at most n - 1; v < 0 or NaN is 0 (unknown).
 */
uint32_t fr_log_bucket(double v, uint32_t per_octave, uint32_t n);

#endif
