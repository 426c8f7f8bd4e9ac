/*
 * daemon/cli/shop_loop.h - the closed loop: a shop that lives on a stream of recommendations.
 *
 *   shop ─► items (births; deaths as null) ─► daemon
 *   visit ─► events (view, click) ─► daemon ─► recommendations ─► the user looks: impressions, click, purchase
 *
 * A user who has done something waits for the list that this event triggers, and for that one only: other lists of his
 * come unasked. No list within timeout_ms is a missing list. Each list looked at is judged first.
 * Seams, so that it runs over Kafka, the embedded broker, or in memory: fr_sink, fr_log_reader, fr_clock.
 * Time: the shop keeps its own; the loop shifts it so that the first visit is now. Events carry wall time.
 * Layer: daemon/cli. Thread: one, which also owns shop, sink and reader.
 */
#ifndef FR_CLI_SHOP_LOOP_H
#define FR_CLI_SHOP_LOOP_H

#include <stdint.h>

#include "daemon/base/clock.h"
#include "daemon/base/err.h"
#include "daemon/cli/shop.h"
#include "daemon/cli/shop_score.h"
#include "daemon/stream/log_reader.h"
#include "daemon/stream/sink.h"

/** One list a user has just looked at, for showing. Borrowed for the call. */
struct fr_shop_loop_list {
    uint32_t user;
    const char *trigger_type;  /* "view", "click", "purchase" */
    uint32_t trigger_item;
    const uint32_t *items;     /* FR_SHOP_ITEM_NONE: not one of ours */
    int n;
    int64_t freshness_us;      /* trigger event to list received */
    struct fr_shop_odds odds;
    struct fr_shop_reaction reaction;
};

/** Owner: the caller; copied. What it points to is borrowed and outlives the loop. */
struct fr_shop_loop_opts {
    struct fr_shop *shop;
    struct fr_sink *sink;          /* items and events; its acks may go to fr_shop_loop_ack() */
    struct fr_log_reader *lists;   /* recommendations, from the end of the topic */
    const struct fr_clock *clock;
    const char *id_prefix;         /* of event ids: must differ from run to run; at most 40 bytes */
    int64_t timeout_ms;            /* a list that takes longer is missing; 0 = 2000 */
    void (*on_list)(void *ctx, const struct fr_shop_loop_list *list); /* nullable */
    void *ctx;
};

/** Counts since the beginning. */
struct fr_shop_loop_stats {
    struct fr_shop_result result; /* of the lists looked at */
    uint64_t visits, events;      /* events published, impressions too */
    uint64_t births, deaths;      /* items published, and deleted, the initial ones too */
    uint64_t received;            /* records of the recommendations topic */
    uint64_t unasked;             /* of these: nobody was waiting for (older triggers, users who have left) */
    uint64_t unreadable;          /* no recommendation, or of a user who is not ours */
    uint64_t empty;               /* lists without items */
    uint64_t missing;             /* triggers whose list did not come in time */
    uint64_t waiting;             /* users who wait now */
    uint64_t unknown_items, dead_items; /* in lists looked at: not ours; died before */
    uint64_t undelivered;         /* events that the broker did not take */
    uint64_t behind;              /* times the loop was over a second late and let visits pass */
    double fresh_p50_ms, fresh_p99_ms, fresh_max_ms; /* event time to received; NaN when none */
};

struct fr_shop_loop;

/** @errors FR_EINVAL FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_shop_loop_new(const struct fr_shop_loop_opts *opts, struct fr_shop_loop **out_loop);
void fr_shop_loop_free(struct fr_shop_loop *lp);

/** Publish what is not published of the catalogue and wait until it is acknowledged. The first step does this
 *  too, without waiting. @errors FR_ETIMEOUT; the sink's */
FR_MUST_CHECK enum fr_err fr_shop_loop_catalogue(struct fr_shop_loop *lp, int timeout_ms);

/**
 * Do what is due: catalogue changes, visits, and the lists that have come; wait at most wait_ms for one when
 * nothing is due.
 * @errors FR_ETIMEOUT the sink takes nothing for 10 s; FR_EREFUSED the topic can't be read on; FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_shop_loop_step(struct fr_shop_loop *lp, int wait_ms);

/** No more visits; users who wait get their lists, for at most timeout_ms; then everything is flushed.
 *  @errors as fr_shop_loop_step(), FR_ETIMEOUT */
FR_MUST_CHECK enum fr_err fr_shop_loop_finish(struct fr_shop_loop *lp, int timeout_ms);

/** Costs a sort of the newest freshness samples: call it a few times a second. */
void fr_shop_loop_stats(const struct fr_shop_loop *lp, struct fr_shop_loop_stats *out);

/** For the sink's `ack`; takes no context: results are counted by the sink itself. */
void fr_shop_loop_ack(void *ctx, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset);

#endif
