/*
 * daemon/stream/request_codec.h - the value of a `requests` record to struct fr_request.
 *
 *   {"request_id","user_id","n"?,"candidates"?:[ids],"exclude"?:[ids],"ts"?,"context":{"device"?}?}
 */
#ifndef FR_STREAM_REQUEST_CODEC_H
#define FR_STREAM_REQUEST_CODEC_H

#include "daemon/stream/codec.h"
#include "features/request.h"
#include "features/spec.h"

/** Longest list a request may ask for. */
#define FR_REQUEST_MAX_N 500

/** As fr_event_decode(). A present `candidates`, even empty, means rank only. */
FR_MUST_CHECK enum fr_err fr_request_decode(const struct fr_spec *spec,
                                            struct fr_arena *ar,
                                            struct fr_str key,
                                            struct fr_str value,
                                            int64_t record_ts_ms,
                                            struct fr_request *out,
                                            struct fr_codec_error *ce);

#endif
