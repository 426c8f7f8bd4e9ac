/*
 * daemon/pipeline/lane_part.c - a lane's partitions: begin, take again, save counters, commit C.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/log.h"
#include "daemon/pipeline/lane_priv.h"
#include "daemon/pipeline/take.h"
#include "daemon/pipeline/ticks.h"

#define CHECK_IDLE_US 1000000

static enum fr_err load_row(void *ctx, struct fr_str item_id, struct fr_str row)
{
    struct fr_part *p = ctx;
    enum fr_err e = fr_item_stats_load(p->items, item_id, row, NULL);

    return e == FR_EDUPLICATE ? FR_OK : e; /* a repeat after a broken reply */
}

/* The partition's counters to the generation builder; inline: build and keep. */
enum fr_err fr_lane_tick(void *lane, struct fr_part *part, int64_t tick_ts)
{
    struct fr_lane *l = lane;
    struct fr_item_snapshot *snap;
    struct fr_item_generation *g;
    enum fr_err e = fr_item_stats_snapshot(part->items, tick_ts, &snap);

    if (e != FR_OK)
        return e;
    fr_ticks_post(l->eng->ticks, part->partition, &snap);
    if (!l->eng->deterministic)
        return FR_OK;
    if (l->n_retired == l->cap_retired) {
        uint32_t cap = l->cap_retired == 0 ? 8 : l->cap_retired * 2;
        struct fr_item_generation **r = fr_realloc_array(l->retired, cap, sizeof(*r));
        if (r == NULL)
            return FR_ENOMEM;
        l->retired = r;
        l->cap_retired = cap;
    }
    e = fr_ticks_build(l->eng->ticks, &g);
    if (e != FR_OK)
        return e;
    if (l->generation != NULL)
        l->retired[l->n_retired++] = l->generation;
    l->generation = g;
    return FR_OK;
}

void fr_lane_drop_retired(struct fr_lane *l)
{
    for (uint32_t i = 0; i < l->n_retired; i++)
        fr_item_generation_unref(l->retired[i]);
    l->n_retired = 0;
}

enum fr_err fr_lane_begin_part(struct fr_lane *l, struct fr_part *p, const struct fr_taken *t)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    enum fr_err e = fr_part_begin(p, l->eng->spec, t, ++l->takes, &fault);
    int attempt = 0;

    if (e == FR_OK) {
        do
            e = fr_store_load_items(l->store, p->partition, p->token, load_row, p);
        while (e != FR_OK && fr_err_retriable(e) && e != FR_ENOMEM && fr_lane_pause(l, &attempt, e));
        fr_lane_unstall(l);
    }
    if (e == FR_EFENCED) {
        p->state = FR_PART_RETAKE;
        return FR_OK;
    }
    if (e != FR_OK) {
        if (fault.err == FR_OK)
            (void)fr_fault(&fault, e, "partition %d: loading item counters: %s", (int)p->partition,
                           fr_err_text(e));
        if (fr_err_retriable(e))
            p->state = FR_PART_RETAKE;
        else
            fr_lane_refuse(l, p, e, fault.msg);
        return e;
    }
    fr_count(&l->mx, FR_C_TAKES, 1);
    fr_log(FR_LOG_INFO, "lane", "lane=%d partition=%d taken R=%lld V=%lld C=%lld requests_C=%lld items=%u",
           l->id, (int)p->partition, (long long)p->r, (long long)p->v,
           (long long)p->c0[FR_TOPIC_EVENTS], (long long)p->c0[FR_TOPIC_REQUESTS],
           (unsigned)fr_item_stats_size(p->items));
    if (fr_item_stats_size(p->items) > 0 && !l->eng->deterministic) {
        /* popularity must not wait for the next tick */
        int64_t mark = fr_item_stats_watermark(p->items);
        int64_t tick = mark - mark % l->eng->spec->item_tick_ms;
        return fr_lane_tick(l, p, tick);
    }
    return FR_OK;
}

void fr_lane_retake(struct fr_lane *l, struct fr_part *p)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_taken t;
    int64_t c[FR_TOPIC_INPUTS];
    uint64_t token = fr_rng_u64(&l->rng) | 1U;
    enum fr_err e;

    for (int i = 0; i < FR_TOPIC_INPUTS; i++) {
        int64_t pos = fr_commit_tracker_position(&p->track[i]);
        c[i] = pos > p->c0[i] ? pos : p->c0[i];
    }
    fr_arena_reset(l->ar_take);
    e = fr_take(l->src, l->store, p->partition, l->eng->n_partitions, false, c, token, l->ar_take, &t,
                &fault);
    fr_crash_point(FR_CRASH_IN_TAKE);
    for (int i = 0; i < FR_TOPIC_INPUTS && e == FR_OK; i++) {
        struct fr_position to = {(enum fr_topic_role)i, p->partition, t.start[i]};
        e = fr_source_seek(l->src, &to);
        if (e != FR_OK)
            (void)fr_fault(&fault, e, "partition %d: seek: %s", (int)p->partition, fr_err_text(e));
    }
    if (e == FR_OK)
        e = fr_lane_begin_part(l, p, &t);
    if (e == FR_OK) {
        fr_lane_unstall(l);
        return;
    }
    if (e == FR_EFENCED) {
        fr_lane_refuse(l, p, e, fault.msg);
        atomic_store(&l->wants_rejoin, true);
    } else if (!fr_err_retriable(e)) {
        fr_lane_refuse(l, p, e, fault.msg);
    } else {
        int attempt = 6;
        (void)fr_lane_pause(l, &attempt, e);
    }
}

static enum fr_err collect_rows(struct fr_lane *l, struct fr_part *p, struct fr_store_commit_items *req)
{
    uint32_t n;
    const uint32_t *dirty = fr_item_stats_dirty(p->items, &n);
    struct fr_str *ids = fr_arena_array(l->ar_take, n + 1U, sizeof(*ids));
    struct fr_str *rows = fr_arena_array(l->ar_take, n + 1U, sizeof(*rows));
    size_t *ends = fr_arena_array(l->ar_take, n + 1U, sizeof(*ends));

    if (ids == NULL || rows == NULL || ends == NULL)
        return FR_ENOMEM;
    fr_buf_clear(&l->scratch);
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = fr_item_stats_id(p->items, dirty[i]);
        fr_item_stats_encode(p->items, dirty[i], &l->scratch);
        ends[i] = l->scratch.n;
    }
    if (fr_buf_err(&l->scratch) != FR_OK)
        return fr_buf_err(&l->scratch);
    for (uint32_t i = 0; i < n; i++) {
        size_t from = i == 0 ? 0 : ends[i - 1];
        rows[i] = (struct fr_str){l->scratch.p + from, ends[i] - from};
    }
    req->n = n;
    req->item_id = ids;
    req->row = rows;
    return FR_OK;
}

/* Save changed item rows together with V. Only between batches: the counters hold exactly what is
 * below max(R, position), and R is the newer of both only after a commit. */
enum fr_err fr_lane_save_items(struct fr_lane *l, struct fr_part *p)
{
    struct fr_store_commit_items req;
    struct fr_buf aux;
    int attempt = 0;
    int64_t upto = p->pos[FR_TOPIC_EVENTS] < p->r ? p->pos[FR_TOPIC_EVENTS] : p->r;
    enum fr_err e;

    if (upto <= p->v)
        return FR_OK; /* still re-reading below V, or nothing new */
    memset(&req, 0, sizeof(req));
    fr_arena_reset(l->ar_take);
    e = collect_rows(l, p, &req);
    if (e != FR_OK)
        return e;
    fr_buf_init(&aux);
    fr_part_trim_skips(p, upto);
    fr_part_encode_skips(p, &aux);
    req.partition = p->partition;
    req.token = p->token;
    req.v = p->v;
    req.new_v = upto;
    req.aux = fr_buf_str(&aux);
    e = fr_buf_err(&aux);
    while (e == FR_OK) {
        e = fr_store_commit_items(l->store, &req);
        if (e == FR_OK || !fr_err_retriable(e) || e == FR_ENOMEM || !fr_lane_pause(l, &attempt, e))
            break;
        e = FR_OK;
    }
    fr_buf_done(&aux);
    fr_lane_unstall(l);
    if (e == FR_OK) {
        p->v = upto;
        fr_item_stats_clean(p->items);
    } else if (e == FR_EFENCED) {
        fr_count(&l->mx, FR_C_FENCED, 1);
        p->state = FR_PART_RETAKE;
    }
    return e;
}

void fr_lane_commit_positions(struct fr_lane *l, int timeout_ms)
{
    struct fr_position pos[FR_TOPIC_INPUTS];

    for (int i = 0; i < l->n_part; i++) {
        struct fr_part *p = l->part[i];
        int n = 0;
        enum fr_err e;

        if (p->state != FR_PART_OPEN)
            continue;
        for (int r = 0; r < FR_TOPIC_INPUTS; r++) {
            int64_t c = fr_commit_tracker_position(&p->track[r]);
            if (c > p->committed[r] && c > p->c0[r])
                pos[n++] = (struct fr_position){(enum fr_topic_role)r, p->partition, c};
        }
        if (n == 0)
            continue;
        e = fr_source_commit(l->src, pos, n, timeout_ms);
        if (e == FR_OK) {
            for (int k = 0; k < n; k++)
                p->committed[pos[k].role] = pos[k].offset;
        } else if (e != FR_EAGAIN) { /* else: the broker is away, which others log */
            fr_log(FR_LOG_WARN, "lane", "lane=%d partition=%d commit=%s", l->id, (int)p->partition,
                   fr_err_label(e));
        }
    }
}

/* False: the store does not answer, so asking for the other partitions is no use. */
static bool check_idle(struct fr_lane *l, struct fr_part *p)
{
    enum fr_err e = fr_store_check(l->store, p->partition, p->token, p->r);

    if (e == FR_OK) {
        fr_lane_unstall(l);
        return true;
    }
    if (e != FR_EFENCED) { /* without traffic nothing else would notice */
        int64_t zero = 0;
        (void)atomic_compare_exchange_strong(&l->stalled_since_us, &zero,
                                             fr_clock_mono_us(l->eng->clock));
        return false;
    }
    fr_count(&l->mx, FR_C_FENCED, 1);
    fr_log(FR_LOG_WARN, "lane", "lane=%d partition=%d state=changed_elsewhere", l->id,
           (int)p->partition);
    p->state = FR_PART_RETAKE;
    return true;
}

void fr_lane_housekeeping(struct fr_lane *l)
{
    int64_t now = fr_clock_mono_us(l->eng->clock);
    bool check = now - l->last_check_us >= CHECK_IDLE_US;

    for (int i = 0; i < l->n_part; i++) {
        struct fr_part *p = l->part[i];
        if (p->state == FR_PART_RETAKE) {
            fr_lane_retake(l, p);
            continue;
        }
        if (p->state != FR_PART_OPEN)
            continue;
        if (now - p->items_saved_us >= l->eng->cfg->state_item_flush_ms * 1000 ||
            p->n_skips >= FR_PART_SKIPS_MAX / 2) {
            p->items_saved_us = now;
            if (fr_lane_save_items(l, p) != FR_OK)
                continue;
        }
        if (check && !check_idle(l, p)) {
            l->last_check_us = fr_clock_mono_us(l->eng->clock);
            check = false;
        }
    }
    if (check)
        l->last_check_us = now;
    if (now - l->last_commit_us >= l->eng->cfg->kafka_commit_interval_ms * 1000) {
        l->last_commit_us = now;
        fr_lane_commit_positions(l, 0);
    }
}
