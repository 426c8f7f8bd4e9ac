/*
 * features/item_cells.h - the ITEM cells that depend on the catalogue only.
 *
 * Cells of several values (categories, tags, words) carry x = 1 / number of values, so a field's
 * embedding is their mean. Cells of statistics and age are left zero: row.c fills them.
 * Layer: features; used by item_table.c, which caches the result.
 */
#ifndef FR_FEATURES_ITEM_CELLS_H
#define FR_FEATURES_ITEM_CELLS_H

#include "daemon/base/field.h"
#include "features/item_record.h"
#include "features/spec.h"

/** @param out  n_cells[ITEM] cells, all written. */
void fr_item_cells(const struct fr_spec *spec,
                   const struct fr_item_record *rec,
                   struct fr_cell *out);

/**
 * Words of a title: runs of ASCII letters and digits and of bytes >= 0x80, ASCII lower-cased,
 * without repeats. @return number of hashes written, at most max.
 */
uint32_t fr_title_words(struct fr_hash_key key, struct fr_str title, uint64_t *out, uint32_t max);

#endif
