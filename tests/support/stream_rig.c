/*
 * tests/support/stream_rig.c - see the header.
 */
#include "tests/support/stream_rig.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t rig_now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int rig_ms(int ms)
{
    const char *m = getenv("CK_TIMEOUT_MULTIPLIER");
    long f = m == NULL ? 1 : strtol(m, NULL, 10);
    return ms * (int)(f < 1 ? 1 : f);
}

void rig_ack(void *ctx, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset)
{
    struct rig_acks *acks = ctx;
    ck_assert_int_lt(acks->n, RIG_ACKS);
    acks->a[acks->n++] = (struct rig_ack){cookie, err, partition, offset};
    if (err == FR_OK)
        acks->ok++;
    else
        acks->failed++;
}

static enum fr_err on_assign(void *ctx, struct fr_assigned *parts, int n)
{
    struct rig_owner *o = ctx;
    o->assigns++;
    if (o->assign_err != FR_OK)
        return o->assign_err;
    for (int i = 0; i < n; i++) {
        for (int r = 0; r < (o->with_requests ? 2 : 1); r++) {
            struct fr_position pos = {(enum fr_topic_role)r, parts[i].partition, FR_OFFSET_NONE};
            int64_t low = 0, high = 0;
            if (!o->from_low)
                ck_assert_int_eq(fr_source_committed(o->src, &pos, 1, rig_ms(5000)), FR_OK);
            if (pos.offset == FR_OFFSET_NONE) {
                ck_assert_int_eq(fr_source_watermarks(
                                     o->src, pos.role, pos.partition, rig_ms(5000), &low, &high),
                                 FR_OK);
                pos.offset = low;
            }
            if (o->start_override > 0 && r == FR_TOPIC_EVENTS)
                pos.offset = o->start_override;
            parts[i].start[r] = pos.offset;
        }
        ck_assert_int_lt(parts[i].partition, RIG_PARTS);
        o->assigned[parts[i].partition] = true;
        o->next[parts[i].partition] = parts[i].start[FR_TOPIC_EVENTS];
    }
    o->n_assigned += n;
    return FR_OK;
}

static void on_revoke(void *ctx, const int32_t *partitions, int n, bool lost)
{
    struct rig_owner *o = ctx;
    struct fr_position pos[RIG_PARTS];
    int m = 0;
    o->revokes++;
    o->lost_revokes += lost;
    for (int i = 0; i < n; i++) {
        int32_t p = partitions[i];
        if (!o->assigned[p])
            continue;
        o->assigned[p] = false;
        o->n_assigned--;
        pos[m++] = (struct fr_position){FR_TOPIC_EVENTS, p, o->next[p]};
    }
    if (o->commit_at_revoke && !lost && m > 0)
        o->revoke_commit_err = fr_source_commit(o->src, pos, m, rig_ms(5000));
}

static void
on_error(void *ctx, enum fr_err err, enum fr_topic_role role, int32_t partition, const char *what)
{
    struct rig_owner *o = ctx;
    (void)role;
    (void)partition;
    o->errors++;
    o->last_err = err;
    fprintf(stderr, "source error: %s %s\n", fr_err_name(err), what);
}

struct fr_source_callbacks rig_callbacks(struct rig_owner *o)
{
    return (struct fr_source_callbacks){o, on_assign, on_revoke, on_error};
}

bool rig_serve_until(struct rig_owner *o, int n_parts, int timeout_ms)
{
    int64_t deadline = rig_now_ms() + timeout_ms;
    while (o->n_assigned != n_parts && rig_now_ms() < deadline)
        if (fr_source_serve(o->src, 10) != FR_OK)
            return false;
    return o->n_assigned == n_parts;
}

static int take_one(struct rig_owner *o, int lane)
{
    struct fr_record rec;
    if (fr_source_poll(o->src, lane, 1, &rec) != FR_OK)
        return 0;
    int32_t p = rec.partition;
    int events = rec.role == FR_TOPIC_EVENTS;
    if (p % o->src->n_lanes != lane)
        o->lane_mismatch++;
    if (events) {
        ck_assert_int_ge(rec.offset, o->next[p]);
        o->gaps += rec.offset - o->next[p];
        o->next[p] = rec.offset + 1;
        o->got[p]++;
    }
    fr_source_release(o->src, &rec);
    return events;
}

int rig_take(struct rig_owner *o, int n, int timeout_ms)
{
    int64_t deadline = rig_now_ms() + timeout_ms;
    int taken = 0;
    while (taken < n && rig_now_ms() < deadline) {
        if (fr_source_serve(o->src, 0) != FR_OK)
            break;
        for (int lane = 0; lane < o->src->n_lanes; lane++)
            for (int k = 0; k < 64 && taken < n; k++) {
                int got = take_one(o, lane);
                if (got == 0)
                    break;
                taken += got;
            }
    }
    return taken;
}

struct fr_kafka_source_opts rig_source_opts(const char *brokers,
                                            const struct fr_topic_names *names,
                                            const char *group,
                                            int n_lanes,
                                            bool embedded)
{
    struct fr_kafka_source_opts o = {
        .conn = {.brokers = brokers},
        .names = names,
        .group = group,
        .n_lanes = n_lanes,
        .session_timeout_ms = 6000,
        .fetch_wait_max_ms = embedded ? FR_KAFKA_EMBEDDED_FETCH_WAIT_MS : 0,
        .fetch_error_backoff_ms = embedded ? FR_KAFKA_EMBEDDED_FETCH_BACKOFF_MS : 0,
    };
    return o;
}

struct fr_sink *
rig_sink(const char *brokers, const struct fr_topic_names *names, struct rig_acks *acks)
{
    struct fr_kafka_sink_opts o = {
        .conn = {.brokers = brokers}, .names = names, .ack = rig_ack, .ack_ctx = acks};
    struct fr_sink *sk = NULL;
    struct fr_fault fault = {0};
    enum fr_err e = fr_kafka_sink_new(&o, &sk, &fault);
    ck_assert_msg(e == FR_OK, "%s", fault.msg);
    return sk;
}

int rig_produce(
    struct fr_sink *sk, struct rig_acks *acks, int32_t partition, int n, uint64_t cookie)
{
    int before = acks->ok;
    for (int i = 0; i < n; i++) {
        char key[24], value[32];
        snprintf(key, sizeof key, "u%d", i);
        snprintf(value, sizeof value, "{\"n\":%d}", i);
        struct fr_outgoing msg = {
            .role = FR_TOPIC_EVENTS,
            .partition = partition,
            .key = fr_str_z(key),
            .value = fr_str_z(value),
            .cookie = cookie + (uint64_t)i,
        };
        ck_assert_int_eq(fr_sink_produce(sk, &msg), FR_OK);
    }
    ck_assert_int_eq(fr_sink_flush(sk, rig_ms(20000)), FR_OK);
    return acks->ok - before;
}

struct fr_topic_names rig_names(const char *prefix)
{
    struct fr_topic_names names;
    ck_assert_int_eq(fr_topic_names_init(&names, prefix), FR_OK);
    return names;
}
