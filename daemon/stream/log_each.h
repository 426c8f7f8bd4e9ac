/*
 * daemon/stream/log_each.h - a topic from its reader's start to the end it had when the reader was made.
 * Layer: daemon/stream; knows nothing of Kafka.
 */
#ifndef FR_STREAM_LOG_EACH_H
#define FR_STREAM_LOG_EACH_H

#include "daemon/base/err.h"
#include "daemon/stream/log_reader.h"

/** Takes a record; borrowed for the call. An error ends the reading. */
typedef enum fr_err (*fr_log_each_fn)(void *ctx, const struct fr_record *r);
/** Told every few thousand records; `total` is what the topic held when the reader was made. */
typedef void (*fr_log_each_progress_fn)(void *ctx, uint64_t done, uint64_t total);

/** Owner: the caller. */
struct fr_log_each_opts {
    int stall_ms; /* give up when nothing comes for this long, e.g. 30000 */
    fr_log_each_fn fn;
    void *ctx;
    fr_log_each_progress_fn progress; /* nullable */
    void *progress_ctx;
};

/**
 * Give every record below the reader's targets to `fn`: per partition in offset order. What was
 * produced after the reader was made is not given, so that runs agree.
 * @param out_n  nullable; records given, also after an error
 * @errors FR_ETIMEOUT; FR_EREFUSED and what else the reader or `fn` say; the fault names the place
 */
FR_MUST_CHECK enum fr_err fr_log_each(struct fr_log_reader *lr,
                                      const struct fr_log_each_opts *o,
                                      uint64_t *out_n,
                                      struct fr_fault *fault);

#endif
