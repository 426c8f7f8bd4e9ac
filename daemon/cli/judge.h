/*
 * daemon/cli/judge.h - the judge: how good were the lists of any system for a stream of events?
 *
 * Protocol (one pass, prequential):
 *   - a list triggered at (partition p, offset o) of user u has the label: u's first event in p after
 *     o; `strict`: also with ts > the trigger's ts. An event with no such predecessor is no label.
 *   - of several lists with the same label only the newest counts; a label without a list is a miss.
 *   - hit = the label's item is among the first n; MRR takes 1 / its place, 0 for a miss.
 *   - the repeat policy holds for all: items it forbids are struck from every list before it is cut to
 *     n. Labels that the policy forbids stay labels (nobody can hit them) and are counted.
 *   - baselines see exactly the events up to and with the trigger.
 *
 *   events  0   1   2   3        user a: label of 0 is 2; user b: label of 1 is 3
 *   user    a   b   a   b
 *
 * Layer: daemon/cli, pure: no I/O, no clock. Includes nothing of features/ or models/ (lint).
 */
#ifndef FR_CLI_JUDGE_H
#define FR_CLI_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/cli/judge_baseline.h"

#define FR_JUDGE_NONE UINT32_MAX
#define FR_JUDGE_HISTORY_BUCKETS 7
#define FR_JUDGE_SEGMENTS_MAX 4096

enum fr_judge_repeat { FR_JUDGE_ALLOW, FR_JUDGE_LAST, FR_JUDGE_FOREVER };

/** Rows of the table. */
enum fr_judge_system {
    FR_JUDGE_LISTS,      /* the lists that are judged */
    FR_JUDGE_POPULAR,    /* decayed popularity */
    FR_JUDGE_LAST_RULES, /* rules of the newest item */
    FR_JUDGE_LAST_10,    /* rules of the newest ten items */
    FR_JUDGE_REPEAT,     /* the user's own items again; not with FOREVER */
    FR_JUDGE_SYSTEMS
};

/** One event that counts (impressions and events without an item do not come here). */
struct fr_judge_event {
    uint32_t user; /* number of (partition, user) */
    uint32_t item;
    int64_t ts; /* ms */
};

struct fr_judge_opts {
    int n;                    /* 1..FR_JUDGE_N_MAX */
    bool strict;
    enum fr_judge_repeat repeat;
    bool no_self_rules;       /* rules never learn x -> x (always so with FOREVER) */
    double popular_half_life; /* events; of the row "decayed popularity" */
    double fill_half_life;    /* events; of the places the other baselines leave free */
    size_t from_event;        /* labels before this event are not counted */
    int64_t from_ts;          /* nor those before this time; 0 = all */
    int64_t segment_ms;       /* > 0: one segment per span of time (aligned to the epoch) */
    int segments;             /* else this many segments of equal event count; 0 = none */
    int bootstrap;            /* resamples for the intervals; 0 = none */
    uint64_t seed;
    bool no_baselines;
    void (*progress)(void *ctx, size_t done); /* nullable */
    void *progress_ctx;
};

/** Owner: the caller; borrowed for the call. */
struct fr_judge_input {
    const struct fr_judge_event *events; /* in global order; of one user, in offset order */
    size_t n_events;                     /* < 2^32 - 1 */
    uint32_t n_users, n_items;           /* numbers used are below these */
    const uint32_t *list_of;             /* by event: its list's number or FR_JUDGE_NONE; NULL = no lists */
    const uint32_t *list_start;          /* list k holds list_items[list_start[k] .. list_start[k+1]) */
    const uint32_t *list_items;
};

/** Hits of all systems over some labels. */
struct fr_judge_slice {
    uint64_t labels;
    uint64_t hits[FR_JUDGE_SYSTEMS];
    double rr[FR_JUDGE_SYSTEMS]; /* sum of reciprocal places */
    int64_t from_ts, to_ts;      /* of the labels in it */
};

struct fr_judge_interval {
    double low, high; /* 2.5 % and 97.5 % */
};

/** What the judge found. Owner: the caller's storage, fr_judge_report_done(). */
struct fr_judge_report {
    int n;
    bool has[FR_JUDGE_SYSTEMS];
    size_t events;
    uint32_t users, items;
    uint64_t label_users;     /* users with a label */
    uint64_t lists;           /* lists given */
    uint64_t lists_counted;   /* newest before a counted label */
    uint64_t missing;         /* counted labels without a list */
    uint64_t struck;          /* items struck from judged lists by the repeat policy, or named twice */
    uint64_t forbidden;       /* labels that the repeat policy forbids */
    struct fr_judge_slice all;
    struct fr_judge_slice known, fresh; /* user had / had no event before the counted part began */
    struct fr_judge_slice history[FR_JUDGE_HISTORY_BUCKETS]; /* by events up to and with the trigger */
    struct fr_judge_slice *segment;
    uint32_t n_segments;
    uint32_t coverage[FR_JUDGE_SYSTEMS]; /* distinct items recommended */
    struct fr_judge_interval hr[FR_JUDGE_SYSTEMS], mrr[FR_JUDGE_SYSTEMS];
};

/** Defaults: n 20, repeat allowed, half-lives 20,000, no segments, 200 resamples. */
void fr_judge_opts_init(struct fr_judge_opts *o);

/**
 * Judge.
 * @param out  filled only on FR_OK.
 * @errors FR_EINVAL an option, or a number in the input, is out of range; FR_ENOMEM
 * @thread any
 */
FR_MUST_CHECK enum fr_err fr_judge_run(const struct fr_judge_input *in,
                                       const struct fr_judge_opts *o,
                                       struct fr_judge_report *out,
                                       struct fr_fault *fault);

void fr_judge_report_done(struct fr_judge_report *r);

/** "decayed popularity", ... Static storage. */
const char *fr_judge_system_name(enum fr_judge_system s);
/** Name of a history bucket: "1", "2", "3-5", ... Static storage. */
const char *fr_judge_history_name(int bucket);

static inline double fr_judge_hr(const struct fr_judge_slice *s, enum fr_judge_system k)
{
    return s->labels == 0 ? 0 : (double)s->hits[k] / (double)s->labels;
}

static inline double fr_judge_mrr(const struct fr_judge_slice *s, enum fr_judge_system k)
{
    return s->labels == 0 ? 0 : s->rr[k] / (double)s->labels;
}

#endif
