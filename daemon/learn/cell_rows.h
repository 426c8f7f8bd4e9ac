/*
 * daemon/learn/cell_rows.h - many rows of cells in little memory: cells that are {0, 0} take none.
 */
#ifndef FR_LEARN_CELL_ROWS_H
#define FR_LEARN_CELL_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/field.h"

/** Owner: the caller's storage, zeroed; fr_cell_rows_done(). */
struct fr_cell_rows {
    uint64_t *id; /* (cap) */
    float *x;
    uint16_t *at;
    size_t used, cap;
    size_t *end; /* (n_cap): one past the row's last cell */
    size_t n, n_cap;
};

/** Append a row of n cells. @errors FR_ENOMEM: nothing appended */
FR_MUST_CHECK enum fr_err
fr_cell_rows_add(struct fr_cell_rows *r, const struct fr_cell *c, uint32_t n);
/** Row i, as it was added with n cells. */
void fr_cell_rows_get(const struct fr_cell_rows *r, size_t i, struct fr_cell *out, uint32_t n);
void fr_cell_rows_done(struct fr_cell_rows *r);

#endif
