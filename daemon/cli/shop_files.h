/*
 * daemon/cli/shop_files.h - a history of the shop as files: DIR/events.jsonl and DIR/items.jsonl.
 *
 * One JSON value of the topics `events` and `items` a line, in order of time; items are written as they are
 * at the end, dead ones with available = false. Each file appears whole or not at all. Same conf and number of
 * events: the same bytes, on one machine.
 * Layer: daemon/cli; daemon/base only. Thread: one.
 */
#ifndef FR_CLI_SHOP_FILES_H
#define FR_CLI_SHOP_FILES_H

#include "daemon/base/err.h"
#include "daemon/cli/shop_history.h"

/**
 * Run a history into DIR, which is made if missing.
 * @param h  its `event` must be NULL: it is ours. `ctx` goes to `progress` only.
 * @errors FR_EIO FR_ENOMEM FR_ECLOSED; fault names the file. No file of ours has changed then.
 */
FR_MUST_CHECK enum fr_err
fr_shop_files_write(const struct fr_shop_history *h, const char *dir, struct fr_fault *fault);

#endif
