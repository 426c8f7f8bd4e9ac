/*
 * features/item_record.h - one record of the `items` topic, parsed.
 *
 * Layer: features; includes daemon/base/ only.
 */
#ifndef FR_FEATURES_ITEM_RECORD_H
#define FR_FEATURES_ITEM_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/str.h"

#define FR_MAX_CATEGORIES 16 /* the codec keeps the first of each and counts the rest */
#define FR_MAX_TAGS 32
#define FR_TITLE_MAX 512
#define FR_MAX_VECTOR 4096

/** Owner: whoever parsed it; everything is borrowed and must live for the call that takes it. */
struct fr_item_record {
    struct fr_str item_id; /* 1..FR_ID_MAX bytes: the record's key */
    uint64_t item;         /* fr_id_hash() of item_id */
    bool deleted;          /* the value was null: all below is absent */
    struct fr_str title;   /* n == 0: absent */
    const struct fr_str *categories;
    uint32_t n_categories;
    struct fr_str brand; /* n == 0: absent */
    bool has_price;
    double price; /* finite, >= 0 */
    const struct fr_str *tags;
    uint32_t n_tags;
    int64_t created_ts;  /* ms; 0 = not given */
    bool available;      /* true unless the record says false */
    const float *vector; /* NULL = none; finite */
    uint32_t n_vector;
};

#endif
