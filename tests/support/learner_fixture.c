/*
 * tests/support/learner_fixture.c - see learner_fixture.h.
 */
#include "tests/support/learner_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/base/log.h"
#include "daemon/pipeline/spec_config.h"
#include "tests/support/tmpdir.h"

void learner_open(const char *repeat, struct fr_config *cfg, struct fr_spec **spec, char **dir)
{
    struct fr_fault fault = {.err = FR_OK};
    char set[64];

    fr_log_set_level(FR_LOG_ERROR);
    ck_assert_int_eq(fr_config_init(cfg, &fault), FR_OK);
    if (repeat != NULL) {
        (void)snprintf(set, sizeof(set), "recommend.repeat=%s", repeat);
        ck_assert_int_eq(fr_config_set(cfg, set, &fault), FR_OK);
    }
    ck_assert_int_eq(fr_spec_from_config(cfg, spec, &fault), FR_OK);
    *dir = tmpdir_make();
    ck_assert_ptr_nonnull(*dir);
}

void learner_close(struct fr_config *cfg, struct fr_spec *spec, char *dir)
{
    fr_spec_free(spec);
    fr_config_done(cfg);
    tmpdir_free(dir);
}

bool learner_slow(void)
{
    return getenv("CK_TIMEOUT_MULTIPLIER") != NULL;
}
