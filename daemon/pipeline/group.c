/*
 * daemon/pipeline/group.c - see group.h.
 */
#include "daemon/pipeline/group.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/base/log.h"
#include "daemon/pipeline/take.h"

#define TAKE_TRIES 20

enum fr_err fr_group_init(struct fr_group *g)
{
    fr_rng_seed(&g->rng, fr_rng_os_seed());
    return fr_arena_new((size_t)1 << 20, 0, &g->ar);
}

void fr_group_done(struct fr_group *g)
{
    fr_arena_free(g->ar);
    g->ar = NULL;
}

static void pause_ms(long ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&ts, NULL);
}

/* Take with patience for passing errors: Redis may be starting. */
static enum fr_err take(struct fr_group *g, int32_t partition, struct fr_taken *out, struct fr_fault *fault)
{
    enum fr_err e = FR_EAGAIN;

    for (int i = 0; i < TAKE_TRIES && e != FR_OK; i++) {
        if (i > 0)
            pause_ms(i < 5 ? 20 : 200);
        e = fr_take(g->src, g->store, partition, g->eng->n_partitions, g->latest, NULL,
                    fr_rng_u64(&g->rng) | 1U, g->ar, out, fault);
        if (e != FR_OK && !fr_err_retriable(e))
            break;
    }
    fr_crash_point(FR_CRASH_IN_TAKE);
    return e;
}

static enum fr_err on_assign(void *ctx, struct fr_assigned *parts, int n)
{
    struct fr_group *g = ctx;

    atomic_store(&g->assigned, n);
    atomic_store(&g->refused, 0);
    for (int i = 0; i < n; i++) {
        struct fr_fault fault = {FR_OK, NULL, 0, ""};
        struct fr_taken t;
        enum fr_err e;

        fr_arena_reset(g->ar);
        e = take(g, parts[i].partition, &t, &fault);
        if (e == FR_OK)
            e = fr_lane_open(g->lanes[parts[i].lane], &t);
        if (e == FR_OK) {
            memcpy(parts[i].start, t.start, sizeof(parts[i].start));
            continue;
        }
        parts[i].refused = true;
        atomic_fetch_add(&g->refused, 1);
        (void)snprintf(g->reason, sizeof(g->reason), "%s", fault.msg);
        fr_log(FR_LOG_ERROR, "group", "partition=%d refused=%s reason=\"%s\"",
               (int)parts[i].partition, fr_err_label(e), fault.msg);
    }
    return FR_OK;
}

static void on_revoke(void *ctx, const int32_t *partitions, int n, bool lost)
{
    struct fr_group *g = ctx;
    int wait = (int)(g->eng->cfg->kafka_session_timeout_ms / 3);

    (void)partitions;
    fr_log(FR_LOG_INFO, "group", "revoked=%d lost=%s", n, lost ? "true" : "false");
    for (int i = 0; i < g->n_lanes; i++) {
        if (!g->lanes_running)
            fr_lane_close_inline(g->lanes[i], lost);
        else if (fr_lane_close(g->lanes[i], lost, wait) != FR_OK)
            fr_log(FR_LOG_WARN, "group", "lane=%d close=timeout: its batch is abandoned", i);
    }
    atomic_store(&g->assigned, 0);
    atomic_store(&g->refused, 0);
}

static void on_error(void *ctx, enum fr_err err, enum fr_topic_role role, int32_t partition, const char *what)
{
    (void)ctx;
    fr_log(FR_LOG_WARN, "group", "error=%s topic=%s partition=%d what=\"%s\"", fr_err_label(err),
           role < FR_TOPIC_COUNT ? fr_topic_role_name(role) : "-", (int)partition, what);
}

struct fr_source_callbacks fr_group_callbacks(struct fr_group *g)
{
    return (struct fr_source_callbacks){g, on_assign, on_revoke, on_error};
}
