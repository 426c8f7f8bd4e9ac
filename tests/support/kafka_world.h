/*
 * tests/support/kafka_world.h - the real freshetd on a real Kafka and a private Redis, with a replay of its
 * input as the reference.
 *
 * A stream of clicks of few users with duplicates and broken records is produced; whatever is done to the
 * daemon, its Redis or its broker meanwhile, world_settle() then demands: each user's record in Redis equals
 * the replay byte for byte, every trigger is covered by a list of its own or a later offset, every broken
 * record is a dead letter, every list has its lineage. One world a test case (module state); for use in a
 * checked fixture.
 */
#ifndef FR_TESTS_KAFKA_WORLD_H
#define FR_TESTS_KAFKA_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/rng.h"
#include "daemon/stream/record.h"
#include "tests/support/kafka_server.h"
#include "tests/support/proc.h"
#include "tests/support/redis_server.h"

#define WORLD_PARTITIONS 4
#define WORLD_USERS 40
#define WORLD_ITEMS 30

/** Topics with a prefix of their own on `brokers` (NULL = the shared broker), a Redis with this AOF. */
void world_open(const char *brokers, enum redis_aof aof);
void world_close(void);

/** Start freshetd; crash_at: $FRESHET_CRASH_AT, nullable. Does not wait. */
void world_start(const char *crash_at);
/** kill -9, unless it has ended. */
void world_kill(void);
/** A second daemon, of another instance name, has a place of its own: go over to the other place. What is
 * said here of "the daemon" is about the one in the present place. */
void world_other(void);
/** The end of the daemon's log, for messages. */
const char *world_log(void);
/** The running daemon, and the Redis. */
struct proc *world_daemon(void);
struct redis_server *world_redis(void);
const struct fr_topic_names *world_names(void);

/** Produce the catalogue and wait for it. */
void world_catalogue(void);
/** Produce a click, a duplicate of the last one (1 in 10) or a broken record (1 in 50). */
void world_event(struct fr_rng *rng);
/** n events with a pause of pause_ms after each five. */
void world_events(struct fr_rng *rng, int n, int pause_ms);
/** Wait until all is acknowledged. */
void world_flush(void);
/** Events produced so far. */
int world_produced(void);

/** R and C of each partition as the daemon's newest take says in its log; -1 = not said. */
struct world_offsets {
    int64_t r[WORLD_PARTITIONS], c[WORLD_PARTITIONS];
    int taken;
};
void world_offsets(struct world_offsets *out);
/** Wait until all partitions are taken. False: the daemon has ended, or the time is over. */
bool world_wait_taken(int64_t deadline_ms);

typedef void (*world_record_fn)(void *ctx, const struct fr_record *rec);
/** Read a topic from its start to its end of now. @return records */
int world_read(enum fr_topic_role role, world_record_fn each, void *ctx);

/** Wait until state and outputs are those of the replay; fails the test if they do not become so. */
void world_settle(void);

/** GET from the daemon: status, or -1; the body is cut to cap - 1. */
int world_get(const char *path, char *body, size_t cap);
/** Wait for /readyz to answer 200. */
bool world_wait_ready(int64_t deadline_ms);

#endif
