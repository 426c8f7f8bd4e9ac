/*
 * daemon/cli/label.h - names that came from outside, made fit for a terminal and a picture.
 *
 * Escape sequences, control and direction characters and broken UTF-8 each become one U+FFFD: a
 * bundle's path cannot move the cursor or turn the line around.
 * Layer: daemon/cli, pure. Thread: any.
 */
#ifndef FR_CLI_LABEL_H
#define FR_CLI_LABEL_H

#include <stdint.h>

#include "daemon/base/buf.h"

#define FR_LABEL_BAD 0xFFFDu

/** The next character of s, from byte *at on (below s.n), which moves behind it. FR_LABEL_BAD for
 *  whatever is not fit to be shown. */
uint32_t fr_label_next(struct fr_str s, size_t *at);
/** Columns of a terminal: characters, wide ones (East Asian, emoji) twice. */
size_t fr_label_columns(struct fr_str s);
/** Append a character as UTF-8. */
void fr_label_put(struct fr_buf *b, uint32_t c);
/** Append s as it may be shown, longer than `columns` with its middle replaced by "…". */
void fr_label_clean(struct fr_buf *b, struct fr_str s, size_t columns);

#endif
