/*
 * models/train/train.h - what the two trainers share: settings, items, status.
 *
 * A caller (the stream trainer, a benchmark, a test) hands over cells; the trainer grows its
 * vocabularies, takes gradient steps and writes a bundle:
 *
 *   new -> observe(batch)*  [counts ids, fits normalisers] -> step(batch)* -> finish(dir)
 *
 * Without observe(), the first step observes its own batch. Same settings, same calls, same
 * `threads` = same bits. Layer: daemon/base/ and models/.
 */
#ifndef FR_MODELS_TRAIN_TRAIN_H
#define FR_MODELS_TRAIN_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/field.h"
#include "models/train/step.h"

/** Start from fr_train_options_default(). */
struct fr_train_options {
    uint64_t seed;
    int threads;             /* >= 1 */
    enum fr_optimizer optimizer;
    float lr;                /* step size; ftrl's alpha */
    float lr_dense;          /* of the dense layers; 0 = lr */
    float beta1, beta2, eps; /* Adam: .9 .999 1e-8; eps is Adagrad's too */
    float decay;             /* Adagrad: its accumulators are multiplied by this first when a step moves
                              * their weights, (0, 1]; 1 = plain Adagrad, below 1 a stream's old part fades */
    float ftrl_beta, ftrl_l1, ftrl_l2; /* FTRL-proximal: 1 0 0 */
    float l2_embedding;      /* lambda of lambda/2 ||row||^2, on the rows a step moves */
    bool dense_rows;         /* a step moves all rows of all tables, not only those it touches */
    float l2_dense;
    float id_dropout;  /* probability that an ID slot becomes the unknown row in a step, [0, 1) */
    float clip_norm;   /* global norm of the dense gradients; 0 = off */
    bool clip_all;     /* clip_norm is of all gradients, tables and L2 included */
    bool xavier;       /* dense layers begin N(0, 2 / (in + out)); else by He */
    float init_std;    /* of new embedding rows */
    uint32_t admit;    /* an id gets a row when seen this often */
    uint32_t max_rows; /* hard cap of each vocabulary, unknown row included */
    bool frozen_vocab; /* steps admit no new ids */
};

void fr_train_options_default(struct fr_train_options *o);

/** Items as cells: row i at cells + i * n_cells[ITEM]. May differ from step to step. */
struct fr_train_items {
    const struct fr_cell *cells;
    uint32_t n;
};

#endif
