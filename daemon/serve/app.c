/*
 * daemon/serve/app.c - see app.h: making the parts in order, and unmaking them.
 */
#include "daemon/serve/app.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/log.h"
#include "daemon/connect.h"
#include "daemon/pipeline/spec_config.h"
#include "daemon/pipeline/take.h"
#include "daemon/serve/app_priv.h"
#include "daemon/stream/kafka_log_reader.h"
#include "daemon/stream/kafka_sink.h"
#include "daemon/stream/kafka_source.h"
#include "daemon/stream/kafka_topics.h"

#define REJOIN_PAUSE_US 2000000
#define REJOINS_MAX 10

/* ---- parts ---- */

/* Redis must be there at the start, and must never evict. */
static enum fr_err check_store(struct fr_app *a, struct fr_fault *fault)
{
    struct fr_store_info info;
    enum fr_err e = fr_store_info(a->store, &info);

    for (int i = 0; i < 50 && e != FR_OK && fr_err_retriable(e); i++) {
        struct timespec ts = {0, 100000000};
        (void)nanosleep(&ts, NULL);
        e = fr_store_info(a->store, &info);
    }
    if (e != FR_OK)
        return fr_fault(fault, e, "redis.address %.100s: %s", a->cfg.redis_address, fr_err_text(e));
    if (strcmp(info.policy, "noeviction") != 0)
        return fr_fault(fault, FR_EREFUSED,
                        "Redis evicts keys (maxmemory-policy %s): user state would be lost; set "
                        "maxmemory-policy noeviction",
                        info.policy);
    fr_log(FR_LOG_INFO, "app", "redis=%s aof=%s cluster=%s", info.version, info.aof ? "on" : "off",
           info.cluster ? "yes" : "no");
    return FR_OK;
}

static enum fr_err make_sink(struct fr_app *a, fr_sink_ack_fn ack, void *ctx, struct fr_sink **out, struct fr_fault *fault)
{
    struct fr_kafka_sink_opts o = {.conn = a->conn,
                                   .names = &a->names,
                                   .linger_ms = (int32_t)a->cfg.kafka_linger_ms,
                                   .message_max_bytes = (int32_t)a->cfg.kafka_message_max_bytes,
                                   .ack = ack,
                                   .ack_ctx = ctx};

    return fr_kafka_sink_new(&o, out, fault);
}

static enum fr_err load_models(const struct fr_config *cfg,
                               struct fr_app *a,
                               struct fr_fault *fault)
{
    struct fr_model *retrieval = NULL, *ranker = NULL;
    enum fr_err e = FR_OK;

    if (cfg->models_retrieval[0] != '\0')
        e = fr_model_load(cfg->models_retrieval, &a->spec->fields, &retrieval, fault);
    if (e == FR_OK && cfg->models_ranker[0] != '\0')
        e = fr_model_load(cfg->models_ranker, &a->spec->fields, &ranker, fault);
    if (e == FR_OK)
        e = fr_epochs_set_models(a->epochs, &retrieval, &ranker, fault);
    fr_model_free(retrieval);
    fr_model_free(ranker);
    return e;
}

static void ignore_ack(void *ctx, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset)
{
    (void)ctx;
    (void)cookie;
    (void)partition;
    (void)offset;
    if (err != FR_OK)
        fr_log(FR_LOG_WARN, "app", "item_dead_letter=%s", fr_err_label(err));
}

/* The embedded broker does not wake a waiting fetch. */
static int32_t fetch_wait(const struct fr_app *a)
{
    int32_t ms = (int32_t)a->cfg.kafka_fetch_wait_max_ms;

    return a->embedded != NULL && ms > FR_KAFKA_EMBEDDED_FETCH_WAIT_MS ? FR_KAFKA_EMBEDDED_FETCH_WAIT_MS : ms;
}

/* 0 = the default */
static int32_t error_backoff(const struct fr_app *a)
{
    return a->embedded != NULL ? FR_KAFKA_EMBEDDED_FETCH_BACKOFF_MS : 0;
}

static enum fr_err make_refresher(struct fr_app *a, struct fr_fault *fault)
{
    struct fr_kafka_log_reader_opts o = {.conn = a->conn,
                                         .topic = a->names.name[FR_TOPIC_ITEMS],
                                         .role = FR_TOPIC_ITEMS,
                                         .fetch_wait_max_ms = fetch_wait(a),
                                         .fetch_error_backoff_ms = error_backoff(a)};
    struct fr_log_reader *reader;
    enum fr_err e = make_sink(a, ignore_ack, a, &a->items_sink, fault);

    if (e == FR_OK)
        e = fr_kafka_log_reader_new(&o, &reader, fault);
    if (e != FR_OK)
        return e;
    e = fr_refresher_new(&a->eng, &reader, a->items_sink, &a->refresher);
    fr_log_reader_free(reader);
    return e == FR_OK ? FR_OK : fr_fault(fault, e, "out of memory");
}

static void wake_lane(void *lane)
{
    fr_lane_wake(lane);
}

static enum fr_err make_lane(struct fr_app *a, int i, struct fr_fault *fault)
{
    struct fr_app_lane *l = &a->lane[i];
    struct fr_lane_config c;
    enum fr_err e = fr_connect_store(&a->cfg, &l->store, fault);

    if (e != FR_OK)
        return e;
    c = (struct fr_lane_config){&a->eng, i, a->src, l->store, NULL};
    e = fr_lane_new(&c, &l->lane);
    if (e != FR_OK)
        return fr_fault(fault, e, "out of memory");
    a->lanes[i] = l->lane;
    a->n_lanes = i + 1;
    e = make_sink(a, fr_outbox_ack, fr_lane_outbox(l->lane), &l->sink, fault);
    if (e == FR_OK)
        fr_outbox_attach(fr_lane_outbox(l->lane), l->sink);
    if (e == FR_OK)
        fr_kafka_sink_on_acks(l->sink, wake_lane, l->lane);
    return e;
}

static enum fr_err make_source(struct fr_app *a, struct fr_fault *fault)
{
    char host[128] = "freshetd";
    struct fr_source_callbacks cb = fr_group_callbacks(&a->group);
    struct fr_kafka_source_opts o = {
        .conn = a->conn,
        .names = &a->names,
        .group = a->cfg.kafka_group,
        .n_lanes = (int)a->cfg.lanes_count,
        .session_timeout_ms = (int32_t)a->cfg.kafka_session_timeout_ms,
        .queued_max_kbytes = (int32_t)a->cfg.kafka_queued_max_kbytes,
        .fetch_wait_max_ms = fetch_wait(a),
        .fetch_error_backoff_ms = error_backoff(a),
    };

    if (gethostname(host, sizeof(host) - 1) != 0)
        memcpy(host, "freshetd", 9);
    o.instance_id = a->cfg.kafka_instance[0] != '\0' ? a->cfg.kafka_instance : host;
    return fr_kafka_source_new(&o, &cb, &a->src, fault);
}

static void *lane_main(void *arg)
{
    fr_lane_run(arg);
    return NULL;
}

static void *refresher_main(void *arg)
{
    fr_refresher_run(arg);
    return NULL;
}

static enum fr_err start_threads(struct fr_app *a, struct fr_fault *fault)
{
    if (pthread_create(&a->refresher_thread, NULL, refresher_main, a->refresher) != 0)
        return fr_fault(fault, FR_ENOMEM, "cannot start a thread");
    a->refresher_running = true;
    for (int i = 0; i < a->n_lanes; i++) {
        if (pthread_create(&a->lane[i].thread, NULL, lane_main, a->lane[i].lane) != 0)
            return fr_fault(fault, FR_ENOMEM, "cannot start a thread");
        a->lane[i].running = true;
        a->lane[i].progress_us = fr_clock_mono_us(&a->clock);
    }
    a->group.lanes_running = true;
    return FR_OK;
}

static enum fr_err make_local(struct fr_app *a, struct fr_fault *fault)
{
    struct fr_epochs_config ec = {.m = (int)a->cfg.index_m,
                                  .ef_construction = (int)a->cfg.index_ef_construction,
                                  .ef_search = (int)a->cfg.index_ef_search};
    enum fr_err e = fr_config_check(&a->cfg, fault);

    if (e == FR_OK)
        e = fr_spec_from_config(&a->cfg, &a->spec, fault);
    if (e == FR_OK)
        e = fr_connect_names(&a->cfg, &a->names, fault);
    if (e == FR_OK)
        e = fr_connect_kafka(&a->cfg, "freshetd", &a->conn, &a->settings, &a->settings_text, fault);
    if (e == FR_OK && fr_app_wants_embedded(&a->cfg)) {
        e = fr_app_embedded_start(&a->cfg, &a->names, &a->embedded, fault);
        if (e == FR_OK)
            a->conn.brokers = fr_kafka_embedded_brokers(a->embedded);
    }
    if (e == FR_OK)
        e = fr_epochs_new(a->spec, &ec, &a->epochs);
    if (e == FR_OK)
        e = fr_arena_new((size_t)1 << 16, 0, &a->ar_http);
    if (e == FR_OK)
        e = load_models(&a->cfg, a, fault);
    if (e == FR_OK)
        e = fr_connect_store(&a->cfg, &a->store, fault);
    if (e == FR_OK)
        e = fr_connect_store(&a->cfg, &a->store_http, fault);
    return e;
}

static enum fr_err make_remote(struct fr_app *a, struct fr_fault *fault)
{
    int32_t n;
    enum fr_err e = check_store(a, fault);

    if (e == FR_OK)
        e = make_source(a, fault);
    if (e == FR_OK)
        e = fr_source_partition_count(a->src, 10000, &n, fault);
    if (e != FR_OK)
        return e;
    a->eng.n_partitions = n;
    e = fr_ticks_new(a->spec, n, &a->ticks);
    if (e != FR_OK)
        return fr_fault(fault, e, "out of memory");
    a->eng.ticks = a->ticks;
    e = make_refresher(a, fault);
    for (int i = 0; i < (int)a->cfg.lanes_count && e == FR_OK; i++)
        e = make_lane(a, i, fault);
    a->group.src = a->src;
    a->group.store = a->store;
    a->group.lanes = a->lanes;
    a->group.n_lanes = a->n_lanes;
    a->group.latest = a->cfg.kafka_start == 1;
    if (e == FR_OK)
        e = fr_take_init_group(a->src, a->store, n, a->group.latest, fault);
    if (e == FR_OK && a->embedded != NULL) {
        e = fr_app_embedded_check(a->store, n, fault);
        if (e == FR_OK)
            fr_app_embedded_announce(a->embedded);
    }
    return e;
}

enum fr_err fr_app_start(struct fr_config *take_cfg, struct fr_app **out_app, struct fr_fault *fault)
{
    struct fr_app *a = fr_calloc(1, sizeof(*a));
    enum fr_err e;

    if (a == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    if (pthread_mutex_init(&a->http_lock, NULL) != 0) {
        fr_free(a);
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    }
    a->cfg = *take_cfg;
    memset(take_cfg, 0, sizeof(*take_cfg));
    fr_log_set_level((enum fr_log_level)a->cfg.log_level);
    fr_clock_init_real(&a->clock);
    e = make_local(a, fault);
    a->eng = (struct fr_engine){&a->cfg, a->spec, &a->names, &a->clock, a->epochs, NULL, 0, false};
    a->group.eng = &a->eng;
    if (e == FR_OK)
        e = fr_group_init(&a->group);
    if (e == FR_OK)
        e = make_remote(a, fault);
    atomic_store(&a->models_ok, e == FR_OK);
    if (e == FR_OK)
        e = start_threads(a, fault);
    if (e == FR_OK && a->cfg.http_listen[0] != '\0')
        e = fr_http_start(a->cfg.http_listen, (uint16_t)a->cfg.http_port, fr_app_routes, fr_app_n_routes,
                          a, fault, &a->http);
    if (e != FR_OK) {
        if (fault != NULL && fault->err == FR_OK)
            (void)fr_fault(fault, e, "%s", fr_err_text(e));
        fr_app_stop(a);
        return e;
    }
    *out_app = a;
    return FR_OK;
}

int fr_app_http_port(const struct fr_app *app)
{
    return app->http == NULL ? 0 : fr_http_port(app->http);
}

/* ---- running ---- */

static bool has_lag(struct fr_app *a, int lane)
{
    struct fr_lane_position pos[64];
    int n = fr_lane_positions(a->lanes[lane], pos, 64);

    for (int i = 0; i < n; i++) {
        int64_t low, high;
        if (fr_source_watermarks(a->src, FR_TOPIC_EVENTS, pos[i].partition, 0, &low, &high) == FR_OK &&
            high > pos[i].pos[FR_TOPIC_EVENTS])
            return true;
    }
    return false;
}

/* A lane with records to read that moves nothing, and is not waiting for Redis or Kafka, is stuck. */
static enum fr_err watch_lanes(struct fr_app *a)
{
    int64_t now = fr_clock_mono_us(&a->clock);

    for (int i = 0; i < a->n_lanes; i++) {
        struct fr_app_lane *l = &a->lane[i];
        struct fr_lane_status st;
        fr_lane_status(l->lane, &st);
        if (st.wants_rejoin && a->rejoin_at_us == 0)
            a->rejoin_at_us = now + REJOIN_PAUSE_US;
        if (st.progress != l->progress || st.stalled || st.n_open == 0) {
            l->progress = st.progress;
            l->progress_us = now;
        } else if (now - l->progress_us > a->cfg.lanes_watchdog_ms * 1000) {
            if (has_lag(a, i)) {
                fr_log(FR_LOG_ERROR, "app", "lane=%d stuck=true", i);
                return FR_ESTATE;
            }
            l->progress_us = now;
        }
    }
    return FR_OK;
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

enum fr_err fr_app_serve(struct fr_app *app, int timeout_ms)
{
    enum fr_err e = fr_source_serve(app->src, timeout_ms);
    int64_t now = fr_clock_mono_us(&app->clock);

    note_broker(app, now);

    if (e != FR_OK)
        return e;
    if (atomic_load(&app->group.refused) > 0 && app->rejoin_at_us == 0)
        app->rejoin_at_us = now + REJOIN_PAUSE_US * (1 + app->rejoins);
    if (app->rejoin_at_us != 0 && now >= app->rejoin_at_us) {
        app->rejoin_at_us = 0;
        if (++app->rejoins > REJOINS_MAX)
            return FR_EREFUSED;
        e = fr_source_rejoin(app->src);
        if (e != FR_OK)
            return e;
    } else if (atomic_load(&app->group.refused) == 0 && atomic_load(&app->group.assigned) > 0 &&
               app->rejoin_at_us == 0) {
        app->rejoins = 0;
    }
    return watch_lanes(app);
}

enum fr_err fr_app_reload(struct fr_app *app, const struct fr_config *next, struct fr_fault *fault)
{
    const char *key = fr_config_needs_restart(&app->cfg, next);
    enum fr_err e;

    if (key != NULL)
        e = fr_fault(fault, FR_EREFUSED, "%s cannot change without a restart", key);
    else
        e = load_models(next, app, fault);
    fr_count(&app->mx, e == FR_OK ? FR_C_MODEL_RELOADS : FR_C_MODEL_RELOADS_FAILED, 1);
    return e;
}

/* ---- end ---- */

static void stop_lanes(struct fr_app *a)
{
    for (int i = 0; i < a->n_lanes; i++)
        if (a->lane[i].running)
            fr_lane_stop(a->lane[i].lane);
    for (int i = 0; i < a->n_lanes; i++)
        if (a->lane[i].running)
            (void)pthread_join(a->lane[i].thread, NULL);
    a->group.lanes_running = false; /* the revoke below closes them on this thread */
}

void fr_app_stop(struct fr_app *a)
{
    if (a == NULL)
        return;
    atomic_store(&a->stopping, true);
    stop_lanes(a);
    if (a->src != NULL && fr_source_close(a->src, (int)a->cfg.daemon_shutdown_timeout_ms) != FR_OK)
        fr_log(FR_LOG_WARN, "app", "close=timeout");
    fr_http_stop(a->http);
    if (a->refresher_running) {
        fr_refresher_stop(a->refresher);
        (void)pthread_join(a->refresher_thread, NULL);
    }
    fr_refresher_free(a->refresher);
    for (int i = 0; i < a->n_lanes; i++)
        if (a->lane[i].sink != NULL)
            fr_kafka_sink_on_acks(a->lane[i].sink, NULL, NULL); /* it would wake a source that is gone */
    fr_source_free(a->src);
    for (int i = 0; i < a->n_lanes; i++) {
        fr_lane_free(a->lane[i].lane);
        fr_sink_free(a->lane[i].sink);
        fr_store_free(a->lane[i].store);
    }
    fr_sink_free(a->items_sink);
    fr_store_free(a->store);
    fr_store_free(a->store_http);
    fr_kafka_embedded_free(a->embedded);
    fr_group_done(&a->group);
    fr_ticks_free(a->ticks);
    fr_epochs_free(a->epochs);
    fr_spec_free(a->spec);
    fr_arena_free(a->ar_http);
    fr_free(a->settings);
    fr_free(a->settings_text);
    fr_config_done(&a->cfg);
    (void)pthread_mutex_destroy(&a->http_lock);
    fr_free(a);
}
