/*
 * daemon/learn/stream_train_priv.h - what the parts of the stream trainer share.
 *
 *   stream_train.c         the order of things; examples of the whole stream
 *   stream_train_tower.c   the retrieval models: towers
 *   stream_train_mf.c      or matrix factorisation
 *   stream_train_lists.c   the ranker's lists, by the code that serves (stream_compare.c makes some too)
 *   stream_train_ranker.c  a ranker on those lists, and how any ranker is measured
 *   stream_train_ncf.c     a ranker on pairs of a user and an item (stream_train_pairs.c)
 *   stream_saver.c         a training that was stopped goes on
 */
#ifndef FR_LEARN_STREAM_TRAIN_PRIV_H
#define FR_LEARN_STREAM_TRAIN_PRIV_H

#include "daemon/base/clock.h"
#include "daemon/base/rng.h"
#include "daemon/learn/cell_rows.h"
#include "daemon/learn/stream_saver.h"
#include "daemon/learn/stream_train.h"
#include "models/train/train_two_tower.h"

#define FR_LEARNER_TOP 20 /* HR@20 */
#define FR_LEARNER_MIN_SHOWN 100 /* fewer lists with clicks: as if nothing were known of what was shown */

struct fr_metrics;

/** A list of the ranker: its candidates are rows first..first+n of l_item and l_cross. */
struct fr_learner_list {
    size_t first;
    uint32_t n, label;
    uint32_t tower_place; /* held out: of the label in the tower's order, from 1 */
    float value;          /* what the label was worth; NaN = not known */
    uint64_t user;        /* keyed hash */
};

/** Owner: fr_stream_train(). Thread: its own; trainers start workers of theirs. */
struct fr_learner {
    const struct fr_stream_train_config *c;
    struct fr_stream_train_result *out;
    struct fr_fault *fault;
    const struct fr_spec *spec;
    struct fr_clock clock;
    struct fr_rng rng;
    const uint32_t *nc; /* cells of each entity */
    /* examples, in stream order */
    struct fr_cell_rows user, context;
    uint64_t *label; /* hash, then index in item_cells */
    size_t label_cap;
    struct fr_cell *item_cells; /* the catalogue at the end of the stream */
    uint32_t n_items;
    uint32_t n_items_a; /* of these, what existed when tower A's examples ended */
    int64_t newest_ts;
    /* lists */
    size_t from; /* examples before are tower A's, lists come from those after */
    struct fr_model *tower_a; /* or whatever retrieves; the lists take it */
    struct fr_model *kept_a;  /* the same for the checkpoint, if there is one */
    int mf_epochs;            /* the best so far; chosen if */
    bool mf_chosen;
    float inv_tau; /* of tower A: its logit = score * inv_tau */
    size_t seen, held; /* triggers met; how many of them are held out, at the end */
    bool held_began;
    int64_t known_ts; /* of the newest trigger before `from` */
    size_t n_shown, seen_shown; /* lists that were shown and clicked in, 0 = sample negatives */
    struct fr_cell_rows l_user, l_context, l_item, l_cross;
    struct fr_learner_list *list; /* training lists, then held-out ones */
    size_t n_lists, n_train, cap_lists;
    size_t eval_hits, eval_found;
    struct fr_metrics *mx;
    struct fr_stream_saver sv;
};

/** Say what is being done and how far; nothing without a progress callback. */
void fr_learner_tell(const struct fr_learner *l, const char *what, uint64_t done, uint64_t total);
/** The same with the loss so far and the last AUC; NaN: none. */
void fr_learner_tell_loss(
    const struct fr_learner *l, const char *what, uint64_t done, uint64_t total, double loss, double auc);
/** Append an epoch. */
void fr_learner_curve(struct fr_stream_curve *c, double loss, double valid, double lr);

/** What the run asks for over a trainer's options, whose lr is Adam's. */
void fr_learner_options(const struct fr_learner *l, struct fr_train_options *o);

/** An empty epoch with an exact index. */
FR_MUST_CHECK enum fr_err fr_learner_epochs(const struct fr_learner *l, struct fr_epochs **out);
/** Version of the bundles. */
uint64_t fr_learner_version(const struct fr_learner *l);

/** What a retrieval model is trained on: the first `end` examples with the first `n_items` of the catalogue. */
struct fr_learner_stretch {
    enum fr_stream_part part;
    const char *what; /* for the progress */
    size_t end;
    uint32_t n_items;
};
struct fr_learner_stretch fr_learner_stretch(const struct fr_learner *l, enum fr_stream_part part);

/** Train the retrieval model of a part, TOWER_A (kept_a is made too) or TOWER. */
FR_MUST_CHECK enum fr_err
fr_learner_retrieval(struct fr_learner *l, enum fr_stream_part part, struct fr_model **out_m);
/** tower_a and kept_a as the checkpoint has them: it lies in the ranker's part. */
FR_MUST_CHECK enum fr_err fr_learner_retrieval_left(struct fr_learner *l);
/** kept_a into a checkpoint of the ranker's part. */
void fr_learner_retrieval_save(struct fr_learner *l, struct fr_checkpoint *ck);
/** The same three when it is mf. */
FR_MUST_CHECK enum fr_err fr_learner_mf(struct fr_learner *l, enum fr_stream_part part, struct fr_model **out_m);
FR_MUST_CHECK enum fr_err fr_learner_mf_left(struct fr_learner *l);
void fr_learner_mf_save(struct fr_learner *l, struct fr_checkpoint *ck);
FR_MUST_CHECK enum fr_err fr_learner_save_retrieval(struct fr_learner *l, const struct fr_model *m);

/** Replay once more and keep lists of the triggers after `from`; the last `held` of all examples are held out. */
FR_MUST_CHECK enum fr_err fr_learner_lists(struct fr_learner *l, const struct fr_stream_labels *labels);
/** The lists' memory, and what retrieved. */
void fr_learner_lists_done(struct fr_learner *l);
/** The user and context of list i with n rows of candidates from its own on, over the last list back to the first row; as
 *  many as the list has are its own. In the arena. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_learner_case(const struct fr_learner *l, size_t i, uint32_t n, struct fr_arena *ar, struct fr_model_case *out);

#define FR_LEARNER_PATH 4096

/** Where the bundle of a kind goes: DIR/<its slug>. @errors FR_ETOOLARGE */
FR_MUST_CHECK enum fr_err fr_learner_place(const struct fr_stream_train_config *c,
                                           enum fr_model_kind kind,
                                           char path[FR_LEARNER_PATH],
                                           struct fr_fault *fault);

/** What the ranker is. */
enum fr_model_kind fr_learner_ranker_kind(const struct fr_learner *l);
/** Train on the lists, measure on the held-out ones, write the bundle. */
FR_MUST_CHECK enum fr_err fr_learner_ranker(struct fr_learner *l);

/** gmf, mlp, neumf: learn from pairs, need no lists but those held out. */
struct fr_learner_ncf;
bool fr_learner_ncf_is(enum fr_model_kind kind);
/** After the lists. @errors those of fr_learner_pairs_new() and the trainer */
FR_MUST_CHECK enum fr_err fr_learner_ncf_new(struct fr_learner *l, enum fr_model_kind kind, struct fr_learner_ncf **out);
void fr_learner_ncf_free(struct fr_learner_ncf *n);
/** Once through the pairs with negatives drawn anew, from where the checkpoint was. @param epochs, auc  for the progress;
 *  auc NaN: none yet @param walk, ctx  state to be saved on the way */
FR_MUST_CHECK enum fr_err
fr_learner_ncf_epoch(struct fr_learner_ncf *n, int epochs, double auc, fr_saver_walk_fn walk, void *ctx);
/** Its trainer and the best model. */
void fr_learner_ncf_checkpoint(struct fr_learner_ncf *n, struct fr_model **best, struct fr_checkpoint *ck);
/** Its step size, the same in every epoch. */
float fr_learner_ncf_lr(const struct fr_learner_ncf *n);
/** Has the last epoch's loss fallen below that of a constant? gmf's small vectors take some epochs to differ. */
bool fr_learner_ncf_began(const struct fr_learner_ncf *n);
FR_MUST_CHECK enum fr_err fr_learner_ncf_model(const struct fr_learner_ncf *n, struct fr_model **out);

#endif
