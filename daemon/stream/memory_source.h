/*
 * daemon/stream/memory_source.h - fr_source and fr_log_reader over an in-process log.
 *
 * The test (or the replay) plays the group coordinator: it says which partitions this source gets
 * and loses, and the next fr_source_serve() runs the callbacks. Two sources over one log and group
 * are two members; the one that lost a partition gets FR_EFENCED for commits, as from Kafka. Layer:
 * daemon/stream.
 */
#ifndef FR_STREAM_MEMORY_SOURCE_H
#define FR_STREAM_MEMORY_SOURCE_H

#include <stdbool.h>

#include "daemon/stream/log_reader.h"
#include "daemon/stream/memory_log.h"
#include "daemon/stream/source.h"

/** Owner: the caller; copied, but for the log. */
struct fr_memory_source_opts {
    struct fr_memory_log *log; /* borrowed, outlives the source */
    const struct fr_topic_names *names;
    const char *group;
    int n_lanes;
    bool manual;      /* false: all partitions are assigned at the first serve */
    bool events_only; /* no requests topic */
};

/** @errors FR_ENOTFOUND a topic, FR_EMISMATCH partition counts, FR_EINVAL FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_memory_source_new(const struct fr_memory_source_opts *opts,
                                               const struct fr_source_callbacks *cb,
                                               struct fr_source **out_source,
                                               struct fr_fault *fault);

/** Next serve: revoke what is held (if anything; `lost` as given), then assign these. n == 0: only
 *  revoke. Ownership in the log's group changes at once when `lost`, else after on_revoke.
 *  @thread any */
FR_MUST_CHECK enum fr_err
fr_memory_source_rebalance(struct fr_source *src, const int32_t *partitions, int n, bool lost);

/** The next n commit calls fail with `err` (FR_EFENCED, FR_ETIMEOUT, ...); nothing is committed. */
void fr_memory_source_fail_commits(struct fr_source *src, enum fr_err err, int n);
/** The next n polls of any lane that would deliver fail with `err`; the record comes afterwards. */
void fr_memory_source_fail_polls(struct fr_source *src, enum fr_err err, int n);

/** Read a topic of the log as fr_log_reader. start as in kafka_log_reader.h.
 *  @errors FR_ENOTFOUND FR_EMISMATCH FR_ERANGE FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_memory_log_reader_new(struct fr_memory_log *log,
                                                   const char *topic,
                                                   enum fr_topic_role role,
                                                   const int64_t *start,
                                                   int32_t n_start,
                                                   struct fr_log_reader **out_reader);

#endif
