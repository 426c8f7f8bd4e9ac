/*
 * daemon/serve/app_priv.h - the daemon's parts, shared by app*.c.
 */
#ifndef FR_SERVE_APP_PRIV_H
#define FR_SERVE_APP_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/pipeline/engine.h"
#include "daemon/pipeline/group.h"
#include "daemon/pipeline/lane.h"
#include "daemon/pipeline/refresher.h"
#include "daemon/pipeline/ticks.h"
#include "daemon/serve/app.h"
#include "daemon/serve/app_embedded.h"
#include "daemon/serve/http.h"
#include "daemon/stream/kafka_conf.h"

#define FR_APP_MAX_LANES 256

struct fr_app_lane {
    struct fr_lane *lane;
    struct fr_store *store;
    struct fr_sink *sink;
    pthread_t thread;
    bool running;
    int64_t progress; /* newest seen by main, and when */
    int64_t progress_us;
};

struct fr_app {
    struct fr_config cfg;
    struct fr_spec *spec;
    struct fr_topic_names names;
    struct fr_clock clock;
    struct fr_epochs *epochs;
    struct fr_ticks *ticks;
    struct fr_engine eng;
    struct fr_kafka_setting *settings;
    struct fr_kafka_conn conn;
    char *settings_text;
    struct fr_kafka_embedded *embedded; /* nullable: kafka.brokers is "embedded" */
    struct fr_store *store;      /* main's */
    struct fr_store *store_http; /* the HTTP thread's, under http_lock */
    pthread_mutex_t http_lock;
    struct fr_arena *ar_http;
    struct fr_source *src;
    struct fr_group group;
    struct fr_app_lane lane[FR_APP_MAX_LANES];
    struct fr_lane *lanes[FR_APP_MAX_LANES];
    int n_lanes;
    struct fr_sink *items_sink;
    struct fr_refresher *refresher;
    pthread_t refresher_thread;
    bool refresher_running;
    struct fr_http *http;
    struct fr_metrics mx; /* main's */
    _Atomic bool models_ok;
    _Atomic bool stopping;
    _Atomic int64_t broker_down_since_us; /* monotonic; 0 = a broker answers */
    int64_t rejoin_at_us;
    int rejoins;
};

/* app_status.c */
extern const struct fr_http_route fr_app_routes[];
extern const int fr_app_n_routes;

#endif
