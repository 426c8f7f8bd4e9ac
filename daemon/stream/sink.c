/*
 * daemon/stream/sink.c - dispatch of the sink seam.
 */
#include "daemon/stream/sink.h"

#include <stddef.h>

enum fr_err fr_sink_produce(struct fr_sink *sk, const struct fr_outgoing *msg)
{
    return sk->ops->produce(sk, msg);
}

int fr_sink_poll(struct fr_sink *sk, int timeout_ms)
{
    return sk->ops->poll(sk, timeout_ms);
}

enum fr_err fr_sink_flush(struct fr_sink *sk, int timeout_ms)
{
    return sk->ops->flush(sk, timeout_ms);
}

uint64_t fr_sink_in_flight(const struct fr_sink *sk)
{
    return sk->ops->in_flight(sk);
}

void fr_sink_purge(struct fr_sink *sk)
{
    sk->ops->purge(sk);
}

void fr_sink_stats(const struct fr_sink *sk, struct fr_sink_stats *out)
{
    sk->ops->stats(sk, out);
}

void fr_sink_free(struct fr_sink *sk)
{
    if (sk != NULL)
        sk->ops->free(sk);
}
