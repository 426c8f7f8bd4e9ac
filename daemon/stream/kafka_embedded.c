/*
 * daemon/stream/kafka_embedded.c - librdkafka's mock cluster as a broker inside the process.
 *
 * The handle exists only to own the cluster: rd_kafka_mock_cluster_new() needs one.
 */
#include "daemon/stream/kafka_embedded.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "daemon/base/alloc.h"
#include "daemon/stream/kafka_conf_priv.h"

#define MAX_FAILURES 64

struct fr_kafka_embedded {
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *cluster;
};

enum fr_err
fr_kafka_embedded_new(int n_brokers, struct fr_kafka_embedded **out_broker, struct fr_fault *fault)
{
    if (n_brokers < 1 || n_brokers > 9)
        return fr_fault(
            fault, FR_EINVAL, "embedded broker: %d brokers, 1..9 are possible", n_brokers);
    struct fr_kafka_embedded *kb = fr_calloc(1, sizeof *kb);
    if (kb == NULL)
        return fr_fault(fault, FR_ENOMEM, "embedded broker: out of memory");
    enum fr_err e = FR_ENOMEM;
    rd_kafka_conf_t *conf = fr_kafka_conf_bare();
    if (conf == NULL)
        goto fail;
    rd_kafka_conf_set(
        conf, "log_level", "3", NULL, 0); /* it has no broker to talk to and says so */
    e = fr_kafka_client_new(RD_KAFKA_PRODUCER, &conf, &kb->rk, fault);
    if (e != FR_OK)
        goto fail;
    kb->cluster = rd_kafka_mock_cluster_new(kb->rk, n_brokers);
    if (kb->cluster == NULL) {
        e = fr_fault(fault, FR_EKAFKA, "embedded broker: no loopback port could be opened");
        goto fail;
    }
    *out_broker = kb;
    return FR_OK;
fail:
    fr_kafka_embedded_free(kb);
    return e;
}

const char *fr_kafka_embedded_brokers(const struct fr_kafka_embedded *kb)
{
    return rd_kafka_mock_cluster_bootstraps(kb->cluster);
}

enum fr_err
fr_kafka_embedded_create_topic(struct fr_kafka_embedded *kb, const char *name, int32_t partitions)
{
    if (partitions < 1 || name == NULL || name[0] == '\0')
        return FR_EINVAL;
    switch ((int)rd_kafka_mock_topic_create(kb->cluster, name, (int)partitions, 1)) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return FR_OK;
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
        return FR_EDUPLICATE;
    default:
        return FR_EKAFKA;
    }
}

void fr_kafka_embedded_free(struct fr_kafka_embedded *kb)
{
    if (kb == NULL)
        return;
    if (kb->cluster != NULL)
        rd_kafka_mock_cluster_destroy(kb->cluster);
    if (kb->rk != NULL)
        rd_kafka_destroy(kb->rk);
    fr_free(kb);
}

void fr_kafka_embedded_fail(struct fr_kafka_embedded *kb, int16_t api_key, const int *errors, int n)
{
    rd_kafka_resp_err_t list[MAX_FAILURES];
    for (int at = 0; at < n; at += MAX_FAILURES) {
        int m = n - at < MAX_FAILURES ? n - at : MAX_FAILURES;
        for (int i = 0; i < m; i++)
            list[i] = (rd_kafka_resp_err_t)errors[at + i];
        rd_kafka_mock_push_request_errors_array(kb->cluster, api_key, (size_t)m, list);
    }
}

enum fr_err fr_kafka_embedded_broker_down(struct fr_kafka_embedded *kb, int32_t broker_id)
{
    return fr_kafka_err(rd_kafka_mock_broker_set_down(kb->cluster, broker_id));
}

enum fr_err fr_kafka_embedded_broker_up(struct fr_kafka_embedded *kb, int32_t broker_id)
{
    return fr_kafka_err(rd_kafka_mock_broker_set_up(kb->cluster, broker_id));
}

enum fr_err
fr_kafka_embedded_broker_rtt(struct fr_kafka_embedded *kb, int32_t broker_id, int rtt_ms)
{
    return fr_kafka_err(rd_kafka_mock_broker_set_rtt(kb->cluster, broker_id, rtt_ms));
}
