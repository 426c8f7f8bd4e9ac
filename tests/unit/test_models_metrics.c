/* Every measure against a second program written from its definition (all pairs, whole sorted lists, a
 * dictionary as NCF's evaluate.py keeps it): ties, edges, non-finite input. */
#include "models/metrics.h"

#include <math.h>
#include <stdlib.h>

#include "daemon/base/rng.h"
#include "tests/support/model_fixture.h"

START_TEST(auc__random_scores_with_ties__as_all_pairs)
{
    struct fr_rng r;
    fr_rng_seed(&r, 5);
    for (int t = 0; t < 50; t++) {
        float s[60];
        uint8_t y[60];
        double wins = 0, pairs = 0, auc = 0;
        for (int i = 0; i < 60; i++) {
            s[i] = (float)fr_rng_below(&r, (uint64_t)(t + 2)) / 4;
            y[i] = i < 2 ? (uint8_t)i : (uint8_t)fr_rng_below(&r, 2);
        }
        for (int i = 0; i < 60; i++)
            for (int j = 0; j < 60; j++)
                if (y[i] && !y[j]) {
                    pairs++;
                    wins += s[i] > s[j] ? 1 : s[i] == s[j] ? 0.5 : 0;
                }
        ck_assert_int_eq(fr_metric_auc(s, y, 60, &auc), FR_OK);
        ck_assert_double_eq_tol(auc, wins / pairs, 1e-12);
    }
}
END_TEST

START_TEST(auc__one_class_or_nan__refused)
{
    float s[3] = {1, 2, 3};
    uint8_t y[3] = {1, 1, 1};
    double auc = -1;
    ck_assert_int_eq(fr_metric_auc(s, y, 3, &auc), FR_EINVAL);
    ck_assert_int_eq(fr_metric_auc(s, y, 0, &auc), FR_EINVAL);
    y[0] = 0;
    s[1] = NAN;
    ck_assert_int_eq(fr_metric_auc(s, y, 3, &auc), FR_ENONFINITE);
    ck_assert_double_eq(auc, -1);
}
END_TEST

START_TEST(logloss__known_values_and_extremes__stable)
{
    float z[4] = {0, 90, -90, 2};
    uint8_t y[4] = {1, 1, 0, 0};
    double l = 0;
    ck_assert_int_eq(fr_metric_logloss(z, y, 4, &l), FR_OK);
    ck_assert_double_eq_tol(l, (log(2) + log1p(exp(-2.0)) + 2) / 4, 1e-7);
    y[1] = 0;
    ck_assert_int_eq(fr_metric_logloss(z + 1, y + 1, 1, &l), FR_OK);
    ck_assert_double_eq_tol(l, 90, 1e-6);
    ck_assert_int_eq(fr_metric_logloss(z, y, 0, &l), FR_EINVAL);
}
END_TEST

START_TEST(rank__ties_and_nan__count_against)
{
    float s[5] = {5, 3, 3, 3, 1};
    ck_assert_uint_eq(fr_metric_rank(s, 5, 0), 1);
    ck_assert_uint_eq(fr_metric_rank(s, 5, 1), 3);
    ck_assert_uint_eq(fr_metric_rank(s, 5, 4), 5);
    s[0] = NAN;
    ck_assert_uint_eq(fr_metric_rank(s, 5, 0), 5);
}
END_TEST

START_TEST(gauc__random_groups__mean_of_all_pairs_by_rows)
{
    struct fr_rng r;
    fr_rng_seed(&r, 6);
    for (int t = 0; t < 30; t++) {
        float s[80];
        uint8_t y[80];
        uint32_t g[80];
        double sum = 0, rows = 0, got = 0;
        for (int i = 0; i < 80; i++) {
            s[i] = (float)fr_rng_below(&r, 9);
            y[i] = (uint8_t)fr_rng_below(&r, 2);
            g[i] = (uint32_t)fr_rng_below(&r, 20) * 1000003U;
        }
        for (uint32_t u = 0; u < 20; u++) {
            double wins = 0, pairs = 0, n = 0;
            for (int i = 0; i < 80; i++) {
                n += g[i] == u * 1000003U;
                for (int j = 0; j < 80; j++)
                    if (g[i] == u * 1000003U && g[j] == g[i] && y[i] && !y[j]) {
                        pairs++;
                        wins += s[i] > s[j] ? 1 : s[i] == s[j] ? 0.5 : 0;
                    }
            }
            if (pairs > 0) {
                sum += n * wins / pairs;
                rows += n;
            }
        }
        ck_assert_int_eq(fr_metric_gauc(s, y, g, 80, &got), FR_OK);
        ck_assert_double_eq_tol(got, sum / rows, 1e-12);
    }
}
END_TEST

START_TEST(gauc__no_group_with_both_labels__refused)
{
    float s[4] = {1, 2, 3, 4};
    uint8_t y[4] = {1, 1, 0, 0};
    uint32_t g[4] = {7, 7, 8, 8};
    double got = -1;
    ck_assert_int_eq(fr_metric_gauc(s, y, g, 4, &got), FR_EINVAL);
    s[3] = INFINITY;
    ck_assert_int_eq(fr_metric_gauc(s, y, g, 4, &got), FR_ENONFINITE);
    ck_assert_double_eq(got, -1);
}
END_TEST

START_TEST(calibration__random__bins_one_by_one)
{
    struct fr_rng r;
    fr_rng_seed(&r, 7);
    for (int bins = 1; bins < 20; bins += 3) {
        float p[500];
        uint8_t y[500];
        double ece = 0, sp = 0, sy = 0;
        struct fr_calibration c;
        for (int i = 0; i < 500; i++) {
            p[i] = (float)fr_rng_f64(&r);
            y[i] = fr_rng_f64(&r) < (double)p[i] * 0.8;
            sp += (double)p[i];
            sy += y[i];
        }
        p[0] = 1; /* the last bin holds its upper edge */
        sp = 0;
        for (int i = 0; i < 500; i++)
            sp += (double)p[i];
        for (int b = 0; b < bins; b++) {
            double n = 0, mp = 0, my = 0;
            for (int i = 0; i < 500; i++) {
                double v = (double)p[i] * bins;
                if ((v >= b && v < b + 1) || (b == bins - 1 && v >= bins)) {
                    n++;
                    mp += (double)p[i];
                    my += y[i];
                }
            }
            if (n > 0)
                ece += n / 500 * fabs(mp / n - my / n);
        }
        ck_assert_int_eq(fr_metric_calibration(p, y, 500, bins, &c), FR_OK);
        ck_assert_double_eq_tol(c.ece, ece, 1e-12);
        ck_assert_double_eq_tol(c.ratio, sp / sy, 1e-12);
    }
}
END_TEST

START_TEST(calibration__bad_input__refused)
{
    float p[2] = {0.5F, 1.5F};
    uint8_t y[2] = {0, 0};
    struct fr_calibration c = {-1, -1};
    ck_assert_int_eq(fr_metric_calibration(p, y, 2, 10, &c), FR_EINVAL);
    ck_assert_int_eq(fr_metric_calibration(p, y, 1, 10, &c), FR_EINVAL); /* no positive */
    ck_assert_int_eq(fr_metric_calibration(p, y, 1, 0, &c), FR_EINVAL);
    ck_assert_int_eq(fr_metric_calibration(p, y, 0, 10, &c), FR_EINVAL);
    p[0] = NAN;
    ck_assert_int_eq(fr_metric_calibration(p, y, 1, 10, &c), FR_ENONFINITE);
    ck_assert_double_eq(c.ece, -1);
}
END_TEST

/* A dictionary of item to score in order of first insertion, then the k best by repeated search. */
static size_t rank_by_dictionary(const uint32_t *item, const float *score, size_t n)
{
    uint32_t key[100];
    float value[100];
    bool taken[100] = {false};
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        size_t j = 0;
        while (j < m && key[j] != item[i])
            j++;
        key[j] = item[i];
        value[j] = score[i];
        m += j == m;
    }
    for (size_t place = 1;; place++) {
        size_t best = m;
        for (size_t j = 0; j < m; j++)
            if (!taken[j] && (best == m || value[j] > value[best]))
                best = j;
        taken[best] = true;
        if (key[best] == item[n - 1])
            return place;
    }
}

START_TEST(rank_ncf__ties_and_repeats__as_the_dictionary)
{
    struct fr_rng r;
    fr_rng_seed(&r, 8);
    for (int t = 0; t < 500; t++) {
        uint32_t item[100];
        float score[100];
        size_t n = 1 + fr_rng_below(&r, 100);
        for (size_t i = 0; i < n; i++) {
            item[i] = (uint32_t)fr_rng_below(&r, 150);
            score[i] = (float)((item[i] * 2654435761U) % (uint32_t)(t % 40 + 1));
        }
        ck_assert_uint_eq(fr_metric_rank_ncf(item, score, n), rank_by_dictionary(item, score, n));
    }
}
END_TEST

START_TEST(rank_ncf__test_item_among_negatives__counts_once)
{
    uint32_t item[4] = {5, 9, 7, 9};
    float score[4] = {1, 1, 1, 1};
    ck_assert_uint_eq(fr_metric_rank_ncf(item, score, 4), 2); /* the 5 before its first place */
    item[1] = 6;
    ck_assert_uint_eq(fr_metric_rank_ncf(item, score, 4), 4);
    score[3] = NAN;
    ck_assert_uint_eq(fr_metric_rank_ncf(item, score, 4), 4);
}
END_TEST

START_TEST(top__random_with_mask__as_whole_sort)
{
    struct fr_rng r;
    fr_rng_seed(&r, 9);
    for (int t = 0; t < 200; t++) {
        float s[60];
        uint32_t skip[60], got[70];
        size_t n_skip = 0, n, k = fr_rng_below(&r, 70);
        bool out[60] = {false};
        for (uint32_t i = 0; i < 60; i++) {
            s[i] = fr_rng_below(&r, 20) == 0 ? NAN : (float)fr_rng_below(&r, 12);
            if (fr_rng_below(&r, 4) == 0)
                skip[n_skip++] = i;
        }
        for (size_t i = 0; i < n_skip; i++)
            out[skip[i]] = true;
        n = fr_metric_top(s, 60, skip, n_skip, k, got);
        for (size_t place = 0; place < k; place++) {
            int best = -1;
            for (int i = 0; i < 60; i++)
                if (!out[i] && !isnan(s[i]) && (best < 0 || s[i] > s[best]))
                    best = i;
            if (best < 0) {
                ck_assert_uint_eq(n, place);
                break;
            }
            out[best] = true;
            ck_assert_uint_lt(place, n);
            ck_assert_uint_eq(got[place], (uint32_t)best);
        }
    }
}
END_TEST

START_TEST(list__random__by_gains)
{
    struct fr_rng r;
    fr_rng_seed(&r, 10);
    for (int t = 0; t < 200; t++) {
        uint32_t list[20], rel[40];
        bool is_rel[50] = {false}, used[50] = {false};
        size_t n_rel = 0, k = 1 + fr_rng_below(&r, 25), hits = 0, first = 0;
        double dcg = 0, ideal = 0;
        struct fr_list_metrics m;
        for (uint32_t i = 0; i < 40; i++)
            if (fr_rng_below(&r, 3) == 0 || (i == 39 && n_rel == 0)) {
                rel[n_rel++] = i;
                is_rel[i] = true;
            }
        for (int i = 0; i < 20; i++) {
            do
                list[i] = (uint32_t)fr_rng_below(&r, 50);
            while (used[list[i]]);
            used[list[i]] = true;
        }
        for (size_t place = 1; place <= k; place++) {
            double gain = log(2) / log((double)place + 1);
            if (place <= n_rel)
                ideal += gain;
            if (place <= 20 && is_rel[list[place - 1]]) {
                dcg += gain;
                hits++;
                first = first == 0 ? place : first;
            }
        }
        m = fr_metric_list(list, 20, k, rel, n_rel);
        ck_assert_double_eq(m.hr, hits > 0);
        ck_assert_double_eq_tol(m.recall, (double)hits / (double)n_rel, 1e-12);
        ck_assert_double_eq_tol(m.ndcg, dcg / ideal, 1e-12);
        ck_assert_double_eq_tol(m.mrr, first > 0 ? 1.0 / (double)first : 0, 1e-12);
    }
}
END_TEST

START_TEST(list_of_rank__one_relevant__as_a_list)
{
    uint32_t list[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    for (uint32_t i = 0; i < 10; i++) {
        struct fr_list_metrics a = fr_metric_list(list, 10, 7, &i, 1), b = fr_metric_list_of_rank(i + 1, 7);
        struct fr_list_metrics sum = {0, 0, 0, 0};
        fr_metric_list_add(&sum, &a);
        fr_metric_list_add(&sum, &b);
        ck_assert_double_eq(a.hr, i < 7);
        ck_assert_double_eq(sum.hr, 2 * b.hr);
        ck_assert_double_eq_tol(sum.ndcg, 2 * b.ndcg, 1e-15);
        ck_assert_double_eq_tol(sum.mrr, 2 * b.mrr, 1e-15);
        ck_assert_double_eq_tol(sum.recall, 2 * b.recall, 1e-15);
    }
}
END_TEST

/* From probabilities, in long double: -log p of what happened. */
START_TEST(logloss__random_with_repeats__from_probabilities)
{
    struct fr_rng r;
    fr_rng_seed(&r, 11);
    for (int t = 0; t < 50; t++) {
        float z[70];
        uint8_t y[70];
        long double sum = 0;
        double got = 0;
        for (int i = 0; i < 70; i++) {
            z[i] = (float)((double)fr_rng_below(&r, 9) * 2.5 - 10);
            y[i] = (uint8_t)fr_rng_below(&r, 2);
            long double p = 1 / (1 + expl(-(long double)z[i]));
            sum -= logl(y[i] ? p : 1 - p);
        }
        ck_assert_int_eq(fr_metric_logloss(z, y, 70, &got), FR_OK);
        ck_assert_double_eq_tol(got, (double)(sum / 70), 1e-9);
    }
}
END_TEST

/* The middle of the places that a random order of equal scores could give, rounded up. */
START_TEST(rank__random_with_many_ties__middle_of_the_possible_places)
{
    struct fr_rng r;
    fr_rng_seed(&r, 12);
    for (int t = 0; t < 300; t++) {
        float s[40];
        size_t n = 1 + fr_rng_below(&r, 40), label = fr_rng_below(&r, n), best = 1, worst = n;
        for (size_t i = 0; i < n; i++)
            s[i] = (float)fr_rng_below(&r, (uint64_t)(t % 6 + 1));
        for (size_t i = 0; i < n; i++) {
            best += s[i] > s[label];
            worst -= s[i] < s[label];
        }
        ck_assert_uint_eq(fr_metric_rank(s, n, label), (best + worst + 1) / 2);
    }
}
END_TEST

/* evaluate.py once more, whole: a dictionary, its ten largest in stable order, hit and ln 2 / ln(place + 2). */
START_TEST(ncf_protocol__hundred_lists_with_the_test_item_twice_and_ties__as_evaluate_py)
{
    struct fr_list_metrics sum = {0, 0, 0, 0};
    double hr = 0, ndcg = 0, mrr = 0;
    struct fr_rng r;
    fr_rng_seed(&r, 13);
    for (int u = 0; u < 100; u++) {
        uint32_t item[100], key[100], ten[10];
        float score[100], value[100];
        size_t m = 0, n_ten = 0;
        for (size_t i = 0; i < 100; i++) {
            item[i] = (uint32_t)fr_rng_below(&r, 120);
            score[i] = (float)(item[i] * 2654435761U % 7);
        }
        if (u % 3 == 0) { /* among its own negatives */
            item[u % 99] = item[99];
            score[u % 99] = score[99];
        }
        for (size_t i = 0; i < 100; i++) {
            size_t j = 0;
            while (j < m && key[j] != item[i])
                j++;
            key[j] = item[i];
            value[j] = score[i];
            m += j == m;
        }
        for (float level = 6; level >= 0; level--) /* a stable sort by buckets */
            for (size_t j = 0; j < m && n_ten < 10; j++)
                if (value[j] == level)
                    ten[n_ten++] = key[j];
        for (size_t k = 0; k < n_ten; k++)
            if (ten[k] == item[99]) {
                hr += 1;
                ndcg += log(2) / log((double)k + 2);
                mrr += 1 / ((double)k + 1);
            }
        struct fr_list_metrics one = fr_metric_list_of_rank(fr_metric_rank_ncf(item, score, 100), 10);
        fr_metric_list_add(&sum, &one);
    }
    ck_assert_double_gt(hr, 3);
    ck_assert_double_lt(hr, 60);
    ck_assert_double_eq(sum.hr, hr);
    ck_assert_double_eq_tol(sum.ndcg, ndcg, 1e-9);
    ck_assert_double_eq_tol(sum.mrr, mrr, 1e-9);
}
END_TEST

/* Recall@k, NDCG@k, HR@k, MRR@k of a user: train items taken out first, then places by counting who is ahead. */
START_TEST(retrieval_protocol__train_items_masked_and_many_ties__by_counting)
{
    struct fr_rng r;
    fr_rng_seed(&r, 14);
    for (int t = 0; t < 300; t++) {
        float s[80];
        uint32_t train[80], test[80], top[20];
        bool in_train[80] = {false};
        size_t n_train = 0, n_test = 0, k = 1 + fr_rng_below(&r, 20), hits = 0, first = 0;
        double dcg = 0, ideal = 0;
        for (uint32_t i = 0; i < 80; i++) {
            s[i] = (float)fr_rng_below(&r, 5);
            if (fr_rng_below(&r, 3) == 0) {
                in_train[i] = true;
                train[n_train++] = i;
                s[i] += 4; /* what was trained on scores highest */
            } else if (fr_rng_below(&r, 4) == 0) {
                test[n_test++] = i;
            }
        }
        if (n_test == 0)
            continue;
        for (size_t j = 0; j < n_test; j++) {
            size_t place = 1; /* equal scores: the lower index is ahead */
            for (uint32_t i = 0; i < 80; i++)
                place += !in_train[i] && (s[i] > s[test[j]] || (s[i] == s[test[j]] && i < test[j]));
            if (place > k)
                continue;
            hits++;
            dcg += 1 / log2((double)place + 1);
            first = first == 0 || place < first ? place : first;
        }
        for (size_t j = 1; j <= k && j <= n_test; j++)
            ideal += 1 / log2((double)j + 1);
        size_t n = fr_metric_top(s, 80, train, n_train, k, top);
        struct fr_list_metrics m = fr_metric_list(top, n, k, test, n_test);
        ck_assert_double_eq(m.hr, hits > 0);
        ck_assert_double_eq_tol(m.recall, (double)hits / (double)n_test, 1e-12);
        ck_assert_double_eq_tol(m.ndcg, dcg / ideal, 1e-12);
        ck_assert_double_eq_tol(m.mrr, first > 0 ? 1 / (double)first : 0, 1e-12);
    }
}
END_TEST

/* Probabilities exactly on the edges of bins: an edge belongs to the bin above it, 1 to the last. */
START_TEST(calibration__on_the_edges__the_bin_above)
{
    const float p[6] = {0, 0.25f, 0.25f, 0.5f, 0.75f, 1};
    const uint8_t y[6] = {1, 0, 1, 1, 0, 1};
    struct fr_calibration c;
    ck_assert_int_eq(fr_metric_calibration(p, y, 6, 4, &c), FR_OK);
    /* bins {0} {.25 .25} {.5} {.75 1}: |sum p - sum y| = 1, .5, .5, .75 */
    ck_assert_double_eq_tol(c.ece, 2.75 / 6, 1e-12);
    ck_assert_double_eq_tol(c.ratio, 2.75 / 4, 1e-12);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/metrics");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, auc__random_scores_with_ties__as_all_pairs);
    tcase_add_test(tc, auc__one_class_or_nan__refused);
    tcase_add_test(tc, logloss__known_values_and_extremes__stable);
    tcase_add_test(tc, rank__ties_and_nan__count_against);
    tcase_add_test(tc, gauc__random_groups__mean_of_all_pairs_by_rows);
    tcase_add_test(tc, gauc__no_group_with_both_labels__refused);
    tcase_add_test(tc, calibration__random__bins_one_by_one);
    tcase_add_test(tc, calibration__bad_input__refused);
    tcase_add_test(tc, rank_ncf__ties_and_repeats__as_the_dictionary);
    tcase_add_test(tc, rank_ncf__test_item_among_negatives__counts_once);
    tcase_add_test(tc, top__random_with_mask__as_whole_sort);
    tcase_add_test(tc, list__random__by_gains);
    tcase_add_test(tc, list_of_rank__one_relevant__as_a_list);
    tcase_add_test(tc, logloss__random_with_repeats__from_probabilities);
    tcase_add_test(tc, rank__random_with_many_ties__middle_of_the_possible_places);
    tcase_add_test(tc, ncf_protocol__hundred_lists_with_the_test_item_twice_and_ties__as_evaluate_py);
    tcase_add_test(tc, retrieval_protocol__train_items_masked_and_many_ties__by_counting);
    tcase_add_test(tc, calibration__on_the_edges__the_bin_above);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
