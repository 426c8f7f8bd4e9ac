/*
 * daemon/pipeline/ticks.c - see ticks.h.
 */
#include "daemon/pipeline/ticks.h"

#include <pthread.h>
#include <string.h>

#include "daemon/base/alloc.h"

struct fr_ticks {
    int32_t n;
    pthread_mutex_t lock;           /* guards spec, posted, pending */
    const struct fr_spec *spec;
    struct fr_item_snapshot **posted; /* newest not yet taken by the builder */
    struct fr_item_snapshot **kept;   /* builder's */
    bool pending;
    uint64_t number;
};

enum fr_err fr_ticks_new(const struct fr_spec *spec, int32_t n_partitions, struct fr_ticks **out_t)
{
    struct fr_ticks *t = fr_calloc(1, sizeof(*t));

    if (t == NULL)
        return FR_ENOMEM;
    t->posted = fr_calloc((size_t)n_partitions, sizeof(struct fr_item_snapshot *));
    t->kept = fr_calloc((size_t)n_partitions, sizeof(struct fr_item_snapshot *));
    if (t->posted == NULL || t->kept == NULL || pthread_mutex_init(&t->lock, NULL) != 0) {
        fr_free(t->posted);
        fr_free(t->kept);
        fr_free(t);
        return FR_ENOMEM;
    }
    t->spec = spec;
    t->n = n_partitions;
    *out_t = t;
    return FR_OK;
}

void fr_ticks_free(struct fr_ticks *t)
{
    if (t == NULL)
        return;
    for (int32_t i = 0; i < t->n; i++) {
        fr_item_snapshot_free(t->posted[i]);
        fr_item_snapshot_free(t->kept[i]);
    }
    fr_free(t->posted);
    fr_free(t->kept);
    (void)pthread_mutex_destroy(&t->lock);
    fr_free(t);
}

void fr_ticks_post(struct fr_ticks *t, int32_t partition, struct fr_item_snapshot **take_snapshot)
{
    struct fr_item_snapshot *old = *take_snapshot;

    if (partition >= 0 && partition < t->n) {
        (void)pthread_mutex_lock(&t->lock);
        old = t->posted[partition];
        t->posted[partition] = *take_snapshot;
        t->pending = true;
        (void)pthread_mutex_unlock(&t->lock);
    }
    *take_snapshot = NULL;
    fr_item_snapshot_free(old);
}

void fr_ticks_set_spec(struct fr_ticks *t, const struct fr_spec *spec)
{
    (void)pthread_mutex_lock(&t->lock);
    t->spec = spec;
    t->pending = true;
    (void)pthread_mutex_unlock(&t->lock);
}

bool fr_ticks_pending(struct fr_ticks *t)
{
    bool pending;

    (void)pthread_mutex_lock(&t->lock);
    pending = t->pending;
    (void)pthread_mutex_unlock(&t->lock);
    return pending;
}

enum fr_err fr_ticks_build(struct fr_ticks *t, struct fr_item_generation **out_g)
{
    const struct fr_item_snapshot **view;
    const struct fr_spec *spec;
    enum fr_err e;

    (void)pthread_mutex_lock(&t->lock);
    for (int32_t i = 0; i < t->n; i++) {
        if (t->posted[i] == NULL)
            continue;
        fr_item_snapshot_free(t->kept[i]);
        t->kept[i] = t->posted[i];
        t->posted[i] = NULL;
    }
    t->pending = false;
    spec = t->spec;
    (void)pthread_mutex_unlock(&t->lock);
    view = fr_calloc((size_t)t->n, sizeof(*view));
    if (view == NULL)
        return FR_ENOMEM;
    for (int32_t i = 0; i < t->n; i++)
        view[i] = t->kept[i];
    e = fr_item_generation_build(spec, view, t->n, t->number + 1, out_g);
    fr_free(view);
    if (e == FR_OK)
        t->number++;
    return e;
}
