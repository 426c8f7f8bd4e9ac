/*
 * daemon/learn/saver.h - a training survives its process: where it stands, in one file, and when that is written.
 *
 *   begin (settings, data compared; place read) -> trainers made -> enter a part (loaded, or written first)
 *     -> lap -> step* -> epoch -> lap -> ...                 written after each epoch, and in between when due
 *
 * The loops keep their counters in `at`, checkpoint or not, so that there is one of each. What is drawn at random is
 * not stored but drawn again: the order of an epoch follows from the generator. Without a path only the time is kept.
 * What settings, data and results are is the caller's (benchmark_saver.h, stream_saver.h): it names them in `head`.
 * Layer: daemon/base/, models/. Thread: the training's.
 */
#ifndef FR_LEARN_SAVER_H
#define FR_LEARN_SAVER_H

#include "daemon/base/clock.h"
#include "daemon/base/rng.h"
#include "models/train/checkpoint.h"

/** Where a training stands. */
struct fr_saver_place {
    int part;     /* which of the trainings of one run, from 0 */
    int epoch;    /* epochs of it that are done */
    uint64_t row; /* rows of the next one that are done */
    double sum;   /* of their losses */
    double lr, best;
    int bad;           /* epochs without a better one */
    struct fr_rng rng; /* the run's generator as the part or the epoch began: the loop says which */
};

/** Names state: all that is beside the place. */
typedef void (*fr_saver_walk_fn)(void *ctx, struct fr_checkpoint *ck);

/** Owner: the caller's storage, zeroed; fr_saver_done(). What stands before `at` is set before fr_saver_begin(). */
struct fr_saver {
    const char *path; /* nullable */
    double every_s;   /* within an epoch, every so many seconds */
    int parts;        /* the run has, at most */
    int epochs;       /* a part has, at most */
    fr_saver_walk_fn head; /* what must be the same, and the result so far */
    void *head_ctx;
    void (*note)(void *ctx, const char *text); /* nullable: what a person should know, one line */
    void *note_ctx;
    double *seconds; /* what time is added to */
    struct fr_saver_place at;
    struct fr_checkpoint *from; /* what is gone on from, until its part is entered; else NULL */
    struct fr_clock clock;
    int64_t lap_us, saved_us;
};

/** Chain a hash over what is trained on; begin with 0. */
uint64_t fr_saver_hash(uint64_t h, const void *p, size_t bytes);

/**
 * Read the file, if there is one: `at` and the result are as they were.
 * @errors FR_EMISMATCH of other settings or data (the fault names which); as fr_checkpoint_read()
 */
FR_MUST_CHECK enum fr_err fr_saver_begin(struct fr_saver *sv, struct fr_fault *fault);
/** True if the checkpoint lies in a later part: nothing is to be trained in this one. */
bool fr_saver_beyond(const struct fr_saver *sv, int part);
/** True if the checkpoint lies in this part: its trainers are to be new ones. */
bool fr_saver_within(const struct fr_saver *sv, int part);
/**
 * Begin a part that the checkpoint is not beyond: with `lr` and `rng`, and write, so that a place that cannot be
 * written to is found now; or load the rest of the file into the trainers, new ones.
 * @errors FR_EMISMATCH FR_ESCHEMA FR_ERANGE it does not fit; as writing
 */
FR_MUST_CHECK enum fr_err fr_saver_enter(struct fr_saver *sv,
                                         int part,
                                         double lr,
                                         const struct fr_rng *rng,
                                         fr_saver_walk_fn walk,
                                         void *ctx,
                                         struct fr_fault *fault);
/** An error about the file, with its name and what to do. */
FR_MUST_CHECK enum fr_err fr_saver_refuse(const struct fr_saver *sv, const struct fr_fault *why, struct fr_fault *fault);
/** The time that counts as training begins. */
void fr_saver_lap(struct fr_saver *sv);
/** The time since lap, or since the last call, was spent on training. */
void fr_saver_time(struct fr_saver *sv);
/** A step is done: take the time, and write when it is due. @param row, sum  of the epoch so far */
FR_MUST_CHECK enum fr_err
fr_saver_step(struct fr_saver *sv, uint64_t row, double sum, fr_saver_walk_fn walk, void *ctx, struct fr_fault *fault);
/** An epoch is done and judged: count it and write. */
FR_MUST_CHECK enum fr_err fr_saver_epoch(struct fr_saver *sv, fr_saver_walk_fn walk, void *ctx, struct fr_fault *fault);
void fr_saver_done(struct fr_saver *sv);

#endif
