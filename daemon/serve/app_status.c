/*
 * daemon/serve/app_status.c - what the daemon says of itself over HTTP: health, readiness, metrics,
 * and the state of one user.
 */
#include <string.h>

#include "daemon/base/json.h"
#include "daemon/serve/app_priv.h"
#include "features/user.h"
#include "features/user_codec.h"

#define MAX_POSITIONS 1024
#define MARKS_EVERY_US 1000000
#define MARKS_BUDGET_US 300000

static void healthz(void *ctx, struct fr_str arg, struct fr_http_reply *reply)
{
    (void)ctx;
    (void)arg;
    fr_buf_puts(&reply->body, "{\"status\":\"ok\"}\n");
}

/* One condition of readiness. */
static bool condition(struct fr_jsonw *w, const char *name, bool ok, const char *reason)
{
    fr_jsonw_key(w, name);
    fr_jsonw_object(w);
    fr_jsonw_key(w, "ok");
    fr_jsonw_bool(w, ok);
    if (!ok) {
        fr_jsonw_key(w, "reason");
        fr_jsonw_z(w, reason);
    }
    fr_jsonw_end(w, '}');
    return ok;
}

/* What the lanes say together. */
struct lanes_view {
    int open, refused;
    bool stalled;
    char reason[FR_FAULT_MSG];
};

static void look_at_lanes(struct fr_app *app, struct lanes_view *v)
{
    int64_t now = fr_clock_mono_us(&app->clock);

    memset(v, 0, sizeof(*v));
    fr_group_reason(&app->group, v->reason);
    v->refused = atomic_load(&app->group.refused);
    for (int i = 0; i < app->n_lanes; i++) {
        struct fr_lane_status st;
        fr_lane_peek(app->lanes[i], &st);
        v->open += st.n_open;
        v->refused += st.n_refused;
        if (st.n_refused > 0 && st.reason[0] != '\0')
            memcpy(v->reason, st.reason, sizeof(v->reason));
        v->stalled = v->stalled || (st.stalled_since_us != 0 &&
                                    now - st.stalled_since_us > app->cfg.daemon_stalled_ms * 1000);
    }
}

/* The conditions of /readyz; tests/proc/test_readyz.c makes each of them false and true again. */
static bool conditions(struct fr_app *app, struct fr_jsonw *w)
{
    bool built = atomic_load(&app->built), taken = false, caught_up = false, kafka = true;
    struct lanes_view v = {0, 0, false, ""};
    bool ok;

    if (built) {
        int want = atomic_load(&app->group.assigned);
        int64_t since = atomic_load(&app->broker_down_since_us);
        look_at_lanes(app, &v);
        caught_up = fr_refresher_caught_up(app->refresher);
        taken = want > 0 && v.refused == 0 && v.open == want;
        kafka = since == 0 || fr_clock_mono_us(&app->clock) - since < app->cfg.daemon_stalled_ms * 1000;
    }
    ok = condition(w, "models", atomic_load(&app->models_ok), "the models are not loaded yet");
    ok = condition(w, "items", caught_up, "the items topic is still being read") && ok;
    ok = condition(w, "partitions", taken,
                   v.reason[0] != '\0' ? v.reason : "the group has not given all partitions yet") && ok;
    ok = condition(w, "progress", !v.stalled, "Kafka or Redis has kept a lane waiting for daemon.stalled_ms") && ok;
    ok = condition(w, "lanes", !atomic_load(&app->stuck),
                   "a lane has moved nothing for lanes.watchdog_ms: the process is about to end") && ok;
    ok = condition(w, "kafka", kafka, "no broker has answered for daemon.stalled_ms") && ok;
    return condition(w, "running", !atomic_load(&app->stopping), "shutting down") && ok;
}

static void readyz(void *ctx, struct fr_str arg, struct fr_http_reply *reply)
{
    struct fr_app *app = ctx;
    struct fr_jsonw w;
    bool ok;

    (void)arg;
    fr_jsonw_init(&w, &reply->body);
    fr_jsonw_object(&w);
    ok = conditions(app, &w);
    fr_jsonw_key(&w, "ready");
    fr_jsonw_bool(&w, ok);
    fr_jsonw_end(&w, '}');
    fr_buf_putc(&reply->body, '\n');
    reply->status = ok ? 200 : 503;
}

/* Ask for the logs' ends, but not oftener than once a second, and stop asking when it takes long: what
 * fetching has told is used then, which is old while the lane does not read. */
static void refresh_marks(struct fr_app *app, const struct fr_lane_position *pos, int n)
{
    struct fr_app_marks *m = &app->marks;
    int64_t now = fr_clock_mono_us(&app->clock), until = now + MARKS_BUDGET_US;
    bool ask = atomic_load(&app->broker_down_since_us) == 0;

    if (m->high == NULL || (m->asked_us != 0 && now - m->asked_us < MARKS_EVERY_US))
        return;
    m->asked_us = now;
    for (int i = 0; i < n; i++) {
        for (int r = 0; r < FR_TOPIC_INPUTS; r++) {
            int64_t *at = &m->high[(size_t)pos[i].partition * FR_TOPIC_INPUTS + (size_t)r];
            int64_t low, high, left = until - fr_clock_mono_us(&app->clock);
            enum fr_err e = FR_ETIMEOUT;
            if (ask && left > 0)
                e = fr_source_watermarks(app->src, (enum fr_topic_role)r, pos[i].partition,
                                         (int)(left / 1000) + 1, &low, &high);
            ask = ask && e == FR_OK;
            if (e != FR_OK)
                e = fr_source_watermarks(app->src, (enum fr_topic_role)r, pos[i].partition, 0, &low, &high);
            *at = e == FR_OK ? high : FR_OFFSET_NONE;
        }
    }
}

static int64_t records_behind(const struct fr_app *app, const struct fr_lane_position *pos, int role)
{
    int64_t high = app->marks.high[(size_t)pos->partition * FR_TOPIC_INPUTS + (size_t)role];

    if (high == FR_OFFSET_NONE)
        return -1;
    return high > pos->pos[role] ? high - pos->pos[role] : 0;
}

static void put_lag(struct fr_app *app, struct fr_buf *out)
{
    struct fr_lane_position pos[MAX_POSITIONS];
    int64_t now_ms = fr_clock_wall_ms(&app->clock);
    int n = 0;

    for (int i = 0; i < app->n_lanes && n < MAX_POSITIONS; i++)
        n += fr_lane_positions(app->lanes[i], pos + n, MAX_POSITIONS - n);
    for (int i = 0; i < n; i++)
        if (pos[i].partition >= app->marks.n)
            pos[i--] = pos[--n]; /* partitions added while we run: they are never opened, but be sure */
    refresh_marks(app, pos, n);
    fr_metrics_gauge_head(out, "freshet_input_lag_records", "Records between the position and the log's end");
    for (int i = 0; i < n; i++) {
        for (int r = 0; r < FR_TOPIC_INPUTS; r++) {
            int64_t behind = records_behind(app, &pos[i], r);
            if (behind >= 0)
                fr_buf_printf(out, "freshet_input_lag_records{topic=\"%s\",partition=\"%d\"} %lld\n",
                              fr_topic_role_name((enum fr_topic_role)r), (int)pos[i].partition, (long long)behind);
        }
    }
    fr_metrics_gauge_head(out, "freshet_input_lag_seconds",
                          "Age of the newest event processed while records wait; 0 when none do");
    for (int i = 0; i < n; i++) {
        int64_t lag = 0;
        if (records_behind(app, &pos[i], FR_TOPIC_EVENTS) > 0 && pos[i].newest_ts_ms > 0)
            lag = now_ms - pos[i].newest_ts_ms;
        fr_buf_printf(out, "freshet_input_lag_seconds{topic=\"events\",partition=\"%d\"} %.3f\n",
                      (int)pos[i].partition, (double)(lag < 0 ? 0 : lag) / 1000.0);
    }
}

static void gauge(struct fr_buf *out, const char *name, const char *help, uint64_t v)
{
    fr_metrics_gauge_head(out, name, help);
    fr_buf_printf(out, "%s %llu\n", name, (unsigned long long)v);
}

/* Which models serve: versions by job, absent when there is none. */
static void put_models(struct fr_app *app, struct fr_buf *out)
{
    struct fr_epoch ep;

    fr_epochs_pin(app->epochs, &ep);
    fr_metrics_gauge_head(out, "freshet_model_version", "Version of the serving model");
    for (int job = 0; job < 2; job++) {
        const struct fr_model *m = job == 0 ? ep.retrieval : ep.ranker;
        if (m != NULL)
            fr_buf_printf(out, "freshet_model_version{job=\"%s\",kind=\"%s\"} %llu\n",
                          job == 0 ? "retrieval" : "ranker", fr_model_kind_name(fr_model_info(m)->kind),
                          (unsigned long long)fr_model_info(m)->version);
    }
    fr_epochs_unpin(app->epochs, &ep);
}

static void put_gauges(struct fr_app *app, struct fr_buf *out)
{
    struct lanes_view v;
    uint64_t items, indexed, pending;

    fr_epochs_sizes(app->epochs, &items, &indexed, &pending);
    gauge(out, "freshet_catalogue_items", "Items in the catalogue", items);
    gauge(out, "freshet_index_items", "Items the index can return", indexed);
    gauge(out, "freshet_index_pending_updates", "Vectors not yet in the graph", pending);
    put_models(app, out);
    look_at_lanes(app, &v);
    fr_metrics_gauge_head(out, "freshet_partitions", "Partitions of events this process has, by state");
    fr_buf_printf(out, "freshet_partitions{state=\"open\"} %d\nfreshet_partitions{state=\"refused\"} %d\n", v.open,
                  v.refused);
    put_lag(app, out);
}

static void metrics(void *ctx, struct fr_str arg, struct fr_http_reply *reply)
{
    struct fr_app *app = ctx;
    struct fr_metrics *shards[FR_APP_MAX_LANES + 2];
    bool built = atomic_load(&app->built);
    int n = 0;

    (void)arg;
    for (int i = 0; built && i < app->n_lanes; i++)
        shards[n++] = fr_lane_metrics(app->lanes[i]);
    if (built)
        shards[n++] = fr_refresher_metrics(app->refresher);
    shards[n++] = &app->mx;
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    fr_metrics_render(shards, n, &reply->body);
    if (built)
        put_gauges(app, &reply->body);
}

static void user_error(struct fr_http_reply *reply, int status, const char *text)
{
    reply->status = status;
    fr_buf_printf(&reply->body, "{\"error\":\"%s\"}\n", text);
}

/* GET /v1/users/{id}: read only, straight from the store. */
static void user(void *ctx, struct fr_str id, struct fr_http_reply *reply)
{
    struct fr_app *app = ctx;
    struct fr_str record, seen;
    struct fr_user *u;
    int32_t partition;
    enum fr_err e;

    if (!atomic_load(&app->built)) {
        user_error(reply, 503, "starting");
        return;
    }
    partition = fr_kafka_partition(id, app->eng.n_partitions);
    if (!fr_utf8_valid(id)) {
        user_error(reply, 400, "the id is not UTF-8");
        return;
    }
    (void)pthread_mutex_lock(&app->http_lock);
    fr_arena_reset(app->ar_http);
    e = fr_store_get_user(app->store_http, partition, id, app->ar_http, &record, &seen);
    if (e != FR_OK) {
        user_error(reply, 503, "the store does not answer");
    } else if (record.p == NULL) {
        user_error(reply, 404, "no such user");
    } else {
        e = fr_user_decode(app->spec, app->ar_http, record, &u, NULL);
        if (e != FR_OK)
            user_error(reply, 500, "the stored record is corrupt");
        else
            fr_user_to_json(app->spec, u, id, fr_clock_wall_ms(&app->clock), &reply->body);
    }
    (void)pthread_mutex_unlock(&app->http_lock);
}

const struct fr_http_route fr_app_routes[] = {
    {"/healthz", healthz}, {"/readyz", readyz}, {"/metrics", metrics}, {"/v1/users/", user}};
const int fr_app_n_routes = (int)(sizeof(fr_app_routes) / sizeof(fr_app_routes[0]));
