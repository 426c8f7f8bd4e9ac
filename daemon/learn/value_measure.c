/*
 * daemon/learn/value_measure.c - see value_measure.h.
 */
#include "daemon/learn/value_measure.h"

#include <math.h>

#include "models/metrics.h"

void fr_value_measure_train(struct fr_value_measure *m, float value)
{
    if (!fr_value_fits(m->kind, value))
        return;
    m->target_sum += (double)fr_value_target(m->kind, value);
    m->targets++;
}

static double error(enum fr_value_kind k, double r, double target)
{
    float dr;

    return k == FR_VALUE_UNIT ? fr_value_loss(k, (float)r, (float)target, &dr) : fabs(r - target);
}

/* The raw output that says the training labels' mean to every row. */
static double constant(const struct fr_value_measure *m)
{
    double mean = m->targets == 0 ? 0 : m->target_sum / (double)m->targets;

    if (m->kind != FR_VALUE_UNIT)
        return mean;
    mean = (m->target_sum + 0.5) / ((double)m->targets + 1); /* as the head begins (train_ctr.c) */
    return log(mean / (1 - mean));
}

static double worth_of(size_t place)
{
    return place > FR_VALUE_TOP ? 0 : 1 / log2(1 + (double)place);
}

void fr_value_measure_list(struct fr_value_measure *m,
                           const float *z,
                           const float *raw,
                           size_t n,
                           size_t label,
                           float value,
                           float *key,
                           float *score)
{
    if (!fr_value_fits(m->kind, value))
        return;
    double target = (double)fr_value_target(m->kind, value);

    fr_value_combine(m->kind, m->share, &m->powers, z, raw, (int)n, key, score);
    m->n++;
    m->error += error(m->kind, (double)raw[label], target);
    m->error_mean += error(m->kind, constant(m), target);
    m->total += (double)value;
    m->kept += (double)value * worth_of(fr_metric_rank(key, n, label));
    m->kept_click += (double)value * worth_of(fr_metric_rank(z, n, label));
}

double fr_value_measure_error(const struct fr_value_measure *m)
{
    return m->n == 0 ? 0 : m->error / (double)m->n;
}

double fr_value_measure_error_mean(const struct fr_value_measure *m)
{
    return m->n == 0 ? 0 : m->error_mean / (double)m->n;
}

double fr_value_measure_kept(const struct fr_value_measure *m)
{
    return m->total > 0 ? m->kept / m->total : 0;
}

double fr_value_measure_kept_click(const struct fr_value_measure *m)
{
    return m->total > 0 ? m->kept_click / m->total : 0;
}
