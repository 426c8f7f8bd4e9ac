/*
 * ann/index_file.h - the container of saved indexes, and a bounded reader for hostile ones.
 *
 *   offset 0        8        12       16       20          24        32        36
 *          ┌────────┬────────┬────────┬────────┬───────────┬─────────┬─────────┬──────┬───────┐
 *          │FRINDEX1│version │kind    │dim     │reserved 0 │n rows   │reserved │ body │crc32  │
 *          │ 8 bytes│u32 = 1 │u32     │u32     │u32        │u64      │u32 = 0  │      │u32    │
 *          └────────┴────────┴────────┴────────┴───────────┴─────────┴─────────┴──────┴───────┘
 *
 * Little-endian. The CRC covers everything before it. Bodies are drawn in flat.c and hnsw_file.c.
 * Layer: ann/ only.
 */
#ifndef FR_ANN_INDEX_FILE_H
#define FR_ANN_INDEX_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/err.h"
#include "daemon/base/str.h"

#define FR_INDEX_FILE_VERSION 1u
/* 16 GiB: far above any index of one machine's memory budget, far below an overflow */
#define FR_INDEX_FILE_MAX (UINT64_C(1) << 34)

enum fr_index_kind { FR_INDEX_KIND_FLAT = 1, FR_INDEX_KIND_HNSW = 2 };

/** Bytes still to read. Every read checks the rest; the first failure sticks. Owner: the caller. */
struct fr_index_reader {
    const unsigned char *start, *p;
    uint64_t left;
    bool failed;
};

struct fr_index_head {
    enum fr_index_kind kind;
    int dim;
    uint64_t n;
};

void fr_index_put_head(struct fr_buf *b, const struct fr_index_head *h);
void fr_index_put_u32(struct fr_buf *b, uint32_t v);
void fr_index_put_u64(struct fr_buf *b, uint64_t v);
void fr_index_put_f32s(struct fr_buf *b, const float *v, size_t n);
/** Append the checksum and replace the file. @errors FR_EIO FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_index_file_write(struct fr_buf *b, const char *path, struct fr_fault *fault);

/**
 * Check magic, version, kind, dim and checksum; `r` then stands at the body, without the checksum.
 * @param dim  wanted dimension, 0 = any
 * @errors FR_ECORRUPT FR_EVERSION FR_EMISMATCH
 */
FR_MUST_CHECK enum fr_err fr_index_open(struct fr_str bytes,
                                        enum fr_index_kind kind,
                                        int dim,
                                        struct fr_index_head *out_head,
                                        struct fr_index_reader *out_r,
                                        struct fr_fault *fault);

/** 0 after a failure: check r->failed (or fr_index_reader_fault()) before using what was read. */
uint32_t fr_index_get_u32(struct fr_index_reader *r);
uint64_t fr_index_get_u64(struct fr_index_reader *r);
/** n floats into out; zeros after a failure. */
void fr_index_get_f32s(struct fr_index_reader *r, float *out, size_t n);
/** FR_ECORRUPT, with the place in the fault. */
FR_MUST_CHECK enum fr_err
fr_index_reader_fault(const struct fr_index_reader *r, const char *what, struct fr_fault *fault);

#endif
