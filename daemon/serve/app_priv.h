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

/* Ends of the input logs as asked from the broker, at most once a second. */
struct fr_app_marks {
    int64_t *high; /* by partition and role; FR_OFFSET_NONE = not known */
    int32_t n;     /* partitions */
    int64_t asked_us;
};

struct fr_app_lane {
    struct fr_lane *lane;
    struct fr_store *store;
    struct fr_sink *sink;
    pthread_t thread;
    bool running;
    int64_t progress; /* newest seen by main, and when it last changed or no record waited */
    int64_t progress_us;
    int64_t turns; /* the same of the thread's turns */
    int64_t turns_us;
    int64_t asked_high; /* sum of the logs' ends when nothing was delivered and the group was rejoined */
};

/* A configuration taken over by a reload. Kept until the end: a lane may still be using it, and a reload
 * that changes keys is rare. */
struct fr_app_live {
    struct fr_live pub;
    struct fr_config cfg;
    struct fr_spec *spec;
    struct fr_app_live *older;
};

struct fr_app {
    struct fr_config cfg; /* as started */
    const struct fr_live *_Atomic live; /* newest reload's, or NULL */
    struct fr_app_live *lives;          /* main's */
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
    _Atomic bool built; /* everything above may be used by the HTTP thread */
    _Atomic bool models_ok;
    _Atomic bool stuck; /* a lane moves nothing though it could */
    _Atomic bool stopping;
    _Atomic int64_t broker_down_since_us; /* monotonic; 0 = a broker answers */
    int64_t rejoin_at_us;
    int rejoins;
    int64_t counted_us;
    struct fr_app_marks marks; /* the HTTP thread's */
};

/* app_reload.c */
enum fr_err fr_app_load_models(struct fr_app *a, const struct fr_config *cfg, struct fr_fault *fault);
void fr_app_live_free(struct fr_app *a);
/* What is in force now. @thread main */
const struct fr_config *fr_app_cfg(const struct fr_app *a);

/* app_status.c */
extern const struct fr_http_route fr_app_routes[];
extern const int fr_app_n_routes;

#endif
