/*
 * daemon/cli/cmd_train.c - `freshet train`: model bundles from a replayed stream, files or topics.
 */
#include "daemon/cli/cmd_train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/cpu.h"
#include "daemon/base/json.h"
#include "daemon/cli/checkpoint_flags.h"
#include "daemon/cli/cmd_benchmark.h"
#include "daemon/cli/curve.h"
#include "daemon/cli/progress.h"
#include "daemon/cli/settings.h"
#include "daemon/cli/stream_input.h"
#include "daemon/learn/stream_train.h"

#define PATH_BYTES 4096

#define LOSSES "softmax|sampled_softmax|full_softmax|ccl"
enum { SOFTMAX, SAMPLED_SOFTMAX, FULL_SOFTMAX, CCL }; /* of LOSSES */
#define RETRIEVALS "two_tower|mf"
#define MODELS "all|" RETRIEVALS "|lr|fm|wide_deep|deepfm|autoint|autoint+|gmf|mlp|neumf"
static const char *const model[] = {"all",    "two_tower", "mf",       "lr",  "fm",  "wide_deep",
                                    "deepfm", "autoint",   "autoint+", "gmf", "mlp", "neumf"};
enum { ALL, TWO_TOWER, MF, FIRST_RANKER }; /* of `model` */

struct flags {
    struct fr_settings s;
    struct fr_stream_flags stream;
    const char *out;
    struct fr_checkpoint_flags checkpoint;
    const char *value_event;
    int value; /* enum fr_value_kind */
    double value_weight;
    int model;     /* an index of `model` */
    int retrieval; /* of RETRIEVALS */
    int loss; /* of LOSSES */
    double margin, negative_weight;
    int64_t tower_negatives;
    int optimizer;
    double lr, decay, l2, clip, id_dropout, dropout;
    int64_t seed, threads, epochs, negatives, until, version;
    bool json, quiet, batch_norm;
};

/* A bar for each part of the training. */
struct bar {
    struct fr_progress p;
    const char *what;
    uint64_t done;
    bool quiet;
};

static void bar_end(struct bar *b)
{
    if (b->what != NULL)
        fr_progress_finish(&b->p, b->done);
    b->what = NULL;
}

static void bar_tell(void *ctx, const char *what, uint64_t done, uint64_t total, double loss, double auc)
{
    struct bar *b = ctx;

    if (b->what == NULL || strcmp(b->what, what) != 0) {
        bar_end(b);
        b->what = what;
        fr_progress_start(&b->p, what, strcmp(what, "ranker") == 0 ? "lists" : "examples", total, b->quiet);
    }
    b->p.total = total;
    b->done = done;
    if (!isnan(loss) && !isnan(auc))
        fr_progress_note(&b->p, "loss %.4f auc %.5f", loss, auc);
    else if (!isnan(loss))
        fr_progress_note(&b->p, "loss %.4f", loss);
    fr_progress_update(&b->p, done);
}

static void note(void *ctx, const char *text)
{
    struct bar *b = ctx;

    bar_end(b);
    if (!b->quiet)
        fprintf(stderr, "checkpoint: %s\n", text);
}

static void print_json(const struct flags *f, const struct fr_stream_train_result *r)
{
    const struct {
        const char *name;
        double v;
    } num[] = {{"seconds", r->total_s},          {"seconds_examples", r->examples_s},
               {"seconds_tower_a", r->tower_a_s}, {"seconds_lists", r->lists_s},
               {"seconds_ranker", r->ranker_s},   {"seconds_tower", r->tower_s}};
    const struct {
        const char *name;
        double v;
    } metric[] = {{"tower_loss", r->tower_loss}, {"ranker_loss", r->ranker_loss},
                  {"auc", r->auc},               {"logloss", r->logloss},
                  {"mrr_tower", r->mrr_tower},   {"mrr_ranker", r->mrr_ranker},
                  {"candidates", r->candidates}, {"hr20_tower", r->hr20_tower},
                  {"hr20_ranker", r->hr20_ranker},
                  {"value_error", r->value_error}, {"value_error_mean", r->value_error_mean},
                  {"value_ndcg", r->value_ndcg}, {"value_ndcg_click", r->value_ndcg_click}};
    size_t n_metric = sizeof(metric) / sizeof(metric[0]) - (f->value == FR_VALUE_NONE ? 4 : 0);
    struct fr_jsonw w;
    struct fr_buf b;

    fr_buf_init(&b);
    fr_jsonw_init(&w, &b);
    fr_jsonw_object(&w);
    fr_jsonw_key(&w, "model");
    fr_jsonw_z(&w, model[f->model]);
    for (size_t i = 0; i < sizeof(num) / sizeof(num[0]); i++) {
        fr_jsonw_key(&w, num[i].name);
        fr_jsonw_f64(&w, num[i].v);
    }
    fr_jsonw_key(&w, "lines");
    fr_jsonw_u64(&w, r->lines);
    fr_jsonw_key(&w, "refused");
    fr_jsonw_u64(&w, r->refused);
    fr_jsonw_key(&w, "first_refused");
    fr_jsonw_str(&w, fr_str_z(r->first_refused));
    fr_jsonw_key(&w, "rows");
    fr_jsonw_u64(&w, r->examples);
    fr_jsonw_key(&w, "lists");
    fr_jsonw_u64(&w, r->lists);
    fr_jsonw_key(&w, "lists_held_out");
    fr_jsonw_u64(&w, r->lists_held_out);
    fr_jsonw_key(&w, "items");
    fr_jsonw_u64(&w, r->items);
    fr_jsonw_key(&w, "impressions");
    fr_jsonw_u64(&w, r->impressions);
    fr_jsonw_key(&w, "lists_clicked");
    fr_jsonw_u64(&w, r->shown);
    if (f->value != FR_VALUE_NONE) {
        fr_jsonw_key(&w, "values");
        fr_jsonw_u64(&w, r->values);
        fr_jsonw_key(&w, "values_held_out");
        fr_jsonw_u64(&w, r->values_held_out);
    }
    fr_jsonw_key(&w, "ranker_epoch");
    fr_jsonw_i64(&w, r->ranker_epochs);
    fr_jsonw_key(&w, "pairs");
    fr_jsonw_u64(&w, r->pairs);
    fr_jsonw_key(&w, "mf_epochs");
    fr_jsonw_i64(&w, r->mf_epochs);
    fr_jsonw_key(&w, "metrics");
    fr_jsonw_object(&w);
    for (size_t i = 0; i < n_metric; i++) {
        fr_jsonw_key(&w, metric[i].name);
        fr_jsonw_f64(&w, metric[i].v);
    }
    fr_jsonw_end(&w, '}');
    fr_jsonw_end(&w, '}');
    if (fr_buf_err(&b) == FR_OK)
        printf("%.*s\n", (int)b.n, b.p);
    fr_buf_done(&b);
}

static void print_text(const struct fr_stream_train_result *r)
{
    printf("%llu events (%llu refused), %llu examples, %llu items\n", (unsigned long long)r->lines,
           (unsigned long long)r->refused, (unsigned long long)r->examples,
           (unsigned long long)r->items);
    if (r->refused > 0)
        printf("the first refused: %s\n", r->first_refused);
    if (r->impressions > 0)
        printf("%llu lists were shown, %llu of them clicked in\n", (unsigned long long)r->impressions,
               (unsigned long long)r->shown);
    if (r->mf_epochs > 0)
        printf("mf: %d epochs\n", r->mf_epochs);
    if (r->lists_held_out > 0)
        printf("ranker: %llu %s; ", (unsigned long long)(r->pairs > 0 ? r->pairs : r->lists), r->pairs > 0 ? "pairs" : "lists");
    if (r->lists_held_out > 0 && r->candidates <= 0)
        printf("held out, among what was shown: AUC %.4f, MRR %.4f (retrieval alone %.4f) over %llu lists\n", r->auc,
               r->mrr_ranker, r->mrr_tower, (unsigned long long)r->lists_held_out);
    else if (r->lists_held_out > 0)
        printf("held out: AUC %.4f, HR@20 %.4f (retrieval alone %.4f, among the candidates %.4f) over %llu triggers\n",
               r->auc, r->hr20_ranker, r->hr20_tower, r->candidates, (unsigned long long)r->eval_triggers);
    if (r->lists_held_out > 0 && r->ranker_epochs == 0)
        printf("ranker: no epoch was better than its beginning, the order of the retrieval: that is what was kept\n");
    if (r->values > 0)
        printf("value head: %llu labels with a value; held out: error %.4f (the mean alone %.4f), value kept in the "
               "first 20 places %.4f (by the click alone %.4f) over %llu lists\n",
               (unsigned long long)r->values, r->value_error, r->value_error_mean, r->value_ndcg, r->value_ndcg_click,
               (unsigned long long)r->values_held_out);
    printf("%.1f s\n", r->total_s);
}

/* DIR/<slug>.curve.csv and .svg beside the bundle. The rate falls all the time: no drops to mark. */
static enum fr_err write_curve(const struct flags *f,
                               enum fr_model_kind kind,
                               const struct fr_stream_curve *k,
                               const char *valid_name,
                               struct fr_fault *fault)
{
    char title[96], path[PATH_BYTES];
    struct fr_chart_curve c = {.valid_name = valid_name, .loss = k->loss, .valid = k->valid, .n = k->n, .best = k->best};

    (void)snprintf(title, sizeof(title), "%s on a stream, seed %lld", fr_model_kind_name(kind), (long long)f->seed);
    c.title = fr_str_z(title);
    if (snprintf(path, sizeof(path), "%s/%s", f->out, fr_model_kind_slug(kind)) >= (int)sizeof(path))
        return fr_fault(fault, FR_ETOOLARGE, "--out: the path is too long");
    return fr_curve_write(path, &c, k->lr, fault);
}

static enum fr_err write_curves(const struct flags *f,
                                const struct fr_stream_train_config *c,
                                const struct fr_stream_train_result *r,
                                struct fr_fault *fault)
{
    enum fr_err e = FR_OK;

    if (c->with_retrieval && r->tower_curve.n > 0)
        e = write_curve(f, c->retrieval_kind, &r->tower_curve, c->retrieval_kind == FR_MODEL_MF ? "ndcg@10" : NULL, fault);
    if (e == FR_OK && c->with_ranker)
        e = write_curve(f, c->ranker_kind, &r->ranker_curve, "mrr+hr@20", fault);
    return e;
}

static int train(const struct flags *f, const struct fr_stream_input *in)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_stream_train_config c;
    struct fr_stream_train_result r;
    struct bar bar = {.quiet = f->quiet};
    struct fr_two_tower_train_config tower;
    enum fr_err e;

    fr_stream_train_config_default(&c);
    fr_two_tower_train_config_default(&tower);
    tower.loss = f->loss == CCL ? FR_TOWER_CCL : FR_TOWER_SOFTMAX;
    tower.in_batch = f->loss == SOFTMAX;
    tower.full_softmax = f->loss == FULL_SOFTMAX;
    if (f->tower_negatives >= 0)
        tower.negatives = (int)f->tower_negatives;
    tower.margin = (float)f->margin;
    tower.negative_weight = (float)f->negative_weight;
    c.tower = &tower;
    c.in = *in;
    c.cfg = &f->s.cfg;
    c.dir = f->out;
    c.with_retrieval = f->model < FIRST_RANKER;
    c.with_ranker = f->model == ALL || f->model >= FIRST_RANKER;
    c.retrieval_kind = f->model == MF || f->retrieval == MF - TWO_TOWER ? FR_MODEL_MF : FR_MODEL_TWO_TOWER;
    if (f->model >= FIRST_RANKER)
        c.ranker_kind = fr_model_kind_find(fr_str_z(model[f->model]));
    c.seed = (uint64_t)f->seed;
    c.threads = (int)f->threads;
    c.optimizer = (enum fr_optimizer)f->optimizer;
    c.lr = f->lr;
    c.decay = f->decay;
    c.l2 = f->l2;
    c.clip = f->clip;
    c.id_dropout = f->id_dropout;
    c.dropout = f->dropout;
    c.batch_norm = f->batch_norm;
    if (f->epochs > 0)
        c.epochs = c.mf_epochs = (int)f->epochs;
    c.pair_negatives = (int)f->negatives;
    c.version = (uint64_t)f->version;
    c.value_weight = (float)f->value_weight;
    c.progress = bar_tell;
    c.progress_ctx = &bar;
    c.checkpoint = f->checkpoint.file;
    c.checkpoint_s = fr_checkpoint_flags_every(&f->checkpoint);
    c.note = note;
    e = fr_stream_train(&c, &r, &fault);
    bar_end(&bar);
    if (e == FR_OK)
        e = write_curves(f, &c, &r, &fault);
    if (e == FR_OK)
        fr_checkpoint_flags_done(&f->checkpoint);
    if (e != FR_OK) {
        fprintf(stderr, "freshet train: %s\n", fault.msg[0] != '\0' ? fault.msg : fr_err_text(e));
        return FR_EXIT_FAILURE;
    }
    if (f->json)
        print_json(f, &r);
    else
        print_text(&r);
    return FR_EXIT_OK;
}

static int read_and_train(const struct flags *f)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_stream_hold h = {.in = {.until = (uint64_t)f->until,
                                      .value = {(enum fr_value_kind)f->value, f->value_event}}};
    int rc = FR_EXIT_FAILURE;

    if (fr_stream_hold_read(&h, &f->s, &f->stream, f->quiet, &fault) == FR_OK)
        rc = train(f, &h.in);
    else
        fprintf(stderr, "freshet train: %s\n", fault.msg[0] != '\0' ? fault.msg : "out of memory");
    fr_stream_hold_done(&h);
    return rc;
}

/* "adam|sgd|..." */
static void join_optimizers(char *out, size_t cap)
{
    size_t n = 0;

    out[0] = '\0';
    for (int i = 0; fr_optimizer_names[i] != NULL && n < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "%s%s", i == 0 ? "" : "|", fr_optimizer_names[i]);
}

/* Parts (enum fr_ctr_part) of the ranker that --model trains; 0: none, or one of ids alone (gmf, mlp, neumf). */
static unsigned parts_of(const struct flags *f)
{
    struct fr_ctr_config c = {.kind = f->model == ALL ? FR_MODEL_DEEPFM : fr_model_kind_find(fr_str_z(model[f->model]))};

    return fr_ctr_parts(&c);
}

/* Flags that the model has no use for. @return FR_ARGS_GO_ON or an exit code */
static int check_model(const struct flags *f)
{
    unsigned parts = parts_of(f);

    if (f->model == MF && (f->optimizer != FR_OPTIMIZER_ADAM || f->lr > 0))
        return fr_args_usage("train", "--optimizer and --lr are of two_tower and rankers: mf has its own");
    if (f->model == MF && (f->l2 >= 0 || f->clip >= 0))
        return fr_args_usage("train", "--l2 and --clip are of two_tower and rankers: mf has its own");
    if (f->id_dropout >= 0 && parts == 0 && f->model != TWO_TOWER)
        return fr_args_usage("train", "--id-dropout is of two_tower and of rankers with fields: mf, gmf, mlp and neumf forget ids their own way");
    if ((f->dropout > 0 || f->batch_norm) && (parts & FR_CTR_DEEP) == 0)
        return fr_args_usage("train", "--dropout and --batch-norm go with deepfm, wide_deep and autoint+: they are of their hidden layers");
    if (f->loss != SOFTMAX && (f->model == MF || f->retrieval == MF - TWO_TOWER))
        return fr_args_usage("train", "--loss is of two_tower: mf has its own");
    if (f->tower_negatives >= 0 && (f->loss == FULL_SOFTMAX || f->model == MF || f->retrieval == MF - TWO_TOWER))
        return fr_args_usage("train", "--tower-negatives is of two_tower, and not with --loss full_softmax: nothing is drawn");
    if (f->value != FR_VALUE_NONE && (parts & (FR_CTR_DEEP | FR_CTR_ATTENTION)) == 0)
        return fr_args_usage("train", "--value-head goes with deepfm, wide_deep, autoint and autoint+: it stands on their layers");
    return FR_ARGS_GO_ON;
}

int fr_cmd_train_run(int argc, char **argv)
{
    if (fr_args_has(argc, argv, "benchmark"))
        return fr_cmd_benchmark_train(argc, argv);

    char optimizers[64];
    struct fr_two_tower_train_config tower;
    fr_two_tower_train_config_default(&tower);
    struct flags f = {.seed = 1,
                      .threads = fr_cpu_count(64),
                      .negatives = 4,
                      .decay = 1,
                      .l2 = -1,
                      .clip = -1,
                      .id_dropout = -1,
                      .tower_negatives = -1,
                      .margin = (double)tower.margin,
                      .negative_weight = (double)tower.negative_weight,
                      .retrieval = -1,
                      .value_weight = 1,
                      .checkpoint = {.every_s = -1}};
    const struct fr_arg flags[] = {
        FR_SETTINGS_ARGS(&f.s),
        FR_STREAM_ARGS(&f.stream),
        {"model", FR_ARG_CHOICE, &f.model, 0, 0, MODELS, "what to train; all: a retrieval model and deepfm"},
        {"retrieval", FR_ARG_CHOICE, &f.retrieval, 0, 0, RETRIEVALS, "what retrieves: trained by all, and whose candidates a ranker learns to order"},
        {"out", FR_ARG_STR, &f.out, 0, 0, "DIR", "each bundle goes to DIR/MODEL, e.g. DIR/two_tower (autoint+: DIR/autoint_plus), its learning curve beside it (.curve.csv, .curve.svg)"},
        {"seed", FR_ARG_INT, &f.seed, 0, 9007199254740991.0, "N", "same seed and threads, same bundle"},
        {"threads", FR_ARG_INT, &f.threads, 1, 64, "N", "worker threads (one a processor)"},
        {"epochs", FR_ARG_INT, &f.epochs, 1, 100, "N", "passes of two_tower over its examples (4); mf: at most (64), the number is chosen on the newest"},
        {"negatives", FR_ARG_INT, &f.negatives, 1, 1000, "N", "gmf, mlp, neumf, mf: items drawn beside each positive, anew each epoch (4)"},
        {"loss", FR_ARG_CHOICE, &f.loss, 0, 0, LOSSES, "of the tower: in the batch and over drawn items; over drawn items alone; over all items (up to some 10,000); cosine contrastive over drawn items"},
        {"tower-negatives", FR_ARG_INT, &f.tower_negatives, 0, 1000000, "N", "items drawn into each step of the tower (1000)"},
        {"margin", FR_ARG_F64, &f.margin, -1, 1, "X", "ccl: cosine from which a negative counts (.8)"},
        {"negative-weight", FR_ARG_F64, &f.negative_weight, 0, 1e6, "X", "ccl: of the negatives' mean (150)"},
        {"optimizer", FR_ARG_CHOICE, &f.optimizer, 0, 0, optimizers, "of two_tower and rankers (adam); mf has its own"},
        {"lr", FR_ARG_F64, &f.lr, 1e-9, 10, "X", "its step size (what suits optimizer and model)"},
        {"decay", FR_ARG_F64, &f.decay, 1e-6, 1, "X", "adagrad: what stays of an accumulator at each touch (1)"},
        {"l2", FR_ARG_F64, &f.l2, 0, 10, "X", "of two_tower and rankers: lambda / 2 of the squares of what a step moves (what suits the model)"},
        {"clip", FR_ARG_F64, &f.clip, 0, 1e6, "X", "of two_tower and rankers: global norm of the layers' gradients (what suits the model; 0: none)"},
        {"id-dropout", FR_ARG_F64, &f.id_dropout, 0, 0.95, "X", "share of the ids that a step of two_tower and of rankers with fields does not know (.1, .5)"},
        {"dropout", FR_ARG_F64, &f.dropout, 0, 0.95, "X", "of the hidden layers of deepfm, wide_deep and autoint+ (0)"},
        {"batch-norm", FR_ARG_BOOL, &f.batch_norm, 0, 0, NULL, "of the same layers"},
        {"until-event", FR_ARG_INT, &f.until, 1, 4294967290.0, "N", "use the first N events only"},
        {"value-head", FR_ARG_CHOICE, &f.value, 0, 0, "none|log|unit", "the ranker also learns what a click is worth; log: its events' `value`, unit: whether an event of --value-event came"},
        {"value-event", FR_ARG_STR, &f.value_event, 0, 0, "TYPE", "event type that says it, on the item clicked (any with a value)"},
        {"value-weight", FR_ARG_F64, &f.value_weight, 0, 1000, "X", "of the value head's loss beside the click's (1)"},
        {"version", FR_ARG_INT, &f.version, 1, 9007199254740991.0, "N", "of the bundles (the time of the newest example in ms)"},
        FR_CHECKPOINT_ARGS(&f.checkpoint, "stream"),
        {"quiet", FR_ARG_BOOL, &f.quiet, 0, 0, NULL, "no progress"},
        {"json", FR_ARG_BOOL, &f.json, 0, 0, NULL, "one JSON object instead of text"}};
    struct fr_args a = {"train --events FILE | --from-topics --out DIR [flags]",
                        "Replay a stream through the serving code and train the models on it.",
                        flags, (int)(sizeof(flags) / sizeof(flags[0])), NULL, 0, 0};
    join_optimizers(optimizers, sizeof(optimizers));
    int rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    if (f.out == NULL || (f.stream.events == NULL && !f.stream.topics))
        return fr_args_usage("train", "--out, and --events or --from-topics, are needed");
    if (f.retrieval >= 0 && (f.model == TWO_TOWER || f.model == MF) && f.model != TWO_TOWER + f.retrieval)
        return fr_args_usage("train", "--model and --retrieval name two retrieval models: --model trains that one alone");
    if ((rc = fr_stream_flags_check(&f.stream, "train")) != FR_ARGS_GO_ON)
        return rc;
    if ((rc = fr_checkpoint_flags_check(&f.checkpoint, "train")) != FR_ARGS_GO_ON)
        return rc;
    if (f.value == FR_VALUE_UNIT && f.value_event == NULL)
        return fr_args_usage("train", "--value-head unit asks whether an event came: --value-event says which");
    if (f.value == FR_VALUE_NONE && f.value_event != NULL)
        return fr_args_usage("train", "--value-event is for a ranker with a --value-head");
    if ((rc = check_model(&f)) != FR_ARGS_GO_ON)
        return rc;
    rc = fr_settings_load(&f.s, "train");
    if (rc == FR_ARGS_GO_ON)
        rc = read_and_train(&f);
    fr_settings_done(&f.s);
    return rc;
}

const struct fr_command fr_cmd_train = {"train", "train models on a replayed stream", fr_cmd_train_run};
