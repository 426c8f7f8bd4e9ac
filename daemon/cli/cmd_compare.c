/*
 * daemon/cli/cmd_compare.c - measuring with a progress bar, then table, JSON and files.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/base/file.h"
#include "daemon/cli/cmd_compare.h"
#include "daemon/cli/progress.h"

int fr_compare_flags_more(struct fr_compare_flags *f, const struct fr_args *a, const char *command)
{
    if (a->n_positional > 0 && f->bundles.n == 0)
        return fr_args_usage(command, "unexpected argument \"%.60s\"", a->positional[0]);
    for (int i = 0; i < a->n_positional; i++) {
        if (f->bundles.n == FR_ARG_LIST_MAX)
            return fr_args_usage(command, "--compare: more than %d bundles", FR_ARG_LIST_MAX);
        f->bundles.v[f->bundles.n++] = a->positional[i];
    }
    for (int i = 0; i < f->out.n; i++) {
        size_t n = strlen(f->out.v[i]);

        if (n < 5 || (strcmp(f->out.v[i] + n - 4, ".svg") != 0 && strcmp(f->out.v[i] + n - 4, ".csv") != 0))
            return fr_args_usage(command, "--out: \"%.60s\" ends in neither .svg nor .csv", f->out.v[i]);
    }
    return FR_ARGS_GO_ON;
}

static void measure_all(struct fr_compare *c, const struct fr_compare_flags *f)
{
    struct fr_progress p;

    fr_progress_start(&p, "comparing", "bundles", (uint64_t)c->n, f->quiet);
    p.quiet = p.quiet || !p.terminal; /* a log wants the table only */
    for (int i = 0; i < c->n; i++) {
        fr_progress_update(&p, (uint64_t)i);
        fr_compare_measure(c, i);
    }
    fr_progress_finish(&p, (uint64_t)c->n);
}

static enum fr_err write_file(const struct fr_compare *c, const char *path, struct fr_fault *fault)
{
    struct fr_buf b = {NULL, 0, 0, FR_OK};
    enum fr_err e;

    if (strcmp(path + strlen(path) - 4, ".svg") == 0)
        fr_compare_svg(c, &b);
    else
        fr_compare_csv(c, &b);
    e = fr_buf_err(&b);
    e = e == FR_OK ? fr_file_replace(path, fr_buf_str(&b), fault) : fr_fault(fault, e, "out of memory");
    fr_buf_done(&b);
    return e;
}

static enum fr_err show(const struct fr_compare *c, const struct fr_compare_flags *f, struct fr_fault *fault)
{
    struct fr_buf b = {NULL, 0, 0, FR_OK};
    enum fr_err e = fr_compare_print(c, f->json ? stderr : stdout);

    fr_compare_notes(c, stderr);
    for (int i = 0; i < f->out.n && e == FR_OK && c->n_good > 0; i++) /* an old file is better than nothing */
        e = write_file(c, f->out.v[i], fault);
    if (e == FR_OK && f->json) {
        fr_compare_json(c, &b);
        fr_buf_putc(&b, '\n');
        e = fr_buf_err(&b);
        if (e == FR_OK && fwrite(b.p, 1, b.n, stdout) != b.n)
            e = FR_EIO;
    }
    fr_buf_done(&b);
    if (fflush(stdout) != 0 && e == FR_OK)
        e = FR_EIO;
    return e;
}

int fr_cmd_compare(const struct fr_compare_on *on, const struct fr_compare_flags *f)
{
    struct fr_fault fault = {.err = FR_OK};
    struct fr_compare *c = NULL;
    enum fr_err e = fr_compare_new(on, f->bundles.v, f->bundles.n, &c);
    int rc = FR_EXIT_FAILURE;

    if (e == FR_OK) {
        c->resamples = (int)f->resamples;
        c->seed = (uint64_t)f->seed;
        measure_all(c, f);
        e = fr_compare_finish(c, (enum fr_compare_sort)f->sort);
    }
    if (e == FR_OK)
        e = show(c, f, &fault);
    if (e != FR_OK)
        fprintf(stderr, "freshet evaluate: %s\n", fault.msg[0] != '\0' ? fault.msg : fr_err_text(e));
    else if (c->n_good == c->n)
        rc = FR_EXIT_OK;
    fr_compare_free(c);
    return rc;
}
