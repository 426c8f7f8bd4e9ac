/*
 * features/request.h - one record of the `requests` topic (or an HTTP call), parsed.
 *
 * Layer: features; includes daemon/base/ only.
 */
#ifndef FR_FEATURES_REQUEST_H
#define FR_FEATURES_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/str.h"

#define FR_MAX_REQUEST_ITEMS 1000 /* candidates, and excluded items */

/** An item a request names. */
struct fr_request_item {
    struct fr_str item_id;
    uint64_t item; /* fr_id_hash() */
};

/** Owner: whoever parsed it; all strings are borrowed. */
struct fr_request {
    struct fr_str request_id; /* 1..FR_ID_MAX bytes */
    struct fr_str user_id;    /* 1..FR_ID_MAX bytes */
    uint64_t user;            /* fr_id_hash() */
    uint32_t n;               /* 0 = the configured default */
    bool rank_only; /* `candidates` was given (perhaps empty): rank these, retrieve nothing */
    const struct fr_request_item *candidates;
    uint32_t n_candidates;
    const struct fr_request_item *exclude;
    uint32_t n_exclude;
    int64_t ts;           /* ms; the record's timestamp when the message has none */
    struct fr_str device; /* context.device, optional */
};

#endif
