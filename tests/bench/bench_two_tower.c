/*
 * tests/bench/bench_two_tower.c - Two-Tower on a real stream: train on the first part in time
 * order, freeze, predict every next event of the rest (exact search, seen items of ml-1m excluded).
 * Prints training rows/s and HR@20. A yardstick for trainer settings; the judge is another program.
 *
 * usage: bench_two_tower ml-1m|yoochoose [key=value ...]   ($FRESHET_DATA or ../shared/data)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/base/hash.h"
#include "models/gemm.h"
#include "models/gemm_core.h"
#include "models/metrics.h"
#include "models/train/train_two_tower.h"

#define HIST 50
#define CATS 6
#define EVAL_BLOCK 256
#define TOP 20

struct event {
    int64_t ts;
    uint32_t user, item;
};

static struct event *ev;
static size_t n_ev, n_train;
static uint32_t n_users, n_items;
static struct fr_cell *item_cells; /* (n_items, 1 + CATS) */
static bool seen_excluded;

/* settings */
static int epochs = 4, batch = 256, hist = HIST, emb_cats = 1, passes_lr = 1;
static double decay = 1.0; /* weight of history at age k: k^-decay */
static struct fr_two_tower_train_config cfg;

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static _Noreturn void die(const char *msg)
{
    (void)fprintf(stderr, "bench_two_tower: %s\n", msg);
    exit(1);
}

static int by_time(const void *a, const void *b)
{
    const struct event *x = a, *y = b;
    if (x->ts != y->ts)
        return x->ts < y->ts ? -1 : 1;
    if (x->user != y->user)
        return x->user < y->user ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

static char *slurp(const char *dir, const char *name, size_t *n)
{
    char path[1024], *p = NULL;
    struct fr_fault fault = {0};
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (fr_file_read(path, (size_t)1 << 30, &p, n, &fault) != FR_OK)
        die(fault.msg);
    return p;
}

static void push(uint32_t user, uint32_t item, int64_t ts)
{
    static size_t cap;
    if (n_ev == cap) {
        cap = cap == 0 ? 1 << 16 : cap * 2;
        struct event *p = fr_realloc_array(ev, cap, sizeof(*p));
        if (p == NULL)
            die("out of memory");
        ev = p;
    }
    ev[n_ev++] = (struct event){ts, user, item};
    n_users = user >= n_users ? user + 1 : n_users;
    n_items = item >= n_items ? item + 1 : n_items;
}

static void alloc_items(void)
{
    item_cells = fr_calloc((size_t)n_items * (1 + CATS), sizeof(*item_cells));
    if (item_cells == NULL)
        die("out of memory");
    for (uint32_t i = 0; i < n_items; i++)
        item_cells[(size_t)i * (1 + CATS)] = (struct fr_cell){fr_mix64(i + 1), 1.0f};
}

static void read_ml1m(const char *data)
{
    char dir[1024];
    size_t n = 0;
    (void)snprintf(dir, sizeof(dir), "%s/ml-1m", data);
    char *p = slurp(dir, "ratings_users_1-2999.dat", &n), *at = p;
    while (*at != '\0') {
        long u = strtol(at, &at, 10), i = strtol(at + 2, &at, 10), r = strtol(at + 2, &at, 10);
        long t = strtol(at + 2, &at, 10);
        (void)r;
        push((uint32_t)u, (uint32_t)i, t);
        at += strcspn(at, "\n");
        at += *at == '\n';
    }
    fr_free(p);
    qsort(ev, n_ev, sizeof(*ev), by_time);
    n_train = n_ev / 2;
    seen_excluded = true;
    alloc_items();
    p = at = slurp(dir, "movies.dat", &n);
    while (*at != '\0') {
        char *end = at + strcspn(at, "\n"), *g = end;
        long i = strtol(at, NULL, 10);
        while (g > at && g[-1] != ':')
            g--;
        for (int k = 0; k < CATS && g < end && i < (long)n_items; k++) {
            size_t len = strcspn(g, "|\r\n");
            struct fr_str s = {g, len};
            item_cells[(size_t)i * (1 + CATS) + 1 + (size_t)k] =
                (struct fr_cell){fr_siphash((struct fr_hash_key){1, 2}, s), 1.0f};
            g += len + (g[len] == '|');
            if (g[0] == '\n' || g[0] == '\r')
                break;
        }
        at = end + (*end == '\n');
    }
    fr_free(p);
}

static void read_yoochoose(const char *data)
{
    char dir[1024], name[32];
    struct fr_map map = {0}, sessions = {0};
    uint32_t session = 0, items = 0;
    (void)snprintf(dir, sizeof(dir), "%s/yoochoose", data);
    for (int period = 1; period <= 2; period++) {
        size_t n = 0;
        (void)snprintf(name, sizeof(name), "period_%d.txt", period);
        char *p = slurp(dir, name, &n);
        for (char *at = p; *at != '\0';) {
            unsigned long sid = strtoul(at, &at, 10), v = strtoul(at, &at, 10);
            uint32_t u = fr_map_get(&sessions, sid + 1), i = fr_map_get(&map, v + 1);
            if (u == FR_MAP_NONE && fr_map_put(&sessions, sid + 1, u = session++) != FR_OK)
                die("out of memory");
            if (i == FR_MAP_NONE && fr_map_put(&map, v + 1, i = items++) != FR_OK)
                die("out of memory");
            push(u, i, (int64_t)n_ev);
            at += strcspn(at, "\n");
            at += *at == '\n';
        }
        fr_free(p);
        if (period == 1)
            n_train = n_ev;
    }
    fr_map_done(&map);
    fr_map_done(&sessions);
    alloc_items();
}

/* ---- histories: newest first ---- */

static uint32_t *hist_items; /* (n_users, HIST) */
static uint8_t *hist_n;

static void hist_reset(void)
{
    memset(hist_n, 0, n_users);
}

static void hist_push(uint32_t user, uint32_t item)
{
    uint32_t *h = hist_items + (size_t)user * HIST;
    int n = hist_n[user] < HIST ? hist_n[user]++ : HIST - 1;
    memmove(h + 1, h, (size_t)n * sizeof(*h));
    h[0] = item;
}

static void user_cells(uint32_t user, struct fr_cell *out)
{
    const uint32_t *h = hist_items + (size_t)user * HIST;
    for (int k = 0; k < HIST; k++)
        out[k] = k < hist_n[user] && k < hist
                     ? (struct fr_cell){fr_mix64(h[k] + 1), (float)pow(k + 1, -decay)}
                     : (struct fr_cell){0, 0};
    out[HIST] = out[0];
}

static void field_set(struct fr_field_set *fs)
{
    memset(fs, 0, sizeof(*fs));
    if (fr_field_add(fs, "hist", FR_ENTITY_USER, FR_FIELD_ID, "item", 0, HIST) != FR_OK ||
        fr_field_add(fs, "last", FR_ENTITY_USER, FR_FIELD_ID, "item", 0, 1) != FR_OK ||
        fr_field_add(fs, "i_id", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1) != FR_OK ||
        fr_field_add(fs, "cats", FR_ENTITY_ITEM, FR_FIELD_ID, "cat", 0, CATS) != FR_OK)
        die("field set");
    fs->hash = 1;
}

static void train(struct fr_train_two_tower *tr)
{
    struct fr_cell *cells = fr_calloc((size_t)batch * (HIST + 1), sizeof(*cells));
    const struct fr_cell **user = fr_calloc((size_t)batch, sizeof(*user));
    uint32_t *pos = fr_calloc((size_t)batch, sizeof(*pos));
    if (cells == NULL || user == NULL || pos == NULL)
        die("out of memory");
    for (int ep = 0; ep < epochs; ep++) {
        double t0 = now(), loss = 0, sum = 0;
        size_t rows = 0;
        int n = 0, steps = 0;
        hist_reset();
        if (passes_lr > 0)
            fr_train_two_tower_set_lr(tr, cfg.opt.lr * (float)(1.0 - 0.9 * ep / epochs));
        for (size_t i = 0; i < n_train; i++) {
            if (hist_n[ev[i].user] > 0) {
                user[n] = cells + (size_t)n * (HIST + 1);
                user_cells(ev[i].user, cells + (size_t)n * (HIST + 1));
                pos[n++] = ev[i].item;
            }
            hist_push(ev[i].user, ev[i].item);
            if (n < batch && i + 1 < n_train)
                continue;
            struct fr_two_tower_batch b = {n, user, NULL, pos, NULL, {item_cells, n_items}};
            if (n > 0 && fr_train_two_tower_step(tr, &b, &loss) != FR_OK)
                die("step failed");
            rows += (size_t)n;
            sum += loss;
            steps++;
            n = 0;
        }
        double dt = now() - t0;
        (void)printf(
            "epoch %d loss %.4f, %.0f rows/s, %.1f s\n", ep, sum / steps, (double)rows / dt, dt);
        (void)fflush(stdout);
    }
    fr_free(cells);
    fr_free(user);
    fr_free(pos);
}

static void evaluate(const struct fr_model *m)
{
    struct fr_arena *ar = NULL;
    size_t dim = (size_t)fr_model_info(m)->dim, si = fr_model_info(m)->n_slots[FR_ENTITY_ITEM];
    size_t su = fr_model_info(m)->n_slots[FR_ENTITY_USER], hits = 0, labels = 0;
    float *v = fr_calloc_aligned((size_t)n_items * dim, sizeof(*v));
    float *u = fr_calloc_aligned(dim, sizeof(*u));
    float *score = fr_calloc_aligned(n_items, sizeof(*score));
    struct fr_slot *slots = fr_calloc((size_t)n_items * si + su, sizeof(*slots));
    const struct fr_slot **ptr = fr_calloc(n_items, sizeof(*ptr));
    bool *seen = fr_calloc((size_t)n_users * n_items, 1);
    struct fr_cell cells[HIST + 1];
    if (fr_arena_new(1 << 20, 0, &ar) != FR_OK || v == NULL || u == NULL || score == NULL ||
        slots == NULL || ptr == NULL || (seen_excluded && seen == NULL))
        die("out of memory");
    for (uint32_t i = 0; i < n_items; i++)
        ptr[i] = slots + (size_t)i * si;
    if (fr_model_encode(m, FR_ENTITY_ITEM, item_cells, (int)n_items, slots) != FR_OK ||
        fr_model_items(m, ptr, (int)n_items, 0, ar, v) != FR_OK)
        die("items");
    hist_reset();
    for (size_t i = 0; i < n_ev; i++) {
        uint32_t user = ev[i].user;
        if (i >= n_train && hist_n[user] > 0 && i % 4 == 0) {
            struct fr_slot *us = slots + (size_t)n_items * si;
            const struct fr_slot *up = us;
            user_cells(user, cells);
            if (fr_model_encode(m, FR_ENTITY_USER, cells, 1, us) != FR_OK ||
                fr_model_users(m, &up, NULL, 1, 0, ar, u) != FR_OK)
                die("user");
            fr_gemm(false,
                    true,
                    1,
                    (int)n_items,
                    (int)dim,
                    1,
                    u,
                    (int)dim,
                    v,
                    (int)dim,
                    0,
                    score,
                    (int)n_items);
            if (seen_excluded)
                for (uint32_t j = 0; j < n_items; j++)
                    score[j] = seen[(size_t)user * n_items + j] ? -1e9f : score[j];
            hits += fr_metric_rank(score, n_items, ev[i].item) <= TOP;
            labels++;
        }
        if (seen_excluded)
            seen[(size_t)user * n_items + ev[i].item] = true;
        hist_push(user, ev[i].item);
    }
    (void)printf("HR@%d %.4f over %zu labels\n", TOP, (double)hits / (double)labels, labels);
    fr_arena_free(ar);
    fr_free(v);
    fr_free(u);
    fr_free(score);
    fr_free(slots);
    fr_free(ptr);
    fr_free(seen);
}

static void set(const char *arg)
{
    const char *eq = strchr(arg, '=');
    size_t n = eq == NULL ? 0 : (size_t)(eq - arg);
    double v = eq == NULL ? 0 : strtod(eq + 1, NULL);
    struct {
        const char *name;
        int *i;
        float *f;
    } keys[] = {{"epochs", &epochs, NULL},
                {"batch", &batch, NULL},
                {"hist", &hist, NULL},
                {"cats", &emb_cats, NULL},
                {"anneal", &passes_lr, NULL},
                {"threads", &cfg.opt.threads, NULL},
                {"negatives", &cfg.negatives, NULL},
                {"n_hidden", &cfg.model.n_hidden, NULL},
                {"hidden", &cfg.model.hidden[0], NULL},
                {"lr", NULL, &cfg.opt.lr},
                {"lr_dense", NULL, &cfg.opt.lr_dense},
                {"tau", NULL, &cfg.model.tau},
                {"dropout", NULL, &cfg.opt.id_dropout},
                {"std", NULL, &cfg.opt.init_std},
                {"l2", NULL, &cfg.opt.l2_embedding},
                {"alpha", NULL, &cfg.logq_alpha}};
    for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
        if (strlen(keys[k].name) != n || strncmp(keys[k].name, arg, n) != 0)
            continue;
        if (keys[k].i != NULL)
            *keys[k].i = (int)v;
        else
            *keys[k].f = (float)v;
        return;
    }
    if (strncmp(arg, "decay=", 6) == 0)
        decay = v;
    else if (strncmp(arg, "full=", 5) == 0)
        cfg.full_softmax = v != 0;
    else if (strncmp(arg, "logq=", 5) == 0)
        cfg.logq = v != 0;
    else if (strncmp(arg, "gates=", 6) == 0)
        cfg.model.gates = v != 0;
    else if (strncmp(arg, "skip=", 5) == 0)
        cfg.model.skip = v != 0;
    else
        die("unknown setting");
}

int main(int argc, char **argv)
{
    static const char *const fields[] = {"hist", "last", "i_id", "cats"};
    const char *data = getenv("FRESHET_DATA");
    struct fr_train_two_tower *tr = NULL;
    struct fr_field_set fs;
    struct fr_model *m = NULL;
    struct fr_fault fault = {0};

    (void)fr_gemm_core_ensure(argv);
    data = data != NULL ? data : "../shared/data";
    fr_two_tower_train_config_default(&cfg);
    for (int i = 2; i < argc; i++)
        set(argv[i]);
    if (argc > 1 && strcmp(argv[1], "ml-1m") == 0)
        read_ml1m(data);
    else if (argc > 1 && strcmp(argv[1], "yoochoose") == 0)
        read_yoochoose(data);
    else
        die("usage: bench_two_tower ml-1m|yoochoose [key=value ...]");
    (void)printf(
        "%zu events, %u users, %u items, OpenBLAS %s\n", n_ev, n_users, n_items, fr_gemm_core());
    hist_items = fr_calloc((size_t)n_users * HIST, sizeof(*hist_items));
    hist_n = fr_calloc(n_users, 1);
    field_set(&fs);
    cfg.fields = fields;
    cfg.n_fields = emb_cats ? 4 : 3;
    if (hist_items == NULL || hist_n == NULL ||
        fr_train_two_tower_new(&cfg, &fs, &tr, &fault) != FR_OK)
        die(fault.msg);
    train(tr);
    if (fr_train_two_tower_model(tr, &m, &fault) != FR_OK)
        die(fault.msg);
    evaluate(m);
    fr_model_free(m);
    fr_train_two_tower_free(tr);
    fr_free(hist_items);
    fr_free(hist_n);
    fr_free(item_cells);
    fr_free(ev);
    return 0;
}
