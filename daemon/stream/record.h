/*
 * daemon/stream/record.h - topic roles, and one record as it enters or leaves the process.
 *
 * Roles instead of names: names are configuration (`topics.*`, with a prefix), roles are code. Code
 * asks for FR_TOPIC_EVENTS; only fr_topic_names knows what that is called on this cluster.
 * Layer: daemon/stream; knows nothing of Kafka.
 */
#ifndef FR_STREAM_RECORD_H
#define FR_STREAM_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/str.h"

/** EVENTS and REQUESTS are the consumer group's inputs and come first: they index small arrays. */
enum fr_topic_role {
    FR_TOPIC_EVENTS,
    FR_TOPIC_REQUESTS,
    FR_TOPIC_ITEMS,
    FR_TOPIC_RECOMMENDATIONS,
    FR_TOPIC_EXAMPLES,
    FR_TOPIC_DEAD_LETTERS,
    FR_TOPIC_COUNT
};

#define FR_TOPIC_INPUTS 2 /* EVENTS, REQUESTS: co-partitioned, read by the group */
#define FR_TOPIC_NAME 250 /* Kafka's limit is 249 bytes */

/** Offset meaning "no such offset" (nothing committed, not known). */
#define FR_OFFSET_NONE INT64_C(-1)

/** Names on the cluster, by role. Owner: the caller's storage. Thread: immutable after set-up. */
struct fr_topic_names {
    char name[FR_TOPIC_COUNT][FR_TOPIC_NAME];
};

/** "events", "requests", ...: the role's name without prefix. Static storage. @thread any */
const char *fr_topic_role_name(enum fr_topic_role role);

/** Default names, each after `prefix` (may be NULL or ""). @errors FR_ETOOLARGE FR_EINVAL (a byte
 *  Kafka does not allow in topic names: only [a-zA-Z0-9._-]) */
FR_MUST_CHECK enum fr_err fr_topic_names_init(struct fr_topic_names *names, const char *prefix);

/** Set one name. @errors FR_ETOOLARGE FR_EINVAL; names untouched then. */
FR_MUST_CHECK enum fr_err
fr_topic_names_set(struct fr_topic_names *names, enum fr_topic_role role, const char *name);

/** Role of a name, or FR_TOPIC_COUNT. */
enum fr_topic_role fr_topic_names_find(const struct fr_topic_names *names, const char *name);

/** One record header. `name` is NUL-terminated; value.p == NULL is a null value. */
struct fr_header {
    const char *name;
    struct fr_str value;
};

struct fr_source;

/**
 * One record from a source or a log reader: borrowed until its release call.
 * Owner: the source; the struct itself is the caller's storage. Thread: the lane that polled it.
 */
struct fr_record {
    enum fr_topic_role role;
    int32_t partition;
    int64_t offset;
    int64_t ts_ms;       /* the record's timestamp (create or append time); -1 = it has none */
    struct fr_str key;   /* p == NULL: no key (an empty key has p != NULL, n == 0) */
    struct fr_str value; /* p == NULL: a null value (tombstone) */
    enum fr_err refused; /* FR_OK, or why the partition can't be read on (see fr_source_poll) */
    void *opaque;        /* the source's own; NULL when there is nothing to release */
};

/** A place in an input: what commits, seeks and watermarks speak of. */
struct fr_position {
    enum fr_topic_role role;
    int32_t partition;
    int64_t offset; /* FR_OFFSET_NONE = none */
};

#endif
