/*
 * tests/fuzz/fuzz_shop_list.c - a record of the topic `recommendations` as the closed loop reads it, hostile: any
 * system may have written it. The user who waits looks at whatever came, so judging and choosing run too.
 */
#include <stdint.h>
#include <stdlib.h>

#include "daemon/cli/shop_loop_priv.h"
#include "daemon/stream/memory_sink.h"
#include "daemon/stream/memory_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fr_clock clock_;
static struct fr_memory_log *topic_log;
static struct fr_topic_names names;
static struct fr_shop *shop;
static struct fr_sink *sink;
static struct fr_log_reader *reader;
static struct fr_shop_loop *loop;

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void discard(void *ctx, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset)
{
    fr_shop_loop_ack(ctx, cookie, err, partition, offset);
}

/* A shop of a few users who all wait; made anew now and then, since the log keeps what is sent. */
static void start(void)
{
    struct fr_shop_conf c;
    struct fr_memory_sink_opts so = {.names = &names, .ack = discard};
    struct fr_shop_loop_opts o = {.clock = &clock_, .id_prefix = "e", .timeout_ms = 1000000};

    fr_clock_init_manual(&clock_, 1790000000000000);
    fr_shop_conf_default(&c);
    c.users = 4;
    c.items = 50;
    c.n = 5;
    c.births_per_day = c.deaths_per_day = 0;
    check(fr_topic_names_init(&names, "") == FR_OK && fr_memory_log_new(&topic_log) == FR_OK);
    check(fr_memory_log_create_all(topic_log, &names, 1) == FR_OK && fr_shop_new(&c, &shop, NULL) == FR_OK);
    so.log = topic_log;
    check(fr_memory_sink_new(&so, &sink) == FR_OK);
    check(fr_memory_log_reader_new(topic_log, "recommendations", FR_TOPIC_RECOMMENDATIONS, NULL, 0, &reader) == FR_OK);
    o.shop = shop;
    o.sink = sink;
    o.lists = reader;
    check(fr_shop_loop_new(&o, &loop) == FR_OK);
}

static void stop(void)
{
    fr_shop_loop_free(loop);
    fr_log_reader_free(reader);
    fr_sink_free(sink);
    fr_memory_log_free(topic_log);
    fr_shop_free(shop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned runs;
    struct fr_str value = {size == 0 ? "" : (const char *)data, size};
    struct fr_shop_loop_stats st;

    if (runs++ % 4096 == 0) {
        if (loop != NULL)
            stop();
        start();
    }
    for (uint32_t u = 0; u < 4; u++) {
        loop->wait[u].event = 7; /* "e7" is the trigger of them all */
        loop->wait[u].since_us = 1790000000000000;
    }
    check(loop_take_list(loop, value) == FR_OK);
    if (runs % 64 == 0) {
        fr_shop_loop_stats(loop, &st);
        check(st.received == st.unreadable + st.unasked + st.empty + st.result.lists);
        check(st.unknown_items + st.dead_items <= st.result.lists * 5);
        while (fr_sink_poll(sink, 0) > 0)
            ;
    }
    return 0;
}
