/*
 * daemon/pipeline/stage1_ingest.c - see stage1_ingest.h.
 */
#include "daemon/pipeline/stage1_ingest.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/hash.h"
#include "daemon/stream/event_codec.h"
#include "daemon/stream/request_codec.h"

/* Text for the dead letter: field, place, reason. Falls back to the reason alone. */
static const char *explain(struct fr_arena *ar, const struct fr_codec_error *ce)
{
    char text[200];
    struct fr_str s;
    int n = snprintf(text, sizeof(text), "%s%s%s at byte %zu",
                     ce->field == NULL ? "" : ce->field, ce->field == NULL ? "" : ": ",
                     ce->what == NULL ? fr_err_text(ce->err) : ce->what, ce->offset);

    if (n < 0 || fr_arena_dup(ar, (struct fr_str){text, strlen(text)}, &s) != FR_OK)
        return ce->what == NULL ? fr_err_text(ce->err) : ce->what;
    return s.p;
}

static void
bury(struct fr_work *w, enum fr_err why, const char *what)
{
    w->kind = FR_WORK_DEAD;
    w->why = why;
    w->stage = "ingest";
    w->what = what;
}

static bool mis_keyed(const struct fr_engine *eng, const struct fr_work *w)
{
    return w->rec.key.p == NULL ||
           fr_kafka_partition(w->rec.key, eng->n_partitions) != w->rec.partition;
}

static bool expired(const struct fr_engine *eng, const struct fr_work *w, int64_t now_ms)
{
    int64_t max = eng->cfg->recommend_request_max_age_ms;

    return !eng->deterministic && max > 0 && now_ms - w->req.ts > max;
}

enum fr_err fr_stage_ingest(const struct fr_engine *eng,
                            struct fr_arena *ar,
                            struct fr_metrics *mx,
                            int64_t now_ms,
                            struct fr_work *w)
{
    struct fr_codec_error ce = {FR_OK, 0, NULL, NULL};
    int64_t ts = w->rec.ts_ms < 0 ? 0 : w->rec.ts_ms;
    enum fr_err e;

    if (w->rec.role == FR_TOPIC_REQUESTS) {
        w->kind = FR_WORK_REQUEST;
        e = fr_request_decode(eng->spec, ar, w->rec.key, w->rec.value, ts, &w->req, &ce);
    } else {
        w->kind = FR_WORK_EVENT;
        e = fr_event_decode(eng->spec, ar, w->rec.key, w->rec.value, ts, &w->ev, &ce);
    }
    if (e == FR_ENOMEM)
        return e;
    if (e != FR_OK) {
        bury(w, e, explain(ar, &ce));
    } else if (mis_keyed(eng, w)) {
        bury(w, FR_EMISKEYED,
             "the record's key maps to another partition: produce with the murmur2 partitioner");
    } else if (w->kind == FR_WORK_REQUEST && expired(eng, w, now_ms)) {
        w->kind = FR_WORK_SKIP;
        fr_count(mx, FR_C_REQUESTS_EXPIRED, 1);
    }
    return FR_OK;
}
