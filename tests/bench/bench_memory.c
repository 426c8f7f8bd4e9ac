/*
 * tests/bench/bench_memory.c - peak memory of a large table: a DeepFM over users and items, one row of 16
 * for each of 10 M items, trained with Adam on all of them and written, then loaded and asked for lists.
 *
 * Training and serving are processes of their own; peak is the kernel's VmHWM. Training is measured against
 * all weights and their optimiser's state, serving against the weights alone. Exit 1 above the limit.
 *
 * usage: bench_memory [key=value ...]   keys: rows threads steps limit optimizer(0 adam, 1 sgd, 2 adagrad, 3 ftrl) dir
 *        steps 0: as many as touch every row
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/base/hash.h"
#include "models/gemm_core.h"
#include "models/train/train_ctr.h"

#define DIM 16
#define USERS 1000
#define LISTS 16
#define PER_LIST 256
#define BATCH (LISTS * PER_LIST)
#define CAND 500
#define QUERIES 2000

static struct {
    uint64_t rows, steps;
    int threads, optimizer;
    double limit;
    char dir[512];
} set = {.rows = 10000000, .threads = 2, .limit = 1.3, .dir = "bench_memory.bundle"};

static struct fr_field_set fs = {.hash = 1};
static struct fr_cell user[LISTS], item[BATCH];
static const struct fr_cell *ptr[BATCH];
static float label[BATCH];
static struct fr_rank_list list[LISTS];

static _Noreturn void die(const char *what, enum fr_err e, const struct fr_fault *fault)
{
    (void)fprintf(stderr, "bench_memory: %s: %s %s\n", what, fr_err_text(e), fault == NULL ? "" : fault->msg);
    exit(2);
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Peak resident bytes of this process. */
static double peak(void)
{
    char line[256];
    double kb = 0;
    FILE *f = fopen("/proc/self/status", "r");

    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "VmHWM: %lf kB", &kb) == 1)
            break;
    if (f != NULL)
        (void)fclose(f);
    return kb * 1024;
}

static uint64_t key(uint64_t i)
{
    return fr_mix64(i + 1);
}

/* Items first, first + stride, ... modulo the rows; the first of each list is clicked. */
static void fill(uint64_t first, uint64_t stride)
{
    for (int l = 0; l < LISTS; l++) {
        user[l] = (struct fr_cell){key((first + (uint64_t)l) % USERS), 1};
        for (int i = 0; i < PER_LIST; i++) {
            int k = l * PER_LIST + i;
            item[k] = (struct fr_cell){key((first + (uint64_t)k * stride) % set.rows), 1};
            ptr[k] = &item[k];
            label[k] = i == 0;
        }
        list[l] = (struct fr_rank_list){
            {&user[l], NULL, ptr + l * PER_LIST, NULL, PER_LIST}, 0, label + l * PER_LIST, 1, NULL};
    }
}

static struct fr_train_ctr *trainer(void)
{
    struct fr_ctr_train_config c;
    struct fr_train_ctr *tr = NULL;
    struct fr_fault fault = {.err = FR_OK};

    fr_ctr_train_config_default(&c);
    c.loss = FR_LOSS_BCE;
    c.model.dim = DIM;
    c.opt.optimizer = (enum fr_optimizer)set.optimizer;
    c.opt.threads = set.threads;
    c.opt.admit = 1;
    c.opt.max_rows = (uint32_t)set.rows + 1;
    enum fr_err e = fr_train_ctr_new(&c, &fs, &tr, &fault);
    if (e != FR_OK)
        die("trainer", e, &fault);
    return tr;
}

static int verdict(const char *what, double base, double limit)
{
    double got = peak() / base;
    printf("%s: peak %.0f MB of %.0f MB: %.3fx (limit %.2fx)\n", what, peak() / 1e6, base / 1e6, got, limit);
    (void)fflush(stdout);
    return got > limit;
}

static int train(void)
{
    struct fr_model_meta meta = {.name = "deepfm", .version = 1, .parent = "", .created_ms = 1};
    struct fr_train_ctr *tr = trainer();
    struct fr_fault fault = {.err = FR_OK};
    uint64_t steps = set.steps > 0 ? set.steps : (set.rows + BATCH - 1) / BATCH;
    int arrays = 1 + fr_optimizer_has_m((enum fr_optimizer)set.optimizer) +
                 fr_optimizer_has_v((enum fr_optimizer)set.optimizer);
    double base = (double)(set.rows + USERS + 2) * (DIM + 1) * sizeof(float) * arrays, t = now(), loss = 0;
    enum fr_err e = FR_OK;

    for (uint64_t at = 0; at < set.rows && e == FR_OK; at += BATCH) {
        fill(at, 1);
        e = fr_train_ctr_observe(tr, list, LISTS);
    }
    if (e != FR_OK)
        die("observe", e, NULL);
    printf("%llu rows seen in %.1f s, peak so far %.0f MB\n", (unsigned long long)set.rows, now() - t, peak() / 1e6);
    t = now();
    for (uint64_t s = 0; s < steps && e == FR_OK; s++) {
        fill(s * BATCH * 7919, 7919); /* a prime that divides no round number of rows: all of them in turn */
        e = fr_train_ctr_step(tr, list, LISTS, &loss);
    }
    if (e != FR_OK)
        die("step", e, NULL);
    t = now() - t;
    printf("%llu steps of %d rows, %.0f rows/s, loss %.4f, peak so far %.0f MB\n", (unsigned long long)steps, BATCH,
           (double)steps * BATCH / t, loss, peak() / 1e6);
    t = now();
    list[0].c.n = 8;
    if ((e = fr_train_ctr_finish(tr, &meta, &list[0].c, 1, set.dir, &fault)) != FR_OK)
        die("bundle", e, &fault);
    printf("bundle written in %.1f s\n", now() - t);
    int rc = verdict("training and writing, against weights and optimiser state", base, set.limit);
    fr_train_ctr_free(tr);
    return rc;
}

static int serve(void)
{
    static struct fr_slot slots[CAND];
    static const struct fr_slot *items[CAND];
    static float score[CAND];
    struct fr_fault fault = {.err = FR_OK};
    struct fr_model *m = NULL;
    struct fr_arena *ar = NULL;
    double base = (double)(set.rows + USERS + 2) * (DIM + 1) * sizeof(float), t = now();
    enum fr_err e = fr_model_load(set.dir, &fs, &m, &fault);

    if (e != FR_OK || (e = fr_arena_new((size_t)1 << 20, 0, &ar)) != FR_OK)
        die("load", e, &fault);
    printf("bundle loaded in %.1f s, peak so far %.0f MB\n", now() - t, peak() / 1e6);
    t = now();
    for (uint64_t q = 0; q < QUERIES; q++) {
        struct fr_cell u = {key(q % USERS), 1};
        struct fr_slot us;
        e = fr_model_encode(m, FR_ENTITY_USER, &u, 1, &us);
        for (uint64_t i = 0; i < CAND && e == FR_OK; i++) {
            struct fr_cell c = {key((q * CAND + i) * 7919 % set.rows), 1};
            items[i] = &slots[i];
            e = fr_model_encode(m, FR_ENTITY_ITEM, &c, 1, &slots[i]);
        }
        struct fr_rank_query query = {&us, NULL, items, NULL, CAND, NULL};
        if (e == FR_OK)
            e = fr_model_rank(m, &query, 0, ar, NULL, score);
        if (e != FR_OK)
            die("rank", e, NULL);
    }
    printf("%d lists of %d, %.0f us each with encoding\n", QUERIES, CAND, (now() - t) / QUERIES * 1e6);
    int rc = verdict("loading and serving, against the weights", base, set.limit);
    fr_arena_free(ar);
    fr_model_free(m);
    return rc;
}

/* In a process of its own. */
static int apart(int (*fn)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        exit(fn());
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return 2;
    return WEXITSTATUS(status);
}

static void option(const char *a)
{
    const char *v = strchr(a, '=');
    size_t n = v == NULL ? 0 : (size_t)(v - a);

    if (n == 4 && strncmp(a, "rows", n) == 0)
        set.rows = strtoull(v + 1, NULL, 10);
    else if (n == 5 && strncmp(a, "steps", n) == 0)
        set.steps = strtoull(v + 1, NULL, 10);
    else if (n == 7 && strncmp(a, "threads", n) == 0)
        set.threads = (int)strtol(v + 1, NULL, 10);
    else if (n == 9 && strncmp(a, "optimizer", n) == 0)
        set.optimizer = (int)strtol(v + 1, NULL, 10);
    else if (n == 5 && strncmp(a, "limit", n) == 0)
        set.limit = strtod(v + 1, NULL);
    else if (n == 3 && strncmp(a, "dir", n) == 0)
        (void)snprintf(set.dir, sizeof(set.dir), "%s", v + 1);
    else
        die(a, FR_EINVAL, NULL);
}

int main(int argc, char **argv)
{
    (void)fr_gemm_core_ensure(argv);
    for (int i = 1; i < argc; i++)
        option(argv[i]);
    if (set.rows < BATCH || set.rows > 1000000000 || set.threads < 1 || set.optimizer < 0 ||
        set.optimizer >= FR_OPTIMIZER_COUNT)
        die("options", FR_EINVAL, NULL);
    if (fr_field_add(&fs, "user", FR_ENTITY_USER, FR_FIELD_ID, "user", 0, 1) != FR_OK ||
        fr_field_add(&fs, "item", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1) != FR_OK)
        die("fields", FR_EINVAL, NULL);
    int a = apart(train), b = a > 1 ? 2 : apart(serve);
    (void)!fr_file_remove_tree(set.dir, NULL);
    return a > b ? a : b;
}
