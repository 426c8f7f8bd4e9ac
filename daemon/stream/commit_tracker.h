/*
 * daemon/stream/commit_tracker.h - C of one partition: the first offset whose outputs are not safe.
 *
 *   offsets taken:   10   11   13   14          (12 does not exist: compaction, transactions)
 *   open outputs:     0    2    0    1
 *   position C = 11        acks may come in any order; when 11 is done, C jumps to 14
 *
 * A ring of the offsets from the first open one on: memory is bounded by its capacity, and a full
 * ring is back-pressure.
 * Layer: daemon/stream. Thread: the owning lane.
 */
#ifndef FR_STREAM_COMMIT_TRACKER_H
#define FR_STREAM_COMMIT_TRACKER_H

#include <stdint.h>

#include "daemon/base/err.h"

struct fr_commit_slot {
    int64_t offset;
    uint32_t
        open; /* outputs without acknowledgement, plus one while the offset is being worked on */
};

/** Owner: the caller's storage, after fr_commit_tracker_init(). */
struct fr_commit_tracker {
    struct fr_commit_slot *slots;
    uint32_t cap;  /* a power of two */
    uint32_t head; /* index of the oldest */
    uint32_t n;
    int64_t next; /* last taken + 1; the position when nothing is open */
};

/**
 * @param capacity  most offsets between C and the newest taken; rounded up to a power of two.
 * @param start     the position before anything is taken.
 * @errors FR_EINVAL (capacity 0 or over 2^24) FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err
fr_commit_tracker_init(struct fr_commit_tracker *t, uint32_t capacity, int64_t start);
void fr_commit_tracker_done(struct fr_commit_tracker *t);

/** Forget everything, start again at `start` (after a seek or a take). */
void fr_commit_tracker_reset(struct fr_commit_tracker *t, int64_t start);

/** The offset is being worked on: open once. Offsets rise strictly.
 *  @errors FR_EFULL (nothing changed), FR_EINVAL offset below the last taken + 1 */
FR_MUST_CHECK enum fr_err fr_commit_tracker_take(struct fr_commit_tracker *t, int64_t offset);

/** One output more hangs on an offset that is open. @errors FR_ENOTFOUND it is not open */
FR_MUST_CHECK enum fr_err fr_commit_tracker_hold(struct fr_commit_tracker *t, int64_t offset);

/** One less: an acknowledgement, or the end of the work on it. @errors FR_ENOTFOUND it is not open
 */
FR_MUST_CHECK enum fr_err fr_commit_tracker_release(struct fr_commit_tracker *t, int64_t offset);

/** C: the first offset not done; never decreases but by reset. */
int64_t fr_commit_tracker_position(const struct fr_commit_tracker *t);

/** Offsets between C and the newest taken that are in the ring. */
static inline uint32_t fr_commit_tracker_pending(const struct fr_commit_tracker *t)
{
    return t->n;
}

#endif
