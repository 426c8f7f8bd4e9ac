/*
 * daemon/pipeline/take.h - taking a partition: prove it to Kafka, take the token, learn R, V and C.
 *
 * Order (DESIGN 5): a synchronous commit of C under the current generation (refused: we are a zombie,
 * give the partition up), then the token in Redis, then the offsets, then reading. Everything that
 * was held in memory before is void. Where nothing was committed yet, C = R is committed before the
 * first record is processed: a crash cannot lose the outputs in between. Where nothing was committed yet, C = R is committed before the
 * first record is processed, so that a crash cannot lose the outputs in between.
 */
#ifndef FR_PIPELINE_TAKE_H
#define FR_PIPELINE_TAKE_H

#include "daemon/base/arena.h"
#include "daemon/base/err.h"
#include "daemon/pipeline/part.h"
#include "daemon/stream/source.h"
#include "features/store.h"

/**
 * Write R and the partition count for all partitions if nobody has: the configured start of the
 * events topic, resolved to numbers.
 * @param latest  start at the end of the log instead of its beginning.
 * @errors FR_EREFUSED (partition count differs, half initialised; fault has the remedy), FR_EKAFKA,
 *         FR_ETIMEOUT, FR_EREDIS, FR_EIO, FR_ENOMEM
 * @thread main, before lanes start
 */
FR_MUST_CHECK enum fr_err fr_take_init_group(struct fr_source *src,
                                             struct fr_store *st,
                                             int32_t n_partitions,
                                             bool latest,
                                             struct fr_fault *fault);

/**
 * Take one partition.
 * @param c        C to prove: the lane's own position at a retake; FR_OFFSET_NONE = read it from the
 *                 group (first take).
 * @param token    random, not 0.
 * @param out      out->aux lives in `ar`.
 * @errors FR_EFENCED  Kafka refused the commit: another member owns it
 *         FR_EREFUSED R or C outside the log, or the partition count changed; fault has the remedy
 *         retriable ones: try again later
 * @thread main (first take) or the owning lane (retake)
 */
FR_MUST_CHECK enum fr_err fr_take(struct fr_source *src,
                                  struct fr_store *st,
                                  int32_t partition,
                                  int32_t n_partitions,
                                  bool latest,
                                  const int64_t c[FR_TOPIC_INPUTS],
                                  uint64_t token,
                                  struct fr_arena *ar,
                                  struct fr_taken *out,
                                  struct fr_fault *fault);

#endif
