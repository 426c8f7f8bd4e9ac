/*
 * daemon/stream/event_codec.h - the value of an `events` record to struct fr_event.
 *
 *   {"event_id","type","user_id","item_id","ts"?,"value"?,"session_id"?,"context":{"device"?}?,
 *    "rec_id"?,"position"?}
 *   {"event_id","type":"impressions","user_id","items":[{"item_id","position"?}...],...}
 */
#ifndef FR_STREAM_EVENT_CODEC_H
#define FR_STREAM_EVENT_CODEC_H

#include "daemon/stream/codec.h"
#include "features/event.h"
#include "features/spec.h"

/**
 * @param key          the record's key: must equal user_id.
 * @param record_ts_ms used when the event has no ts; more than spec->max_future_ms ahead of it is
 *                     FR_EFUTURE, so the answer is a function of the stream.
 * @param out          strings point into `value` or the arena.
 * @errors FR_ESYNTAX FR_EUTF8 FR_EDEPTH FR_EDUPLICATE FR_ESCHEMA FR_ERANGE FR_ETOOLARGE FR_EFUTURE
 *         FR_ENOMEM; `ce` says where
 * @thread any
 */
FR_MUST_CHECK enum fr_err fr_event_decode(const struct fr_spec *spec,
                                          struct fr_arena *ar,
                                          struct fr_str key,
                                          struct fr_str value,
                                          int64_t record_ts_ms,
                                          struct fr_event *out,
                                          struct fr_codec_error *ce);

#endif
