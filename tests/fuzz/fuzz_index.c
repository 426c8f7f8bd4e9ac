/*
 * tests/fuzz/fuzz_index.c - a saved index, hostile. The first byte chooses the kind; the checksum is made
 * to fit, so that the checks behind it are reached. What is taken must bear searches and changes.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ann/flat.h"
#include "ann/hnsw.h"
#include "ann/index.h"
#include "daemon/base/file.h"
#include "daemon/base/hash.h"

#define MAX_BYTES 65536
#define CRC_BYTES 4
#define MAX_DIM 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct fr_index *ix)
{
    static struct fr_arena *ar;
    struct fr_ann_hit *hits;
    float q[MAX_DIM] = {1};
    uint32_t n;

    if (ar == NULL && fr_arena_new(65536, 0, &ar) != FR_OK)
        abort();
    if (fr_index_search(ix, q, 10, NULL, NULL, ar, &hits, &n) != FR_OK)
        abort();
    for (uint32_t i = 0; i < n; i++)
        if (!isfinite(hits[i].score) || fr_index_vector(ix, hits[i].label) == NULL)
            abort();
    if (fr_index_put(ix, UINT64_MAX, q) != FR_OK || !fr_index_remove(ix, UINT64_MAX))
        abort();
    fr_arena_reset(ar);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char bytes[MAX_BYTES];
    struct fr_index *ix = NULL;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    bool graph;
    uint32_t crc;

    if (size < 1 + CRC_BYTES || size > MAX_BYTES)
        return 0;
    graph = (data[0] & 1) != 0;
    size -= 1;
    memcpy(bytes, data + 1, size);
    crc = fr_crc32(0, bytes, size - CRC_BYTES);
    for (int i = 0; i < CRC_BYTES; i++)
        bytes[size - CRC_BYTES + (size_t)i] = (char)(unsigned char)(crc >> (8 * i));
    if (graph) {
        if (fr_hnsw_parse((struct fr_str){bytes, size}, 0, &ix, &fault) != FR_OK)
            ix = NULL;
    } else {
        char path[64];
        (void)snprintf(path, sizeof(path), "/tmp/freshet-fuzz-index-%d", (int)getpid());
        if (fr_file_replace(path, (struct fr_str){bytes, size}, &fault) != FR_OK ||
            fr_flat_load(path, 0, &ix, &fault) != FR_OK)
            ix = NULL;
        (void)unlink(path);
    }
    if (ix == NULL) {
        if (fault.msg[0] == '\0')
            abort();
        return 0;
    }
    if (fr_index_dim(ix) <= MAX_DIM)
        use(ix);
    fr_index_free(ix);
    return 0;
}
