/*
 * daemon/cli/shop_wire.h - the shop's items and events as JSON values of the topics `items` and `events`.
 *
 * Written by hand from deploy/schemas, not by the codecs of daemon/stream: what the daemon reads here it has
 * not written itself.
 * Layer: daemon/cli; daemon/base only. Thread: any, one buffer one thread.
 */
#ifndef FR_CLI_SHOP_WIRE_H
#define FR_CLI_SHOP_WIRE_H

#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/str.h"
#include "daemon/cli/shop.h"

#define FR_SHOP_EVENT_ID 64

/** One event that is about one item. Owner: the caller; strings borrowed. */
struct fr_shop_event {
    const char *event_id;
    const char *type; /* "view", "click", "purchase" */
    uint32_t user;
    uint32_t item;
    int64_t ts_ms;
    struct fr_str rec_id; /* n == 0: not from a list */
    int position;         /* in that list, from 0; -1 = not from a list */
    double value;         /* price paid; < 0 = none */
};

/** Append the JSON object, without a line end. The caller checks fr_buf_err() (all three). */
void fr_shop_event_json(const struct fr_shop_event *ev, struct fr_buf *out);

/** What was seen of a list: its first n positions. Items not of this shop are left out; at least one must
 *  remain, else nothing is appended. @return how many were written */
int fr_shop_impressions_json(const char *event_id,
                             uint32_t user,
                             const uint32_t *list,
                             int n,
                             int64_t ts_ms,
                             struct fr_str rec_id,
                             struct fr_buf *out);

/** An item as it is now; a dead one is not available. `shift_ms` is added to its time of birth. */
void fr_shop_item_json(const struct fr_shop *sh, uint32_t item, int64_t shift_ms, struct fr_buf *out);

#endif
