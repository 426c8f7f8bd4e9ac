/*
 * tests/support/learner_fixture.h - what a test of fr_stream_train() stands on: the default declaration, a folder.
 */
#ifndef FR_TESTS_SUPPORT_LEARNER_FIXTURE_H
#define FR_TESTS_SUPPORT_LEARNER_FIXTURE_H

#include <stdbool.h>

#include "daemon/config.h"
#include "features/spec.h"

/** @param repeat  recommend.repeat, NULL = the default. The log is quiet from here on. Ends the test on an error. */
void learner_open(const char *repeat, struct fr_config *cfg, struct fr_spec **spec, char **dir);
void learner_close(struct fr_config *cfg, struct fr_spec *spec, char *dir);
/** A sanitizer's build: smaller streams, wider bounds. */
bool learner_slow(void);

#endif
