/*
 * daemon/cli/cmd_config.c - `freshet config check|dump|schema|manual`.
 */
#include "daemon/cli/cmd_config.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/buf.h"
#include "daemon/cli/settings.h"
#include "daemon/pipeline/spec_config.h"
#include "features/spec.h"

static int print(struct fr_buf *b)
{
    int rc = fr_buf_err(b) == FR_OK && fwrite(b->p, 1, b->n, stdout) == b->n ? FR_EXIT_OK : FR_EXIT_FAILURE;

    fr_buf_done(b);
    return rc;
}

static int check(const struct fr_settings *s)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_store *store = fr_settings_store(s, "config"); /* does not connect: the form of its address only */
    struct fr_spec *spec;

    if (store == NULL)
        return FR_EXIT_FAILURE;
    fr_store_free(store);
    if (fr_spec_from_config(&s->cfg, &spec, &fault) != FR_OK) {
        fprintf(stderr, "freshet config: %s\n", fault.msg);
        return FR_EXIT_FAILURE;
    }
    printf("ok: %d event types, %d features, schema hash %016llx\n", spec->n_types, spec->n_feat,
           (unsigned long long)spec->fields.hash);
    fr_spec_free(spec);
    return FR_EXIT_OK;
}

static int run(int argc, char **argv)
{
    struct fr_settings s = {0};
    const char *what[1] = {NULL};
    const struct fr_arg flags[] = {FR_SETTINGS_ARGS(&s)};
    struct fr_args a = {"config check|dump|schema|manual [flags]",
                        "check: is the configuration valid, feature declarations and addresses included\n"
                        "       (`freshet doctor` also tries Redis, Kafka and the model bundles)\n"
                        "dump: the effective configuration as YAML\n"
                        "schema: JSON schema of the file\nmanual: reference of all keys as Markdown",
                        flags, 2, what, 1, 0};
    struct fr_buf b;
    int rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    if (a.n_positional != 1)
        return fr_args_usage("config", "say what: check, dump, schema or manual");
    fr_buf_init(&b);
    if (strcmp(what[0], "schema") == 0) {
        fr_config_schema(&b);
        return print(&b);
    }
    if (strcmp(what[0], "manual") == 0) {
        fr_config_manual(&b);
        return print(&b);
    }
    if (strcmp(what[0], "check") != 0 && strcmp(what[0], "dump") != 0)
        return fr_args_usage("config", "unknown action \"%.40s\"", what[0]);
    rc = fr_settings_load(&s, "config");
    if (rc == FR_ARGS_GO_ON && strcmp(what[0], "check") == 0) {
        rc = check(&s);
    } else if (rc == FR_ARGS_GO_ON) {
        fr_config_dump(&s.cfg, &b);
        rc = print(&b);
    }
    fr_settings_done(&s);
    return rc;
}

const struct fr_command fr_cmd_config = {"config", "check or show the configuration", run};
