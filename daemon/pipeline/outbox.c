/*
 * daemon/pipeline/outbox.c - see outbox.h. A table of entries with a free list; the cookie is the
 * entry's index and its generation, so an acknowledgement can never meet another record.
 */
#include "daemon/pipeline/outbox.h"

#include <string.h>
#include <time.h>

#include "daemon/base/alloc.h"
#include "daemon/stream/dead_letter.h"

#define MAX_HEADERS FR_DEAD_LETTER_MAX_HEADERS
#define NONE UINT32_MAX

enum entry_state { FREE, IN_FLIGHT, WAITING };

struct entry {
    enum entry_state state;
    uint32_t generation;
    uint32_t next; /* free list or waiting queue */
    struct fr_outgoing msg;
    char *bytes; /* header table, then key, value, topic, header names and values */
    struct fr_out_tag tag;
};

struct fr_outbox {
    fr_outbox_done_fn done;
    void *ctx;
    struct fr_sink *sink;
    struct entry *e;
    uint32_t cap, free_head, wait_head, wait_tail, pending, waiting;
    uint64_t retries;
};

enum fr_err fr_outbox_new(fr_outbox_done_fn done, void *ctx, struct fr_outbox **out_ob)
{
    struct fr_outbox *ob = fr_calloc(1, sizeof(*ob));

    if (ob == NULL)
        return FR_ENOMEM;
    ob->done = done;
    ob->ctx = ctx;
    ob->free_head = ob->wait_head = ob->wait_tail = NONE;
    *out_ob = ob;
    return FR_OK;
}

void fr_outbox_attach(struct fr_outbox *ob, struct fr_sink *sink)
{
    ob->sink = sink;
}

void fr_outbox_free(struct fr_outbox *ob)
{
    if (ob == NULL)
        return;
    for (uint32_t i = 0; i < ob->cap; i++)
        fr_free(ob->e[i].bytes);
    fr_free(ob->e);
    fr_free(ob);
}

static enum fr_err grow(struct fr_outbox *ob)
{
    uint32_t cap = ob->cap == 0 ? 256 : ob->cap * 2;
    struct entry *e;

    if (ob->cap >= UINT32_C(1) << 24)
        return FR_ENOMEM;
    e = fr_realloc_array(ob->e, cap, sizeof(*e));
    if (e == NULL)
        return FR_ENOMEM;
    ob->e = e;
    for (uint32_t i = ob->cap; i < cap; i++) {
        memset(&e[i], 0, sizeof(e[i]));
        e[i].next = i + 1 < cap ? i + 1 : NONE;
    }
    ob->free_head = ob->cap;
    ob->cap = cap;
    return FR_OK;
}

static char *put(char *at, const char *p, size_t n, bool terminate)
{
    if (n > 0)
        memcpy(at, p, n);
    if (terminate)
        at[n] = '\0';
    return at + n + (terminate ? 1 : 0);
}

/* Copy a message into an entry: one allocation for all bytes. */
static enum fr_err copy_message(struct entry *en, const struct fr_outgoing *m)
{
    size_t table = (size_t)m->n_headers * sizeof(struct fr_header);
    size_t n = table + m->key.n + m->value.n + (m->topic == NULL ? 0 : strlen(m->topic) + 1) + 2;
    struct fr_header *headers;
    char *at;

    if (m->n_headers < 0 || m->n_headers > MAX_HEADERS)
        return FR_EINVAL;
    for (int i = 0; i < m->n_headers; i++)
        n += strlen(m->headers[i].name) + 1 + m->headers[i].value.n;
    en->bytes = fr_malloc_array(n, 1);
    if (en->bytes == NULL)
        return FR_ENOMEM;
    headers = (struct fr_header *)(void *)en->bytes;
    at = en->bytes + table;
    en->msg = *m;
    if (m->key.p != NULL) {
        en->msg.key.p = at;
        at = put(at, m->key.p, m->key.n, false);
    }
    if (m->value.p != NULL) {
        en->msg.value.p = at;
        at = put(at, m->value.p, m->value.n, false);
    }
    if (m->topic != NULL) {
        en->msg.topic = at;
        at = put(at, m->topic, strlen(m->topic), true);
    }
    for (int i = 0; i < m->n_headers; i++) {
        headers[i].name = at;
        at = put(at, m->headers[i].name, strlen(m->headers[i].name), true);
        headers[i].value = m->headers[i].value;
        if (m->headers[i].value.p != NULL) {
            headers[i].value.p = at;
            at = put(at, m->headers[i].value.p, m->headers[i].value.n, false);
        }
    }
    en->msg.headers = headers;
    return FR_OK;
}

static void release(struct fr_outbox *ob, uint32_t i)
{
    struct entry *en = &ob->e[i];

    fr_free(en->bytes);
    en->bytes = NULL;
    en->state = FREE;
    en->generation++;
    en->next = ob->free_head;
    ob->free_head = i;
    ob->pending--;
}

static void enqueue(struct fr_outbox *ob, uint32_t i)
{
    ob->e[i].state = WAITING;
    ob->e[i].next = NONE;
    if (ob->wait_tail == NONE)
        ob->wait_head = i;
    else
        ob->e[ob->wait_tail].next = i;
    ob->wait_tail = i;
    ob->waiting++;
}

static enum fr_err try_produce(struct fr_outbox *ob, uint32_t i)
{
    struct entry *en = &ob->e[i];
    enum fr_err e;

    en->msg.cookie = (uint64_t)en->generation << 32 | i;
    e = fr_sink_produce(ob->sink, &en->msg);
    if (e == FR_OK)
        en->state = IN_FLIGHT;
    return e;
}

static bool passing(enum fr_err e)
{
    return e == FR_EFULL || e == FR_EAGAIN || e == FR_ETIMEOUT || e == FR_ENOMEM || e == FR_EKAFKA;
}

enum fr_err
fr_outbox_send(struct fr_outbox *ob, const struct fr_outgoing *msg, const struct fr_out_tag *tag)
{
    enum fr_err e;
    uint32_t i;

    if (ob->free_head == NONE) {
        e = grow(ob);
        if (e != FR_OK)
            return e;
    }
    i = ob->free_head;
    e = copy_message(&ob->e[i], msg);
    if (e != FR_OK)
        return e;
    ob->free_head = ob->e[i].next;
    ob->e[i].tag = *tag;
    ob->pending++;
    if (ob->waiting > 0) { /* keep the order of sends */
        enqueue(ob, i);
        return FR_OK;
    }
    e = try_produce(ob, i);
    if (passing(e)) {
        enqueue(ob, i);
        return FR_OK;
    }
    if (e != FR_OK)
        release(ob, i);
    return e;
}

void fr_outbox_ack(void *outbox, uint64_t cookie, enum fr_err err, int32_t partition, int64_t offset)
{
    struct fr_outbox *ob = outbox;
    uint32_t i = (uint32_t)cookie;
    struct fr_out_tag tag;
    enum fr_topic_role out;

    (void)partition;
    (void)offset;
    if (i >= ob->cap || ob->e[i].generation != (uint32_t)(cookie >> 32) ||
        ob->e[i].state != IN_FLIGHT)
        return;
    if (err != FR_OK && passing(err)) {
        ob->retries++;
        enqueue(ob, i);
        return;
    }
    tag = ob->e[i].tag;
    out = ob->e[i].msg.role;
    release(ob, i);
    ob->done(ob->ctx, out, &tag, err);
}

/* Produce what waits, as far as there is room. */
static void drain_waiting(struct fr_outbox *ob)
{
    while (ob->wait_head != NONE) {
        uint32_t i = ob->wait_head;
        uint32_t next = ob->e[i].next;
        enum fr_err e = try_produce(ob, i);

        if (passing(e))
            return;
        ob->wait_head = next;
        if (next == NONE)
            ob->wait_tail = NONE;
        ob->waiting--;
        if (e != FR_OK) {
            struct fr_out_tag tag = ob->e[i].tag;
            enum fr_topic_role out = ob->e[i].msg.role;
            release(ob, i);
            ob->done(ob->ctx, out, &tag, e);
        }
    }
}

int fr_outbox_poll(struct fr_outbox *ob, int timeout_ms)
{
    int n = fr_sink_poll(ob->sink, timeout_ms);

    drain_waiting(ob);
    return n;
}

enum fr_err fr_outbox_flush(struct fr_outbox *ob, int timeout_ms)
{
    struct timespec ts = {0, 0};
    int64_t end;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    end = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 + timeout_ms;
    (void)fr_outbox_poll(ob, 0);
    while (ob->pending > 0) {
        int64_t now;
        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        now = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
        if (now >= end)
            return FR_ETIMEOUT;
        (void)fr_outbox_poll(ob, end - now < 20 ? (int)(end - now) : 20);
    }
    return FR_OK;
}

bool fr_outbox_blocked(const struct fr_outbox *ob)
{
    return ob->waiting > 0;
}

uint32_t fr_outbox_pending(const struct fr_outbox *ob)
{
    return ob->pending;
}

uint64_t fr_outbox_retries(const struct fr_outbox *ob)
{
    return ob->retries;
}
