/*
 * ann/hnsw_shim.cpp - see hnsw_shim.h. Works with hnswlib 0.6.2 and 0.8.0: it uses only members and
 * calls that both have (public data members, addPoint(data, label), searchKnn(query, k)).
 *
 * NO_MANUAL_VECTORIZATION keeps hnswlib's compile-time SIMD (and its prefetch past the end of a
 * list, which the address sanitizer reports) out; distances come from models/tensor.h, dispatched
 * at run time. The define is here and not on a command line, so that no build can forget it.
 */
#ifndef NO_MANUAL_VECTORIZATION
#define NO_MANUAL_VECTORIZATION
#endif
#include "ann/hnsw_shim.h"

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include <hnswlib/hnswlib.h>

extern "C" {
#include "models/tensor.h"
}

namespace
{
std::atomic<uint64_t> fail_at{0};

float distance(const void *a, const void *b, const void *dim)
{
    return 1.0f - fr_dot(static_cast<const float *>(a),
                         static_cast<const float *>(b),
                         *static_cast<const size_t *>(dim));
}

/* stands in for distance() while the test hook is armed */
float failing_distance(const void *a, const void *b, const void *dim)
{
    if (fail_at.load() > 0 && fail_at.fetch_sub(1) == 1)
        throw std::bad_alloc();
    return distance(a, b, dim);
}

class Space : public hnswlib::SpaceInterface<float>
{
  public:
    explicit Space(size_t dim) : dim_(dim)
    {
    }
    size_t get_data_size() override
    {
        return dim_ * sizeof(float);
    }
    hnswlib::DISTFUNC<float> get_dist_func() override
    {
        return distance;
    }
    void *get_dist_func_param() override
    {
        return &dim_;
    }

  private:
    size_t dim_;
};

using Graph = hnswlib::HierarchicalNSW<float>;

template <typename F> enum fr_err guarded(F f) noexcept
{
    try {
        return f();
    } catch (const std::bad_alloc &) {
        return FR_ENOMEM;
    } catch (const std::length_error &) {
        return FR_ENOMEM;
    } catch (const std::exception &e) {
        /* hnswlib reports a failed malloc as a runtime_error with this text */
        return std::strstr(e.what(), "Not enough memory") != nullptr ? FR_ENOMEM : FR_EINTERNAL;
    } catch (...) {
        return FR_EINTERNAL;
    }
}
} // namespace

/** Owner: fr_hnsw_shim_new(). Thread: one writer and no reader, or readers only. The space outlives
 *  the graph, which keeps a pointer into it: members are destroyed in reverse order. */
struct fr_hnsw_graph {
    fr_hnsw_params params;
    Space space;
    std::unique_ptr<Graph> g;

    fr_hnsw_graph(const fr_hnsw_params &p, uint64_t capacity)
        : params(p), space(static_cast<size_t>(p.dim)),
          g(new Graph(&space,
                      capacity,
                      static_cast<size_t>(p.m),
                      static_cast<size_t>(p.ef_construction),
                      static_cast<size_t>(p.seed)))
    {
    }
};

namespace
{
char *new_links(const Graph &g, int level)
{
    size_t bytes = g.size_links_per_element_ * static_cast<size_t>(level) + 1;
    char *p = static_cast<char *>(std::calloc(1, bytes)); /* hnswlib releases it by free() */
    if (p == nullptr)
        throw std::bad_alloc();
    return p;
}

/* Room for `capacity` slots, everything copied; `from` stays as it is. */
std::unique_ptr<fr_hnsw_graph> copy_of(const fr_hnsw_graph &from, uint64_t capacity)
{
    auto to = std::make_unique<fr_hnsw_graph>(from.params, capacity);
    const Graph &a = *from.g;
    Graph &b = *to->g;
    size_t n = a.cur_element_count;

    std::memcpy(b.data_level0_memory_, a.data_level0_memory_, n * a.size_data_per_element_);
    for (size_t i = 0; i < n; i++) {
        int level = a.element_levels_[i];
        if (level > 0) {
            b.linkLists_[i] = new_links(b, level);
            std::memcpy(b.linkLists_[i],
                        a.linkLists_[i],
                        a.size_links_per_element_ * static_cast<size_t>(level));
        } else {
            b.linkLists_[i] = nullptr;
        }
        b.element_levels_[i] = level;
        b.cur_element_count = i + 1; /* what the destructor walks, should the next step throw */
    }
    b.maxlevel_ = a.maxlevel_;
    b.enterpoint_node_ = a.enterpoint_node_;
    b.level_generator_ = a.level_generator_;
    return to;
}

/* A count and its links, at layer `layer` of the slot. */
void put_links(Graph &g, hnswlib::tableint slot, int layer, const uint32_t *links)
{
    hnswlib::linklistsizeint *at = g.get_linklist_at_level(slot, layer);
    g.setListCount(at, static_cast<unsigned short>(links[0]));
    if (links[0] > 0)
        std::memcpy(at + 1, links + 1, links[0] * sizeof(uint32_t));
}
} // namespace

enum fr_err fr_hnsw_shim_new(const struct fr_hnsw_params *p,
                             uint64_t capacity,
                             struct fr_hnsw_graph **out) noexcept
{
    if (p->dim < 1 || p->m < 2 || p->m > 256 || p->ef_construction < 1 || capacity < 1)
        return FR_EINVAL;
    return guarded([&] {
        *out = new fr_hnsw_graph(*p, capacity);
        return FR_OK;
    });
}

void fr_hnsw_shim_free(struct fr_hnsw_graph *g) noexcept
{
    delete g;
}

/* hnswlib does not give its visited list back when an insertion throws: `mine` was the pool's only one. */
static void reclaim(Graph &h, hnswlib::VisitedList *mine) noexcept
{
    (void)guarded([&] {
        hnswlib::VisitedList *now = h.visited_list_pool_->getFreeVisitedList();
        if (now != mine)
            delete mine;
        h.visited_list_pool_->releaseVisitedList(now);
        return FR_OK;
    });
}

enum fr_err fr_hnsw_shim_add(struct fr_hnsw_graph *g, const float *v) noexcept
{
    Graph &h = *g->g;
    size_t slot = h.cur_element_count;
    hnswlib::VisitedList *list = nullptr;

    if (slot >= h.max_elements_)
        return FR_EFULL;
    h.fstdistfunc_ = fail_at.load(std::memory_order_relaxed) > 0 ? failing_distance : distance;
    enum fr_err e = guarded([&] {
        list = h.visited_list_pool_->getFreeVisitedList();
        h.visited_list_pool_->releaseVisitedList(list);
        h.addPoint(v, slot);
        return FR_OK;
    });
    if (e != FR_OK && list != nullptr)
        reclaim(h, list);
    h.label_lookup_.clear(); /* slots are never looked up by label: do not keep a second map */
    return e;
}

enum fr_err fr_hnsw_shim_resize(struct fr_hnsw_graph *g, uint64_t capacity) noexcept
{
    if (capacity < g->g->cur_element_count || capacity < 1)
        return FR_EINVAL;
    return guarded([&] {
        auto grown = std::make_unique<fr_hnsw_graph>(g->params, capacity);
        Graph &a = *g->g, &b = *grown->g;
        size_t n = a.cur_element_count;
        std::memcpy(b.data_level0_memory_, a.data_level0_memory_, n * a.size_data_per_element_);
        for (size_t i = 0; i < n; i++) { /* link lists move: no allocation from here on */
            b.linkLists_[i] = a.element_levels_[i] > 0 ? a.linkLists_[i] : nullptr;
            b.element_levels_[i] = a.element_levels_[i];
            a.element_levels_[i] = 0;
        }
        b.cur_element_count = n;
        b.maxlevel_ = a.maxlevel_;
        b.enterpoint_node_ = a.enterpoint_node_;
        b.level_generator_ = a.level_generator_;
        b.dist_func_param_ =
            g->space.get_dist_func_param(); /* b outlives the space it was made with */
        g->g.swap(grown->g);
        return FR_OK;
    });
}

enum fr_err fr_hnsw_shim_clone(const struct fr_hnsw_graph *g, struct fr_hnsw_graph **out) noexcept
{
    return guarded([&] {
        *out = copy_of(*g, g->g->max_elements_).release();
        return FR_OK;
    });
}

void fr_hnsw_shim_view(const struct fr_hnsw_graph *g, struct fr_hnsw_view *out) noexcept
{
    const Graph &h = *g->g;
    out->level0 = h.data_level0_memory_;
    out->stride = h.size_data_per_element_;
    out->vec_offset = h.offsetData_;
    out->upper = h.linkLists_;
    out->upper_stride = h.size_links_per_element_;
    out->level = h.element_levels_.data();
    out->n = h.cur_element_count;
    out->capacity = h.max_elements_;
    out->entry = h.enterpoint_node_;
    out->max_level = h.maxlevel_;
}

enum fr_err fr_hnsw_shim_restore(struct fr_hnsw_graph *g,
                                 const float *v,
                                 int level,
                                 const uint32_t *links) noexcept
{
    Graph &h = *g->g;
    size_t slot = h.cur_element_count;
    hnswlib::labeltype label = slot;

    if (slot >= h.max_elements_)
        return FR_EFULL;
    if (level < 0 || level > 255)
        return FR_EINVAL;
    return guarded([&] {
        const uint32_t *at = links;
        for (int layer = 0; layer <= level; layer++) {
            if (*at > (layer == 0 ? h.maxM0_ : h.maxM_))
                return FR_EINVAL;
            at += 1 + *at;
        }
        char *upper = level > 0 ? new_links(h, level) : nullptr;
        auto id = static_cast<hnswlib::tableint>(slot);
        std::memset(
            h.data_level0_memory_ + slot * h.size_data_per_element_, 0, h.size_data_per_element_);
        std::memcpy(h.getDataByInternalId(id), v, h.data_size_);
        h.setExternalLabel(id, label);
        h.linkLists_[slot] = upper;
        h.element_levels_[slot] = level;
        at = links;
        for (int layer = 0; layer <= level; layer++) {
            put_links(h, id, layer, at);
            at += 1 + *at;
        }
        h.cur_element_count = slot + 1;
        return FR_OK;
    });
}

void fr_hnsw_shim_set_entry(struct fr_hnsw_graph *g, uint32_t entry, int level) noexcept
{
    g->g->enterpoint_node_ = entry;
    g->g->maxlevel_ = level;
}

enum fr_err fr_hnsw_shim_raw_search(struct fr_hnsw_graph *g,
                                    const float *q,
                                    uint32_t k,
                                    uint32_t ef,
                                    uint64_t *out_slot,
                                    uint32_t *out_n) noexcept
{
    return guarded([&] {
        g->g->setEf(ef);
        auto far_first = g->g->searchKnn(q, k);
        auto n = static_cast<uint32_t>(far_first.size());
        *out_n = n;
        for (; n > 0; far_first.pop())
            out_slot[--n] = far_first.top().second;
        return FR_OK;
    });
}

void fr_hnsw_shim_fail_at(uint64_t nth) noexcept
{
    fail_at.store(nth);
}
