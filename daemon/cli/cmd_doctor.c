/*
 * daemon/cli/cmd_doctor.c - `freshet doctor`: can the daemon run here, and what to do if not.
 *
 * Every check ends in one line, with a remedy where it is a problem; a check whose service does not
 * answer leaves out what depends on it. Nothing is changed anywhere.
 */
#include "daemon/cli/cmd_doctor.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon/base/clock.h"
#include "daemon/base/cpu.h"
#include "daemon/base/json.h"
#include "daemon/cli/settings.h"
#include "daemon/pipeline/spec_config.h"
#include "daemon/stream/kafka_topics.h"
#include "features/spec.h"
#include "models/gemm.h"
#include "models/gemm_core.h"
#include "models/model.h"

#define MIN_FILES 1024
#define KAFKA_TIMEOUT_MS 5000
#define KAFKA_AGAIN_MS 1000 /* once it has answered */
#define MAX_SKEW_US 1000000
#define EARLIEST_MS INT64_C(1704067200000) /* 2024: an older clock was never set */

/* Where checks report. Human lines go out as they come; JSON at the end. */
struct report {
    bool json, ok;
    struct fr_jsonw w;
};

static void tell(struct report *r, const char *what, bool ok, const char *text, const char *remedy)
{
    r->ok = r->ok && ok;
    if (!r->json) {
        printf("%-9s %-10s %s\n", ok ? "ok" : "PROBLEM", what, text);
        if (!ok)
            printf("%20s %s\n", "->", remedy);
        return;
    }
    fr_jsonw_object(&r->w);
    fr_jsonw_key(&r->w, "check");
    fr_jsonw_z(&r->w, what);
    fr_jsonw_key(&r->w, "ok");
    fr_jsonw_bool(&r->w, ok);
    fr_jsonw_key(&r->w, "text");
    fr_jsonw_z(&r->w, text);
    if (!ok) {
        fr_jsonw_key(&r->w, "remedy");
        fr_jsonw_z(&r->w, remedy);
    }
    fr_jsonw_end(&r->w, '}');
}

/* ---- the machine ---- */

static void check_machine(struct report *r)
{
    const char *better = fr_gemm_core_better(fr_gemm_core(), fr_cpu_openblas_core());
    struct rlimit lim = {0, 0};
    char text[200], remedy[200];

    (void)snprintf(text, sizeof(text), "%s (detected %s)", fr_cpu_level_name(fr_cpu_level()),
                   fr_cpu_level_name(fr_cpu_detected()));
    tell(r, "processor", true, text, "");
    (void)snprintf(text, sizeof(text), "OpenBLAS uses %s%s%s", fr_gemm_core(),
                   better == NULL ? "" : "; this processor deserves ", better == NULL ? "" : better);
    (void)snprintf(remedy, sizeof(remedy), "unset OPENBLAS_CORETYPE and FRESHET_OPENBLAS, or set OPENBLAS_CORETYPE=%s",
                   better == NULL ? "" : better);
    tell(r, "blas", better == NULL, text, remedy);
    (void)getrlimit(RLIMIT_NOFILE, &lim);
    (void)snprintf(text, sizeof(text), "%llu open files", (unsigned long long)lim.rlim_cur);
    tell(r, "limits", lim.rlim_cur >= MIN_FILES, text, "ulimit -n 1024 or more");
}

/* ---- Redis ---- */

/* The server's clock beside ours; half the round trip is the error. */
static void check_clock(struct report *r, int64_t before_us, int64_t after_us, int64_t server_us)
{
    int64_t skew = server_us - (before_us + (after_us - before_us) / 2);
    char text[200];
    bool sane = after_us / 1000 >= EARLIEST_MS;

    if (!sane || server_us == 0) {
        tell(r, "clock", sane, sane ? "set (Redis does not tell its own)" : "this machine's clock was never set",
             "set the clock (systemd-timesyncd, chrony)");
        return;
    }
    (void)snprintf(text, sizeof(text), "Redis' clock is %.3f s %s this machine's", (double)(skew < 0 ? -skew : skew) / 1e6,
                   skew < 0 ? "behind" : "ahead of");
    tell(r, "clock", skew <= MAX_SKEW_US && skew >= -MAX_SKEW_US, text,
         "synchronise both machines (systemd-timesyncd, chrony): freshness, and events too far ahead, are judged by it");
}

static void check_policy(struct report *r, const struct fr_store_info *info)
{
    char text[200];
    int major = 0;

    for (const char *p = info->version; *p >= '0' && *p <= '9'; p++)
        major = major * 10 + (*p - '0');
    (void)snprintf(text, sizeof(text), "version %s%s", info->version, info->cluster ? ", cluster" : "");
    tell(r, "redis", major >= 7, text, "Redis 7 or newer is needed (functions)");
    (void)snprintf(text, sizeof(text), "maxmemory-policy %s, append-only file %s", info->policy,
                   info->aof ? "on" : "off: a restart of Redis loses all state");
    tell(r, "eviction", strcmp(info->policy, "noeviction") == 0, text,
         "CONFIG SET maxmemory-policy noeviction (and in redis.conf): an evicted user is lost");
}

static void check_redis(struct report *r, const struct fr_settings *s)
{
    struct fr_store *st = fr_settings_store(s, "doctor");
    struct fr_store_info info;
    struct fr_clock clock;
    int64_t before, after;
    char text[300];
    enum fr_err e;

    if (st == NULL) {
        tell(r, "redis", false, "its settings are refused", "see the message on standard error");
        return;
    }
    fr_clock_init_real(&clock);
    e = fr_store_info(st, &info); /* connects */
    before = fr_clock_wall_us(&clock);
    if (e == FR_OK)
        e = fr_store_info(st, &info);
    after = fr_clock_wall_us(&clock);
    if (e != FR_OK) {
        (void)snprintf(text, sizeof(text), "%.160s: %s", s->cfg.redis_address, e == FR_EIO ? "cannot be reached" : fr_err_text(e));
        tell(r, "redis", false, text,
             e == FR_EREFUSED ? "check redis.user and redis.password_file, and that the user may run INFO and functions"
                              : "start Redis 7 or newer there, or set redis.address (host:port or unix:/path)");
        check_clock(r, before, before, 0);
    } else {
        check_policy(r, &info);
        check_clock(r, before, after, info.time_us);
    }
    fr_store_free(st);
}

/* ---- Kafka ---- */

static void check_inputs(struct report *r, const struct fr_settings *s, const struct fr_topic_report *reports)
{
    int events = (int)reports[FR_TOPIC_EVENTS].partitions, requests = (int)reports[FR_TOPIC_REQUESTS].partitions;
    char text[300], remedy[400];

    if (events == 0 || requests == 0)
        return;
    (void)snprintf(text, sizeof(text), "%.80s has %d, %.80s has %d", s->names.name[FR_TOPIC_EVENTS], events,
                   s->names.name[FR_TOPIC_REQUESTS], requests);
    (void)snprintf(remedy, sizeof(remedy),
                   "they must be equal: kafka-topics.sh --alter --topic %.80s --partitions %d (before the group has state)",
                   s->names.name[events < requests ? FR_TOPIC_EVENTS : FR_TOPIC_REQUESTS],
                   events < requests ? requests : events);
    tell(r, "partitions", events == requests, text, remedy);
}

static void check_topics(struct report *r, const struct fr_topic_spec *specs, const struct fr_topic_report *reports, int n)
{
    char text[500];

    for (int i = 0; i < n; i++) {
        bool missing = reports[i].state == FR_TOPIC_MISSING, fits = reports[i].state == FR_TOPIC_FITS;
        (void)snprintf(text, sizeof(text), "%.200s: %s", specs[i].name,
                       missing ? "does not exist" : fits ? "as it should be" : reports[i].text);
        tell(r, "topic", fits, text,
             missing ? "freshet topics create" : "kafka-configs.sh --alter --add-config cleanup.policy=..., or recreate it");
    }
}

static void check_kafka(struct report *r, const struct fr_settings *s)
{
    struct fr_topic_spec specs[FR_TOPIC_COUNT];
    struct fr_topic_report reports[FR_TOPIC_COUNT];
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    int n = fr_kafka_topics_default(&s->names, (int32_t)s->cfg.topics_partitions,
                                    (int)s->cfg.topics_replication, specs);
    char text[400];
    enum fr_err e = FR_OK;

    if (strcmp(s->cfg.kafka_brokers, "embedded") == 0) {
        tell(r, "kafka", true, "the embedded broker: lives inside freshetd, with its topics", "");
        return;
    }
    /* any count is good as long as the inputs agree: topics.partitions only says how to create them */
    for (int i = 0; i < n && e == FR_OK; i++) {
        int32_t found;
        e = fr_kafka_topics_count(&s->conn, specs[i].name, KAFKA_TIMEOUT_MS, &found, &fault);
        if (e == FR_OK)
            specs[i].partitions = found;
        else if (e == FR_ENOTFOUND)
            e = FR_OK;
    }
    if (e != FR_OK) {
        (void)snprintf(text, sizeof(text), "%.120s, librdkafka %s: %.180s", s->cfg.kafka_brokers, fr_kafka_version(), fault.msg);
        tell(r, "kafka", false, text,
             "start a broker there, or set kafka.brokers (host:port); with TLS or SASL see kafka.properties");
        return;
    }
    (void)snprintf(text, sizeof(text), "%.120s, librdkafka %s", s->cfg.kafka_brokers, fr_kafka_version());
    tell(r, "kafka", true, text, "");
    memset(reports, 0, sizeof(reports));
    e = fr_kafka_topics_ensure(&s->conn, specs, n, false, KAFKA_AGAIN_MS, reports, &fault);
    if (e == FR_OK || e == FR_EMISMATCH || e == FR_ENOTFOUND)
        check_topics(r, specs, reports, n);
    check_inputs(r, s, reports);
}

/* ---- models ---- */

static void check_models(struct report *r, const struct fr_settings *s, const struct fr_spec *spec)
{
    const char *const dirs[] = {s->cfg.models_retrieval, s->cfg.models_ranker};
    const char *const names[] = {"retrieval", "ranker"};

    for (int i = 0; i < 2; i++) {
        struct fr_fault fault = {FR_OK, NULL, 0, ""};
        struct fr_model *m;
        char text[200];
        if (dirs[i][0] == '\0') {
            tell(r, names[i], true, "none configured", "");
        } else if (fr_model_load(dirs[i], &spec->fields, &m, &fault) != FR_OK) {
            tell(r, names[i], false, fault.msg, "train a bundle with this configuration (freshet train)");
        } else {
            (void)snprintf(text, sizeof(text), "%.60s@%llu, self-test passed", fr_model_info(m)->name,
                           (unsigned long long)fr_model_info(m)->version);
            tell(r, names[i], true, text, "");
            fr_model_free(m);
        }
    }
}

static void examine(struct report *r, const struct fr_settings *s)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_spec *spec = NULL;
    enum fr_err e;

    check_machine(r);
    e = fr_spec_from_config(&s->cfg, &spec, &fault);
    if (e != FR_OK)
        tell(r, "features", false, fault.msg, "see features/README.md");
    check_redis(r, s);
    check_kafka(r, s);
    if (e == FR_OK)
        check_models(r, s, spec);
    fr_spec_free(spec);
}

static int run(int argc, char **argv)
{
    struct report r = {.ok = true};
    struct fr_settings s = {0};
    const struct fr_arg flags[] = {
        FR_SETTINGS_ARGS(&s), {"json", FR_ARG_BOOL, &r.json, 0, 0, NULL, "one JSON object on one line instead of text"}};
    struct fr_args a = {"doctor [flags]",
                        "Check processor, limits, Redis, clocks, Kafka, topics and models; each problem with its remedy.",
                        flags, 3, NULL, 0, 0};
    struct fr_buf out;
    int rc = fr_args_parse(&a, argc, argv);

    if (rc != FR_ARGS_GO_ON)
        return rc;
    (void)signal(SIGPIPE, SIG_IGN);
    fr_buf_init(&out);
    fr_jsonw_init(&r.w, &out);
    rc = fr_settings_load(&s, "doctor");
    if (rc == FR_ARGS_GO_ON) {
        fr_jsonw_object(&r.w);
        fr_jsonw_key(&r.w, "checks");
        fr_jsonw_array(&r.w);
        examine(&r, &s);
        fr_jsonw_end(&r.w, ']');
        fr_jsonw_key(&r.w, "ok");
        fr_jsonw_bool(&r.w, r.ok);
        fr_jsonw_end(&r.w, '}');
        if (r.json && fr_buf_err(&out) == FR_OK)
            printf("%.*s\n", (int)out.n, out.p);
        rc = r.ok ? FR_EXIT_OK : FR_EXIT_FAILURE;
    }
    fr_buf_done(&out);
    fr_settings_done(&s);
    return rc;
}

const struct fr_command fr_cmd_doctor = {"doctor", "can the daemon run here, and what to do if not", run};
