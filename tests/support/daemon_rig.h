/*
 * tests/support/daemon_rig.h - the built freshetd with a private Redis and an embedded broker, seen from
 * outside: produce, read topics, ask over HTTP.
 *
 * The broker is the daemon's own (`kafka.brokers: embedded`), or the test's, which can fail on purpose.
 * Use it in a checked fixture or a case: everything ends with the case.
 */
#ifndef FR_TESTS_DAEMON_RIG_H
#define FR_TESTS_DAEMON_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/stream/kafka_embedded.h"
#include "daemon/stream/record.h"
#include "daemon/stream/sink.h"
#include "tests/support/proc.h"
#include "tests/support/redis_server.h"

#define DAEMON_PARTITIONS 4

/** Owner: the test's storage, zeroed; daemon_rig_done(). Thread: the test's. */
struct daemon_rig {
    struct redis_server *redis;
    char redis_address[300];
    struct fr_kafka_embedded *broker; /* the test's own, or NULL */
    char brokers[256];                /* where to connect; known once the daemon says it */
    struct fr_topic_names names;
    struct fr_sink *sink;
    int unacked, failed_acks;
    struct proc *proc;
    int http_port;
    struct fr_buf body; /* of the last daemon_get() */
};

/** Start Redis, and with `own_broker` a broker of the test's with all topics. */
void daemon_rig_init(struct daemon_rig *d, bool own_broker);
/** Kill and release what still runs. */
void daemon_rig_done(struct daemon_rig *d);

/** Start freshetd with further "section.key=value" (NULL-terminated, nullable). Does not wait. */
void daemon_start(struct daemon_rig *d, const char *const *set);
/** Wait for its ports: HTTP, and the broker's where it is the daemon's; makes the sink. */
void daemon_wait_ports(struct daemon_rig *d);
/** Wait for GET /readyz to answer 200; fails the test with the daemon's log. */
void daemon_wait_ready(struct daemon_rig *d);
/** What it has logged. */
const char *daemon_log(struct daemon_rig *d);
/** SIGTERM; fails the test unless it exits with 0. */
void daemon_stop(struct daemon_rig *d);

/** GET; @return the status, or 0 if nobody answers. The body is in d->body, NUL-terminated. */
int daemon_get(struct daemon_rig *d, const char *path);
/** Poll GET `path` until the status is `status` and the body holds `text` (nullable). */
bool daemon_get_until(struct daemon_rig *d, const char *path, int status, const char *text, int64_t deadline_ms);

/** Produce by key; value NULL = tombstone. */
void daemon_produce(struct daemon_rig *d, enum fr_topic_role role, const char *key, const char *value);
/** A click of `user` on `item`, now. */
void daemon_click(struct daemon_rig *d, const char *user, const char *event_id, const char *item);
/** n items "i0".. with titles. */
void daemon_catalogue(struct daemon_rig *d, int n);
/** Wait for all acknowledgements. */
void daemon_flush(struct daemon_rig *d);

typedef void (*daemon_record_fn)(void *ctx, const struct fr_record *rec);
/** Read a topic from its start to its end of now. @return records */
int daemon_read(struct daemon_rig *d, enum fr_topic_role role, daemon_record_fn each, void *ctx);
/** Read it again and again until it has at least n records. */
bool daemon_read_until(struct daemon_rig *d, enum fr_topic_role role, int n, int64_t deadline_ms);

#endif
