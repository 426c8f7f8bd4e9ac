/*
 * daemon/stream/item_codec.h - a record of the `items` topic to struct fr_item_record.
 *
 *   {"item_id","title"?,"categories"?:[...],"brand"?,"price"?,"tags"?:[...],"created_ts"?,
 *    "available"?,"vector"?:[...]}; a null value deletes the item named by the key
 */
#ifndef FR_STREAM_ITEM_CODEC_H
#define FR_STREAM_ITEM_CODEC_H

#include "daemon/stream/codec.h"
#include "features/item_record.h"
#include "features/spec.h"

/** As fr_event_decode(); the key must equal item_id. Categories and tags past their limits are left
 *  out. */
FR_MUST_CHECK enum fr_err fr_item_decode(const struct fr_spec *spec,
                                         struct fr_arena *ar,
                                         struct fr_str key,
                                         struct fr_str value,
                                         struct fr_item_record *out,
                                         struct fr_codec_error *ce);

#endif
