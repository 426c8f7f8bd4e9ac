/*
 * daemon/stream/source.h - the seam through which events and requests enter.
 *
 *   main thread                              lane threads
 *   fr_source_serve() ── on_revoke, on_assign     fr_source_poll(lane) ── fr_source_release()
 *                        (start offsets are       fr_source_seek()  (the owning lane only)
 *                         given there)            fr_source_commit()
 *
 * One consumer group over the topics events and requests, which are co-partitioned: the same
 * partition number of both goes to the same lane, partition % n_lanes. Lanes take one record at a
 * time; not calling fr_source_poll() is the back-pressure.
 *
 * Implementations: kafka_source.h (librdkafka), memory_source.h (an in-process log).
 * Layer: daemon/stream; knows nothing of Kafka.
 */
#ifndef FR_STREAM_SOURCE_H
#define FR_STREAM_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/stream/record.h"

/** One partition number that the group gives to this process: both inputs of it. */
struct fr_assigned {
    int32_t partition;
    int lane;                       /* partition % n_lanes */
    int64_t start[FR_TOPIC_INPUTS]; /* by role; on_assign fills them: first offset to deliver */
    bool refused;                   /* on_assign may set: stays assigned, is not read */
};

/**
 * The owner's callbacks. All run inside fr_source_serve() or fr_source_close(), on that thread.
 * Both may call fr_source_commit(), _committed(), _watermarks() and _partition_count().
 */
struct fr_source_callbacks {
    void *ctx;
    /**
     * Partitions are coming: take them (commit, token, R) and fill start[]. Reading begins after it
     * returns. An error refuses the whole assignment: nothing is read, the group keeps it.
     */
    enum fr_err (*on_assign)(void *ctx, struct fr_assigned *parts, int n);
    /**
     * Partitions are going, every one of the present assignment. Return when the lanes no longer
     * use them; commits are still possible unless `lost` (then another member may own them
     * already).
     */
    void (*on_revoke)(void *ctx, const int32_t *partitions, int n, bool lost);
    /** Nullable. Something the owner should count and log: a failed asynchronous commit (role and
     *  partition set), a broker that is away, a fatal client error. `what` is for a person. */
    void (*on_error)(void *ctx,
                     enum fr_err err,
                     enum fr_topic_role role, /* FR_TOPIC_COUNT = not about one topic */
                     int32_t partition,       /* -1 = not about one partition */
                     const char *what);
};

/** Counters of a source, for metrics. */
struct fr_source_stats {
    uint64_t records; /* delivered to lanes */
    uint64_t commits; /* successful commit calls, asynchronous ones included */
    uint64_t commit_errors;
    uint64_t rebalances; /* assignments since start */
    uint64_t errors;     /* client errors reported */
    bool broker_down;    /* no broker could be reached when last heard of */
};

struct fr_source_ops;

/** Base of every implementation. Owner: made by its _new function, released by fr_source_free(). */
struct fr_source {
    const struct fr_source_ops *ops;
    int n_lanes;
};

/** What an implementation provides; contracts at the functions below. */
struct fr_source_ops {
    enum fr_err (*serve)(struct fr_source *src, int timeout_ms);
    enum fr_err (*poll)(struct fr_source *src, int lane, int timeout_ms, struct fr_record *out);
    void (*release)(struct fr_source *src, struct fr_record *rec);
    enum fr_err (*header)(const struct fr_record *rec, int i, struct fr_header *out);
    void (*wake)(struct fr_source *src, int lane);
    enum fr_err (*seek)(struct fr_source *src, const struct fr_position *to);
    enum fr_err (*commit)(struct fr_source *src,
                          const struct fr_position *pos,
                          int n,
                          int timeout_ms);
    enum fr_err (*committed)(struct fr_source *src, struct fr_position *pos, int n, int timeout_ms);
    enum fr_err (*watermarks)(struct fr_source *src,
                              enum fr_topic_role role,
                              int32_t partition,
                              int timeout_ms,
                              int64_t *out_low,
                              int64_t *out_high);
    enum fr_err (*partition_count)(struct fr_source *src,
                                   int timeout_ms,
                                   int32_t *out_n,
                                   struct fr_fault *fault);
    enum fr_err (*rejoin)(struct fr_source *src);
    void (*stats)(const struct fr_source *src, struct fr_source_stats *out);
    enum fr_err (*close)(struct fr_source *src, int timeout_ms);
    void (*free)(struct fr_source *src);
};

/**
 * Serve the group for up to timeout_ms: rebalances (callbacks), commit results, client errors. Call
 * it again and again; a group member that is not served for max.poll.interval.ms is expelled.
 * @errors FR_EKAFKA  the client is dead (fatal error): close, free, start again
 *         FR_ECLOSED after fr_source_close()
 * @thread one, the same for the source's whole life ("main")
 */
FR_MUST_CHECK enum fr_err fr_source_serve(struct fr_source *src, int timeout_ms);

/**
 * Take the next record of a lane, waiting up to timeout_ms (0 = only what has arrived).
 * @param out  FR_OK: borrowed until fr_source_release(out), which must come before on_revoke of its
 *             partition returns and before fr_source_close().
 *             FR_EREFUSED: role, partition, offset and `refused` are set, nothing to release: the
 * log does not have the offset wanted (FR_ERANGE), or the partition is gone or forbidden
 *             (FR_ENOTFOUND, FR_EREFUSED). That partition delivers nothing more.
 * @errors FR_EAGAIN   nothing arrived, or fr_source_wake()
 *         FR_EREFUSED see above
 *         FR_EKAFKA   a passing error of the client, counted; poll again
 * @thread the lane's own
 */
FR_MUST_CHECK enum fr_err
fr_source_poll(struct fr_source *src, int lane, int timeout_ms, struct fr_record *out);

/** Give a record back; its memory is no longer valid. A record without opaque is a no-op. @thread
 * any */
void fr_source_release(struct fr_source *src, struct fr_record *rec);

/** The i-th header in order. @errors FR_ENOTFOUND past the last. Borrowed as long as the record. */
FR_MUST_CHECK enum fr_err fr_source_header(const struct fr_source *src,
                                           const struct fr_record *rec,
                                           int i,
                                           struct fr_header *out);

/** Make a waiting or the next fr_source_poll() of that lane return FR_EAGAIN early. @thread any */
void fr_source_wake(struct fr_source *src, int lane);

/**
 * Deliver from to->offset next; what was queued and not yet polled is dropped.
 * @errors FR_ESTATE  the partition is not assigned
 *         FR_ETIMEOUT FR_EKAFKA
 * @thread the lane that owns the partition
 */
FR_MUST_CHECK enum fr_err fr_source_seek(struct fr_source *src, const struct fr_position *to);

/**
 * Commit offsets (the next offset to read, i.e. last done + 1) for the group under its present
 * generation. timeout_ms > 0: wait for the broker's answer. timeout_ms 0: only send; a failure
 * comes by on_error.
 * @errors FR_EFENCED  another generation or member owns the group: give the partitions up
 *         FR_ETIMEOUT no answer; it may or may not have happened
 *         FR_EAGAIN   the coordinator is moving or loading; try again
 *         FR_EKAFKA   other refusal
 * @thread any
 */
FR_MUST_CHECK enum fr_err
fr_source_commit(struct fr_source *src, const struct fr_position *pos, int n, int timeout_ms);

/** Read the group's committed offsets into pos[].offset (FR_OFFSET_NONE = none).
 *  @errors FR_ETIMEOUT FR_EAGAIN FR_EKAFKA @thread any */
FR_MUST_CHECK enum fr_err
fr_source_committed(struct fr_source *src, struct fr_position *pos, int n, int timeout_ms);

/** [low, high) of the log. timeout_ms 0: the newest values already known from fetching (cheap, for
 *  lag metrics); FR_ENOTFOUND when none are. @errors FR_ETIMEOUT FR_EKAFKA @thread any */
FR_MUST_CHECK enum fr_err fr_source_watermarks(struct fr_source *src,
                                               enum fr_topic_role role,
                                               int32_t partition,
                                               int timeout_ms,
                                               int64_t *out_low,
                                               int64_t *out_high);

/** Partitions of the inputs, asked from the broker now. @errors FR_ENOTFOUND a topic is missing,
 *  FR_EMISMATCH events and requests differ (fault says how), FR_ETIMEOUT FR_EKAFKA @thread any */
FR_MUST_CHECK enum fr_err fr_source_partition_count(struct fr_source *src,
                                                    int timeout_ms,
                                                    int32_t *out_n,
                                                    struct fr_fault *fault);

/** Give the assignment back and ask again: on_revoke, then on_assign come from later serve calls.
 *  For a refused take, after a back-off. @thread main */
FR_MUST_CHECK enum fr_err fr_source_rejoin(struct fr_source *src);

/** @thread any; figures are a snapshot */
void fr_source_stats(const struct fr_source *src, struct fr_source_stats *out);

/** Leave the group (on_revoke is called) and stop. Lanes must have released their records.
 *  @errors FR_ETIMEOUT  the client is left behind; free still works @thread main */
FR_MUST_CHECK enum fr_err fr_source_close(struct fr_source *src, int timeout_ms);

/** Release; closes first if need be. NULL is a no-op. @thread main, no lane polls any more */
void fr_source_free(struct fr_source *src);

#endif
