/*
 * daemon/cli/cmd_topics.c - `freshet topics create|verify`.
 */
#include "daemon/cli/cmd_topics.h"

#include <stdio.h>
#include <string.h>

#include "daemon/cli/settings.h"
#include "daemon/stream/kafka_topics.h"

static const char *state_name(enum fr_topic_state st)
{
    switch (st) {
    case FR_TOPIC_CREATED:
        return "created";
    case FR_TOPIC_FITS:
        return "ok";
    case FR_TOPIC_DIFFERS:
        return "differs";
    case FR_TOPIC_MISSING:
        return "missing";
    case FR_TOPIC_FAILED:
        return "failed";
    }
    return "?";
}

static int ensure(const struct fr_settings *s, bool create)
{
    struct fr_topic_spec specs[FR_TOPIC_COUNT];
    struct fr_topic_report reports[FR_TOPIC_COUNT];
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    int n = fr_kafka_topics_default(&s->names, (int32_t)s->cfg.topics_partitions,
                                    (int)s->cfg.topics_replication, specs);
    enum fr_err e;

    if (strcmp(s->cfg.kafka_brokers, "embedded") == 0) {
        fprintf(stderr, "freshet topics: kafka.brokers is embedded: that broker lives inside freshetd and has its topics "
                        "(its address is in the daemon's log)\n");
        return FR_EXIT_FAILURE;
    }
    memset(reports, 0, sizeof(reports));
    e = fr_kafka_topics_ensure(&s->conn, specs, n, create, 30000, reports, &fault);
    if (e == FR_OK || e == FR_EMISMATCH || e == FR_ENOTFOUND || e == FR_EREFUSED)
        for (int i = 0; i < n; i++)
            printf("%-10s %4d partitions  %s%s%s\n", state_name(reports[i].state),
                   (int)reports[i].partitions, specs[i].name, reports[i].text[0] ? ": " : "",
                   reports[i].text);
    if (e == FR_OK)
        return FR_EXIT_OK;
    fprintf(stderr, "freshet topics: %s\n", fault.msg);
    return FR_EXIT_FAILURE;
}

static int run(int argc, char **argv)
{
    struct fr_settings s = {0};
    const char *what[1] = {NULL};
    const struct fr_arg flags[] = {FR_SETTINGS_ARGS(&s)};
    struct fr_args a = {"topics create|verify [flags]",
                        "Create the topics of the configuration, or check that they are as they should be:\n"
                        "events and requests with equal partition counts, items compacted.",
                        flags, 2, what, 1, 0};
    int rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    if (a.n_positional != 1 || (strcmp(what[0], "create") != 0 && strcmp(what[0], "verify") != 0))
        return fr_args_usage("topics", "say what: create or verify");
    rc = fr_settings_load(&s, "topics");
    if (rc == FR_ARGS_GO_ON)
        rc = ensure(&s, strcmp(what[0], "create") == 0);
    fr_settings_done(&s);
    return rc;
}

const struct fr_command fr_cmd_topics = {"topics", "create or verify the Kafka topics", run};
