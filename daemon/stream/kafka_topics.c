/*
 * daemon/stream/kafka_topics.c - topics through the admin API.
 *
 * Creation is followed by a wait until the cluster's metadata shows the topics: a subscription to a
 * topic that is not known yet stays unassigned. Existing topics are never changed, only judged.
 */
#include "daemon/stream/kafka_topics.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/base/alloc.h"
#include "daemon/stream/kafka_conf_priv.h"

#define DELETE_RETENTION_MS "2592000000" /* 30 days: DESIGN 5, erasure */

int fr_kafka_topics_default(const struct fr_topic_names *names,
                            int32_t partitions,
                            int replication,
                            struct fr_topic_spec specs[FR_TOPIC_COUNT])
{
    for (int r = 0; r < FR_TOPIC_COUNT; r++)
        specs[r] = (struct fr_topic_spec){
            .name = names->name[r],
            .partitions = partitions,
            .replication = replication,
            .compact = r == FR_TOPIC_ITEMS,
        };
    return FR_TOPIC_COUNT;
}

static enum fr_err
new_topic(const struct fr_topic_spec *s, rd_kafka_NewTopic_t **out, struct fr_fault *fault)
{
    char text[160];
    rd_kafka_NewTopic_t *nt =
        rd_kafka_NewTopic_new(s->name, s->partitions, s->replication, text, sizeof text);
    if (nt == NULL)
        return fr_fault(fault, FR_EINVAL, "topic \"%s\": %s", s->name, text);
    rd_kafka_NewTopic_set_config(nt, "cleanup.policy", s->compact ? "compact" : "delete");
    if (s->compact)
        rd_kafka_NewTopic_set_config(nt, "delete.retention.ms", DELETE_RETENTION_MS);
    for (int i = 0; i < s->n_settings && i < FR_TOPIC_SETTINGS; i++)
        rd_kafka_NewTopic_set_config(nt, s->settings[i].name, s->settings[i].value);
    *out = nt;
    return FR_OK;
}

static void
creation_result(rd_kafka_event_t *ev, const struct fr_topic_spec *s, struct fr_topic_report *r)
{
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(ev);
    size_t n = 0;
    const rd_kafka_topic_result_t **list =
        result == NULL ? NULL : rd_kafka_CreateTopics_result_topics(result, &n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(rd_kafka_topic_result_name(list[i]), s->name) != 0)
            continue;
        rd_kafka_resp_err_t e = rd_kafka_topic_result_error(list[i]);
        if (e == RD_KAFKA_RESP_ERR_NO_ERROR) {
            r->state = FR_TOPIC_CREATED;
        } else if (e != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
            const char *why = rd_kafka_topic_result_error_string(list[i]);
            r->state = FR_TOPIC_FAILED;
            snprintf(r->text, sizeof r->text, "%s", why == NULL ? rd_kafka_err2str(e) : why);
        }
    }
}

/* Ask for all missing topics in one request. */
static enum fr_err create_missing(rd_kafka_t *rk,
                                  const struct fr_topic_spec *specs,
                                  int n,
                                  int timeout_ms,
                                  struct fr_topic_report *reports,
                                  struct fr_fault *fault)
{
    enum fr_err e = FR_OK;
    size_t m = 0;
    rd_kafka_queue_t *q = NULL;
    rd_kafka_AdminOptions_t *options = NULL;
    rd_kafka_event_t *ev = NULL;
    rd_kafka_NewTopic_t **list = fr_calloc((size_t)n, sizeof *list);
    if (list == NULL)
        return fr_fault(fault, FR_ENOMEM, "topics: out of memory");
    for (int i = 0; i < n && e == FR_OK; i++)
        if (reports[i].state == FR_TOPIC_MISSING) {
            e = new_topic(&specs[i], &list[m], fault);
            m += e == FR_OK;
        }
    if (e != FR_OK || m == 0)
        goto out;
    q = rd_kafka_queue_new(rk);
    options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    char text[160];
    if (rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof text) != 0 ||
        rd_kafka_AdminOptions_set_operation_timeout(options, timeout_ms, text, sizeof text) != 0) {
        e = fr_fault(fault, FR_EINVAL, "topics: %s", text);
        goto out;
    }
    rd_kafka_CreateTopics(rk, list, m, options, q);
    ev = rd_kafka_queue_poll(q, timeout_ms + 1000);
    if (ev == NULL || rd_kafka_event_error(ev) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        e = ev == NULL ? FR_ETIMEOUT : fr_kafka_err(rd_kafka_event_error(ev));
        e = fr_fault(fault,
                     e == FR_EAGAIN ? FR_ETIMEOUT : e,
                     "topics could not be created: %s",
                     ev == NULL ? "no answer" : rd_kafka_event_error_string(ev));
        goto out;
    }
    for (int i = 0; i < n; i++)
        if (reports[i].state == FR_TOPIC_MISSING)
            creation_result(ev, &specs[i], &reports[i]);
out:
    if (ev != NULL)
        rd_kafka_event_destroy(ev);
    if (options != NULL)
        rd_kafka_AdminOptions_destroy(options);
    if (q != NULL)
        rd_kafka_queue_destroy(q);
    rd_kafka_NewTopic_destroy_array(list, m);
    fr_free(list);
    return e;
}

/* cleanup.policy of a topic into `out`; "" when the broker does not tell (the embedded one). */
static void cleanup_policy(rd_kafka_t *rk, const char *topic, int timeout_ms, char *out, size_t cap)
{
    out[0] = '\0';
    rd_kafka_ConfigResource_t *res = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
    rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, NULL, 0);
    rd_kafka_DescribeConfigs(rk, &res, 1, options, q);
    rd_kafka_event_t *ev = rd_kafka_queue_poll(q, timeout_ms + 500);
    const rd_kafka_DescribeConfigs_result_t *result =
        ev == NULL || rd_kafka_event_error(ev) != RD_KAFKA_RESP_ERR_NO_ERROR
            ? NULL
            : rd_kafka_event_DescribeConfigs_result(ev);
    size_t n = 0;
    const rd_kafka_ConfigResource_t **list =
        result == NULL ? NULL : rd_kafka_DescribeConfigs_result_resources(result, &n);
    if (n == 1) {
        size_t entries = 0;
        const rd_kafka_ConfigEntry_t **entry = rd_kafka_ConfigResource_configs(list[0], &entries);
        for (size_t i = 0; i < entries; i++)
            if (strcmp(rd_kafka_ConfigEntry_name(entry[i]), "cleanup.policy") == 0) {
                const char *v = rd_kafka_ConfigEntry_value(entry[i]);
                snprintf(out, cap, "%s", v == NULL ? "" : v);
            }
    }
    if (ev != NULL)
        rd_kafka_event_destroy(ev);
    rd_kafka_queue_destroy(q);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy(res);
}

/* `ask` becomes false once the broker has not told a policy: it would not for the next one either. */
static void judge(rd_kafka_t *rk,
                  const struct fr_topic_spec *s,
                  int timeout_ms,
                  bool *ask,
                  struct fr_topic_report *r)
{
    char policy[64];
    if (r->partitions != s->partitions) {
        r->state = FR_TOPIC_DIFFERS;
        snprintf(r->text,
                 sizeof r->text,
                 "has %d partitions, wanted %d",
                 (int)r->partitions,
                 (int)s->partitions);
        return;
    }
    policy[0] = '\0';
    if (*ask)
        cleanup_policy(rk, s->name, timeout_ms, policy, sizeof policy);
    *ask = policy[0] != '\0';
    bool compacts = strstr(policy, "compact") != NULL;
    if (policy[0] != '\0' && compacts != s->compact) {
        r->state = FR_TOPIC_DIFFERS;
        snprintf(r->text,
                 sizeof r->text,
                 "cleanup.policy is %s, wanted %s",
                 policy,
                 s->compact ? "compact" : "delete");
        return;
    }
    r->state = FR_TOPIC_FITS;
}

/* Look each topic up; missing ones are FR_TOPIC_MISSING. The first lookup may wait for a broker. */
static enum fr_err look(rd_kafka_t *rk,
                        const struct fr_topic_spec *specs,
                        int n,
                        int timeout_ms,
                        struct fr_topic_report *reports,
                        struct fr_fault *fault)
{
    bool ask = true;
    for (int i = 0; i < n; i++) {
        struct fr_fault why = {0};
        memset(&reports[i], 0, sizeof reports[i]);
        enum fr_err e =
            fr_kafka_count_partitions(rk, specs[i].name, timeout_ms, &reports[i].partitions, &why);
        if (e == FR_ENOTFOUND)
            reports[i].state = FR_TOPIC_MISSING;
        else if (e == FR_OK)
            judge(rk, &specs[i], timeout_ms, &ask, &reports[i]);
        else
            return fr_fault(fault, e, "%s", why.msg);
    }
    return FR_OK;
}

/* After creation: until metadata shows every created topic whole. */
static enum fr_err wait_created(rd_kafka_t *rk,
                                const struct fr_topic_spec *specs,
                                int n,
                                int timeout_ms,
                                struct fr_topic_report *reports,
                                struct fr_fault *fault)
{
    int64_t deadline = fr_kafka_now_ms() + timeout_ms;
    for (int i = 0; i < n; i++) {
        while (reports[i].state == FR_TOPIC_CREATED &&
               reports[i].partitions != specs[i].partitions) {
            int32_t count = 0;
            enum fr_err e = fr_kafka_count_partitions(rk, specs[i].name, 1000, &count, NULL);
            reports[i].partitions = e == FR_OK ? count : 0;
            if (reports[i].partitions == specs[i].partitions)
                break;
            if (fr_kafka_now_ms() >= deadline)
                return fr_fault(fault,
                                FR_ETIMEOUT,
                                "topic \"%s\" was created but does not appear",
                                specs[i].name);
            struct timespec pause = {0, 20 * 1000000};
            nanosleep(&pause, NULL);
        }
    }
    return FR_OK;
}

static enum fr_err verdict(const struct fr_topic_spec *specs,
                           int n,
                           const struct fr_topic_report *reports,
                           struct fr_fault *fault)
{
    static const struct {
        enum fr_topic_state state;
        enum fr_err err;
    } WORST_FIRST[] = {{FR_TOPIC_FAILED, FR_EREFUSED},
                       {FR_TOPIC_DIFFERS, FR_EMISMATCH},
                       {FR_TOPIC_MISSING, FR_ENOTFOUND}};
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < n; i++)
            if (reports[i].state == WORST_FIRST[k].state)
                return fr_fault(fault,
                                WORST_FIRST[k].err,
                                "topic \"%s\": %s",
                                specs[i].name,
                                reports[i].state == FR_TOPIC_MISSING ? "does not exist"
                                                                     : reports[i].text);
    return FR_OK;
}

static enum fr_err
admin_client(const struct fr_kafka_conn *conn, rd_kafka_t **out_rk, struct fr_fault *fault)
{
    /* A consumer: unlike a producer's, its metadata requests don't make the broker create topics.
     */
    rd_kafka_conf_t *conf = NULL;
    enum fr_err e = fr_kafka_conf_new(conn, NULL, &conf, fault);
    return e != FR_OK ? e : fr_kafka_client_new(RD_KAFKA_CONSUMER, &conf, out_rk, fault);
}

enum fr_err fr_kafka_topics_ensure(const struct fr_kafka_conn *conn,
                                   const struct fr_topic_spec *specs,
                                   int n,
                                   bool create,
                                   int timeout_ms,
                                   struct fr_topic_report *reports,
                                   struct fr_fault *fault)
{
    for (int i = 0; i < n; i++)
        if (specs[i].name == NULL || specs[i].partitions < 1 || specs[i].replication == 0)
            return fr_fault(
                fault, FR_EINVAL, "topics: entry %d needs a name, partitions and replication", i);
    rd_kafka_t *rk = NULL;
    enum fr_err e = admin_client(conn, &rk, fault);
    if (e != FR_OK)
        return e;
    e = look(rk, specs, n, timeout_ms, reports, fault);
    if (e == FR_OK && create)
        e = create_missing(rk, specs, n, timeout_ms, reports, fault);
    if (e == FR_OK && create)
        e = wait_created(rk, specs, n, timeout_ms, reports, fault);
    rd_kafka_destroy(rk);
    return e != FR_OK ? e : verdict(specs, n, reports, fault);
}

enum fr_err fr_kafka_topics_count(const struct fr_kafka_conn *conn,
                                  const char *topic,
                                  int timeout_ms,
                                  int32_t *out_n,
                                  struct fr_fault *fault)
{
    rd_kafka_t *rk = NULL;
    enum fr_err e = admin_client(conn, &rk, fault);
    if (e != FR_OK)
        return e;
    e = fr_kafka_count_partitions(rk, topic, timeout_ms, out_n, fault);
    rd_kafka_destroy(rk);
    return e;
}
