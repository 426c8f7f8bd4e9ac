/*
 * daemon/base/hash.c - SipHash-2-4, murmur2 (Kafka's variant), CRC-32.
 */
#include "daemon/base/hash.h"

#include <pthread.h>

static uint64_t rotl(uint64_t x, int b)
{
    return (x << b) | (x >> (64 - b));
}

static uint64_t load64(const unsigned char *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static void round_once(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static void absorb(uint64_t v[4], uint64_t m)
{
    v[3] ^= m;
    round_once(v);
    round_once(v);
    v[0] ^= m;
}

uint64_t fr_siphash(struct fr_hash_key k, struct fr_str s)
{
    uint64_t v[4] = {k.k0 ^ UINT64_C(0x736f6d6570736575), k.k1 ^ UINT64_C(0x646f72616e646f6d),
                     k.k0 ^ UINT64_C(0x6c7967656e657261), k.k1 ^ UINT64_C(0x7465646279746573)};
    const unsigned char *p = (const unsigned char *)s.p;
    size_t whole = s.n & ~(size_t)7;

    for (size_t i = 0; i < whole; i += 8)
        absorb(v, load64(p + i, 8));
    absorb(v, (s.n > whole ? load64(p + whole, s.n - whole) : 0) | ((uint64_t)s.n << 56));
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        round_once(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct fr_hash_key fr_hash_key_from(struct fr_str secret)
{
    struct fr_hash_key a = {UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210)};
    struct fr_hash_key b = {UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xc2b2ae3d27d4eb4f)};

    return (struct fr_hash_key){fr_siphash(a, secret), fr_siphash(b, secret)};
}

uint32_t fr_murmur2(struct fr_str s)
{
    const uint32_t m = 0x5bd1e995U;
    const unsigned char *p = (const unsigned char *)s.p;
    uint32_t h = 0x9747b28cU ^ (uint32_t)s.n;
    size_t whole = s.n & ~(size_t)3;
    size_t tail = s.n - whole;

    for (size_t i = 0; i < whole; i += 4) {
        uint32_t k = (uint32_t)load64(p + i, 4);
        k *= m;
        k ^= k >> 24;
        k *= m;
        h *= m;
        h ^= k;
    }
    if (tail > 0) {
        h ^= (uint32_t)load64(p + whole, tail);
        h *= m;
    }
    h ^= h >> 13;
    h *= m;
    return h ^ (h >> 15);
}

int32_t fr_kafka_partition(struct fr_str key, int32_t n)
{
    return (int32_t)(fr_murmur2(key) & 0x7fffffffU) % n;
}

static uint32_t crc_table[256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void crc_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = (c & 1U) != 0 ? 0xedb88320U ^ (c >> 1) : c >> 1;
        crc_table[i] = c;
    }
}

uint32_t fr_crc32(uint32_t crc, const void *p, size_t n)
{
    const unsigned char *b = p;

    (void)pthread_once(&crc_once, crc_init);
    crc = ~crc;
    for (size_t i = 0; i < n; i++)
        crc = crc_table[(crc ^ b[i]) & 0xffU] ^ (crc >> 8);
    return ~crc;
}
