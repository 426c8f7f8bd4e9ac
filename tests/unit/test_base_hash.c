/* The hashes against published vectors. */
#include "daemon/base/hash.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/rng.h"

/* Vectors of Kafka's own UtilsTest.testMurmur2 (Java client), as signed 32-bit numbers. */
START_TEST(murmur2__java_client__its_own_vectors)
{
    static const struct {
        const char *key;
        int32_t want;
    } t[] = {{"21", -973932308},
             {"foobar", -790332482},
             {"a-little-bit-long-string", -985981536},
             {"a-little-bit-longer-string", -1486304829},
             {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
             {"abc", 479470107}};
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
        ck_assert_int_eq((int32_t)fr_murmur2(fr_str_z(t[i].key)), t[i].want);
}
END_TEST

/* The Java text once more, written from its description with signed bytes as Java has them. */
static int32_t java_murmur2(const signed char *p, int n)
{
    const uint32_t m = 0x5bd1e995;
    uint32_t h = UINT32_C(0x9747b28c) ^ (uint32_t)n;
    for (int i = 0; i < n / 4; i++) {
        uint32_t k = (uint32_t)(p[4 * i] & 0xff) + ((uint32_t)(p[4 * i + 1] & 0xff) << 8) +
                     ((uint32_t)(p[4 * i + 2] & 0xff) << 16) + ((uint32_t)(p[4 * i + 3] & 0xff) << 24);
        k *= m;
        k ^= k >> 24;
        k *= m;
        h *= m;
        h ^= k;
    }
    int at = n & ~3;
    switch (n % 4) {
    case 3:
        h ^= (uint32_t)(p[at + 2] & 0xff) << 16;
        /* fall through */
    case 2:
        h ^= (uint32_t)(p[at + 1] & 0xff) << 8;
        /* fall through */
    case 1:
        h ^= (uint32_t)(p[at] & 0xff);
        h *= m;
        break;
    default:
        break;
    }
    h ^= h >> 13;
    h *= m;
    h ^= h >> 15;
    return (int32_t)h;
}

START_TEST(murmur2__random_bytes_of_every_length__equals_java)
{
    struct fr_rng r;
    signed char key[70];
    fr_rng_seed(&r, 51);
    for (int round = 0; round < 200; round++) {
        for (int n = 0; n < (int)sizeof(key); n++) {
            struct fr_str s = {(const char *)key, (size_t)n};
            int32_t want, parts = 1 + (int32_t)fr_rng_below(&r, 100);
            for (int i = 0; i < n; i++)
                key[i] = (signed char)fr_rng_u64(&r);
            want = java_murmur2(key, n);
            ck_assert_int_eq((int32_t)fr_murmur2(s), want);
            /* Utils.toPositive(murmur2(key)) % n */
            ck_assert_int_eq(fr_kafka_partition(s, parts), (want & INT32_MAX) % parts);
        }
    }
    ck_assert_int_eq(fr_kafka_partition((struct fr_str){NULL, 0}, 1), 0);
    ck_assert_int_eq(fr_kafka_partition(FR_STR_LIT("foobar"), INT32_MAX),
                     (-790332482 & INT32_MAX) % INT32_MAX);
}
END_TEST

/* Appendix A of the SipHash paper and the authors' vectors: key 00..0f, message 00, 01, ... of n bytes. */
START_TEST(siphash__authors_vectors)
{
    static const uint64_t want[16] = {
        UINT64_C(0x726fdb47dd0e0e31), UINT64_C(0x74f839c593dc67fd), UINT64_C(0x0d6c8009d9a94f5a),
        UINT64_C(0x85676696d7fb7e2d), UINT64_C(0xcf2794e0277187b7), UINT64_C(0x18765564cd99a68d),
        UINT64_C(0xcbc9466e58fee3ce), UINT64_C(0xab0200f58b01d137), UINT64_C(0x93f5f5799a932462),
        UINT64_C(0x9e0082df0ba9e4b0), UINT64_C(0x7a5dbbc594ddb9f3), UINT64_C(0xf4b32f46226bada7),
        UINT64_C(0x751e8fbc860ee5fb), UINT64_C(0x14ea5627c0843d90), UINT64_C(0xf723ca908e7af2ee),
        UINT64_C(0xa129ca6149be45e5)};
    const struct fr_hash_key k = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    char msg[16];
    for (size_t n = 0; n < 16; n++) {
        ck_assert_uint_eq(fr_siphash(k, (struct fr_str){msg, n}), want[n]);
        msg[n] = (char)n;
    }
}
END_TEST

/* A key decides everything; the same secret gives the same key, another one another. */
START_TEST(hash_key_from__secrets__stable_and_different)
{
    struct fr_hash_key a = fr_hash_key_from(FR_STR_LIT("a")), b = fr_hash_key_from(FR_STR_LIT("b"));
    struct fr_hash_key again = fr_hash_key_from(FR_STR_LIT("a")), none = fr_hash_key_from(FR_STR_LIT(""));
    ck_assert(a.k0 == again.k0 && a.k1 == again.k1);
    ck_assert(a.k0 != b.k0 && a.k1 != b.k1 && a.k0 != a.k1);
    ck_assert(none.k0 != none.k1);
    ck_assert_uint_ne(fr_siphash(a, FR_STR_LIT("u1")), fr_siphash(b, FR_STR_LIT("u1")));
    ck_assert_uint_eq(fr_siphash(a, FR_STR_LIT("u1")), fr_siphash(again, FR_STR_LIT("u1")));
    /* what is stored depends on it: these may never change */
    ck_assert_uint_ne(fr_siphash(a, FR_STR_LIT("a")), fr_siphash(a, FR_STR_LIT("a\0")));
}
END_TEST

/* The check value of the CRC catalogue, and RFC 3720-like patterns by the definition, bit by bit. */
static uint32_t bitwise_crc(const unsigned char *p, size_t n)
{
    uint32_t c = 0xffffffffU;
    for (size_t i = 0; i < 8 * n; i++) {
        uint32_t bit = (c ^ ((uint32_t)p[i / 8] >> (i % 8))) & 1U;
        c = (c >> 1) ^ (bit != 0 ? 0xedb88320U : 0);
    }
    return ~c;
}

START_TEST(crc32__check_value_and_any_split__equal)
{
    struct fr_rng r;
    unsigned char data[257];
    ck_assert_uint_eq(fr_crc32(0, "123456789", 9), 0xcbf43926U);
    ck_assert_uint_eq(fr_crc32(0, "", 0), 0);
    ck_assert_uint_eq(fr_crc32(0, "The quick brown fox jumps over the lazy dog", 43), 0x414fa339U);
    fr_rng_seed(&r, 52);
    for (size_t n = 0; n < sizeof(data); n++) {
        size_t cut = (size_t)fr_rng_below(&r, n + 1);
        data[n] = (unsigned char)fr_rng_u64(&r);
        ck_assert_uint_eq(fr_crc32(0, data, n), bitwise_crc(data, n));
        ck_assert_uint_eq(fr_crc32(fr_crc32(0, data, cut), data + cut, n - cut), fr_crc32(0, data, n));
    }
}
END_TEST

/* Bijective: xor-shift and odd multiplications can be undone. */
START_TEST(mix64__any_value__can_be_undone)
{
    struct fr_rng r;
    uint64_t inv1 = 1, inv2 = 1;
    const uint64_t m1 = UINT64_C(0xbf58476d1ce4e5b9), m2 = UINT64_C(0x94d049bb133111eb);
    for (int i = 0; i < 6; i++) { /* Newton: inverse modulo 2^64 */
        inv1 *= 2 - m1 * inv1;
        inv2 *= 2 - m2 * inv2;
    }
    fr_rng_seed(&r, 53);
    for (int i = 0; i < 10000; i++) {
        uint64_t x = i == 0 ? 0 : fr_rng_u64(&r) >> (i % 60), y = fr_mix64(x);
        y ^= (y >> 31) ^ (y >> 62);
        y *= inv2;
        y ^= (y >> 27) ^ (y >> 54);
        y *= inv1;
        y ^= (y >> 30) ^ (y >> 60);
        ck_assert_uint_eq(y, x);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/hash");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, murmur2__java_client__its_own_vectors);
    tcase_add_test(tc, murmur2__random_bytes_of_every_length__equals_java);
    tcase_add_test(tc, siphash__authors_vectors);
    tcase_add_test(tc, hash_key_from__secrets__stable_and_different);
    tcase_add_test(tc, crc32__check_value_and_any_split__equal);
    tcase_add_test(tc, mix64__any_value__can_be_undone);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
