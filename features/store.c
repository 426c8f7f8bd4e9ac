/*
 * features/store.c - dispatch of the store seam.
 */
#include "features/store.h"

enum fr_err
fr_store_init_group(struct fr_store *st, const int64_t *first, int32_t n, struct fr_fault *fault)
{
    return st->ops->init_group(st, first, n, fault);
}

enum fr_err fr_store_take(struct fr_store *st,
                          int32_t partition,
                          uint64_t token,
                          struct fr_arena *ar,
                          struct fr_store_taken *out)
{
    return st->ops->take(st, partition, token, ar, out);
}

enum fr_err
fr_store_read(struct fr_store *st, struct fr_store_read *reqs, int n, struct fr_arena *ar)
{
    return st->ops->read(st, reqs, n, ar);
}

enum fr_err fr_store_commit(struct fr_store *st, struct fr_store_commit *reqs, int n)
{
    return st->ops->commit(st, reqs, n);
}

enum fr_err fr_store_commit_items(struct fr_store *st, const struct fr_store_commit_items *req)
{
    return st->ops->commit_items(st, req);
}

enum fr_err fr_store_load_items(
    struct fr_store *st, int32_t partition, uint64_t token, fr_store_row_fn row, void *ctx)
{
    return st->ops->load_items(st, partition, token, row, ctx);
}

enum fr_err fr_store_check(struct fr_store *st, int32_t partition, uint64_t token, int64_t r)
{
    return st->ops->check(st, partition, token, r);
}

enum fr_err fr_store_get_user(struct fr_store *st,
                              int32_t partition,
                              struct fr_str user_id,
                              struct fr_arena *ar,
                              struct fr_str *out_record,
                              struct fr_str *out_seen)
{
    return st->ops->get_user(st, partition, user_id, ar, out_record, out_seen);
}

enum fr_err fr_store_info(struct fr_store *st, struct fr_store_info *out)
{
    return st->ops->info(st, out);
}

void fr_store_free(struct fr_store *st)
{
    if (st != NULL)
        st->ops->free(st);
}
