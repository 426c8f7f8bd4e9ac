/*
 * daemon/pipeline/epoch.c - see epoch.h.
 */
#include "daemon/pipeline/epoch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "ann/live_index.h"
#include "daemon/base/alloc.h"
#include "features/item_generation.h"
#include "features/row.h"

#define ARENA_CHUNK ((size_t)1 << 20)
#define ITEM_BATCH 256

struct instance {
    struct fr_item_table *table;
    struct fr_model *retrieval;
    struct fr_model *ranker;
    struct fr_live_index *index;
    uint64_t generation;
};

struct fr_epochs {
    const struct fr_spec *spec;
    struct fr_epochs_config cfg;
    struct fr_leftright lr;
    struct instance inst[2];
    pthread_mutex_t writer;
    struct fr_arena *ar; /* the writer's */
    _Atomic uint64_t n_items;
};

enum fr_err fr_epochs_new(const struct fr_spec *spec,
                          const struct fr_epochs_config *cfg,
                          struct fr_epochs **out_ep)
{
    struct fr_epochs *ep = fr_calloc(1, sizeof(*ep));
    enum fr_err e;

    if (ep == NULL)
        return FR_ENOMEM;
    if (pthread_mutex_init(&ep->writer, NULL) != 0) {
        fr_free(ep);
        return FR_ENOMEM;
    }
    ep->spec = spec;
    ep->cfg = *cfg;
    fr_leftright_init(&ep->lr);
    e = fr_arena_new(ARENA_CHUNK, 0, &ep->ar);
    for (int i = 0; i < 2 && e == FR_OK; i++)
        e = fr_item_table_new(spec, 0, &ep->inst[i].table);
    if (e != FR_OK) {
        fr_epochs_free(ep);
        return e;
    }
    *out_ep = ep;
    return FR_OK;
}

void fr_epochs_free(struct fr_epochs *ep)
{
    if (ep == NULL)
        return;
    for (int i = 0; i < 2; i++)
        fr_item_table_free(ep->inst[i].table);
    fr_live_index_free(ep->inst[0].index); /* models and index are the same in both */
    fr_model_free(ep->inst[0].retrieval);
    fr_model_free(ep->inst[0].ranker);
    fr_arena_free(ep->ar);
    (void)pthread_mutex_destroy(&ep->writer);
    fr_free(ep);
}

void fr_epochs_pin(struct fr_epochs *ep, struct fr_epoch *out)
{
    const struct instance *in;

    out->pin = fr_leftright_pin(&ep->lr);
    in = &ep->inst[out->pin.instance];
    out->retrieval = in->retrieval;
    out->ranker = in->ranker;
    out->table = in->table;
    out->index = in->index;
    out->index_generation = in->generation;
}

void fr_epochs_unpin(struct fr_epochs *ep, const struct fr_epoch *view)
{
    fr_leftright_unpin(&ep->lr, view->pin);
}

/* Vectors of table rows idx[0..n) by `m`, into out (n, dim). The arena is the writer's. */
static enum fr_err embed_items(struct fr_epochs *ep,
                               const struct fr_model *m,
                               const struct fr_item_table *t,
                               const uint32_t *idx,
                               int n,
                               float *out)
{
    uint32_t nc = ep->spec->fields.n_cells[FR_ENTITY_ITEM];
    uint32_t ns = fr_model_info(m)->n_slots[FR_ENTITY_ITEM];
    struct fr_cell *cells = fr_arena_array(ep->ar, (size_t)n * nc + 1, sizeof(*cells));
    struct fr_slot *slots = fr_arena_array(ep->ar, (size_t)n * ns + 1, sizeof(*slots));
    const struct fr_slot **ptr = fr_arena_array(ep->ar, (size_t)n + 1, sizeof(*ptr));
    enum fr_err e;

    if (cells == NULL || slots == NULL || ptr == NULL)
        return FR_ENOMEM;
    for (int i = 0; i < n; i++) {
        fr_row_item(ep->spec, t, idx[i], NULL, 0, cells + (size_t)i * nc);
        ptr[i] = slots + (size_t)i * ns;
    }
    e = fr_model_encode(m, FR_ENTITY_ITEM, cells, n, slots);
    return e == FR_OK ? fr_model_items(m, ptr, n, ep->cfg.flags, ep->ar, out) : e;
}

/* What the index must learn of a record that is in the table now. */
static enum fr_err index_ops(struct fr_epochs *ep,
                             const struct instance *in,
                             const struct fr_item_record *recs,
                             int n,
                             struct fr_ann_op *ops)
{
    int dim = fr_model_info(in->retrieval)->dim;
    uint32_t *idx = fr_arena_array(ep->ar, (size_t)n + 1, sizeof(*idx));
    float *vec = fr_arena_array(ep->ar, (size_t)n * (size_t)dim + 1, sizeof(*vec));
    int *which = fr_arena_array(ep->ar, (size_t)n + 1, sizeof(*which));
    int m = 0;
    enum fr_err e;

    if (idx == NULL || vec == NULL || which == NULL)
        return FR_ENOMEM;
    for (int i = 0; i < n; i++) {
        uint32_t at = recs[i].deleted ? FR_ITEM_NONE : fr_item_table_find(in->table, recs[i].item);
        ops[i] = (struct fr_ann_op){FR_ANN_REMOVE, recs[i].item, NULL};
        if (at != FR_ITEM_NONE) { /* the last record of an item decides; others do no harm */
            which[m] = i;
            idx[m++] = at;
        }
    }
    e = m == 0 ? FR_OK : embed_items(ep, in->retrieval, in->table, idx, m, vec);
    for (int k = 0; k < m && e == FR_OK; k++)
        ops[which[k]] =
            (struct fr_ann_op){FR_ANN_PUT, recs[which[k]].item, vec + (size_t)k * (size_t)dim};
    return e;
}

static enum fr_err put_some(struct fr_epochs *ep, const struct fr_item_record *recs, int n)
{
    enum fr_err e = FR_OK;
    struct fr_ann_op *ops;
    int done = 0;

    fr_arena_reset(ep->ar);
    for (int turn = 0; turn < 2 && e == FR_OK; turn++) {
        struct instance *in = &ep->inst[fr_leftright_idle(&ep->lr)];
        int upto = turn == 0 ? n : done;

        for (int i = 0; i < upto && e == FR_OK; i++) {
            e = fr_item_table_put(in->table, &recs[i], NULL);
            if (turn == 0 && e == FR_OK)
                done++;
        }
        if (turn == 0 && done > 0)
            e = FR_OK; /* publish what was taken; the failure is reported below */
        if (e == FR_OK && turn == 0)
            fr_leftright_swap(&ep->lr);
    }
    atomic_store_explicit(&ep->n_items, fr_item_table_size(ep->inst[0].table), memory_order_relaxed);
    if (e != FR_OK || ep->inst[0].index == NULL)
        return e != FR_OK ? e : done == n ? FR_OK : FR_ENOMEM;
    ops = fr_arena_array(ep->ar, (size_t)done + 1, sizeof(*ops));
    if (ops == NULL)
        return FR_ENOMEM;
    e = index_ops(ep, &ep->inst[0], recs, done, ops);
    if (e == FR_OK)
        e = fr_live_index_apply(ep->inst[0].index, ops, done);
    return e != FR_OK ? e : done == n ? FR_OK : FR_ENOMEM;
}

enum fr_err fr_epochs_put(struct fr_epochs *ep, const struct fr_item_record *recs, int n)
{
    enum fr_err e = FR_OK;

    (void)pthread_mutex_lock(&ep->writer);
    for (int i = 0; i < n && e == FR_OK; i += ITEM_BATCH)
        e = put_some(ep, recs + i, n - i < ITEM_BATCH ? n - i : ITEM_BATCH);
    (void)pthread_mutex_unlock(&ep->writer);
    return e;
}

enum fr_err fr_epochs_set_generation(struct fr_epochs *ep, struct fr_item_generation *g)
{
    (void)pthread_mutex_lock(&ep->writer);
    for (int turn = 0; turn < 2; turn++) {
        fr_item_table_set_generation(ep->inst[fr_leftright_idle(&ep->lr)].table, g);
        if (turn == 0)
            fr_leftright_swap(&ep->lr);
    }
    (void)pthread_mutex_unlock(&ep->writer);
    return FR_OK;
}

/* All live items of the table: indexes, labels and vectors. Memory is the caller's to free. */
static enum fr_err all_vectors(struct fr_epochs *ep,
                               const struct fr_model *m,
                               const struct fr_item_table *t,
                               uint64_t **out_labels,
                               float **out_vec,
                               uint64_t *out_n)
{
    size_t dim = (size_t)fr_model_info(m)->dim, cap = fr_item_table_size(t);
    uint64_t *labels = fr_calloc(cap + 1, sizeof(*labels));
    float *vec = fr_calloc_aligned(cap * dim + 1, sizeof(*vec));
    uint32_t idx[ITEM_BATCH], end = fr_item_table_end(t);
    size_t n = 0, from = 0;
    int k = 0;
    enum fr_err e = labels == NULL || vec == NULL ? FR_ENOMEM : FR_OK;

    for (uint32_t i = 0; i <= end && e == FR_OK; i++) {
        const struct fr_item *it = i < end ? fr_item_table_get(t, i) : NULL;
        if (it != NULL) {
            idx[k++] = i;
            labels[n++] = it->item;
        }
        if (k == ITEM_BATCH || (i == end && k > 0)) {
            fr_arena_reset(ep->ar);
            e = embed_items(ep, m, t, idx, k, vec + from * dim);
            from = n;
            k = 0;
        }
    }
    if (e != FR_OK) {
        fr_free(labels);
        fr_free(vec);
        return e;
    }
    *out_labels = labels;
    *out_vec = vec;
    *out_n = n;
    return FR_OK;
}

static enum fr_err
build_index(struct fr_epochs *ep, const struct fr_model *m, struct fr_live_index **out_ix)
{
    struct fr_live_index_config c = {.dim = fr_model_info(m)->dim,
                                     .m = ep->cfg.m,
                                     .ef_construction = ep->cfg.ef_construction,
                                     .ef_search = ep->cfg.ef_search,
                                     .flat = ep->cfg.flat};
    uint64_t *labels, n;
    float *vec;
    enum fr_err e = fr_live_index_new(&c, out_ix);

    if (e != FR_OK)
        return e;
    e = all_vectors(ep, m, ep->inst[0].table, &labels, &vec, &n);
    if (e == FR_OK) {
        e = n == 0 ? FR_OK : fr_live_index_build(*out_ix, labels, vec, n);
        fr_free(labels);
        fr_free(vec);
    }
    if (e != FR_OK)
        fr_live_index_free(*out_ix);
    return e;
}

static enum fr_err check_jobs(const struct fr_model *retrieval,
                              const struct fr_model *ranker,
                              struct fr_fault *fault)
{
    if (retrieval != NULL && fr_model_info(retrieval)->job != FR_JOB_RETRIEVAL)
        return fr_fault(fault, FR_EINVAL, "models.retrieval: %s is no retrieval model",
                        fr_model_kind_name(fr_model_info(retrieval)->kind));
    if (ranker != NULL && fr_model_info(ranker)->job != FR_JOB_RANKER)
        return fr_fault(fault, FR_EINVAL, "models.ranker: %s is no ranker",
                        fr_model_kind_name(fr_model_info(ranker)->kind));
    return FR_OK;
}

enum fr_err fr_epochs_set_models(struct fr_epochs *ep,
                                 struct fr_model **take_retrieval,
                                 struct fr_model **take_ranker,
                                 struct fr_fault *fault)
{
    struct fr_live_index *ix = NULL;
    struct instance old;
    enum fr_err e = check_jobs(*take_retrieval, *take_ranker, fault);

    if (e != FR_OK)
        return e;
    (void)pthread_mutex_lock(&ep->writer);
    if (*take_retrieval != NULL)
        e = build_index(ep, *take_retrieval, &ix);
    if (e != FR_OK) {
        (void)pthread_mutex_unlock(&ep->writer);
        return fr_fault(fault, e, "building the index: %s", fr_err_text(e));
    }
    old = ep->inst[0];
    for (int turn = 0; turn < 2; turn++) {
        struct instance *in = &ep->inst[fr_leftright_idle(&ep->lr)];
        in->retrieval = *take_retrieval;
        in->ranker = *take_ranker;
        in->index = ix;
        in->generation++;
        if (turn == 0)
            fr_leftright_swap(&ep->lr);
    }
    (void)pthread_mutex_unlock(&ep->writer);
    *take_retrieval = NULL;
    *take_ranker = NULL;
    fr_live_index_free(old.index); /* both swaps drained: no reader holds them */
    fr_model_free(old.retrieval);
    fr_model_free(old.ranker);
    return FR_OK;
}

bool fr_epochs_maintain(struct fr_epochs *ep, int budget)
{
    bool more = false;

    (void)pthread_mutex_lock(&ep->writer);
    if (ep->inst[0].index != NULL &&
        fr_live_index_maintain(ep->inst[0].index, budget, &more) != FR_OK)
        more = false;
    (void)pthread_mutex_unlock(&ep->writer);
    return more;
}

void fr_epochs_sizes(struct fr_epochs *ep, uint64_t *items, uint64_t *indexed, uint64_t *pending)
{
    struct fr_live_index_stats st = {0, 0, 0, 0};
    struct fr_epoch view;

    fr_epochs_pin(ep, &view);
    if (view.index != NULL)
        fr_live_index_stats(view.index, &st);
    fr_epochs_unpin(ep, &view);
    *items = atomic_load_explicit(&ep->n_items, memory_order_relaxed);
    *indexed = st.entries;
    *pending = st.pending;
}
