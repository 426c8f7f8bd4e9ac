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
#include "daemon/learn/benchmark_rows.h"

struct flags {
    int benchmark; /* frappe */
    const char *data, *model, *preset, *out, *bundle;
    struct fr_arg_list set;
    int64_t epochs, seed, threads;
    bool json, quiet;
};

/* One bar an epoch. */
struct bar {
    struct fr_progress p;
    char what[96];
    int epoch;
    bool quiet;
};

bool fr_cmd_benchmark_asked(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--benchmark") == 0 || strncmp(argv[i], "--benchmark=", 12) == 0)
            return true;
    return false;
}

static void tell(void *ctx, int epoch, uint64_t rows, uint64_t of, double loss, double auc)
{
    struct bar *b = ctx;

    if (b->epoch != epoch) {
        b->epoch = epoch;
        fr_progress_start(&b->p, b->what, "rows", of, b->quiet);
    }
    snprintf(b->what, sizeof(b->what), "epoch %d loss %.4f", epoch, loss);
    if (isnan(auc)) {
        fr_progress_update(&b->p, rows);
        return;
    }
    snprintf(b->what, sizeof(b->what), "epoch %d loss %.4f, validation AUC %.5f", epoch, loss, auc);
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
    fr_buf_puts(&b, "epoch,lr,train_loss,valid_auc\n");
    for (int i = 0; i < r->epochs; i++)
        fr_buf_printf(&b, "%d,%g,%.7f,%.7f\n", i + 1, r->lr[i], r->loss[i], r->valid_auc[i]);
    e = fr_buf_err(&path) != FR_OK ? FR_ENOMEM : fr_buf_err(&b);
    e = e == FR_OK ? fr_file_replace(path.p, fr_buf_str(&b), fault) : fr_fault(fault, e, "out of memory");
    fr_buf_done(&path);
    fr_buf_done(&b);
    return e;
}

static void put_measures(struct fr_jsonw *w, const struct fr_benchmark_scores *s)
{
    const struct {
        const char *name;
        double v;
    } m[] = {{"auc", s->auc},
             {"logloss", s->logloss},
             {"gauc", s->gauc},
             {"ece", s->ece},
             {"calibration_ratio", s->ratio}};

    fr_jsonw_key(w, "metrics");
    fr_jsonw_object(w);
    for (size_t i = 0; i < sizeof(m) / sizeof(m[0]); i++) {
        if (isnan(m[i].v))
            continue;
        fr_jsonw_key(w, m[i].name);
        fr_jsonw_f64(w, m[i].v);
    }
    fr_jsonw_end(w, '}');
}

/* @param r  NULL: of an evaluation */
static int print(const struct flags *f,
                 const char *model,
                 const char *preset,
                 const struct fr_benchmark_scores *s,
                 const struct fr_benchmark_result *r)
{
    struct fr_jsonw w;
    struct fr_buf b;
    int rc = FR_EXIT_FAILURE;

    fprintf(f->json ? stderr : stdout, "%s on frappe: AUC %.5f, logloss %.5f, gAUC %.5f, ECE %.4f, ratio %.4f\n",
            model, s->auc, s->logloss, s->gauc, s->ece, s->ratio);
    if (!f->json)
        return FR_EXIT_OK;
    fr_buf_init(&b);
    fr_jsonw_init(&w, &b);
    fr_jsonw_object(&w);
    fr_jsonw_key(&w, "benchmark");
    fr_jsonw_z(&w, "frappe");
    fr_jsonw_key(&w, "model");
    fr_jsonw_z(&w, model);
    if (r != NULL) {
        fr_jsonw_key(&w, "preset");
        fr_jsonw_z(&w, preset);
        fr_jsonw_key(&w, "seed");
        fr_jsonw_i64(&w, f->seed);
    }
    put_measures(&w, s);
    if (r != NULL) {
        fr_jsonw_key(&w, "seconds");
        fr_jsonw_f64(&w, r->seconds);
        fr_jsonw_key(&w, "rows_per_second");
        fr_jsonw_f64(&w, r->rows_per_second);
        fr_jsonw_key(&w, "epochs");
        fr_jsonw_i64(&w, r->epochs);
        fr_jsonw_key(&w, "best_epoch");
        fr_jsonw_i64(&w, r->best_epoch);
    }
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
    enum fr_err e = fr_benchmark_preset("frappe", run->kind, f->preset, &run->set, preset, fault);

    for (int i = 0; e == FR_OK && i < f->set.n; i++)
        e = fr_benchmark_set(&run->set, fr_str_z(f->set.v[i]), fault);
    if (f->epochs > 0)
        run->set.epochs = (double)f->epochs;
    return e;
}

static int train(const struct flags *f)
{
    struct bar bar = {.quiet = f->quiet};
    struct fr_benchmark_run run = {.dir = f->data,
                                   .out = f->out,
                                   .kind = fr_model_kind_find(fr_str_z(f->model)),
                                   .seed = (uint64_t)f->seed,
                                   .threads = (int)f->threads,
                                   .tell = tell,
                                   .tell_ctx = &bar};
    struct fr_benchmark_result *r;
    struct fr_fault fault = {.err = FR_OK};
    struct fr_clock clock;
    const char *preset = NULL;
    enum fr_err e;
    int rc;

    if (run.kind == FR_MODEL_KIND_COUNT)
        return fr_args_usage("train", "no such model: %s", f->model);
    if (settings(f, &run, &preset, &fault) != FR_OK)
        return fr_args_usage("train", "%s", fault.msg);
    if ((r = fr_malloc_array(1, sizeof(*r))) == NULL)
        return failed("train", &fault, FR_ENOMEM);
    fr_clock_init_real(&clock);
    run.created_ms = fr_clock_wall_ms(&clock);
    e = fr_benchmark_rows_train(&run, r, &fault);
    if (e == FR_OK)
        e = write_curve(f->out, r, &fault);
    rc = e == FR_OK ? print(f, f->model, preset, &r->test, r) : failed("train", &fault, e);
    fr_free(r);
    return rc;
}

int fr_cmd_benchmark_train(int argc, char **argv)
{
    struct flags f = {.seed = 1, .threads = 2};
    const struct fr_arg flags[] = {
        {"benchmark", FR_ARG_CHOICE, &f.benchmark, 0, 0, "frappe", "whose layout and protocol"},
        {"data", FR_ARG_STR, &f.data, 0, 0, "DIR", "the benchmark's files: train.csv, test.csv, usually valid.csv"},
        {"model", FR_ARG_STR, &f.model, 0, 0, "NAME", "lr, fm, wide_deep, deepfm"},
        {"preset", FR_ARG_STR, &f.preset, 0, 0, "NAME", "settings (the default of benchmark and model)"},
        {"set", FR_ARG_LIST, &f.set, 0, 0, "KEY=VALUE", "one setting; may be repeated"},
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
    if (f.data == NULL || f.model == NULL || f.out == NULL)
        return fr_args_usage("train", "--data, --model and --out are needed");
    return train(&f);
}

int fr_cmd_benchmark_evaluate(int argc, char **argv)
{
    struct flags f = {.threads = 1};
    const struct fr_arg flags[] = {
        {"benchmark", FR_ARG_CHOICE, &f.benchmark, 0, 0, "frappe", "whose layout and protocol"},
        {"data", FR_ARG_STR, &f.data, 0, 0, "DIR", "the benchmark's files; test.csv is read"},
        {"bundle", FR_ARG_STR, &f.bundle, 0, 0, "BUNDLE", "what is measured"},
        {"json", FR_ARG_BOOL, &f.json, 0, 0, NULL, "one JSON object as the last line"}};
    struct fr_args a = {"evaluate --benchmark NAME --data DIR --bundle BUNDLE [flags]",
                        "Measure a bundle on a benchmark's test file.",
                        flags, (int)(sizeof(flags) / sizeof(flags[0])), NULL, 0, 0};
    struct fr_fault fault = {.err = FR_OK};
    struct fr_benchmark_scores s;
    enum fr_model_kind kind;
    enum fr_err e;
    int rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    if (f.data == NULL || f.bundle == NULL)
        return fr_args_usage("evaluate", "--data and --bundle are needed");
    e = fr_benchmark_rows_evaluate(f.data, f.bundle, &s, &kind, &fault);
    return e == FR_OK ? print(&f, fr_model_kind_name(kind), NULL, &s, NULL) : failed("evaluate", &fault, e);
}
