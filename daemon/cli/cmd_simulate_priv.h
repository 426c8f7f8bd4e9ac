/*
 * daemon/cli/cmd_simulate_priv.h - what the two halves of `freshet simulate` share.
 */
#ifndef FR_CLI_CMD_SIMULATE_PRIV_H
#define FR_CLI_CMD_SIMULATE_PRIV_H

#include "daemon/base/buf.h"
#include "daemon/cli/settings.h"
#include "daemon/cli/shop.h"
#include "daemon/cli/shop_score.h"

/* The command line. */
struct simulate {
    struct fr_settings s;
    const char *out;
    int64_t events, seed, users, items, n, start_ms, warm_up, timeout_ms;
    double rate, seconds, visits_per_day, births, deaths, fashions;
    bool json, quiet;
};

/* The shop of the flags; complains on standard error. NULL = it could not be made. */
struct fr_shop *simulate_shop(const struct simulate *f, int64_t start_ms);

/* "lists", "ctr", "random", ... as members of an open object. */
struct fr_jsonw;
void simulate_json_result(struct fr_jsonw *w, const struct fr_shop_result *r);
void simulate_print_result(const struct fr_shop_result *r);

/* Print the buffer as the last line of standard output and release it. @return an exit status */
int simulate_print_json(struct fr_buf *b);

/* cmd_simulate_live.c: the closed loop. */
int simulate_live(struct simulate *f);

#endif
