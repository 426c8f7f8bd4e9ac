/*
 * daemon/serve/app_watch.c - main while the daemon runs: serve the group, watch the lanes, the broker and
 * the topics' partition counts.
 */
#include "daemon/base/log.h"
#include "daemon/serve/app_priv.h"

#define REJOIN_PAUSE_US 2000000
#define REJOINS_MAX 10
#define COUNT_EVERY_US 2000000
#define COUNT_TIMEOUT_MS 1000

/* Do records of events wait? @param out_high  sum of the ends of the lane's logs */
static bool has_lag(struct fr_app *a, int lane, int64_t *out_high)
{
    struct fr_lane_position pos[64];
    int n = fr_lane_positions(a->lanes[lane], pos, 64);
    bool lag = false;

    *out_high = 0;
    for (int i = 0; i < n; i++) {
        int64_t low, high;
        if (fr_source_watermarks(a->src, FR_TOPIC_EVENTS, pos[i].partition, 0, &low, &high) != FR_OK)
            continue;
        *out_high += high;
        lag = lag || high > pos[i].pos[FR_TOPIC_EVENTS];
    }
    return lag;
}

/* Microseconds for which a lane's thread has not turned, though it is not waiting for Redis or Kafka and
 * records wait. */
static int64_t stuck_us(struct fr_app_lane *l, const struct fr_lane_status *st, bool lag, int64_t now_us)
{
    if (st->turns == l->turns && !st->stalled && st->n_open > 0 && lag)
        return now_us - l->turns_us;
    l->turns = st->turns;
    l->turns_us = now_us;
    return 0;
}

/* A lane that turns and is given nothing, though records wait: its fetcher is lost, and joining the group
 * again makes new ones. Or what waits is for nobody (a transaction's marker ends the log): then that
 * changes nothing, and is not done again before the logs have grown. */
static bool starves(struct fr_app *a, int lane, const struct fr_lane_status *st, bool lag, int64_t high, int64_t now_us)
{
    struct fr_app_lane *l = &a->lane[lane];

    if (st->progress != l->progress || st->stalled || st->n_open == 0 || !lag || high == l->asked_high) {
        l->progress = st->progress;
        l->progress_us = now_us;
        return false;
    }
    if (now_us - l->progress_us <= a->cfg.lanes_watchdog_ms * 1000)
        return false;
    l->asked_high = high;
    fr_log(FR_LOG_WARN, "app", "lane=%d delivered=nothing though records wait: joining the group again", lane);
    return true;
}

/* A stuck lane makes /readyz false; half the time later the process ends. */
static enum fr_err watch_lanes(struct fr_app *a)
{
    int64_t now = fr_clock_mono_us(&a->clock), limit = a->cfg.lanes_watchdog_ms * 1000;
    int64_t worst = 0;

    for (int i = 0; i < a->n_lanes; i++) {
        struct fr_lane_status st;
        int64_t us, high;
        bool lag = has_lag(a, i, &high);
        fr_lane_status(a->lane[i].lane, &st);
        if (st.wants_rejoin && a->rejoin_at_us == 0)
            a->rejoin_at_us = now + REJOIN_PAUSE_US;
        us = stuck_us(&a->lane[i], &st, lag, now);
        worst = us > worst ? us : worst;
        if (us > limit && !atomic_load(&a->stuck))
            fr_log(FR_LOG_ERROR, "app", "lane=%d stuck=true", i);
        if (starves(a, i, &st, lag, high, now) && us == 0 && a->rejoin_at_us == 0)
            a->rejoin_at_us = now;
    }
    atomic_store(&a->stuck, worst > limit);
    return worst > limit + limit / 2 ? FR_ESTATE : FR_OK;
}

static void note_broker(struct fr_app *a, int64_t now_us)
{
    struct fr_source_stats st;
    int64_t since = atomic_load(&a->broker_down_since_us);

    fr_source_stats(a->src, &st);
    if (!st.broker_down)
        atomic_store(&a->broker_down_since_us, 0);
    else if (since == 0)
        atomic_store(&a->broker_down_since_us, now_us);
}

/* Refused partitions are asked for again, with patience, and not for ever. */
static enum fr_err rejoin(struct fr_app *a, int64_t now_us)
{
    int refused = atomic_load(&a->group.refused);

    if (atomic_load(&a->group.recount))
        return FR_OK; /* asking again would not help: check_count() says when */
    if (refused > 0 && a->rejoin_at_us == 0)
        a->rejoin_at_us = now_us + REJOIN_PAUSE_US * (1 + a->rejoins);
    if (a->rejoin_at_us != 0 && now_us >= a->rejoin_at_us) {
        a->rejoin_at_us = 0;
        return ++a->rejoins > REJOINS_MAX ? FR_EREFUSED : fr_source_rejoin(a->src);
    }
    if (refused == 0 && atomic_load(&a->group.assigned) > 0 && a->rejoin_at_us == 0)
        a->rejoins = 0;
    return FR_OK;
}

/* Somebody may add partitions while we run. */
static enum fr_err check_count(struct fr_app *a, int64_t now_us)
{
    if (now_us - a->counted_us < COUNT_EVERY_US || atomic_load(&a->broker_down_since_us) != 0 ||
        atomic_load(&a->group.assigned) == 0)
        return FR_OK;
    a->counted_us = now_us;
    return fr_group_check_count(&a->group, COUNT_TIMEOUT_MS) ? fr_source_rejoin(a->src) : FR_OK;
}

enum fr_err fr_app_serve(struct fr_app *app, int timeout_ms)
{
    enum fr_err e = fr_source_serve(app->src, timeout_ms);
    int64_t now = fr_clock_mono_us(&app->clock);

    note_broker(app, now);
    if (e == FR_OK)
        e = check_count(app, now);
    if (e == FR_OK)
        e = rejoin(app, now);
    return e == FR_OK ? watch_lanes(app) : e;
}
