/*
 * tests/support/store_conformance.h - what every implementation of the store seam must do.
 */
#ifndef FR_TESTS_STORE_CONFORMANCE_H
#define FR_TESTS_STORE_CONFORMANCE_H

#include <check.h>

#include "features/store.h"

/** Makes a fresh handle on the same data; called several times in a test. */
typedef struct fr_store *(*store_make_fn)(void);

/** Add every case to `tc`; `make` is called inside the test's process. */
void store_conformance_add(TCase *tc, store_make_fn make);

#endif
