/*
 * daemon/cli/demo_view.h - what a demo shows: newest lists with titles, freshness, click rate; a summary.
 *
 * On a terminal a panel is redrawn in place twice a second; elsewhere a plain line every two seconds.
 * Everything goes to standard output. Layer: daemon/cli. Thread: main.
 */
#ifndef FR_CLI_DEMO_VIEW_H
#define FR_CLI_DEMO_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/str.h"

#define FR_DEMO_SHOWN 4  /* newest lists kept for the panel */
#define FR_DEMO_TITLES 5 /* of each list */
#define FR_DEMO_TEXT 48

/** One list as a person sees it. */
struct fr_demo_shown {
    char user[FR_DEMO_TEXT];
    char because[FR_DEMO_TEXT]; /* the item that was just used */
    char title[FR_DEMO_TITLES][FR_DEMO_TEXT];
    int n_titles;
    double ms; /* click to list, seen from outside */
};

/** Figures since the first recommendation. NaN = there is none. */
struct fr_demo_figures {
    double seconds;
    uint64_t events, lists, missing;
    double p50_ms, p99_ms;               /* click to recommendation, from outside */
    double daemon_p50_ms, daemon_p99_ms; /* the same as the daemon's histogram tells */
    double feature_p50_ms, feature_p99_ms;
    /* a simulated shop */
    double ctr, random, oracle; /* click rate of the lists shown, of random ones, of the best ones */
    double captured, captured_pm; /* (ctr - random) / (oracle - random), and half its 95 % interval */
    uint64_t clicks, shown;
    /* real data */
    double hit_rate, popular_hit_rate; /* next item among the 20 of the newest list; of popularity */
    uint64_t judged;
};

/** Owner: the caller's storage; fr_demo_view_init(). */
struct fr_demo_view {
    bool terminal;
    bool is_shop;
    const char *addresses; /* borrowed: one line, where everything listens */
    int lines;             /* drawn by the last panel */
    int64_t drawn_us;
    struct fr_demo_shown shown[FR_DEMO_SHOWN]; /* newest first */
    int n_shown;
};

void fr_demo_view_init(struct fr_demo_view *v, bool is_shop, const char *addresses);

/** A new list for the panel, pushed in front; the caller fills what is returned. */
struct fr_demo_shown *fr_demo_view_push(struct fr_demo_view *v);

/** Copy a text into a cell: cut at a character's end, control characters left out. */
void fr_demo_view_text(char cell[FR_DEMO_TEXT], struct fr_str text);

/** Is it time to redraw? */
bool fr_demo_view_due(const struct fr_demo_view *v, int64_t now_us);

void fr_demo_view_draw(struct fr_demo_view *v, const struct fr_demo_figures *f, int64_t now_us);

/** The table at the end. */
void fr_demo_view_summary(struct fr_demo_view *v, const struct fr_demo_figures *f);

#endif
