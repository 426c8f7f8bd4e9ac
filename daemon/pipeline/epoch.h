/*
 * daemon/pipeline/epoch.h - what serving reads and others replace: models, catalogue, index.
 *
 * The user tower, the item vectors and the index built from them belong together, and the catalogue
 * says what exists: a reader pins all of it at once for a sub-batch and unpins before it waits for
 * anything.
 *
 *   items topic ─► fr_epochs_put() ─► idle catalogue, swap, other catalogue ─► index (exact buffer)
 *   SIGHUP      ─► fr_epochs_set_models() ─► new vectors, new index aside ─► swap all of it
 *   ticks       ─► fr_epochs_set_generation()
 *
 * Published by left-right (base/leftright.h): two catalogues, the same writes to both in the same
 * order. Readers never wait. Writers are serialised by a mutex.
 */
#ifndef FR_PIPELINE_EPOCH_H
#define FR_PIPELINE_EPOCH_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/leftright.h"
#include "features/item_table.h"
#include "features/spec.h"
#include "models/model.h"

struct fr_epochs;
struct fr_index;
struct fr_live_index;

struct fr_epochs_config {
    int m, ef_construction, ef_search;
    bool flat;        /* exact index, for deterministic replays and training */
    unsigned flags;   /* FR_SCORE_DETERMINISTIC */
};

/** What a pin shows. Valid until fr_epochs_unpin(). */
struct fr_epoch {
    const struct fr_model *retrieval; /* nullable */
    const struct fr_model *ranker;    /* nullable */
    const struct fr_item_table *table;
    struct fr_live_index *index; /* nullable: no retrieval model */
    uint64_t index_generation;   /* models swapped so far */
    struct fr_leftright_pin pin;
};

/** @param spec borrowed for its life. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_epochs_new(const struct fr_spec *spec,
                                        const struct fr_epochs_config *cfg,
                                        struct fr_epochs **out_ep);
/** NULL is a no-op. @thread the owner, no readers left */
void fr_epochs_free(struct fr_epochs *ep);

/** @thread any reader; wait-free */
void fr_epochs_pin(struct fr_epochs *ep, struct fr_epoch *out);
void fr_epochs_unpin(struct fr_epochs *ep, const struct fr_epoch *view);

/**
 * Apply item records (upserts and deletions), in order: visible to readers when it returns.
 * @errors FR_ENOMEM FR_EFULL: what came before is applied
 * @thread any; one at a time by an inner lock
 */
FR_MUST_CHECK enum fr_err
fr_epochs_put(struct fr_epochs *ep, const struct fr_item_record *recs, int n);

/** Publish a generation of item statistics; takes one reference of its own. @thread any */
FR_MUST_CHECK enum fr_err fr_epochs_set_generation(struct fr_epochs *ep, struct fr_item_generation *g);

/**
 * Replace both models and the index together. All vectors are computed before anything is swapped.
 * @param take_retrieval, take_ranker  owned from FR_OK on (then NULL); either may hold NULL.
 * @errors FR_EINVAL (wrong job) FR_ENONFINITE FR_ENOMEM: the old ones go on serving
 * @thread any
 */
FR_MUST_CHECK enum fr_err fr_epochs_set_models(struct fr_epochs *ep,
                                               struct fr_model **take_retrieval,
                                               struct fr_model **take_ranker,
                                               struct fr_fault *fault);

/** Move buffered vectors into the graph, rebuild when too many are dead. True if more is to do.
 *  @thread the refresher */
bool fr_epochs_maintain(struct fr_epochs *ep, int budget);

/** Live items in the catalogue, entries in the index, vectors waiting for the graph. @thread any */
void fr_epochs_sizes(struct fr_epochs *ep, uint64_t *items, uint64_t *indexed, uint64_t *pending);

#endif
