/*
 * daemon/cli/compare_print.c - a comparison as a table, JSON, CSV, a picture.
 */
#include <math.h>
#include <string.h>

#include "daemon/base/json.h"
#include "daemon/cli/chart.h"
#include "daemon/cli/compare.h"
#include "daemon/cli/label.h"
#include "daemon/cli/table.h"

#define NAME_COLUMNS 36

/* The bundle at place i of the order. */
static const struct fr_compare_bundle *at(const struct fr_compare *c, int i)
{
    return &c->bundle[c->order[i]];
}

/* 1234567 as 1,234,567. */
static void put_count(struct fr_table *t, uint64_t v)
{
    char digits[24], text[32];
    int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v), k = 0;

    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            text[k++] = ',';
        text[k++] = digits[i];
    }
    text[k] = '\0';
    fr_table_cell(t, fr_str_z(text), 0);
}

/* Units that the main measure is over. */
static uint64_t units(const struct fr_compare *c)
{
    const struct fr_benchmark_detail *d = &c->bundle[c->first].detail;
    uint64_t n = 0;

    for (size_t u = 0; u < d->n_units; u++)
        n += d->n_ratios > 0 && d->ratio[0].den[u] > 0;
    return n;
}

/* Measures that some bundle has. */
static bool has(const struct fr_compare *c, int metric)
{
    for (int i = 0; i < c->n_good; i++)
        if (!isnan(at(c, i)->metric[metric].value))
            return true;
    return false;
}

static enum fr_err print_measures(const struct fr_compare *c, FILE *out)
{
    const struct fr_compare_bundle *first = &c->bundle[c->first];
    struct fr_table t = {.columns = 5};
    int fastest = fr_compare_fastest(c);
    enum fr_err e;

    for (int k = 0; k < first->n_metrics; k++)
        t.columns += has(c, k);
    fr_table_printf(&t, "bundle");
    fr_table_printf(&t, "model");
    for (int k = 0; k < first->n_metrics; k++)
        if (has(c, k))
            fr_table_printf(&t, "%s ", first->metric[k].name);
    fr_table_printf(&t, "parameters");
    fr_table_printf(&t, "bytes");
    fr_table_printf(&t, "µs/%d ", FR_BENCHMARK_CANDIDATES);
    for (int i = 0; i < c->n_good; i++) {
        const struct fr_compare_bundle *one = at(c, i);

        fr_table_cell(&t, one->label, NAME_COLUMNS);
        fr_table_printf(&t, "%s", fr_model_kind_name(one->kind));
        for (int k = 0; k < one->n_metrics; k++)
            if (has(c, k) && isnan(one->metric[k].value))
                fr_table_printf(&t, "- ");
            else if (has(c, k))
                fr_table_printf(&t, "%.5f%c", one->metric[k].value, fr_compare_best(c, k) == c->order[i] ? '*' : ' ');
        put_count(&t, one->detail.parameters);
        put_count(&t, one->bytes);
        fr_table_printf(&t, "%.*f%c", one->detail.speed.us < 100 ? 1 : 0, one->detail.speed.us,
                        fastest == c->order[i] ? '*' : ' ');
    }
    e = fr_table_print(&t, 0x3, out);
    fr_table_done(&t);
    return e;
}

static const char *verdict(const char *measure, const struct fr_benchmark_interval *v)
{
    if (!(v->diff_low > 0) && !(v->diff_high < 0))
        return "within chance";
    if (strcmp(measure, "calibration_ratio") == 0)
        return "different";
    return fr_compare_better(measure, v->diff_low, 0) ? "better" : "worse";
}

static enum fr_err print_intervals(const struct fr_compare *c, FILE *out)
{
    struct fr_table t = {.columns = 6};
    const struct fr_compare_bundle *first = &c->bundle[c->first];
    double base = first->metric[c->main].value;
    enum fr_err e;

    fr_table_printf(&t, "bundle");
    fr_table_printf(&t, "%s", first->metric[c->main].name);
    fr_table_printf(&t, "95 %%");
    fr_table_printf(&t, "difference");
    fr_table_printf(&t, "95 %%");
    fr_table_printf(&t, "%s", "");
    for (int i = 0; i < c->n_good; i++) {
        const struct fr_compare_bundle *one = at(c, i);
        const struct fr_benchmark_interval *v = &one->interval[c->main];

        fr_table_cell(&t, one->label, NAME_COLUMNS);
        fr_table_printf(&t, "%.5f", one->metric[c->main].value);
        fr_table_printf(&t, "%.5f .. %.5f", v->low, v->high);
        if (c->order[i] == c->first) {
            fr_table_printf(&t, "-");
            fr_table_printf(&t, "-");
            fr_table_printf(&t, "%s", "");
            continue;
        }
        fr_table_printf(&t, "%+.5f", one->metric[c->main].value - base);
        fr_table_printf(&t, "%+.5f .. %+.5f", v->diff_low, v->diff_high);
        fr_table_printf(&t, "%s", verdict(first->metric[c->main].name, v));
    }
    e = fr_table_print(&t, 0x21, out);
    fr_table_done(&t);
    return e;
}

/* Bundles that know what they are measured on. */
static void print_seen(const struct fr_compare *c, FILE *out)
{
    for (int i = 0, n = 0; i < c->n_good; i++) {
        struct fr_buf b = {NULL, 0, 0, FR_OK};

        if (!fr_compare_seen(c, at(c, i)))
            continue;
        fr_label_clean(&b, at(c, i)->label, 200);
        fprintf(out, "%strained on events that it is measured on: %.*s\n", n++ == 0 ? "\n" : "", (int)b.n, b.n == 0 ? "" : b.p);
        fr_buf_done(&b);
    }
}

static void print_failed(const struct fr_compare *c, FILE *out)
{
    for (int i = c->n_good; i < c->n; i++) {
        struct fr_buf b = {NULL, 0, 0, FR_OK};

        fr_label_clean(&b, fr_str_z(at(c, i)->path), 200);
        fr_buf_puts(&b, ": ");
        fr_label_clean(&b, fr_str_z(at(c, i)->why), FR_COMPARE_WHY);
        fprintf(out, "%snot measured: %.*s\n", i == c->n_good && c->n_good > 0 ? "\n" : "", (int)b.n, b.n == 0 ? "" : b.p);
        fr_buf_done(&b);
    }
}

/* Of how many bundles that were measured; *out_first: the first of them. */
static int having(const struct fr_compare *c, const char *note, int *out_first)
{
    int n = 0;

    for (int i = c->n_good - 1; i >= 0; i--)
        for (int k = 0; k < at(c, i)->n_notes; k++)
            if (strcmp(at(c, i)->note[k], note) == 0) {
                *out_first = i;
                n++;
            }
    return n;
}

void fr_compare_notes(const struct fr_compare *c, FILE *out)
{
    for (int i = 0; i < c->n_good; i++)
        for (int k = 0; k < at(c, i)->n_notes; k++) {
            const char *note = at(c, i)->note[k];
            struct fr_buf b = {NULL, 0, 0, FR_OK};
            int first = i;
            bool common = having(c, note, &first) == c->n_good;

            if (common && first != i)
                continue;
            if (!common) {
                fr_label_clean(&b, at(c, i)->label, 200);
                fr_buf_puts(&b, ": ");
            }
            fr_label_clean(&b, fr_str_z(note), FR_BENCHMARK_NOTE);
            fprintf(out, "note: %.*s\n", (int)b.n, b.n == 0 ? "" : b.p);
            fr_buf_done(&b);
        }
}

enum fr_err fr_compare_print(const struct fr_compare *c, FILE *out)
{
    enum fr_err e = FR_OK;

    if (c->first >= 0) {
        fprintf(out, "%s, %s: %d bundle%s%s\n\n", c->on.name, c->on.where, c->n_good, c->n_good == 1 ? "" : "s",
                c->n_good > 1 ? "; * best" : "");
        e = print_measures(c, out);
        if (e == FR_OK && c->resamples > 0) {
            fprintf(out, "\n%s; intervals: %d resamples of %llu %s", c->on.main, c->resamples,
                    (unsigned long long)units(c), c->bundle[c->first].detail.unit);
            fprintf(out, c->n_good > 1 ? ", differences to the first bundle in each\n\n" : "\n\n");
            e = print_intervals(c, out);
        }
    }
    print_seen(c, out);
    print_failed(c, out);
    return e == FR_OK && ferror(out) != 0 ? FR_EIO : e;
}

/* ---- JSON ---- */

static void put_pair(struct fr_jsonw *w, double low, double high)
{
    fr_jsonw_array(w);
    fr_jsonw_f64(w, low);
    fr_jsonw_f64(w, high);
    fr_jsonw_end(w, ']');
}

static void put_intervals(struct fr_jsonw *w, const struct fr_compare *c, const struct fr_compare_bundle *one)
{
    const struct fr_compare_bundle *first = &c->bundle[c->first];

    fr_jsonw_key(w, "intervals");
    fr_jsonw_object(w);
    for (int k = 0; k < one->n_metrics; k++) {
        if (isnan(one->interval[k].low))
            continue;
        fr_jsonw_key(w, one->metric[k].name);
        put_pair(w, one->interval[k].low, one->interval[k].high);
    }
    fr_jsonw_end(w, '}');
    fr_jsonw_key(w, "differences");
    fr_jsonw_object(w);
    for (int k = 0; k < one->n_metrics && one != first; k++) {
        if (isnan(one->metric[k].value) || isnan(first->metric[k].value))
            continue;
        fr_jsonw_key(w, one->metric[k].name);
        fr_jsonw_object(w);
        fr_jsonw_key(w, "value");
        fr_jsonw_f64(w, one->metric[k].value - first->metric[k].value);
        if (!isnan(one->interval[k].diff_low)) {
            fr_jsonw_key(w, "interval");
            put_pair(w, one->interval[k].diff_low, one->interval[k].diff_high);
        }
        fr_jsonw_end(w, '}');
    }
    fr_jsonw_end(w, '}');
}

static void put_bundle(struct fr_jsonw *w, const struct fr_compare *c, const struct fr_compare_bundle *one)
{
    fr_jsonw_object(w);
    fr_jsonw_key(w, "bundle");
    fr_jsonw_z(w, one->path);
    if (one->err != FR_OK) {
        fr_jsonw_key(w, "error");
        fr_jsonw_z(w, one->why);
        fr_jsonw_end(w, '}');
        return;
    }
    fr_jsonw_key(w, "model");
    fr_jsonw_z(w, fr_model_kind_name(one->kind));
    if (c->on.stream) {
        fr_jsonw_key(w, "seen");
        fr_jsonw_bool(w, fr_compare_seen(c, one));
    }
    fr_jsonw_key(w, "metrics");
    fr_jsonw_object(w);
    for (int k = 0; k < one->n_metrics; k++) {
        if (isnan(one->metric[k].value))
            continue;
        fr_jsonw_key(w, one->metric[k].name);
        fr_jsonw_f64(w, one->metric[k].value);
    }
    fr_jsonw_end(w, '}');
    put_intervals(w, c, one);
    fr_jsonw_key(w, "parameters");
    fr_jsonw_u64(w, one->detail.parameters);
    fr_jsonw_key(w, "bytes");
    fr_jsonw_u64(w, one->bytes);
    fr_jsonw_key(w, "us_per_500");
    fr_jsonw_f64(w, one->detail.speed.us);
    fr_jsonw_key(w, "us_per_500_quartiles");
    put_pair(w, one->detail.speed.low, one->detail.speed.high);
    fr_jsonw_key(w, "runs");
    fr_jsonw_i64(w, one->detail.speed.runs);
    fr_jsonw_end(w, '}');
}

void fr_compare_json(const struct fr_compare *c, struct fr_buf *out)
{
    struct fr_jsonw w;

    fr_jsonw_init(&w, out);
    fr_jsonw_object(&w);
    fr_jsonw_key(&w, "benchmark");
    fr_jsonw_z(&w, c->on.name);
    if (c->on.about != NULL)
        c->on.about(c->on.ctx, &w);
    fr_jsonw_key(&w, "main");
    fr_jsonw_z(&w, c->on.main);
    if (c->first >= 0) {
        fr_jsonw_key(&w, "units");
        fr_jsonw_z(&w, c->bundle[c->first].detail.unit);
        fr_jsonw_key(&w, "n_units");
        fr_jsonw_u64(&w, units(c));
        fr_jsonw_key(&w, "first");
        fr_jsonw_z(&w, c->bundle[c->first].path);
    }
    fr_jsonw_key(&w, "resamples");
    fr_jsonw_i64(&w, c->resamples);
    fr_jsonw_key(&w, "seed");
    fr_jsonw_u64(&w, c->seed);
    fr_jsonw_key(&w, "bundles");
    fr_jsonw_array(&w);
    for (int i = 0; i < c->n; i++)
        put_bundle(&w, c, at(c, i));
    fr_jsonw_end(&w, ']');
    fr_jsonw_end(&w, '}');
}

/* ---- files ---- */

/* A field in quotes. */
static void put_quoted(struct fr_buf *b, struct fr_str s)
{
    fr_buf_putc(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"')
            fr_buf_putc(b, '"');
        fr_buf_putc(b, s.p[i]);
    }
    fr_buf_putc(b, '"');
}

static void put_number(struct fr_buf *b, double v)
{
    char text[32];

    fr_buf_putc(b, ',');
    if (isfinite(v)) {
        (void)fr_f64_to_str(v, text);
        fr_buf_puts(b, text);
    }
}

void fr_compare_csv(const struct fr_compare *c, struct fr_buf *out)
{
    const struct fr_compare_bundle *first = c->first < 0 ? NULL : &c->bundle[c->first];

    fr_buf_puts(out, "bundle,model,parameters,bytes,us_per_500");
    for (int k = 0; first != NULL && k < first->n_metrics; k++)
        fr_buf_printf(out, ",%s,%s_low,%s_high,%s_difference,%s_difference_low,%s_difference_high", first->metric[k].name,
                      first->metric[k].name, first->metric[k].name, first->metric[k].name, first->metric[k].name,
                      first->metric[k].name);
    fr_buf_putc(out, '\n');
    for (int i = 0; i < c->n_good; i++) {
        const struct fr_compare_bundle *one = at(c, i);

        put_quoted(out, fr_str_z(one->path));
        fr_buf_printf(out, ",%s,%llu,%llu", fr_model_kind_name(one->kind), (unsigned long long)one->detail.parameters,
                      (unsigned long long)one->bytes);
        put_number(out, one->detail.speed.us);
        for (int k = 0; k < one->n_metrics; k++) {
            put_number(out, one->metric[k].value);
            put_number(out, one->interval[k].low);
            put_number(out, one->interval[k].high);
            put_number(out, one->metric[k].value - first->metric[k].value);
            put_number(out, one->interval[k].diff_low);
            put_number(out, one->interval[k].diff_high);
        }
        fr_buf_putc(out, '\n');
    }
}

void fr_compare_svg(const struct fr_compare *c, struct fr_buf *out)
{
    struct fr_chart_point p[FR_COMPARE_MAX];
    struct fr_chart_points chart = {.p = p, .n = c->n_good, .x_name = FR_STR_LIT("microseconds of CPU time per 500 candidates, one thread")};
    char title[128], y[128];

    for (int i = 0; i < c->n_good; i++) {
        const struct fr_compare_bundle *one = at(c, i);

        p[i] = (struct fr_chart_point){one->label, one->detail.speed.us, one->metric[c->main].value,
                                       one->interval[c->main].low, one->interval[c->main].high};
    }
    (void)snprintf(title, sizeof(title), "%s: %s and speed of %d bundle%s", c->on.name, c->on.main, c->n_good,
                   c->n_good == 1 ? "" : "s");
    (void)snprintf(y, sizeof(y), "%s on %s%s", c->on.main, c->on.where, c->resamples > 0 ? "; below with 95 % intervals" : "");
    chart.title = fr_str_z(title);
    chart.y_name = fr_str_z(y);
    chart.measure = fr_str_z(c->on.main);
    if (c->first >= 0)
        chart.lower_is_better = fr_compare_better(c->on.main, 0, 1);
    fr_chart_points(&chart, out);
}
