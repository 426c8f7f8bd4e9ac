#include "features/decay.h"

#include "features/fmath.h"
#include "features/spec.h"

double fr_decay_up(int64_t t_ms, int64_t landmark_ms, int64_t half_life_ms)
{
    return fr_exp2((double)(t_ms - landmark_ms) / (double)half_life_ms);
}

double fr_decay_down(int64_t t_ms, int64_t landmark_ms, int64_t half_life_ms)
{
    return fr_exp2((double)(landmark_ms - t_ms) / (double)half_life_ms);
}

int64_t fr_decay_landmark(int64_t t_ms, int64_t half_life_ms)
{
    int64_t q = t_ms / half_life_ms;
    if (t_ms % half_life_ms < 0)
        q--;
    return q * half_life_ms;
}

void fr_decay_rebase(double *c,
                     int n_types,
                     int64_t landmark[],
                     const int64_t half_life_ms[],
                     int64_t t_ms,
                     bool empty)
{
    for (int k = 0; k < FR_HALF_LIVES; k++) {
        int64_t to = fr_decay_landmark(t_ms, half_life_ms[k]);
        if (!empty && to > landmark[k]) {
            int64_t steps = (to - landmark[k]) / half_life_ms[k];
            for (int i = 0; i < n_types; i++)
                if (c[i * FR_HALF_LIVES + k] != 0)
                    c[i * FR_HALF_LIVES + k] = fr_scale2(c[i * FR_HALF_LIVES + k], -steps);
        }
        if (empty || to > landmark[k])
            landmark[k] = to;
    }
}
