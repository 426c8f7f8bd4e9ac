/*
 * features/item_codec.h - the stored row of one item's counters.
 *
 * MessagePack map; types and meaning as in user_codec.h:
 *   {"v":1, "f":first event ts, "l":newest event ts, "ty":[names], "hl":[hl0,hl1], "L":[L0,L1],
 *    "c":[T*2 weights, type-major]}            types without events are left out of "ty",
 *                                             and those whose weights have all decayed to 0
 *
 * Every applied event (no duplicate, no dead letter) counts for its item, each entry of an
 * `impressions` list for its own; rows never expire. Weights and landmarks as in user_codec.h.
 *
 * Layer: features; used by item_stats.c.
 */
#ifndef FR_FEATURES_ITEM_CODEC_H
#define FR_FEATURES_ITEM_CODEC_H

#include "daemon/base/buf.h"
#include "daemon/base/err.h"
#include "daemon/base/str.h"
#include "features/item_stats.h"
#include "features/spec.h"

#define FR_ITEM_ROW_VERSION 1

/** Append the record. @param c (n_types, FR_HALF_LIVES) */
void fr_item_row_encode(const struct fr_spec *spec,
                        const struct fr_item_row *row,
                        const double *c,
                        struct fr_buf *out);

/**
 * Decode hostile bytes. row->item is left 0.
 * @param out_c  (n_types, FR_HALF_LIVES)
 * @errors FR_ECORRUPT FR_EVERSION; outputs undefined then
 */
FR_MUST_CHECK enum fr_err fr_item_row_decode(const struct fr_spec *spec,
                                             struct fr_str record,
                                             struct fr_item_row *out_row,
                                             double *out_c,
                                             struct fr_fault *fault);

#endif
