/*
 * daemon/cli/cmd_evaluate.c - reads events and lists, asks the judge, prints the table.
 */
#include "daemon/cli/cmd_evaluate.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/buf.h"
#include "daemon/cli/cmd_benchmark.h"
#include "daemon/cli/cmd_compare.h"
#include "daemon/cli/judge.h"
#include "daemon/cli/judge_report.h"
#include "daemon/cli/judge_stream.h"
#include "daemon/cli/lines.h"
#include "daemon/cli/progress.h"
#include "daemon/cli/settings.h"
#include "daemon/cli/span.h"
#include "daemon/cli/topic_read.h"

#define MAX_LINE ((size_t)4 << 20)
#define MAX_TYPES 32
#define BAD_SHOWN 5
#define TICK 4096

/* Flags and what follows from them. */
struct evaluate {
    struct fr_settings s;
    bool stream, json, quiet, strict, no_self, no_baselines, topics;
    struct fr_arg_list events, lists;
    const char *types, *segments;
    uint64_t bad; /* malformed messages so far */
    int repeat, match;
    int64_t n, from_ts, bootstrap, seed;
    double after, half_life, fill_half_life;
    char type_text[512];
    const char *type[MAX_TYPES + 1];
    struct fr_judge_stream *js;
    struct fr_progress progress;
};

/* What is wrong with a message, for the first few. */
static void tell_bad(struct evaluate *ev, const char *where, uint64_t number, const struct fr_fault *why)
{
    if (ev->bad++ < BAD_SHOWN)
        fprintf(stderr, "%s:%llu: %s\n", where, (unsigned long long)number, why->msg);
}

/* One file of values, one a line; the line from 0 is the offset in its partition. */
static enum fr_err
read_lines(struct evaluate *ev, struct fr_lines *l, const char *path, bool is_events, int partition)
{
    struct fr_str line;

    for (;;) {
        struct fr_fault why = {.err = FR_OK};
        enum fr_err e = fr_lines_next(l, &line);

        if (e == FR_ENOTFOUND || e == FR_EIO)
            return e == FR_EIO ? e : FR_OK;
        if (e == FR_OK && line.n == 0)
            continue;
        if (e == FR_ETOOLARGE)
            e = fr_fault(&why, FR_ESCHEMA, "the line is longer than %zu bytes", MAX_LINE);
        else if (is_events)
            e = fr_judge_stream_event(ev->js, partition, (int64_t)fr_lines_number(l) - 1, -1, line, &why);
        else
            e = fr_judge_stream_list(ev->js, line, &why);
        if (e == FR_ESCHEMA)
            tell_bad(ev, path, fr_lines_number(l), &why);
        else if (e != FR_OK)
            return e;
        if (fr_lines_number(l) % TICK == 0)
            fr_progress_update(&ev->progress, fr_lines_number(l));
    }
}

static enum fr_err
read_file(struct evaluate *ev, const char *path, bool is_events, int partition, struct fr_fault *fault)
{
    struct fr_lines *l = NULL;
    enum fr_err e = fr_lines_open(path, MAX_LINE, &l, fault);

    if (e != FR_OK)
        return e;
    fr_progress_start(&ev->progress, is_events ? "reading events" : "reading lists", "lines", 0, ev->quiet);
    e = read_lines(ev, l, path, is_events, partition);
    fr_progress_finish(&ev->progress, fr_lines_number(l));
    fr_lines_free(l);
    return e == FR_OK ? FR_OK : fr_fault(fault, e, "%s: %s", path, fr_err_text(e));
}

static enum fr_err read_files(struct evaluate *ev, struct fr_fault *fault)
{
    enum fr_err e = FR_OK;

    for (int i = 0; i < ev->events.n && e == FR_OK; i++)
        e = read_file(ev, ev->events.v[i], true, i, fault);
    if (ev->lists.n > 0)
        fr_judge_stream_expect_lists(ev->js);
    for (int i = 0; i < ev->lists.n && e == FR_OK; i++)
        e = read_file(ev, ev->lists.v[i], false, 0, fault);
    return e;
}

/* fr_log_each_fn: a record of either topic. */
static enum fr_err take(void *ctx, const struct fr_record *r)
{
    struct evaluate *ev = ctx;
    struct fr_fault why = {.err = FR_OK};
    struct fr_str value = r->value.p == NULL ? (struct fr_str){"", 0} : r->value;
    enum fr_err e;

    if (r->role == FR_TOPIC_EVENTS)
        e = fr_judge_stream_event(ev->js, r->partition, r->offset, r->ts_ms, value, &why);
    else
        e = fr_judge_stream_list(ev->js, value, &why);
    if (e != FR_ESCHEMA)
        return e;
    tell_bad(ev, fr_topic_role_name(r->role), (uint64_t)r->offset, &why);
    return FR_OK;
}

static enum fr_err read_topics(struct evaluate *ev, struct fr_fault *fault)
{
    static const enum fr_topic_role roles[] = {FR_TOPIC_EVENTS, FR_TOPIC_RECOMMENDATIONS};
    enum fr_err e = FR_OK;

    for (int i = 0; i < 2 && e == FR_OK; i++)
        e = fr_topic_read(&ev->s.conn, ev->s.names.name[roles[i]], roles[i], ev->quiet, take, ev, NULL, fault);
    return e;
}

static int split_types(struct evaluate *ev)
{
    int n = 0;
    char *p = ev->type_text;

    if (strlen(ev->types) >= sizeof(ev->type_text))
        return fr_args_usage("evaluate", "--types: too long");
    memcpy(ev->type_text, ev->types, strlen(ev->types) + 1);
    while (p != NULL && *p != '\0') {
        char *comma = strchr(p, ',');

        if (n == MAX_TYPES)
            return fr_args_usage("evaluate", "--types: more than %d", MAX_TYPES);
        if (comma != NULL)
            *comma++ = '\0';
        ev->type[n++] = p;
        p = comma;
    }
    ev->type[n] = NULL;
    return FR_ARGS_GO_ON;
}

static void tick(void *ctx, size_t done)
{
    fr_progress_update(ctx, done);
}

static int options(struct evaluate *ev, struct fr_judge_opts *o)
{
    fr_judge_opts_init(o);
    o->n = (int)ev->n;
    o->strict = ev->strict;
    o->repeat = (enum fr_judge_repeat)ev->repeat;
    o->no_self_rules = ev->no_self;
    o->no_baselines = ev->no_baselines;
    o->popular_half_life = ev->half_life;
    o->fill_half_life = ev->fill_half_life;
    o->from_ts = ev->from_ts;
    o->bootstrap = (int)ev->bootstrap;
    o->seed = (uint64_t)ev->seed;
    if (ev->segments != NULL) {
        int64_t n;

        if (fr_str_to_i64(fr_str_z(ev->segments), &n) == FR_OK && n >= 1 && n <= FR_JUDGE_SEGMENTS_MAX)
            o->segments = (int)n;
        else if (fr_span_parse(ev->segments, &o->segment_ms) != FR_OK || o->segment_ms < 1)
            return fr_args_usage("evaluate", "--segments: \"%.40s\" is neither a number of segments nor "
                                             "a time like 1d, 12h, 30m", ev->segments);
    }
    o->progress = tick;
    o->progress_ctx = &ev->progress;
    return FR_ARGS_GO_ON;
}

static enum fr_err print(const struct evaluate *ev, const struct fr_judge_report *r, struct fr_fault *fault)
{
    const struct fr_judge_stream_counts *c = fr_judge_stream_counts(ev->js);
    FILE *table = ev->json ? stderr : stdout;
    struct fr_buf b = {NULL, 0, 0, FR_OK};
    enum fr_err e = FR_OK;

    fr_judge_print_counts(table, c);
    fr_judge_print(table, r);
    if (ev->json) {
        fr_judge_json(&b, r, c);
        fr_buf_putc(&b, '\n');
        e = fr_buf_err(&b);
        if (e == FR_OK && fwrite(b.p, 1, b.n, stdout) != b.n)
            e = FR_EIO;
        fr_buf_done(&b);
    }
    if (fflush(stdout) != 0 && e == FR_OK)
        e = FR_EIO;
    return e == FR_OK ? FR_OK : fr_fault(fault, e, "writing the result: %s", fr_err_text(e));
}

static enum fr_err judge(struct evaluate *ev, struct fr_judge_opts *o, struct fr_fault *fault)
{
    struct fr_judge_input in;
    struct fr_judge_report r;
    enum fr_err e = fr_judge_stream_finish(ev->js, (enum fr_judge_match)ev->match, &in);

    if (e != FR_OK)
        return fr_fault(fault, e, "%s", fr_err_text(e));
    o->from_event = (size_t)(ev->after * (double)in.n_events);
    fr_progress_start(&ev->progress, "judging", "events", in.n_events, ev->quiet);
    e = fr_judge_run(&in, o, &r, fault);
    if (e != FR_OK)
        return e;
    fr_progress_finish(&ev->progress, in.n_events);
    e = print(ev, &r, fault);
    fr_judge_report_done(&r);
    return e;
}

static int evaluate(struct evaluate *ev)
{
    struct fr_judge_opts o;
    struct fr_fault fault = {.err = FR_OK};
    enum fr_err e;
    int rc = options(ev, &o);

    if (rc == FR_ARGS_GO_ON)
        rc = split_types(ev);
    if (rc != FR_ARGS_GO_ON)
        return rc;
    e = fr_judge_stream_new(ev->type, &ev->js);
    if (e != FR_OK)
        e = fr_fault(&fault, e, "out of memory");
    if (e == FR_OK)
        e = ev->topics ? read_topics(ev, &fault) : read_files(ev, &fault);
    if (e == FR_OK)
        e = judge(ev, &o, &fault);
    fr_judge_stream_free(ev->js);
    if (e != FR_OK) {
        fprintf(stderr, "freshet evaluate: %s\n", fault.msg);
        return FR_EXIT_FAILURE;
    }
    return FR_EXIT_OK;
}

static int run(int argc, char **argv)
{
    if (fr_args_has(argc, argv, "benchmark"))
        return fr_cmd_benchmark_evaluate(argc, argv);
    if (fr_args_has(argc, argv, "compare"))
        return fr_cmd_compare_stream(argc, argv);

    struct evaluate ev = {.types = "view,click,purchase,like,rating", .n = 20, .bootstrap = 200, .seed = 1,
                          .half_life = 20000, .fill_half_life = 20000};
    const struct fr_arg flags[] = {
        {"stream", FR_ARG_BOOL, &ev.stream, 0, 0, NULL, "judge the lists made for a stream of events"},
        {"events", FR_ARG_LIST, &ev.events, 0, 0, "FILE", "the events: values of the topic, one a line; - = standard input; once for each partition, in order"},
        {"recommendations", FR_ARG_LIST, &ev.lists, 0, 0, "FILE", "the lists to judge; without: baselines only"},
        {"from-topics", FR_ARG_BOOL, &ev.topics, 0, 0, NULL, "read the events and recommendations topics to their present end instead"},
        FR_SETTINGS_ARGS(&ev.s),
        {"n", FR_ARG_INT, &ev.n, 1, FR_JUDGE_N_MAX, "N", "length of the lists (20)"},
        {"strict", FR_ARG_BOOL, &ev.strict, 0, 0, NULL, "a label must be later than its trigger in time too"},
        {"repeat", FR_ARG_CHOICE, &ev.repeat, 0, 0, "allow|last|forever", "items struck from all lists: none, the one just used, all the user ever used"},
        {"match", FR_ARG_CHOICE, &ev.match, 0, 0, "auto|offset|event_id", "how a list finds its trigger"},
        {"types", FR_ARG_STR, &ev.types, 0, 0, "A,B", "event types that count (view,click,purchase,like,rating)"},
        {"after-fraction", FR_ARG_F64, &ev.after, 0, 1, "F", "count only labels after this share of the events"},
        {"from-ts", FR_ARG_INT, &ev.from_ts, 0, 9e15, "MS", "count only labels from this time on"},
        {"segments", FR_ARG_STR, &ev.segments, 0, 0, "N|1d", "also by N equal parts, or by spans of time"},
        {"half-life", FR_ARG_F64, &ev.half_life, 1, 1e12, "EVENTS", "of decayed popularity (20000)"},
        {"fill-half-life", FR_ARG_F64, &ev.fill_half_life, 1, 1e12, "EVENTS", "of what fills the other baselines (20000)"},
        {"no-self-rules", FR_ARG_BOOL, &ev.no_self, 0, 0, NULL, "rules do not learn that an item follows itself"},
        {"no-baselines", FR_ARG_BOOL, &ev.no_baselines, 0, 0, NULL, "only the lists"},
        {"bootstrap", FR_ARG_INT, &ev.bootstrap, 0, 10000, "N", "resamples of users for the intervals (200; 0 = none)"},
        {"seed", FR_ARG_INT, &ev.seed, 0, 9e15, "N", "of the resamples (1)"},
        {"json", FR_ARG_BOOL, &ev.json, 0, 0, NULL, "one JSON object on standard output; the table on standard error"},
        {"quiet", FR_ARG_BOOL, &ev.quiet, 0, 0, NULL, "no progress"},
    };
    struct fr_args a = {.usage = "evaluate --stream --events FILE [--recommendations FILE] | --from-topics [flags]",
                        .about = "Judges recommendations against what the users did next, beside simple baselines\n"
                                 "computed in the same pass. Bundles: evaluate --compare --help, evaluate --benchmark --help.",
                        .flags = flags,
                        .n_flags = (int)(sizeof(flags) / sizeof(flags[0]))};
    int rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    if (!ev.stream)
        return fr_args_usage("evaluate", "--stream is needed");
    if (ev.topics == (ev.events.n > 0) || (ev.topics && ev.lists.n > 0))
        return fr_args_usage("evaluate", "either --events or --from-topics is needed");
    rc = fr_settings_load(&ev.s, "evaluate");
    if (rc == FR_ARGS_GO_ON)
        rc = evaluate(&ev);
    fr_settings_done(&ev.s);
    return rc;
}

const struct fr_command fr_cmd_evaluate = {"evaluate", "judge recommendations against what users did next", run};
