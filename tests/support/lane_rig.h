/*
 * tests/support/lane_rig.h - whole daemons without Kafka and Redis: in-process log, memory store, and
 * per instance a source, a sink, a lane and the group's callbacks, stepped by the test's thread.
 */
#ifndef FR_TESTS_LANE_RIG_H
#define FR_TESTS_LANE_RIG_H

#include "daemon/base/arena.h"
#include "daemon/config.h"
#include "daemon/pipeline/engine.h"
#include "daemon/pipeline/group.h"
#include "daemon/pipeline/lane.h"
#include "daemon/pipeline/ticks.h"
#include "daemon/stream/memory_log.h"
#include "daemon/stream/memory_sink.h"
#include "daemon/stream/memory_source.h"
#include "features/store_memory.h"

#define RIG_MAX 3

struct rig_instance {
    struct fr_group group;
    struct fr_source *src;
    struct fr_store *store_main, *store_lane;
    struct fr_lane *lane;
    struct fr_sink *sink;
};

/* The world: one log, one store, up to RIG_MAX daemons. */
struct rig {
    struct fr_config cfg;
    struct fr_spec *spec;
    struct fr_topic_names names;
    struct fr_clock clock;
    struct fr_epochs *epochs;
    struct fr_ticks *ticks;
    struct fr_engine eng;
    struct fr_memory_log *log;
    struct fr_store_memory_data *data;
    struct fr_arena *ar;
    struct rig_instance in[RIG_MAX];
    int32_t partitions;
    const char *redis; /* nullable: address of a Redis to use instead of `data`; set before rig_start() */
};

/** `set`: NULL-terminated "section.key=value" assignments. Fails the test on any error. */
void rig_init(struct rig *r, int32_t partitions, bool deterministic, const char *const *set);
void rig_done(struct rig *r);

/** Start daemon i (nothing assigned). */
void rig_start(struct rig *r, int i);
/** End it as a crash does: nothing is flushed or committed. */
void rig_crash(struct rig *r, int i);
/** Leave cleanly. */
void rig_stop(struct rig *r, int i);
/** Give daemon i all partitions; the former owner is not told. */
void rig_give(struct rig *r, int i);
/** Tell daemon i that it lost everything. */
void rig_tell_lost(struct rig *r, int i);
/** Serve the group and run one lane turn. @return records handled */
int rig_step(struct rig *r, int i);
/** Step i until all input is handled and committed; fails the test after `turns`. */
void rig_settle(struct rig *r, int i, int turns);

/** Append a record to a topic by key. @return its offset */
int64_t rig_append(struct rig *r, enum fr_topic_role role, const char *key, const char *value, int64_t ts_ms);
/** Append an event as JSON. */
int64_t rig_event(struct rig *r, const char *user, const char *event_id, const char *type, const char *item, int64_t ts);
/** Put an item with a title into the catalogue. */
void rig_item(struct rig *r, const char *item_id);
/** Partition of a key. */
int32_t rig_partition(const struct rig *r, const char *key);
/** Record number `offset` of an output topic; NULL past the end. */
const struct fr_memory_record *rig_output(struct rig *r, enum fr_topic_role role, int32_t partition, int64_t offset);
uint64_t rig_counter(struct rig *r, int i, enum fr_counter c);

#endif
