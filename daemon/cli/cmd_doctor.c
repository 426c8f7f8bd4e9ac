/*
 * daemon/cli/cmd_doctor.c - `freshet doctor`: can the daemon run here, and what to do if not.
 */
#include "daemon/cli/cmd_doctor.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon/base/cpu.h"
#include "daemon/cli/settings.h"
#include "daemon/pipeline/spec_config.h"
#include "daemon/stream/kafka_topics.h"
#include "features/spec.h"
#include "models/gemm.h"
#include "models/gemm_core.h"
#include "models/model.h"

#define MIN_FILES 1024

static bool report(const char *what, bool ok, const char *text, const char *remedy)
{
    printf("%-9s %-10s %s\n", ok ? "ok" : "PROBLEM", what, text);
    if (!ok)
        printf("%20s %s\n", "->", remedy);
    return ok;
}

static bool check_redis(const struct fr_settings *s)
{
    struct fr_store *st = fr_settings_store(s, "doctor");
    struct fr_store_info info;
    char text[200];
    enum fr_err e;

    if (st == NULL)
        return false;
    e = fr_store_info(st, &info);
    fr_store_free(st);
    if (e != FR_OK) {
        snprintf(text, sizeof(text), "%.120s: %s", s->cfg.redis_address, fr_err_text(e));
        return report("redis", false, text, "start Redis 7 or newer there, or set redis.address");
    }
    snprintf(text, sizeof(text), "version %s, maxmemory-policy %s, append-only file %s", info.version,
             info.policy, info.aof ? "on" : "off");
    if (strcmp(info.policy, "noeviction") != 0)
        return report("redis", false, text, "set maxmemory-policy noeviction: an evicted user is lost");
    return report("redis", true, text, "");
}

static bool check_kafka(const struct fr_settings *s)
{
    struct fr_topic_spec specs[FR_TOPIC_COUNT];
    struct fr_topic_report reports[FR_TOPIC_COUNT];
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    int n = fr_kafka_topics_default(&s->names, (int32_t)s->cfg.topics_partitions,
                                    (int)s->cfg.topics_replication, specs);
    enum fr_err e;
    char text[300];

    memset(reports, 0, sizeof(reports));
    e = fr_kafka_topics_ensure(&s->conn, specs, n, false, 10000, reports, &fault);
    snprintf(text, sizeof(text), "%.120s, librdkafka %s%s%.120s", s->cfg.kafka_brokers, fr_kafka_version(),
             e == FR_OK ? "" : ": ", e == FR_OK ? "" : fault.msg);
    return report("kafka", e == FR_OK, text,
                  e == FR_ENOTFOUND ? "freshet topics create" : "check kafka.brokers, the topics and their partition counts");
}

static bool check_models(const struct fr_settings *s, const struct fr_spec *spec)
{
    const char *const dirs[] = {s->cfg.models_retrieval, s->cfg.models_ranker};
    const char *const names[] = {"retrieval", "ranker"};
    bool ok = true;

    for (int i = 0; i < 2; i++) {
        struct fr_fault fault = {FR_OK, NULL, 0, ""};
        struct fr_model *m;
        char text[200];
        if (dirs[i][0] == '\0') {
            ok = report(names[i], true, "none configured", "") && ok;
        } else if (fr_model_load(dirs[i], &spec->fields, &m, &fault) != FR_OK) {
            ok = report(names[i], false, fault.msg, "train a bundle with this configuration") && ok;
        } else {
            snprintf(text, sizeof(text), "%.60s@%llu, self-test passed", fr_model_info(m)->name,
                     (unsigned long long)fr_model_info(m)->version);
            ok = report(names[i], true, text, "") && ok;
            fr_model_free(m);
        }
    }
    return ok;
}

static bool check_machine(void)
{
    struct rlimit lim = {0, 0};
    char text[200];
    bool ok;

    snprintf(text, sizeof(text), "%s (detected %s), matrix kernels %s", fr_cpu_level_name(fr_cpu_level()),
             fr_cpu_level_name(fr_cpu_detected()), fr_gemm_core());
    ok = report("processor", true, text, "");
    (void)getrlimit(RLIMIT_NOFILE, &lim);
    snprintf(text, sizeof(text), "%llu open files", (unsigned long long)lim.rlim_cur);
    return report("limits", lim.rlim_cur >= MIN_FILES, text, "ulimit -n 1024 or more") && ok;
}

static int examine(const struct fr_settings *s)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_spec *spec;
    bool ok = check_machine();

    if (fr_spec_from_config(&s->cfg, &spec, &fault) != FR_OK)
        return report("features", false, fault.msg, "see features/README.md") ? FR_EXIT_OK : FR_EXIT_FAILURE;
    ok = check_redis(s) && ok;
    ok = check_kafka(s) && ok;
    ok = check_models(s, spec) && ok;
    fr_spec_free(spec);
    return ok ? FR_EXIT_OK : FR_EXIT_FAILURE;
}

static int run(int argc, char **argv)
{
    struct fr_settings s = {0};
    const struct fr_arg flags[] = {FR_SETTINGS_ARGS(&s)};
    struct fr_args a = {"doctor [flags]", "Check processor, limits, Redis, Kafka, topics and models; each problem with its remedy.",
                        flags, 2, NULL, 0, 0};
    int rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    (void)signal(SIGPIPE, SIG_IGN);
    rc = fr_settings_load(&s, "doctor");
    if (rc == FR_ARGS_GO_ON)
        rc = examine(&s);
    fr_settings_done(&s);
    return rc;
}

const struct fr_command fr_cmd_doctor = {"doctor", "can the daemon run here, and what to do if not", run};
