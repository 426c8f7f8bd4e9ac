/*
 * daemon/pipeline/lane_batch.c - one micro-batch through the stages.
 */
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/pipeline/lane_priv.h"
#include "daemon/pipeline/stage1_ingest.h"
#include "daemon/pipeline/stage3_embed.h"
#include "daemon/pipeline/stage5_score.h"
#include "features/user_codec.h"

#define DEAD_LETTER_FLUSH_MS 1000

/* What one batch carries between the steps below. */
struct run {
    struct fr_lane *l;
    struct fr_batch b;
    struct fr_features_stage fx;
    int64_t t0_us; /* wall clock when the batch was full */
};

static int64_t stage_done(struct run *r, enum fr_hist h, int64_t since_us)
{
    int64_t now = fr_clock_wall_us(r->l->eng->clock);

    fr_observe_us(&r->l->mx, h, now - since_us);
    return now;
}

/* ---- collect ---- */

/* Take a record into the batch, or let it go. */
static void admit(struct run *r, struct fr_record *rec)
{
    struct fr_lane *l = r->l;
    struct fr_part *p = fr_lane_find(l, rec->partition);
    struct fr_work *w = &r->b.work[r->b.n];
    int64_t *pos;

    if (p == NULL) {
        /* its mail was posted before its first record could be fetched: dropping the record instead
         * would let R jump over it */
        fr_lane_read_mail(l);
        p = fr_lane_find(l, rec->partition);
    }
    if (p == NULL || p->state != FR_PART_OPEN || rec->offset < p->pos[rec->role]) {
        fr_source_release(l->src, rec);
        return;
    }
    if (fr_commit_tracker_take(&p->track[rec->role], rec->offset) != FR_OK) {
        p->state = FR_PART_RETAKE; /* never skip a record: read it again */
        fr_source_release(l->src, rec);
        return;
    }
    pos = &p->pos[rec->role];
    if (rec->offset > *pos)
        fr_count(&l->mx, FR_C_OFFSET_GAPS, 1);
    *pos = rec->offset + 1;
    memset(w, 0, sizeof(*w));
    w->rec = *rec;
    w->part = p;
    w->received_us = fr_clock_wall_us(l->eng->clock);
    r->b.n++;
}

static void partition_refused(struct fr_lane *l, const struct fr_record *rec)
{
    struct fr_part *p = fr_lane_find(l, rec->partition);

    if (p == NULL || p->state == FR_PART_REFUSED)
        return;
    fr_lane_refuse(l, p, rec->refused,
                   rec->refused == FR_ERANGE
                       ? "the log no longer has the offset wanted: the topic was recreated or its "
                         "retention passed it; start a new group, or restore the topic"
                       : "the partition cannot be read: it is gone, or access is denied");
}

/* Is there room for everything the next batch may open? Else reading stops here. */
static bool room(const struct fr_lane *l, int n)
{
    for (int i = 0; i < l->n_part; i++)
        for (int k = 0; k < FR_TOPIC_INPUTS; k++)
            if (fr_commit_tracker_pending(&l->part[i]->track[k]) + (uint32_t)n >= 65536U)
                return false;
    return !fr_outbox_blocked(l->outbox);
}

static void collect(struct run *r, int timeout_ms)
{
    struct fr_lane *l = r->l;
    int max = (int)l->eng->cfg->batch_max_events;
    int wait = timeout_ms;

    if (!room(l, max)) {
        (void)fr_outbox_poll(l->outbox, timeout_ms < 1 ? 1 : timeout_ms);
        return;
    }
    for (int polls = 0; r->b.n < max && polls < 4 * max; polls++) {
        struct fr_record rec;
        enum fr_err e = fr_source_poll(l->src, l->id, wait, &rec);

        wait = 0;
        if (e == FR_OK)
            admit(r, &rec);
        else if (e == FR_EREFUSED)
            partition_refused(l, &rec);
        else
            break;
    }
}

/* ---- state ---- */

static bool alive(const struct fr_work *w)
{
    return w->part->state == FR_PART_OPEN;
}

static void fenced(struct fr_lane *l, struct fr_part *p)
{
    fr_count(&l->mx, FR_C_FENCED, 1);
    fr_log(FR_LOG_WARN, "lane", "lane=%d partition=%d fenced=true R=%lld", l->id, (int)p->partition,
           (long long)p->r);
    p->state = FR_PART_RETAKE;
}

/* All works of partitions that are gone become nothing. */
static void forget_dead_parts(struct run *r)
{
    for (int i = 0; i < r->b.n; i++)
        if (!alive(&r->b.work[i]))
            r->b.work[i].kind = FR_WORK_SKIP;
}

/* The stored record of a touched user is corrupt: its events are dead letters. */
static void corrupt_user(struct run *r, uint32_t touched, const char *what)
{
    struct fr_str msg = {what, strlen(what)};

    if (fr_arena_dup(r->l->ar, msg, &msg) != FR_OK)
        msg = FR_STR_LIT("the stored record is corrupt");
    for (int i = 0; i < r->b.n; i++) {
        struct fr_work *w = &r->b.work[i];
        if (r->fx.of_work[i] != touched)
            continue;
        if (w->kind == FR_WORK_EVENT || w->kind == FR_WORK_REQUEST) {
            w->kind = FR_WORK_DEAD;
            w->why = FR_ECORRUPT;
            w->stage = "features";
            w->what = msg.p;
        }
    }
}

/* One read request for each partition that misses users; idx maps answers back. */
static int plan_reads(struct run *r, struct fr_store_read *reqs, uint32_t **idx)
{
    struct fr_lane *l = r->l;
    struct fr_features_stage *fx = &r->fx;
    int n = 0;

    for (int i = 0; i < l->n_part; i++) {
        struct fr_part *p = l->part[i];
        struct fr_store_read *q = &reqs[n];
        struct fr_str *ids;
        uint32_t m = 0;

        for (uint32_t k = 0; k < fx->n_t; k++)
            m += fx->t[k].part == p && fx->t[k].u == NULL;
        if (m == 0 || p->state != FR_PART_OPEN)
            continue;
        ids = fr_arena_array(l->ar, m, sizeof(*ids));
        idx[n] = fr_arena_array(l->ar, m, sizeof(**idx));
        memset(q, 0, sizeof(*q));
        q->out_record = fr_arena_zarray(l->ar, m, sizeof(struct fr_str));
        q->out_seen = fr_arena_zarray(l->ar, m, sizeof(struct fr_str));
        if (ids == NULL || idx[n] == NULL || q->out_record == NULL || q->out_seen == NULL)
            return -1;
        for (uint32_t k = 0; k < fx->n_t; k++) {
            if (fx->t[k].part != p || fx->t[k].u != NULL)
                continue;
            ids[q->n] = fx->t[k].user_id;
            idx[n][q->n++] = k;
        }
        q->partition = p->partition;
        q->token = p->token;
        q->r = p->r;
        q->user_id = ids;
        q->want_seen = l->eng->spec->seen_cap > 0;
        n++;
    }
    return n;
}

static enum fr_err take_answers(struct run *r, struct fr_store_read *q, const uint32_t *idx)
{
    struct fr_part *p = fr_lane_find(r->l, q->partition);
    static const struct fr_str none = {"", 0};

    if (q->err == FR_EFENCED) {
        fenced(r->l, p);
        return FR_OK;
    }
    if (q->err != FR_OK) {
        fr_lane_refuse(r->l, p, q->err, "reading users from the store was refused");
        return FR_OK;
    }
    for (uint32_t i = 0; i < q->n; i++) {
        struct fr_fault fault = {FR_OK, NULL, 0, ""};
        enum fr_err e = fr_features_give(&r->fx, idx[i],
                                         q->out_record[i].p == NULL ? none : q->out_record[i],
                                         q->out_seen[i].p == NULL ? none : q->out_seen[i], &fault);
        if (e == FR_ENOMEM)
            return e;
        if (e != FR_OK)
            corrupt_user(r, idx[i], fault.msg);
    }
    return FR_OK;
}

/* The first passing error among the answers: the call is repeated as a whole. */
static enum fr_err worst_read(const struct fr_store_read *reqs, int n)
{
    for (int i = 0; i < n; i++)
        if (reqs[i].err != FR_OK && fr_err_retriable(reqs[i].err))
            return reqs[i].err;
    return FR_OK;
}

static enum fr_err read_users(struct run *r)
{
    struct fr_lane *l = r->l;
    struct fr_store_read *reqs = fr_arena_array(l->ar, (size_t)l->n_part + 1, sizeof(*reqs));
    uint32_t **idx = fr_arena_zarray(l->ar, (size_t)l->n_part + 1, sizeof(*idx));
    int n, attempt = 0;
    enum fr_err e;

    if (reqs == NULL || idx == NULL)
        return FR_ENOMEM;
    n = plan_reads(r, reqs, idx);
    if (n <= 0)
        return n == 0 ? FR_OK : FR_ENOMEM;
    for (;;) {
        e = fr_store_read(l->store, reqs, n, l->ar);
        if (e == FR_OK)
            e = worst_read(reqs, n);
        if (e == FR_OK || !fr_err_retriable(e) || e == FR_ENOMEM)
            break;
        if (!fr_lane_pause(l, &attempt, e))
            return FR_ECLOSED;
    }
    fr_lane_unstall(l);
    for (int i = 0; i < n && e == FR_OK; i++)
        e = take_answers(r, &reqs[i], idx[i]);
    return e;
}

/* ---- commit ---- */

/* Highest event offset of a partition in this batch + 1; its R if it has none. */
static int64_t next_r(const struct run *r, const struct fr_part *p)
{
    int64_t next = p->r;

    for (int i = 0; i < r->b.n; i++) {
        const struct fr_work *w = &r->b.work[i];
        if (w->part == p && w->rec.role == FR_TOPIC_EVENTS && w->rec.offset >= next)
            next = w->rec.offset + 1;
    }
    return next;
}

struct encoded {
    uint32_t touched;
    struct fr_str record, seen;
};

static enum fr_err encode_user(struct run *r, const struct fr_user *u, struct encoded *out)
{
    struct fr_buf *b = &r->l->scratch;
    enum fr_err e;

    fr_buf_clear(b);
    fr_user_encode(r->l->eng->spec, u, b);
    e = fr_buf_err(b);
    if (e == FR_OK)
        e = fr_arena_dup(r->l->ar, fr_buf_str(b), &out->record);
    out->seen = (struct fr_str){NULL, 0};
    if (e == FR_OK && u->seen.dirty) {
        fr_buf_clear(b);
        fr_seen_encode(&u->seen, b);
        e = fr_buf_err(b);
        if (e == FR_OK)
            e = fr_arena_dup(r->l->ar, fr_buf_str(b), &out->seen);
    }
    return e;
}

static enum fr_err plan_commit(struct run *r, struct fr_part *p, struct fr_store_commit *q, struct encoded **out_en)
{
    struct fr_lane *l = r->l;
    uint32_t cap = r->fx.n_t + 1U;
    struct fr_str *ids = fr_arena_array(l->ar, cap, sizeof(*ids));
    struct fr_str *recs = fr_arena_array(l->ar, cap, sizeof(*recs));
    struct fr_str *seen = fr_arena_array(l->ar, cap, sizeof(*seen));
    struct encoded *en = fr_arena_array(l->ar, cap, sizeof(*en));
    const struct fr_config *cfg = l->eng->cfg;
    enum fr_err e;

    if (ids == NULL || recs == NULL || seen == NULL || en == NULL)
        return FR_ENOMEM;
    memset(q, 0, sizeof(*q));
    for (uint32_t i = 0; i < r->fx.n_t; i++) {
        const struct fr_touched *t = &r->fx.t[i];
        if (t->part != p || t->u == NULL || !t->u->dirty)
            continue;
        en[q->n].touched = i;
        e = encode_user(r, t->u, &en[q->n]);
        if (e != FR_OK)
            return e;
        ids[q->n] = t->user_id;
        recs[q->n] = en[q->n].record;
        seen[q->n] = en[q->n].seen;
        q->n++;
    }
    fr_buf_clear(&l->scratch);
    fr_part_encode_skips(p, &l->scratch);
    e = fr_buf_err(&l->scratch);
    if (e == FR_OK)
        e = fr_arena_dup(l->ar, fr_buf_str(&l->scratch), &q->aux);
    q->partition = p->partition;
    q->token = p->token;
    q->r = p->r;
    q->new_r = next_r(r, p);
    q->user_id = ids;
    q->record = recs;
    q->seen = seen;
    q->expire_ms = cfg->topics_retention_ms == 0 ? 0 : cfg->state_ttl_ms + cfg->topics_retention_ms;
    *out_en = en;
    return e;
}

static void remember(struct run *r, struct fr_part *p, const struct fr_store_commit *q, const struct encoded *en)
{
    p->r = q->new_r;
    fr_count(&r->l->mx, FR_C_COMMITS, 1);
    for (uint32_t i = 0; i < q->n; i++) {
        const struct fr_touched *t = &r->fx.t[en[i].touched];
        struct fr_str seen = en[i].seen;

        if (seen.p == NULL) { /* unchanged: what was read, or cached before */
            struct fr_str old_record, old_seen;
            fr_buf_clear(&r->l->scratch);
            if (fr_user_cache_get(&p->cache, t->user, &old_record, &old_seen))
                fr_buf_put(&r->l->scratch, old_seen.p, old_seen.n);
            else if (r->l->eng->spec->seen_cap > 0)
                fr_seen_encode(&t->u->seen, &r->l->scratch);
            seen = fr_buf_str(&r->l->scratch);
        }
        fr_user_cache_put(&p->cache, t->user, en[i].record, seen);
    }
}

static void finish_commit(struct run *r, struct fr_store_commit *q, const struct encoded *en)
{
    struct fr_part *p = fr_lane_find(r->l, q->partition);

    if (q->err == FR_OK)
        remember(r, p, q, en);
    else if (q->err == FR_EFENCED)
        fenced(r->l, p);
    else
        fr_lane_refuse(r->l, p, q->err, "the store refused the commit of a batch");
}

static enum fr_err commit(struct run *r)
{
    struct fr_lane *l = r->l;
    struct fr_store_commit *reqs = fr_arena_array(l->ar, (size_t)l->n_part + 1, sizeof(*reqs));
    struct encoded **en = fr_arena_zarray(l->ar, (size_t)l->n_part + 1, sizeof(*en));
    int n = 0, attempt = 0;
    enum fr_err e = FR_OK;

    if (reqs == NULL || en == NULL)
        return FR_ENOMEM;
    for (int i = 0; i < l->n_part && e == FR_OK; i++) {
        struct fr_part *p = l->part[i];
        if (p->state != FR_PART_OPEN || next_r(r, p) <= p->r)
            continue;
        e = plan_commit(r, p, &reqs[n], &en[n]);
        n++;
    }
    if (e != FR_OK || n == 0)
        return e;
    fr_crash_point(FR_CRASH_BEFORE_COMMIT);
    for (;;) {
        enum fr_err again = FR_OK;
        e = fr_store_commit(l->store, reqs, n);
        for (int i = 0; i < n && e == FR_OK && again == FR_OK; i++)
            if (reqs[i].err != FR_OK && fr_err_retriable(reqs[i].err))
                again = reqs[i].err;
        if (e == FR_OK)
            e = again;
        if (e == FR_OK || !fr_err_retriable(e))
            break;
        if (!fr_lane_pause(l, &attempt, e))
            return FR_ECLOSED;
    }
    fr_lane_unstall(l);
    for (int i = 0; i < n && e == FR_OK; i++)
        finish_commit(r, &reqs[i], en[i]);
    fr_crash_point(FR_CRASH_AFTER_COMMIT);
    return e;
}

static void observe_features(struct run *r, int64_t now_us)
{
    for (int i = 0; i < r->b.n; i++) {
        const struct fr_work *w = &r->b.work[i];
        if (w->kind == FR_WORK_EVENT && alive(w)) {
            fr_observe_us(&r->l->mx, FR_H_FEATURE_FRESHNESS, now_us - w->ev.ts * 1000);
            atomic_store_explicit(&w->part->seen_ts_ms, w->rec.ts_ms, memory_order_relaxed);
        }
    }
    for (int i = 0; i < r->b.n_trig; i++)
        r->b.trig[i].features_us = now_us;
}

/* ---- dead letters ---- */

static bool must_bury(const struct fr_work *w)
{
    return w->kind == FR_WORK_DEAD && alive(w) && w->rec.offset >= w->part->c0[w->rec.role];
}

static void count_buried(struct fr_lane *l, const struct fr_work *w)
{
    fr_count_dead(&l->mx, w->why);
    fr_count(&l->mx, w->rec.role == FR_TOPIC_REQUESTS ? FR_C_REQUESTS_DEAD : FR_C_EVENTS_DEAD, 1);
}

/* Dead letters are acknowledged before R moves. */
static enum fr_err bury(struct run *r)
{
    struct fr_lane *l = r->l;
    int n = 0;

    for (int i = 0; i < r->b.n; i++) {
        struct fr_work *w = &r->b.work[i];
        enum fr_err e;
        if (!must_bury(w))
            continue;
        e = fr_stage_dead_letter(l->eng, &l->bufs, l->outbox, l->ar, l->src, w,
                                 fr_clock_wall_ms(l->eng->clock));
        if (e != FR_OK)
            return e;
        count_buried(l, w);
        n++;
    }
    while (n > 0 && fr_outbox_flush(l->outbox, DEAD_LETTER_FLUSH_MS) != FR_OK) {
        int attempt = 4;
        if (!fr_lane_pause(l, &attempt, FR_EKAFKA))
            return FR_ECLOSED;
    }
    fr_lane_unstall(l);
    return FR_OK;
}

/* ---- lists ---- */

static void count_rank_cache(struct fr_lane *l)
{
    struct fr_rank_cache_stats now;

    if (l->rank_cache == NULL)
        return;
    fr_rank_cache_stats(l->rank_cache, &now);
    fr_count(&l->mx, FR_C_RANK_CACHE_HITS, now.hits - l->rank_counted.hits);
    fr_count(&l->mx, FR_C_RANK_CACHE_MISSES, now.misses - l->rank_counted.misses);
    l->rank_counted = now;
}

static enum fr_err sub_batch(struct run *r, struct fr_trigger *const *trig, int n)
{
    struct fr_lane *l = r->l;
    const struct fr_engine *eng = l->eng;
    struct fr_candidate_policy pol = fr_candidate_policy_of(eng->cfg);
    struct fr_score_policy score = fr_score_policy_of(eng->cfg);
    unsigned flags = eng->deterministic ? FR_SCORE_DETERMINISTIC : 0;
    int64_t t = fr_clock_wall_us(eng->clock);
    struct fr_epoch ep;
    enum fr_err e;

    fr_epochs_pin(eng->epochs, &ep);
    e = fr_stage_embed(&ep, flags, l->ar, trig, n);
    t = stage_done(r, FR_H_STAGE_EMBED, t);
    for (int i = 0; i < n; i++)
        trig[i]->embedded_us = t;
    for (int i = 0; i < n && e == FR_OK; i++) {
        e = fr_stage_candidates(eng->spec, &pol, &ep, l->ar, &l->mx, trig[i]);
        trig[i]->retrieved_us = fr_clock_wall_us(eng->clock);
    }
    t = stage_done(r, FR_H_STAGE_CANDIDATES, t);
    for (int i = 0; i < n && e == FR_OK; i++) {
        e = fr_stage_score(eng->spec, &score, &ep, flags, l->ar, l->rank_cache, trig[i]);
        trig[i]->scored_us = fr_clock_wall_us(eng->clock);
    }
    count_rank_cache(l);
    (void)stage_done(r, FR_H_STAGE_SCORE, t);
    fr_epochs_unpin(eng->epochs, &ep);
    return e;
}

static void emit(struct run *r, const struct fr_trigger *t)
{
    struct fr_lane *l = r->l;
    const struct fr_work *w = t->work;
    struct fr_part *p = w->part;
    int sent = 0;
    enum fr_err e;

    if (t->fallback)
        fr_count(&l->mx, FR_C_RECS_FALLBACK, 1);
    e = fr_stage_emit(l->eng, &l->bufs, l->outbox, &l->mx, t, fr_clock_wall_us(l->eng->clock),
                      p->epoch, &sent);
    if (e != FR_OK)
        fr_log(FR_LOG_ERROR, "lane", "lane=%d emit=%s partition=%d offset=%lld", l->id,
               fr_err_label(e), (int)p->partition, (long long)w->rec.offset);
    for (int i = 0; i < sent; i++)
        if (fr_commit_tracker_hold(&p->track[w->rec.role], w->rec.offset) != FR_OK)
            fr_log(FR_LOG_ERROR, "lane", "lane=%d tracker=lost offset=%lld", l->id,
                   (long long)w->rec.offset);
    if (w->kind == FR_WORK_REQUEST)
        fr_count(&l->mx, FR_C_REQUESTS_ANSWERED, 1);
}

static enum fr_err make_lists(struct run *r)
{
    struct fr_trigger *sub[FR_SUB_BATCH];
    int width = r->l->eng->deterministic ? 1 : FR_SUB_BATCH;
    int n = 0;
    enum fr_err e = FR_OK;

    for (int i = 0; i < r->b.n_trig && e == FR_OK; i++) {
        bool last = i + 1 == r->b.n_trig;
        if (alive(r->b.trig[i].work))
            sub[n++] = &r->b.trig[i];
        if (n == 0 || (n < width && !last))
            continue;
        e = sub_batch(r, sub, n);
        if (e == FR_OK) {
            int64_t t = fr_clock_wall_us(r->l->eng->clock);
            for (int k = 0; k < n; k++)
                emit(r, sub[k]);
            (void)stage_done(r, FR_H_STAGE_EMIT, t);
            (void)fr_outbox_poll(r->l->outbox, 0);
        }
        n = 0;
    }
    fr_crash_point(FR_CRASH_AFTER_PRODUCE);
    return e;
}

/* ---- the batch ---- */

static enum fr_err ingest(struct run *r)
{
    int64_t now_ms = fr_clock_wall_ms(r->l->eng->clock);

    for (int i = 0; i < r->b.n; i++) {
        enum fr_err e = fr_stage_ingest(r->l->eng, r->l->ar, &r->l->mx, now_ms, &r->b.work[i]);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

static enum fr_err process(struct run *r)
{
    struct fr_lane *l = r->l;
    int64_t t = r->t0_us;
    enum fr_err e = ingest(r);

    t = stage_done(r, FR_H_STAGE_INGEST, t);
    r->fx.eng = l->eng;
    r->fx.ar = l->ar;
    r->fx.mx = &l->mx;
    r->fx.generation = &l->generation;
    if (e == FR_OK)
        e = fr_features_begin(&r->fx, &r->b);
    if (e == FR_OK)
        e = read_users(r);
    forget_dead_parts(r);
    if (e == FR_OK)
        e = fr_features_apply(&r->fx, &r->b, fr_clock_wall_ms(l->eng->clock), fr_lane_tick, l);
    if (e == FR_OK)
        e = bury(r);
    if (e == FR_OK)
        e = commit(r);
    if (e != FR_OK)
        return e;
    t = stage_done(r, FR_H_STAGE_FEATURES, t);
    observe_features(r, t);
    return make_lists(r);
}

/* The base hold of every record ends; records go back to the source. */
static void finish(struct run *r, enum fr_err e)
{
    struct fr_lane *l = r->l;

    for (int i = 0; i < r->b.n; i++) {
        struct fr_work *w = &r->b.work[i];
        if (e == FR_OK && alive(w)) {
            if (fr_commit_tracker_release(&w->part->track[w->rec.role], w->rec.offset) != FR_OK)
                fr_log(FR_LOG_ERROR, "lane", "lane=%d tracker=lost offset=%lld", l->id,
                       (long long)w->rec.offset);
            atomic_store_explicit(&w->part->seen_pos[w->rec.role], w->rec.offset + 1,
                                  memory_order_relaxed);
        } else if (e != FR_OK && w->part->state == FR_PART_OPEN) {
            w->part->state = FR_PART_RETAKE; /* counters and trackers hold half a batch */
        }
        fr_source_release(l->src, &w->rec);
    }
}

/* Take over what a reload has published; a batch sees one configuration. After the wait for its records: those that
 * come after "reload=ok" are not made by what was before. */
static void follow(struct fr_lane *l)
{
    const struct fr_live *live = l->own.live == NULL ? NULL : atomic_load_explicit(l->own.live, memory_order_acquire);

    if (live != NULL) {
        l->own.cfg = live->cfg;
        l->own.spec = live->spec;
    }
}

int fr_lane_batch(struct fr_lane *l, int timeout_ms)
{
    struct run r;
    enum fr_err e;

    memset(&r, 0, sizeof(r));
    fr_arena_reset(l->ar);
    fr_lane_drop_retired(l);
    r.l = l;
    r.b.work = fr_arena_array(l->ar, (size_t)l->eng->cfg->batch_max_events, sizeof(*r.b.work));
    if (r.b.work == NULL)
        return 0;
    collect(&r, timeout_ms);
    follow(l);
    if (r.b.n == 0)
        return 0;
    r.t0_us = fr_clock_wall_us(l->eng->clock);
    e = process(&r);
    if (e != FR_OK && e != FR_ECLOSED)
        fr_log(FR_LOG_ERROR, "lane", "lane=%d batch=abandoned error=%s records=%d", l->id,
               fr_err_label(e), r.b.n);
    finish(&r, e);
    return r.b.n;
}
