/*
 * daemon/cli/curve.h - the learning curve beside a bundle: BUNDLE.curve.csv and BUNDLE.curve.svg.
 * Layer: daemon/cli.
 */
#ifndef FR_CLI_CURVE_H
#define FR_CLI_CURVE_H

#include "daemon/base/err.h"
#include "daemon/cli/chart.h"

/**
 * Write both. @param bundle  its path; a slash at its end is left out
 * @param csv_lr  (n) nullable: the column lr, whether or not the picture marks drops
 * @errors as fr_file_replace()
 */
FR_MUST_CHECK enum fr_err fr_curve_write(const char *bundle,
                                         const struct fr_chart_curve *c,
                                         const double *csv_lr,
                                         struct fr_fault *fault);

#endif
