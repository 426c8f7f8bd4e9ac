/*
 * models/train/params.h - trained parameters, their gradients, and the steps (dense, and lazy for rows).
 *
 * Dense parameters (layers) are updated every step. Tables are sparse: a step has gradients for the
 * rows it touched only, in a compact buffer, and only those rows (and their state) move: with Adam,
 * "lazy Adam".
 *
 *   table w, m, v (rows, dim)      gradient of a step: index[row] -> k, rows[k], g (k, dim)
 *
 * With fr_train_options.dense_rows every row of every table moves in every step, as an optimiser
 * over a plain PyTorch nn.Embedding does. The optimiser is one of models/train/step.h; its state is
 * at most two arrays beside the weights, of the weights' shape: m and v, NULL where it has none (sgd
 * neither, adagrad only v). Adam's t counts steps, not touches (as PyTorch's SparseAdam).
 *
 * Each worker thread has its own fr_grads; they are added in worker order, so a result depends on
 * the number of threads but not on their timing. Layer: models/ and daemon/base/.
 */
#ifndef FR_MODELS_TRAIN_PARAMS_H
#define FR_MODELS_TRAIN_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/rng.h"
#include "models/tensor.h"
#include "models/train/step.h"
#include "models/train/train.h"

#define FR_PARAMS_MAX_DENSE 128
#define FR_PARAMS_MAX_TABLES (2 * FR_MAX_FIELDS)
#define FR_PARAMS_MAX_BUFFERS 32
#define FR_PARAMS_MAX_TENSORS (FR_PARAMS_MAX_DENSE + FR_PARAMS_MAX_TABLES + FR_PARAMS_MAX_BUFFERS)

/** One dense parameter: (rows, cols), or a vector when cols is 0. */
struct fr_dense {
    char name[FR_TENSOR_NAME];
    int rows, cols;
    size_t n;
    size_t at; /* offset in the dense gradient */
    float *w, *m, *v; /* m, v: NULL where the optimiser has none */
};

/** One table, growable. */
struct fr_table {
    char name[FR_TENSOR_NAME];
    int dim;
    uint32_t rows, cap;
    float *w, *m, *v; /* (cap, dim) by fr_pages_resize(); m, v: as of a dense parameter */
};

/** All parameters of a model. Owner: the trainer. Thread: one; workers read `w` during a step. */
struct fr_params {
    enum fr_optimizer optimizer; /* set before the first parameter is added */
    struct fr_dense dense[FR_PARAMS_MAX_DENSE];
    int n_dense;
    size_t dense_total; /* floats of all dense parameters */
    struct fr_table table[FR_PARAMS_MAX_TABLES];
    int n_tables;
    struct fr_dense buffer[FR_PARAMS_MAX_BUFFERS]; /* w only: kept and written, never trained */
    int n_buffers;
    uint64_t t; /* steps taken */
};

/** Up to so many rows a gradient's index is an array by row; above, a hash of the touched rows, so that it costs
 *  what a step touches and not what the table holds, times the workers. */
#define FR_GRADS_DIRECT_ROWS (1u << 18)

/** Sparse gradient of one table. */
struct fr_row_grads {
    uint32_t *index; /* (cap_index) 1 + position in rows, 0 = untouched or free */
    uint32_t cap_index;
    bool hashed; /* cap_index is a power of two, twice `cap` or more */
    uint32_t *rows;
    float *g; /* (cap, dim) */
    uint32_t n, cap;
};

/** Where the index says a row's position is, or where it belongs. `hashed` or row < cap_index. */
static inline uint32_t *fr_row_grads_slot(const struct fr_row_grads *r, uint32_t row)
{
    if (!r->hashed)
        return &r->index[row];
    uint32_t mask = r->cap_index - 1, i = row * 2654435761u; /* Fibonacci; the high bits are the good ones */
    for (i = (i ^ i >> 15) & mask; r->index[i] != 0 && r->rows[r->index[i] - 1] != row;)
        i = (i + 1) & mask;
    return &r->index[i];
}

/** 1 + position of a row, 0 if it is untouched; any row. */
static inline uint32_t fr_row_grads_at(const struct fr_row_grads *r, uint32_t row)
{
    return r->cap_index > 0 && (r->hashed || row < r->cap_index) ? *fr_row_grads_slot(r, row) : 0;
}

/** Gradients of one step (or one worker's part). Owner: the trainer. Thread: its worker. */
struct fr_grads {
    float *dense; /* (dense_total) */
    struct fr_row_grads table[FR_PARAMS_MAX_TABLES];
};

/** Add a dense parameter, zeroed. @return its index in out_i. @errors FR_EFULL FR_EINVAL FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err
fr_params_add_dense(struct fr_params *p, const char *name, int rows, int cols, int *out_i);
/** Add a buffer of n elements, all `value`. @errors as fr_params_add_dense() */
FR_MUST_CHECK enum fr_err
fr_params_add_buffer(struct fr_params *p, const char *name, int n, float value, int *out_i);
/** Add an empty table. */
FR_MUST_CHECK enum fr_err
fr_params_add_table(struct fr_params *p, const char *name, int dim, int *out_i);
/** Grow a table to `rows`, exactly if they come at once, with room to spare for more if by and by; new rows are N(0, std) (zeros when std is 0). @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_params_grow(struct fr_params *p, int table, uint32_t rows, float std, struct fr_rng *rng);
/** N(0, std) into a dense parameter. */
void fr_params_init_normal(struct fr_params *p, int dense, float std, struct fr_rng *rng);
void fr_params_done(struct fr_params *p);

/** N(0, std) with std = sqrt(2 / (rows + cols)) (Glorot & Bengio 2010). */
void fr_params_init_xavier(struct fr_params *p, int dense, struct fr_rng *rng);
/** Dense parameters, tables and buffers, in this order, as borrowed tensors; `out` has room for
 *  FR_PARAMS_MAX_TENSORS. @return the number */
int fr_params_tensors(const struct fr_params *p, struct fr_tensor *out);

/** Prepare for a step: zero the dense gradient, forget the rows, follow the tables' growth.
 *  @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_grads_begin(struct fr_grads *g, const struct fr_params *p);
/** Room for `n` more touched rows of a table, before workers start. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_grads_reserve(struct fr_grads *g, const struct fr_params *p, int table, size_t n);
/** Gradient row of a table row, zeroed at first touch. Reserved before. */
float *fr_grads_row(struct fr_grads *g, const struct fr_params *p, int table, int32_t row);
/** Gradient row if touched, else NULL. */
const float *
fr_grads_find(const struct fr_grads *g, const struct fr_params *p, int table, int32_t row);
/** Dense gradient of a parameter. */
static inline float *fr_grads_dense(struct fr_grads *g, const struct fr_params *p, int dense)
{
    return g->dense + p->dense[dense].at;
}
/** into += from. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_grads_add(struct fr_grads *into, const struct fr_grads *from, const struct fr_params *p);
/** True if every gradient is finite. */
bool fr_grads_finite(const struct fr_grads *g, const struct fr_params *p);
void fr_grads_done(struct fr_grads *g);

/**
 * Add the gradients of all `parts` workers, in worker order: the `part`-th slice of the dense ones
 * into g[0], and rows with row % parts == part into the lowest worker's that has the row. Parts may
 * run at the same time. @return true if all sums are finite
 */
bool fr_grads_merge_part(struct fr_grads *const *g, int parts, int part, const struct fr_params *p);

/** Constants of a step for dense parameters and for rows. */
struct fr_step_pair {
    struct fr_step dense, rows;
    bool all_rows; /* every row of a table, touched or not */
};
/** Count the step, clip the merged gradient: the dense part in g[0], with o->clip_all the rows and
 * the L2 terms too. */
void fr_params_step_begin(struct fr_params *p,
                          struct fr_grads *const *g,
                          int parts,
                          const struct fr_train_options *o,
                          struct fr_step_pair *out);
/** A step on what fr_grads_merge_part() left for `part`. Parts may run at the same time. */
void fr_params_step_part(struct fr_params *p,
                         struct fr_grads *const *g,
                         int parts,
                         int part,
                         const struct fr_step_pair *a);

/** One step over dense parameters and touched rows, with L2 and clipping as `o` says. */
void fr_params_step(struct fr_params *p, struct fr_grads *g, const struct fr_train_options *o);

#endif
