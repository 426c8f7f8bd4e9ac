/*
 * daemon/stream/log_reader.c - dispatch of the log reader seam.
 */
#include "daemon/stream/log_reader.h"

enum fr_err fr_log_reader_poll(struct fr_log_reader *lr, int timeout_ms, struct fr_record *out)
{
    return lr->ops->poll(lr, timeout_ms, out);
}

void fr_log_reader_release(struct fr_log_reader *lr, struct fr_record *rec)
{
    if (rec->opaque != NULL)
        lr->ops->release(lr, rec);
    rec->opaque = NULL;
}

enum fr_err fr_log_reader_header(const struct fr_log_reader *lr,
                                 const struct fr_record *rec,
                                 int i,
                                 struct fr_header *out)
{
    return rec->opaque == NULL ? FR_ENOTFOUND : lr->ops->header(rec, i, out);
}

int32_t fr_log_reader_partitions(const struct fr_log_reader *lr)
{
    return lr->ops->partitions(lr);
}

int64_t fr_log_reader_position(const struct fr_log_reader *lr, int32_t partition)
{
    return lr->ops->position(lr, partition);
}

int64_t fr_log_reader_target(const struct fr_log_reader *lr, int32_t partition)
{
    return lr->ops->target(lr, partition);
}

bool fr_log_reader_caught_up(struct fr_log_reader *lr)
{
    return lr->ops->caught_up(lr);
}

void fr_log_reader_free(struct fr_log_reader *lr)
{
    if (lr != NULL)
        lr->ops->free(lr);
}
