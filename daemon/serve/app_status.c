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

static void readyz(void *ctx, struct fr_str arg, struct fr_http_reply *reply)
{
    struct fr_app *app = ctx;
    struct fr_jsonw w;
    bool ok, stalled = false;
    int open = 0, refused = atomic_load(&app->group.refused), want = atomic_load(&app->group.assigned);
    char reason[FR_FAULT_MSG] = "";
    int64_t now = fr_clock_mono_us(&app->clock);
    int64_t since = atomic_load(&app->broker_down_since_us);

    (void)arg;
    for (int i = 0; i < app->n_lanes; i++) {
        struct fr_lane_status st;
        fr_lane_peek(app->lanes[i], &st);
        open += st.n_open;
        refused += st.n_refused;
        if (st.reason[0] != '\0')
            memcpy(reason, st.reason, sizeof(reason));
        stalled = stalled || (st.stalled_since_us != 0 &&
                              now - st.stalled_since_us > app->cfg.daemon_stalled_ms * 1000);
    }
    fr_jsonw_init(&w, &reply->body);
    fr_jsonw_object(&w);
    ok = condition(&w, "models", atomic_load(&app->models_ok), "no model is loaded");
    ok = condition(&w, "items", fr_refresher_caught_up(app->refresher),
                   "the items topic is still being read") &&
         ok;
    ok = condition(&w, "partitions", want > 0 && refused == 0 && open == want,
                   reason[0] != '\0' ? reason : "the group has not given all partitions yet") &&
         ok;
    ok = condition(&w, "progress", !stalled, "Kafka or Redis keeps the lanes waiting") && ok;
    ok = condition(&w, "kafka", since == 0 || now - since < app->cfg.daemon_stalled_ms * 1000,
                   "no broker has answered for daemon.stalled_ms") &&
         ok;
    ok = condition(&w, "running", !atomic_load(&app->stopping), "shutting down") && ok;
    fr_jsonw_key(&w, "ready");
    fr_jsonw_bool(&w, ok);
    fr_jsonw_end(&w, '}');
    fr_buf_putc(&reply->body, '\n');
    reply->status = ok ? 200 : 503;
}

static void put_lag(struct fr_app *app, struct fr_buf *out)
{
    struct fr_lane_position pos[MAX_POSITIONS];
    int64_t now_ms = fr_clock_wall_ms(&app->clock);
    int n = 0;

    for (int i = 0; i < app->n_lanes && n < MAX_POSITIONS; i++)
        n += fr_lane_positions(app->lanes[i], pos + n, MAX_POSITIONS - n);
    fr_metrics_gauge_head(out, "freshet_input_lag_records", "Records between the position and the log's end");
    for (int i = 0; i < n; i++) {
        for (int r = 0; r < FR_TOPIC_INPUTS; r++) {
            int64_t low, high;
            if (fr_source_watermarks(app->src, (enum fr_topic_role)r, pos[i].partition, 0, &low, &high) != FR_OK)
                continue;
            fr_buf_printf(out, "freshet_input_lag_records{topic=\"%s\",partition=\"%d\"} %lld\n",
                          fr_topic_role_name((enum fr_topic_role)r), (int)pos[i].partition,
                          (long long)(high > pos[i].pos[r] ? high - pos[i].pos[r] : 0));
        }
    }
    fr_metrics_gauge_head(out, "freshet_input_lag_seconds",
                          "Age of the newest event processed while records wait; 0 when none do");
    for (int i = 0; i < n; i++) {
        int64_t low, high, lag = 0;
        if (fr_source_watermarks(app->src, FR_TOPIC_EVENTS, pos[i].partition, 0, &low, &high) == FR_OK &&
            high > pos[i].pos[FR_TOPIC_EVENTS] && pos[i].newest_ts_ms > 0)
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

static void metrics(void *ctx, struct fr_str arg, struct fr_http_reply *reply)
{
    struct fr_app *app = ctx;
    struct fr_metrics *shards[FR_APP_MAX_LANES + 2];
    uint64_t items, indexed, pending;
    int n = 0;

    (void)arg;
    for (int i = 0; i < app->n_lanes; i++)
        shards[n++] = fr_lane_metrics(app->lanes[i]);
    shards[n++] = fr_refresher_metrics(app->refresher);
    shards[n++] = &app->mx;
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    fr_metrics_render(shards, n, &reply->body);
    fr_epochs_sizes(app->epochs, &items, &indexed, &pending);
    gauge(&reply->body, "freshet_catalogue_items", "Items in the catalogue", items);
    gauge(&reply->body, "freshet_index_items", "Items the index can return", indexed);
    gauge(&reply->body, "freshet_index_pending_updates", "Vectors not yet in the graph", pending);
    put_lag(app, &reply->body);
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
    int32_t partition = fr_kafka_partition(id, app->eng.n_partitions);
    struct fr_str record, seen;
    struct fr_user *u;
    enum fr_err e;

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
