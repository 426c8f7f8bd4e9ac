/*
 * daemon/cli/shop_score.c - see shop_score.h.
 */
#include "daemon/cli/shop_score.h"

#include <math.h>

#include "daemon/base/alloc.h"

#define Z95 1.959964

/* Sums over one user's lists. */
struct fr_shop_score_user {
    double shown, clicked; /* minus random */
    double room;           /* oracle minus random */
};

enum fr_err fr_shop_score_init(struct fr_shop_score *s, uint32_t users)
{
    *s = (struct fr_shop_score){.users = users};
    s->user = fr_calloc(users, sizeof(*s->user));
    return s->user == NULL ? FR_ENOMEM : FR_OK;
}

void fr_shop_score_done(struct fr_shop_score *s)
{
    fr_free(s->user);
    s->user = NULL;
}

void fr_shop_score_add(struct fr_shop_score *s, uint32_t user, const struct fr_shop_odds *odds, bool clicked)
{
    struct fr_shop_score_user *u = &s->user[user];

    s->lists++;
    s->clicks += clicked;
    s->shown += odds->shown;
    s->random += odds->random;
    s->oracle += odds->oracle;
    u->shown += odds->shown - odds->random;
    u->clicked += (clicked ? 1 : 0) - odds->random;
    u->room += odds->oracle - odds->random;
}

static struct fr_shop_interval ratio(const struct fr_shop_score *s, bool realised)
{
    double a = 0, b = 0, sq = 0, r, half;

    for (uint32_t i = 0; i < s->users; i++) {
        a += realised ? s->user[i].clicked : s->user[i].shown;
        b += s->user[i].room;
    }
    if (!(b > 0))
        return (struct fr_shop_interval){(double)NAN, (double)NAN, (double)NAN};
    r = a / b;
    for (uint32_t i = 0; i < s->users; i++) {
        double d = (realised ? s->user[i].clicked : s->user[i].shown) - r * s->user[i].room;

        sq += d * d;
    }
    half = Z95 * sqrt(sq) / b;
    return (struct fr_shop_interval){r, r - half, r + half};
}

void fr_shop_score_result(const struct fr_shop_score *s, struct fr_shop_result *out)
{
    double n = s->lists == 0 ? (double)NAN : (double)s->lists;

    *out = (struct fr_shop_result){.lists = s->lists,
                                   .clicks = s->clicks,
                                   .ctr = (double)s->clicks / n,
                                   .expected_ctr = s->shown / n,
                                   .random = s->random / n,
                                   .oracle = s->oracle / n,
                                   .captured = ratio(s, false),
                                   .captured_realised = ratio(s, true)};
}
