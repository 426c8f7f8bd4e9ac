/*
 * daemon/cli/cmd_benchmark.c - flags, progress, the learning curve, the object of measures.
 */
#include "daemon/cli/cmd_benchmark.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/buf.h"
#include "daemon/base/clock.h"
#include "daemon/base/cpu.h"
#include "daemon/base/json.h"
#include "daemon/cli/args.h"
#include "daemon/cli/checkpoint_flags.h"
#include "daemon/cli/cmd_compare.h"
#include "daemon/cli/curve.h"
#include "daemon/cli/label.h"
#include "daemon/cli/progress.h"
#include "daemon/learn/benchmark.h"
#include "daemon/learn/train_out.h"

struct flags {
    const char *benchmark, *data, *model, *preset, *out, *bundle, *from;
    struct fr_checkpoint_flags checkpoint;
    struct fr_arg_list set;
    int64_t epochs, seed, threads;
    bool json, quiet, presets;
};

/* One bar an epoch. */
struct bar {
    struct fr_progress p;
    char what[48];
    const char *valid; /* the measure of validation */
    double last;       /* its last value; NaN: none yet */
    int epoch, epochs; /* 0: none is begun; at most so many */
    uint64_t rows, first_of; /* rows of this epoch so far; of the first one in all */
    bool quiet;
};

#define MODELS_BYTES 512

/* "lr, fm": the kinds a benchmark takes and this build has; of NULL, those of any. */
static const char *models_of(const struct fr_benchmark *b, char out[MODELS_BYTES])
{
    unsigned kinds = b == NULL ? 0 : b->kinds;
    size_t n = 0;

    for (int i = 0; b == NULL && fr_benchmark_at(i) != NULL; i++)
        kinds |= fr_benchmark_at(i)->kinds;
    out[0] = '\0';
    for (int k = 0; k < FR_MODEL_KIND_COUNT && n < MODELS_BYTES; k++)
        if ((kinds & 1u << k) != 0)
            n += (size_t)snprintf(out + n, MODELS_BYTES - n, "%s%s", n == 0 ? "" : ", ",
                                  fr_model_kind_name((enum fr_model_kind)k));
    return out;
}

/* @return NULL: told, with the names there are */
static const struct fr_benchmark *find(const char *command, const char *name)
{
    const struct fr_benchmark *b = fr_benchmark_find(fr_str_z(name)), *one;
    char names[MODELS_BYTES] = "";
    size_t n = 0;

    for (int i = 0; (one = fr_benchmark_at(i)) != NULL && n < sizeof(names); i++)
        n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", n == 0 ? "" : ", ", one->name);
    if (b == NULL)
        (void)fr_args_usage(command, "--benchmark%s; there are: %s", name == NULL ? " is needed" : ": no such benchmark", names);
    return b;
}

/* The last line of an epoch, if one is begun. */
static void bar_end(struct bar *b)
{
    if (b->epoch > 0)
        fr_progress_finish(&b->p, b->rows);
    b->epoch = 0;
}

static void bar_begin(struct bar *b, int epoch, uint64_t of)
{
    bar_end(b);
    b->epoch = epoch;
    b->rows = 0;
    b->first_of = b->first_of == 0 ? of : b->first_of;
    if (of > b->first_of) /* once more, the held-out rows among them */
        snprintf(b->what, sizeof(b->what), "epoch %d, all data", epoch);
    else
        snprintf(b->what, sizeof(b->what), "epoch %d/%d", epoch, b->epochs);
    fr_progress_start(&b->p, b->what, "rows", of, b->quiet);
}

/* fr_benchmark_tell_fn */
static void tell(void *ctx, int epoch, uint64_t rows, uint64_t of, double loss, double valid)
{
    struct bar *b = ctx;
    char text[2][48] = {"", ""};

    if (b->epoch != epoch)
        bar_begin(b, epoch, of);
    b->rows = rows > b->rows ? rows : b->rows;
    b->last = isnan(valid) ? b->last : valid;
    if (!isnan(loss))
        (void)snprintf(text[0], sizeof(text[0]), "loss %.4f", loss);
    if (!isnan(b->last))
        (void)snprintf(text[1], sizeof(text[1]), "%s%s %.5f", isnan(loss) ? "" : " ", b->valid, b->last);
    fr_progress_note(&b->p, "%s%s", text[0], text[1]);
    if (isnan(valid))
        fr_progress_update(&b->p, rows);
    else
        bar_end(b);
}

static void note(void *ctx, const char *text)
{
    const struct bar *b = ctx;

    if (!b->quiet)
        fprintf(stderr, "checkpoint: %s\n", text);
}

/* OUT.curve.csv and OUT.curve.svg */
static enum fr_err write_curve(const struct flags *f, const struct fr_benchmark_result *r, struct fr_fault *fault)
{
    char title[160];
    struct fr_chart_curve c = {.valid_name = r->valid_name,
                               .loss = r->loss,
                               .valid = r->valid,
                               .lr = r->lr,
                               .n = r->epochs < FR_BENCHMARK_EPOCHS_MAX ? r->epochs : FR_BENCHMARK_EPOCHS_MAX,
                               .best = r->best_epoch};

    (void)snprintf(title, sizeof(title), "%s on %s, seed %lld", fr_model_kind_name(r->kind), f->benchmark,
                   (long long)f->seed);
    c.title = fr_str_z(title);
    return fr_curve_write(f->out, &c, r->lr, fault);
}

static void put_measures(struct fr_jsonw *w, const struct fr_benchmark_result *r)
{
    fr_jsonw_key(w, "metrics");
    fr_jsonw_object(w);
    for (int i = 0; i < r->n_metrics; i++) {
        if (isnan(r->metric[i].value))
            continue;
        fr_jsonw_key(w, r->metric[i].name);
        fr_jsonw_f64(w, r->metric[i].value);
    }
    fr_jsonw_end(w, '}');
}

static void put_run(struct fr_jsonw *w, const struct fr_benchmark_result *r)
{
    fr_jsonw_key(w, "seconds");
    fr_jsonw_f64(w, r->seconds);
    fr_jsonw_key(w, "rows_per_second");
    fr_jsonw_f64(w, r->rows_per_second);
    fr_jsonw_key(w, "epochs");
    fr_jsonw_i64(w, r->epochs);
    fr_jsonw_key(w, "best_epoch");
    fr_jsonw_i64(w, r->best_epoch);
}

static void print_notes(const struct fr_benchmark_result *r)
{
    for (int i = 0; i < r->n_notes; i++) {
        struct fr_buf b = {NULL, 0, 0, FR_OK};

        fr_label_clean(&b, fr_str_z(r->note[i]), FR_BENCHMARK_NOTE); /* names of files are in it */
        fprintf(stderr, "note: %.*s\n", (int)b.n, b.n == 0 ? "" : b.p);
        fr_buf_done(&b);
    }
}

/* @param preset  NULL: of an evaluation */
static int print(const struct flags *f, const char *preset, const struct fr_benchmark_result *r)
{
    FILE *text = f->json ? stderr : stdout;
    const char *model = fr_model_kind_name(r->kind);
    struct fr_jsonw w;
    struct fr_buf b;
    int rc = FR_EXIT_FAILURE;

    print_notes(r);
    fprintf(text, "%s on %s:", model, f->benchmark);
    for (int i = 0, n = 0; i < r->n_metrics; i++)
        if (!isnan(r->metric[i].value))
            fprintf(text, "%s %s %.5f", n++ == 0 ? "" : ",", r->metric[i].name, r->metric[i].value);
    fputc('\n', text);
    if (!f->json)
        return FR_EXIT_OK;
    fr_buf_init(&b);
    fr_jsonw_init(&w, &b);
    fr_jsonw_object(&w);
    fr_jsonw_key(&w, "benchmark");
    fr_jsonw_z(&w, f->benchmark);
    fr_jsonw_key(&w, "model");
    fr_jsonw_z(&w, model);
    if (preset != NULL) {
        fr_jsonw_key(&w, "preset");
        fr_jsonw_z(&w, preset);
        fr_jsonw_key(&w, "seed");
        fr_jsonw_i64(&w, f->seed);
    }
    put_measures(&w, r);
    if (preset != NULL)
        put_run(&w, r);
    fr_jsonw_end(&w, '}');
    if (fr_buf_err(&b) == FR_OK && printf("%.*s\n", (int)b.n, b.p) > 0)
        rc = FR_EXIT_OK;
    fr_buf_done(&b);
    return rc;
}

static int failed(const char *command, const struct fr_fault *fault, enum fr_err e)
{
    fprintf(stderr, "freshet %s: %s\n", command, fault->msg[0] != '\0' ? fault->msg : fr_err_text(e));
    return FR_EXIT_FAILURE;
}

/* Preset, then --set, then --epochs. */
static enum fr_err
settings(const struct flags *f, struct fr_benchmark_run *run, const char **preset, struct fr_fault *fault)
{
    enum fr_err e = fr_benchmark_preset(f->benchmark, run->kind, f->preset, &run->set, preset, fault);

    for (int i = 0; e == FR_OK && i < f->set.n; i++)
        e = fr_benchmark_set(&run->set, run->kind, fr_str_z(f->set.v[i]), fault);
    if (f->epochs > 0)
        run->set.epochs = (double)f->epochs;
    return e;
}

static int train(const struct flags *f)
{
    const struct fr_benchmark *b = find("train", f->benchmark);
    struct bar bar = {.quiet = f->quiet, .last = (double)NAN};
    struct fr_benchmark_run run = {.dir = f->data,
                                   .out = f->out,
                                   .from = f->from,
                                   .kind = fr_model_kind_find(fr_str_z(f->model == NULL ? "" : f->model)),
                                   .seed = (uint64_t)f->seed,
                                   .threads = (int)f->threads,
                                   .tell = tell,
                                   .tell_ctx = &bar,
                                   .checkpoint = f->checkpoint.file,
                                   .checkpoint_s = fr_checkpoint_flags_every(&f->checkpoint),
                                   .note = note};
    char models[MODELS_BYTES];
    struct fr_benchmark_result *r;
    struct fr_fault fault = {.err = FR_OK};
    struct fr_clock clock;
    const char *preset = NULL;
    enum fr_err e;
    int rc;

    if (b == NULL)
        return FR_EXIT_USAGE;
    if (f->data == NULL || f->model == NULL || f->out == NULL)
        return fr_args_usage("train", "--data (of %s), --model (%s) and --out are needed", b->files,
                             models_of(b, models));
    if (run.kind == FR_MODEL_KIND_COUNT || (b->kinds & 1u << run.kind) == 0)
        return fr_args_usage("train", "--model: %s takes %s", b->name, models_of(b, models));
    if ((rc = fr_checkpoint_flags_check(&f->checkpoint, "train")) != FR_ARGS_GO_ON)
        return rc;
    if (settings(f, &run, &preset, &fault) != FR_OK)
        return fr_args_usage("train", "%s", fault.msg);
    if ((e = fr_train_out_check(f->out, &fault)) != FR_OK)
        return failed("train", &fault, e);
    if ((r = fr_calloc(1, sizeof(*r))) == NULL)
        return failed("train", &fault, FR_ENOMEM);
    fr_clock_init_real(&clock);
    run.created_ms = fr_clock_wall_ms(&clock);
    bar.valid = b->valid;
    bar.epochs = (int)run.set.epochs;
    e = b->train(&run, r, &fault);
    bar_end(&bar);
    if (e == FR_OK)
        e = write_curve(f, r, &fault);
    if (e == FR_OK)
        fr_checkpoint_flags_done(&f->checkpoint);
    rc = e == FR_OK ? print(f, preset, r) : failed("train", &fault, e);
    fr_free(r);
    return rc;
}

static int print_presets(void)
{
    const struct fr_fault none = {.err = FR_OK};
    struct fr_buf b;
    enum fr_err e;

    fr_buf_init(&b);
    fr_benchmark_presets_put(&b);
    if ((e = fr_buf_err(&b)) == FR_OK)
        (void)fwrite(b.p, 1, b.n, stdout);
    fr_buf_done(&b);
    return e == FR_OK ? FR_EXIT_OK : failed("train", &none, e);
}

int fr_cmd_benchmark_train(int argc, char **argv)
{
    struct flags f = {.seed = 1, .threads = fr_cpu_count(64), .checkpoint = {.every_s = -1}};
    char models[MODELS_BYTES];
    const struct fr_arg flags[] = {
        {"benchmark", FR_ARG_STR, &f.benchmark, 0, 0, "NAME", "whose layout and protocol"},
        {"data", FR_ARG_STR, &f.data, 0, 0, "DIR", "the benchmark's files"},
        {"model", FR_ARG_STR, &f.model, 0, 0, "NAME", models_of(NULL, models)},
        {"preset", FR_ARG_STR, &f.preset, 0, 0, "NAME", "settings, as --presets lists them (the default of benchmark and model)"},
        {"set", FR_ARG_LIST, &f.set, 0, 0, "KEY=VALUE", "one setting, as optimizer=adam|sgd|adagrad|ftrl, lr=0.01; may be repeated"},
        {"presets", FR_ARG_BOOL, &f.presets, 0, 0, NULL, "print all presets and the keys of --set, and end"},
        {"epochs", FR_ARG_INT, &f.epochs, 1, FR_BENCHMARK_EPOCHS_MAX, "N", "at most"},
        {"seed", FR_ARG_INT, &f.seed, 0, 9007199254740991.0, "N", "same seed and threads, same bundle (1)"},
        {"threads", FR_ARG_INT, &f.threads, 1, 64, "N", "worker threads (one a processor)"},
        {"from", FR_ARG_STR, &f.from, 0, 0, "BUNDLE", "go on from its weights: same model, fields and shapes"},
        {"out", FR_ARG_STR, &f.out, 0, 0, "BUNDLE", "the bundle; the learning curve goes to BUNDLE.curve.csv and BUNDLE.curve.svg"},
        FR_CHECKPOINT_ARGS(&f.checkpoint, "data"),
        {"quiet", FR_ARG_BOOL, &f.quiet, 0, 0, NULL, "no progress"},
        {"json", FR_ARG_BOOL, &f.json, 0, 0, NULL, "one JSON object as the last line"}};
    struct fr_args a = {"train --benchmark NAME --data DIR --model NAME --out BUNDLE [flags]",
                        "Train on a published benchmark; validation rows choose, the test file is only measured.\n"
                        "What cannot be measured is left out: frappe's gauc if there is no column `user` or no user with both\n"
                        "labels, its auc too if the test file has one label only.",
                        flags, (int)(sizeof(flags) / sizeof(flags[0])), NULL, 0, 0};
    int rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    return f.presets ? print_presets() : train(&f);
}

/* A benchmark's test file as what bundles are compared on. */
struct on {
    const struct fr_benchmark *b;
    const char *data;
};

static enum fr_err evaluate_on(void *ctx,
                               const char *bundle,
                               struct fr_benchmark_detail *detail,
                               struct fr_benchmark_result *out,
                               struct fr_fault *fault)
{
    const struct on *on = ctx;

    return on->b->evaluate(on->data, bundle, detail, out, fault);
}

int fr_cmd_benchmark_evaluate(int argc, char **argv)
{
    struct flags f = {.threads = 1};
    struct fr_compare_flags c = FR_COMPARE_FLAGS;
    const char *more[FR_ARG_LIST_MAX];
    const struct fr_arg flags[] = {
        {"benchmark", FR_ARG_STR, &f.benchmark, 0, 0, "NAME", "whose layout and protocol"},
        {"data", FR_ARG_STR, &f.data, 0, 0, "DIR", "the benchmark's files; of them the test file is read"},
        {"bundle", FR_ARG_STR, &f.bundle, 0, 0, "BUNDLE", "what is measured"},
        FR_COMPARE_ARGS(&c)};
    struct fr_args a = {"evaluate --benchmark NAME --data DIR --bundle BUNDLE | --compare BUNDLE... [flags]",
                        "Measure bundles on a benchmark's test file. What cannot be measured is left out: frappe's gauc if\n"
                        "there is no column `user` or no user with both labels, its auc too if the file has one label only.\n\n"
                        "--compare adds, for each bundle: the number of trained parameters, the bytes of its files,\n"
                        "and the median CPU time of a list of 500 candidates on one thread, as a lane of freshetd\n"
                        "does it. Of a ranker: ids to rows, then scores with a warm rank cache (frappe: every candidate\n"
                        "brings all its columns, so nothing is shared). Of a retrieval model: the user's vector, then\n"
                        "the best 20 of 500 items by exact search. Intervals and differences to the first bundle are\n"
                        "over resamples of the test's users (paired): what other users would change, not what another\n"
                        "training would. A bundle that cannot be measured is named with the reason and makes the exit\n"
                        "status 1; the others are shown.",
                        flags, (int)(sizeof(flags) / sizeof(flags[0])), more, FR_ARG_LIST_MAX, 0};
    const struct fr_benchmark *b;
    struct fr_benchmark_result *r;
    struct fr_fault fault = {.err = FR_OK};
    enum fr_err e;
    int rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    if ((b = find("evaluate", f.benchmark)) == NULL)
        return FR_EXIT_USAGE;
    if ((rc = fr_compare_flags_more(&c, &a, "evaluate")) != FR_ARGS_GO_ON)
        return rc;
    if (f.data == NULL || (f.bundle == NULL) == (c.bundles.n == 0))
        return fr_args_usage("evaluate", "--data (of %s), and either --bundle or --compare, are needed", b->files);
    if (c.bundles.n == 0 && c.out.n > 0)
        return fr_args_usage("evaluate", "--out goes with --compare");
    if (c.bundles.n > 0) {
        struct on data = {b, f.data};
        const struct fr_compare_on on = {b->name, b->valid, "the test file", evaluate_on, &data, false, 0, NULL};
        return fr_cmd_compare(&on, &c);
    }
    if ((r = fr_calloc(1, sizeof(*r))) == NULL)
        return failed("evaluate", &fault, FR_ENOMEM);
    f.json = c.json;
    e = b->evaluate(f.data, f.bundle, NULL, r, &fault);
    rc = e == FR_OK ? print(&f, NULL, r) : failed("evaluate", &fault, e);
    fr_free(r);
    return rc;
}
