/*
 * daemon/pipeline/lane.c - mailbox, thread, status, acknowledgements of a lane.
 */
#include "daemon/pipeline/lane.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/log.h"
#include "daemon/pipeline/lane_priv.h"

#define ARENA_CHUNK ((size_t)4 << 20)
#define ARENA_MAX ((size_t)2 << 30)

static const char *const crash_names[] = {"before_commit", "after_commit", "after_produce", "in_take"};

void fr_crash_point(enum fr_crash_point p)
{
    static _Atomic int left = -1; /* -1: the variable was not read yet; 0: never */
    const char *v;
    size_t n;

    if (atomic_load_explicit(&left, memory_order_relaxed) == 0)
        return;
    v = getenv("FRESHET_CRASH_AT");
    if (v == NULL) {
        atomic_store(&left, 0);
        return;
    }
    n = strlen(crash_names[p]);
    if (strncmp(v, crash_names[p], n) != 0 || (v[n] != ':' && v[n] != '\0'))
        return;
    if (atomic_load(&left) < 0) {
        uint64_t times = 1;
        if (v[n] == ':' && fr_str_to_u64(fr_str_z(v + n + 1), &times) != FR_OK)
            times = 1;
        atomic_store(&left, (int)(times > 1000000 ? 1000000 : times));
    }
    if (atomic_fetch_sub(&left, 1) == 1)
        (void)kill(getpid(), SIGKILL);
}

struct fr_part *fr_lane_find(struct fr_lane *l, int32_t partition)
{
    for (int i = 0; i < l->n_part; i++)
        if (l->part[i]->partition == partition)
            return l->part[i];
    return NULL;
}

void fr_lane_refuse(struct fr_lane *l, struct fr_part *p, enum fr_err e, const char *why)
{
    p->state = FR_PART_REFUSED;
    (void)pthread_mutex_lock(&l->mail_lock);
    (void)snprintf(l->reason, sizeof(l->reason), "%s", why);
    (void)pthread_mutex_unlock(&l->mail_lock);
    fr_log(FR_LOG_ERROR, "lane", "lane=%d partition=%d refused=%s reason=\"%s\"", l->id,
           (int)p->partition, fr_err_label(e), why);
}

bool fr_lane_pause(struct fr_lane *l, int *attempt, enum fr_err e)
{
    int64_t ms = INT64_C(2) << (*attempt < 8 ? *attempt : 8);
    int64_t zero = 0;

    if (atomic_load(&l->stop) || atomic_load(&l->close_asked))
        return false;
    (void)atomic_compare_exchange_strong(&l->stalled_since_us, &zero,
                                         fr_clock_mono_us(l->eng->clock));
    fr_count(&l->mx, FR_C_STORE_RETRIES, 1);
    fr_log(FR_LOG_WARN, "lane", "lane=%d waiting=%s attempt=%d", l->id, fr_err_label(e), *attempt + 1);
    (*attempt)++;
    /* acknowledgements go on arriving while the store is away */
    (void)fr_outbox_poll(l->outbox, (int)ms);
    if (ms > 4) {
        struct timespec ts = {0, (long)(ms * 500000)};
        (void)nanosleep(&ts, NULL);
    }
    return true;
}

void fr_lane_unstall(struct fr_lane *l)
{
    if (atomic_load_explicit(&l->stalled_since_us, memory_order_relaxed) != 0)
        atomic_store(&l->stalled_since_us, 0);
}

/* An output is safe or can never be delivered. */
static void on_done(void *ctx, enum fr_topic_role out, const struct fr_out_tag *tag, enum fr_err err)
{
    struct fr_lane *l = ctx;
    struct fr_part *p = tag->partition < 0 ? NULL : fr_lane_find(l, tag->partition);

    atomic_fetch_add_explicit(&l->progress, 1, memory_order_relaxed);
    if (err != FR_OK)
        fr_log(FR_LOG_ERROR, "lane", "lane=%d output=%s undeliverable=%s partition=%d offset=%lld",
               l->id, fr_topic_role_name(out), fr_err_label(err), (int)tag->partition,
               (long long)tag->offset);
    if (err == FR_OK && out == FR_TOPIC_RECOMMENDATIONS) {
        bool request = tag->in == FR_TOPIC_REQUESTS;
        fr_count(&l->mx, request ? FR_C_RECS_REQUEST : FR_C_RECS_EVENT, 1);
        if (tag->regenerated)
            fr_count(&l->mx, FR_C_RECS_REGENERATED, 1);
        else
            fr_observe_us(&l->mx, FR_H_REC_FRESHNESS,
                          fr_clock_wall_us(l->eng->clock) - tag->event_us);
    }
    if (p == NULL || p->epoch != tag->epoch || tag->offset == FR_OFFSET_NONE)
        return;
    if (fr_commit_tracker_release(&p->track[tag->in], tag->offset) != FR_OK)
        fr_log(FR_LOG_ERROR, "lane", "lane=%d tracker=lost partition=%d offset=%lld", l->id,
               (int)p->partition, (long long)tag->offset);
}

enum fr_err fr_lane_new(const struct fr_lane_config *cfg, struct fr_lane **out_lane)
{
    struct fr_lane *l = fr_calloc(1, sizeof(*l));
    enum fr_err e;

    if (l == NULL)
        return FR_ENOMEM;
    l->own = *cfg->eng;
    l->eng = &l->own;
    l->id = cfg->id;
    l->src = cfg->src;
    l->store = cfg->store;
    l->outbox = cfg->outbox;
    fr_rng_seed(&l->rng, fr_rng_os_seed());
    if (pthread_mutex_init(&l->list_lock, NULL) != 0 || pthread_mutex_init(&l->mail_lock, NULL) != 0 ||
        pthread_cond_init(&l->mail_cond, NULL) != 0) {
        fr_free(l);
        return FR_ENOMEM;
    }
    fr_buf_init(&l->bufs.value);
    fr_buf_init(&l->bufs.text);
    fr_buf_init(&l->scratch);
    e = fr_arena_new(ARENA_CHUNK, ARENA_MAX, &l->ar);
    if (e == FR_OK)
        e = fr_arena_new(ARENA_CHUNK, ARENA_MAX, &l->ar_take);
    if (e == FR_OK && cfg->eng->cfg->models_rank_cache > 0)
        e = fr_rank_cache_new((size_t)cfg->eng->cfg->models_rank_cache, &l->rank_cache);
    if (e == FR_OK && l->outbox == NULL) {
        e = fr_outbox_new(on_done, l, &l->outbox);
        l->own_outbox = e == FR_OK;
    }
    if (e != FR_OK) {
        fr_lane_free(l);
        return e;
    }
    *out_lane = l;
    return FR_OK;
}

static void drop_mail(struct lane_mail *m)
{
    while (m != NULL) {
        struct lane_mail *next = m->next;
        fr_free(m->aux);
        fr_free(m);
        m = next;
    }
}

void fr_lane_free(struct fr_lane *l)
{
    if (l == NULL)
        return;
    for (int i = 0; i < l->n_part; i++)
        fr_part_free(l->part[i]);
    drop_mail(l->mail);
    if (l->own_outbox)
        fr_outbox_free(l->outbox);
    fr_lane_drop_retired(l);
    fr_free(l->retired);
    fr_item_generation_unref(l->generation);
    fr_buf_done(&l->bufs.value);
    fr_buf_done(&l->bufs.text);
    fr_buf_done(&l->scratch);
    fr_arena_free(l->ar);
    fr_arena_free(l->ar_take);
    fr_rank_cache_free(l->rank_cache);
    (void)pthread_cond_destroy(&l->mail_cond);
    (void)pthread_mutex_destroy(&l->mail_lock);
    (void)pthread_mutex_destroy(&l->list_lock);
    fr_free(l);
}

struct fr_outbox *fr_lane_outbox(struct fr_lane *l)
{
    return l->outbox;
}

struct fr_metrics *fr_lane_metrics(struct fr_lane *l)
{
    return &l->mx;
}

enum fr_err fr_lane_open(struct fr_lane *l, const struct fr_taken *t)
{
    struct lane_mail *m = fr_calloc(1, sizeof(*m));
    struct lane_mail **at;

    if (m == NULL)
        return FR_ENOMEM;
    m->taken = *t;
    m->aux = fr_memdup0(t->aux.n == 0 ? "" : t->aux.p, t->aux.n);
    if (m->aux == NULL) {
        fr_free(m);
        return FR_ENOMEM;
    }
    m->taken.aux = (struct fr_str){m->aux, t->aux.n};
    (void)pthread_mutex_lock(&l->mail_lock);
    for (at = &l->mail; *at != NULL; at = &(*at)->next)
        ;
    *at = m;
    atomic_store(&l->mail_waiting, true);
    (void)pthread_mutex_unlock(&l->mail_lock);
    fr_source_wake(l->src, l->id);
    return FR_OK;
}

static void add_part(struct fr_lane *l, const struct fr_taken *t)
{
    struct fr_part *p = fr_lane_find(l, t->partition);
    enum fr_err e;

    if (p == NULL) {
        if (l->n_part == FR_LANE_MAX_PARTS ||
            fr_part_new(t->partition, (uint32_t)l->eng->cfg->state_cache_users, &p) != FR_OK) {
            fr_log(FR_LOG_ERROR, "lane", "lane=%d partition=%d error=no_memory", l->id,
                   (int)t->partition);
            return;
        }
        (void)pthread_mutex_lock(&l->list_lock);
        l->part[l->n_part++] = p;
        (void)pthread_mutex_unlock(&l->list_lock);
    }
    e = fr_lane_begin_part(l, p, t);
    if (e != FR_OK && p->state != FR_PART_REFUSED)
        p->state = FR_PART_RETAKE;
}

void fr_lane_read_mail(struct fr_lane *l)
{
    struct lane_mail *m;

    if (!atomic_load(&l->mail_waiting))
        return;
    (void)pthread_mutex_lock(&l->mail_lock);
    m = l->mail;
    l->mail = NULL;
    atomic_store(&l->mail_waiting, false);
    (void)pthread_mutex_unlock(&l->mail_lock);
    for (struct lane_mail *i = m; i != NULL; i = i->next)
        add_part(l, &i->taken);
    drop_mail(m);
}

void fr_lane_close_inline(struct fr_lane *l, bool lost)
{
    fr_lane_read_mail(l);
    if (!lost) {
        for (int i = 0; i < l->n_part; i++)
            if (l->part[i]->state == FR_PART_OPEN && fr_lane_save_items(l, l->part[i]) != FR_OK)
                fr_log(FR_LOG_WARN, "lane", "lane=%d partition=%d counters=unsaved", l->id,
                       (int)l->part[i]->partition);
        if (fr_outbox_flush(l->outbox, (int)l->eng->cfg->kafka_session_timeout_ms / 4) == FR_OK)
            fr_lane_commit_positions(l, 3000);
    }
    (void)pthread_mutex_lock(&l->list_lock);
    for (int i = 0; i < l->n_part; i++)
        fr_part_free(l->part[i]);
    l->n_part = 0;
    (void)pthread_mutex_unlock(&l->list_lock);
}

static void answer_close(struct fr_lane *l)
{
    bool lost;

    if (!atomic_load(&l->close_asked))
        return;
    (void)pthread_mutex_lock(&l->mail_lock);
    lost = l->close_lost;
    atomic_store(&l->close_asked, false); /* the store calls below may wait again */
    (void)pthread_mutex_unlock(&l->mail_lock);
    fr_lane_close_inline(l, lost);
    (void)pthread_mutex_lock(&l->mail_lock);
    l->close_done = true;
    (void)pthread_cond_broadcast(&l->mail_cond);
    (void)pthread_mutex_unlock(&l->mail_lock);
}

enum fr_err fr_lane_close(struct fr_lane *l, bool lost, int timeout_ms)
{
    struct timespec until = {0, 0};
    bool done;
    int rc = 0;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_mutex_lock(&l->mail_lock);
    l->close_lost = lost;
    l->close_done = false;
    atomic_store(&l->close_asked, true);
    fr_source_wake(l->src, l->id);
    while (!l->close_done && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&l->mail_cond, &l->mail_lock, &until);
    done = l->close_done;
    (void)pthread_mutex_unlock(&l->mail_lock);
    return done ? FR_OK : FR_ETIMEOUT;
}

int fr_lane_step(struct fr_lane *l, int timeout_ms)
{
    int n;

    atomic_fetch_add_explicit(&l->turns, 1, memory_order_relaxed);
    fr_lane_read_mail(l);
    answer_close(l);
    (void)fr_outbox_poll(l->outbox, 0);
    n = fr_lane_batch(l, timeout_ms);
    if (n > 0)
        atomic_fetch_add_explicit(&l->progress, n, memory_order_relaxed);
    fr_lane_housekeeping(l);
    return n;
}

void fr_lane_run(struct fr_lane *l)
{
    int wait = (int)l->eng->cfg->batch_max_wait_ms;

    while (!atomic_load(&l->stop)) {
        /* with outputs in flight, look for acknowledgements often: C and lag depend on them */
        int ms = fr_outbox_pending(l->outbox) > 0 ? 1 : wait;
        (void)fr_lane_step(l, ms < 1 ? 1 : ms);
    }
}

void fr_lane_wake(struct fr_lane *l)
{
    fr_source_wake(l->src, l->id);
}

void fr_lane_stop(struct fr_lane *l)
{
    atomic_store(&l->stop, true);
    fr_lane_wake(l);
}

void fr_lane_status(struct fr_lane *l, struct fr_lane_status *out)
{
    bool rejoin = atomic_exchange(&l->wants_rejoin, false);

    fr_lane_peek(l, out);
    out->wants_rejoin = rejoin;
}

void fr_lane_peek(struct fr_lane *l, struct fr_lane_status *out)
{
    memset(out, 0, sizeof(*out));
    out->progress = atomic_load_explicit(&l->progress, memory_order_relaxed);
    out->turns = atomic_load_explicit(&l->turns, memory_order_relaxed);
    out->stalled_since_us = atomic_load(&l->stalled_since_us);
    out->stalled = out->stalled_since_us != 0;
    (void)pthread_mutex_lock(&l->list_lock);
    for (int i = 0; i < l->n_part; i++) {
        if (l->part[i]->state == FR_PART_OPEN)
            out->n_open++;
        else
            out->n_refused++;
    }
    (void)pthread_mutex_unlock(&l->list_lock);
    (void)pthread_mutex_lock(&l->mail_lock);
    memcpy(out->reason, l->reason, sizeof(out->reason));
    (void)pthread_mutex_unlock(&l->mail_lock);
}

int fr_lane_positions(struct fr_lane *l, struct fr_lane_position *out, int max)
{
    int n = 0;

    (void)pthread_mutex_lock(&l->list_lock);
    for (int i = 0; i < l->n_part && n < max; i++, n++) {
        const struct fr_part *p = l->part[i];
        out[n].partition = p->partition;
        for (int r = 0; r < FR_TOPIC_INPUTS; r++)
            out[n].pos[r] = atomic_load_explicit(&p->seen_pos[r], memory_order_relaxed);
        out[n].newest_ts_ms = atomic_load_explicit(&p->seen_ts_ms, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&l->list_lock);
    return n;
}
