/*
 * tests/support/lane_rig.c - see lane_rig.h.
 */
#include "tests/support/lane_rig.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/base/log.h"
#include "daemon/pipeline/spec_config.h"
#include "daemon/pipeline/take.h"
#include "features/store_redis.h"

#define GROUP "rig"

static void must(enum fr_err e, const char *what)
{
    ck_assert_msg(e == FR_OK, "%s: %s", what, fr_err_name(e));
}

void rig_init(struct rig *r, int32_t partitions, bool deterministic, const char *const *set)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_epochs_config ec = {.m = 16, .ef_construction = 100, .ef_search = 100, .flat = true};

    memset(r, 0, sizeof(*r));
    fr_log_set_level(FR_LOG_ERROR);
    r->partitions = partitions;
    must(fr_config_init(&r->cfg, &fault), "config");
    for (int i = 0; set != NULL && set[i] != NULL; i++)
        ck_assert_msg(fr_config_set(&r->cfg, set[i], &fault) == FR_OK, "%s", fault.msg);
    ck_assert_msg(fr_spec_from_config(&r->cfg, &r->spec, &fault) == FR_OK, "%s", fault.msg);
    must(fr_topic_names_init(&r->names, ""), "names");
    fr_clock_init_real(&r->clock);
    must(fr_epochs_new(r->spec, &ec, &r->epochs), "epochs");
    must(fr_ticks_new(r->spec, partitions, &r->ticks), "ticks");
    must(fr_memory_log_new(&r->log), "log");
    must(fr_memory_log_create_all(r->log, &r->names, partitions), "topics");
    must(fr_store_memory_data_new(&r->data), "store");
    must(fr_arena_new(1 << 20, 0, &r->ar), "arena");
    r->eng = (struct fr_engine){&r->cfg,  r->spec,  &r->names,  &r->clock,
                                r->epochs, r->ticks, partitions, deterministic, NULL};
}

static void make_store(struct rig *r, struct fr_store **out)
{
    struct fr_store_redis_config c = {.address = r->redis,
                                      .prefix = r->cfg.redis_prefix,
                                      .group = GROUP,
                                      .connect_timeout_ms = 2000,
                                      .command_timeout_ms = 2000};

    if (r->redis == NULL)
        must(fr_store_memory_new(r->data, out), "store");
    else
        must(fr_store_redis_new(&c, out, NULL), "store");
}

void rig_start(struct rig *r, int i)
{
    struct rig_instance *in = &r->in[i];
    struct fr_memory_source_opts so = {
        .log = r->log, .names = &r->names, .group = GROUP, .n_lanes = 1, .manual = true};
    struct fr_memory_sink_opts ko = {.log = r->log, .names = &r->names};
    struct fr_source_callbacks cb;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_lane_config lc;

    memset(in, 0, sizeof(*in));
    make_store(r, &in->store_main);
    make_store(r, &in->store_lane);
    in->group.eng = &r->eng;
    in->group.store = in->store_main;
    in->group.lanes = &in->lane;
    in->group.n_lanes = 1;
    must(fr_group_init(&in->group), "group");
    cb = fr_group_callbacks(&in->group);
    must(fr_memory_source_new(&so, &cb, &in->src, NULL), "source");
    in->group.src = in->src;
    ck_assert_msg(fr_take_init_group(in->src, in->store_main, r->partitions, false, &fault) == FR_OK,
                  "%s", fault.msg);
    lc = (struct fr_lane_config){&r->eng, 0, in->src, in->store_lane, NULL};
    must(fr_lane_new(&lc, &in->lane), "lane");
    ko.ack = fr_outbox_ack;
    ko.ack_ctx = fr_lane_outbox(in->lane);
    must(fr_memory_sink_new(&ko, &in->sink), "sink");
    fr_outbox_attach(fr_lane_outbox(in->lane), in->sink);
}

static void release(struct rig_instance *in)
{
    fr_source_free(in->src);
    fr_lane_free(in->lane);
    fr_sink_free(in->sink);
    fr_store_free(in->store_main);
    fr_store_free(in->store_lane);
    fr_group_done(&in->group);
    memset(in, 0, sizeof(*in));
}

void rig_tell_lost(struct rig *r, int i)
{
    must(fr_memory_source_rebalance(r->in[i].src, NULL, 0, true), "rebalance");
    must(fr_source_serve(r->in[i].src, 0), "serve");
}

void rig_crash(struct rig *r, int i)
{
    if (r->in[i].src == NULL)
        return;
    rig_tell_lost(r, i);
    release(&r->in[i]);
}

void rig_stop(struct rig *r, int i)
{
    if (r->in[i].src == NULL)
        return;
    must(fr_source_close(r->in[i].src, 1000), "close");
    release(&r->in[i]);
}

void rig_done(struct rig *r)
{
    for (int i = 0; i < RIG_MAX; i++)
        rig_crash(r, i);
    fr_epochs_free(r->epochs);
    fr_ticks_free(r->ticks);
    fr_memory_log_free(r->log);
    fr_store_memory_data_free(r->data);
    fr_spec_free(r->spec);
    fr_config_done(&r->cfg);
    fr_arena_free(r->ar);
}

void rig_give(struct rig *r, int i)
{
    int32_t parts[64];

    for (int32_t p = 0; p < r->partitions; p++)
        parts[p] = p;
    must(fr_memory_source_rebalance(r->in[i].src, parts, r->partitions, false), "rebalance");
}

int rig_step(struct rig *r, int i)
{
    must(fr_source_serve(r->in[i].src, 0), "serve");
    return fr_lane_step(r->in[i].lane, 0);
}

/* C may have been at the end before this daemon began to read from V. */
static bool read_to_end(struct rig *r, int i)
{
    struct fr_lane_position pos[64];
    int n = fr_lane_positions(r->in[i].lane, pos, 64);

    for (int k = 0; k < n; k++) {
        int64_t low, high;
        must(fr_memory_log_watermarks(r->log, r->names.name[FR_TOPIC_EVENTS], pos[k].partition, &low, &high),
             "watermarks");
        if (pos[k].pos[FR_TOPIC_EVENTS] < high)
            return false;
    }
    return n == r->partitions;
}

void rig_settle(struct rig *r, int i, int turns)
{
    for (int t = 0; t < turns; t++) {
        bool all = true;
        if (rig_step(r, i) == 0) { /* commits and saves are paced by the clock */
            struct timespec ts = {0, 200000};
            (void)nanosleep(&ts, NULL);
        }
        for (int32_t p = 0; p < r->partitions && all; p++) {
            for (int in = 0; in < FR_TOPIC_INPUTS && all; in++) {
                int64_t low, high, c;
                const char *topic = r->names.name[in];
                must(fr_memory_log_watermarks(r->log, topic, p, &low, &high), "watermarks");
                must(fr_memory_log_committed(r->log, GROUP, topic, p, &c), "committed");
                all = high == low || c == high;
            }
        }
        if (all && read_to_end(r, i))
            return;
    }
    for (int32_t p = 0; p < r->partitions; p++) {
        int64_t low = 0, high = 0, c = 0;
        must(fr_memory_log_watermarks(r->log, r->names.name[0], p, &low, &high), "watermarks");
        must(fr_memory_log_committed(r->log, GROUP, r->names.name[0], p, &c), "committed");
        fprintf(stderr, "partition %d: log [%lld, %lld) C %lld\n", (int)p, (long long)low, (long long)high, (long long)c);
    }
    {
        struct fr_lane_status st;
        struct fr_lane_position pos[8];
        int n = fr_lane_positions(r->in[i].lane, pos, 8);
        fr_lane_status(r->in[i].lane, &st);
        for (int k = 0; k < n; k++)
            fprintf(stderr, "lane: partition %d at %lld\n", (int)pos[k].partition, (long long)pos[k].pos[0]);
        ck_abort_msg("the lane did not settle within %d turns: %d open, %d refused, reason \"%s\", group refused %d \"%s\"",
                     turns, st.n_open, st.n_refused, st.reason, atomic_load(&r->in[i].group.refused),
                     r->in[i].group.reason);
    }
}

int64_t rig_append(struct rig *r, enum fr_topic_role role, const char *key, const char *value, int64_t ts_ms)
{
    struct fr_memory_record rec = {0, ts_ms, {NULL, 0}, {NULL, 0}, NULL, 0};
    int64_t offset;

    if (key != NULL)
        rec.key = fr_str_z(key);
    if (value != NULL)
        rec.value = fr_str_z(value);
    must(fr_memory_log_append(r->log, r->names.name[role], FR_PARTITION_BY_KEY, &rec, NULL, &offset),
         "append");
    return offset;
}

int64_t rig_event(struct rig *r, const char *user, const char *event_id, const char *type, const char *item, int64_t ts)
{
    char json[512];

    snprintf(json, sizeof(json),
             "{\"event_id\":\"%s\",\"type\":\"%s\",\"user_id\":\"%s\",\"item_id\":\"%s\",\"ts\":%lld}",
             event_id, type, user, item, (long long)ts);
    return rig_append(r, FR_TOPIC_EVENTS, user, json, ts);
}

void rig_item(struct rig *r, const char *item_id)
{
    struct fr_item_record rec;

    memset(&rec, 0, sizeof(rec));
    rec.item_id = fr_str_z(item_id);
    rec.item = fr_id_hash(r->spec->key, rec.item_id);
    rec.title = fr_str_z(item_id);
    rec.available = true;
    must(fr_epochs_put(r->epochs, &rec, 1), "item");
}

int32_t rig_partition(const struct rig *r, const char *key)
{
    return fr_kafka_partition(fr_str_z(key), r->partitions);
}

const struct fr_memory_record *rig_output(struct rig *r, enum fr_topic_role role, int32_t partition, int64_t offset)
{
    const struct fr_memory_record *rec;

    if (fr_memory_log_read(r->log, r->names.name[role], partition, offset, &rec) != FR_OK)
        return NULL;
    return rec;
}

uint64_t rig_counter(struct rig *r, int i, enum fr_counter c)
{
    struct fr_metrics *m = fr_lane_metrics(r->in[i].lane);

    return fr_metrics_sum(&m, 1, c);
}
