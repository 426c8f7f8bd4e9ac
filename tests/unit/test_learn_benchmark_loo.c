/* Drawing the examples of an epoch: against a naive twin that asks for each item and swaps each example. */
#include "daemon/learn/benchmark_loo.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/model_fixture.h"

#define USERS 9
#define ITEMS 131

static struct fr_benchmark_pairs p;
static size_t start[USERS + 1];
static uint32_t item[USERS * ITEMS];

/* User u has every item whose (item * 7 + u) is divisible by u + 1: user 0 all of them, none left to draw. */
static void setup(void)
{
    size_t n = 0;

    for (uint32_t u = 0; u < USERS; u++) {
        start[u] = n;
        for (uint32_t i = 0; i < ITEMS; i++)
            if ((i * 7 + u) % (u + 1) == 0)
                item[n++] = i;
    }
    start[USERS] = n;
    p = (struct fr_benchmark_pairs){USERS, ITEMS, start, item, n};
}

struct example {
    uint32_t user, item;
    float label;
};

static size_t naive(int negatives, struct fr_rng *rng, struct example *out)
{
    size_t n = 0;

    for (uint32_t u = 0; u < USERS; u++)
        for (size_t k = start[u]; k < start[u + 1]; k++) {
            out[n++] = (struct example){u, item[k], 1};
            for (int i = 0; i < negatives; i++) {
                uint32_t drawn = 0;
                bool own = true;
                for (int tries = 0; tries < 1000 && own; tries++) {
                    drawn = (uint32_t)fr_rng_below(rng, ITEMS);
                    own = fr_benchmark_pairs_has(&p, u, drawn);
                }
                if (!own)
                    out[n++] = (struct example){u, drawn, 0};
            }
        }
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)fr_rng_below(rng, i);
        struct example t = out[i - 1];
        out[i - 1] = out[j];
        out[j] = t;
    }
    return n;
}

START_TEST(draw__epochs_of_some_negatives__as_naive)
{
    struct fr_benchmark_draw d = {.n = 0};
    struct example *want = calloc(p.n * 5, sizeof(*want));
    struct fr_rng a, b;

    ck_assert_ptr_nonnull(want);
    fr_rng_seed(&a, 3);
    fr_rng_seed(&b, 3);
    for (int epoch = 0; epoch < 3; epoch++) {
        size_t n = naive(_i, &b, want), positives = 0;

        ck_assert_int_eq(fr_benchmark_loo_draw(&p, _i, &a, &d), FR_OK);
        ck_assert_uint_eq(d.n, n);
        ck_assert_uint_eq(n, p.n + (p.n - ITEMS) * (size_t)_i); /* user 0 has no negatives */
        for (size_t k = 0; k < n; k++) {
            ck_assert_uint_eq(d.user[k], want[k].user);
            ck_assert_uint_eq(d.item[k], want[k].item);
            mf_float_eq(d.label[k], want[k].label);
            positives += d.label[k] > 0;
        }
        ck_assert_uint_eq(positives, p.n);
    }
    ck_assert_uint_eq(fr_rng_u64(&a), fr_rng_u64(&b));
    fr_benchmark_draw_done(&d);
    free(want);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn/benchmark_loo");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, draw__epochs_of_some_negatives__as_naive, 0, 5);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
