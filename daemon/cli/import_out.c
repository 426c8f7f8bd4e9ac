/*
 * daemon/cli/import_out.c - see import_out.h.
 */
#include "daemon/cli/import_out.h"

#include <math.h>
#include <stdio.h>

#include "daemon/base/clock.h"
#include "daemon/base/file.h"
#include "daemon/cli/progress.h"
#include "daemon/cli/stop_signal.h"
#include "daemon/stream/kafka_sink.h"
#include "daemon/stream/kafka_topics.h"

#define TICK 1024
#define ROOM_TRIES 6000 /* of 10 ms */
#define FLUSH_MS 60000
#define TOPIC_MS 10000

int64_t fr_import_time_of(const struct fr_import_rows *rows, const struct fr_import_plan *p, uint64_t i)
{
    int64_t first = rows->n_events == 0 ? 0 : rows->event[0].ts;

    return first + (int64_t)llround((double)(rows->event[i].ts - first) / p->speed) + p->shift_ms;
}

/* ---- files ---- */

static enum fr_err write_file(const char *dir, const char *name, struct fr_buf *b, struct fr_fault *fault)
{
    char path[1024];
    int n = snprintf(path, sizeof(path), "%s/%s", dir, name);

    if (n < 0 || (size_t)n >= sizeof(path))
        return fr_fault(fault, FR_ETOOLARGE, "%.200s: the path is too long", dir);
    if (fr_buf_err(b) != FR_OK)
        return fr_fault(fault, FR_ENOMEM, "%s: out of memory", path);
    return fr_file_replace(path, fr_buf_str(b), fault);
}

enum fr_err fr_import_to_files(const struct fr_import_rows *rows,
                               const struct fr_import_plan *p,
                               const char *dir,
                               struct fr_fault *fault)
{
    struct fr_progress bar;
    struct fr_buf b;
    enum fr_err e = fr_file_mkdirs(dir, fault);

    if (e != FR_OK)
        return e;
    fr_buf_init(&b);
    fr_progress_start(&bar, "import", "events", p->n_events, p->quiet);
    for (uint64_t i = 0; i < p->n_events; i++) {
        fr_import_event_json(rows, &rows->event[i], fr_import_time_of(rows, p, i), &b);
        fr_buf_putc(&b, '\n');
        if (i % TICK != 0)
            continue;
        fr_progress_update(&bar, i);
        if (fr_stop_signal_asked())
            break;
    }
    e = fr_stop_signal_asked() ? fr_fault(fault, FR_ECLOSED, "stopped; no file was changed")
                               : write_file(dir, "events.jsonl", &b, fault);
    fr_buf_clear(&b);
    for (uint64_t i = 0; i < rows->n_items; i++) {
        fr_import_item_json(rows, &rows->item[i], &b);
        fr_buf_putc(&b, '\n');
    }
    if (e == FR_OK)
        e = write_file(dir, "items.jsonl", &b, fault);
    fr_buf_done(&b);
    fr_progress_finish(&bar, p->n_events);
    return e;
}

/* ---- topics ---- */

struct sender {
    struct fr_sink *sink;
    uint64_t acked, failed;
    enum fr_err why; /* of the first failure */
};

static void on_ack(void *ctx, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset)
{
    struct sender *s = ctx;

    (void)cookie;
    (void)partition;
    (void)offset;
    if (err == FR_OK) {
        s->acked++;
    } else {
        if (s->failed++ == 0)
            s->why = err;
    }
}

static enum fr_err send(struct sender *s, enum fr_topic_role role, struct fr_str key, struct fr_str value)
{
    struct fr_outgoing m = {.role = role, .partition = FR_PARTITION_BY_KEY, .key = key, .value = value};

    (void)fr_sink_poll(s->sink, 0);
    for (int i = 0; i < ROOM_TRIES && s->failed == 0; i++) {
        enum fr_err e = fr_sink_produce(s->sink, &m);
        if (e != FR_EFULL && e != FR_EAGAIN)
            return e;
        if (fr_stop_signal_asked())
            return FR_ECLOSED;
        (void)fr_sink_poll(s->sink, 10);
    }
    return s->failed > 0 ? s->why : FR_ETIMEOUT;
}

/* Wait for the moment of an event; acknowledgements are taken meanwhile. */
static enum fr_err wait_until(struct sender *s, const struct fr_clock *clock, int64_t us)
{
    int64_t left;

    while ((left = us - fr_clock_mono_us(clock)) > 0) {
        if (fr_stop_signal_asked())
            return FR_ECLOSED;
        (void)fr_sink_poll(s->sink, left > 100000 ? 100 : (int)((left + 999) / 1000));
    }
    return FR_OK;
}

static enum fr_err send_events(struct sender *s, const struct fr_import_rows *rows, const struct fr_import_plan *given)
{
    struct fr_import_plan plan = *given, *p = &plan;
    struct fr_progress bar;
    struct fr_clock clock;
    struct fr_buf b;
    enum fr_err e = FR_OK;
    int64_t start;
    uint64_t i = 0;

    fr_clock_init_real(&clock);
    start = fr_clock_mono_us(&clock);
    if (plan.from_now && plan.n_events > 0)
        plan.shift_ms += fr_clock_wall_ms(&clock) - fr_import_time_of(rows, p, 0);
    fr_buf_init(&b);
    fr_progress_start(&bar, "events", "events", p->n_events, p->quiet);
    for (; i < p->n_events && e == FR_OK; i++) {
        const struct fr_import_event *ev = &rows->event[i];
        int64_t ts = fr_import_time_of(rows, p, i);
        if (p->paced)
            e = wait_until(s, &clock, start + (ts - fr_import_time_of(rows, p, 0)) * 1000);
        else if (fr_stop_signal_asked())
            e = FR_ECLOSED;
        if (e != FR_OK)
            break;
        fr_buf_clear(&b);
        fr_import_event_json(rows, ev, ts, &b);
        e = fr_buf_err(&b);
        if (e == FR_OK)
            e = send(s, FR_TOPIC_EVENTS, fr_import_rows_str(rows, ev->user), fr_buf_str(&b));
        if (i % TICK == 0 || p->paced)
            fr_progress_update(&bar, i);
    }
    fr_buf_done(&b);
    fr_progress_finish(&bar, i);
    return e;
}

static enum fr_err send_items(struct sender *s, const struct fr_import_rows *rows)
{
    struct fr_buf b;
    enum fr_err e = FR_OK;

    fr_buf_init(&b);
    for (uint64_t i = 0; i < rows->n_items && e == FR_OK; i++) {
        fr_buf_clear(&b);
        fr_import_item_json(rows, &rows->item[i], &b);
        e = fr_buf_err(&b);
        if (e == FR_OK)
            e = send(s, FR_TOPIC_ITEMS, fr_import_rows_str(rows, rows->item[i].id), fr_buf_str(&b));
    }
    fr_buf_done(&b);
    return e;
}

/* Said at once, not after a minute of retries. */
static enum fr_err topics_there(const struct fr_settings *set, const struct fr_import_rows *rows, struct fr_fault *fault)
{
    int32_t n;
    enum fr_err e = fr_kafka_topics_count(&set->conn, set->names.name[FR_TOPIC_EVENTS], TOPIC_MS, &n, fault);

    if (e == FR_OK && rows->n_items > 0)
        e = fr_kafka_topics_count(&set->conn, set->names.name[FR_TOPIC_ITEMS], TOPIC_MS, &n, fault);
    return e;
}

enum fr_err fr_import_to_topics(const struct fr_import_rows *rows,
                                const struct fr_import_plan *p,
                                const struct fr_settings *set,
                                uint64_t *out_sent,
                                struct fr_fault *fault)
{
    struct sender s = {NULL, 0, 0, FR_OK};
    struct fr_kafka_sink_opts o = {.conn = set->conn,
                                   .names = &set->names,
                                   .linger_ms = p->paced ? (int32_t)set->cfg.kafka_linger_ms : 5,
                                   .message_max_bytes = (int32_t)set->cfg.kafka_message_max_bytes,
                                   .ack = on_ack,
                                   .ack_ctx = &s};
    enum fr_err e = topics_there(set, rows, fault), flushed;

    *out_sent = 0;
    if (e == FR_OK)
        e = fr_kafka_sink_new(&o, &s.sink, fault);
    if (e != FR_OK)
        return e;
    e = send_items(&s, rows);
    if (e == FR_OK)
        e = send_events(&s, rows, p);
    flushed = fr_sink_flush(s.sink, FLUSH_MS);
    *out_sent = s.acked;
    fr_sink_free(s.sink);
    if (s.failed > 0)
        return fr_fault(fault, FR_EKAFKA, "%llu records were not delivered: %s", (unsigned long long)s.failed,
                        fr_err_text(s.why));
    if (flushed != FR_OK)
        return fr_fault(fault, flushed, "not everything is acknowledged: %s", fr_err_text(flushed));
    return e == FR_OK ? e : fr_fault(fault, e, "%s", e == FR_ECLOSED ? "stopped" : fr_err_text(e));
}
