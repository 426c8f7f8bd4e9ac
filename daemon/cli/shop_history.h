/*
 * daemon/cli/shop_history.h - a past for the shop: visits with lists filled by the logging policy, as events.
 *
 * What a trainer learns its first model from, and what a live loop runs through first so that its shop is in the
 * state that the files ended in. A visit is one browsing event (view or click), then a list: one impressions
 * event with the examined positions and perhaps a click and a purchase; who stays looks at the next list. The events of
 * a visit are one millisecond apart; times never go back. No rec_id: there was no recommender.
 * Layer: daemon/cli; daemon/base only. Thread: one.
 */
#ifndef FR_CLI_SHOP_HISTORY_H
#define FR_CLI_SHOP_HISTORY_H

#include "daemon/base/err.h"
#include "daemon/base/str.h"
#include "daemon/cli/shop.h"
#include "daemon/cli/shop_policy.h"
#include "daemon/cli/shop_score.h"

/** Owner: the caller; borrowed for the call. */
struct fr_shop_history {
    struct fr_shop *shop;
    struct fr_shop_policy *policy;
    struct fr_shop_score *score; /* nullable: judge every list (costs most of the time) */
    uint64_t events;             /* how many; exactly so many are made */
    const char *id_prefix;       /* event ids are this and a number from 1; at most 40 bytes */
    /* nullable; the JSON value of an event, borrowed. Another result than FR_OK ends the history. */
    enum fr_err (*event)(void *ctx, struct fr_str value);
    /* nullable; now and then, with events made so far. False ends the history with FR_ECLOSED. */
    bool (*progress)(void *ctx, uint64_t done);
    void *ctx;
};

/** @errors FR_ENOMEM FR_ECLOSED (by `progress`); those of `event` */
FR_MUST_CHECK enum fr_err fr_shop_history_run(struct fr_shop_history *h);

#endif
