/*
 * daemon/stream/source.c - dispatch of the source seam.
 */
#include "daemon/stream/source.h"

enum fr_err fr_source_serve(struct fr_source *src, int timeout_ms)
{
    return src->ops->serve(src, timeout_ms);
}

enum fr_err fr_source_poll(struct fr_source *src, int lane, int timeout_ms, struct fr_record *out)
{
    return src->ops->poll(src, lane, timeout_ms, out);
}

void fr_source_release(struct fr_source *src, struct fr_record *rec)
{
    if (rec->opaque != NULL)
        src->ops->release(src, rec);
    rec->opaque = NULL;
}

enum fr_err fr_source_header(const struct fr_source *src,
                             const struct fr_record *rec,
                             int i,
                             struct fr_header *out)
{
    return rec->opaque == NULL ? FR_ENOTFOUND : src->ops->header(rec, i, out);
}

void fr_source_wake(struct fr_source *src, int lane)
{
    src->ops->wake(src, lane);
}

enum fr_err fr_source_seek(struct fr_source *src, const struct fr_position *to)
{
    return src->ops->seek(src, to);
}

enum fr_err
fr_source_commit(struct fr_source *src, const struct fr_position *pos, int n, int timeout_ms)
{
    return n == 0 ? FR_OK : src->ops->commit(src, pos, n, timeout_ms);
}

enum fr_err
fr_source_committed(struct fr_source *src, struct fr_position *pos, int n, int timeout_ms)
{
    return n == 0 ? FR_OK : src->ops->committed(src, pos, n, timeout_ms);
}

enum fr_err fr_source_watermarks(struct fr_source *src,
                                 enum fr_topic_role role,
                                 int32_t partition,
                                 int timeout_ms,
                                 int64_t *out_low,
                                 int64_t *out_high)
{
    return src->ops->watermarks(src, role, partition, timeout_ms, out_low, out_high);
}

enum fr_err fr_source_partition_count(struct fr_source *src,
                                      int timeout_ms,
                                      int32_t *out_n,
                                      struct fr_fault *fault)
{
    return src->ops->partition_count(src, timeout_ms, out_n, fault);
}

enum fr_err fr_source_rejoin(struct fr_source *src)
{
    return src->ops->rejoin(src);
}

void fr_source_stats(const struct fr_source *src, struct fr_source_stats *out)
{
    src->ops->stats(src, out);
}

enum fr_err fr_source_close(struct fr_source *src, int timeout_ms)
{
    return src->ops->close(src, timeout_ms);
}

void fr_source_free(struct fr_source *src)
{
    if (src != NULL)
        src->ops->free(src);
}
