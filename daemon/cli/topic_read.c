/*
 * daemon/cli/topic_read.c - see topic_read.h.
 */
#include "daemon/cli/topic_read.h"

#include <stdio.h>

#include "daemon/cli/progress.h"
#include "daemon/stream/kafka_log_reader.h"

#define STALL_MS 30000 /* longer than a broker's restart */
#define FETCH_WAIT_MS 100

static void tell(void *ctx, uint64_t done, uint64_t total)
{
    struct fr_progress *p = ctx;

    p->total = total;
    fr_progress_update(p, done);
}

enum fr_err fr_topic_read(const struct fr_kafka_conn *conn,
                          const char *topic,
                          enum fr_topic_role role,
                          bool quiet,
                          fr_log_each_fn fn,
                          void *ctx,
                          int32_t *out_partitions,
                          struct fr_fault *fault)
{
    struct fr_kafka_log_reader_opts o = {.conn = *conn,
                                         .topic = topic,
                                         .role = role,
                                         .fetch_wait_max_ms = FETCH_WAIT_MS,
                                         .fetch_error_backoff_ms = FETCH_WAIT_MS};
    struct fr_progress progress;
    struct fr_log_each_opts each = {STALL_MS, fn, ctx, tell, &progress};
    struct fr_log_reader *lr = NULL;
    struct fr_fault why = {FR_OK, NULL, 0, ""};
    char what[FR_TOPIC_NAME + 16];
    uint64_t n = 0;
    enum fr_err e = fr_kafka_log_reader_new(&o, &lr, &why);

    if (e == FR_OK) {
        (void)snprintf(what, sizeof(what), "reading %s", topic);
        fr_progress_start(&progress, what, "records", 0, quiet);
        if (out_partitions != NULL)
            *out_partitions = fr_log_reader_partitions(lr);
        e = fr_log_each(lr, &each, &n, &why);
        fr_progress_finish(&progress, n);
    }
    fr_log_reader_free(lr);
    return e == FR_OK ? FR_OK : fr_fault(fault, e, "topic %s: %s", topic, why.msg);
}
