#include "features/fmath.h"

#include <string.h>

/* ln 2 in two parts: HI has 32 trailing zero bits, so k * HI is exact for |k| < 2^11. */
#define LN2_HI 6.93147180369123816490e-01
#define LN2_LO 1.90821492927058770002e-10
#define LN2 6.93147180559945309417e-01
#define INV_LN2 1.44269504088896340736e+00
#define SQRT2 1.41421356237309504880e+00

static uint64_t bits_of(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static double double_of(uint64_t u)
{
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static double inf(void)
{
    return double_of(UINT64_C(0x7ff0000000000000));
}

/* 2^k for k in [-1022, 1023] */
static double pow2i(int64_t k)
{
    return double_of((uint64_t)(k + 1023) << 52);
}

double fr_scale2(double x, int64_t k)
{
    if (k > 2200)
        k = 2200;
    if (k < -2200)
        k = -2200;
    while (k > 1023) {
        x *= pow2i(1023);
        k -= 1023;
    }
    while (k < -1022) {
        x *= pow2i(-1022);
        k += 1022;
    }
    return x * pow2i(k);
}

/* exp(y) for |y| <= 0.35 by its series to y^13 / 13! (remainder below 2e-17), even and odd terms
 * apart */
static double exp_small(double y)
{
    double z = y * y;
    double even = 1.0 / 479001600;
    double odd = 1.0 / 6227020800;

    even = even * z + 1.0 / 3628800;
    even = even * z + 1.0 / 40320;
    even = even * z + 1.0 / 720;
    even = even * z + 1.0 / 24;
    even = even * z + 0.5;
    odd = odd * z + 1.0 / 39916800;
    odd = odd * z + 1.0 / 362880;
    odd = odd * z + 1.0 / 5040;
    odd = odd * z + 1.0 / 120;
    odd = odd * z + 1.0 / 6;
    return 1.0 + (y + (z * even + y * z * odd));
}

static int64_t round_half_away(double x)
{
    return (int64_t)(x < 0 ? x - 0.5 : x + 0.5);
}

double fr_exp2(double x)
{
    if (!(x == x))
        return x;
    if (x >= 1024)
        return inf();
    if (x < -1075)
        return 0;
    int64_t k = round_half_away(x);
    return fr_scale2(exp_small((x - (double)k) * LN2), k);
}

double fr_exp(double x)
{
    if (!(x == x))
        return x;
    if (x > 709.79)
        return inf();
    if (x < -746)
        return 0;
    int64_t k = round_half_away(x * INV_LN2);
    double y = (x - (double)k * LN2_HI) - (double)k * LN2_LO;
    return fr_scale2(exp_small(y), k);
}

/*
 * x = 2^e * m with m in [sqrt(1/2), sqrt(2)); returns log(m) for finite x > 0.
 * With f = m - 1 and s = f / (2 + f): log(m) = 2s + s*R, R = 2/3 s^2 + 2/5 s^4 + ...,
 * and 2s = f - s*f, which keeps the leading term exact.
 */
static double log_mantissa(double x, int64_t *out_e)
{
    int64_t e = 0;
    if (x < 2.2250738585072014e-308) {
        x *= 18014398509481984.0; /* 2^54: subnormal */
        e = -54;
    }
    uint64_t u = bits_of(x);
    e += (int64_t)(u >> 52) - 1023;
    double m = double_of((u & UINT64_C(0x000fffffffffffff)) | UINT64_C(0x3ff0000000000000));
    if (m >= SQRT2) {
        m *= 0.5;
        e++;
    }
    *out_e = e;
    double f = m - 1.0;
    double s = f / (2.0 + f);
    double z = s * s;
    double r = 2.0 / 23;
    for (int d = 21; d >= 3; d -= 2)
        r = r * z + 2.0 / d;
    return f - s * (f - z * r);
}

static int log_special(double x, double *out)
{
    if (!(x == x) || x < 0) {
        *out = double_of(UINT64_C(0x7ff8000000000000));
        return 1;
    }
    if (x == 0) {
        *out = -inf();
        return 1;
    }
    if (x == inf()) {
        *out = x;
        return 1;
    }
    return 0;
}

double fr_log(double x)
{
    double special;
    if (log_special(x, &special))
        return special;
    int64_t e;
    double l = log_mantissa(x, &e);
    return (double)e * LN2_HI + (l + (double)e * LN2_LO);
}

double fr_log2(double x)
{
    double special;
    if (log_special(x, &special))
        return special;
    int64_t e;
    double l = log_mantissa(x, &e);
    return (double)e + l * INV_LN2; /* exact for powers of two */
}

double fr_log1p(double x)
{
    if (x == inf())
        return x;
    /* u is x + 1 rounded; log(u) / (u - 1) varies slowly, so x times it is log(1 + x) (Kahan) */
    double u = 1.0 + x;
    if (u == 1.0)
        return x;
    return fr_log(u) * (x / (u - 1.0));
}

uint32_t fr_log_bucket(double v, uint32_t per_octave, uint32_t n)
{
    if (!(v >= 0) || n < 2)
        return 0;
    double b = (double)per_octave * fr_log2(1.0 + v);
    if (b >= (double)(n - 2))
        return n - 1;
    return 1 + (uint32_t)b;
}
