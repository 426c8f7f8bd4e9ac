/*
 * daemon/pipeline/group.h - the process as a member of the consumer group: takes what it is given,
 * hands it to lanes, gives it back.
 *
 * Holds the callbacks of the source. Everything here runs on main, inside fr_source_serve().
 */
#ifndef FR_PIPELINE_GROUP_H
#define FR_PIPELINE_GROUP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "daemon/base/rng.h"
#include "daemon/pipeline/engine.h"
#include "daemon/pipeline/lane.h"
#include "daemon/stream/source.h"
#include "features/store.h"

/** Owner: the caller's storage, zeroed, then filled before the source is made. Thread: main. */
struct fr_group {
    const struct fr_engine *eng;
    struct fr_source *src;    /* set once the source exists */
    struct fr_store *store;   /* main's own handle */
    struct fr_lane **lanes;
    int n_lanes;
    bool lanes_running; /* else they are stepped by the caller's thread */
    bool latest;        /* where partitions without history start */
    struct fr_rng rng;
    struct fr_arena *ar;
    _Atomic int assigned; /* partitions of the present assignment */
    _Atomic int refused;  /* of these, not taken */
    _Atomic bool recount; /* the log's partition count is not the state's: nothing is taken or read */
    pthread_mutex_t lock;      /* guards reason */
    bool lock_made;
    char reason[FR_FAULT_MSG]; /* newest refusal */
};

/** @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_group_init(struct fr_group *g);
void fr_group_done(struct fr_group *g);

/**
 * Compare the inputs' partition counts with the one the state was made with. Where they differ, users
 * would be looked up in the wrong place: `recount` is set, and later assignments are refused until they
 * agree again. A broker that does not answer changes nothing.
 * @return whether `recount` changed: then the caller rejoins the group, which gives all partitions back
 * @thread main
 */
bool fr_group_check_count(struct fr_group *g, int timeout_ms);

/** Copy the newest refusal's reason, "" when there is none. @thread any */
void fr_group_reason(struct fr_group *g, char out[FR_FAULT_MSG]);

/** The callbacks to give to the source. */
struct fr_source_callbacks fr_group_callbacks(struct fr_group *g);

#endif
