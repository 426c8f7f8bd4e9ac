/*
 * daemon/cli/cmd_compare_stream.c - `freshet evaluate --compare` on a stream: lists made once, ordered by every bundle.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/base/json.h"
#include "daemon/cli/cmd_compare.h"
#include "daemon/cli/progress.h"
#include "daemon/cli/stream_input.h"
#include "daemon/learn/stream_compare.h"

#define COMMAND "evaluate --compare"
#define MAX_LISTS 2000 /* as many as freshet train holds out at most */

struct flags {
    struct fr_settings s;
    struct fr_stream_flags stream;
    struct fr_compare_flags c;
    const char *retrieval;
    int64_t after, until, max_lists;
};

/* What bundles are compared on. */
struct of {
    const struct flags *f;
    struct fr_stream_compare *s;
};

static enum fr_err evaluate(void *ctx,
                            const char *bundle,
                            struct fr_benchmark_detail *detail,
                            struct fr_benchmark_result *out,
                            struct fr_fault *fault)
{
    const struct of *of = ctx;

    return fr_stream_compare_evaluate(of->s, bundle, detail, out, fault);
}

static void tell(void *ctx, uint64_t done, uint64_t total)
{
    struct fr_progress *p = ctx;

    p->total = total;
    fr_progress_update(p, done);
}

/* What the lists are, before the table. */
static void describe(const struct flags *f, const struct fr_stream_compare_counts *n)
{
    FILE *out = f->c.json ? stderr : stdout;

    fprintf(out, "%llu events (%llu refused), the first %lld only prepare; ", (unsigned long long)n->events,
            (unsigned long long)n->refused, (long long)f->after);
    if (n->shown)
        fprintf(out, "%llu lists that were shown and clicked in\n\n", (unsigned long long)n->lists);
    else
        fprintf(out, "%llu lists: of %.3f of %llu triggers the next positive is among the candidates\n\n",
                (unsigned long long)n->lists, (double)n->lists / (double)n->triggers, (unsigned long long)n->triggers);
    if (n->retrieval_seen)
        fprintf(out, "--retrieval was trained on events that are measured on: so what rankers read of it\n\n");
}

/* The same as members of the JSON object. */
static void about(void *ctx, struct fr_jsonw *w)
{
    const struct of *of = ctx;
    const struct fr_stream_compare_counts *n = fr_stream_compare_counts(of->s);
    const struct {
        const char *name;
        uint64_t v;
    } count[] = {{"after_event", (uint64_t)of->f->after}, {"events", n->events}, {"refused", n->refused}, {"triggers", n->triggers}, {"lists", n->lists}, {"rows", n->rows}};

    for (size_t i = 0; i < sizeof(count) / sizeof(count[0]); i++) {
        fr_jsonw_key(w, count[i].name);
        fr_jsonw_u64(w, count[i].v);
    }
    fr_jsonw_key(w, "shown");
    fr_jsonw_bool(w, n->shown);
    if (of->f->retrieval == NULL)
        return;
    fr_jsonw_key(w, "retrieval");
    fr_jsonw_z(w, of->f->retrieval);
    fr_jsonw_key(w, "retrieval_seen");
    fr_jsonw_bool(w, n->retrieval_seen);
}

static enum fr_err make(const struct flags *f, const struct fr_stream_hold *h, struct fr_stream_compare **out, struct fr_fault *fault)
{
    struct fr_progress p;
    struct fr_stream_compare_config c = {.in = h->in,
                                         .cfg = &f->s.cfg,
                                         .retrieval = f->retrieval,
                                         .after = (uint64_t)f->after,
                                         .max_lists = (uint32_t)f->max_lists,
                                         .progress = tell,
                                         .progress_ctx = &p};
    enum fr_err e;

    fr_progress_start(&p, "lists", "events", 0, f->c.quiet);
    e = fr_stream_compare_new(&c, out, fault);
    if (e == FR_OK)
        fr_progress_finish(&p, fr_stream_compare_counts(*out)->events);
    return e;
}

static int compare(const struct flags *f)
{
    struct fr_fault fault = {.err = FR_OK};
    struct fr_stream_hold h = {.in = {.until = (uint64_t)f->until}};
    struct fr_stream_compare *s = NULL;
    char where[64];
    int rc = FR_EXIT_FAILURE;
    enum fr_err e = fr_stream_hold_read(&h, &f->s, &f->stream, f->c.quiet, &fault);

    if (e == FR_OK)
        e = make(f, &h, &s, &fault);
    if (e == FR_OK) {
        struct of of = {f, s};
        const struct fr_compare_on on = {"stream", FR_STREAM_COMPARE_MAIN, where, evaluate, &of,
                                         true, fr_stream_compare_counts(s)->known_ms, about};

        (void)snprintf(where, sizeof(where), "lists after event %lld", (long long)f->after);
        describe(f, fr_stream_compare_counts(s));
        rc = fr_cmd_compare(&on, &f->c);
    } else {
        fprintf(stderr, "freshet evaluate: %s\n", fault.msg[0] != '\0' ? fault.msg : fr_err_text(e));
    }
    fr_stream_compare_free(s);
    fr_stream_hold_done(&h);
    return rc;
}

int fr_cmd_compare_stream(int argc, char **argv)
{
    static char command[] = COMMAND; /* whose help it is */
    const char *more[FR_ARG_LIST_MAX];
    struct flags f = {.c = FR_COMPARE_FLAGS, .after = -1, .max_lists = MAX_LISTS};
    const struct fr_arg flags[] = {
        FR_COMPARE_ARGS(&f.c),
        FR_STREAM_ARGS(&f.stream),
        FR_SETTINGS_ARGS(&f.s),
        {"retrieval", FR_ARG_STR, &f.retrieval, 0, 0, "BUNDLE", "brings candidates, and the score that rankers read; take the one they were trained beside"},
        {"after-event", FR_ARG_INT, &f.after, 0, 4294967290.0, "N", "the first N events only prepare: those that the bundles were trained on (train --until-event N)"},
        {"until-event", FR_ARG_INT, &f.until, 1, 4294967290.0, "N", "use the first N events only"},
        {"max-lists", FR_ARG_INT, &f.max_lists, 1, 1000000, "N", "measure so many triggers, spread evenly; of lists that were shown the first (2000)"}};
    struct fr_args a = {"evaluate --compare BUNDLE... --events FILE | --from-topics --after-event N [flags]",
                        "Measure bundles on the same lists of a stream (on a published benchmark: --benchmark NAME).\n\n"
                        "The stream is replayed through the serving code. A list is what was shown and clicked in, if\n"
                        "the stream has 100 of them; else the candidates at a trigger, if the user's next positive is\n"
                        "among them. Every bundle orders the same lists: AUC, logloss and gAUC over their rows, HR@20\n"
                        "and MRR@20 of the positive's place (HR@20 is left out where the lists are what was shown: those\n"
                        "are short), the number of trained parameters, the bytes of the files and the median CPU time\n"
                        "of 500 candidates on one thread. Intervals and differences to the first bundle are over\n"
                        "resamples of the users (paired). A bundle whose newest event is newer than the first N events\n"
                        "is told (it knows what it is measured on); one that cannot be measured is named with the\n"
                        "reason and makes the exit status 1.",
                        flags, (int)(sizeof(flags) / sizeof(flags[0])), more, FR_ARG_LIST_MAX, 0};
    int rc;

    argv[0] = command;
    rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    if ((rc = fr_compare_flags_more(&f.c, &a, COMMAND)) != FR_ARGS_GO_ON || (rc = fr_stream_flags_check(&f.stream, COMMAND)) != FR_ARGS_GO_ON)
        return rc;
    if ((f.stream.events == NULL && !f.stream.topics) || f.after < 0)
        return fr_args_usage(COMMAND, "--compare on a stream needs --events or --from-topics, and --after-event; on a benchmark --benchmark");
    if (f.until > 0 && f.until <= f.after)
        return fr_args_usage(COMMAND, "--until-event must be beyond --after-event");
    rc = fr_settings_load(&f.s, "evaluate");
    if (rc == FR_ARGS_GO_ON)
        rc = compare(&f);
    fr_settings_done(&f.s);
    return rc;
}
