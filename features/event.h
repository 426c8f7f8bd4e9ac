/*
 * features/event.h - one event of the `events` topic, parsed.
 *
 * Why:   the stream codec makes it, state and rows read it; nothing below knows JSON or Kafka.
 * Layer: features; includes daemon/base/ only.
 */
#ifndef FR_FEATURES_EVENT_H
#define FR_FEATURES_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/hash.h"
#include "daemon/base/str.h"

#define FR_ID_MAX 128                /* bytes of an id; the codec refuses longer and empty ones */
#define FR_MAX_EVENT_TYPES 16        /* of one configuration */
#define FR_MAX_IMPRESSIONS 256       /* items of one `impressions` event */
#define FR_TS_MAX (INT64_C(1) << 53) /* largest time; the codec refuses later ones */
#define FR_KEY53_MASK ((UINT64_C(1) << 53) - 1)

/** One item of an `impressions` event. */
struct fr_impression {
    struct fr_str item_id;
    uint64_t item;    /* keyed hash of item_id */
    int32_t position; /* >= 0; -1 = not given */
};

/**
 * A parsed event. Optional strings that are absent have n == 0.
 * Owner: whoever parsed it; all strings are borrowed (message or arena) and live as long as the
 * batch.
 */
struct fr_event {
    struct fr_str event_id;   /* 1..FR_ID_MAX bytes */
    struct fr_str user_id;    /* 1..FR_ID_MAX bytes */
    struct fr_str item_id;    /* absent for `impressions` and for events without an item */
    struct fr_str session_id; /* optional */
    struct fr_str rec_id;     /* optional: the list that led to this event */
    struct fr_str device;     /* context.device, optional */
    uint64_t user;            /* keyed hashes, by fr_event_hash(); never 0 when the id is present */
    uint64_t item;
    uint64_t event_key; /* 53 bits of the keyed hash of event_id, for the dedup ring; never 0 */
    int32_t type;       /* index into the spec's event types */
    int64_t ts;         /* event time, ms since the epoch, 0..FR_TS_MAX */
    bool has_value;
    double value;     /* finite; 0 without has_value */
    int32_t position; /* >= 0; -1 = not given */
    const struct fr_impression *impressions;
    uint32_t n_impressions;
};

/** Keyed 64-bit identity of an id or a value; never 0. @thread any */
static inline uint64_t fr_id_hash(struct fr_hash_key k, struct fr_str s)
{
    uint64_t h = fr_siphash(k, s);
    return h == 0 ? 1 : h;
}

/** Fill user, item and event_key from the strings (the codec hashes the impressions itself).
 *  @thread any */
static inline void fr_event_hash(struct fr_event *ev, struct fr_hash_key k)
{
    uint64_t key = fr_siphash(k, ev->event_id) & FR_KEY53_MASK;
    ev->event_key = key == 0 ? 1 : key;
    ev->user = fr_id_hash(k, ev->user_id);
    ev->item = ev->item_id.n == 0 ? 0 : fr_id_hash(k, ev->item_id);
}

#endif
