/*
 * daemon/cli/shop_score.h - click rate of the lists shown, beside random and the oracle, with intervals.
 *
 * Regret captured = (shown - random) / (oracle - random): 0 for random lists, 1 for the best ones. Once with
 * the clicks that happened ("realised"), once with their expectation under the shop's own probabilities
 * ("expected": the same truth with less noise).
 * Interval: 95 %, of a ratio of sums clustered by user (Taylor linearisation; Cochran 1977, 6.4): with
 * a_u = sum over u's lists of (shown - random) and b_u of (oracle - random), se = sqrt(sum (a_u - R b_u)^2) /
 * sum b_u. Layer: daemon/cli; daemon/base only. Thread: one.
 */
#ifndef FR_CLI_SHOP_SCORE_H
#define FR_CLI_SHOP_SCORE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/cli/shop.h"

struct fr_shop_score_user;

/** Owner: the caller's storage, zeroed; fr_shop_score_init() and _done(). */
struct fr_shop_score {
    struct fr_shop_score_user *user;
    uint32_t users;
    uint64_t lists, clicks;
    double shown, random, oracle;
};

/** A value with its 95 % interval; NaN when nothing was measured. */
struct fr_shop_interval {
    double v, lo, hi;
};

struct fr_shop_result {
    uint64_t lists, clicks;
    double ctr;          /* clicks / lists */
    double expected_ctr; /* of the lists shown */
    double random, oracle;
    struct fr_shop_interval captured; /* expected */
    struct fr_shop_interval captured_realised;
};

/** @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_shop_score_init(struct fr_shop_score *s, uint32_t users);
void fr_shop_score_done(struct fr_shop_score *s);
/** One list was looked at. user < users. */
void fr_shop_score_add(struct fr_shop_score *s, uint32_t user, const struct fr_shop_odds *odds, bool clicked);
/** All rates are NaN when nothing was added. */
void fr_shop_score_result(const struct fr_shop_score *s, struct fr_shop_result *out);

#endif
