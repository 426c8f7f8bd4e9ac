/*
 * daemon/cli/replay_sink.c - see replay_sink.h.
 */
#include "daemon/cli/replay_sink.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/buf.h"
#include "daemon/base/json.h"

struct replay_sink {
    struct fr_sink base;
    struct fr_replay_sink_opts o;
    uint64_t *cookie; /* accepted, not yet acknowledged */
    size_t n, cap;
    int64_t offset;
    bool failed; /* a write */
    struct fr_buf text;
    struct fr_sink_stats stats;
};

static enum fr_err put_line(struct replay_sink *s, FILE *f, struct fr_str line)
{
    if (f == NULL || s->failed)
        return FR_OK;
    if (fwrite(line.p, 1, line.n, f) != line.n || fputc('\n', f) == EOF)
        s->failed = true;
    return FR_OK;
}

static enum fr_err put_dead(struct replay_sink *s, const struct fr_outgoing *m)
{
    struct fr_jsonw w;

    if (s->o.dead == NULL)
        return FR_OK;
    fr_buf_clear(&s->text);
    fr_jsonw_init(&w, &s->text);
    fr_jsonw_object(&w);
    for (int i = 0; i < m->n_headers; i++) {
        fr_jsonw_key(&w, m->headers[i].name);
        fr_jsonw_str(&w, m->headers[i].value);
    }
    fr_jsonw_key(&w, "key");
    if (m->key.p == NULL)
        fr_jsonw_null(&w);
    else
        fr_jsonw_str(&w, m->key);
    fr_jsonw_key(&w, "value");
    if (m->value.p == NULL)
        fr_jsonw_null(&w);
    else
        fr_jsonw_str(&w, m->value);
    fr_jsonw_end(&w, '}');
    if (fr_buf_err(&s->text) != FR_OK)
        return fr_buf_err(&s->text);
    return put_line(s, s->o.dead, fr_buf_str(&s->text));
}

static enum fr_err produce(struct fr_sink *sk, const struct fr_outgoing *m)
{
    struct replay_sink *s = (struct replay_sink *)sk;
    enum fr_err e = FR_OK;

    if (s->n == s->cap) {
        size_t cap = s->cap == 0 ? 256 : s->cap * 2;
        uint64_t *p = fr_realloc_array(s->cookie, cap, sizeof(*p));
        if (p == NULL)
            return FR_ENOMEM;
        s->cookie = p;
        s->cap = cap;
    }
    if (m->role == FR_TOPIC_RECOMMENDATIONS)
        e = put_line(s, s->o.lists, m->value);
    else if (m->role == FR_TOPIC_EXAMPLES)
        e = put_line(s, s->o.examples, m->value);
    else if (m->role == FR_TOPIC_DEAD_LETTERS)
        e = put_dead(s, m);
    if (e != FR_OK)
        return e;
    s->cookie[s->n++] = m->cookie;
    s->stats.produced++;
    return FR_OK;
}

static int poll_acks(struct fr_sink *sk, int timeout_ms)
{
    struct replay_sink *s = (struct replay_sink *)sk;
    size_t n = s->n;

    (void)timeout_ms;
    if (n == 0)
        return 0;
    for (size_t i = 0; i < n; i++) /* an acknowledgement may produce again: behind these */
        s->o.ack(s->o.ack_ctx, s->cookie[i], FR_OK, 0, s->offset++);
    memmove(s->cookie, s->cookie + n, (s->n - n) * sizeof(s->cookie[0]));
    s->n -= n;
    s->stats.acked += n;
    return (int)n;
}

static enum fr_err flush(struct fr_sink *sk, int timeout_ms)
{
    struct replay_sink *s = (struct replay_sink *)sk;

    while (s->n > 0)
        (void)poll_acks(sk, timeout_ms);
    return s->failed ? FR_EIO : FR_OK;
}

static uint64_t in_flight(const struct fr_sink *sk)
{
    return ((const struct replay_sink *)sk)->n;
}

static void purge(struct fr_sink *sk)
{
    struct replay_sink *s = (struct replay_sink *)sk;
    size_t n = s->n;

    s->n = 0;
    for (size_t i = 0; i < n; i++)
        s->o.ack(s->o.ack_ctx, s->cookie[i], FR_EAGAIN, -1, FR_OFFSET_NONE);
}

static void stats(const struct fr_sink *sk, struct fr_sink_stats *out)
{
    *out = ((const struct replay_sink *)sk)->stats;
}

static void release(struct fr_sink *sk)
{
    struct replay_sink *s = (struct replay_sink *)sk;

    fr_buf_done(&s->text);
    fr_free(s->cookie);
    fr_free(s);
}

static const struct fr_sink_ops OPS = {produce, poll_acks, flush, in_flight, purge, stats, release};

enum fr_err fr_replay_sink_new(const struct fr_replay_sink_opts *o, struct fr_sink **out)
{
    struct replay_sink *s = fr_calloc(1, sizeof(*s));

    if (s == NULL)
        return FR_ENOMEM;
    s->base.ops = &OPS;
    s->o = *o;
    fr_buf_init(&s->text);
    *out = &s->base;
    return FR_OK;
}
