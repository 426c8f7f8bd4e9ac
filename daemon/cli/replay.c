/*
 * daemon/cli/replay.c - see replay.h.
 */
#include "daemon/cli/replay.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/arena.h"
#include "daemon/base/clock.h"
#include "daemon/cli/replay_sink.h"
#include "daemon/pipeline/engine.h"
#include "daemon/pipeline/group.h"
#include "daemon/pipeline/lane.h"
#include "daemon/pipeline/outbox.h"
#include "daemon/pipeline/take.h"
#include "daemon/pipeline/ticks.h"
#include "daemon/metrics.h"
#include "daemon/stream/item_codec.h"
#include "daemon/stream/memory_log.h"
#include "daemon/stream/memory_source.h"
#include "features/store_memory.h"
#include "features/user_codec.h"
#include "models/model.h"

#define GROUP "replay"
#define CLOSE_MS 60000
#define IDLE_TURNS 1000 /* turns without a record before the lane counts as stuck */

struct fr_replay {
    struct fr_replay_opts o;
    struct fr_topic_names names;
    struct fr_clock clock; /* manual: the newest event time, so that outputs repeat */
    struct fr_clock real;
    struct fr_epochs *epochs;
    struct fr_ticks *ticks;
    struct fr_engine eng;
    struct fr_memory_log *log;
    struct fr_store_memory_data *data;
    struct fr_store *store_main, *store_lane;
    struct fr_group group;
    bool group_made;
    struct fr_source *src;
    struct fr_lane *lane;
    struct fr_sink *sink;
    struct fr_arena *ar;
    uint64_t appended;
    int64_t newest_ms;
    double seconds;
};

static enum fr_err load_models(struct fr_replay *r, struct fr_fault *fault)
{
    const struct fr_config *cfg = r->o.cfg;
    struct fr_model *retrieval = NULL, *ranker = NULL;
    enum fr_err e = FR_OK;

    if (cfg->models_retrieval[0] != '\0')
        e = fr_model_load(cfg->models_retrieval, &r->o.spec->fields, &retrieval, fault);
    if (e == FR_OK && cfg->models_ranker[0] != '\0')
        e = fr_model_load(cfg->models_ranker, &r->o.spec->fields, &ranker, fault);
    if (e == FR_OK)
        e = fr_epochs_set_models(r->epochs, &retrieval, &ranker, fault);
    fr_model_free(retrieval);
    fr_model_free(ranker);
    return e;
}

static enum fr_err make_parts(struct fr_replay *r)
{
    const struct fr_config *cfg = r->o.cfg;
    struct fr_epochs_config ec = {.m = (int)cfg->index_m,
                                  .ef_construction = (int)cfg->index_ef_construction,
                                  .ef_search = (int)cfg->index_ef_search,
                                  .flat = true};
    enum fr_err e = fr_topic_names_init(&r->names, NULL);

    fr_clock_init_real(&r->real);
    fr_clock_init_manual(&r->clock, 0);
    if (e == FR_OK)
        e = fr_epochs_new(r->o.spec, &ec, &r->epochs);
    if (e == FR_OK)
        e = fr_ticks_new(r->o.spec, r->o.partitions, &r->ticks);
    if (e == FR_OK)
        e = fr_memory_log_new(&r->log);
    if (e == FR_OK)
        e = fr_memory_log_create_all(r->log, &r->names, r->o.partitions);
    if (e == FR_OK)
        e = fr_store_memory_data_new(&r->data);
    if (e == FR_OK)
        e = fr_store_memory_new(r->data, &r->store_main);
    if (e == FR_OK)
        e = fr_store_memory_new(r->data, &r->store_lane);
    if (e == FR_OK)
        e = fr_arena_new((size_t)1 << 16, 0, &r->ar);
    r->eng = (struct fr_engine){.cfg = cfg, .spec = r->o.spec, .names = &r->names, .clock = &r->clock,
                                .epochs = r->epochs, .ticks = r->ticks, .n_partitions = r->o.partitions,
                                .deterministic = true};
    return e;
}

static enum fr_err make_lane(struct fr_replay *r, struct fr_fault *fault)
{
    struct fr_memory_source_opts so = {.log = r->log, .names = &r->names, .group = GROUP, .n_lanes = 1};
    struct fr_replay_sink_opts ko = {r->o.lists, r->o.examples, r->o.dead, fr_outbox_ack, NULL};
    struct fr_source_callbacks cb;
    struct fr_lane_config lc;
    enum fr_err e;

    r->group.eng = &r->eng;
    r->group.store = r->store_main;
    r->group.lanes = &r->lane;
    r->group.n_lanes = 1;
    e = fr_group_init(&r->group);
    if (e != FR_OK)
        return e;
    r->group_made = true;
    cb = fr_group_callbacks(&r->group);
    e = fr_memory_source_new(&so, &cb, &r->src, fault);
    r->group.src = r->src;
    if (e == FR_OK)
        e = fr_take_init_group(r->src, r->store_main, r->o.partitions, false, fault);
    if (e != FR_OK)
        return e;
    lc = (struct fr_lane_config){&r->eng, 0, r->src, r->store_lane, NULL};
    e = fr_lane_new(&lc, &r->lane);
    if (e != FR_OK)
        return e;
    ko.ack_ctx = fr_lane_outbox(r->lane);
    e = fr_replay_sink_new(&ko, &r->sink);
    if (e == FR_OK)
        fr_outbox_attach(fr_lane_outbox(r->lane), r->sink);
    return e;
}

enum fr_err fr_replay_new(const struct fr_replay_opts *o, struct fr_replay **out, struct fr_fault *fault)
{
    struct fr_replay *r = fr_calloc(1, sizeof(*r));
    enum fr_err e;

    if (r == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    r->o = *o;
    e = make_parts(r);
    if (e == FR_OK)
        e = load_models(r, fault);
    if (e == FR_OK)
        e = make_lane(r, fault);
    if (e != FR_OK) {
        if (fault != NULL && fault->err == FR_OK)
            (void)fr_fault(fault, e, "%s", fr_err_text(e));
        fr_replay_free(r);
        return e;
    }
    *out = r;
    return FR_OK;
}

enum fr_err fr_replay_item(struct fr_replay *r, struct fr_str key, struct fr_str value)
{
    struct fr_item_record rec;
    struct fr_codec_error ce;
    enum fr_err e;

    fr_arena_reset(r->ar);
    e = fr_item_decode(r->o.spec, r->ar, key, value, &rec, &ce);
    return e == FR_OK ? fr_epochs_put(r->epochs, &rec, 1) : e;
}

enum fr_err fr_replay_event(struct fr_replay *r, struct fr_str key, struct fr_str value, int64_t ts_ms)
{
    struct fr_memory_record rec = {0, ts_ms, key, value, NULL, 0};
    enum fr_err e = fr_memory_log_append(r->log, r->names.name[FR_TOPIC_EVENTS], FR_PARTITION_BY_KEY, &rec, NULL, NULL);

    r->appended += e == FR_OK;
    if (ts_ms > r->newest_ms)
        r->newest_ms = ts_ms;
    return e;
}

static uint64_t counter(const struct fr_replay *r, enum fr_counter c)
{
    return atomic_load_explicit(&fr_lane_metrics(r->lane)->c[c], memory_order_relaxed);
}

static uint64_t handled(const struct fr_replay *r)
{
    return counter(r, FR_C_EVENTS_APPLIED) + counter(r, FR_C_EVENTS_DUPLICATE) + counter(r, FR_C_EVENTS_DEAD);
}

enum fr_err fr_replay_run(struct fr_replay *r, struct fr_fault *fault)
{
    int64_t start = fr_clock_mono_us(&r->real), now_us = r->newest_ms * 1000;
    enum fr_err e = FR_OK;

    if (now_us > fr_clock_wall_us(&r->clock))
        fr_clock_advance(&r->clock, now_us - fr_clock_wall_us(&r->clock));
    for (int idle = 0; e == FR_OK && handled(r) < r->appended; idle++) {
        e = fr_source_serve(r->src, 0);
        if (e == FR_OK && fr_lane_step(r->lane, 0) > 0)
            idle = 0;
        if (idle > IDLE_TURNS) {
            struct fr_lane_status st;
            fr_lane_status(r->lane, &st);
            return fr_fault(fault, FR_ESTATE, "the lane does not go on: %s%s", st.reason, r->group.reason);
        }
    }
    if (e == FR_OK)
        e = fr_sink_flush(r->sink, CLOSE_MS);
    r->seconds += (double)(fr_clock_mono_us(&r->real) - start) / 1e6;
    return e == FR_OK ? e : fr_fault(fault, e, "%s%s", e == FR_EIO ? "an output file: " : "", fr_err_text(e));
}

void fr_replay_counts(const struct fr_replay *r, struct fr_replay_counts *out)
{
    *out = (struct fr_replay_counts){counter(r, FR_C_EVENTS_APPLIED), counter(r, FR_C_EVENTS_DUPLICATE),
                                     counter(r, FR_C_EVENTS_DEAD), counter(r, FR_C_RECS_EVENT), r->seconds};
}

/* ---- users ---- */

struct writer {
    const struct fr_replay *r;
    FILE *f;
    struct fr_arena *ar;
    struct fr_buf b;
    struct fr_fault *fault;
    enum fr_err err;
};

static void write_user(void *ctx, const char *key, struct fr_str value)
{
    struct writer *w = ctx;
    const char *mark = strchr(key, ':'); /* <partition>:<kind>:<id>, as the memory store has it */
    struct fr_user *u;

    if (mark == NULL || strncmp(mark, ":u:", 3) != 0 || w->err != FR_OK)
        return;
    fr_arena_reset(w->ar);
    w->err = fr_user_decode(w->r->o.spec, w->ar, value, &u, w->fault);
    if (w->err != FR_OK)
        return;
    fr_buf_clear(&w->b);
    fr_user_to_json(w->r->o.spec, u, fr_str_z(mark + 3), u->last_ts, &w->b);
    fr_buf_putc(&w->b, '\n');
    w->err = fr_buf_err(&w->b);
    if (w->err == FR_OK && fwrite(w->b.p, 1, w->b.n, w->f) != w->b.n)
        w->err = FR_EIO;
}

enum fr_err fr_replay_write_users(struct fr_replay *r, FILE *f, struct fr_fault *fault)
{
    struct writer w = {r, f, NULL, {0}, fault, FR_OK};
    enum fr_err e = fr_arena_new((size_t)1 << 14, 0, &w.ar);

    if (e != FR_OK)
        return fr_fault(fault, e, "out of memory");
    fr_buf_init(&w.b);
    fr_store_memory_each(r->data, write_user, &w);
    fr_buf_done(&w.b);
    fr_arena_free(w.ar);
    return w.err == FR_OK || w.err == FR_ECORRUPT ? w.err : fr_fault(fault, w.err, "users: %s", fr_err_text(w.err));
}

void fr_replay_free(struct fr_replay *r)
{
    if (r == NULL)
        return;
    if (r->src != NULL && fr_source_close(r->src, CLOSE_MS) != FR_OK)
        (void)0; /* nothing outside depends on an orderly end */
    fr_source_free(r->src);
    fr_lane_free(r->lane);
    fr_sink_free(r->sink);
    fr_store_free(r->store_main);
    fr_store_free(r->store_lane);
    if (r->group_made)
        fr_group_done(&r->group);
    fr_epochs_free(r->epochs);
    fr_ticks_free(r->ticks);
    fr_memory_log_free(r->log);
    fr_store_memory_data_free(r->data);
    fr_arena_free(r->ar);
    fr_free(r);
}
