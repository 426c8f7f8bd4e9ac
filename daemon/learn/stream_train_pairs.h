/*
 * daemon/learn/stream_train_pairs.h - the examples as pairs of a user and an item, for the models that
 * know nothing else: gmf, mlp, neumf (rankers), mf (retrieval).
 *
 *   examples ─► pairs ─► every epoch: each with K items drawn anew that the user does not have ─► rows
 *
 * Who is not among the pairs is unknown to the model. Negatives are drawn evenly from the items there
 * were, also where impressions say what was shown: the draw decides what a score means, and a shown
 * list is a choice of whoever showed it.
 */
#ifndef FR_LEARN_STREAM_TRAIN_PAIRS_H
#define FR_LEARN_STREAM_TRAIN_PAIRS_H

#include "daemon/base/map.h"
#include "daemon/learn/benchmark_loo.h"
#include "daemon/learn/stream_train_priv.h"

/** Owner: the caller's storage, zeroed; fr_learner_pairs_done(). */
struct fr_learner_pairs {
    const char *user_field, *item_field; /* the declared user_id() and item_id(); the spec's */
    struct fr_benchmark_pairs fit;       /* positions of both; a pair stands as often as it came */
    struct fr_cell *user, *item;         /* rows of the positions */
    struct fr_map user_at;               /* id to position */
    uint32_t *item_at;                   /* (items of the catalogue) index to position, or UINT32_MAX */
};

/**
 * Pairs of the first `end` examples, items that are among the first n_items of the catalogue.
 * @errors FR_EINVAL the declaration has no user_id() or item_id(), or there is no pair; FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err
fr_learner_pairs_new(struct fr_learner *l, size_t end, uint32_t n_items, struct fr_learner_pairs *p);
void fr_learner_pairs_done(struct fr_learner_pairs *p);
/** Position of the user of an example, UINT32_MAX: unknown. @param cells (n_cells[USER]) scratch, gets the row */
uint32_t fr_learner_pairs_user(const struct fr_learner *l,
                               const struct fr_learner_pairs *p,
                               size_t example,
                               struct fr_cell *cells);

#endif
