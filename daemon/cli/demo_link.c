/*
 * daemon/cli/demo_link.c - see demo_link.h.
 */
#include "daemon/cli/demo_link.h"

#include <string.h>

#include "daemon/base/arena.h"
#include "daemon/base/json.h"
#include "daemon/cli/lines.h"
#include "daemon/cli/stop_signal.h"
#include "daemon/stream/kafka_embedded.h"
#include "daemon/stream/kafka_log_reader.h"
#include "daemon/stream/kafka_sink.h"

#define MAX_LINE ((size_t)1 << 20)
#define ROOM_TRIES 3000 /* of 10 ms */
#define FLUSH_MS 30000

static void on_ack(void *ctx, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset)
{
    struct fr_demo_link *l = ctx;

    (void)cookie;
    (void)partition;
    (void)offset;
    if (err != FR_OK)
        l->failed++;
}

enum fr_err fr_demo_link_open(struct fr_demo_link *l, const char *brokers, struct fr_fault *fault)
{
    struct fr_kafka_conn conn = {.brokers = brokers, .client_id = "freshet-demo"};
    struct fr_kafka_sink_opts so = {.conn = conn, .names = &l->names, .ack = on_ack, .ack_ctx = l};
    struct fr_kafka_log_reader_opts ro = {.conn = conn,
                                          .role = FR_TOPIC_RECOMMENDATIONS,
                                          .fetch_wait_max_ms = FR_KAFKA_EMBEDDED_FETCH_WAIT_MS,
                                          .fetch_error_backoff_ms = FR_KAFKA_EMBEDDED_FETCH_BACKOFF_MS};
    enum fr_err e;

    memset(l, 0, sizeof(*l));
    e = fr_topic_names_init(&l->names, NULL);
    if (e != FR_OK)
        return e;
    ro.topic = l->names.name[FR_TOPIC_RECOMMENDATIONS];
    e = fr_kafka_sink_new(&so, &l->sink, fault);
    if (e == FR_OK)
        e = fr_kafka_log_reader_new(&ro, &l->lists, fault);
    if (e != FR_OK)
        fr_demo_link_close(l);
    return e;
}

enum fr_err fr_demo_link_send(struct fr_demo_link *l, enum fr_topic_role role, struct fr_str key, struct fr_str value)
{
    struct fr_outgoing m = {.role = role, .partition = FR_PARTITION_BY_KEY, .key = key, .value = value};

    (void)fr_sink_poll(l->sink, 0);
    for (int i = 0; i < ROOM_TRIES; i++) {
        enum fr_err e = fr_sink_produce(l->sink, &m);
        if (e == FR_OK)
            l->sent++;
        if (e != FR_EFULL && e != FR_EAGAIN)
            return e;
        if (fr_stop_signal_asked())
            return FR_ECLOSED;
        (void)fr_sink_poll(l->sink, 10);
    }
    return FR_ETIMEOUT;
}

static struct fr_str text_of(const struct fr_json *obj, const char *key)
{
    const struct fr_json *v = fr_json_get(obj, key);

    if (v == NULL || (v->type != FR_JSON_STRING && v->type != FR_JSON_NUMBER))
        return (struct fr_str){NULL, 0};
    return v->str;
}

static enum fr_err send_line(struct fr_demo_link *l,
                             enum fr_topic_role role,
                             struct fr_str line,
                             struct fr_arena *ar,
                             struct fr_titles *titles)
{
    const struct fr_json *obj;
    struct fr_json_error je;
    struct fr_str key;
    enum fr_err e;

    fr_arena_reset(ar);
    e = fr_json_parse(ar, line, &obj, &je);
    if (e != FR_OK)
        return FR_ESCHEMA;
    key = text_of(obj, role == FR_TOPIC_ITEMS ? "item_id" : "user_id");
    if (key.n == 0)
        return FR_ESCHEMA;
    if (titles != NULL) {
        e = fr_titles_put(titles, key, text_of(obj, "title"));
        if (e != FR_OK)
            return e;
    }
    return fr_demo_link_send(l, role, key, line);
}

enum fr_err fr_demo_link_send_file(struct fr_demo_link *l,
                                   enum fr_topic_role role,
                                   const char *path,
                                   uint64_t from,
                                   uint64_t to,
                                   struct fr_titles *titles,
                                   struct fr_fault *fault)
{
    struct fr_lines *in;
    struct fr_arena *ar;
    struct fr_str line;
    enum fr_err e = fr_arena_new((size_t)1 << 16, 0, &ar);

    if (e != FR_OK)
        return fr_fault(fault, e, "out of memory");
    e = fr_lines_open(path, MAX_LINE, &in, fault);
    if (e != FR_OK) {
        fr_arena_free(ar);
        return e;
    }
    while (e == FR_OK) {
        e = fr_lines_next(in, &line);
        if (e == FR_OK && fr_lines_number(in) > to)
            e = FR_ENOTFOUND;
        if (e == FR_OK && fr_lines_number(in) > from && line.n > 0)
            e = send_line(l, role, line, ar, titles);
        if (e == FR_OK && fr_stop_signal_asked())
            e = FR_ECLOSED;
    }
    if (e == FR_ENOTFOUND)
        e = FR_OK;
    else
        (void)fr_fault(fault, e, "%s:%llu: %s", path, (unsigned long long)fr_lines_number(in), fr_err_text(e));
    fr_lines_free(in);
    fr_arena_free(ar);
    return e;
}

enum fr_err fr_demo_link_flush(struct fr_demo_link *l, struct fr_fault *fault)
{
    enum fr_err e = fr_sink_flush(l->sink, FLUSH_MS);

    if (e != FR_OK)
        return fr_fault(fault, e, "the embedded broker does not acknowledge: %s", fr_err_text(e));
    if (l->failed > 0)
        return fr_fault(fault, FR_EKAFKA, "%llu records were not delivered", (unsigned long long)l->failed);
    return FR_OK;
}

void fr_demo_link_close(struct fr_demo_link *l)
{
    fr_sink_free(l->sink);
    fr_log_reader_free(l->lists);
    l->sink = NULL;
    l->lists = NULL;
}
