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
#define COUNT_TIMEOUT_MS 2000

enum fr_err fr_group_init(struct fr_group *g)
{
    if (pthread_mutex_init(&g->lock, NULL) != 0)
        return FR_ENOMEM;
    g->lock_made = true;
    fr_rng_seed(&g->rng, fr_rng_os_seed());
    return fr_arena_new((size_t)1 << 20, 0, &g->ar);
}

void fr_group_done(struct fr_group *g)
{
    fr_arena_free(g->ar);
    g->ar = NULL;
    if (g->lock_made)
        (void)pthread_mutex_destroy(&g->lock);
    g->lock_made = false;
}

void fr_group_reason(struct fr_group *g, char out[FR_FAULT_MSG])
{
    (void)pthread_mutex_lock(&g->lock);
    memcpy(out, g->reason, FR_FAULT_MSG);
    (void)pthread_mutex_unlock(&g->lock);
}

static void set_reason(struct fr_group *g, const char *text)
{
    (void)pthread_mutex_lock(&g->lock);
    (void)snprintf(g->reason, sizeof(g->reason), "%s", text);
    (void)pthread_mutex_unlock(&g->lock);
}

bool fr_group_check_count(struct fr_group *g, int timeout_ms)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    bool was = atomic_load(&g->recount);
    int32_t n = 0;
    enum fr_err e = fr_source_partition_count(g->src, timeout_ms, &n, &fault);

    if (e == FR_OK && n != g->eng->n_partitions)
        e = fr_fault(&fault, FR_EMISMATCH,
                     "the events topic has %d partitions now, the state was made with %d: users would be "
                     "looked up in the wrong place; nothing is read. Restore the count, or start a new "
                     "group (kafka.group)",
                     (int)n, (int)g->eng->n_partitions);
    if (e != FR_OK && e != FR_EMISMATCH)
        return false;
    atomic_store(&g->recount, e != FR_OK);
    if (was == (e != FR_OK))
        return false;
    set_reason(g, fault.msg);
    if (e != FR_OK)
        fr_log(FR_LOG_ERROR, "group", "partition_count=changed reason=\"%s\"", fault.msg);
    else
        fr_log(FR_LOG_INFO, "group", "partition_count=%d as_before=true", (int)n);
    return true;
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

    (void)fr_group_check_count(g, COUNT_TIMEOUT_MS);
    atomic_store(&g->assigned, n);
    atomic_store(&g->refused, 0);
    if (atomic_load(&g->recount)) {
        for (int i = 0; i < n; i++)
            parts[i].refused = true;
        atomic_store(&g->refused, n);
        return FR_OK;
    }
    set_reason(g, "");
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
        set_reason(g, fault.msg);
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
