/*
 * tests/bench/bench_shop.c - visits a second of the simulated shop, judged and not, and its scale: the click
 * rate of a random list, of the best list, and of the best list of some time ago.
 *
 *   bench_shop [VISITS [ITEMS [USERS]]]
 */
#include <stdio.h>
#include <stdlib.h>

#include "daemon/base/clock.h"
#include "daemon/cli/shop.h"

static double run(const struct fr_shop_conf *c, int visits, bool judged)
{
    struct fr_clock clock;
    struct fr_shop *sh;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    double random = 0, oracle = 0, stale = 0, clicks = 0, seen = 0, s;
    int64_t t0;

    fr_clock_init_real(&clock);
    if (fr_shop_new(c, &sh, &fault) != FR_OK) {
        fprintf(stderr, "%s\n", fault.msg);
        exit(1);
    }
    t0 = fr_clock_mono_us(&clock);
    for (int i = 0; i < visits; i++) {
        struct fr_shop_visit v;
        struct fr_shop_browse b;
        struct fr_shop_reaction r;
        struct fr_shop_odds o;
        uint32_t list[FR_SHOP_LIST_MAX], best[FR_SHOP_LIST_MAX];
        int n = 0;

        if (fr_shop_next_visit(sh, &v) != FR_OK)
            exit(1);
        if (judged && i % 16 == 0)
            n = fr_shop_best(sh, v.user, v.ts_ms, best); /* before the event: what nobody could know better */
        fr_shop_browse(sh, v.user, v.ts_ms, &b);
        for (int k = 0; k < c->n; k++)
            list[k] = fr_shop_alive_at(sh, ((uint32_t)i * 7919U + (uint32_t)k * 104729U) % fr_shop_alive(sh));
        if (judged) {
            fr_shop_judge(sh, v.user, list, c->n, v.ts_ms, &o);
            random += o.random;
            oracle += o.oracle;
            if (n > 0) {
                fr_shop_judge(sh, v.user, best, n, v.ts_ms, &o);
                stale += o.shown;
                seen++;
            }
        }
        fr_shop_show(sh, v.user, list, c->n, v.ts_ms, &r);
        clicks += r.clicked >= 0;
    }
    s = (double)(fr_clock_mono_us(&clock) - t0) / 1e6;
    printf("%-10s %9.0f visits/s", judged ? "judged" : "not judged", visits / s);
    if (judged)
        printf("; click rates: random %.4f, realised %.4f, oracle %.4f, best before the event %.4f",
               random / visits, clicks / visits, oracle / visits, stale / seen);
    printf("\n");
    fr_shop_free(sh);
    return s;
}

int main(int argc, char **argv)
{
    struct fr_shop_conf c;
    int visits = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 100000;

    fr_shop_conf_default(&c);
    if (argc > 2)
        c.items = (uint32_t)strtol(argv[2], NULL, 10);
    if (argc > 3)
        c.users = (uint32_t)strtol(argv[3], NULL, 10);
    printf("%u items, %u users, lists of %d\n", c.items, c.users, c.n);
    (void)run(&c, visits, false);
    (void)run(&c, visits, true);
    return 0;
}
