/*
 * daemon/learn/stream_train.h - models from a replayed stream: tower, ranker, bundles.
 *
 *   examples ─► tower A on the first part ─► candidates of the rest by stage 4 ─► lists ─► ranker
 *           ├─► tower on everything
 *           └─► pairs of a user and an item ─► the ranker, if it is gmf, mlp or neumf
 *
 * The tower may be mf instead (`retrieval_kind`).
 *
 * Version of a bundle: the event time of the newest example, in milliseconds. So a later training on
 * the same stream has a higher one, and lineage says how fresh the model's knowledge is; two trainings
 * on the same stretch need --version to be told apart.
 *
 * The ranker sees the scores of a tower that was not trained on the ranker's labels; otherwise the
 * tower's score would look better than it is when serving.
 */
#ifndef FR_LEARN_STREAM_TRAIN_H
#define FR_LEARN_STREAM_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config.h"
#include "daemon/learn/stream_examples.h"
#include "models/train/train_ctr.h"
#include "models/train/train_two_tower.h"

#define FR_STREAM_TRAIN_MIN 20 /* examples */
#define FR_STREAM_TRAIN_EPOCHS 128 /* that a curve holds */

/** Start from fr_stream_train_config_default(). */
struct fr_stream_train_config {
    struct fr_stream_input in;
    const struct fr_config *cfg; /* candidate policy */
    const char *dir; /* bundles go to dir/<fr_model_kind_slug(kind)> */
    bool with_retrieval, with_ranker;
    enum fr_model_kind retrieval_kind; /* two_tower or mf; the ranker's candidates come from it */
    enum fr_model_kind ranker_kind;    /* one of models/ctr.h or models/ncf.h */
    uint64_t seed;
    int threads;
    enum fr_optimizer optimizer; /* of towers and ranker */
    double lr;                   /* of both; 0 = what suits optimiser and model */
    double decay;                /* adagrad: of its accumulators at a touch, 1 = none */
    /* of towers and ranker; below 0 = what suits the model */
    double l2;         /* of table rows that a step moves and of layers */
    double clip;       /* global norm of the layers' gradients, 0 = none */
    double id_dropout; /* share of ids that a step does not know; not of gmf, mlp, neumf */
    double dropout;    /* of the ranker's hidden layers */
    bool batch_norm;   /* of the same */
    int epochs;        /* of the tower */
    int mf_epochs;     /* at most: the number is chosen on the newest examples */
    int ranker_epochs; /* at most, early stop on held-out lists; 0 = 2 to 10, more for fewer lists; of pairs 10 to 40 */
    int batch;         /* examples of a tower step */
    /* Share of the examples that tower A is trained on; 0 = .8 (the closer it comes to the final tower,
     * the better the ranker fits that one), .3 where what was shown is known (clicks are few) */
    double tower_part;
    float value_weight; /* of a value head's loss; the head is asked for by in.value */
    double held_out;   /* share of the rest, the newest, that the ranker is measured on */
    int negatives;     /* of a ranker list; with impressions: whatever was shown */
    int pair_negatives; /* drawn for each pair, anew each epoch */
    uint32_t max_lists, max_held_out; /* spread evenly over their parts */
    const struct fr_two_tower_train_config *tower; /* nullable: the default; seed, threads, fields are ours */
    const struct fr_ctr_train_config *ranker; /* nullable: what suits the kind; seed, threads, fields are ours; optimizer, lr, decay are not */
    uint64_t version;    /* of the bundles; 0 = the time of the newest example, in ms */
    bool shuffle_labels; /* for tests: the ranker's positives are drawn at random */
    /* nullable: what is being done and how far; loss so far and, of a ranker, the AUC on held-out lists
     * after the last epoch: NaN where there is none */
    void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total, double loss, double auc);
    void *progress_ctx;
    /* nullable: go on from this file if it is there; kept up to date; the caller removes it. The bundles have the bits
     * of an unbroken training (saver.h, stream_saver.h) */
    const char *checkpoint;
    double checkpoint_s; /* within an epoch, every so many seconds */
    void (*note)(void *progress_ctx, const char *text); /* nullable: what a person should know, one line */
};

/** Epoch by epoch, of a bundle that was written; later epochs than fit are not kept. */
struct fr_stream_curve {
    int n, best; /* epochs; the one kept, from 1, 0 = the start or the last */
    double loss[FR_STREAM_TRAIN_EPOCHS];
    double valid[FR_STREAM_TRAIN_EPOCHS]; /* of the ranker: MRR + HR@20 on the lists that choose; of mf: NDCG@10 on the newest pairs */
    double lr[FR_STREAM_TRAIN_EPOCHS];    /* at its begin */
};

/** What was measured. hr20_* are over held-out triggers: the newest tenth of the ranker's part. Half of
 *  them choose the ranker's epoch, what is said of the ranker is over the other half. */
struct fr_stream_train_result {
    char first_refused[FR_STREAM_REFUSED]; /* as struct fr_stream_labels */
    uint64_t lines, refused, examples, lists, lists_held_out, eval_triggers, items;
    uint64_t pairs;              /* that gmf, mlp or neumf learnt from; lists are 0 then */
    uint64_t rows_held_out;      /* that auc and logloss are over */
    uint64_t impressions, shown; /* impressions events; of these, lists with a click */
    int ranker_epochs;           /* the one that was kept, from 1 */
    int mf_epochs;               /* chosen; 0: no mf */
    double examples_s, tower_a_s, lists_s, ranker_s, tower_s, total_s;
    double tower_loss, ranker_loss; /* of the last epoch */
    struct fr_stream_curve tower_curve, ranker_curve;
    double auc, logloss, mrr_tower, mrr_ranker; /* over held-out lists, places beyond 20 count 0 */
    double candidates, hr20_tower, hr20_ranker; /* 0 with impressions: those lists are too short */
    /* with a value head */
    uint64_t values, values_held_out; /* labels that have a value: of training lists; those measured on */
    /* target log: mean |r - log(1 + value)|; unit: mean BCE; of the head, and of the training labels' mean instead */
    double value_error, value_error_mean;
    /* share of the held-out labels' value that the order keeps, a place at k worth 1 / log2(1 + k), beyond 20 nothing
     * (NDCG@20 with values as gains): by the click head, and by p^a v^b with the configured powers (a = b = 1 if the
     * configuration leaves b at 0) */
    double value_ndcg_click, value_ndcg;
};

void fr_stream_train_config_default(struct fr_stream_train_config *c);

/**
 * Train and write the bundles.
 * @errors FR_EINVAL too few examples; those of the item file, the trainers and the bundle writer, of the checkpoint
 *         (FR_EMISMATCH: another run's)
 * @thread one at a time; starts `threads` workers in the trainers
 */
FR_MUST_CHECK enum fr_err fr_stream_train(const struct fr_stream_train_config *c,
                                          struct fr_stream_train_result *out,
                                          struct fr_fault *fault);

#endif
