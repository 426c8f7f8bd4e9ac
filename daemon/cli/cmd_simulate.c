/*
 * daemon/cli/cmd_simulate.c - flags of `freshet simulate`, and its half that writes files.
 */
#include "daemon/cli/cmd_simulate.h"

#include <stdio.h>

#include "daemon/base/json.h"
#include "daemon/cli/cmd_simulate_priv.h"
#include "daemon/cli/progress.h"
#include "daemon/cli/shop_files.h"
#include "daemon/cli/stop_signal.h"

#define FILES_START_MS INT64_C(1767225600000) /* 2026-01-01: a fixed time, so that files repeat */
#define MAX_INTEGER 9007199254740991.0

struct fr_shop *simulate_shop(const struct simulate *f, int64_t start_ms)
{
    struct fr_shop_conf c;
    struct fr_shop *sh = NULL;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    double share = (double)f->items / 50; /* of the catalogue, a day */

    fr_shop_conf_default(&c);
    c.seed = (uint64_t)f->seed;
    c.users = (uint32_t)f->users;
    c.items = (uint32_t)f->items;
    c.n = (int)f->n;
    c.start_ms = start_ms;
    c.visits_per_s = f->rate;
    c.visits_per_day = f->visits_per_day;
    c.births_per_day = f->births < 0 ? share : f->births;
    c.deaths_per_day = f->deaths < 0 ? share : f->deaths;
    c.fashions_per_day = f->fashions < 0 ? share / 2 : f->fashions;
    if (fr_shop_new(&c, &sh, &fault) != FR_OK)
        fprintf(stderr, "freshet simulate: %s\n", fault.msg);
    return sh;
}

static void interval(struct fr_jsonw *w, const char *key, const struct fr_shop_interval *i)
{
    fr_jsonw_key(w, key);
    fr_jsonw_array(w);
    fr_jsonw_f64(w, i->lo);
    fr_jsonw_f64(w, i->hi);
    fr_jsonw_end(w, ']');
}

void simulate_json_result(struct fr_jsonw *w, const struct fr_shop_result *r)
{
    const struct {
        const char *name;
        double v;
    } row[] = {{"ctr", r->ctr},
               {"ctr_expected", r->expected_ctr},
               {"ctr_random", r->random},
               {"ctr_oracle", r->oracle},
               {"regret_captured", r->captured.v},
               {"regret_captured_realised", r->captured_realised.v}};

    fr_jsonw_key(w, "lists");
    fr_jsonw_u64(w, r->lists);
    fr_jsonw_key(w, "clicks");
    fr_jsonw_u64(w, r->clicks);
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        fr_jsonw_key(w, row[i].name);
        fr_jsonw_f64(w, row[i].v);
    }
    interval(w, "regret_captured_interval", &r->captured);
    interval(w, "regret_captured_realised_interval", &r->captured_realised);
}

void simulate_print_result(const struct fr_shop_result *r)
{
    if (r->lists == 0) {
        printf("no list was looked at\n");
        return;
    }
    printf("%llu lists looked at, %llu clicked\n", (unsigned long long)r->lists, (unsigned long long)r->clicks);
    printf("click rate         %.4f (expected of these lists %.4f)\n", r->ctr, r->expected_ctr);
    printf("random / oracle    %.4f / %.4f\n", r->random, r->oracle);
    printf("regret captured    %.3f [%.3f, %.3f] expected, %.3f [%.3f, %.3f] realised\n", r->captured.v, r->captured.lo,
           r->captured.hi, r->captured_realised.v, r->captured_realised.lo, r->captured_realised.hi);
}

int simulate_print_json(struct fr_buf *b)
{
    int rc = FR_EXIT_OK;

    fr_buf_putc(b, '\n');
    if (fr_buf_err(b) != FR_OK || fwrite(b->p, 1, b->n, stdout) != b->n || fflush(stdout) != 0) {
        fprintf(stderr, "freshet simulate: the result could not be written\n");
        rc = FR_EXIT_FAILURE;
    }
    fr_buf_done(b);
    return rc;
}

static bool on_progress(void *ctx, uint64_t done)
{
    fr_progress_update(ctx, done);
    return !fr_stop_signal_asked();
}

static int print_files(const struct simulate *f, const struct fr_shop *sh, const struct fr_shop_score *score)
{
    struct fr_shop_result r;
    struct fr_jsonw w;
    struct fr_buf b;

    fr_shop_score_result(score, &r);
    if (!f->json) {
        printf("%lld events, %u items (%u alive) in %s\nlists by the logging policy (half random, half popular):\n",
               (long long)f->events, fr_shop_items(sh), fr_shop_alive(sh), f->out);
        simulate_print_result(&r);
        return FR_EXIT_OK;
    }
    fr_buf_init(&b);
    fr_jsonw_init(&w, &b);
    fr_jsonw_object(&w);
    fr_jsonw_key(&w, "events");
    fr_jsonw_i64(&w, f->events);
    fr_jsonw_key(&w, "items");
    fr_jsonw_u64(&w, fr_shop_items(sh));
    fr_jsonw_key(&w, "items_alive");
    fr_jsonw_u64(&w, fr_shop_alive(sh));
    fr_jsonw_key(&w, "start_ms");
    fr_jsonw_i64(&w, fr_shop_conf_of(sh)->start_ms);
    fr_jsonw_key(&w, "end_ms");
    fr_jsonw_i64(&w, fr_shop_next_ms(sh));
    simulate_json_result(&w, &r);
    fr_jsonw_end(&w, '}');
    return simulate_print_json(&b);
}

static int write_files(const struct simulate *f)
{
    struct fr_shop *sh = simulate_shop(f, f->start_ms < 0 ? FILES_START_MS : f->start_ms);
    struct fr_shop_policy policy;
    struct fr_shop_score score = {0};
    struct fr_progress progress;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_shop_history h = {.shop = sh,
                                .policy = &policy,
                                .score = &score,
                                .events = (uint64_t)f->events,
                                .id_prefix = "s",
                                .progress = on_progress,
                                .ctx = &progress};
    int rc = FR_EXIT_FAILURE;
    enum fr_err e;

    if (sh == NULL)
        return FR_EXIT_FAILURE;
    fr_stop_signal_install(false);
    fr_shop_policy_init(&policy, (uint64_t)f->seed);
    e = fr_shop_score_init(&score, (uint32_t)f->users);
    if (e != FR_OK)
        (void)fr_fault(&fault, e, "out of memory");
    fr_progress_start(&progress, "simulating", "events", (uint64_t)f->events, f->quiet);
    if (e == FR_OK)
        e = fr_shop_files_write(&h, f->out, &fault);
    if (e == FR_OK) {
        fr_progress_finish(&progress, (uint64_t)f->events);
        rc = print_files(f, sh, &score);
    } else if (e == FR_ECLOSED && fr_stop_signal_asked()) {
        fprintf(stderr, "freshet simulate: stopped; nothing was written\n");
        rc = fr_stop_signal_status();
    } else {
        fprintf(stderr, "freshet simulate: %s\n", fault.msg);
    }
    fr_shop_score_done(&score);
    fr_shop_free(sh);
    return rc;
}

static int run(int argc, char **argv)
{
    struct simulate f = {.events = 30000,
                         .seed = 1,
                         .users = 1000,
                         .items = 2000,
                         .n = 20,
                         .start_ms = -1,
                         .timeout_ms = 2000,
                         .rate = 50,
                         .visits_per_day = 12,
                         .births = -1,
                         .deaths = -1,
                         .fashions = -1};
    const struct fr_arg flags[] = {
        {"out", FR_ARG_STR, &f.out, 0, 0, "DIR", "write DIR/events.jsonl and DIR/items.jsonl, and end"},
        {"events", FR_ARG_INT, &f.events, 1, 1e9, "N", "how many events to write (30000)"},
        FR_SETTINGS_ARGS(&f.s),
        {"seconds", FR_ARG_F64, &f.seconds, 0, 1e9, "S", "end the closed loop after this long (0 = on a signal)"},
        {"warm-up", FR_ARG_INT, &f.warm_up, 0, 1e9, "N", "closed loop: run through N events in private first, as --out would have written"},
        {"timeout-ms", FR_ARG_INT, &f.timeout_ms, 1, 3600000, "MS", "closed loop: a list that takes longer is missing (2000)"},
        {"rate", FR_ARG_F64, &f.rate, 1e-6, 1e6, "R", "visits a second, of all users; a visit makes 2 events and more (50)"},
        {"seed", FR_ARG_INT, &f.seed, 0, MAX_INTEGER, "N", "same seed, same shop (1)"},
        {"users", FR_ARG_INT, &f.users, 1, 10000000, "N", "users (1000)"},
        {"items", FR_ARG_INT, &f.items, 2, 10000000, "N", "items at the start (2000)"},
        {"n", FR_ARG_INT, &f.n, 1, FR_SHOP_LIST_MAX, "N", "positions of a list that can be seen (20)"},
        {"start-ms", FR_ARG_INT, &f.start_ms, 0, MAX_INTEGER, "MS", "time of the beginning (files: 2026-01-01; closed loop: now less the warm-up)"},
        {"visits-per-day", FR_ARG_F64, &f.visits_per_day, 1e-3, 1e6, "N", "of one user in a shop day, which makes the day's length (12)"},
        {"births-per-day", FR_ARG_F64, &f.births, 0, 1e9, "N", "new items a shop day (2 % of --items)"},
        {"deaths-per-day", FR_ARG_F64, &f.deaths, 0, 1e9, "N", "items that go (2 % of --items)"},
        {"fashions-per-day", FR_ARG_F64, &f.fashions, 0, 1e6, "N", "items that become fashionable (1 % of --items)"},
        {"json", FR_ARG_BOOL, &f.json, 0, 0, NULL, "one JSON object as the last line of standard output"},
        {"quiet", FR_ARG_BOOL, &f.quiet, 0, 0, NULL, "no progress"},
    };
    struct fr_args a = {.usage = "simulate --out DIR [flags] | simulate [--config FILE] [flags]",
                        .about = "A shop with users who know what they want (nested logit over the examined part of a list, drifting\n"
                                 "tastes, items that are born and die). With --out: a past of it as files, lists filled half at\n"
                                 "random and half by popularity. Without: live on Kafka; it publishes the catalogue and the\n"
                                 "events, answers each recommendation with impressions and clicks, and says how much of\n"
                                 "what the best lists would have gained over random ones was captured.",
                        .flags = flags,
                        .n_flags = (int)(sizeof(flags) / sizeof(flags[0]))};
    int rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    return f.out != NULL ? write_files(&f) : simulate_live(&f);
}

const struct fr_command fr_cmd_simulate = {"simulate", "a simulated shop: events to files, or live against the daemon", run};
