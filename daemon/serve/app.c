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

#define HTTP_STORE_TIMEOUT_MS 500

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
        a->lane[i].progress_us = a->lane[i].turns_us = fr_clock_mono_us(&a->clock);
        a->lane[i].asked_high = -1;
    }
    a->group.lanes_running = true;
    return FR_OK;
}

/* One thread serves HTTP: a Redis that hangs must not hide /healthz for long. */
static enum fr_err connect_http_store(struct fr_app *a, struct fr_fault *fault)
{
    struct fr_config c = a->cfg; /* strings are borrowed */

    if (c.redis_command_timeout_ms > HTTP_STORE_TIMEOUT_MS)
        c.redis_command_timeout_ms = HTTP_STORE_TIMEOUT_MS;
    return fr_connect_store(&c, &a->store_http, fault);
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
        e = fr_connect_store(&a->cfg, &a->store, fault);
    if (e == FR_OK)
        e = connect_http_store(a, fault);
    return e;
}

static enum fr_err make_remote(struct fr_app *a, struct fr_fault *fault)
{
    int32_t n;
    enum fr_err e = check_store(a, fault);

    if (e == FR_OK)
        e = fr_app_load_models(a, &a->cfg, fault);
    atomic_store(&a->models_ok, e == FR_OK);
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
    a->marks.high = fr_calloc((size_t)n * FR_TOPIC_INPUTS, sizeof(*a->marks.high));
    a->marks.n = n;
    if (a->marks.high == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    for (int32_t i = 0; i < n * FR_TOPIC_INPUTS; i++)
        a->marks.high[i] = FR_OFFSET_NONE;
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

static enum fr_err start_http(struct fr_app *a, struct fr_fault *fault)
{
    enum fr_err e;

    if (a->cfg.http_listen[0] == '\0')
        return FR_OK;
    e = fr_http_start(a->cfg.http_listen, (uint16_t)a->cfg.http_port, fr_app_routes, fr_app_n_routes, a, fault,
                      &a->http);
    if (e == FR_OK)
        fr_log(FR_LOG_INFO, "app", "http_listen=%s http_port=%d", a->cfg.http_listen, (int)fr_http_port(a->http));
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
    e = start_http(a, fault); /* first: it says what the rest is waiting for */
    if (e == FR_OK)
        e = make_local(a, fault);
    a->eng = (struct fr_engine){&a->cfg, a->spec, &a->names, &a->clock, a->epochs, NULL, 0, false, &a->live};
    a->group.eng = &a->eng;
    if (e == FR_OK)
        e = fr_group_init(&a->group);
    if (e == FR_OK)
        e = make_remote(a, fault);
    if (e == FR_OK)
        e = start_threads(a, fault);
    if (e != FR_OK) {
        if (fault != NULL && fault->err == FR_OK)
            (void)fr_fault(fault, e, "%s", fr_err_text(e));
        fr_app_stop(a);
        return e;
    }
    atomic_store(&a->built, true);
    *out_app = a;
    return FR_OK;
}

int64_t fr_app_shutdown_timeout_ms(const struct fr_app *app)
{
    return app->cfg.daemon_shutdown_timeout_ms;
}

int fr_app_http_port(const struct fr_app *app)
{
    return app->http == NULL ? 0 : fr_http_port(app->http);
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
    fr_app_live_free(a);
    fr_spec_free(a->spec);
    fr_arena_free(a->ar_http);
    fr_free(a->marks.high);
    fr_free(a->settings);
    fr_free(a->settings_text);
    fr_config_done(&a->cfg);
    (void)pthread_mutex_destroy(&a->http_lock);
    fr_free(a);
}
