/*
 * daemon/cli/compare.c - measuring one after the other, then what sets them apart.
 */
#include "daemon/cli/compare.h"

#include <dirent.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/base/alloc.h"

#define PATH_BYTES 4096

/* The last part of a path, slashes at the end left out. */
static struct fr_str last_part(const char *path)
{
    size_t n = strlen(path), from;

    while (n > 1 && path[n - 1] == '/')
        n--;
    for (from = n; from > 0 && path[from - 1] != '/';)
        from--;
    return from == n ? (struct fr_str){path, n} : (struct fr_str){path + from, n - from};
}

/* Last parts if they differ, else whole paths. */
static void set_labels(struct fr_compare *c)
{
    bool differ = true;

    for (int i = 0; i < c->n; i++) {
        c->bundle[i].label = last_part(c->bundle[i].path);
        for (int k = 0; k < i; k++)
            differ = differ && !fr_str_eq(c->bundle[i].label, c->bundle[k].label);
    }
    for (int i = 0; i < c->n && !differ; i++)
        c->bundle[i].label = fr_str_z(c->bundle[i].path);
}

enum fr_err fr_compare_new(
    const struct fr_compare_on *on, const char *const *path, int n, struct fr_compare **out)
{
    struct fr_compare *c;

    if (n < 1 || n > FR_COMPARE_MAX)
        return FR_EINVAL;
    if ((c = fr_calloc(1, sizeof(*c))) == NULL)
        return FR_ENOMEM;
    c->on = *on;
    c->n = n;
    c->first = c->main = -1;
    for (int i = 0; i < n; i++) {
        c->bundle[i].path = path[i];
        c->bundle[i].err = FR_EINTERNAL; /* until it is measured */
    }
    set_labels(c);
    *out = c;
    return FR_OK;
}

void fr_compare_free(struct fr_compare *c)
{
    for (int i = 0; c != NULL && i < c->n; i++)
        fr_benchmark_detail_done(&c->bundle[i].detail);
    fr_free(c);
}

/* Of the files in a bundle's folder. */
static uint64_t bytes_of(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *one;
    uint64_t sum = 0;

    while (d != NULL && (one = readdir(d)) != NULL) {
        char file[PATH_BYTES];
        struct stat st;

        if (snprintf(file, sizeof(file), "%s/%s", path, one->d_name) < (int)sizeof(file) &&
            lstat(file, &st) == 0 && S_ISREG(st.st_mode))
            sum += (uint64_t)st.st_size;
    }
    if (d != NULL)
        (void)closedir(d);
    return sum;
}

void fr_compare_measure(struct fr_compare *c, int i)
{
    struct fr_compare_bundle *one = &c->bundle[i];
    struct fr_fault fault = {.err = FR_OK};
    struct fr_benchmark_result *r = fr_calloc(1, sizeof(*r));

    one->err = r == NULL ? FR_ENOMEM : c->on.evaluate(c->on.ctx, one->path, &one->detail, r, &fault);
    if (one->err == FR_OK) {
        one->kind = r->kind;
        one->trained_to_ms = r->trained_to_ms;
        one->n_metrics = r->n_metrics;
        memcpy(one->metric, r->metric, sizeof(one->metric));
        one->n_notes = r->n_notes;
        memcpy(one->note, r->note, sizeof(one->note));
        one->bytes = bytes_of(one->path);
    } else {
        (void)snprintf(one->why, sizeof(one->why), "%s",
                       fault.msg[0] != '\0' ? fault.msg : fr_err_text(one->err));
        fr_benchmark_detail_done(&one->detail);
    }
    fr_free(r);
}

bool fr_compare_better(const char *measure, double a, double b)
{
    if (isnan(a) || isnan(b))
        return false;
    if (strcmp(measure, "calibration_ratio") == 0)
        return fabs(a - 1) < fabs(b - 1);
    if (strcmp(measure, "logloss") == 0 || strcmp(measure, "ece") == 0)
        return a < b;
    return a > b;
}

/* The best of one number a bundle. */
static int best_by(const struct fr_compare *c, int metric)
{
    int best = -1, n = 0;

    for (int i = 0; i < c->n; i++) {
        const struct fr_compare_bundle *one = &c->bundle[i], *than = &c->bundle[best < 0 ? 0 : best];

        if (one->err != FR_OK || (metric >= 0 && isnan(one->metric[metric].value)))
            continue;
        n++;
        if (best < 0 || (metric < 0 ? one->detail.speed.us < than->detail.speed.us
                                    : fr_compare_better(one->metric[metric].name, one->metric[metric].value,
                                                        than->metric[metric].value)))
            best = i;
    }
    return n < 2 ? -1 : best;
}

int fr_compare_best(const struct fr_compare *c, int i)
{
    return best_by(c, i);
}

int fr_compare_fastest(const struct fr_compare *c)
{
    return best_by(c, -1);
}

bool fr_compare_seen(const struct fr_compare *c, const struct fr_compare_bundle *one)
{
    return one->err == FR_OK && c->on.stream && one->trained_to_ms > c->on.known_ms;
}

/* Does bundle a stand before bundle b, apart from the order they were given in? */
static bool before(const struct fr_compare *c, enum fr_compare_sort sort, int a, int b)
{
    const struct fr_compare_bundle *x = &c->bundle[a], *y = &c->bundle[b];

    if ((x->err == FR_OK) != (y->err == FR_OK))
        return x->err == FR_OK;
    if (x->err != FR_OK || sort == FR_COMPARE_GIVEN)
        return false;
    if (sort == FR_COMPARE_SPEED)
        return x->detail.speed.us < y->detail.speed.us;
    return fr_compare_better(x->metric[c->main].name, x->metric[c->main].value, y->metric[c->main].value);
}

static void sort_bundles(struct fr_compare *c, enum fr_compare_sort sort)
{
    for (int i = 0; i < c->n; i++) {
        int k = i;

        for (; k > 0 && before(c, sort, i, c->order[k - 1]); k--)
            c->order[k] = c->order[k - 1];
        c->order[k] = i;
    }
}

static enum fr_err intervals(struct fr_compare *c, int metric)
{
    const struct fr_benchmark_detail *d[FR_COMPARE_MAX] = {NULL};
    struct fr_benchmark_interval out[FR_COMPARE_MAX];
    int who[FR_COMPARE_MAX], n = 0;
    enum fr_err e;

    for (int i = 0; i < c->n; i++)
        if (c->bundle[i].err == FR_OK) {
            d[n] = &c->bundle[i].detail;
            who[n++] = i;
        }
    e = fr_benchmark_intervals(d, n, c->bundle[c->first].metric[metric].name, c->resamples, c->seed, out);
    for (int i = 0; i < n && e == FR_OK; i++)
        c->bundle[who[i]].interval[metric] = out[i];
    return e;
}

enum fr_err fr_compare_finish(struct fr_compare *c, enum fr_compare_sort sort)
{
    const struct fr_benchmark_interval none = {(double)NAN, (double)NAN, (double)NAN, (double)NAN};
    enum fr_err e = FR_OK;

    for (int i = c->n - 1; i >= 0; i--) {
        for (int k = 0; k < FR_BENCHMARK_METRICS; k++)
            c->bundle[i].interval[k] = none;
        if (c->bundle[i].err != FR_OK)
            continue;
        c->first = i;
        c->n_good++;
    }
    if (c->first >= 0) {
        const struct fr_compare_bundle *one = &c->bundle[c->first];

        c->main = 0;
        for (int k = 0; k < one->n_metrics; k++) {
            if (strcmp(one->metric[k].name, c->on.main) == 0)
                c->main = k;
            if (e == FR_OK && c->resamples > 0)
                e = intervals(c, k);
        }
    }
    sort_bundles(c, sort);
    return e;
}
