/*
 * daemon/cli/judge.c - the protocol of judge.h in one forward pass.
 *
 * Before the pass three arrays over the events are made: prev (the user's event before), label (the
 * event a list made here is judged by) and newest (the last trigger with that label). The forward pass
 * learns event i, and if i is the newest trigger of its label, makes the baselines' lists and scores
 * everybody. So lists are made only where they count, and nothing of the future reaches a baseline.
 */
#include "daemon/cli/judge.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/cli/judge_bootstrap.h"

#define PROGRESS_EVERY 8192

/* The pass. Owner: fr_judge_run(). */
struct judge {
    const struct fr_judge_input *in;
    const struct fr_judge_opts *o;
    struct fr_judge_report *r;
    uint32_t *prev;       /* event -> the user's event before, NONE */
    uint32_t *label;      /* event -> the event it is judged by, NONE */
    uint32_t *newest;     /* label -> the newest trigger, NONE = no label */
    uint32_t *newest_own; /* label -> the newest trigger that has a list, NONE */
    uint32_t *last;       /* user -> newest event so far, NONE */
    uint32_t *count;      /* user -> events so far */
    bool *known;          /* user -> had an event before the counted part */
    struct fr_judge_filter excluded, in_list;
    struct fr_judge_popular popular, fill;
    struct fr_judge_rules rules;
    uint8_t *covered[FR_JUDGE_SYSTEMS]; /* item -> was recommended */
    struct fr_judge_bootstrap boot;
    int64_t segment0; /* number of the first segment of time */
};

static const char *const names[FR_JUDGE_SYSTEMS] = {"lists judged", "decayed popularity", "last-item rules",
                                                     "last-10 rules", "repeat last items"};
static const char *const history_names[FR_JUDGE_HISTORY_BUCKETS] = {"1",     "2",     "3-5", "6-10",
                                                                    "11-20", "21-50", ">50"};

const char *fr_judge_system_name(enum fr_judge_system s)
{
    return s < FR_JUDGE_SYSTEMS ? names[s] : "?";
}

const char *fr_judge_history_name(int bucket)
{
    return bucket >= 0 && bucket < FR_JUDGE_HISTORY_BUCKETS ? history_names[bucket] : "?";
}

void fr_judge_opts_init(struct fr_judge_opts *o)
{
    memset(o, 0, sizeof(*o));
    o->n = 20;
    o->popular_half_life = 20000;
    o->fill_half_life = 20000;
    o->bootstrap = 200;
    o->seed = 1;
}

void fr_judge_report_done(struct fr_judge_report *r)
{
    fr_free(r->segment);
    memset(r, 0, sizeof(*r));
}

static enum fr_err check(const struct fr_judge_input *in, const struct fr_judge_opts *o, struct fr_fault *fault)
{
    if (o->n < 1 || o->n > FR_JUDGE_N_MAX)
        return fr_fault(fault, FR_EINVAL, "n: %d is outside 1..%d", o->n, FR_JUDGE_N_MAX);
    if (!(o->popular_half_life > 0) || !(o->fill_half_life > 0))
        return fr_fault(fault, FR_EINVAL, "half-life: not above 0");
    if (o->segments < 0 || o->segments > FR_JUDGE_SEGMENTS_MAX || o->segment_ms < 0 || o->bootstrap < 0)
        return fr_fault(fault, FR_EINVAL, "segments or resamples: out of range");
    if (in->n_events == 0)
        return fr_fault(fault, FR_EINVAL, "no events to judge by");
    if (in->n_events >= FR_JUDGE_NONE)
        return fr_fault(fault, FR_EINVAL, "more than 2^32 - 2 events");
    for (size_t i = 0; i < in->n_events; i++)
        if (in->events[i].user >= in->n_users || in->events[i].item >= in->n_items)
            return fr_fault(fault, FR_EINVAL, "event %zu: user or item number out of range", i);
    return FR_OK;
}

static enum fr_err allocate(struct judge *j)
{
    size_t n = j->in->n_events, u = j->in->n_users, m = j->in->n_items;

    j->prev = fr_malloc_array(n, sizeof(uint32_t));
    j->label = fr_malloc_array(n, sizeof(uint32_t));
    j->newest = fr_malloc_array(n, sizeof(uint32_t));
    j->newest_own = fr_malloc_array(n, sizeof(uint32_t));
    j->last = fr_malloc_array(u, sizeof(uint32_t));
    j->count = fr_calloc(u, sizeof(uint32_t));
    j->known = fr_calloc(u, sizeof(bool));
    j->excluded.mark = fr_calloc(m, sizeof(uint32_t));
    j->in_list.mark = fr_calloc(m, sizeof(uint32_t));
    if (j->prev == NULL || j->label == NULL || j->newest == NULL || j->newest_own == NULL ||
        j->last == NULL || j->count == NULL || j->known == NULL || j->excluded.mark == NULL ||
        j->in_list.mark == NULL)
        return FR_ENOMEM;
    for (int s = 0; s < FR_JUDGE_SYSTEMS; s++) {
        j->covered[s] = fr_calloc(m, 1);
        if (j->covered[s] == NULL)
            return FR_ENOMEM;
    }
    return FR_OK;
}

static enum fr_err init(struct judge *j)
{
    enum fr_err e = allocate(j);

    if (e == FR_OK)
        e = fr_judge_popular_init(&j->popular, j->in->n_items, j->o->popular_half_life);
    if (e == FR_OK)
        e = fr_judge_popular_init(&j->fill, j->in->n_items, j->o->fill_half_life);
    if (e == FR_OK)
        e = fr_judge_rules_init(&j->rules, j->in->n_items);
    if (e == FR_OK && j->o->bootstrap > 0)
        e = fr_judge_bootstrap_init(&j->boot, j->in->n_users, FR_JUDGE_SYSTEMS);
    return e;
}

static void done(struct judge *j)
{
    fr_free(j->prev);
    fr_free(j->label);
    fr_free(j->newest);
    fr_free(j->newest_own);
    fr_free(j->last);
    fr_free(j->count);
    fr_free(j->known);
    fr_free(j->excluded.mark);
    fr_free(j->in_list.mark);
    for (int s = 0; s < FR_JUDGE_SYSTEMS; s++)
        fr_free(j->covered[s]);
    fr_judge_popular_done(&j->popular);
    fr_judge_popular_done(&j->fill);
    fr_judge_rules_done(&j->rules);
    fr_judge_bootstrap_done(&j->boot);
}

static bool counted(const struct judge *j, size_t label)
{
    return label >= j->o->from_event && j->in->events[label].ts >= j->o->from_ts;
}

/* Links and labels. A strict label is the next greater ts: what lies between an event and its own
 * label is not later than it, so the search may jump from label to label. */
static void link_events(struct judge *j)
{
    const struct fr_judge_event *ev = j->in->events;
    size_t n = j->in->n_events;

    memset(j->last, 0xff, j->in->n_users * sizeof(uint32_t));
    memset(j->newest, 0xff, n * sizeof(uint32_t));
    memset(j->newest_own, 0xff, n * sizeof(uint32_t));
    for (size_t i = n; i-- > 0;) {
        uint32_t next = j->last[ev[i].user];

        while (j->o->strict && next != FR_JUDGE_NONE && ev[next].ts <= ev[i].ts)
            next = j->label[next];
        j->label[i] = next;
        j->last[ev[i].user] = (uint32_t)i;
    }
    memset(j->last, 0xff, j->in->n_users * sizeof(uint32_t));
    for (size_t i = 0; i < n; i++) {
        uint32_t label = j->label[i];

        j->prev[i] = j->last[ev[i].user];
        j->last[ev[i].user] = (uint32_t)i;
        if (!counted(j, i))
            j->known[ev[i].user] = true;
        if (label == FR_JUDGE_NONE)
            continue;
        j->newest[label] = (uint32_t)i;
        if (j->in->list_of != NULL && j->in->list_of[i] != FR_JUDGE_NONE)
            j->newest_own[label] = (uint32_t)i;
    }
}

/* Event i becomes known to the baselines. */
static enum fr_err learn(struct judge *j, uint32_t i)
{
    const struct fr_judge_event *ev = j->in->events;
    bool self = j->o->repeat != FR_JUDGE_FOREVER && !j->o->no_self_rules;
    uint32_t y = j->prev[i], x = ev[i].item;

    j->count[ev[i].user]++;
    if (j->o->no_baselines)
        return FR_OK;
    fr_judge_popular_add(&j->popular, x);
    fr_judge_popular_add(&j->fill, x);
    for (int gap = 1; gap <= FR_JUDGE_GAPS && y != FR_JUDGE_NONE; gap++, y = j->prev[y]) {
        enum fr_err e;

        if (ev[y].item == x && !self)
            continue;
        e = fr_judge_rules_add(&j->rules, ev[y].item, x, 1.0 / gap);
        if (e != FR_OK)
            return e;
    }
    return FR_OK;
}

/* Mark what the repeat policy forbids in a list triggered at event i. */
static void exclude(struct judge *j, uint32_t i)
{
    const struct fr_judge_event *ev = j->in->events;

    j->excluded.token++;
    if (j->o->repeat == FR_JUDGE_LAST)
        j->excluded.mark[ev[i].item] = j->excluded.token;
    for (uint32_t k = i; j->o->repeat == FR_JUDGE_FOREVER && k != FR_JUDGE_NONE; k = j->prev[k])
        j->excluded.mark[ev[k].item] = j->excluded.token;
}

/* The user's own items, newest first, each once. */
static void repeat_list(struct judge *j, uint32_t i, struct fr_judge_list *list)
{
    j->in_list.token++;
    list->n = 0;
    for (uint32_t k = i; k != FR_JUDGE_NONE && list->n < j->o->n; k = j->prev[k]) {
        uint32_t item = j->in->events[k].item;

        if (fr_judge_excluded(&j->excluded, item) || fr_judge_excluded(&j->in_list, item))
            continue;
        j->in_list.mark[item] = j->in_list.token;
        list->item[list->n++] = item;
    }
}

/* The judged system's list of trigger i, cleaned by the policy of that trigger. */
static void own_list(struct judge *j, uint32_t i, struct fr_judge_list *list)
{
    uint32_t k = j->in->list_of[i];

    exclude(j, i);
    j->in_list.token++;
    list->n = 0;
    for (uint32_t at = j->in->list_start[k]; at < j->in->list_start[k + 1] && list->n < j->o->n; at++) {
        uint32_t item = j->in->list_items[at];

        if (fr_judge_excluded(&j->excluded, item) || fr_judge_excluded(&j->in_list, item)) {
            j->r->struck++;
            continue;
        }
        j->in_list.mark[item] = j->in_list.token;
        list->item[list->n++] = item;
    }
}

static void baseline_list(struct judge *j, enum fr_judge_system s, uint32_t i, struct fr_judge_list *list)
{
    uint32_t recent[FR_JUDGE_GAPS];
    int n_recent = 0, most = s == FR_JUDGE_LAST_10 ? FR_JUDGE_GAPS : 1;

    list->n = 0;
    if (s == FR_JUDGE_POPULAR) {
        fr_judge_popular_fill(&j->popular, &j->excluded, &j->in_list, j->o->n, list);
        return;
    }
    if (s == FR_JUDGE_REPEAT) {
        repeat_list(j, i, list);
    } else {
        for (uint32_t k = i; k != FR_JUDGE_NONE && n_recent < most; k = j->prev[k])
            recent[n_recent++] = j->in->events[k].item;
        fr_judge_rules_list(&j->rules, recent, n_recent, &j->excluded, j->o->n, list);
    }
    fr_judge_popular_fill(&j->fill, &j->excluded, &j->in_list, j->o->n, list);
}

/* Place of the item from 1; 0 = not in the list. Notes what was recommended. */
static int place(struct judge *j, enum fr_judge_system s, const struct fr_judge_list *list, uint32_t item)
{
    int at = 0;

    for (int i = 0; i < list->n; i++) {
        j->covered[s][list->item[i]] = 1;
        if (list->item[i] == item)
            at = i + 1;
    }
    return at;
}

static int history_bucket(uint32_t events)
{
    static const uint32_t most[] = {1, 2, 5, 10, 20, 50};
    int b = 0;

    while (b < FR_JUDGE_HISTORY_BUCKETS - 1 && events > most[b])
        b++;
    return b;
}

static struct fr_judge_slice *segment_of(struct judge *j, uint32_t label)
{
    size_t from = j->o->from_event, n = j->in->n_events;

    if (j->r->n_segments == 0)
        return NULL;
    if (j->o->segment_ms > 0)
        return &j->r->segment[j->in->events[label].ts / j->o->segment_ms - j->segment0];
    return &j->r->segment[(label - from) * (size_t)j->o->segments / (n - from)];
}

static void add(struct fr_judge_slice *s, const int *places, int64_t ts)
{
    if (s == NULL)
        return;
    if (s->labels == 0 || ts < s->from_ts)
        s->from_ts = ts;
    if (s->labels == 0 || ts > s->to_ts)
        s->to_ts = ts;
    s->labels++;
    for (int k = 0; k < FR_JUDGE_SYSTEMS; k++) {
        if (places[k] == 0)
            continue;
        s->hits[k]++;
        s->rr[k] += 1.0 / places[k];
    }
}

/* Everybody's list for the label whose newest trigger is i. */
static void score(struct judge *j, uint32_t i)
{
    uint32_t label = j->label[i], own = j->newest_own[label];
    const struct fr_judge_event *ev = &j->in->events[label];
    int places[FR_JUDGE_SYSTEMS] = {0};
    struct fr_judge_list list;

    if (own != FR_JUDGE_NONE) {
        own_list(j, own, &list);
        places[FR_JUDGE_LISTS] = place(j, FR_JUDGE_LISTS, &list, ev->item);
        j->r->lists_counted++;
    }
    j->r->missing += own == FR_JUDGE_NONE;
    exclude(j, i);
    j->r->forbidden += fr_judge_excluded(&j->excluded, ev->item);
    for (int s = FR_JUDGE_POPULAR; s < FR_JUDGE_SYSTEMS; s++) {
        if (!j->r->has[s])
            continue;
        baseline_list(j, (enum fr_judge_system)s, i, &list);
        places[s] = place(j, (enum fr_judge_system)s, &list, ev->item);
    }
    add(&j->r->all, places, ev->ts);
    add(j->known[ev->user] ? &j->r->known : &j->r->fresh, places, ev->ts);
    add(&j->r->history[history_bucket(j->count[ev->user])], places, ev->ts);
    add(segment_of(j, label), places, ev->ts);
    if (j->o->bootstrap > 0)
        fr_judge_bootstrap_add(&j->boot, ev->user, places);
}

/* Segments that the counted labels fall into. */
static enum fr_err make_segments(struct judge *j, struct fr_fault *fault)
{
    int64_t low = 0, high = -1;
    uint64_t n = (uint64_t)j->o->segments;

    if (j->o->segment_ms > 0) {
        for (size_t i = 0; i < j->in->n_events; i++) {
            int64_t k = j->in->events[i].ts / j->o->segment_ms;

            if (j->newest[i] == FR_JUDGE_NONE || !counted(j, i))
                continue;
            low = high < low || k < low ? k : low;
            high = high < low || k > high ? k : high;
        }
        n = high < low ? 0 : (uint64_t)(high - low) + 1;
        j->segment0 = low;
    }
    if (n > FR_JUDGE_SEGMENTS_MAX)
        return fr_fault(fault, FR_EINVAL, "segments: %llu, more than %d; choose longer ones",
                        (unsigned long long)n, FR_JUDGE_SEGMENTS_MAX);
    if (n == 0)
        return FR_OK;
    j->r->segment = fr_calloc(n, sizeof(*j->r->segment));
    if (j->r->segment == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    j->r->n_segments = (uint32_t)n;
    return FR_OK;
}

static enum fr_err pass(struct judge *j)
{
    for (uint32_t i = 0; i < j->in->n_events; i++) {
        uint32_t label = j->label[i];
        enum fr_err e = learn(j, i);

        if (e != FR_OK)
            return e;
        if (label != FR_JUDGE_NONE && j->newest[label] == i && counted(j, label))
            score(j, i);
        if (j->o->progress != NULL && i % PROGRESS_EVERY == 0)
            j->o->progress(j->o->progress_ctx, i);
    }
    return FR_OK;
}

static void conclude(struct judge *j)
{
    struct fr_judge_report *r = j->r;

    for (int s = 0; s < FR_JUDGE_SYSTEMS; s++)
        for (uint32_t i = 0; i < j->in->n_items; i++)
            r->coverage[s] += j->covered[s][i];
    for (size_t i = 0; j->in->list_of != NULL && i < j->in->n_events; i++)
        r->lists += j->in->list_of[i] != FR_JUDGE_NONE;
    if (j->o->bootstrap > 0) {
        fr_judge_bootstrap_run(&j->boot, j->o->bootstrap, j->o->seed, r->hr, r->mrr);
        r->label_users = j->boot.n_users_with_labels;
    }
}

enum fr_err fr_judge_run(const struct fr_judge_input *in,
                         const struct fr_judge_opts *o,
                         struct fr_judge_report *out,
                         struct fr_fault *fault)
{
    struct judge j = {.in = in, .o = o};
    struct fr_judge_report r = {.n = o->n};
    enum fr_err e = check(in, o, fault);

    if (e != FR_OK)
        return e;
    j.r = &r;
    r.events = in->n_events;
    r.users = in->n_users;
    r.items = in->n_items;
    for (int s = 0; s < FR_JUDGE_SYSTEMS; s++)
        r.has[s] = s == FR_JUDGE_LISTS ? in->list_of != NULL : !o->no_baselines;
    if (o->repeat == FR_JUDGE_FOREVER)
        r.has[FR_JUDGE_REPEAT] = false;
    e = init(&j);
    if (e != FR_OK) {
        e = fr_fault(fault, e, "out of memory");
        goto out;
    }
    link_events(&j);
    e = make_segments(&j, fault);
    if (e == FR_OK) {
        e = pass(&j);
        if (e != FR_OK)
            e = fr_fault(fault, e, "out of memory");
    }
    if (e == FR_OK)
        conclude(&j);
out:
    done(&j);
    if (e != FR_OK)
        fr_judge_report_done(&r);
    else
        *out = r;
    return e;
}
