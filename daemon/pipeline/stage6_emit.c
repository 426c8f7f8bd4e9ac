/*
 * daemon/pipeline/stage6_emit.c - see stage6_emit.h.
 */
#include "daemon/pipeline/stage6_emit.h"

#include <string.h>

#include "daemon/stream/dead_letter.h"
#include "daemon/stream/example_codec.h"
#include "daemon/stream/recommendation_codec.h"

#define ARM "control"

/* Lineage name of a candidate's source ("ann" for the index), and its counter. */
static const struct {
    const char *name;
    enum fr_counter counter;
} sources[FR_SOURCE_COUNT] = {
    [FR_SOURCE_INDEX] = {"ann", FR_C_ITEMS_FROM_INDEX},
    [FR_SOURCE_POPULAR] = {"popular", FR_C_ITEMS_FROM_POPULAR},
    [FR_SOURCE_HISTORY] = {"history", FR_C_ITEMS_FROM_HISTORY},
    [FR_SOURCE_REQUEST] = {"request", FR_C_ITEMS_FROM_REQUEST},
};

static void fill(const struct fr_engine *eng,
                 const struct fr_trigger *t,
                 int64_t now_us,
                 struct fr_recommended_item *items,
                 struct fr_recommendation *r)
{
    const struct fr_work *w = t->work;
    bool request = w->kind == FR_WORK_REQUEST;

    memset(r, 0, sizeof(*r));
    fr_rec_id(eng->names->name[w->rec.role], w->rec.partition, w->rec.offset, w->rec.ts_ms, r->rec_id);
    r->user_id = request ? w->req.user_id : w->ev.user_id;
    if (request)
        r->request_id = w->req.request_id;
    for (uint32_t i = 0; i < t->n_list; i++) {
        const struct fr_candidate *c = &t->cand[t->list[i].cand];
        items[i] = (struct fr_recommended_item){t->cand_id[t->list[i].cand], t->list[i].score,
                                                fr_str_z(sources[c->source].name), 1.0};
    }
    r->items = items;
    r->n_items = t->n_list;
    r->trigger_topic = fr_str_z(eng->names->name[w->rec.role]);
    r->trigger_partition = w->rec.partition;
    r->trigger_offset = w->rec.offset;
    r->trigger_event_id = request ? (struct fr_str){NULL, 0} : w->ev.event_id;
    r->trigger_ts = t->cut->ts;
    r->retrieval = fr_str_z(t->retrieval);
    r->ranker = fr_str_z(t->ranker);
    r->arm = FR_STR_LIT(ARM);
    r->index_generation = t->index_generation;
    r->item_generation = t->generation_number;
    r->ts_event = t->cut->ts;
    r->ts_received = w->received_us / 1000;
    r->ts_features = t->features_us / 1000;
    r->ts_embedded = t->embedded_us / 1000;
    r->ts_retrieved = t->retrieved_us / 1000;
    r->ts_scored = t->scored_us / 1000;
    r->ts_emitted = now_us / 1000;
    r->regenerated = t->regenerated;
    r->fallback = t->fallback;
}

static enum fr_err send(struct fr_outbox *ob,
                        enum fr_topic_role role,
                        struct fr_str key,
                        struct fr_str value,
                        const struct fr_recommendation *r,
                        int64_t now_us,
                        const struct fr_out_tag *tag)
{
    const struct fr_header headers[] = {
        {"schema", role == FR_TOPIC_EXAMPLES ? FR_STR_LIT(FR_EXAMPLE_SCHEMA)
                                             : FR_STR_LIT(FR_RECOMMENDATION_SCHEMA)},
        {"rec_id", fr_str_z(r->rec_id)},
        {"arm", r->arm},
    };
    struct fr_outgoing m = {.role = role,
                            .partition = FR_PARTITION_BY_KEY,
                            .key = key,
                            .value = value,
                            .headers = headers,
                            .n_headers = 3,
                            .ts_ms = now_us / 1000};

    return fr_outbox_send(ob, &m, tag);
}

static enum fr_err example(const struct fr_engine *eng,
                           struct fr_emit_buffers *bufs,
                           const struct fr_trigger *t,
                           const struct fr_recommendation *r)
{
    struct fr_example ex = {.fields = &eng->spec->fields,
                            .rec = r,
                            .user_cells = t->cut->user_cells,
                            .context_cells = t->cut->context_cells,
                            .item_cells = t->item_cells,
                            .cross_cells = t->cross_cells,
                            .row = &t->list[0].cand,
                            .row_stride = sizeof(t->list[0])};

    fr_buf_clear(&bufs->value);
    fr_example_encode(&ex, &bufs->value);
    return fr_buf_err(&bufs->value);
}

enum fr_err fr_stage_emit(const struct fr_engine *eng,
                          struct fr_emit_buffers *bufs,
                          struct fr_outbox *ob,
                          struct fr_metrics *mx,
                          const struct fr_trigger *t,
                          int64_t now_us,
                          uint64_t part_epoch,
                          int *out_sent)
{
    struct fr_recommended_item items[FR_MAX_RECOMMENDED];
    struct fr_recommendation r;
    struct fr_out_tag tag = {t->work->rec.partition, part_epoch,     t->work->rec.role,
                             t->work->rec.offset,    t->cut->ts * 1000, t->regenerated};
    enum fr_err e;

    *out_sent = 0;
    if (t->n_list == 0 && t->work->kind != FR_WORK_REQUEST) {
        fr_count(mx, FR_C_RECS_EMPTY, 1);
        return FR_OK;
    }
    fill(eng, t, now_us, items, &r);
    fr_buf_clear(&bufs->value);
    fr_recommendation_encode(&r, &bufs->value);
    e = fr_buf_err(&bufs->value);
    if (e == FR_OK)
        e = send(ob, FR_TOPIC_RECOMMENDATIONS, r.user_id, fr_buf_str(&bufs->value), &r, now_us, &tag);
    if (e != FR_OK)
        return e;
    *out_sent = 1;
    for (uint32_t i = 0; i < t->n_list; i++)
        fr_count(mx, sources[t->cand[t->list[i].cand].source].counter, 1);
    if (t->regenerated || !eng->cfg->recommend_examples || t->n_list == 0)
        return FR_OK; /* state is ahead of a regenerated row's event: never an example */
    e = example(eng, bufs, t, &r);
    if (e == FR_OK)
        e = send(ob, FR_TOPIC_EXAMPLES, r.user_id, fr_buf_str(&bufs->value), &r, now_us, &tag);
    if (e == FR_OK)
        *out_sent = 2;
    return e;
}

enum fr_err fr_stage_dead_letter(const struct fr_engine *eng,
                                 struct fr_emit_buffers *bufs,
                                 struct fr_outbox *ob,
                                 struct fr_arena *ar,
                                 const struct fr_source *src,
                                 const struct fr_work *w,
                                 int64_t now_ms)
{
    struct fr_out_tag tag = {-1, 0, w->rec.role, FR_OFFSET_NONE, 0, false};
    struct fr_dead_letter_input in = {.src = src,
                                      .rec = &w->rec,
                                      .topic = eng->names->name[w->rec.role],
                                      .stage = w->stage,
                                      .code = w->why,
                                      .message = w->what,
                                      .group = eng->cfg->kafka_group,
                                      .now_ms = now_ms};
    struct fr_outgoing m;
    enum fr_err e = fr_dead_letter_build(&in, ar, &m);

    (void)bufs;
    return e == FR_OK ? fr_outbox_send(ob, &m, &tag) : e;
}
