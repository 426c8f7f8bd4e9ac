/*
 * daemon/cli/shop_loop_priv.h - the inside of the closed loop: shared by shop_loop*.c.
 */
#ifndef FR_CLI_SHOP_LOOP_PRIV_H
#define FR_CLI_SHOP_LOOP_PRIV_H

#include <stdbool.h>

#include "daemon/base/arena.h"
#include "daemon/base/buf.h"
#include "daemon/cli/shop_loop.h"

#define LOOP_SAMPLES (1U << 18) /* freshness samples kept, the newest */
#define LOOP_REC_ID 128

/* What a user waits for. */
struct loop_wait {
    uint64_t event; /* number of the trigger event; 0 = waits for nothing */
    int64_t since_us;
    uint32_t item;
    uint8_t type; /* enum fr_shop_act */
    uint8_t rounds;
};

/* Triggers in order of time: whoever is at the head is the next to run out of patience. */
struct loop_due {
    uint64_t event;
    int64_t since_us;
    uint32_t user;
};

struct fr_shop_loop {
    struct fr_shop_loop_opts o;
    struct fr_shop_loop_stats st; /* without result, waiting and freshness */
    struct fr_shop_score score;
    struct loop_wait *wait; /* by user */
    struct loop_due *due;   /* ring */
    uint64_t due_head, due_tail, due_cap; /* counters; cap a power of two */
    uint64_t events;        /* numbers given */
    int64_t shift_ms;       /* wall time = shop time + this, once started */
    bool started;
    struct fr_buf value;
    struct fr_arena *ar;
    uint32_t *sample_us; /* ring of LOOP_SAMPLES */
    uint64_t n_samples;
};

/* A recommendation as far as the loop reads it. Strings point into the record. */
struct loop_list {
    uint32_t user;
    uint64_t event; /* number of the trigger event; 0 = not one of this run; UINT64_MAX = not said */
    struct fr_str rec_id;
    int n;
    uint32_t item[FR_SHOP_LIST_MAX];
};

/* shop_loop.c: send one record; waits for room. @errors FR_ETIMEOUT; the sink's */
enum fr_err loop_send(struct fr_shop_loop *lp, enum fr_topic_role role, const char *key, bool null_value);
/* The next event's id into `id`; its number. */
uint64_t loop_event_id(struct fr_shop_loop *lp, char id[]);
/* Publish an event about one item and, if `waits`, let the user wait for its list. */
enum fr_err loop_act(struct fr_shop_loop *lp,
                     uint32_t user,
                     enum fr_shop_act act,
                     uint32_t item,
                     struct fr_str rec_id,
                     int position,
                     bool waits);

/* shop_loop_lists.c: read a value; false = not a recommendation of ours. The arena is reset. */
bool loop_parse(struct fr_shop_loop *lp, struct fr_str value, struct loop_list *out);
/* A record of the recommendations topic. */
enum fr_err loop_take_list(struct fr_shop_loop *lp, struct fr_str value);
/* p50, p99 and maximum of the samples kept. */
void loop_freshness(const struct fr_shop_loop *lp, struct fr_shop_loop_stats *out);
const char *loop_type_name(enum fr_shop_act act);

#endif
