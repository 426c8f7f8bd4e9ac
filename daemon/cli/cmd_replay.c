/*
 * daemon/cli/cmd_replay.c - `freshet replay`: a recorded stream, file or topic, through the serving pipeline.
 */
#include "daemon/cli/cmd_replay.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/arena.h"
#include "daemon/base/clock.h"
#include "daemon/base/file.h"
#include "daemon/base/json.h"
#include "daemon/base/log.h"
#include "daemon/cli/lines.h"
#include "daemon/cli/progress.h"
#include "daemon/cli/replay.h"
#include "daemon/cli/settings.h"
#include "daemon/cli/stop_signal.h"
#include "daemon/cli/topic_read.h"
#include "daemon/learn/stream_log.h"
#include "daemon/pipeline/spec_config.h"

#define MAX_LINE ((size_t)1 << 20)
#define CHUNK 4096 /* events appended at a time */

struct flags {
    struct fr_settings s;
    const char *events, *items, *out, *examples, *dead, *users, *retrieval, *ranker, *speed;
    int64_t partitions, batch, limit;
    bool topics, json, quiet;
};

/* One run. */
struct run {
    const struct flags *f;
    struct fr_replay *r;
    struct fr_progress bar;
    struct fr_clock clock;
    struct fr_arena *ar; /* of one line's JSON */
    double speed;        /* 0 = as fast as possible */
    int64_t first_ms, start_us, newest_ms;
    uint64_t n, bad_items, first_bad_item; /* the first by line or record, from 1 */
};

static const struct fr_json *member(const struct run *x, struct fr_str line, const char *key)
{
    const struct fr_json *root, *v;
    struct fr_json_error je;

    fr_arena_reset(x->ar);
    if (fr_json_parse(x->ar, line, &root, &je) != FR_OK)
        return NULL;
    v = fr_json_get(root, key);
    return v;
}

/* The key a producer would give: the id in the value. A record without one is left to the pipeline. */
static struct fr_str key_of(const struct run *x, struct fr_str line, const char *field)
{
    const struct fr_json *v = member(x, line, field);

    if (v == NULL || (v->type != FR_JSON_STRING && v->type != FR_JSON_NUMBER))
        return (struct fr_str){NULL, 0};
    return v->str;
}

/* Wait until it is this event's turn. @return false: stopped */
static bool pace(struct run *x, int64_t ts)
{
    int64_t due;

    if (x->n == 0) {
        x->first_ms = ts;
        x->start_us = fr_clock_mono_us(&x->clock);
    }
    if (x->speed <= 0)
        return !fr_stop_signal_asked();
    due = x->start_us + (int64_t)((double)(ts - x->first_ms) * 1000 / x->speed);
    while (!fr_stop_signal_asked() && fr_clock_mono_us(&x->clock) < due) {
        int64_t left = (due - fr_clock_mono_us(&x->clock)) / 1000;
        fr_stop_signal_sleep(left > 100 ? 100 : (int)left + 1);
    }
    return !fr_stop_signal_asked();
}

/* Append; run what is there now and then. */
static enum fr_err event(struct run *x, struct fr_str key, struct fr_str value, int64_t ts, struct fr_fault *fault)
{
    enum fr_err e;

    if (!pace(x, ts))
        return fr_fault(fault, FR_ECLOSED, "stopped");
    e = fr_replay_event(x->r, key, value, ts);
    if (e != FR_OK)
        return fr_fault(fault, e, "%s", fr_err_text(e));
    if (++x->n % CHUNK == 0 || x->speed > 0) {
        e = fr_replay_run(x->r, fault);
        fr_progress_update(&x->bar, x->n);
    }
    return e;
}

static bool enough(const struct run *x)
{
    return x->f->limit > 0 && x->n >= (uint64_t)x->f->limit;
}

/* ---- files ---- */

static enum fr_err item_lines(struct run *x, struct fr_fault *fault)
{
    struct fr_lines *in;
    struct fr_str line;
    enum fr_err e = fr_lines_open(x->f->items, MAX_LINE, &in, fault);

    if (e != FR_OK)
        return e;
    while ((e = fr_lines_next(in, &line)) == FR_OK || e == FR_ETOOLARGE) {
        if (e == FR_OK && line.n > 0)
            e = fr_replay_item(x->r, key_of(x, line, "item_id"), line);
        if (e == FR_ENOMEM)
            break;
        if (e != FR_OK && x->bad_items++ == 0)
            x->first_bad_item = fr_lines_number(in);
    }
    fr_lines_free(in);
    return e == FR_ENOTFOUND ? FR_OK : fr_fault(fault, e, "%s: %s", x->f->items, fr_err_text(e));
}

static enum fr_err event_lines(struct run *x, struct fr_fault *fault)
{
    struct fr_lines *in;
    struct fr_str line;
    enum fr_err e = fr_lines_open(x->f->events, MAX_LINE, &in, fault);

    if (e != FR_OK)
        return e;
    while (e == FR_OK && !enough(x)) {
        const struct fr_json *ts;
        e = fr_lines_next(in, &line);
        if (e == FR_ETOOLARGE) /* keeps its offset, and becomes a dead letter */
            line = (struct fr_str){"", 0};
        else if (e != FR_OK)
            break;
        ts = member(x, line, "ts");
        if (ts != NULL && ts->is_int && ts->i > 0)
            x->newest_ms = ts->i; /* a line without a time has its predecessor's */
        e = event(x, key_of(x, line, "user_id"), line, x->newest_ms, fault);
    }
    if (e == FR_EIO && fault->err == FR_OK)
        (void)fr_fault(fault, e, "%s: %s", x->f->events, fr_err_text(e));
    fr_lines_free(in);
    return e == FR_ENOTFOUND ? FR_OK : e;
}

/* ---- topics ---- */

static enum fr_err read_topic(struct run *x, enum fr_topic_role role, struct fr_stream_log *log, struct fr_fault *fault)
{
    const struct fr_settings *s = &x->f->s;
    int32_t partitions;
    enum fr_err e = fr_topic_read(&s->conn, s->names.name[role], role, x->f->quiet, fr_stream_log_add, log,
                                  &partitions, fault);

    if (e == FR_OK)
        fr_stream_log_finish(log, partitions);
    return e;
}

static enum fr_err from_topics(struct run *x, struct fr_fault *fault)
{
    struct fr_stream_log items, events;
    enum fr_err e;

    memset(&items, 0, sizeof(items));
    memset(&events, 0, sizeof(events));
    e = read_topic(x, FR_TOPIC_ITEMS, &items, fault);
    for (size_t i = 0; e == FR_OK && i < items.n; i++) {
        struct fr_stream_value v = fr_stream_log_get(&items, i);
        e = fr_replay_item(x->r, v.key, v.value);
        if (e != FR_OK && x->bad_items++ == 0)
            x->first_bad_item = i + 1;
        if (e != FR_ENOMEM)
            e = FR_OK;
    }
    if (e == FR_OK)
        e = read_topic(x, FR_TOPIC_EVENTS, &events, fault);
    for (size_t i = 0; e == FR_OK && i < events.n && !enough(x); i++) {
        struct fr_stream_value v = fr_stream_log_get(&events, i);
        e = event(x, v.key, v.value, v.ts, fault);
    }
    fr_stream_log_done(&items);
    fr_stream_log_done(&events);
    return e;
}

/* ---- all of it ---- */

static FILE *open_out(const char *path, struct fr_fault *fault, enum fr_err *e)
{
    FILE *f;

    if (path == NULL || *e != FR_OK)
        return NULL;
    f = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    if (f == NULL)
        *e = fr_fault(fault, FR_EIO, "%.200s: %s", path, strerror(errno));
    return f;
}

static void close_out(FILE *f, const char *path, struct fr_fault *fault, enum fr_err *e)
{
    if (f == NULL)
        return;
    if ((f == stdout ? fflush(f) : fclose(f)) != 0 && *e == FR_OK)
        *e = fr_fault(fault, FR_EIO, "%.200s: %s", path, strerror(errno));
}

static void report(const struct run *x)
{
    struct fr_replay_counts c;
    struct fr_jsonw w;
    struct fr_buf b;
    double rate;

    fr_replay_counts(x->r, &c);
    rate = c.seconds > 0 ? (double)x->n / c.seconds : 0;
    if (!x->f->json) {
        fprintf(stderr, "%llu events: %llu applied, %llu duplicate, %llu dead letters; %llu lists; %llu items refused; %.0f events/s\n",
                (unsigned long long)x->n, (unsigned long long)c.applied, (unsigned long long)c.duplicate,
                (unsigned long long)c.dead, (unsigned long long)c.lists, (unsigned long long)x->bad_items, rate);
        if (x->bad_items > 0)
            fprintf(stderr, "the first item refused: number %llu\n", (unsigned long long)x->first_bad_item);
        return;
    }
    fr_buf_init(&b);
    fr_jsonw_init(&w, &b);
    fr_jsonw_object(&w);
    {
        const struct {
            const char *name;
            uint64_t v;
        } row[] = {{"events", x->n}, {"applied", c.applied}, {"duplicate", c.duplicate}, {"dead_letters", c.dead},
                   {"lists", c.lists}, {"items_refused", x->bad_items}, {"first_item_refused", x->first_bad_item}};
        for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
            fr_jsonw_key(&w, row[i].name);
            fr_jsonw_u64(&w, row[i].v);
        }
    }
    fr_jsonw_key(&w, "seconds");
    fr_jsonw_f64(&w, c.seconds);
    fr_jsonw_key(&w, "events_per_second");
    fr_jsonw_f64(&w, rate);
    fr_jsonw_end(&w, '}');
    if (fr_buf_err(&b) == FR_OK)
        printf("%.*s\n", (int)b.n, b.p);
    fr_buf_done(&b);
}

static enum fr_err go(struct run *x, const struct fr_spec *spec, struct fr_fault *fault)
{
    const struct flags *f = x->f;
    struct fr_replay_opts o = {.cfg = &f->s.cfg, .spec = spec, .partitions = (int32_t)f->partitions};
    enum fr_err e = FR_OK;
    FILE *users;

    o.lists = open_out(f->out, fault, &e);
    o.examples = open_out(f->examples, fault, &e);
    o.dead = open_out(f->dead, fault, &e);
    users = open_out(f->users, fault, &e);
    if (e == FR_OK)
        e = fr_replay_new(&o, &x->r, fault);
    fr_progress_start(&x->bar, "replay", "events", 0, f->quiet);
    if (e == FR_OK && f->topics)
        e = from_topics(x, fault);
    if (e == FR_OK && !f->topics && f->items != NULL)
        e = item_lines(x, fault);
    if (e == FR_OK && !f->topics)
        e = event_lines(x, fault);
    if (e == FR_OK)
        e = fr_replay_run(x->r, fault);
    fr_progress_finish(&x->bar, x->n);
    if (e == FR_OK && users != NULL)
        e = fr_replay_write_users(x->r, users, fault);
    if (e == FR_OK)
        report(x);
    fr_replay_free(x->r);
    close_out(o.lists, f->out, fault, &e);
    close_out(o.examples, f->examples, fault, &e);
    close_out(o.dead, f->dead, fault, &e);
    close_out(users, f->users, fault, &e);
    return e;
}

/* Flags that stand for configuration keys. */
static enum fr_err configure(struct flags *f, struct fr_fault *fault)
{
    char set[1100];
    enum fr_err e = FR_OK;
    const struct {
        const char *key, *value;
    } keys[] = {{"models.retrieval", f->retrieval}, {"models.ranker", f->ranker}};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && e == FR_OK; i++) {
        if (keys[i].value == NULL)
            continue;
        (void)snprintf(set, sizeof(set), "%s=%.1000s", keys[i].key, keys[i].value);
        e = fr_config_set(&f->s.cfg, set, fault);
    }
    if (e == FR_OK && f->batch > 0) {
        (void)snprintf(set, sizeof(set), "batch.max_events=%lld", (long long)f->batch);
        e = fr_config_set(&f->s.cfg, set, fault);
    }
    if (e == FR_OK && f->examples == NULL)
        e = fr_config_set(&f->s.cfg, "recommend.examples=false", fault);
    if (e == FR_OK && f->out == NULL && f->examples == NULL) /* features only: nobody wants lists */
        e = fr_config_set(&f->s.cfg, "recommend.since_ms=9007199254740991", fault);
    return e;
}

static int replay(struct flags *f)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct run x = {.f = f};
    struct fr_spec *spec = NULL;
    enum fr_err e = configure(f, &fault);

    if (e == FR_OK && f->speed != NULL && strcmp(f->speed, "max") != 0 &&
        (fr_str_to_f64(fr_str_z(f->speed), &x.speed) != FR_OK || x.speed <= 0))
        return fr_args_usage("replay", "--speed %.40s: a number above 0, or max, is needed", f->speed);
    fr_clock_init_real(&x.clock);
    fr_stop_signal_install(false);
    fr_log_set_level(FR_LOG_ERROR);
    if (e == FR_OK)
        e = fr_spec_from_config(&f->s.cfg, &spec, &fault);
    if (e == FR_OK)
        e = fr_arena_new((size_t)1 << 16, 0, &x.ar);
    if (e == FR_OK)
        e = go(&x, spec, &fault);
    fr_arena_free(x.ar);
    fr_spec_free(spec);
    if (fr_stop_signal_asked())
        return fr_stop_signal_status();
    if (e != FR_OK) {
        fprintf(stderr, "freshet replay: %s\n", fault.msg[0] != '\0' ? fault.msg : fr_err_text(e));
        return FR_EXIT_FAILURE;
    }
    return FR_EXIT_OK;
}

/* Outputs are opened before the input is read: none may be an input, or another output. */
static int check_outputs(const struct flags *f)
{
    const struct {
        const char *flag, *path;
    } file[] = {{"--events", f->events}, {"--items", f->items},           {"--out", f->out}, {"--examples", f->examples},
                {"--users", f->users},   {"--dead-letters", f->dead}};

    for (size_t i = 2; i < sizeof(file) / sizeof(file[0]); i++)
        for (size_t k = 0; k < i; k++)
            if (file[i].path != NULL && file[k].path != NULL &&
                (k >= 2 || strcmp(file[k].path, "-") != 0) && fr_file_same(file[i].path, file[k].path))
                return fr_args_usage("replay", "%s and %s are the same file: %.200s", file[k].flag, file[i].flag,
                                     file[i].path);
    return FR_ARGS_GO_ON;
}

static int run(int argc, char **argv)
{
    struct flags f = {.partitions = 1};
    const struct fr_arg flags[] = {
        FR_SETTINGS_ARGS(&f.s),
        {"events", FR_ARG_STR, &f.events, 0, 0, "FILE", "JSON Lines of `events` values, in order; - = standard input"},
        {"items", FR_ARG_STR, &f.items, 0, 0, "FILE", "JSON Lines of `items` values"},
        {"from-topics", FR_ARG_BOOL, &f.topics, 0, 0, NULL, "read the configured topics to their present end instead"},
        {"retrieval", FR_ARG_STR, &f.retrieval, 0, 0, "DIR", "bundle: models.retrieval"},
        {"ranker", FR_ARG_STR, &f.ranker, 0, 0, "DIR", "bundle: models.ranker"},
        {"out", FR_ARG_STR, &f.out, 0, 0, "FILE", "recommendations, a line each, for `freshet evaluate`; - = standard output"},
        {"examples", FR_ARG_STR, &f.examples, 0, 0, "FILE", "rows as served, a line a list"},
        {"dead-letters", FR_ARG_STR, &f.dead, 0, 0, "FILE", "records that were refused, with the reason"},
        {"users", FR_ARG_STR, &f.users, 0, 0, "FILE", "every user's state at the end"},
        {"partitions", FR_ARG_INT, &f.partitions, 1, 4096, "N", "of the stream (1: an event's offset is its line)"},
        {"batch", FR_ARG_INT, &f.batch, 1, 65536, "N", "batch.max_events; changes nothing but the time"},
        {"limit", FR_ARG_INT, &f.limit, 1, 1e12, "N", "only the first N events"},
        {"speed", FR_ARG_STR, &f.speed, 0, 0, "X|max", "keep the events' own pace, X times as fast (max)"},
        {"quiet", FR_ARG_BOOL, &f.quiet, 0, 0, NULL, "no progress on standard error"},
        {"json", FR_ARG_BOOL, &f.json, 0, 0, NULL, "counts as one JSON object on standard output"}};
    struct fr_args a = {"replay (--events FILE | --from-topics) [--out FILE] [flags]",
                        "Run a recorded stream through the serving pipeline without Kafka and Redis. The same stream,\n"
                        "configuration and bundles give the same bytes. Without --out and --examples only features\n"
                        "are computed.",
                        flags, (int)(sizeof(flags) / sizeof(flags[0])), NULL, 0, 0};
    int rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    if ((f.events == NULL) == !f.topics)
        return fr_args_usage("replay", "--events FILE or --from-topics is needed");
    if (f.topics && f.items != NULL)
        return fr_args_usage("replay", "--from-topics reads both topics: it does not go with --items");
    rc = check_outputs(&f);
    if (rc != FR_ARGS_GO_ON)
        return rc;
    rc = fr_settings_load(&f.s, "replay");
    if (rc == FR_ARGS_GO_ON)
        rc = replay(&f);
    fr_settings_done(&f.s);
    return rc;
}

const struct fr_command fr_cmd_replay = {"replay", "a recorded stream through the serving pipeline", run};
