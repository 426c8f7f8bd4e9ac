/*
 * daemon/cli/demo_scores.h - is a user's next item among the 20 of the newest list? Counted live, beside
 * decayed popularity.
 *
 * A small prequential count for a demo's panel; the judge (judge.h) is the exact tool.
 * Layer: daemon/cli. Thread: one at a time.
 */
#ifndef FR_CLI_DEMO_SCORES_H
#define FR_CLI_DEMO_SCORES_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/str.h"

#define FR_DEMO_LIST 20

struct fr_demo_scores;

/** @param half_life  of popularity, in events. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_demo_scores_new(double half_life, struct fr_demo_scores **out);

/** An item was used: it counts for popularity. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_demo_scores_used(struct fr_demo_scores *s, struct fr_str item);

/** A live event, before fr_demo_scores_used() for it: judges the user's newest list if he had an event
 *  before (no list then is a miss). @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_demo_scores_event(struct fr_demo_scores *s, struct fr_str user, struct fr_str item);

/** A list arrived: the first FR_DEMO_LIST items count. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_demo_scores_list(struct fr_demo_scores *s, struct fr_str user, const struct fr_str *items, int n);

/** Rates so far; NaN while nothing has been judged. */
void fr_demo_scores_rates(const struct fr_demo_scores *s, uint64_t *judged, double *lists, double *popular);

/** NULL is a no-op. */
void fr_demo_scores_free(struct fr_demo_scores *s);

#endif
