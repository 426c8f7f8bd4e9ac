/*
 * features/item_table.h - the catalogue in memory.
 *
 * Dense array of items, found by keyed hash; freed indexes are used again. The daemon holds two
 * instances (left-right) and applies every record to both in the same order, so an index means the
 * same in both: no locks in here.
 *
 * Layer: features; includes daemon/base/ and features/ only.
 */
#ifndef FR_FEATURES_ITEM_TABLE_H
#define FR_FEATURES_ITEM_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/field.h"
#include "daemon/base/map.h"
#include "features/item_record.h"
#include "features/spec.h"

#define FR_ITEM_NONE UINT32_MAX

struct fr_item_generation;

/** One item. Owner: the table; pointers are valid until the next write to this instance. */
struct fr_item {
    uint64_t item; /* keyed hash, 0 = free slot */
    struct fr_str id;
    struct fr_str title;
    uint64_t *category; /* (n_category) keyed hashes */
    uint16_t n_category;
    struct fr_str brand; /* n == 0: none */
    double price;        /* < 0: none */
    int64_t created_ts;  /* 0: unknown */
    bool available;
    const float *vector; /* NULL: none */
    uint32_t n_vector;
    struct fr_cell *cells; /* n_cells[ITEM]; cells of statistics and age are 0 here */
    void *block;           /* one allocation that holds all of the above */
};

struct fr_item_table;

/** @param spec  borrowed, must outlive the table. @param max_items  refuse more (0 = 2^31).
 *  @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_item_table_new(const struct fr_spec *spec, uint32_t max_items, struct fr_item_table **out);
void fr_item_table_free(struct fr_item_table *t);

/**
 * Insert or replace (rec->deleted: remove).
 * @param out_idx  nullable; the index, FR_ITEM_NONE when an unknown item was deleted.
 * @errors FR_ENOMEM FR_EFULL FR_EINVAL (no id, too many categories): the table is unchanged
 */
FR_MUST_CHECK enum fr_err
fr_item_table_put(struct fr_item_table *t, const struct fr_item_record *rec, uint32_t *out_idx);

/** Remove by hash; false if it was not there. */
bool fr_item_table_delete(struct fr_item_table *t, uint64_t item, uint32_t *out_idx);

/** FR_ITEM_NONE when absent. @thread readers of a pinned instance */
uint32_t fr_item_table_find(const struct fr_item_table *t, uint64_t item);

/** NULL for a free or impossible index. @thread readers of a pinned instance */
const struct fr_item *fr_item_table_get(const struct fr_item_table *t, uint32_t idx);

/** Live items; and one past the largest index in use or freed. */
uint32_t fr_item_table_size(const struct fr_item_table *t);
uint32_t fr_item_table_end(const struct fr_item_table *t);

/** Number of successful writes: equal in both instances when they agree. */
uint64_t fr_item_table_version(const struct fr_item_table *t);

/** The statistics item cells are read with: the table holds one reference. NULL = none yet. */
void fr_item_table_set_generation(struct fr_item_table *t, struct fr_item_generation *g);
const struct fr_item_generation *fr_item_table_generation(const struct fr_item_table *t);

#endif
