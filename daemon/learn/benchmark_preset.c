/*
 * daemon/learn/benchmark_preset.c - keys with their ranges or names, presets as lists of `key=value`.
 */
#include "daemon/learn/benchmark_preset.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "models/attention.h"

#define AT(member) offsetof(struct fr_benchmark_settings, member)
#define KIND(k) (1u << FR_MODEL_##k)

/* Kinds that use a key. */
enum {
    TOWER = KIND(TWO_TOWER),
    MF = KIND(MF),
    MIXED = KIND(AUTOINT) | KIND(AUTOINT_PLUS),                     /* attention */
    DEEP = KIND(WIDE_DEEP) | KIND(DEEPFM) | KIND(AUTOINT_PLUS),     /* a network over all fields */
    ROWS = KIND(LR) | KIND(FM) | KIND(WIDE_DEEP) | KIND(DEEPFM) | MIXED,
    NCF = KIND(GMF) | KIND(MLP) | KIND(NEUMF),
    STEPS = TOWER | ROWS | NCF, /* in batches, by the optimisers of models/train/step.h */
    ALL = STEPS | MF,
    WIDTHS = DEEP | TOWER | KIND(MLP) | KIND(NEUMF), /* `hidden` */
};

static const struct {
    const char *name;
    size_t at;
    double min, max, value;
    bool whole;
    unsigned kinds;
    const char *what;
} keys[] = {
    {"dim", AT(dim), 1, 512, 10, true, ALL & ~(KIND(LR) | KIND(MLP)),
     "numbers of an embedding"},
    {"batch", AT(batch), 1, 65536, 4096, true, STEPS,
     "rows of a step"},
    {"optimizer", AT(optimizer), 0, FR_OPTIMIZER_COUNT - 1, FR_OPTIMIZER_ADAM, true, ALL,
     "of layers and tables; mf takes sgd alone"},
    {"lr", AT(lr), 1e-9, 10, 1e-3, false, ALL,
     "step size"},
    {"eps", AT(eps), 1e-20, 1, 1e-8, false, STEPS,
     "of adam and adagrad"},
    {"decay", AT(decay), 1e-6, 1, 1, false, STEPS,
     "of adagrad's accumulators, 1 = none"},
    {"ftrl_beta", AT(ftrl_beta), 0, 1e6, 1, false, STEPS,
     "of ftrl"},
    {"ftrl_l1", AT(ftrl_l1), 0, 1e6, 0, false, STEPS,
     "of ftrl"},
    {"ftrl_l2", AT(ftrl_l2), 0, 1e6, 0, false, STEPS,
     "of ftrl"},
    {"dropout", AT(dropout), 0, 0.95, 0, false, DEEP | TOWER,
     "of hidden layers"},
    {"batch_norm", AT(batch_norm), 0, 1, 0, true, DEEP,
     "1: Linear, batch norm, ReLU, dropout"},
    {"l2", AT(l2), 0, 10, 0, false, ALL,
     "lambda of lambda/2 |w|^2 over the tables"},
    {"dense_rows", AT(dense_rows), 0, 1, 1, true, STEPS,
     "1: L2 and optimiser on all rows every step; 0: on touched rows"},
    {"clip", AT(clip), 0, 1e6, 10, false, STEPS,
     "global gradient norm, 0 = off"},
    {"init_std", AT(init_std), 0, 1, 1e-4, false, ALL & ~KIND(LR),
     "of the tables"},
    {"xavier", AT(xavier), 0, 1, 1, true, WIDTHS,
     "layers begin Xavier-normal; 0: He"},
    {"epochs", AT(epochs), 1, FR_BENCHMARK_EPOCHS_MAX, 100, true, ALL,
     "at most"},
    {"lr_factor", AT(lr_factor), 1e-6, 1, 0.1, false, ALL,
     "of the step size, when lr_patience is used up"},
    {"lr_patience", AT(lr_patience), 1, 10000, 1, true, ALL,
     "epochs in a row without a better validation"},
    {"patience", AT(patience), 1, 10000, 2, true, ALL,
     "so many of them end the training"},
    {"average", AT(average), 0, 100, 0, false, ROWS | NCF,
     "epochs that the served mean of the weights reaches back, 0 = the newest"},
    {"min_delta", AT(min_delta), 0, 1, 1e-6, false, ALL,
     "what counts as better"},
    {"valid_share", AT(valid_share), 0.001, 0.5, 0.1, false, ROWS | TOWER,
     "held out of train, where there is no validation file"},
    {"negatives", AT(negatives), 0, 100000, 4, true, NCF | MF | TOWER,
     "a positive, redrawn each epoch; two_tower: a step, 0 = full softmax"},
    {"tau", AT(tau), 1e-3, 100, 0.2, false, TOWER,
     "temperature"},
    {"pretrain", AT(pretrain), 0, 1, 0, true, KIND(NEUMF),
     "1: gmf and mlp first, then SGD over both"},
    {"sgd_lr", AT(sgd_lr), 1e-9, 10, 1e-3, false, KIND(NEUMF),
     "of that SGD"},
    {"bare", AT(bare), 0, 1, 0, true, TOWER,
     "1: no layers over the embeddings"},
    {"attention_layers", AT(attention_layers), 1, FR_ATTENTION_MAX_LAYERS, 3, true, MIXED,
     "layers of attention"},
    {"attention_heads", AT(attention_heads), 1, FR_ATTENTION_MAX_HEADS, 2, true, MIXED,
     "of a layer"},
    {"attention_width", AT(attention_width), 1, FR_ATTENTION_MAX_WIDTH, 64, true, MIXED,
     "of all heads"},
    {"attention_scale", AT(attention_scale), 0, 1, 0, true, MIXED,
     "1: scores / sqrt(width of a head)"},
    {"attention_norm", AT(attention_norm), 0, 1, 0, true, MIXED,
     "1: layer norm"},
    {"attention_residual", AT(attention_residual), 0, FR_RESIDUAL_COUNT - 1, FR_RESIDUAL_WIDTHS, true, MIXED,
     "0 none; 1 projected where widths differ; 2 that, and x elsewhere; 3 projected everywhere"},
    {"linear", AT(linear), 0, 1, 0, true, MIXED,
     "1: with first-order weights"},
    {"loss", AT(loss), 0, 2, 0, true, TOWER,
     "over all items or a step's; over drawn ones; cosine contrastive over drawn ones"},
    {"log_uniform", AT(log_uniform), 0, 1, 0, true, TOWER,
     "1: negatives by rank of frequency; 0: uniformly"},
    {"margin", AT(margin), -1, 1, 0.8, false, TOWER,
     "of ccl"},
    {"negative_weight", AT(negative_weight), 0, 1e6, 150, false, TOWER,
     "of ccl"},
};
#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

static const char *const loss_names[] = {"softmax", "sampled_softmax", "ccl", NULL};
/* Keys that take a name instead of a number: those of the values 0, 1, ..., then NULL. */
static const struct {
    const char *key;
    const char *const *names;
} named[] = {
    {"optimizer", fr_optimizer_names},
    {"loss", loss_names},
};

/* FuxiCTR's published frappe settings (BARS, Frappe_x1): embedding 10, batch 4096, Adam 1e-3, tables
 * N(0, 1e-4), global clip 10, learning rate x .1 when validation AUC does not rise by 1e-6, stop at the
 * second such epoch in a row. The values above are those; the rows say what differs by model. Ours and not the published
 * ones, chosen on validation: AutoInt's validation AUC goes up and down from epoch to epoch, and one low epoch would end
 * the first step size, so a moving mean of the weights over two epochs, and more chances (published: none, 1, 2);
 * AutoInt+'s network has batch norm and dropout .2 (published: none, .1); both add x as the residual where widths are equal
 * (published: nothing there); L2 of LR and FM is one of five. */
static const struct {
    const char *name, *benchmark;
    enum fr_model_kind kind;
    const char *set;
} presets[] = {
    {"frappe-lr", "frappe", FR_MODEL_LR, "l2=0.00001"},
    {"frappe-fm", "frappe", FR_MODEL_FM, "l2=0.00001"},
    {"frappe-wide_deep", "frappe", FR_MODEL_WIDE_DEEP, "l2=0.05 hidden=400,400,400 batch_norm=1 dropout=0.2"},
    {"frappe-deepfm", "frappe", FR_MODEL_DEEPFM, "l2=0.05 hidden=400,400,400 batch_norm=1 dropout=0.2"},
    {"frappe-autoint", "frappe", FR_MODEL_AUTOINT,
     "l2=0.05 attention_layers=6 attention_heads=4 attention_width=128 attention_residual=2 average=2 lr_patience=3 "
     "patience=6"},
    {"frappe-autoint+", "frappe", FR_MODEL_AUTOINT_PLUS,
     "l2=0.1 attention_layers=5 attention_heads=4 attention_width=128 attention_residual=2 attention_scale=1 "
     "attention_norm=1 hidden=400,400,400 batch_norm=1 dropout=0.2"},
    /* The first of a benchmark and kind is its default. hidden[0] is the width of [user, item]. */
    {"neumf8", "ncf", FR_MODEL_NEUMF,
     "dim=8 hidden=64,32,16,8 negatives=4 batch=256 lr=0.001 epochs=30 average=1 lr_patience=1000 "
     "patience=5 init_std=0.01 clip=0"},
    {"neumf64-pretrained", "ncf", FR_MODEL_NEUMF,
     "dim=64 hidden=512,256,128,64 negatives=4 batch=256 lr=0.001 epochs=30 average=1 lr_patience=1000 "
     "patience=5 init_std=0.01 clip=0 "
     "pretrain=1"},
    {"gmf32", "ncf", FR_MODEL_GMF,
     "dim=32 negatives=4 batch=256 lr=0.001 epochs=40 average=1 lr_patience=1000 "
     "patience=5 init_std=0.01 clip=0"},
    {"mlp32", "ncf", FR_MODEL_MLP,
     "hidden=256,128,64,32 negatives=4 batch=256 lr=0.001 epochs=30 average=1 lr_patience=1000 "
     "patience=5 init_std=0.01 clip=0"},
    {"mf192", "ncf", FR_MODEL_MF,
     "optimizer=sgd dim=192 negatives=8 lr=0.002 l2=0.005 epochs=256 lr_patience=1000 patience=30 init_std=0.1"},
    {"ml1m-retrieval-two_tower", "ml1m-retrieval", FR_MODEL_TWO_TOWER,
     "bare=1 dim=64 negatives=0 tau=0.2 lr=0.003 batch=1024 epochs=40 lr_patience=1000 patience=3 init_std=0.1 "
     "clip=0"},
};

static enum fr_err set_hidden(struct fr_benchmark_settings *s, struct fr_str v, struct fr_fault *fault)
{
    int hidden[FR_BENCHMARK_HIDDEN_MAX];
    int n = 0;

    while (v.n > 0) {
        const char *comma = memchr(v.p, ',', v.n);
        size_t len = comma == NULL ? v.n : (size_t)(comma - v.p), used = len + (comma != NULL);
        uint64_t w = 0;

        if (n == FR_BENCHMARK_HIDDEN_MAX || fr_str_to_u64((struct fr_str){v.p, len}, &w) != FR_OK || w < 1 ||
            w > 4096)
            return fr_fault(fault, FR_ERANGE, "hidden: at most 7 widths of 1..4096, by commas");
        hidden[n++] = (int)w;
        v = (struct fr_str){v.p + used, v.n - used};
    }
    s->n_hidden = n;
    memcpy(s->hidden, hidden, sizeof(hidden[0]) * (size_t)n);
    return FR_OK;
}

static enum fr_err
find_name(const char *key, const char *const *names, struct fr_str v, double *out, struct fr_fault *fault)
{
    char all[128] = "";
    size_t n = 0;

    for (int i = 0; names[i] != NULL; i++) {
        if (fr_str_eqz(v, names[i])) {
            *out = i;
            return FR_OK;
        }
        n += (size_t)snprintf(all + n, n < sizeof(all) ? sizeof(all) - n : 0, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    return fr_fault(fault, FR_ERANGE, "--set %s: must be one of %s", key, all);
}

static const char *const *names_of(const char *key)
{
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
        if (strcmp(named[i].key, key) == 0)
            return named[i].names;
    return NULL;
}

static enum fr_err unknown_key(struct fr_str key, struct fr_fault *fault)
{
    const char *name[N_KEYS + 1];
    int near;

    for (size_t i = 0; i < N_KEYS; i++)
        name[i] = keys[i].name;
    name[N_KEYS] = "hidden";
    near = fr_str_nearest(key, name, (int)N_KEYS + 1);
    return fr_fault(fault, FR_ENOTFOUND, "--set: no such key%s%s%s", near < 0 ? "" : "; did you mean `",
                    near < 0 ? "" : name[near], near < 0 ? "" : "`?");
}

static enum fr_err unused(const char *key, enum fr_model_kind kind, struct fr_fault *fault)
{
    return fr_fault(fault, FR_EUNSUPPORTED, "--set %s: %s has no use for it", key, fr_model_kind_name(kind));
}

enum fr_err fr_benchmark_set(struct fr_benchmark_settings *s,
                             enum fr_model_kind kind,
                             struct fr_str a,
                             struct fr_fault *fault)
{
    const char *eq = a.n == 0 ? NULL : memchr(a.p, '=', a.n);
    struct fr_str key, value;
    double v = 0;

    if (eq == NULL)
        return fr_fault(fault, FR_ESYNTAX, "--set wants key=value");
    key = (struct fr_str){a.p, (size_t)(eq - a.p)};
    value = (struct fr_str){eq + 1, a.n - key.n - 1};
    if (fr_str_eqz(key, "hidden"))
        return (WIDTHS & 1u << kind) == 0 ? unused("hidden", kind, fault) : set_hidden(s, value, fault);
    for (size_t i = 0; i < N_KEYS; i++) {
        if (!fr_str_eqz(key, keys[i].name))
            continue;
        if ((keys[i].kinds & 1u << kind) == 0)
            return unused(keys[i].name, kind, fault);
        const char *const *names = names_of(keys[i].name);
        enum fr_err e = names == NULL ? FR_OK : find_name(keys[i].name, names, value, &v, fault);

        if (e != FR_OK)
            return e;
        if (names == NULL && fr_str_to_f64(value, &v) != FR_OK)
            return fr_fault(fault, FR_ESYNTAX, "--set %s: not a number", keys[i].name);
        if (v < keys[i].min || v > keys[i].max || (keys[i].whole && floor(v) != v))
            return fr_fault(fault, FR_ERANGE, "--set %s: must be %s%g..%g", keys[i].name,
                            keys[i].whole ? "whole, " : "", keys[i].min, keys[i].max);
        memcpy((char *)s + keys[i].at, &v, sizeof(v));
        return FR_OK;
    }
    return unknown_key(key, fault);
}

/* Kinds by commas, or those that are left out where they are fewer. */
static void put_kinds(unsigned kinds, struct fr_buf *out)
{
    const unsigned rest = (unsigned)ALL & ~kinds;
    const bool but = __builtin_popcount(rest) < 3;
    const char *before = but && rest != 0 ? "all but " : but ? "all" : "";

    for (int k = 0; k < FR_MODEL_KIND_COUNT; k++)
        if (((but ? rest : kinds) & 1u << k) != 0) {
            fr_buf_printf(out, "%s%s", before, fr_model_kind_name((enum fr_model_kind)k));
            before = ", ";
        }
    if (but && rest == 0)
        fr_buf_puts(out, before);
}

static void put_key(size_t i, struct fr_buf *out)
{
    const char *const *names = names_of(keys[i].name);
    char range[128];
    size_t n = 0;

    if (names == NULL)
        (void)snprintf(range, sizeof(range), "%g..%g", keys[i].min, keys[i].max);
    for (int k = 0; names != NULL && names[k] != NULL; k++)
        n += (size_t)snprintf(range + n, n < sizeof(range) ? sizeof(range) - n : 0, "%s%s", k == 0 ? "" : "|", names[k]);
    fr_buf_printf(out, "  %-18s %-28s ", keys[i].name, range);
    if (names == NULL)
        fr_buf_printf(out, "%-8g ", keys[i].value);
    else
        fr_buf_printf(out, "%-8s ", names[(int)keys[i].value]);
    fr_buf_printf(out, "%s [", keys[i].what);
    put_kinds(keys[i].kinds, out);
    fr_buf_puts(out, "]\n");
}

void fr_benchmark_presets_put(struct fr_buf *out)
{
    fr_buf_puts(out, "Presets of a benchmark and model, the first being the default, and the keys they set:\n");
    for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++)
        fr_buf_printf(out, "  %-15s %-10s %-25s %s\n", presets[i].benchmark, fr_model_kind_name(presets[i].kind),
                      presets[i].name, presets[i].set);
    fr_buf_puts(out, "\nKeys of --set: range, value where the preset has none, what it is [models that use it]:\n");
    for (size_t i = 0; i < N_KEYS; i++)
        put_key(i, out);
    fr_buf_printf(out, "  %-18s %-28s %-8s widths by commas; of mlp and neumf the first is [user, item] [", "hidden",
                  "at most 7 of 1..4096", "none");
    put_kinds(WIDTHS, out);
    fr_buf_puts(out, "]\n");
}

const char *fr_benchmark_setting_at(const struct fr_benchmark_settings *s, int i, double *out_value)
{
    if (i < 0 || (size_t)i >= N_KEYS)
        return NULL;
    memcpy(out_value, (const char *)s + keys[i].at, sizeof(*out_value));
    return keys[i].name;
}

void fr_benchmark_optimizer(const struct fr_benchmark_settings *s, struct fr_train_options *o)
{
    o->optimizer = (enum fr_optimizer)(int)s->optimizer;
    o->lr = (float)s->lr;
    o->eps = (float)s->eps;
    o->decay = (float)s->decay;
    o->ftrl_beta = (float)s->ftrl_beta;
    o->ftrl_l1 = (float)s->ftrl_l1;
    o->ftrl_l2 = (float)s->ftrl_l2;
}

/* The presets there are instead. */
static enum fr_err
no_preset(const char *benchmark, enum fr_model_kind kind, const char *preset, struct fr_fault *fault)
{
    char all[128] = "";
    size_t n = 0;

    for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++)
        if (strcmp(presets[i].benchmark, benchmark) == 0 && presets[i].kind == kind && n < sizeof(all))
            n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", n == 0 ? "; there are: " : ", ", presets[i].name);
    return fr_fault(fault, FR_ENOTFOUND, "no preset%s%s for %s on %s%s", preset == NULL ? "" : " ",
                    preset == NULL ? "" : preset, fr_model_kind_name(kind), benchmark, all);
}

enum fr_err fr_benchmark_preset(const char *benchmark,
                                enum fr_model_kind kind,
                                const char *preset,
                                struct fr_benchmark_settings *out,
                                const char **out_name,
                                struct fr_fault *fault)
{
    struct fr_benchmark_settings s;

    memset(&s, 0, sizeof(s));
    for (size_t i = 0; i < N_KEYS; i++)
        memcpy((char *)&s + keys[i].at, &keys[i].value, sizeof(double));
    for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++) {
        struct fr_str rest = fr_str_z(presets[i].set);

        if (strcmp(presets[i].benchmark, benchmark) != 0 || presets[i].kind != kind ||
            (preset != NULL && strcmp(presets[i].name, preset) != 0))
            continue;
        while (rest.n > 0) {
            const char *sp = memchr(rest.p, ' ', rest.n);
            size_t len = sp == NULL ? rest.n : (size_t)(sp - rest.p), used = len + (sp != NULL);
            enum fr_err e = fr_benchmark_set(&s, kind, (struct fr_str){rest.p, len}, fault);

            if (e != FR_OK)
                return e;
            rest = (struct fr_str){rest.p + used, rest.n - used};
        }
        *out = s;
        *out_name = presets[i].name;
        return FR_OK;
    }
    return no_preset(benchmark, kind, preset, fault);
}
