/*
 * daemon/cli/catalogue_titles.h - item id -> title, for showing lists to people.
 *
 * Layer: daemon/cli. Thread: one at a time.
 */
#ifndef FR_CLI_CATALOGUE_TITLES_H
#define FR_CLI_CATALOGUE_TITLES_H

#include "daemon/base/err.h"
#include "daemon/base/str.h"

struct fr_titles;

/** @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_titles_new(struct fr_titles **out);

/** Remember (or replace) a title. Both are copied. @errors FR_ENOMEM FR_EINVAL (empty id) */
FR_MUST_CHECK enum fr_err fr_titles_put(struct fr_titles *t, struct fr_str id, struct fr_str title);

/** The title, or the id itself when none is known or it is empty. Valid until the next put. */
struct fr_str fr_titles_get(const struct fr_titles *t, struct fr_str id);

/** NULL is a no-op. */
void fr_titles_free(struct fr_titles *t);

#endif
