/*
 * daemon/cli/cmd_demo.c - `freshet demo`: everything embedded, from nothing to live recommendations.
 *
 * However it ends - the time is over, a signal at any moment, a child that dies - its children are ended
 * and its folder is removed before it returns.
 */
#include "daemon/cli/cmd_demo.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/buf.h"
#include "daemon/cli/demo.h"
#include "daemon/cli/stop_signal.h"
#include "daemon/config.h"

#define POLL_MS 20
#define APPLY_MS 120000
#define FIRST_LIST_US 60000000 /* a group's first join on the embedded broker takes seconds */

enum fr_err fr_demo_run(struct fr_demo *d, const char *name, const char *const argv[], struct fr_fault *fault)
{
    struct fr_child c;
    enum fr_err e = fr_child_start(name, argv, NULL, &c, fault);

    (void)d;
    if (e != FR_OK)
        return e;
    while (fr_child_running(&c)) {
        if (fr_stop_signal_asked()) {
            fr_child_stop(&c, 2000, fr_stop_signal_urgent);
            return fr_fault(fault, FR_ECLOSED, "stopped");
        }
        fr_stop_signal_sleep(POLL_MS);
    }
    return c.status == 0 ? FR_OK : fr_fault(fault, FR_ESTATE, "%s failed with status %d", name, c.status);
}

static void say(const char *what)
{
    (void)fprintf(stderr, "%s\n", what);
}

static enum fr_err train(struct fr_demo *d, struct fr_fault *fault)
{
    char self[FR_DEMO_PATH], events[FR_DEMO_PATH], items[FR_DEMO_PATH], out[FR_DEMO_PATH];
    const char *const argv[] = {fr_demo_home_program(&d->home, "freshet", self), "train",
                                "--config", d->home.config,
                                "--events", fr_demo_home_path(&d->home, "past.jsonl", events),
                                "--items", fr_demo_home_path(&d->home, "items.jsonl", items),
                                "--out", fr_demo_home_path(&d->home, "models", out), NULL};

    return fr_demo_run(d, "freshet train", argv, fault);
}

/* Catalogue first, so that no event of the past names an item that is not known yet. */
static enum fr_err send_past(struct fr_demo *d, struct fr_fault *fault)
{
    char path[FR_DEMO_PATH];
    struct fr_demo_metrics *m = &d->at_start;
    uint64_t items;
    enum fr_err e = fr_demo_link_send_file(&d->link, FR_TOPIC_ITEMS, fr_demo_home_path(&d->home, "items.jsonl", path),
                                           0, UINT64_MAX, d->titles, fault);

    items = d->link.sent;
    if (e == FR_OK)
        e = fr_demo_link_send_file(&d->link, FR_TOPIC_EVENTS, fr_demo_home_path(&d->home, "past.jsonl", path), 0,
                                   UINT64_MAX, NULL, fault);
    if (e == FR_OK)
        e = fr_demo_link_flush(&d->link, fault);
    for (int waited = 0; e == FR_OK; waited += POLL_MS) {
        if (fr_demo_metrics_read(d->home.http_port, m) == FR_OK && m->items >= items &&
            m->events >= d->link.sent - items)
            return FR_OK;
        if (waited >= APPLY_MS)
            return fr_fault(fault, FR_ETIMEOUT, "the past is not applied after %d s", APPLY_MS / 1000);
        if (fr_stop_signal_asked())
            return fr_fault(fault, FR_ECLOSED, "stopped");
        e = fr_demo_home_check(&d->home, fault);
        fr_stop_signal_sleep(POLL_MS);
    }
    return e;
}

/* Freshness by the daemon's own account; the past, which is old by nature, is left out. */
static void read_metrics(struct fr_demo *d)
{
    struct fr_demo_metrics m;

    if (fr_demo_metrics_read(d->home.http_port, &m) != FR_OK)
        return;
    d->figures.daemon_p50_ms = fr_demo_buckets_ms(&m.recommendation, &d->at_start.recommendation, 0.5);
    d->figures.daemon_p99_ms = fr_demo_buckets_ms(&m.recommendation, &d->at_start.recommendation, 0.99);
    d->figures.feature_p50_ms = fr_demo_buckets_ms(&m.feature, &d->at_start.feature, 0.5);
    d->figures.feature_p99_ms = fr_demo_buckets_ms(&m.feature, &d->at_start.feature, 0.99);
}

/* One round of the live part. @return false when it is over */
static bool round_of(struct fr_demo *d, int64_t start, enum fr_err *e, struct fr_fault *fault)
{
    int64_t now;

    *e = d->side->step(d, fault);
    if (*e == FR_OK)
        *e = fr_demo_home_check(&d->home, fault);
    if (*e != FR_OK || fr_stop_signal_asked())
        return false;
    now = fr_clock_mono_us(&d->clock);
    if (d->first_list_us == 0) {
        if (now - start > FIRST_LIST_US)
            *e = fr_fault(fault, FR_ETIMEOUT, "no recommendation within %d s", FIRST_LIST_US / 1000000);
        return *e == FR_OK;
    }
    d->figures.seconds = (double)(now - d->first_list_us) / 1e6;
    if (fr_demo_view_due(&d->view, now)) {
        read_metrics(d);
        d->side->figures(d);
        fr_demo_view_draw(&d->view, &d->figures, now);
    }
    return !d->over && (d->o->seconds == 0 || d->figures.seconds < (double)d->o->seconds);
}

static enum fr_err live(struct fr_demo *d, struct fr_fault *fault)
{
    int64_t start = fr_clock_mono_us(&d->clock);
    enum fr_err e = d->side->begin(d, fault);

    if (e != FR_OK)
        return e;
    while (round_of(d, start, &e, fault))
        ;
    if (d->first_list_us == 0)
        return e;
    read_metrics(d);
    d->side->figures(d);
    fr_demo_view_summary(&d->view, &d->figures);
    return e;
}

static enum fr_err go(struct fr_demo *d, struct fr_fault *fault)
{
    struct fr_demo_settings set = {.http_port = (int)d->o->port, .partitions = 4};
    char addresses[512];
    enum fr_err e = d->side->settings(d, &set, fault);

    if (e == FR_OK)
        e = fr_demo_home_open(&d->home, &set, fault);
    if (e == FR_OK)
        e = d->side->make_past(d, fault);
    if (e != FR_OK)
        return e;
    say("training Two-Tower and DeepFM on the past ...");
    e = train(d, fault);
    if (e != FR_OK)
        return e;
    say("starting redis-server and freshetd with an embedded broker ...");
    e = fr_demo_home_start(&d->home, fr_clock_wall_ms(&d->clock), fault);
    if (e == FR_OK)
        e = fr_demo_link_open(&d->link, d->home.brokers, fault);
    if (e != FR_OK)
        return e;
    (void)snprintf(addresses, sizeof(addresses), "kafka %s   http://127.0.0.1:%d   redis unix:%s/redis.sock",
                   d->home.brokers, d->home.http_port, d->home.dir);
    (void)fprintf(stderr, "%s\n", addresses);
    say("bringing the past into the features ...");
    e = send_past(d, fault);
    if (e != FR_OK)
        return e;
    fr_demo_view_init(&d->view, d->o->data == NULL, addresses);
    return live(d, fault);
}

static int demo(const struct fr_demo_opts *o)
{
    static struct fr_demo d; /* large, one a process */
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    enum fr_err e;
    int rc = FR_EXIT_OK;

    d.o = o;
    d.side = o->data != NULL ? &fr_demo_record_side : &fr_demo_shop_side;
    d.figures.p50_ms = d.figures.p99_ms = d.figures.daemon_p50_ms = d.figures.daemon_p99_ms = (double)NAN;
    d.figures.feature_p50_ms = d.figures.feature_p99_ms = (double)NAN;
    d.figures.ctr = d.figures.random = d.figures.oracle = d.figures.captured = (double)NAN;
    d.figures.captured_pm = d.figures.hit_rate = d.figures.popular_hit_rate = (double)NAN;
    fr_clock_init_real(&d.clock);
    fr_stop_signal_install(true);
    fr_config_drop_env(); /* or the daemon would run on the caller's Kafka and Redis */
    e = fr_titles_new(&d.titles);
    if (e == FR_OK)
        e = go(&d, &fault);
    if (fr_stop_signal_asked()) {
        say("stopping ...");
        rc = fr_stop_signal_status();
    } else if (e != FR_OK) {
        (void)fprintf(stderr, "freshet demo: %s\n", fault.msg[0] != '\0' ? fault.msg : fr_err_text(e));
        rc = FR_EXIT_FAILURE;
    }
    d.side->end(&d);
    fr_demo_link_close(&d.link);
    fr_demo_home_done(&d.home);
    fr_titles_free(d.titles);
    return rc;
}

static int run(int argc, char **argv)
{
    struct fr_demo_opts o = {.seed = 1, .users = 2000, .items = 1000, .past = 60000, .rate = 20};
    const struct fr_arg flags[] = {
        {"seconds", FR_ARG_INT, &o.seconds, 1, 1e9, "N", "end N seconds after the first recommendation (default: Ctrl-C)"},
        {"data", FR_ARG_STR, &o.data, 0, 0, "DIR", "real events, a folder in the layout of yoochoose or ml-1m"},
        {"rate", FR_ARG_INT, &o.rate, 1, 2000, "N", "visits of the shop, or recorded events, a second (20)"},
        {"past", FR_ARG_INT, &o.past, 1000, 200000, "N", "events to train on before the start (60000)"},
        {"users", FR_ARG_INT, &o.users, 10, 100000, "N", "users of the simulated shop (2000)"},
        {"items", FR_ARG_INT, &o.items, 50, 20000, "N", "items of the simulated shop (1000)"},
        {"seed", FR_ARG_INT, &o.seed, 0, 9007199254740991.0, "N", "of the simulated shop (1)"},
        {"port", FR_ARG_INT, &o.port, 0, 65535, "N", "of the daemon's HTTP server (0 = a free one)"}};
    struct fr_args a = {"demo [--seconds N] [--data DIR] [flags]",
                        "A simulated shop (or real events), a training run, and a live freshetd, with an embedded\n"
                        "broker and a private redis-server. Nothing is left behind. The embedded broker keeps about\n"
                        "100,000 records a partition: it is for trying out.",
                        flags, (int)(sizeof(flags) / sizeof(flags[0])), NULL, 0, 0};
    int rc = fr_args_parse(&a, argc, argv);

    return rc == FR_ARGS_GO_ON ? demo(&o) : rc;
}

const struct fr_command fr_cmd_demo = {"demo", "everything embedded: a shop, training, live recommendations", run};
