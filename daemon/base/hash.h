/*
 * daemon/base/hash.h - the hashes the project uses, each for one job.
 *
 *   fr_siphash   keyed identity of users, items and values (SipHash-2-4, Aumasson & Bernstein 2012)
 *   fr_murmur2   Kafka's default partitioner (Java client's murmur2, seed 0x9747b28c)
 *   fr_crc32     file integrity (IEEE 802.3, reflected)
 * Layer: lowest.
 */
#ifndef FR_BASE_HASH_H
#define FR_BASE_HASH_H

#include <stdint.h>

#include "daemon/base/str.h"

struct fr_hash_key {
    uint64_t k0, k1;
};

/** @thread any */
uint64_t fr_siphash(struct fr_hash_key k, struct fr_str s);

/** Key made from a config string (any length), itself by SipHash under fixed keys. */
struct fr_hash_key fr_hash_key_from(struct fr_str secret);

uint32_t fr_murmur2(struct fr_str s);

/** Partition of a key under murmur2_random: (murmur2 & 0x7fffffff) % n. n >= 1. */
int32_t fr_kafka_partition(struct fr_str key, int32_t n);

/** Start with crc = 0; chain by passing the last result. */
uint32_t fr_crc32(uint32_t crc, const void *p, size_t n);

/** Finaliser of splitmix64: a bijective 64-bit mixer. */
static inline uint64_t fr_mix64(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

#endif
