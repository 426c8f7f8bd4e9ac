/*
 * tests/bench/bench_features.c - features alone: what one core does without Kafka and Redis.
 *
 * Each round is one batch of 256 events: decode every distinct user once, apply, trigger, encode once;
 * item counters apart. Prints the median of the rounds and the record size.
 *
 * usage: bench_features [users [events]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/clock.h"
#include "daemon/base/rng.h"
#include "features/item_generation.h"
#include "features/item_stats.h"
#include "features/item_table.h"
#include "features/row.h"
#include "features/user_codec.h"
#include "tests/support/feat.h"

#define BATCH 256
#define N_ITEMS 20000
#define T0 INT64_C(1790000000000)

struct stored {
    struct fr_buf user, seen;
};

struct lane {
    struct fr_spec *spec;
    struct fr_arena *ar;
    struct fr_clock clock;
    struct stored *store;
    int n_users;
    struct fr_rng rng;
    int64_t now;
    int64_t offset;
    uint64_t event;
};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static struct fr_event next_event(struct lane *l, int *out_user)
{
    static const char *const types[] = {"view", "click", "click", "purchase"};
    char user[32], item[32];
    *out_user = (int)fr_rng_below(&l->rng, (uint64_t)l->n_users);
    snprintf(user, sizeof user, "user-%d", *out_user);
    snprintf(item, sizeof item, "item-%d", (int)fr_rng_below(&l->rng, N_ITEMS));
    l->now += 5;
    return feat_event(l->spec, l->ar, types[fr_rng_below(&l->rng, 4)], user, item, l->now, ++l->event);
}

/* state: decode each user once, apply all, encode each once; ns an event */
static double batch(struct lane *l, bool cut, size_t *record_bytes, int *distinct)
{
    static struct fr_event ev[BATCH];
    static int who[BATCH];
    static struct fr_user *state[BATCH];
    struct fr_user **of = fr_calloc((size_t)l->n_users, sizeof *of);
    int n = 0;
    must(of != NULL);
    for (int i = 0; i < BATCH; i++)
        ev[i] = next_event(l, &who[i]);
    int64_t from = fr_clock_mono_us(&l->clock);
    for (int i = 0; i < BATCH; i++) {
        struct fr_user *u = of[who[i]];
        struct fr_applied done;
        struct stored *s = &l->store[who[i]];
        if (u == NULL) {
            must(fr_user_decode(l->spec, l->ar, fr_buf_str(&s->user), &u, NULL) == FR_OK);
            must(fr_seen_adopt(&u->seen, l->spec->seen_cap, fr_buf_str(&s->seen), NULL) == FR_OK);
            of[who[i]] = u;
            who[n] = who[i];
            state[n++] = u;
        }
        must(fr_user_apply(l->spec, u, l->ar, &ev[i], l->offset, &done) == FR_OK);
        if (fr_user_trigger(l->spec, u, &ev[i], l->offset) && cut) {
            struct fr_row_context ctx = fr_row_context_of(&ev[i], l->offset);
            struct fr_cut *c;
            must(fr_row_cut(l->spec, u, &ctx, l->ar, &c) == FR_OK);
        }
        l->offset++;
    }
    /* the record and the seen set go to fresh buffers, as into a Redis command */
    static struct fr_buf out[2 * BATCH];
    for (int i = 0; i < n; i++) {
        fr_buf_clear(&out[2 * i]);
        fr_buf_clear(&out[2 * i + 1]);
        fr_user_encode(l->spec, state[i], &out[2 * i]);
        if (state[i]->seen.dirty)
            fr_seen_encode(&state[i]->seen, &out[2 * i + 1]);
    }
    int64_t us = fr_clock_mono_us(&l->clock) - from;
    *record_bytes = 0;
    for (int i = 0; i < n; i++) {
        struct stored *s = &l->store[who[i]];
        struct fr_buf old = s->user;
        s->user = out[2 * i];
        out[2 * i] = old;
        *record_bytes += s->user.n;
        if (state[i]->seen.dirty) {
            old = s->seen;
            s->seen = out[2 * i + 1];
            out[2 * i + 1] = old;
        }
    }
    *record_bytes /= (size_t)n;
    *distinct = n;
    fr_free(of);
    fr_arena_reset(l->ar);
    return (double)us * 1000 / BATCH;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return v[n / 2];
}

static void bench_state(struct lane *l, int rounds, bool cut)
{
    double *ns = fr_calloc((size_t)rounds, sizeof *ns);
    size_t bytes = 0;
    int distinct = 0;
    must(ns != NULL);
    for (int i = 0; i < rounds; i++)
        ns[i] = batch(l, cut, &bytes, &distinct);
    double *warm = ns + rounds / 2; /* users are warm in the second half */
    double mid = median(warm, rounds - rounds / 2);
    printf("%-28s %6.0f ns/event (best batch %.0f), %.0f k events/s; record %zu B, %d distinct users "
           "a batch of %d\n",
           cut ? "state + cut of every trigger" : "state", mid, warm[0], 1e6 / mid, bytes, distinct,
           BATCH);
    fr_free(ns);
}

static void bench_items(struct lane *l)
{
    struct fr_item_stats *st;
    struct fr_item_snapshot *snap;
    struct fr_item_generation *g;
    int who;
    double best = 1e18;
    must(fr_item_stats_new(l->spec, &st) == FR_OK);
    for (int round = 0; round < 400; round++) {
        static struct fr_event ev[BATCH];
        for (int i = 0; i < BATCH; i++)
            ev[i] = next_event(l, &who);
        int64_t from = fr_clock_mono_us(&l->clock);
        for (int i = 0; i < BATCH; i++)
            must(fr_item_stats_apply(st, &ev[i]) == FR_OK);
        double ns = (double)(fr_clock_mono_us(&l->clock) - from) * 1000 / BATCH;
        best = ns < best ? ns : best;
        fr_arena_reset(l->ar);
    }
    printf("%-28s %8.0f ns/event (best batch)\n", "item counters", best);
    int64_t from = fr_clock_mono_us(&l->clock);
    must(fr_item_stats_snapshot(st, l->now, &snap) == FR_OK);
    int64_t mid = fr_clock_mono_us(&l->clock);
    const struct fr_item_snapshot *in[1] = {snap};
    must(fr_item_generation_build(l->spec, in, 1, 1, &g) == FR_OK);
    printf("%-28s snapshot %.2f ms, generation %.2f ms, %u items\n", "tick",
           (double)(mid - from) / 1000, (double)(fr_clock_mono_us(&l->clock) - mid) / 1000, g->n);

    struct fr_item_table *t;
    must(fr_item_table_new(l->spec, 0, &t) == FR_OK);
    from = fr_clock_mono_us(&l->clock);
    for (int i = 0; i < N_ITEMS; i++) {
        char id[32];
        snprintf(id, sizeof id, "item-%d", i);
        struct fr_item_record r =
            feat_item(l->spec, l->ar, id, i % 2 ? "a|b" : "c", "Some Title (1999)");
        must(fr_item_table_put(t, &r, NULL) == FR_OK);
    }
    printf("%-28s %8.0f ns/item\n", "catalogue put",
           (double)(fr_clock_mono_us(&l->clock) - from) * 1000 / N_ITEMS);

    /* rows of one list: 200 candidates for a user with a full history */
    struct fr_user *u = NULL;
    struct fr_cut *c;
    struct fr_cross *cx;
    must(fr_user_decode(l->spec, l->ar, fr_buf_str(&l->store[0].user), &u, NULL) == FR_OK);
    struct fr_row_context ctx = {1, l->now, 5, 0, {NULL, 0}};
    must(fr_row_cut(l->spec, u, &ctx, l->ar, &c) == FR_OK);
    static struct fr_cell cells[512];
    double ns[200];
    uint64_t sink = 0;
    for (int round = 0; round < 200; round++) {
        from = fr_clock_mono_us(&l->clock);
        must(fr_cross_init(l->spec, c, t, l->ar, &cx) == FR_OK);
        for (uint32_t i = 0; i < 200; i++) {
            uint32_t idx = (i * 97 + (uint32_t)round * 31) % N_ITEMS;
            struct fr_candidate cand = {.idx = idx, .item = fr_item_table_get(t, idx)->item};
            fr_row_item(l->spec, t, idx, g, l->now, cells);
            fr_row_cross(cx, &cand, cells + 128);
            sink ^= cells[0].id ^ cells[128].id;
        }
        ns[round] = (double)(fr_clock_mono_us(&l->clock) - from) * 1000 / 200;
    }
    printf("%-28s %8.0f ns/candidate (200 a list, history %u, check %llx)\n", "item + cross cells",
           median(ns, 200), u->h_n, (unsigned long long)(sink & 0xffff));
    fr_item_table_free(t);
    fr_item_generation_unref(g);
    fr_item_snapshot_free(snap);
    fr_item_stats_free(st);
}

int main(int argc, char **argv)
{
    struct lane l = {.n_users = 1000, .now = T0};
    uint64_t events = 200000, v;
    if (argc > 1 && fr_str_to_u64(fr_str_z(argv[1]), &v) == FR_OK && v > 0 && v < 10000000)
        l.n_users = (int)v;
    if (argc > 2 && fr_str_to_u64(fr_str_z(argv[2]), &v) == FR_OK && v >= BATCH)
        events = v;
    l.spec = feat_spec(NULL);
    l.ar = feat_arena();
    fr_clock_init_real(&l.clock);
    fr_rng_seed(&l.rng, 1);
    l.store = fr_calloc((size_t)l.n_users, sizeof *l.store);
    must(l.store != NULL);
    int rounds = (int)(events / BATCH);
    bench_state(&l, rounds, false);
    bench_state(&l, rounds, true);
    bench_items(&l);
    for (int i = 0; i < l.n_users; i++) {
        fr_buf_done(&l.store[i].user);
        fr_buf_done(&l.store[i].seen);
    }
    fr_free(l.store);
    fr_arena_free(l.ar);
    fr_spec_free(l.spec);
    return 0;
}
