/*
 * daemon/cli/import_read.h - read the files of a data set through a mapping.
 *
 * Layer: daemon/cli. Thread: one at a time.
 */
#ifndef FR_CLI_IMPORT_READ_H
#define FR_CLI_IMPORT_READ_H

#include "daemon/cli/import_map.h"
#include "daemon/cli/import_rows.h"

#define FR_IMPORT_BAD_SHOWN 10

/** What to read, and what came of it. Owner: the caller's storage. */
struct fr_import_read {
    const struct fr_import_map *map; /* borrowed */
    const char *dir;                 /* borrowed */
    int n_from, n_to;                /* of {n}, within the mapping's */
    int64_t user_from, user_to;      /* numeric users outside are left out; 0, 0 = all */
    bool strict;                     /* the first bad record ends it */
    bool quiet;                      /* do not print bad records */
    uint64_t bad, left_out;          /* records that are malformed; that a rule or a filter left out */
};

/**
 * Read all events (in the mapping's order) and items. Bad records are counted, the first ones are printed
 * on standard error with file, line and reason.
 * @errors FR_ENOTFOUND FR_EIO a file; FR_ESCHEMA a column that is not there, or a bad record when strict;
 *         FR_ENOMEM; FR_ECLOSED a stop was asked for
 */
FR_MUST_CHECK enum fr_err
fr_import_read(struct fr_import_read *r, struct fr_import_rows *rows, struct fr_fault *fault);

#endif
