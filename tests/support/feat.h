/*
 * tests/support/feat.h - events and specs for tests of features/ and of what stands on it.
 */
#ifndef FR_TESTS_FEAT_H
#define FR_TESTS_FEAT_H

#include <stdint.h>

#include "daemon/base/arena.h"
#include "features/event.h"
#include "features/item_record.h"
#include "features/spec.h"

/** The shipped declaration with a test's changes; `edit` may be NULL. Never NULL: a failure to
 * compile prints its fault and aborts. Release with fr_spec_free(). */
struct fr_spec *feat_spec(void (*edit)(struct fr_spec_input *in));

/** An arena of 64 kB chunks; aborts on failure. */
struct fr_arena *feat_arena(void);

/** An event with hashes; strings are copied into the arena. `item` may be NULL. The event_id is
 * "e<n>". */
struct fr_event feat_event(const struct fr_spec *spec,
                           struct fr_arena *ar,
                           const char *type,
                           const char *user,
                           const char *item,
                           int64_t ts,
                           uint64_t n);

/** An item record with up to 3 categories ("a|b|c", NULL for none). Strings are borrowed. */
struct fr_item_record feat_item(const struct fr_spec *spec,
                                struct fr_arena *ar,
                                const char *id,
                                const char *categories,
                                const char *title);

#endif
