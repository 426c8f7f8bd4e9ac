/*
 * daemon/base/field.h - the words features and models share: fields, cells, slots.
 *
 * features/ turns state into cells (keyed hash or bucket number, and a value); models/ turns cells
 * into slots (a row of an embedding table, and a value). Neither includes the other.
 *
 *   field  "history"  entity USER, kind ID, table "item", slots 50   -> 50 cells {item hash, weight}
 *   field  "hour"     entity CONTEXT, kind BUCKET, vocab 25          -> 1 cell  {hour + 1, 1.0}
 *   field  "tower"    entity CROSS, kind NUMERIC                     -> 1 cell  {0, score}
 *
 * A field's embedding is e_f = sum over its slots of x * v[row]; an unused slot has id 0, x 0.
 * A row is the cells of all fields of an entity group in declaration order.
 * Layer: lowest.
 */
#ifndef FR_BASE_FIELD_H
#define FR_BASE_FIELD_H

#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/str.h"

#define FR_MAX_FIELDS 256
#define FR_FIELD_NAME 48

enum fr_entity { FR_ENTITY_USER, FR_ENTITY_CONTEXT, FR_ENTITY_ITEM, FR_ENTITY_CROSS, FR_ENTITY_COUNT };

enum fr_field_kind {
    FR_FIELD_ID,     /* cell.id = keyed 64-bit hash, never 0 when present */
    FR_FIELD_BUCKET, /* cell.id in [0, vocab), 0 = unknown */
    FR_FIELD_NUMERIC /* cell.id = 0, cell.x = the value; the model's bundle holds mean and scale */
};

/** One declared field. Owner: the field set it is in, immutable after compilation. */
struct fr_field {
    char name[FR_FIELD_NAME];
    char table[FR_FIELD_NAME]; /* ID: name of the id space; fields of the same table share rows */
    enum fr_entity entity;
    enum fr_field_kind kind;
    uint32_t vocab; /* BUCKET: number of buckets, unknown included; else 0 */
    uint16_t slots; /* >= 1 */
    uint16_t first; /* index of its first cell within its entity group */
};

/** What features emit: one value of one field. */
struct fr_cell {
    uint64_t id;
    float x;
};

/** What models read: row 0 of every table is the unknown row. */
struct fr_slot {
    int32_t row;
    float x;
};

/**
 * All fields, in declaration order. Entity groups are laid out apart: the cells of entity E are an
 * array of n_cells[E]. `hash` ties features, examples and models; it covers names, kinds, tables,
 * vocabularies, slots, the parameters of the features and the key of the id hash.
 * Owner: whoever compiled it. Thread: immutable, any.
 */
struct fr_field_set {
    struct fr_field f[FR_MAX_FIELDS];
    int n;
    uint32_t n_cells[FR_ENTITY_COUNT];
    uint64_t hash;
};

/** Index of a field by name, or -1. @thread any */
int fr_field_find(const struct fr_field_set *fs, struct fr_str name);

/** "user", "context", "item", "cross". */
const char *fr_entity_name(enum fr_entity e);
/** "id", "bucket", "numeric". */
const char *fr_field_kind_name(enum fr_field_kind k);

/**
 * Append a field and lay it out (`first`, n_cells). name, table: borrowed, copied.
 * @errors FR_EFULL FR_EDUPLICATE FR_EINVAL (empty or long name, slots 0, BUCKET without vocab)
 */
FR_MUST_CHECK enum fr_err fr_field_add(struct fr_field_set *fs,
                                       const char *name,
                                       enum fr_entity entity,
                                       enum fr_field_kind kind,
                                       const char *table,
                                       uint32_t vocab,
                                       uint16_t slots);

#endif
