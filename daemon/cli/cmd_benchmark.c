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
#include "daemon/base/file.h"
#include "daemon/base/json.h"
#include "daemon/cli/args.h"
#include "daemon/cli/progress.h"
#include "daemon/learn/benchmark.h"

struct flags {
    const char *benchmark, *data, *model, *preset, *out, *bundle;
    struct fr_arg_list set;
    int64_t epochs, seed, threads;
    bool json, quiet;
};

/* One bar an epoch. */
struct bar {
    struct fr_progress p;
    char what[96];
    const char *valid; /* the measure of validation */
    int epoch;
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
        (void)fr_args_usage(command, "--benchmark: no such benchmark; there are: %s", names);
    return b;
}

bool fr_cmd_benchmark_asked(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--benchmark") == 0 || strncmp(argv[i], "--benchmark=", 12) == 0)
            return true;
    return false;
}

static void tell(void *ctx, int epoch, uint64_t rows, uint64_t of, double loss, double valid)
{
    struct bar *b = ctx;

    if (b->epoch != epoch) {
        b->epoch = epoch;
        fr_progress_start(&b->p, b->what, "rows", of, b->quiet);
    }
    snprintf(b->what, sizeof(b->what), "epoch %d loss %.4f", epoch, loss);
    if (isnan(valid)) {
        fr_progress_update(&b->p, rows);
        return;
    }
    snprintf(b->what, sizeof(b->what), "epoch %d loss %.4f, validation %s %.5f", epoch, loss, b->valid,
             valid);
    fr_progress_finish(&b->p, rows);
}

/* OUT.curve.csv */
static enum fr_err write_curve(const char *out, const struct fr_benchmark_result *r, struct fr_fault *fault)
{
    struct fr_buf path, b;
    enum fr_err e;

    fr_buf_init(&path);
    fr_buf_init(&b);
    fr_buf_puts(&path, out);
    fr_buf_puts(&path, ".curve.csv");
    fr_buf_putc(&path, '\0');
    fr_buf_printf(&b, "epoch,lr,train_loss%s%s\n", r->valid_name == NULL ? "" : ",valid_",
                  r->valid_name == NULL ? "" : r->valid_name);
    for (int i = 0; i < r->epochs && i < FR_BENCHMARK_EPOCHS_KEPT; i++) {
        fr_buf_printf(&b, "%d,%g,%.7f", i + 1, r->lr[i], r->loss[i]);
        if (r->valid_name != NULL)
            fr_buf_printf(&b, ",%.7f", r->valid[i]);
        fr_buf_putc(&b, '\n');
    }
    e = fr_buf_err(&path) != FR_OK ? FR_ENOMEM : fr_buf_err(&b);
    e = e == FR_OK ? fr_file_replace(path.p, fr_buf_str(&b), fault) : fr_fault(fault, e, "out of memory");
    fr_buf_done(&path);
    fr_buf_done(&b);
    return e;
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

/* @param preset  NULL: of an evaluation */
static int print(const struct flags *f, const char *preset, const struct fr_benchmark_result *r)
{
    FILE *text = f->json ? stderr : stdout;
    const char *model = fr_model_kind_name(r->kind);
    struct fr_jsonw w;
    struct fr_buf b;
    int rc = FR_EXIT_FAILURE;

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
        e = fr_benchmark_set(&run->set, fr_str_z(f->set.v[i]), fault);
    if (f->epochs > 0)
        run->set.epochs = (double)f->epochs;
    return e;
}

static int train(const struct flags *f)
{
    const struct fr_benchmark *b = find("train", f->benchmark);
    struct bar bar = {.quiet = f->quiet};
    struct fr_benchmark_run run = {.dir = f->data,
                                   .out = f->out,
                                   .kind = fr_model_kind_find(fr_str_z(f->model == NULL ? "" : f->model)),
                                   .seed = (uint64_t)f->seed,
                                   .threads = (int)f->threads,
                                   .tell = tell,
                                   .tell_ctx = &bar};
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
    if (settings(f, &run, &preset, &fault) != FR_OK)
        return fr_args_usage("train", "%s", fault.msg);
    if ((r = fr_calloc(1, sizeof(*r))) == NULL)
        return failed("train", &fault, FR_ENOMEM);
    fr_clock_init_real(&clock);
    run.created_ms = fr_clock_wall_ms(&clock);
    bar.valid = b->valid;
    e = b->train(&run, r, &fault);
    if (e == FR_OK)
        e = write_curve(f->out, r, &fault);
    rc = e == FR_OK ? print(f, preset, r) : failed("train", &fault, e);
    fr_free(r);
    return rc;
}

int fr_cmd_benchmark_train(int argc, char **argv)
{
    struct flags f = {.seed = 1, .threads = 2};
    char models[MODELS_BYTES];
    const struct fr_arg flags[] = {
        {"benchmark", FR_ARG_STR, &f.benchmark, 0, 0, "NAME", "whose layout and protocol"},
        {"data", FR_ARG_STR, &f.data, 0, 0, "DIR", "the benchmark's files"},
        {"model", FR_ARG_STR, &f.model, 0, 0, "NAME", models_of(NULL, models)},
        {"preset", FR_ARG_STR, &f.preset, 0, 0, "NAME", "settings (the default of benchmark and model)"},
        {"set", FR_ARG_LIST, &f.set, 0, 0, "KEY=VALUE", "one setting, as optimizer=adam|sgd|adagrad|ftrl, lr=0.01; may be repeated"},
        {"epochs", FR_ARG_INT, &f.epochs, 1, 10000, "N", "at most"},
        {"seed", FR_ARG_INT, &f.seed, 0, 9007199254740991.0, "N", "same seed and threads, same bundle (1)"},
        {"threads", FR_ARG_INT, &f.threads, 1, 64, "N", "worker threads (2)"},
        {"out", FR_ARG_STR, &f.out, 0, 0, "BUNDLE", "the bundle; the curve goes to BUNDLE.curve.csv"},
        {"quiet", FR_ARG_BOOL, &f.quiet, 0, 0, NULL, "no progress"},
        {"json", FR_ARG_BOOL, &f.json, 0, 0, NULL, "one JSON object as the last line"}};
    struct fr_args a = {"train --benchmark NAME --data DIR --model NAME --out BUNDLE [flags]",
                        "Train on a published benchmark; validation rows choose, the test file is only measured.",
                        flags, (int)(sizeof(flags) / sizeof(flags[0])), NULL, 0, 0};
    int rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    return train(&f);
}

int fr_cmd_benchmark_evaluate(int argc, char **argv)
{
    struct flags f = {.threads = 1};
    const struct fr_arg flags[] = {
        {"benchmark", FR_ARG_STR, &f.benchmark, 0, 0, "NAME", "whose layout and protocol"},
        {"data", FR_ARG_STR, &f.data, 0, 0, "DIR", "the benchmark's files; of them the test file is read"},
        {"bundle", FR_ARG_STR, &f.bundle, 0, 0, "BUNDLE", "what is measured"},
        {"json", FR_ARG_BOOL, &f.json, 0, 0, NULL, "one JSON object as the last line"}};
    struct fr_args a = {"evaluate --benchmark NAME --data DIR --bundle BUNDLE [flags]",
                        "Measure a bundle on a benchmark's test file.",
                        flags, (int)(sizeof(flags) / sizeof(flags[0])), NULL, 0, 0};
    const struct fr_benchmark *b;
    struct fr_benchmark_result *r;
    struct fr_fault fault = {.err = FR_OK};
    enum fr_err e;
    int rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    if ((b = find("evaluate", f.benchmark)) == NULL)
        return FR_EXIT_USAGE;
    if (f.data == NULL || f.bundle == NULL)
        return fr_args_usage("evaluate", "--data (of %s) and --bundle are needed", b->files);
    if ((r = fr_calloc(1, sizeof(*r))) == NULL)
        return failed("evaluate", &fault, FR_ENOMEM);
    e = b->evaluate(f.data, f.bundle, r, &fault);
    rc = e == FR_OK ? print(&f, NULL, r) : failed("evaluate", &fault, e);
    fr_free(r);
    return rc;
}
