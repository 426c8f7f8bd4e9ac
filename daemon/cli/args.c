/*
 * daemon/cli/args.c - flags from a table.
 */
#include "daemon/cli/args.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/str.h"

#define MAX_CHOICES 32

int fr_args_usage(const char *command, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "freshet %s: ", command);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nTry 'freshet %s --help'.\n", command);
    return FR_EXIT_USAGE;
}

bool fr_args_has(int argc, char **argv, const char *name)
{
    size_t n = strlen(name);

    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--", 2) == 0 && strncmp(argv[i] + 2, name, n) == 0 &&
            (argv[i][2 + n] == '\0' || argv[i][2 + n] == '='))
            return true;
    return false;
}

void fr_args_help(const struct fr_args *a)
{
    printf("Usage: freshet %s\n", a->usage);
    if (a->about != NULL)
        printf("\n%s\n", a->about);
    printf("\nFlags:\n");
    for (int i = 0; i < a->n_flags; i++) {
        const struct fr_arg *f = &a->flags[i];
        char left[80];

        snprintf(left, sizeof(left), "--%s%s%s", f->name, f->meta == NULL ? "" : " ",
                 f->meta == NULL ? "" : f->meta);
        if (strlen(left) > 28)
            printf("  %s\n  %-28s  %s\n", left, "", f->help);
        else
            printf("  %-28s  %s\n", left, f->help);
    }
    printf("  %-28s  %s\n", "--help", "this text");
    printf("\nExit status: 0 done, 1 failed, 2 wrong usage, 128 + N ended by signal N.\n");
}

static const struct fr_arg *find(const struct fr_args *a, struct fr_str name)
{
    for (int i = 0; i < a->n_flags; i++)
        if (fr_str_eqz(name, a->flags[i].name))
            return &a->flags[i];
    return NULL;
}

static int unknown(const struct fr_args *a, const char *command, struct fr_str name)
{
    const char *names[128];
    int n = 0, best;

    for (int i = 0; i < a->n_flags && n < 127; i++)
        names[n++] = a->flags[i].name;
    names[n++] = "help";
    best = fr_str_nearest(name, names, n);
    if (best >= 0)
        return fr_args_usage(command, "unknown flag --%.*s; did you mean --%s?",
                             (int)(name.n > 60 ? 60 : name.n), name.p, names[best]);
    return fr_args_usage(command, "unknown flag --%.*s", (int)(name.n > 60 ? 60 : name.n), name.p);
}

static bool in_range(const struct fr_arg *f, double v)
{
    return (f->min >= f->max && f->max <= 0 && f->min >= 0) || (v >= f->min && v <= f->max);
}

static int set_number(const struct fr_arg *f, const char *command, const char *text)
{
    double d = 0;
    int64_t i = 0;
    enum fr_err e = f->type == FR_ARG_INT ? fr_str_to_i64(fr_str_z(text), &i)
                                          : fr_str_to_f64(fr_str_z(text), &d);

    if (e != FR_OK)
        return fr_args_usage(command, "--%s: \"%.60s\" is not %s", f->name, text,
                             f->type == FR_ARG_INT ? "a whole number" : "a number");
    if (f->type == FR_ARG_INT)
        d = (double)i;
    if (!in_range(f, d))
        return fr_args_usage(command, "--%s: %.60s is outside %.15g..%.15g", f->name, text, f->min,
                             f->max);
    if (f->type == FR_ARG_INT)
        *(int64_t *)f->value = i;
    else
        *(double *)f->value = d;
    return FR_ARGS_GO_ON;
}

static int set_choice(const struct fr_arg *f, const char *command, const char *text)
{
    const char *p = f->meta;

    for (int i = 0; i < MAX_CHOICES && p != NULL; i++) {
        const char *bar = strchr(p, '|');
        size_t n = bar == NULL ? strlen(p) : (size_t)(bar - p);

        if (fr_str_eqz((struct fr_str){p, n}, text)) {
            *(int *)f->value = i;
            return FR_ARGS_GO_ON;
        }
        p = bar == NULL ? NULL : bar + 1;
    }
    return fr_args_usage(command, "--%s: \"%.60s\" is not one of %s", f->name, text, f->meta);
}

static int set_value(const struct fr_arg *f, const char *command, const char *text)
{
    struct fr_arg_list *list;

    switch (f->type) {
    case FR_ARG_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return fr_args_usage(command, "--%s takes no value, or true or false", f->name);
        *(bool *)f->value = text[0] == 't';
        return FR_ARGS_GO_ON;
    case FR_ARG_STR:
        *(const char **)f->value = text;
        return FR_ARGS_GO_ON;
    case FR_ARG_INT:
    case FR_ARG_F64:
        return set_number(f, command, text);
    case FR_ARG_CHOICE:
        return set_choice(f, command, text);
    case FR_ARG_LIST:
        list = f->value;
        if (list->n == FR_ARG_LIST_MAX)
            return fr_args_usage(command, "--%s: more than %d times", f->name, FR_ARG_LIST_MAX);
        list->v[list->n++] = text;
        return FR_ARGS_GO_ON;
    }
    return fr_args_usage(command, "--%s: no such type", f->name);
}

static int positional(struct fr_args *a, const char *command, const char *text)
{
    if (a->n_positional == a->max_positional)
        return fr_args_usage(command, "unexpected argument \"%.60s\"", text);
    a->positional[a->n_positional++] = text;
    return FR_ARGS_GO_ON;
}

int fr_args_parse(struct fr_args *a, int argc, char **argv)
{
    const char *command = argv[0];
    bool flags = true;

    a->n_positional = 0;
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i], *eq;
        const struct fr_arg *f;
        struct fr_str name;
        int rc;

        if (!flags || text[0] != '-' || text[1] == '\0') {
            rc = positional(a, command, text);
        } else if (strcmp(text, "--") == 0) {
            flags = false;
            continue;
        } else if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0) {
            fr_args_help(a);
            return FR_EXIT_OK;
        } else if (text[1] != '-') {
            return fr_args_usage(command, "unknown flag %.60s; flags begin with --", text);
        } else {
            eq = strchr(text, '=');
            name = (struct fr_str){text + 2, eq == NULL ? strlen(text + 2) : (size_t)(eq - text - 2)};
            f = find(a, name);
            if (f == NULL)
                return unknown(a, command, name);
            if (eq != NULL)
                rc = set_value(f, command, eq + 1);
            else if (f->type == FR_ARG_BOOL)
                rc = set_value(f, command, "true");
            else if (i + 1 < argc && strcmp(argv[i + 1], "--help") == 0) /* a value of that name: --flag=--help */
                continue;
            else if (i + 1 < argc)
                rc = set_value(f, command, argv[++i]);
            else
                return fr_args_usage(command, "--%s needs a value (%s)", f->name,
                                     f->meta == NULL ? "text" : f->meta);
        }
        if (rc != FR_ARGS_GO_ON)
            return rc;
    }
    return FR_ARGS_GO_ON;
}
