/*
 * daemon/learn/stream_saver.h - what the checkpoint (saver.h) of a training on a stream has beside the place.
 *
 *   compared   settings, what the configuration says of features and candidates, the stream, the examples cut from it
 *   kept       the generator as the part began, results of the parts that are done
 *
 *   CHOOSE (mf: how many epochs) -> TOWER_A -> lists -> RANKER -> bundle -> TOWER -> bundle
 *
 * Lists are not stored but made again: they follow from stream, tower A and generator, and a hash of them is compared.
 * So while the ranker learns the file has tower A too. A bundle that was written is not made again but must be there.
 * Layer: daemon/learn/. Thread: the training's.
 */
#ifndef FR_LEARN_STREAM_SAVER_H
#define FR_LEARN_STREAM_SAVER_H

#include "daemon/learn/saver.h"

enum fr_stream_part { FR_STREAM_CHOOSE, FR_STREAM_TOWER_A, FR_STREAM_RANKER, FR_STREAM_TOWER, FR_STREAM_PARTS };

struct fr_learner;
struct fr_stream_labels;

/** Member of struct fr_learner. */
struct fr_stream_saver {
    struct fr_saver s;
    struct fr_rng began;    /* the generator as the part began */
    int64_t steps;          /* of the tower's epoch so far */
    uint64_t ranker_bundle; /* hash of its files, once written */
    uint64_t events, items, examples; /* hashes of what is compared */
    uint64_t n_events, lists;
    double carried; /* seconds of runs before this one */
};

/** fr_saver_begin() when examples are cut and nothing is trained. @errors as that */
FR_MUST_CHECK enum fr_err fr_stream_saver_begin(struct fr_learner *l, const struct fr_stream_labels *labels);
/** A part begins: the generator is as it was then, if the checkpoint lies in it. */
void fr_stream_saver_part(struct fr_learner *l, enum fr_stream_part part);
/** Time counts for `seconds` from now on. */
void fr_stream_saver_clock(struct fr_learner *l, double *seconds);
/** The lists are made. */
void fr_stream_saver_lists(struct fr_learner *l);
/** In the ranker's walk: they must be those of then. */
void fr_stream_saver_same_lists(const struct fr_learner *l, struct fr_checkpoint *ck);
/** The ranker's bundle is written: what it is. @errors as reading it */
FR_MUST_CHECK enum fr_err fr_stream_saver_bundle(struct fr_learner *l);
/** Beyond the ranker: its bundle must be there as it was written. @errors FR_ENOTFOUND FR_EMISMATCH */
FR_MUST_CHECK enum fr_err fr_stream_saver_bundle_check(const struct fr_learner *l);

#endif
