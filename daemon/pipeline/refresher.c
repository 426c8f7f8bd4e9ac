/*
 * daemon/pipeline/refresher.c - see refresher.h.
 */
#include "daemon/pipeline/refresher.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/log.h"
#include "daemon/pipeline/ticks.h"
#include "daemon/stream/dead_letter.h"
#include "daemon/stream/item_codec.h"

#define BATCH 256
#define GRAPH_BUDGET 256
#define WAIT_MS 5

struct fr_refresher {
    const struct fr_engine *eng;
    struct fr_log_reader *reader;
    struct fr_sink *sink;
    struct fr_arena *ar;
    struct fr_metrics mx;
    _Atomic bool stop;
    _Atomic bool caught_up;
};

enum fr_err fr_refresher_new(const struct fr_engine *eng,
                             struct fr_log_reader **take_reader,
                             struct fr_sink *sink,
                             struct fr_refresher **out_rf)
{
    struct fr_refresher *rf = fr_calloc(1, sizeof(*rf));
    enum fr_err e;

    if (rf == NULL)
        return FR_ENOMEM;
    e = fr_arena_new((size_t)1 << 20, 0, &rf->ar);
    if (e != FR_OK) {
        fr_free(rf);
        return e;
    }
    rf->eng = eng;
    rf->reader = *take_reader;
    rf->sink = sink;
    *take_reader = NULL;
    *out_rf = rf;
    return FR_OK;
}

void fr_refresher_free(struct fr_refresher *rf)
{
    if (rf == NULL)
        return;
    fr_log_reader_free(rf->reader);
    fr_arena_free(rf->ar);
    fr_free(rf);
}

static void bury(struct fr_refresher *rf, const struct fr_record *rec, const struct fr_codec_error *ce)
{
    char text[200];
    struct fr_dead_letter_input in = {.rec = rec,
                                      .topic = rf->eng->names->name[FR_TOPIC_ITEMS],
                                      .stage = "items",
                                      .code = ce->err,
                                      .message = text,
                                      .group = rf->eng->cfg->kafka_group,
                                      .now_ms = fr_clock_wall_ms(rf->eng->clock)};
    struct fr_outgoing m;

    (void)snprintf(text, sizeof(text), "%s%s%s at byte %zu", ce->field == NULL ? "" : ce->field,
                   ce->field == NULL ? "" : ": ", ce->what == NULL ? "" : ce->what, ce->offset);
    fr_count(&rf->mx, FR_C_ITEMS_DEAD, 1);
    fr_count_dead(&rf->mx, ce->err);
    if (fr_dead_letter_build(&in, rf->ar, &m) != FR_OK || fr_sink_produce(rf->sink, &m) != FR_OK)
        fr_log(FR_LOG_WARN, "refresher", "item=dead_letter_lost offset=%lld reason=%s",
               (long long)rec->offset, fr_err_label(ce->err));
}

/* Decode up to BATCH records; values are copied, since records go back to the reader. */
static int collect(struct fr_refresher *rf, int timeout_ms, struct fr_item_record *out, int64_t *ts, int *handled)
{
    int n = 0;

    for (int i = 0; i < BATCH; i++) {
        struct fr_codec_error ce = {FR_OK, 0, NULL, NULL};
        struct fr_record rec;
        struct fr_str key, value = {NULL, 0};
        enum fr_err e = fr_log_reader_poll(rf->reader, i == 0 ? timeout_ms : 0, &rec);

        if (e != FR_OK)
            break;
        (*handled)++;
        e = fr_arena_dup(rf->ar, rec.key, &key);
        if (rec.key.p == NULL)
            key.p = NULL;
        if (e == FR_OK && rec.value.p != NULL)
            e = fr_arena_dup(rf->ar, rec.value, &value);
        if (e == FR_OK)
            e = fr_item_decode(rf->eng->spec, rf->ar, key, value, &out[n], &ce);
        if (e == FR_OK)
            ts[n++] = rec.ts_ms;
        else if (e != FR_ENOMEM)
            bury(rf, &rec, &ce);
        fr_log_reader_release(rf->reader, &rec);
    }
    return n;
}

static void publish(struct fr_refresher *rf, const struct fr_item_record *recs, const int64_t *ts, int n)
{
    int64_t now_us;
    enum fr_err e = fr_epochs_put(rf->eng->epochs, recs, n);

    if (e != FR_OK) {
        fr_log(FR_LOG_ERROR, "refresher", "items=%d error=%s", n, fr_err_label(e));
        return;
    }
    now_us = fr_clock_wall_us(rf->eng->clock);
    for (int i = 0; i < n; i++) {
        fr_count(&rf->mx, recs[i].deleted ? FR_C_ITEMS_DELETED : FR_C_ITEMS_UPSERTED, 1);
        if (ts[i] > 0)
            fr_observe_us(&rf->mx, FR_H_ITEM_FRESHNESS, now_us - ts[i] * 1000);
    }
}

static void build_generation(struct fr_refresher *rf)
{
    struct fr_item_generation *g;
    enum fr_err e = fr_ticks_build(rf->eng->ticks, &g);

    if (e == FR_OK) {
        e = fr_epochs_set_generation(rf->eng->epochs, g);
        fr_item_generation_unref(g);
    }
    if (e != FR_OK)
        fr_log(FR_LOG_ERROR, "refresher", "generation=%s", fr_err_label(e));
}

int fr_refresher_step(struct fr_refresher *rf, int timeout_ms)
{
    struct fr_item_record recs[BATCH];
    int64_t ts[BATCH];
    int handled = 0, n;
    bool more;

    fr_arena_reset(rf->ar);
    if (!rf->eng->deterministic && fr_ticks_pending(rf->eng->ticks))
        build_generation(rf);
    more = fr_epochs_maintain(rf->eng->epochs, GRAPH_BUDGET);
    n = collect(rf, more ? 0 : timeout_ms, recs, ts, &handled);
    if (n > 0)
        publish(rf, recs, ts, n);
    if (!atomic_load_explicit(&rf->caught_up, memory_order_relaxed) &&
        fr_log_reader_caught_up(rf->reader))
        atomic_store(&rf->caught_up, true);
    (void)fr_sink_poll(rf->sink, 0);
    return handled;
}

void fr_refresher_run(struct fr_refresher *rf)
{
    while (!atomic_load(&rf->stop))
        (void)fr_refresher_step(rf, WAIT_MS);
}

void fr_refresher_stop(struct fr_refresher *rf)
{
    atomic_store(&rf->stop, true);
}

bool fr_refresher_caught_up(const struct fr_refresher *rf)
{
    return atomic_load(&rf->caught_up);
}

struct fr_metrics *fr_refresher_metrics(struct fr_refresher *rf)
{
    return &rf->mx;
}
