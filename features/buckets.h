/*
 * features/buckets.h - sizes and makers of the bucket cells (bucket 0 = unknown everywhere).
 *
 * spec.c declares the vocabularies, row.c and item_table.c make the buckets.
 * Layer: features; includes features/fmath.h only.
 */
#ifndef FR_FEATURES_BUCKETS_H
#define FR_FEATURES_BUCKETS_H

#include <stdint.h>

#include "features/fmath.h"

#define FR_BUCKETS_COUNT 33 /* counts: 2 per doubling of 1 + count */
#define FR_BUCKETS_AGE 33   /* seconds: 1 per doubling of 1 + s; 32 = 68 years and more */
#define FR_BUCKETS_RATE 33  /* rates: 3 per doubling of 1 + 1000 * rate */
#define FR_BUCKETS_PRICE 65 /* prices: 4 per doubling of 1 + price */
#define FR_BUCKETS_TIMES 16 /* small counts as they are: 1 = none ... 15 = 14 and more */
#define FR_BUCKETS_PLACE 16 /* place in the history: see fr_bucket_place() */
#define FR_BUCKETS_SHARE 12 /* shares in tenths: 1 + floor(10 * share) */
#define FR_BUCKETS_RANK 16  /* 1 = not named, 2 + floor(log2(rank)) */

static inline uint32_t fr_bucket_count(double v)
{
    return fr_log_bucket(v, 2, FR_BUCKETS_COUNT);
}

static inline uint32_t fr_bucket_age(double seconds)
{
    return fr_log_bucket(seconds, 1, FR_BUCKETS_AGE);
}

static inline uint32_t fr_bucket_rate(double rate)
{
    return fr_log_bucket(rate * 1000, 3, FR_BUCKETS_RATE);
}

static inline uint32_t fr_bucket_price(double price)
{
    return fr_log_bucket(price, 4, FR_BUCKETS_PRICE);
}

static inline uint32_t fr_bucket_times(uint32_t n)
{
    return n >= FR_BUCKETS_TIMES - 2 ? FR_BUCKETS_TIMES - 1 : n + 1;
}

/** place: 1 = newest, 0 = not in the history. */
static inline uint32_t fr_bucket_place(uint32_t place)
{
    if (place <= 10)
        return place + 1;
    return place <= 20 ? 12 : place <= 50 ? 13 : place <= 100 ? 14 : 15;
}

static inline uint32_t fr_bucket_share(double share)
{
    uint32_t b = 1 + (uint32_t)(share * 10);
    return b >= FR_BUCKETS_SHARE ? FR_BUCKETS_SHARE - 1 : b;
}

/** rank: 1 = best, 0 = the source did not name the candidate. */
static inline uint32_t fr_bucket_rank(uint32_t rank)
{
    uint32_t b = 1;
    while (rank != 0) {
        rank >>= 1;
        b++;
    }
    return b >= FR_BUCKETS_RANK ? FR_BUCKETS_RANK - 1 : b;
}

#endif
