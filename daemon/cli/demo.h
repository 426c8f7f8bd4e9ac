/*
 * daemon/cli/demo.h - `freshet demo`: the parts that the two kinds of demo share.
 *
 *   past (files) ─► train (child) ─► redis-server, freshetd (children) ─► past into the topics ─► live
 *
 * A "side" stands for the users: the simulated shop (demo_shop_side.c) or recorded events
 * (demo_record_side.c). It makes the past, and then lives: sends events, takes lists.
 * Layer: daemon/cli. Thread: main.
 */
#ifndef FR_CLI_DEMO_H
#define FR_CLI_DEMO_H

#include "daemon/base/clock.h"
#include "daemon/cli/catalogue_titles.h"
#include "daemon/cli/demo_home.h"
#include "daemon/cli/demo_link.h"
#include "daemon/cli/demo_metrics.h"
#include "daemon/cli/demo_view.h"

/** What was asked for on the command line. */
struct fr_demo_opts {
    const char *data;          /* NULL = the simulated shop */
    int64_t seconds;           /* 0 = until stopped */
    int64_t port, seed;
    int64_t users, items;      /* of the shop */
    int64_t past, rate;        /* events before the start; events a second, live */
};

struct fr_demo_side;

/** Everything of one run. Owner: cmd_demo.c. */
struct fr_demo {
    const struct fr_demo_opts *o;
    const struct fr_demo_side *side;
    void *state; /* the side's own */
    struct fr_clock clock;
    struct fr_demo_home home;
    struct fr_demo_link link;
    struct fr_titles *titles;
    struct fr_demo_view view;
    struct fr_demo_figures figures;
    struct fr_demo_metrics at_start; /* the daemon's, before the first live event */
    int64_t first_list_us; /* monotonic; 0 = none yet */
    bool over;             /* the side has nothing more to send */
};

/** The users of a demo. Each call returns FR_ECLOSED when a stop was asked for meanwhile. */
struct fr_demo_side {
    /** Choose the daemon's settings; the folder does not exist yet. */
    enum fr_err (*settings)(struct fr_demo *d, struct fr_demo_settings *out, struct fr_fault *fault);
    /** Write items.jsonl and past.jsonl into the home. */
    enum fr_err (*make_past)(struct fr_demo *d, struct fr_fault *fault);
    /** The link is open, past and catalogue are sent. */
    enum fr_err (*begin)(struct fr_demo *d, struct fr_fault *fault);
    /** Act for a few milliseconds: send what is due, take lists, push them into the view. */
    enum fr_err (*step)(struct fr_demo *d, struct fr_fault *fault);
    /** Bring d->figures up to date. */
    void (*figures)(struct fr_demo *d);
    void (*end)(struct fr_demo *d);
};

extern const struct fr_demo_side fr_demo_record_side;
extern const struct fr_demo_side fr_demo_shop_side;


/** Run a program of ours to its end, its words on standard error. `name` is for messages.
 *  @errors FR_ECLOSED a stop was asked for (it has been ended); FR_ESTATE it failed; FR_ENOTFOUND */
FR_MUST_CHECK enum fr_err
fr_demo_run(struct fr_demo *d, const char *name, const char *const argv[], struct fr_fault *fault);

#endif
