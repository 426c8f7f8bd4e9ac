/*
 * daemon/cli/import_out.h - imported rows to files, or to topics at their own pace.
 *
 * Layer: daemon/cli. Thread: one at a time.
 */
#ifndef FR_CLI_IMPORT_OUT_H
#define FR_CLI_IMPORT_OUT_H

#include "daemon/cli/import_rows.h"
#include "daemon/cli/settings.h"

/** Which events, and when they happen. */
struct fr_import_plan {
    uint64_t n_events; /* the first so many */
    double speed;      /* gaps between events are divided by this; > 0 */
    int64_t shift_ms;  /* added to the times after that */
    bool paced;        /* topics: each event leaves when its gap is over; else as fast as possible */
    bool from_now;     /* paced: shift_ms is chosen when the first event leaves, which is then now */
    bool quiet;        /* no progress */
};

/** Time of event i of the plan. */
int64_t fr_import_time_of(const struct fr_import_rows *rows, const struct fr_import_plan *p, uint64_t i);

/** DIR/events.jsonl and DIR/items.jsonl, each replaced atomically. @errors FR_EIO FR_ENOMEM; FR_ECLOSED a stop
 *  was asked for before they were written */
FR_MUST_CHECK enum fr_err fr_import_to_files(const struct fr_import_rows *rows,
                                             const struct fr_import_plan *p,
                                             const char *dir,
                                             struct fr_fault *fault);

/**
 * Items, then events, keyed, by the murmur2 partitioner; all acknowledged when it returns FR_OK. The
 * records' own timestamps are the producer's now, never the data's: a broker refuses what is ahead of it.
 * @param out_sent  records acknowledged
 * @errors FR_ENOTFOUND a topic is not there; FR_EKAFKA FR_ETIMEOUT no broker, or something was not delivered; FR_ECLOSED a stop was asked for (what was sent
 *         is delivered)
 */
FR_MUST_CHECK enum fr_err fr_import_to_topics(const struct fr_import_rows *rows,
                                              const struct fr_import_plan *p,
                                              const struct fr_settings *s,
                                              uint64_t *out_sent,
                                              struct fr_fault *fault);

#endif
