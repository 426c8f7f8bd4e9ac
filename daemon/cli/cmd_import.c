/*
 * daemon/cli/cmd_import.c - `freshet import`: data sets to files or topics.
 */
#include "daemon/cli/cmd_import.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/clock.h"
#include "daemon/base/file.h"
#include "daemon/base/json.h"
#include "daemon/cli/import_map.h"
#include "daemon/cli/import_out.h"
#include "daemon/cli/import_read.h"
#include "daemon/cli/settings.h"
#include "daemon/cli/stop_signal.h"

#define MAX_MAP ((size_t)1 << 20)

struct flags {
    struct fr_settings s;
    const char *layout, *data, *out, *map, *periods, *users, *speed, *rebase;
    int64_t limit;
    bool strict, json, quiet;
};

static int complain(const struct fr_fault *fault)
{
    (void)fprintf(stderr, "freshet import: %s\n", fault->msg);
    return FR_EXIT_FAILURE;
}

static enum fr_err load_map(const struct flags *f, struct fr_import_map *m, struct fr_fault *fault)
{
    const char *builtin = fr_import_map_builtin(f->layout);
    char *text;
    size_t n;
    enum fr_err e;

    if (f->map == NULL)
        return fr_import_map_parse(fr_str_z(builtin), f->layout, m, fault);
    e = fr_file_read(f->map, MAX_MAP, &text, &n, fault);
    if (e != FR_OK)
        return e;
    e = fr_import_map_parse((struct fr_str){text, n}, f->map, m, fault);
    fr_free(text);
    return e;
}

/* "A-B" or "A". */
static bool span(const char *text, int64_t *from, int64_t *to)
{
    const char *dash = strchr(text, '-');

    if (dash == NULL) {
        *to = 0;
        if (fr_str_to_i64(fr_str_z(text), from) != FR_OK)
            return false;
        *to = *from;
        return *from >= 0;
    }
    return fr_str_to_i64((struct fr_str){text, (size_t)(dash - text)}, from) == FR_OK &&
           fr_str_to_i64(fr_str_z(dash + 1), to) == FR_OK && *from >= 0 && *to >= *from;
}

static int reading(const struct flags *f, const struct fr_import_map *m, struct fr_import_read *r)
{
    int64_t from = m->n_from, to = m->n_to;

    *r = (struct fr_import_read){.map = m, .dir = f->data, .strict = f->strict, .quiet = f->quiet};
    if (f->periods != NULL && (!span(f->periods, &from, &to) || from < m->n_from || to > m->n_to))
        return fr_args_usage("import", "--periods %.40s: A-B within %d-%d is needed", f->periods, m->n_from, m->n_to);
    r->n_from = (int)from;
    r->n_to = (int)to;
    if (f->users != NULL && (!span(f->users, &r->user_from, &r->user_to) || r->user_to == 0))
        return fr_args_usage("import", "--users %.40s: A-B is needed", f->users);
    return FR_ARGS_GO_ON;
}

/* Speed and shift; needs the rows. */
static int planning(const struct flags *f, const struct fr_import_rows *rows, struct fr_import_plan *p)
{
    struct fr_clock clock;
    int64_t to;

    *p = (struct fr_import_plan){.n_events = rows->n_events, .speed = 1, .quiet = f->quiet};
    if (f->limit > 0 && (uint64_t)f->limit < p->n_events)
        p->n_events = (uint64_t)f->limit;
    if (f->speed != NULL && strcmp(f->speed, "max") != 0) {
        if (fr_str_to_f64(fr_str_z(f->speed), &p->speed) != FR_OK || p->speed < 1e-6 || p->speed > 1e9)
            return fr_args_usage("import", "--speed %.40s: a number from 1e-6 to 1e9, or max, is needed", f->speed);
        p->paced = f->out == NULL;
    }
    if (f->rebase == NULL || p->n_events == 0)
        return FR_ARGS_GO_ON;
    fr_clock_init_real(&clock);
    to = fr_clock_wall_ms(&clock);
    if (strcmp(f->rebase, "now") != 0 && (fr_str_to_i64(fr_str_z(f->rebase), &to) != FR_OK || to < 0))
        return fr_args_usage("import", "--rebase %.40s: now, or milliseconds since the epoch, is needed", f->rebase);
    /* paced: the first event is now; else the last one, so that nothing lies in the future */
    p->from_now = p->paced && strcmp(f->rebase, "now") == 0;
    if (!p->from_now)
        p->shift_ms = to - fr_import_time_of(rows, p, p->paced ? 0 : p->n_events - 1);
    return FR_ARGS_GO_ON;
}

static void report(const struct flags *f,
                   const struct fr_import_read *r,
                   const struct fr_import_rows *rows,
                   const struct fr_import_plan *p,
                   uint64_t sent)
{
    const struct {
        const char *name;
        uint64_t v;
    } row[] = {{"events", p->n_events}, {"items", rows->n_items}, {"bad_records", r->bad},
               {"left_out", r->left_out}, {"delivered", sent}};
    struct fr_jsonw w;
    struct fr_buf b;

    if (!f->json) {
        (void)printf("%llu events, %llu items; %llu bad records, %llu left out", (unsigned long long)p->n_events,
                     (unsigned long long)rows->n_items, (unsigned long long)r->bad, (unsigned long long)r->left_out);
        if (f->out == NULL)
            (void)printf("; %llu records acknowledged", (unsigned long long)sent);
        (void)printf("\n");
        return;
    }
    fr_buf_init(&b);
    fr_jsonw_init(&w, &b);
    fr_jsonw_object(&w);
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        fr_jsonw_key(&w, row[i].name);
        fr_jsonw_u64(&w, row[i].v);
    }
    fr_jsonw_end(&w, '}');
    if (fr_buf_err(&b) == FR_OK)
        (void)printf("%.*s\n", (int)b.n, b.p);
    fr_buf_done(&b);
}

static int import(struct flags *f)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_import_map *m = fr_calloc(1, sizeof(*m)); /* large: names of columns and flags */
    struct fr_import_rows rows = {0};
    struct fr_import_read r;
    struct fr_import_plan p;
    uint64_t sent = 0;
    int rc = FR_EXIT_FAILURE;
    enum fr_err e = m == NULL ? fr_fault(&fault, FR_ENOMEM, "out of memory") : load_map(f, m, &fault);

    if (e == FR_OK) {
        rc = reading(f, m, &r);
        if (rc == FR_ARGS_GO_ON)
            e = fr_import_read(&r, &rows, &fault);
        if (rc == FR_ARGS_GO_ON && e == FR_OK)
            rc = planning(f, &rows, &p);
        if (rc == FR_ARGS_GO_ON && e == FR_OK)
            e = f->out != NULL ? fr_import_to_files(&rows, &p, f->out, &fault)
                               : fr_import_to_topics(&rows, &p, &f->s, &sent, &fault);
        if (rc == FR_ARGS_GO_ON && e == FR_OK) {
            report(f, &r, &rows, &p, sent);
            rc = FR_EXIT_OK;
        }
    }
    if (e != FR_OK)
        rc = complain(&fault);
    if (e != FR_OK && sent > 0)
        (void)fprintf(stderr, "freshet import: %llu records had been acknowledged\n", (unsigned long long)sent);
    if (fr_stop_signal_asked())
        rc = fr_stop_signal_status();
    fr_import_rows_done(&rows);
    fr_free(m);
    return rc;
}

static int check(const struct flags *f, int n_positional)
{
    if (n_positional != 1)
        return fr_args_usage("import", "a layout is needed: yoochoose, ml-1m or csv");
    if (f->map == NULL && fr_import_map_builtin(f->layout) == NULL)
        return strcmp(f->layout, "csv") == 0
                   ? fr_args_usage("import", "csv needs --map FILE (see deploy/conf/import)")
                   : fr_args_usage("import", "no layout \"%.60s\": yoochoose, ml-1m or csv", f->layout);
    if (f->data == NULL)
        return fr_args_usage("import", "--data DIR is needed");
    return FR_ARGS_GO_ON;
}

static int run(int argc, char **argv)
{
    struct flags f = {.limit = 0};
    const char *positional[1] = {NULL};
    const struct fr_arg flags[] = {
        FR_SETTINGS_ARGS(&f.s),
        {"data", FR_ARG_STR, &f.data, 0, 0, "DIR", "folder of the data set"},
        {"out", FR_ARG_STR, &f.out, 0, 0, "DIR", "write DIR/events.jsonl and DIR/items.jsonl instead of topics"},
        {"map", FR_ARG_STR, &f.map, 0, 0, "FILE", "mapping of columns (deploy/conf/import has examples)"},
        {"periods", FR_ARG_STR, &f.periods, 0, 0, "A-B", "of the files that are numbered"},
        {"users", FR_ARG_STR, &f.users, 0, 0, "A-B", "only users with these numbers"},
        {"limit", FR_ARG_INT, &f.limit, 1, 1e12, "N", "only the first N events"},
        {"speed", FR_ARG_STR, &f.speed, 0, 0, "X|max",
         "divide the gaps between events by X; topics: and keep that pace (max: as fast as possible, the default)"},
        {"rebase", FR_ARG_STR, &f.rebase, 0, 0, "now|MS",
         "shift all times: the last event is then (the first one, if a pace is kept)"},
        {"strict", FR_ARG_BOOL, &f.strict, 0, 0, NULL, "a bad record is an error"},
        {"quiet", FR_ARG_BOOL, &f.quiet, 0, 0, NULL, "neither progress nor bad records on standard error"},
        {"json", FR_ARG_BOOL, &f.json, 0, 0, NULL, "one JSON object instead of text"}};
    struct fr_args a = {"import yoochoose|ml-1m|csv --data DIR [--out DIR] [flags]",
                        "Read a data set and write its events and items to files, or to the topics of the\n"
                        "configuration. Bad records are counted and shown, and left out.",
                        flags, (int)(sizeof(flags) / sizeof(flags[0])), positional, 1, 0};
    int rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    f.layout = positional[0];
    rc = check(&f, a.n_positional);
    if (rc != FR_ARGS_GO_ON)
        return rc;
    rc = fr_settings_load(&f.s, "import");
    if (rc == FR_ARGS_GO_ON) {
        fr_stop_signal_install(false);
        rc = import(&f);
    }
    fr_settings_done(&f.s);
    return rc;
}

const struct fr_command fr_cmd_import = {"import", "data sets to files or topics", run};
