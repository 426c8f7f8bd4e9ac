/*
 * tests/bench/bench_deepfm.c - DeepFM with binary cross-entropy on the Frappe split: rows/s,
 * validation and test AUC and log-loss by epoch. Plain trainer: no dropout, no batch norm, so below
 * the published figure.
 *
 * usage: bench_deepfm [key=value ...]   keys: epochs batch lr l2 l2_dense threads dim hidden layers
 * seed std
 *        ($FRESHET_DATA or ../shared/data)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/base/hash.h"
#include "daemon/base/rng.h"
#include "models/gemm.h"
#include "models/gemm_core.h"
#include "models/metrics.h"
#include "models/train/train_ctr.h"

#define FIELDS 10

/* One part of the split. */
struct part {
    struct fr_cell *cells; /* (n, FIELDS) */
    float *label;
    size_t n;
};

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static _Noreturn void die(const char *msg)
{
    (void)fprintf(stderr, "bench_deepfm: %s\n", msg);
    exit(1);
}

static struct part read_part(const char *data, const char *name)
{
    char path[1024], *text = NULL;
    struct fr_fault fault = {0};
    struct part p = {0};
    size_t n = 0, lines = 0;
    (void)snprintf(path, sizeof(path), "%s/frappe/%s", data, name);
    if (fr_file_read(path, (size_t)1 << 28, &text, &n, &fault) != FR_OK)
        die(fault.msg);
    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    p.cells = fr_calloc(lines + 1, FIELDS * sizeof(*p.cells));
    p.label = fr_calloc(lines + 1, sizeof(*p.label));
    if (p.cells == NULL || p.label == NULL)
        die("out of memory");
    for (char *at = text; *at != '\0';) {
        if (*at >= '0' && *at <= '9') {
            p.label[p.n] = strtol(at, &at, 10) != 0 ? 1.0f : 0.0f;
            for (int f = 0; f < FIELDS; f++)
                p.cells[p.n * FIELDS + (size_t)f] =
                    (struct fr_cell){fr_mix64(1 + strtoull(at + 1, &at, 10)), 1.0f};
            p.n++;
        }
        at += strcspn(at, "\n");
        at += *at == '\n';
    }
    fr_free(text);
    return p;
}

#define LIST 256
#define MAX_BATCH (1 << 16)

static struct fr_rank_list lists[MAX_BATCH / LIST];

/* Rows order[at .. at + n) as lists of LIST rows, so that threads can share them; valid until the
 * next call. Returns their number. */
static int as_lists(const struct part *p, const uint32_t *order, size_t at, size_t n)
{
    static const struct fr_cell *ptr[MAX_BATCH];
    static float label[MAX_BATCH];
    int count = 0;
    for (size_t i = 0; i < n; i++) {
        size_t row = order == NULL ? at + i : order[at + i];
        ptr[i] = p->cells + row * FIELDS;
        label[i] = p->label[row];
    }
    for (size_t i = 0; i < n; i += LIST)
        lists[count++] = (struct fr_rank_list){
            .c = {NULL, NULL, ptr + i, NULL, (int)(n - i < LIST ? n - i : LIST)},
            .label = -1,
            .labels = label + i,
            .weight = 1};
    return count;
}

static void evaluate(struct fr_train_ctr *tr, const struct part *p, const char *what)
{
    float *z = fr_calloc(p->n, sizeof(*z));
    uint8_t *y = fr_calloc(p->n, 1);
    double auc = 0, loss = 0;
    if (z == NULL || y == NULL)
        die("out of memory");
    for (size_t at = 0; at < p->n; at += 4096) {
        size_t n = p->n - at < 4096 ? p->n - at : 4096;
        if (fr_train_ctr_eval(tr, lists, as_lists(p, NULL, at, n), NULL, z + at) != FR_OK)
            die("evaluation");
    }
    for (size_t i = 0; i < p->n; i++)
        y[i] = p->label[i] > 0;
    if (fr_metric_auc(z, y, p->n, &auc) != FR_OK || fr_metric_logloss(z, y, p->n, &loss) != FR_OK)
        die("metrics");
    (void)printf("  %s AUC %.5f logloss %.4f", what, auc, loss);
    fr_free(z);
    fr_free(y);
}

int main(int argc, char **argv)
{
    struct fr_ctr_train_config cfg;
    struct fr_field_set fs = {.hash = 1};
    struct fr_train_ctr *tr = NULL;
    struct fr_fault fault = {0};
    struct fr_rng rng;
    const char *data = getenv("FRESHET_DATA");
    int epochs = 4, batch = 1024, hidden = 128;

    (void)fr_gemm_core_ensure(argv);
    fr_ctr_train_config_default(&cfg);
    cfg.loss = FR_LOSS_BCE;
    cfg.opt.admit = 1;
    cfg.model.dim = 10;
    for (int i = 1; i < argc; i++) {
        const char *eq = strchr(argv[i], '=');
        double v = eq == NULL ? 0 : strtod(eq + 1, NULL);
        struct fr_str k = {argv[i], eq == NULL ? 0 : (size_t)(eq - argv[i])};
        if (fr_str_eqz(k, "epochs"))
            epochs = (int)v;
        else if (fr_str_eqz(k, "batch"))
            batch = (int)v;
        else if (fr_str_eqz(k, "lr"))
            cfg.opt.lr = (float)v;
        else if (fr_str_eqz(k, "l2"))
            cfg.opt.l2_embedding = (float)v;
        else if (fr_str_eqz(k, "l2_dense"))
            cfg.opt.l2_dense = (float)v;
        else if (fr_str_eqz(k, "threads"))
            cfg.opt.threads = (int)v;
        else if (fr_str_eqz(k, "dim"))
            cfg.model.dim = (int)v;
        else if (fr_str_eqz(k, "hidden"))
            hidden = (int)v;
        else if (fr_str_eqz(k, "layers"))
            cfg.model.n_hidden = (int)v;
        else if (fr_str_eqz(k, "seed"))
            cfg.opt.seed = (uint64_t)v;
        else if (fr_str_eqz(k, "std"))
            cfg.opt.init_std = (float)v;
        else
            die("unknown setting");
    }
    for (int l = 0; l < cfg.model.n_hidden && l < FR_MLP_MAX_LAYERS - 1; l++)
        cfg.model.hidden[l] = hidden;
    for (int f = 0; f < FIELDS; f++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "f%d", f);
        if (fr_field_add(&fs, name, FR_ENTITY_ITEM, FR_FIELD_ID, name, 0, 1) != FR_OK)
            die("field set");
    }
    data = data != NULL ? data : "../shared/data";
    struct part train = read_part(data, "train.csv"), valid = read_part(data, "valid.csv");
    struct part test = read_part(data, "test.csv");
    uint32_t *order = fr_calloc(train.n, sizeof(*order));
    if (order == NULL || fr_train_ctr_new(&cfg, &fs, &tr, &fault) != FR_OK)
        die(fault.msg);
    (void)printf("%zu / %zu / %zu rows, OpenBLAS %s\n", train.n, valid.n, test.n, fr_gemm_core());
    fr_rng_seed(&rng, cfg.opt.seed);
    for (size_t i = 0; i < train.n; i++)
        order[i] = (uint32_t)i;
    for (int ep = 0; ep < epochs; ep++) {
        double t0 = now(), loss = 0, sum = 0;
        int steps = 0;
        for (size_t i = train.n; i > 1; i--) {
            size_t j = (size_t)fr_rng_below(&rng, i);
            uint32_t t = order[i - 1];
            order[i - 1] = order[j];
            order[j] = t;
        }
        for (size_t at = 0; at < train.n; at += (size_t)batch, steps++) {
            size_t n = train.n - at < (size_t)batch ? train.n - at : (size_t)batch;
            if (fr_train_ctr_step(tr, lists, as_lists(&train, order, at, n), &loss) != FR_OK)
                die("step");
            sum += loss;
        }
        (void)printf(
            "epoch %d loss %.4f %.0f rows/s", ep, sum / steps, (double)train.n / (now() - t0));
        evaluate(tr, &valid, "valid");
        evaluate(tr, &test, "test");
        (void)printf("\n");
        (void)fflush(stdout);
    }
    fr_train_ctr_free(tr);
    fr_free(order);
    fr_free(train.cells);
    fr_free(train.label);
    fr_free(valid.cells);
    fr_free(valid.label);
    fr_free(test.cells);
    fr_free(test.label);
    return 0;
}
