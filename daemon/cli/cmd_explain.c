/*
 * daemon/cli/cmd_explain.c - `freshet explain --bundle DIR`: the parts of the score of the bundle's own self-test
 * rows, or of rows as served (values of the topic `examples`, a line each).
 *
 * The bundle says which fields it was trained with, so no configuration is read.
 */
#include "daemon/cli/cmd_explain.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/cli/explain_print.h"
#include "daemon/cli/lines.h"
#include "daemon/stream/example_codec.h"
#include "models/bundle.h"
#include "models/explain.h"

struct explain {
    const char *bundle;
    struct fr_arg_list files;
    int64_t test, line, candidate, top; /* -1, 0, -1: all */
    bool json;
    struct fr_field_set *fs;
    struct fr_model *m;
    struct fr_arena *ar;  /* of one explanation */
    uint64_t explained;
};

/* The parts are another way to the same number; if they differ, neither is to be believed. */
static bool adds_up(const struct fr_explanation *x)
{
    double size = 1 + fabs(x->bias) + fabs(fr_explained_linear(x)) + fabs(fr_explained_pairs(x)) + fabs(x->deep) +
                  fabs(fr_explained_attention(x)) + fabs(x->towers);

    double value = 1 + fabs(x->value.bias) + fabs(x->value.deep) + fabs(fr_explained_value_attention(x));

    return fabs(x->sum - (double)x->logit) <= 1e-4 * size &&
           fabs(x->value.sum - (double)x->value.raw) <= 1e-4 * value;
}

/* One candidate, or all, of a case. */
static enum fr_err
show(struct explain *f, const struct fr_model_case *c, struct fr_explain_source *src, const struct fr_str *item_id,
     struct fr_fault *fault)
{
    for (int i = 0; i < c->n; i++) {
        struct fr_explanation x;
        enum fr_err e;

        if (f->candidate >= 0 && i != (int)f->candidate)
            continue;
        src->candidate = i;
        if (item_id != NULL)
            src->item_id = item_id[i];
        fr_arena_reset(f->ar);
        if ((e = fr_explain(f->m, c, i, f->ar, &x)) != FR_OK)
            return fr_fault(fault, e, "row %d cannot be scored: %s", i, fr_err_text(e));
        if (!adds_up(&x))
            return fr_fault(fault, FR_EMISMATCH,
                            "row %d: the parts sum to %.9g, the logit is %.9g (value head: %.9g, %.9g)", i, x.sum,
                            (double)x.logit, x.value.sum, (double)x.value.raw);
        e = f->json ? fr_explain_json(src, &x, stdout) : fr_explain_table(src, &x, (int)f->top, f->ar, stdout);
        if (e != FR_OK)
            return fr_fault(fault, e, "%s", fr_err_text(e));
        f->explained++;
    }
    return FR_OK;
}

static enum fr_err explain_tests(struct explain *f, struct fr_fault *fault)
{
    struct fr_explain_source src = {.model = fr_model_info(f->m)};
    struct fr_bundle *b = NULL;
    enum fr_err e = fr_bundle_read(f->bundle, f->fs, &b, fault);

    if (e == FR_OK && f->test >= b->n_cases)
        e = fr_fault(fault, FR_ENOTFOUND, "--case %d: the bundle has %d self-test cases, from 0", (int)f->test, b->n_cases);
    for (int i = 0; e == FR_OK && i < b->n_cases; i++) {
        if (f->test >= 0 && i != (int)f->test)
            continue;
        src.test = i;
        e = show(f, &b->cases[i].c, &src, NULL, fault);
    }
    fr_bundle_free(b);
    return e;
}

static enum fr_err explain_line(struct explain *f,
                                const struct fr_lines *l,
                                struct fr_str text,
                                struct fr_arena *ar,
                                struct fr_fault *fault)
{
    struct fr_explain_source src = {.model = fr_model_info(f->m), .file = fr_lines_path(l), .line = fr_lines_number(l)};
    struct fr_example_rows rows;
    enum fr_err e;

    fr_arena_reset(ar);
    if ((e = fr_example_decode(f->fs, ar, text, &rows, fault)) != FR_OK)
        return e;
    const struct fr_cell **items = fr_arena_array(ar, rows.n, sizeof(*items));
    if (items == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < rows.n; i++)
        items[i] = rows.items + (size_t)i * f->fs->n_cells[FR_ENTITY_ITEM];
    struct fr_model_case c = {rows.user, rows.context, items, rows.cross, (int)rows.n};
    src.user_id = rows.user_id;
    return show(f, &c, &src, rows.item_id, fault);
}

static enum fr_err explain_file(struct explain *f, const char *path, struct fr_fault *fault)
{
    struct fr_lines *l = NULL;
    struct fr_arena *ar = NULL;
    struct fr_str text;
    enum fr_err e = fr_lines_open(path, FR_EXAMPLE_MAX_BYTES, &l, fault);

    if (e != FR_OK)
        return e;
    if (fr_arena_new(1 << 16, 0, &ar) != FR_OK)
        e = fr_fault(fault, FR_ENOMEM, "out of memory");
    while (e == FR_OK) {
        struct fr_fault why = {.err = FR_OK};

        e = fr_lines_next(l, &text);
        if (e == FR_ENOTFOUND)
            break;
        bool wanted = f->line == 0 || fr_lines_number(l) == (uint64_t)f->line;
        if (e == FR_OK && wanted)
            e = explain_line(f, l, text, ar, &why);
        else if (e == FR_ETOOLARGE && !wanted)
            e = FR_OK;
        if (e != FR_OK)
            (void)fr_fault(fault,
                           e,
                           "%s:%llu: %s",
                           fr_lines_path(l),
                           (unsigned long long)fr_lines_number(l),
                           why.err == FR_OK ? fr_err_text(e) : why.msg);
        if (f->line > 0 && fr_lines_number(l) >= (uint64_t)f->line)
            break;
    }
    fr_arena_free(ar);
    fr_lines_free(l);
    return e == FR_ENOTFOUND && fault->err == FR_OK ? FR_OK : e;
}

static enum fr_err explain_all(struct explain *f, struct fr_fault *fault)
{
    enum fr_err e;

    f->fs = fr_calloc(1, sizeof(*f->fs));
    if (f->fs == NULL || fr_arena_new(1 << 16, 0, &f->ar) != FR_OK)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    if ((e = fr_bundle_fields(f->bundle, f->fs, fault)) != FR_OK ||
        (e = fr_model_load(f->bundle, f->fs, &f->m, fault)) != FR_OK) {
        char msg[FR_FAULT_MSG];

        (void)snprintf(msg, sizeof(msg), "%s", fault->msg);
        return fr_fault(fault, e, "%.150s: %.240s", f->bundle, msg);
    }
    if (f->files.n == 0)
        e = explain_tests(f, fault);
    for (int i = 0; i < f->files.n && e == FR_OK; i++)
        e = explain_file(f, f->files.v[i], fault);
    if (e == FR_OK && f->explained == 0)
        e = fr_fault(fault, FR_ENOTFOUND, "no such row: nothing to explain");
    return e;
}

static int run(int argc, char **argv)
{
    struct explain f = {.test = -1, .candidate = -1, .top = 10};
    struct fr_fault fault = {.err = FR_OK};
    const struct fr_arg flags[] = {
        {"bundle", FR_ARG_STR, &f.bundle, 0, 0, "DIR", "the model"},
        {"case", FR_ARG_INT, &f.test, 0, 1000, "N", "only this self-test case of the bundle, from 0"},
        {"row", FR_ARG_LIST, &f.files, 0, 0, "FILE", "rows as served instead: values of `examples`, a line each; - = standard input; may be repeated"},
        {"line", FR_ARG_INT, &f.line, 1, 1e15, "N", "only this line of each file, from 1"},
        {"candidate", FR_ARG_INT, &f.candidate, 0, 1e6, "N", "only this row of a case or a list, from 0"},
        {"top", FR_ARG_INT, &f.top, 1, 1e6, "K", "terms in the table (10)"},
        {"json", FR_ARG_BOOL, &f.json, 0, 0, NULL, "everything, one JSON object a row"}};
    struct fr_args a = {"explain --bundle DIR [--case N | --row FILE ...] [flags]",
                        "Why a model scores a row as it does: bias, linear term of each field, term of each pair of\n"
                        "fields, the MLP, attention by field and what each field looks at. They add up to the logit.",
                        flags, 7, NULL, 0, 0};
    int rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    if (f.bundle == NULL)
        return fr_args_usage("explain", "--bundle DIR is needed");
    if (f.files.n > 0 && f.test >= 0)
        return fr_args_usage("explain", "--case is of the bundle's self-tests, --row of a file: give one of them");
    if (f.files.n == 0 && f.line > 0)
        return fr_args_usage("explain", "--line needs --row FILE");
    rc = explain_all(&f, &fault) == FR_OK ? FR_EXIT_OK : FR_EXIT_FAILURE;
    if (rc != FR_EXIT_OK) {
        (void)fflush(stdout);
        fprintf(stderr, "freshet explain: %s\n", fault.msg);
    }
    fr_model_free(f.m);
    fr_arena_free(f.ar);
    fr_free(f.fs);
    return rc;
}

const struct fr_command fr_cmd_explain = {"explain", "show why a model scores a row as it does", run};
