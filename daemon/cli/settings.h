/*
 * daemon/cli/settings.h - the configuration as subcommands see it: --config, --set, environment, and
 * the connection options that follow from it.
 */
#ifndef FR_CLI_SETTINGS_H
#define FR_CLI_SETTINGS_H

#include "daemon/base/err.h"
#include "daemon/cli/args.h"
#include "daemon/config.h"
#include "daemon/stream/kafka_conf.h"
#include "daemon/stream/record.h"
#include "features/store.h"

/** Owner: the caller's storage, zeroed; fr_settings_done(). */
struct fr_settings {
    const char *file;        /* --config */
    struct fr_arg_list sets; /* --set */
    struct fr_config cfg;
    struct fr_topic_names names;
    struct fr_kafka_conn conn;
    struct fr_kafka_setting *props;
    char *props_text;
};

/* The two flags of every subcommand that reads the configuration. */
#define FR_SETTINGS_ARGS(s)                                                                        \
    {"config", FR_ARG_STR, &(s)->file, 0, 0, "FILE", "YAML configuration"},                        \
        {"set", FR_ARG_LIST, &(s)->sets, 0, 0, "K=V", "override one key, e.g. kafka.group=test"}

/** Load, check, derive names and connection. Says on standard error what is wrong.
 *  @return FR_ARGS_GO_ON or FR_EXIT_FAILURE */
int fr_settings_load(struct fr_settings *s, const char *command);
void fr_settings_done(struct fr_settings *s);

/** Redis as configured; NULL after a message on standard error. Release with fr_store_free(). */
struct fr_store *fr_settings_store(const struct fr_settings *s, const char *command);

#endif
