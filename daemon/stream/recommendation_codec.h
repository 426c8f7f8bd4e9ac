/*
 * daemon/stream/recommendation_codec.h - a recommendation with its lineage, to and from JSON.
 *
 * The value is what DESIGN 3 shows; `regenerated` and `fallback` stand in it only when true.
 */
#ifndef FR_STREAM_RECOMMENDATION_CODEC_H
#define FR_STREAM_RECOMMENDATION_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/err.h"
#include "daemon/stream/codec.h"

#define FR_RECOMMENDATION_SCHEMA "freshet.recommendation.v1"
#define FR_MAX_RECOMMENDED 500
#define FR_RECOMMENDATION_MAX_BYTES 1000000 /* 500 items of the longest ids are about 100 kB */
#define FR_REC_ID 17                        /* 16 hexadecimal digits and a NUL */

struct fr_recommended_item {
    struct fr_str item_id;
    float score;
    struct fr_str source; /* "ann", "popular", "history", "request" */
    double propensity;    /* 1 = deterministic slot */
};

/** Owner: whoever fills it; all strings are borrowed. Times in epoch milliseconds. */
struct fr_recommendation {
    char rec_id[FR_REC_ID];
    struct fr_str user_id;
    struct fr_str request_id; /* n == 0: null */
    const struct fr_recommended_item *items;
    uint32_t n_items;
    struct fr_str trigger_topic;
    int32_t trigger_partition;
    int64_t trigger_offset;
    struct fr_str trigger_event_id; /* n == 0: null */
    int64_t trigger_ts;
    struct fr_str retrieval, ranker; /* "name@version"; n == 0: null */
    struct fr_str arm;
    uint64_t index_generation, item_generation;
    int64_t ts_event, ts_received, ts_features, ts_embedded, ts_retrieved, ts_scored, ts_emitted;
    bool regenerated;
    bool fallback;
};

/** The same trigger always makes the same id. @thread any */
void fr_rec_id(
    const char *topic, int32_t partition, int64_t offset, int64_t record_ts, char out[FR_REC_ID]);

/** Append the JSON; the caller checks fr_buf_err(). @thread any */
void fr_recommendation_encode(const struct fr_recommendation *r, struct fr_buf *out);

/** Read one back (for the judge and tests). out->items and strings live in the arena or `value`.
 *  @errors as fr_event_decode() */
FR_MUST_CHECK enum fr_err fr_recommendation_decode(struct fr_arena *ar,
                                                   struct fr_str value,
                                                   struct fr_recommendation *out,
                                                   struct fr_codec_error *ce);

#endif
