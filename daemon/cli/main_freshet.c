/*
 * daemon/cli/main_freshet.c - `freshet SUBCOMMAND ...`: the table of subcommands.
 *
 * Exit status of every subcommand: 0 done, 1 failed, 2 wrong usage.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/base/cpu.h"
#include "daemon/base/err.h"
#include "daemon/base/str.h"
#include "daemon/cli/args.h"
#include "daemon/cli/cmd_config.h"
#include "daemon/cli/cmd_demo.h"
#include "daemon/cli/cmd_doctor.h"
#include "daemon/cli/cmd_evaluate.h"
#include "daemon/cli/cmd_explain.h"
#include "daemon/cli/cmd_import.h"
#include "daemon/cli/cmd_replay.h"
#include "daemon/cli/cmd_simulate.h"
#include "daemon/cli/cmd_topics.h"
#include "daemon/cli/cmd_train.h"
#include "daemon/cli/cmd_user.h"
#include "models/gemm_core.h"

static const struct fr_command *const commands[] = {
    &fr_cmd_topics,
    &fr_cmd_user,
    &fr_cmd_config,
    &fr_cmd_doctor,
    &fr_cmd_evaluate,
    &fr_cmd_explain,
    &fr_cmd_train,
    &fr_cmd_replay,
    &fr_cmd_demo,
    &fr_cmd_import,
    &fr_cmd_simulate,
};

#define N_COMMANDS ((int)(sizeof(commands) / sizeof(commands[0])))

static void help(FILE *out)
{
    fprintf(out, "Usage: freshet SUBCOMMAND [flags]\n\nSubcommands:\n");
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(out, "\n'freshet SUBCOMMAND --help' explains one. 'freshet --version' prints the version.\n"
                 "Exit status: 0 done, 1 failed, 2 wrong usage, 128 + N ended by signal N.\n");
}

static int unknown(const char *name)
{
    const char *names[N_COMMANDS];
    int best;

    for (int i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i]->name;
    best = fr_str_nearest(fr_str_z(name), names, N_COMMANDS);
    if (best >= 0)
        fprintf(stderr, "freshet: unknown subcommand \"%.60s\"; did you mean %s?\n", name, names[best]);
    else
        fprintf(stderr, "freshet: unknown subcommand \"%.60s\"\nTry 'freshet --help'.\n", name);
    return FR_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    int rc;

    (void)fr_gemm_core_ensure(argv);
    if (argc < 2) {
        help(stderr);
        return FR_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        help(stdout);
        return FR_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("freshet %s\n", FR_VERSION);
        return FR_EXIT_OK;
    }
    if (fr_cpu_check(&fault) != FR_OK) {
        fprintf(stderr, "freshet: %s\n", fault.msg);
        return FR_EXIT_FAILURE;
    }
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(argv[1], commands[i]->name) != 0)
            continue;
        rc = commands[i]->run(argc - 1, argv + 1);
        if (fflush(stdout) != 0 && rc == FR_EXIT_OK) {
            perror("freshet: standard output");
            rc = FR_EXIT_FAILURE;
        }
        return rc;
    }
    return unknown(argv[1]);
}
