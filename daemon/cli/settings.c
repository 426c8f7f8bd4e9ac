/*
 * daemon/cli/settings.c - see settings.h.
 */
#include "daemon/cli/settings.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/connect.h"

int fr_settings_load(struct fr_settings *s, const char *command)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    enum fr_err e = fr_config_init(&s->cfg, &fault);

    if (e == FR_OK && s->file != NULL)
        e = fr_config_load_file(&s->cfg, s->file, &fault);
    if (e == FR_OK)
        e = fr_config_load_env(&s->cfg, &fault);
    for (int i = 0; i < s->sets.n && e == FR_OK; i++)
        e = fr_config_set(&s->cfg, s->sets.v[i], &fault);
    if (e == FR_OK)
        e = fr_config_check(&s->cfg, &fault);
    if (e == FR_OK)
        e = fr_connect_names(&s->cfg, &s->names, &fault);
    if (e == FR_OK)
        e = fr_connect_kafka(&s->cfg, "freshet", &s->conn, &s->props, &s->props_text, &fault);
    if (e == FR_OK)
        return FR_ARGS_GO_ON;
    fprintf(stderr, "freshet %s: %s\n", command, fault.msg);
    return FR_EXIT_FAILURE;
}

void fr_settings_done(struct fr_settings *s)
{
    fr_config_done(&s->cfg);
    fr_free(s->props);
    fr_free(s->props_text);
    s->props = NULL;
    s->props_text = NULL;
}

struct fr_store *fr_settings_store(const struct fr_settings *s, const char *command)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_store *st;

    if (fr_connect_store(&s->cfg, &st, &fault) == FR_OK)
        return st;
    fprintf(stderr, "freshet %s: %s\n", command, fault.msg);
    return NULL;
}
