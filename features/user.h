/*
 * features/user.h - the state of one user and what an event does to it.
 *
 * A batch decodes each of its users once (user_codec.h), applies the events in offset order, cuts
 * rows at the triggers (row.h), and encodes once. The struct lives in the batch's arena; nothing
 * here calls malloc, reads a clock or knows Redis.
 *
 * Decay (Cormode et al. 2009, forward decay): an event at time t adds 2^((t - L)/hl); the value at
 * t' is c * 2^(-(t' - L)/hl). L is the largest multiple of hl not after the newest event, so moving
 * L forward by k half-lives multiplies by exactly 2^-k. Each half-life has its own L, common to all
 * event types of the user.
 *
 * Layer: features; includes daemon/base/ and features/ only.
 */
#ifndef FR_FEATURES_USER_H
#define FR_FEATURES_USER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/arena.h"
#include "daemon/base/err.h"
#include "features/event.h"
#include "features/seen.h"
#include "features/spec.h"

#define FR_NO_OFFSET INT64_C(-1)

/** One entry of the history, which is ordered newest first (equal times: later applied first). */
struct fr_history {
    struct fr_str id; /* borrowed from the record, or a copy in the arena */
    int64_t ts;
    int32_t type;
    uint64_t item; /* fr_id_hash(), 0 = not computed yet; use fr_user_history_hash() */
};

/** Owner: the arena it was made in. Thread: the lane that owns the partition. */
struct fr_user {
    int64_t first_ts; /* smallest event time; meaningless while n == 0 */
    int64_t last_ts;  /* largest event time */
    uint64_t n;       /* events applied */
    int64_t landmark[FR_HALF_LIVES];
    double c[FR_MAX_EVENT_TYPES][FR_HALF_LIVES]; /* forward-decayed weights */
    int64_t type_ts[FR_MAX_EVENT_TYPES];         /* newest event of the type, 0 = never */
    struct fr_history *h;                        /* spec.history_length entries reserved */
    uint32_t h_n;
    uint64_t dedup[FR_MAX_DEDUP]; /* newest last */
    uint32_t dedup_n;
    int64_t trig;    /* offset of the newest trigger, FR_NO_OFFSET = none */
    int64_t trig_ts; /* event time of the newest trigger (largest), 0 without one */
    int64_t applied; /* largest offset applied, FR_NO_OFFSET = none: guards against a second time */
    struct fr_seen seen;
    bool dirty; /* the record must be written */
};

enum fr_apply_result {
    FR_APPLIED,
    FR_APPLY_DUPLICATE, /* its event_id is in the dedup ring; only `applied` moved */
    FR_APPLY_BELOW      /* offset <= u->applied: nothing changed */
};

struct fr_applied {
    enum fr_apply_result result;
    bool late;       /* older than the user's newest event */
    bool expired;    /* the record was past its TTL and started empty */
    bool seen_added; /* the seen set grew */
};

/** An empty user. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_user_new(const struct fr_spec *spec, struct fr_arena *ar, struct fr_user **out_user);

/** Too far ahead? `now_ms` = the record's own timestamp, so that the answer is a function of the
 *  stream. @errors FR_EFUTURE */
FR_MUST_CHECK enum fr_err
fr_user_check_time(const struct fr_spec *spec, int64_t event_ts, int64_t now_ms);

/**
 * Apply one event. An `impressions` event counts once, whatever its list holds.
 * @param offset  of the record in its partition, >= 0.
 * @errors FR_ENOMEM (the user is unchanged), FR_EINVAL (type or ts out of range)
 */
FR_MUST_CHECK enum fr_err fr_user_apply(const struct fr_spec *spec,
                                        struct fr_user *u,
                                        struct fr_arena *ar,
                                        const struct fr_event *ev,
                                        int64_t offset,
                                        struct fr_applied *out);

/**
 * After FR_APPLIED: is this event a trigger? If so it is noted in the record. Depends on the stream
 * only: the type is in recommend.on, and min_interval_ms of event time has passed since the last
 * one.
 */
bool fr_user_trigger(const struct fr_spec *spec,
                     struct fr_user *u,
                     const struct fr_event *ev,
                     int64_t offset);

/** Is the record past its TTL as of now_ms (event time)? Then readers treat it as empty. */
bool fr_user_expired(const struct fr_spec *spec, const struct fr_user *u, int64_t now_ms);

/**
 * Forget a record past its TTL: the state becomes empty, offsets and trigger stay. fr_user_apply()
 * does it by itself and fr_row_cut() looks without it, so only a garbage collector needs this: a
 * reader that called it would let the time of a request change the stored state.
 */
bool fr_user_expire(const struct fr_spec *spec, struct fr_user *u, int64_t now_ms);

/** Decayed count over the types of a mask, as of t; t earlier than last_ts is taken as last_ts. */
double fr_user_count(
    const struct fr_spec *spec, const struct fr_user *u, uint32_t types, int half_life, int64_t t);

/** Newest event time over the types of a mask, 0 = never. */
int64_t fr_user_newest(const struct fr_spec *spec, const struct fr_user *u, uint32_t types);

/** Keyed hash of history entry i, computed once. */
uint64_t fr_user_history_hash(const struct fr_spec *spec, struct fr_user *u, uint32_t i);

#endif
