/*
 * daemon/cli/args.h - strict command line flags from a declarative table.
 *
 * Why:   every subcommand gets the same manners: `--name value` and `--name=value`, `--help` made from
 *        the table, an unknown flag answered with the nearest one, numbers checked against a range.
 * Exit:  codes of every Freshet program are the three of enum fr_exit.
 * Layer: daemon/cli.
 */
#ifndef FR_CLI_ARGS_H
#define FR_CLI_ARGS_H

#include <stdbool.h>
#include <stdint.h>

enum fr_exit {
    FR_EXIT_OK = 0,
    FR_EXIT_FAILURE = 1, /* it was asked rightly and did not work */
    FR_EXIT_USAGE = 2    /* it was asked wrongly; nothing was done */
};

/** One subcommand; argv[0] is its name. Static storage. */
struct fr_command {
    const char *name;
    const char *summary; /* one line for `freshet --help` */
    int (*run)(int argc, char **argv);
};

#define FR_ARG_LIST_MAX 64

/** Values of a flag that may be given several times. */
struct fr_arg_list {
    const char *v[FR_ARG_LIST_MAX];
    int n;
};

enum fr_arg_type {
    FR_ARG_BOOL,   /* bool *: the flag alone, or =true / =false */
    FR_ARG_STR,    /* const char ** */
    FR_ARG_INT,    /* int64_t *, within [min, max] */
    FR_ARG_F64,    /* double *, within [min, max] */
    FR_ARG_CHOICE, /* int *: index into meta "a|b|c" */
    FR_ARG_LIST    /* struct fr_arg_list * */
};

/** One flag. `value` keeps its default unless the flag is given. */
struct fr_arg {
    const char *name; /* without the dashes */
    enum fr_arg_type type;
    void *value;
    double min, max;  /* INT, F64; both 0 = no limits */
    const char *meta; /* what the help shows for the value: "DIR"; CHOICE: "a|b|c" */
    const char *help;
};

/** A subcommand's flags and positional arguments. Owner: the caller's storage; borrowed. */
struct fr_args {
    const char *usage;   /* after "freshet ": "import LAYOUT --data DIR [flags]" */
    const char *about;   /* a paragraph under the usage line; nullable */
    const struct fr_arg *flags;
    int n_flags;
    const char **positional; /* room for max_positional; nullable if 0 */
    int max_positional;
    int n_positional; /* set by fr_args_parse() */
};

#define FR_ARGS_GO_ON (-1)

/**
 * Parse argv[1..]. Strings stay borrowed from argv.
 * @return FR_ARGS_GO_ON; or FR_EXIT_OK after printing the help to standard output; or FR_EXIT_USAGE
 *         after saying on standard error what is wrong. Flags may have been changed then.
 * @thread any
 */
int fr_args_parse(struct fr_args *a, int argc, char **argv);

/** Is the flag --NAME or --NAME=... among argv[1..]? */
bool fr_args_has(int argc, char **argv, const char *name);

/** Print the help of `a`. */
void fr_args_help(const struct fr_args *a);

/** Complain on standard error about how the command was asked. @return FR_EXIT_USAGE */
int fr_args_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
