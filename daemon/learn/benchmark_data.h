/*
 * daemon/learn/benchmark_data.h - the file layouts of published benchmarks, read into flat arrays.
 *
 *   rows       label,user,item,daytime,...      header, then a 0/1 label and one id a column (frappe)
 *   pairs      user<TAB>item[<TAB>...]          further columns are left unread (ncf train, test.rating)
 *   negatives  (user,item)<TAB>n1<TAB>n2...     the test pair, then its negatives (ncf test.negative)
 *   lists      user item item ...               by spaces; a user may have no item (ml1m train, test)
 *
 * The texts are hostile: every id is below FR_BENCHMARK_MAX_ID, every error names path and line.
 * Layer: daemon/base/. Thread: any; no shared state.
 */
#ifndef FR_LEARN_BENCHMARK_DATA_H
#define FR_LEARN_BENCHMARK_DATA_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/field.h"
#include "daemon/base/str.h"

#define FR_BENCHMARK_MAX_ID ((uint32_t)1 << 26)
#define FR_BENCHMARK_COLUMNS 64

/** Labelled rows. Owner: the caller's storage, zeroed; fr_benchmark_rows_done(). */
struct fr_benchmark_rows {
    char name[FR_BENCHMARK_COLUMNS][FR_FIELD_NAME]; /* of the columns after the label */
    uint32_t columns;
    uint32_t *id;   /* (n, columns) */
    uint8_t *label; /* (n) */
    size_t n, cap;
};

/** Lists of items by row: the items of row i are item[start[i]] .. item[start[i + 1]]. Pairs are rows of
 *  one item. Owner: the caller's storage, zeroed; fr_benchmark_lists_done(). */
struct fr_benchmark_lists {
    uint32_t *user; /* (n) */
    size_t *start;  /* (n + 1) */
    uint32_t *item; /* (start[n]) */
    size_t n, cap, item_cap;
};

/**
 * Read a whole text. `path` is what errors name; the outputs are zeroed storage and hold what was read up
 * to an error.
 * @errors FR_ESYNTAX a line does not fit the layout; FR_ERANGE an id is too large; FR_EINVAL no rows;
 *         FR_EDUPLICATE a column name twice; FR_ETOOLARGE too many columns; FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_benchmark_read_rows(struct fr_str text,
                                                 const char *path,
                                                 struct fr_benchmark_rows *out,
                                                 struct fr_fault *fault);
FR_MUST_CHECK enum fr_err fr_benchmark_read_pairs(struct fr_str text,
                                                  const char *path,
                                                  struct fr_benchmark_lists *out,
                                                  struct fr_fault *fault);
/** The test item stands last of its row, as fr_metric_rank_ncf() wants it. */
FR_MUST_CHECK enum fr_err fr_benchmark_read_negatives(struct fr_str text,
                                                      const char *path,
                                                      struct fr_benchmark_lists *out,
                                                      struct fr_fault *fault);
FR_MUST_CHECK enum fr_err fr_benchmark_read_lists(struct fr_str text,
                                                  const char *path,
                                                  struct fr_benchmark_lists *out,
                                                  struct fr_fault *fault);

void fr_benchmark_rows_done(struct fr_benchmark_rows *r);
void fr_benchmark_lists_done(struct fr_benchmark_lists *l);

#endif
