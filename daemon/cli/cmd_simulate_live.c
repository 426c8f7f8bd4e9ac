/*
 * daemon/cli/cmd_simulate_live.c - `freshet simulate` against a running daemon, over Kafka.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/json.h"
#include "daemon/cli/cmd_simulate_priv.h"
#include "daemon/cli/shop_history.h"
#include "daemon/cli/shop_loop.h"
#include "daemon/cli/stop_signal.h"
#include "daemon/stream/kafka_embedded.h"
#include "daemon/stream/kafka_log_reader.h"
#include "daemon/stream/kafka_sink.h"

#define STEP_MS 20
#define REDRAW_US 500000   /* on a terminal */
#define LINE_US 10000000   /* in a log */
#define FLUSH_MS 30000
#define FINISH_MS 5000

/* What the closed loop stands on. */
struct live {
    struct simulate *f;
    struct fr_clock clock;
    struct fr_shop *shop;
    struct fr_sink *sink;
    struct fr_log_reader *lists;
    struct fr_shop_loop *loop;
    char prefix[32];
    bool terminal;
    int64_t begun_us, drawn_us;
};

/* ---- connect ---- */

static enum fr_err open_reader(const struct simulate *f, const int64_t *start, int32_t n, struct fr_log_reader **out,
                               struct fr_fault *fault)
{
    int wait = (int)f->s.cfg.kafka_fetch_wait_max_ms;
    struct fr_kafka_log_reader_opts o = {.conn = f->s.conn,
                                         .topic = f->s.names.name[FR_TOPIC_RECOMMENDATIONS],
                                         .role = FR_TOPIC_RECOMMENDATIONS,
                                         .start = start,
                                         .n_start = n,
                                         .fetch_wait_max_ms = wait};

    if (wait <= FR_KAFKA_EMBEDDED_FETCH_WAIT_MS)
        o.fetch_error_backoff_ms = FR_KAFKA_EMBEDDED_FETCH_BACKOFF_MS;
    return fr_kafka_log_reader_new(&o, out, fault);
}

/* From the end as it is now: what was recommended before is nobody's answer. */
static enum fr_err open_at_end(const struct simulate *f, struct fr_log_reader **out, struct fr_fault *fault)
{
    struct fr_log_reader *lr = NULL;
    int64_t *end = NULL;
    int32_t n = 0;
    enum fr_err e = open_reader(f, NULL, 0, &lr, fault);

    if (e != FR_OK)
        return e;
    n = fr_log_reader_partitions(lr);
    end = fr_malloc_array((size_t)n, sizeof(*end));
    for (int32_t p = 0; p < n && end != NULL; p++)
        end[p] = fr_log_reader_target(lr, p);
    fr_log_reader_free(lr);
    e = end == NULL ? fr_fault(fault, FR_ENOMEM, "out of memory") : open_reader(f, end, n, out, fault);
    fr_free(end);
    return e;
}

static enum fr_err warm_up(struct live *l, struct fr_fault *fault)
{
    struct fr_shop_policy policy;
    struct fr_shop_history h = {.shop = l->shop,
                                .policy = &policy,
                                .events = (uint64_t)l->f->warm_up,
                                .id_prefix = "w"};
    enum fr_err e = FR_OK;

    fr_shop_policy_init(&policy, (uint64_t)l->f->seed);
    if (l->f->warm_up > 0)
        e = fr_shop_history_run(&h);
    return e == FR_OK ? e : fr_fault(fault, e, "warm-up: %s", fr_err_text(e));
}

static enum fr_err set_up(struct live *l, struct fr_fault *fault)
{
    const struct simulate *f = l->f;
    struct fr_kafka_sink_opts so = {.conn = f->s.conn,
                                    .names = &f->s.names,
                                    .linger_ms = (int32_t)f->s.cfg.kafka_linger_ms,
                                    .ack = fr_shop_loop_ack};
    struct fr_shop_loop_opts lo = {.clock = &l->clock, .id_prefix = l->prefix, .timeout_ms = f->timeout_ms};
    enum fr_err e;

    if (strcmp(f->s.cfg.kafka_brokers, "embedded") == 0)
        return fr_fault(fault, FR_EINVAL,
                        "the embedded broker is in freshetd: name the address that it logs, as in --set "
                        "kafka.brokers=127.0.0.1:PORT --set kafka.fetch_wait_max_ms=5");
    (void)snprintf(l->prefix, sizeof(l->prefix), "sim-%" PRIx64 "-", (uint64_t)fr_clock_wall_us(&l->clock));
    l->shop = simulate_shop(f, f->start_ms < 0 ? fr_clock_wall_ms(&l->clock) : f->start_ms);
    if (l->shop == NULL)
        return FR_EINVAL;
    e = warm_up(l, fault);
    if (e == FR_OK)
        e = open_at_end(f, &l->lists, fault);
    if (e == FR_OK)
        e = fr_kafka_sink_new(&so, &l->sink, fault);
    lo.shop = l->shop;
    lo.sink = l->sink;
    lo.lists = l->lists;
    if (e == FR_OK) {
        e = fr_shop_loop_new(&lo, &l->loop);
        if (e != FR_OK)
            (void)fr_fault(fault, e, "%s", fr_err_text(e));
    }
    return e;
}

static void take_down(struct live *l)
{
    fr_shop_loop_free(l->loop);
    fr_sink_free(l->sink);
    fr_log_reader_free(l->lists);
    fr_shop_free(l->shop);
}

/* ---- live ---- */

static double seconds(const struct live *l)
{
    return (double)(fr_clock_mono_us(&l->clock) - l->begun_us) / 1e6;
}

static void draw(struct live *l, bool last)
{
    struct fr_shop_loop_stats st;
    const struct fr_shop_result *r = &st.result;

    if (l->f->quiet)
        return;
    fr_shop_loop_stats(l->loop, &st);
    fprintf(stderr, "%s%5.0f s  %" PRIu64 " visits  %" PRIu64 " lists", l->terminal ? "\r" : "", seconds(l),
            st.visits, r->lists);
    if (r->lists > 0)
        fprintf(stderr, "  click rate %.3f (random %.3f, best %.3f)  captured %.3f +-%.3f  fresh p50 %.1f p99 %.1f ms", r->ctr,
                r->random, r->oracle, r->captured.v, r->captured.hi - r->captured.v, st.fresh_p50_ms, st.fresh_p99_ms);
    if (st.missing > 0)
        fprintf(stderr, "  missing %" PRIu64, st.missing);
    fprintf(stderr, "%s", l->terminal ? last ? "\033[K\n" : "\033[K" : "\n");
    (void)fflush(stderr);
}

static enum fr_err live(struct live *l, struct fr_fault *fault)
{
    enum fr_err e = fr_shop_loop_catalogue(l->loop, FLUSH_MS);

    if (e != FR_OK)
        return fr_fault(fault, e, "publishing the catalogue: %s", fr_err_text(e));
    l->begun_us = l->drawn_us = fr_clock_mono_us(&l->clock);
    while (e == FR_OK && !fr_stop_signal_asked() && (l->f->seconds <= 0 || seconds(l) < l->f->seconds)) {
        e = fr_shop_loop_step(l->loop, STEP_MS);
        if (fr_clock_mono_us(&l->clock) - l->drawn_us < (l->terminal ? REDRAW_US : LINE_US))
            continue;
        l->drawn_us = fr_clock_mono_us(&l->clock);
        draw(l, false);
    }
    if (e == FR_OK)
        e = fr_shop_loop_finish(l->loop, FINISH_MS);
    draw(l, true);
    return e == FR_OK ? e : fr_fault(fault, e, "%s", fr_err_text(e));
}

/* ---- results ---- */

static void print_text(const struct fr_shop_loop_stats *st, double s)
{
    printf("%.0f s, %" PRIu64 " visits, %" PRIu64 " events, %" PRIu64 " items published, %" PRIu64 " deleted\n", s,
           st->visits, st->events, st->births, st->deaths);
    simulate_print_result(&st->result);
    if (st->result.lists > 0)
        printf("freshness          p50 %.2f ms, p99 %.2f ms, max %.2f ms (event to list received)\n", st->fresh_p50_ms,
               st->fresh_p99_ms, st->fresh_max_ms);
    printf("missing lists      %" PRIu64 "; empty %" PRIu64 ", unasked %" PRIu64 ", unreadable %" PRIu64
           "; items in lists: dead %" PRIu64 ", unknown %" PRIu64 "\n",
           st->missing, st->empty, st->unasked, st->unreadable, st->dead_items, st->unknown_items);
    if (st->undelivered > 0 || st->behind > 0)
        printf("undelivered events %" PRIu64 "; visits were let pass %" PRIu64 " times\n", st->undelivered, st->behind);
}

static int print_json(const struct fr_shop_loop_stats *st, double s)
{
    const struct {
        const char *name;
        uint64_t v;
    } count[] = {{"visits", st->visits},         {"events", st->events},
                 {"births", st->births},         {"deaths", st->deaths},
                 {"received", st->received},     {"missing", st->missing},
                 {"empty", st->empty},           {"unasked", st->unasked},
                 {"unreadable", st->unreadable}, {"waiting", st->waiting},
                 {"dead_items", st->dead_items}, {"unknown_items", st->unknown_items},
                 {"undelivered", st->undelivered}, {"behind", st->behind}};
    struct fr_jsonw w;
    struct fr_buf b;

    fr_buf_init(&b);
    fr_jsonw_init(&w, &b);
    fr_jsonw_object(&w);
    fr_jsonw_key(&w, "seconds");
    fr_jsonw_f64(&w, s);
    for (size_t i = 0; i < sizeof(count) / sizeof(count[0]); i++) {
        fr_jsonw_key(&w, count[i].name);
        fr_jsonw_u64(&w, count[i].v);
    }
    simulate_json_result(&w, &st->result);
    fr_jsonw_key(&w, "freshness_p50_ms");
    fr_jsonw_f64(&w, st->fresh_p50_ms);
    fr_jsonw_key(&w, "freshness_p99_ms");
    fr_jsonw_f64(&w, st->fresh_p99_ms);
    fr_jsonw_key(&w, "freshness_max_ms");
    fr_jsonw_f64(&w, st->fresh_max_ms);
    fr_jsonw_end(&w, '}');
    return simulate_print_json(&b);
}

static int report(const struct live *l)
{
    struct fr_shop_loop_stats st;
    double s = seconds(l);
    int rc = FR_EXIT_OK;

    fr_shop_loop_stats(l->loop, &st);
    if (l->f->json)
        rc = print_json(&st, s);
    else
        print_text(&st, s);
    if (rc == FR_EXIT_OK && st.result.lists == 0) {
        fprintf(stderr, "freshet simulate: no list came for any of %" PRIu64 " visits\n", st.visits);
        rc = FR_EXIT_FAILURE;
    }
    return rc;
}

int simulate_live(struct simulate *f)
{
    struct live l = {.f = f, .terminal = isatty(STDERR_FILENO) == 1};
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    int rc = fr_settings_load(&f->s, "simulate");
    enum fr_err e;

    if (rc != FR_ARGS_GO_ON) {
        fr_settings_done(&f->s);
        return rc;
    }
    fr_clock_init_real(&l.clock);
    fr_stop_signal_install(false);
    e = set_up(&l, &fault);
    if (e == FR_OK)
        e = live(&l, &fault);
    if (e != FR_OK && fault.msg[0] != '\0')
        fprintf(stderr, "freshet simulate: %s\n", fault.msg);
    rc = e == FR_OK ? report(&l) : FR_EXIT_FAILURE;
    if (rc == FR_EXIT_OK && f->seconds > 0 && fr_stop_signal_asked())
        rc = fr_stop_signal_status();
    take_down(&l);
    fr_settings_done(&f->s);
    return rc;
}
