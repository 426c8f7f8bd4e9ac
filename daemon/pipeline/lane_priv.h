/*
 * daemon/pipeline/lane_priv.h - the lane's insides, shared by lane*.c.
 *
 *   lane.c        mailbox, thread, status, acknowledgements
 *   lane_batch.c  one batch through the stages
 *   lane_part.c   partitions: open, take again, save counters, commit C, close
 */
#ifndef FR_PIPELINE_LANE_PRIV_H
#define FR_PIPELINE_LANE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/base/rng.h"
#include "daemon/pipeline/batch.h"
#include "daemon/pipeline/lane.h"
#include "daemon/pipeline/stage2_features.h"
#include "daemon/pipeline/stage4_candidates.h"
#include "daemon/pipeline/stage6_emit.h"
#include "models/rank_cache.h"

#define FR_LANE_MAX_PARTS 1024
#define FR_SUB_BATCH 8

/* A taken partition on its way to the lane. */
struct lane_mail {
    struct fr_taken taken;
    char *aux;
    struct lane_mail *next;
};

struct fr_lane {
    const struct fr_engine *eng; /* &own */
    struct fr_engine own;        /* cfg and spec change between batches only */
    int id;
    struct fr_source *src;
    struct fr_store *store;
    struct fr_outbox *outbox;
    bool own_outbox;
    struct fr_arena *ar;      /* one batch */
    struct fr_arena *ar_take; /* takes and counter saves */
    struct fr_rank_cache *rank_cache; /* NULL = off */
    struct fr_rank_cache_stats rank_counted;
    struct fr_emit_buffers bufs;
    struct fr_buf scratch;
    struct fr_rng rng;
    struct fr_metrics mx;
    /* inline ticks: the current generation, and those that triggers of this batch still hold */
    struct fr_item_generation *generation;
    struct fr_item_generation **retired;
    uint32_t n_retired, cap_retired;
    uint64_t takes;
    int64_t last_commit_us, last_check_us;

    /* list_lock: the array below changes under it; the lane reads without it */
    pthread_mutex_t list_lock;
    struct fr_part *part[FR_LANE_MAX_PARTS];
    int n_part;

    /* mail_lock, mail_cond */
    pthread_mutex_t mail_lock;
    pthread_cond_t mail_cond;
    struct lane_mail *mail;
    _Atomic bool mail_waiting; /* anything in the mailbox: leave waits soon */
    _Atomic bool close_asked;
    bool close_lost, close_done;
    char reason[FR_FAULT_MSG]; /* mail_lock */
    _Atomic bool stop;
    _Atomic bool wants_rejoin;
    _Atomic int64_t progress, turns;
    _Atomic int64_t stalled_since_us;
};

struct fr_part *fr_lane_find(struct fr_lane *l, int32_t partition);
/** Open the partitions that main has posted. */
void fr_lane_read_mail(struct fr_lane *l);
/** Note why a partition is refused: status and log. */
void fr_lane_refuse(struct fr_lane *l, struct fr_part *p, enum fr_err e, const char *why);
/** Wait a little after a passing store error. False: give up (stop or close was asked). */
bool fr_lane_pause(struct fr_lane *l, int *attempt, enum fr_err e);
/** The wait is over. */
void fr_lane_unstall(struct fr_lane *l);

/* lane_part.c */
enum fr_err fr_lane_begin_part(struct fr_lane *l, struct fr_part *p, const struct fr_taken *t);
void fr_lane_retake(struct fr_lane *l, struct fr_part *p);
enum fr_err fr_lane_save_items(struct fr_lane *l, struct fr_part *p);
void fr_lane_commit_positions(struct fr_lane *l, int timeout_ms);
void fr_lane_housekeeping(struct fr_lane *l);
void fr_lane_drop_retired(struct fr_lane *l);
enum fr_err fr_lane_tick(void *lane, struct fr_part *part, int64_t tick_ts);

/* lane_batch.c */
int fr_lane_batch(struct fr_lane *l, int timeout_ms);

#endif
