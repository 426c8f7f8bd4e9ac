/*
 * tests/unit/test_cli_shop.c - the simulated shop: its choice model against a second, naive computation, the
 * oracle against brute force, and that drift, satiation, births and deaths do what they say.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/hash.h"
#include "daemon/base/rng.h"
#include "daemon/cli/shop.h"
#include "daemon/cli/shop_priv.h"

static struct fr_shop *make_shop(const struct fr_shop_conf *c)
{
    struct fr_shop *sh = NULL;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};

    ck_assert_int_eq(fr_shop_new(c, &sh, &fault), FR_OK);
    return sh;
}

static struct fr_shop_conf conf(uint32_t users, uint32_t items, int n, uint64_t seed)
{
    struct fr_shop_conf c;

    fr_shop_conf_default(&c);
    c.users = users;
    c.items = items;
    c.n = n;
    c.seed = seed;
    c.start_ms = 1790000000000;
    return c;
}

static void some_list(struct fr_shop *sh, struct fr_rng *r, uint32_t *out, int n)
{
    for (int i = 0; i < n; i++) {
        bool have;

        do {
            out[i] = fr_shop_alive_at(sh, (uint32_t)fr_rng_below(r, fr_shop_alive(sh)));
            have = false;
            for (int k = 0; k < i; k++)
                have |= out[k] == out[i];
        } while (have);
    }
}

/* ---- the choice, computed again from the formulas of shop.h, nothing shared but the parameters ---- */

static double naive_utility(const struct fr_shop *sh, const struct shop_user *u, uint32_t item)
{
    const struct shop_item *it = &sh->item[item];
    double v = (double)it->quality + (double)u->likes[it->cat];

    for (uint32_t i = 0; i < sh->n_fashionable; i++) /* as of the last refresh, hence base */
        if (sh->fashionable[i] == item)
            v += (double)it->base - (double)it->quality;
    if (u->mission_cat == it->cat)
        v += 1.0;
    if (u->mission_cat == it->cat && u->mission_kind == it->kind)
        v += 1.4;
    for (int d = 0; d < SHOP_DIM; d++)
        v += (double)u->taste[d] * (double)it->style[d];
    v -= (double)u->thrift * (double)it->price_z;
    v -= (double)u->tired_cat[it->cat];
    for (int i = 0; i < u->n_tired; i++)
        if (u->tired[i].item == item)
            v -= 3.0 * sh->conf.satiation * exp(-(double)(u->ms - u->tired[i].ms) / (3 * sh->day_ms));
    return v;
}

static void naive(const struct fr_shop *sh, uint32_t user, const uint32_t *list, int n, double *p, double *none)
{
    const struct shop_user *u = &sh->user[user];
    double pi = (double)u->patience;

    *none = 0;
    for (int i = 0; i < n; i++)
        p[i] = 0;
    for (int m = 1; m <= n; m++) {
        double depth = pow(pi, m - 1) * (m == n ? 1 : 1 - pi), total = 0, iv[64];

        for (int c = 0; c < sh->n_cats; c++) {
            double s = 0;
            for (int i = 0; i < m; i++)
                if (sh->item[list[i]].cat == c)
                    s += exp(naive_utility(sh, u, list[i]) / sh->cat[c].lambda);
            iv[c] = s; /* P(nest) = s^lambda / total, P(item | nest) = e / s */
            total += s > 0 ? exp(sh->cat[c].lambda * log(s)) : 0;
        }
        total += exp(6.6);
        *none += depth * exp(6.6) / total;
        for (int i = 0; i < m; i++) {
            int c = sh->item[list[i]].cat;
            double nest = exp(sh->cat[c].lambda * log(iv[c])) / total;

            p[i] += depth * nest * exp(naive_utility(sh, u, list[i]) / sh->cat[c].lambda) / iv[c];
        }
    }
}

START_TEST(probabilities__many_lists__sum_to_one_and_equal_the_naive_computation)
{
    struct fr_shop_conf c = conf(50, 400, 12, 3);
    struct fr_shop *sh = make_shop(&c);
    struct fr_rng r;
    double worst = 0;

    fr_rng_seed(&r, 5);
    for (int k = 0; k < 2000; k++) {
        struct fr_shop_visit v;
        struct fr_shop_browse b;
        struct fr_shop_odds odds;
        uint32_t list[12];
        double p[FR_SHOP_LIST_MAX], q[FR_SHOP_LIST_MAX], none, qnone, sum = 0;
        int n = 1 + (int)fr_rng_below(&r, 12);

        ck_assert_int_eq(fr_shop_next_visit(sh, &v), FR_OK);
        fr_shop_browse(sh, v.user, v.ts_ms, &b); /* so that somebody is tired of something */
        some_list(sh, &r, list, n);
        fr_shop_probabilities(sh, v.user, list, n, v.ts_ms, p, &none);
        naive(sh, v.user, list, n, q, &qnone);
        for (int i = 0; i < n; i++) {
            ck_assert(p[i] > 0 && p[i] < 1);
            sum += p[i];
            worst = fmax(worst, fabs(p[i] - q[i]) / q[i]);
        }
        ck_assert_double_eq_tol(sum + none, 1, 1e-12);
        ck_assert_double_eq_tol(none, qnone, 1e-5);
        fr_shop_judge(sh, v.user, list, n, v.ts_ms, &odds);
        ck_assert_double_eq_tol(odds.shown, sum, 1e-12);
        ck_assert(odds.oracle >= odds.shown - 1e-12);
        ck_assert(odds.random > 0 && odds.random <= odds.oracle + 1e-12);
    }
    ck_assert_msg(worst < 2e-5, "a probability is off by a share of %g", worst); /* utilities are floats */
    fr_shop_free(sh);
}
END_TEST

START_TEST(show__one_list_many_times__clicks_as_often_as_it_says)
{
    struct fr_shop_conf c = conf(3, 60, 8, 11);
    struct fr_shop *sh = make_shop(&c);
    uint32_t list[FR_SHOP_LIST_MAX];
    double p[FR_SHOP_LIST_MAX], none, chi = 0;
    uint64_t count[9] = {0}, examined[9] = {0};
    int trials = 200000;

    ck_assert_int_eq(fr_shop_best(sh, 1, c.start_ms, list), 8);
    fr_shop_probabilities(sh, 1, list, 8, c.start_ms, p, &none);
    for (int t = 0; t < trials; t++) {
        struct shop_user as_before = sh->user[1];
        struct fr_shop_reaction r;

        fr_shop_show(sh, 1, list, 8, c.start_ms, &r);
        sh->user[1] = as_before; /* a click tires: undo it */
        ck_assert(r.examined >= 1 && r.examined <= 8 && r.clicked < r.examined);
        count[r.clicked < 0 ? 8 : r.clicked]++;
        examined[r.examined]++;
    }
    for (int i = 0; i < 9; i++) {
        double want = (i == 8 ? none : p[i]) * trials;

        ck_assert(want > 20);
        chi += ((double)count[i] - want) * ((double)count[i] - want) / want;
    }
    ck_assert_msg(chi < 26.1, "chi square of 8 degrees of freedom is %g (p = .001 at 26.1)", chi);
    for (int m = 1; m < 8; m++) { /* geometric depth: the share that stops at m */
        double pi = (double)sh->user[1].patience, want = pow(pi, m - 1) * (1 - pi) * trials;

        ck_assert_msg(fabs((double)examined[m] - want) < 5 * sqrt(want), "depth %d: %g, %llu", m, want,
                      (unsigned long long)examined[m]);
    }
    fr_shop_free(sh);
}
END_TEST

START_TEST(probabilities__same_item_further_down__is_clicked_less)
{
    struct fr_shop_conf c = conf(20, 400, 10, 7);
    struct fr_shop *sh = make_shop(&c);
    struct fr_rng r;

    fr_rng_seed(&r, 9);
    for (uint32_t user = 0; user < 20; user++) {
        uint32_t list[10], turned[10];
        double a[FR_SHOP_LIST_MAX], b[FR_SHOP_LIST_MAX], none;

        some_list(sh, &r, list, 10);
        memcpy(turned, list, sizeof(list));
        turned[0] = list[9];
        turned[9] = list[0];
        fr_shop_probabilities(sh, user, list, 10, c.start_ms, a, &none);
        fr_shop_probabilities(sh, user, turned, 10, c.start_ms, b, &none);
        ck_assert(a[0] > 1.05 * b[9]);
        ck_assert(b[0] > 1.05 * a[9]);
    }
    fr_shop_free(sh);
}
END_TEST

START_TEST(show__dead_unknown_repeated_and_no_items__hold_places_and_are_not_clicked)
{
    struct fr_shop_conf c = conf(5, 200, 6, 2);
    struct fr_shop *sh = make_shop(&c);
    uint32_t best[FR_SHOP_LIST_MAX], list[7];
    double p[FR_SHOP_LIST_MAX], none, alone[FR_SHOP_LIST_MAX];
    struct fr_shop_reaction r;

    ck_assert_int_eq(fr_shop_best(sh, 0, c.start_ms, best), 6);
    memcpy(list, (uint32_t[]){best[0], FR_SHOP_ITEM_NONE, best[0], 100000, best[1], best[2], best[3]},
           sizeof(list));
    fr_shop_probabilities(sh, 0, list, 7, c.start_ms, p, &none);
    ck_assert(p[0] > 0 && p[4] > 0 && p[5] > 0);
    ck_assert_double_eq(p[1], 0);
    ck_assert_double_eq(p[2], 0);
    ck_assert_double_eq(p[3], 0);
    ck_assert_double_eq_tol(p[0] + p[4] + p[5] + none, 1, 1e-12); /* the seventh is past conf.n */
    fr_shop_probabilities(sh, 0, best, 1, c.start_ms, alone, &none);
    ck_assert(alone[0] > 0);
    fr_shop_probabilities(sh, 0, best, 0, c.start_ms, alone, &none);
    ck_assert_double_eq(none, 1);
    fr_shop_show(sh, 0, best, 0, c.start_ms, &r);
    ck_assert_int_eq(r.clicked, -1);
    ck_assert_int_eq(r.examined, 0);
    for (int t = 0; t < 3000; t++) {
        fr_shop_show(sh, 0, list, 7, c.start_ms, &r);
        ck_assert(r.clicked == -1 || r.clicked == 0 || r.clicked == 4 || r.clicked == 5);
    }
    fr_shop_free(sh);
}
END_TEST

/* ---- the oracle ---- */

/* Click chance of the best of all ordered lists of 3. */
static double brute_force(struct fr_shop *sh, uint32_t user, int64_t now)
{
    uint32_t n = fr_shop_alive(sh);
    double best = 0;

    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = 0; b < n; b++)
            for (uint32_t c = 0; c < n; c++) {
                uint32_t list[3] = {fr_shop_alive_at(sh, a), fr_shop_alive_at(sh, b), fr_shop_alive_at(sh, c)};
                double p[FR_SHOP_LIST_MAX], none;

                if (a == b || b == c || a == c)
                    continue;
                fr_shop_probabilities(sh, user, list, 3, now, p, &none);
                best = fmax(best, 1 - none);
            }
    return best;
}

START_TEST(best__tiny_shops__equals_brute_force_over_all_ordered_lists)
{
    int nests_mixed = 0;

    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct fr_shop_conf c = conf(6, 3 + (uint32_t)(seed % 6), 3, seed);
        struct fr_shop *sh = make_shop(&c);

        for (int k = 0; k < 6; k++) {
            struct fr_shop_visit v;
            struct fr_shop_browse b;
            struct fr_shop_odds odds;
            uint32_t best[FR_SHOP_LIST_MAX];
            double want;

            ck_assert_int_eq(fr_shop_next_visit(sh, &v), FR_OK);
            fr_shop_browse(sh, v.user, v.ts_ms, &b);
            ck_assert_int_eq(fr_shop_best(sh, v.user, v.ts_ms, best), 3);
            want = brute_force(sh, v.user, v.ts_ms);
            fr_shop_judge(sh, v.user, best, 3, v.ts_ms, &odds);
            ck_assert_double_eq_tol(odds.shown, want, 1e-12);
            ck_assert_double_eq_tol(odds.oracle, want, 1e-12);
            nests_mixed += sh->item[best[0]].cat != sh->item[best[1]].cat;
        }
        fr_shop_free(sh);
    }
    ck_assert_int_gt(nests_mixed, 20); /* both nests really play */
}
END_TEST

START_TEST(best__large_shop__no_random_or_changed_list_is_better)
{
    struct fr_shop_conf c = conf(10, 1500, 20, 21);
    struct fr_shop *sh = make_shop(&c);
    struct fr_rng r;

    fr_rng_seed(&r, 4);
    for (uint32_t user = 0; user < 4; user++) {
        uint32_t best[FR_SHOP_LIST_MAX], list[20];
        double p[FR_SHOP_LIST_MAX], none, top;

        ck_assert_int_eq(fr_shop_best(sh, user, c.start_ms, best), 20);
        fr_shop_probabilities(sh, user, best, 20, c.start_ms, p, &none);
        top = 1 - none;
        for (int k = 0; k < 1000; k++) {
            some_list(sh, &r, list, 20);
            fr_shop_probabilities(sh, user, list, 20, c.start_ms, p, &none);
            ck_assert(1 - none <= top);
            memcpy(list, best, sizeof(list)); /* and one item replaced, two swapped */
            list[fr_rng_below(&r, 20)] = fr_shop_alive_at(sh, (uint32_t)fr_rng_below(&r, 1500));
            fr_shop_probabilities(sh, user, list, 20, c.start_ms, p, &none);
            ck_assert(1 - none <= top + 1e-12);
            memcpy(list, best, sizeof(list));
            list[k % 20] = best[(k * 7 + 3) % 20];
            list[(k * 7 + 3) % 20] = best[k % 20];
            fr_shop_probabilities(sh, user, list, 20, c.start_ms, p, &none);
            ck_assert(1 - none <= top + 1e-12);
        }
    }
    fr_shop_free(sh);
}
END_TEST

/* ---- the world moves ---- */

START_TEST(show__after_a_click__satiation_lowers_the_same_item_and_fades)
{
    struct fr_shop_conf c = conf(1, 200, 1, 5);
    struct fr_shop *sh;
    uint32_t best[FR_SHOP_LIST_MAX];
    double p0[FR_SHOP_LIST_MAX], p1[FR_SHOP_LIST_MAX], p2[FR_SHOP_LIST_MAX], none;
    struct fr_shop_reaction r = {0};
    int64_t day;

    c.drift = 0;
    sh = make_shop(&c);
    day = (int64_t)fr_shop_day_ms(sh);
    ck_assert_int_eq(fr_shop_best(sh, 0, c.start_ms, best), 1);
    fr_shop_probabilities(sh, 0, best, 1, c.start_ms, p0, &none);
    for (r.clicked = -1; r.clicked < 0;)
        fr_shop_show(sh, 0, best, 1, c.start_ms, &r);
    fr_shop_probabilities(sh, 0, best, 1, c.start_ms, p1, &none);
    ck_assert(p1[0] < 0.2 * p0[0]);
    fr_shop_probabilities(sh, 0, best, 1, c.start_ms + 30 * day, p2, &none);
    ck_assert_double_eq_tol(p2[0], p0[0], 0.01 * p0[0]);
    fr_shop_free(sh);

    c.satiation = 0;
    sh = make_shop(&c);
    for (r.clicked = -1; r.clicked < 0;)
        fr_shop_show(sh, 0, best, 1, c.start_ms, &r);
    fr_shop_probabilities(sh, 0, best, 1, c.start_ms, p1, &none);
    ck_assert_double_eq(p1[0], p0[0]);
    fr_shop_free(sh);
}
END_TEST

/* Share of today's best list that is still in the best list `days` later, mean over the users. */
static double still_best(double drift, double days)
{
    struct fr_shop_conf c = conf(200, 400, 20, 8);
    struct fr_shop *sh;
    int kept = 0;

    c.drift = drift;
    sh = make_shop(&c);
    for (uint32_t user = 0; user < 200; user++) {
        uint32_t a[FR_SHOP_LIST_MAX], b[FR_SHOP_LIST_MAX];

        /* each user in a shop of his own time: time never goes back */
        sh->now_ms = c.start_ms;
        ck_assert_int_eq(fr_shop_best(sh, user, c.start_ms, a), 20);
        ck_assert_int_eq(fr_shop_best(sh, user, c.start_ms + (int64_t)(days * fr_shop_day_ms(sh)), b), 20);
        for (int i = 0; i < 20; i++)
            for (int k = 0; k < 20; k++)
                kept += a[i] == b[k];
    }
    fr_shop_free(sh);
    return kept / (20.0 * 200);
}

START_TEST(best__later__drifts_away_and_only_when_asked_to)
{
    double hour = still_best(1, 0.02), day = still_best(1, 1), month = still_best(1, 30);

    ck_assert_double_eq(still_best(0, 30), 1);
    ck_assert_msg(hour > day && day > month && hour > 0.8 && month < 0.4, "%g %g %g", hour, day, month);
}
END_TEST

START_TEST(next_change__births_and_deaths__come_in_order_and_at_their_rate)
{
    struct fr_shop_conf c = conf(100, 500, 10, 13);
    struct fr_shop *sh;
    struct fr_shop_change ch;
    struct fr_shop_visit v;
    uint32_t born = 0, died = 0, visits = 0;
    int64_t last = c.start_ms;

    c.births_per_day = 50;
    c.deaths_per_day = 30;
    sh = make_shop(&c);
    for (uint32_t i = 0; i < 500; i++) {
        ck_assert(fr_shop_next_change(sh, &ch));
        ck_assert(ch.item == i && ch.born && ch.ts_ms == c.start_ms);
    }
    ck_assert(!fr_shop_next_change(sh, &ch));
    do {
        ck_assert_int_eq(fr_shop_next_visit(sh, &v), FR_OK);
        visits++;
        while (fr_shop_next_change(sh, &ch)) {
            struct fr_shop_item it;

            ck_assert(ch.ts_ms >= last && ch.ts_ms <= v.ts_ms);
            last = ch.ts_ms;
            ck_assert(fr_shop_item(sh, ch.item, &it));
            ck_assert_int_eq(ch.born ? it.born_ms : it.died_ms, ch.ts_ms);
            ck_assert(ch.born || !fr_shop_is_alive(sh, ch.item));
            born += ch.born;
            died += !ch.born;
        }
    } while ((double)(v.ts_ms - c.start_ms) < 10 * fr_shop_day_ms(sh));
    ck_assert_msg(fabs(born - 500.0) < 5 * sqrt(500), "%u births in 10 days at 50 a day", born);
    ck_assert_msg(fabs(died - 300.0) < 5 * sqrt(300), "%u deaths in 10 days at 30 a day", died);
    ck_assert_msg(fabs(visits - 12000.0) < 5 * sqrt(12000), "%u visits of 100 users, 12 a day", visits);
    ck_assert_uint_eq(fr_shop_items(sh), 500 + born);
    ck_assert_uint_eq(fr_shop_alive(sh), 500 + born - died);
    for (uint32_t k = 0; k < fr_shop_alive(sh); k++) {
        const struct shop_item *it = &sh->item[fr_shop_alive_at(sh, k)];

        ck_assert_uint_eq(it->at_alive, k);
        ck_assert_uint_eq(sh->cat[it->cat].member[it->at_cat], fr_shop_alive_at(sh, k));
    }
    fr_shop_free(sh);
}
END_TEST

START_TEST(advance__fashions__rise_and_fade)
{
    struct fr_shop_conf c = conf(100, 300, 10, 17);
    struct fr_shop *sh;
    struct fr_shop_visit v;
    uint32_t most = 0;

    c.births_per_day = c.deaths_per_day = 0;
    c.fashions_per_day = 100;
    sh = make_shop(&c);
    for (int i = 0; i < 2000; i++) {
        ck_assert_int_eq(fr_shop_next_visit(sh, &v), FR_OK);
        most = sh->n_fashionable > most ? sh->n_fashionable : most;
    }
    ck_assert_uint_gt(most, 20);
    sh->next_fashion_ms = (double)INFINITY;
    for (int i = 0; i < 12000; i++)
        ck_assert_int_eq(fr_shop_next_visit(sh, &v), FR_OK);
    ck_assert_uint_eq(sh->n_fashionable, 0);
    for (uint32_t i = 0; i < 300; i++)
        ck_assert(sh->item[i].base == sh->item[i].quality); /* bit for bit */
    fr_shop_free(sh);
}
END_TEST

/* ---- the same again ---- */

static uint64_t run_hash(uint64_t seed, bool judged)
{
    struct fr_shop_conf c = conf(50, 300, 10, seed);
    struct fr_shop *sh = make_shop(&c);
    struct fr_rng r;
    uint64_t h = 0;

    fr_rng_seed(&r, 1);
    for (int i = 0; i < 2000; i++) {
        struct fr_shop_visit v;
        struct fr_shop_browse b;
        struct fr_shop_reaction re;
        struct fr_shop_odds odds;
        uint32_t list[10];
        int64_t seen[6];

        ck_assert_int_eq(fr_shop_next_visit(sh, &v), FR_OK);
        fr_shop_browse(sh, v.user, v.ts_ms, &b);
        some_list(sh, &r, list, 10);
        if (judged)
            fr_shop_judge(sh, v.user, list, 10, v.ts_ms, &odds);
        fr_shop_show(sh, v.user, list, 10, v.ts_ms, &re);
        memcpy(seen, (int64_t[]){v.user, v.ts_ms, b.item, b.act, re.clicked, re.examined}, sizeof(seen));
        h = h * 31 + fr_siphash(fr_hash_key_from(FR_STR_LIT("t")), (struct fr_str){(char *)seen, sizeof(seen)});
    }
    fr_shop_free(sh);
    return h;
}

START_TEST(new__same_seed__same_stream_judged_or_not)
{
    uint64_t h = run_hash(1, false);

    ck_assert(run_hash(1, false) == h);
    ck_assert(run_hash(1, true) == h);
    ck_assert(run_hash(2, false) != h);
    ck_assert(run_hash(0, false) != h);
}
END_TEST

START_TEST(ids__only_our_own__are_found)
{
    struct fr_shop_conf c = conf(7, 20, 3, 1);
    struct fr_shop *sh = make_shop(&c);
    const char *bad[] = {"", "i", "i7", "i00007", "i0000007", "u000007", "i000020", "i-00007", "i00000x", "i+00007",
                         "i18446744073709551616", "i4294967303", "x000007"};
    char id[FR_SHOP_NAME];

    for (uint32_t i = 0; i < 20; i++) {
        fr_shop_item_id(i, id);
        ck_assert_uint_eq(fr_shop_find_item(sh, id, strlen(id)), i);
    }
    fr_shop_user_id(6, id);
    ck_assert_uint_eq(fr_shop_find_user(sh, id, strlen(id)), 6);
    fr_shop_user_id(7, id);
    ck_assert_uint_eq(fr_shop_find_user(sh, id, strlen(id)), UINT32_MAX);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(fr_shop_find_item(sh, bad[i], strlen(bad[i])) == FR_SHOP_ITEM_NONE, "%s", bad[i]);
    fr_shop_free(sh);
}
END_TEST

START_TEST(item__titles__follow_the_style)
{
    struct fr_shop_conf c = conf(2, 2000, 5, 1);
    struct fr_shop *sh = make_shop(&c);
    int by_word[2] = {0, 0}, different = 0;
    char last[FR_SHOP_TITLE] = "";

    for (uint32_t i = 0; i < 2000; i++) {
        struct fr_shop_item it;

        ck_assert(fr_shop_item(sh, i, &it));
        ck_assert(it.price >= 0.99 && it.price < 5000);
        ck_assert(strlen(it.title) >= 10 && strlen(it.brand) >= 4 && strlen(it.category) >= 3);
        different += strcmp(it.title, last) != 0;
        memcpy(last, it.title, sizeof(last));
        if (strncmp(it.title, "Ornate ", 7) == 0)
            by_word[sh->item[i].style[0] > 0]++;
        if (strncmp(it.title, "Plain ", 6) == 0)
            by_word[sh->item[i].style[0] < 0]++;
    }
    ck_assert_int_gt(different, 1900);
    ck_assert_int_eq(by_word[0], 0);
    ck_assert_int_gt(by_word[1], 50);
    fr_shop_free(sh);
}
END_TEST

START_TEST(new__bad_conf__is_refused_by_name)
{
    struct fr_shop_conf c;
    struct fr_shop *sh = NULL;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};

#define REFUSED(field, value)                                                                                   \
    c = conf(10, 20, 5, 1);                                                                                     \
    c.field = (value);                                                                                          \
    ck_assert_int_eq(fr_shop_new(&c, &sh, &fault), FR_ERANGE);                                                  \
    ck_assert_msg(strstr(fault.msg, #field) != NULL, "%s", fault.msg)
    REFUSED(users, 0);
    REFUSED(items, 1);
    REFUSED(n, 0);
    REFUSED(n, FR_SHOP_LIST_MAX + 1);
    REFUSED(start_ms, -1);
    REFUSED(visits_per_s, 0);
    REFUSED(visits_per_s, (double)NAN);
    REFUSED(births_per_day, -1);
    REFUSED(drift, (double)INFINITY);
    REFUSED(satiation, -0.5);
    ck_assert(sh == NULL);
}
END_TEST

START_TEST(new__every_allocation_failing_in_turn__is_clean)
{
    struct fr_shop_conf c = conf(10, 200, 5, 1);

    for (uint64_t nth = 1;; nth++) {
        struct fr_shop *sh = NULL;
        enum fr_err e;

        fr_alloc_fail_at(nth);
        e = fr_shop_new(&c, &sh, NULL);
        fr_alloc_fail_at(0);
        if (e == FR_OK) {
            ck_assert_uint_gt(nth, 5);
            fr_shop_free(sh);
            break;
        }
        ck_assert_int_eq(e, FR_ENOMEM);
        ck_assert(sh == NULL);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli/shop");
    TCase *tc = tcase_create("shop");
    SRunner *sr;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, probabilities__many_lists__sum_to_one_and_equal_the_naive_computation);
    tcase_add_test(tc, show__one_list_many_times__clicks_as_often_as_it_says);
    tcase_add_test(tc, probabilities__same_item_further_down__is_clicked_less);
    tcase_add_test(tc, show__dead_unknown_repeated_and_no_items__hold_places_and_are_not_clicked);
    tcase_add_test(tc, best__tiny_shops__equals_brute_force_over_all_ordered_lists);
    tcase_add_test(tc, best__large_shop__no_random_or_changed_list_is_better);
    tcase_add_test(tc, show__after_a_click__satiation_lowers_the_same_item_and_fades);
    tcase_add_test(tc, best__later__drifts_away_and_only_when_asked_to);
    tcase_add_test(tc, next_change__births_and_deaths__come_in_order_and_at_their_rate);
    tcase_add_test(tc, advance__fashions__rise_and_fade);
    tcase_add_test(tc, new__same_seed__same_stream_judged_or_not);
    tcase_add_test(tc, ids__only_our_own__are_found);
    tcase_add_test(tc, item__titles__follow_the_style);
    tcase_add_test(tc, new__bad_conf__is_refused_by_name);
    tcase_add_test(tc, new__every_allocation_failing_in_turn__is_clean);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
