/*
 * ann/index_file.c - see index_file.h. Numbers are put together byte by byte, so the file is the
 * same on every machine; float arrays are copied as they are on little-endian machines.
 */
#include "ann/index_file.h"

#include <string.h>

#include "ann/index.h"
#include "daemon/base/file.h"
#include "daemon/base/hash.h"

static const char magic[8] = {'F', 'R', 'I', 'N', 'D', 'E', 'X', '1'};
enum { HEAD_BYTES = 36, CRC_BYTES = 4 };

void fr_index_put_u32(struct fr_buf *b, uint32_t v)
{
    unsigned char x[4];
    for (int i = 0; i < 4; i++)
        x[i] = (unsigned char)(v >> (8 * i));
    fr_buf_put(b, x, sizeof(x));
}

void fr_index_put_u64(struct fr_buf *b, uint64_t v)
{
    fr_index_put_u32(b, (uint32_t)v);
    fr_index_put_u32(b, (uint32_t)(v >> 32));
}

void fr_index_put_f32s(struct fr_buf *b, const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &v[i], sizeof(u));
        fr_index_put_u32(b, u);
    }
}

void fr_index_put_head(struct fr_buf *b, const struct fr_index_head *h)
{
    fr_buf_put(b, magic, sizeof(magic));
    fr_index_put_u32(b, FR_INDEX_FILE_VERSION);
    fr_index_put_u32(b, (uint32_t)h->kind);
    fr_index_put_u32(b, (uint32_t)h->dim);
    fr_index_put_u32(b, 0);
    fr_index_put_u64(b, h->n);
    fr_index_put_u32(b, 0);
}

enum fr_err fr_index_file_write(struct fr_buf *b, const char *path, struct fr_fault *fault)
{
    if (fr_buf_err(b) == FR_OK)
        fr_index_put_u32(b, fr_crc32(0, b->p, b->n));
    if (fr_buf_err(b) != FR_OK)
        return fr_fault(fault, FR_ENOMEM, "%s: no memory for the index image", path);
    return fr_file_replace(path, fr_buf_str(b), fault);
}

uint32_t fr_index_get_u32(struct fr_index_reader *r)
{
    uint32_t v = 0;
    if (r->failed || r->left < 4) {
        r->failed = true;
        return 0;
    }
    for (int i = 0; i < 4; i++)
        v |= (uint32_t)r->p[i] << (8 * i);
    r->p += 4;
    r->left -= 4;
    return v;
}

uint64_t fr_index_get_u64(struct fr_index_reader *r)
{
    uint64_t low = fr_index_get_u32(r);
    return low | (uint64_t)fr_index_get_u32(r) << 32;
}

void fr_index_get_f32s(struct fr_index_reader *r, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u = fr_index_get_u32(r);
        memcpy(&out[i], &u, sizeof(u));
    }
}

enum fr_err
fr_index_reader_fault(const struct fr_index_reader *r, const char *what, struct fr_fault *fault)
{
    return fr_fault(fault,
                    FR_ECORRUPT,
                    "index file, byte %llu: %s",
                    (unsigned long long)(r->p - r->start),
                    what);
}

static enum fr_err check_head(struct fr_index_reader *r,
                              enum fr_index_kind kind,
                              int dim,
                              struct fr_index_head *h,
                              struct fr_fault *fault)
{
    uint32_t version = fr_index_get_u32(r);
    if (version != FR_INDEX_FILE_VERSION)
        return fr_fault(fault,
                        FR_EVERSION,
                        "index file: version %lu, this build reads %u",
                        (unsigned long)version,
                        FR_INDEX_FILE_VERSION);
    uint32_t file_kind = fr_index_get_u32(r);
    if (file_kind != (uint32_t)kind)
        return fr_fault(fault,
                        FR_EMISMATCH,
                        "index file: kind %lu, expected %d (1 flat, 2 hnsw)",
                        (unsigned long)file_kind,
                        (int)kind);
    uint32_t file_dim = fr_index_get_u32(r);
    if (file_dim < 1 || file_dim > FR_INDEX_MAX_DIM)
        return fr_index_reader_fault(r, "dimension out of range", fault);
    if (dim != 0 && file_dim != (uint32_t)dim)
        return fr_fault(fault,
                        FR_EMISMATCH,
                        "index file: dimension %lu, expected %d",
                        (unsigned long)file_dim,
                        dim);
    if (fr_index_get_u32(r) != 0)
        return fr_index_reader_fault(r, "reserved field is not 0", fault);
    uint64_t n = fr_index_get_u64(r);
    if (fr_index_get_u32(r) != 0)
        return fr_index_reader_fault(r, "reserved field is not 0", fault);
    /* every row takes at least its vector: a count beyond the file is found before any allocation
     */
    if (n > r->left / (4 * (uint64_t)file_dim))
        return fr_index_reader_fault(r, "more rows than bytes", fault);
    *h = (struct fr_index_head){.kind = kind, .dim = (int)file_dim, .n = n};
    return FR_OK;
}

enum fr_err fr_index_open(struct fr_str bytes,
                          enum fr_index_kind kind,
                          int dim,
                          struct fr_index_head *out_head,
                          struct fr_index_reader *out_r,
                          struct fr_fault *fault)
{
    struct fr_index_reader r = {.start = (const unsigned char *)bytes.p,
                                .p = (const unsigned char *)bytes.p,
                                .left = bytes.n};

    if (bytes.n < HEAD_BYTES + CRC_BYTES || memcmp(bytes.p, magic, sizeof(magic)) != 0)
        return fr_fault(fault, FR_ECORRUPT, "index file, byte 0: not an index file");
    struct fr_index_reader tail = r;
    tail.p += bytes.n - CRC_BYTES;
    tail.left = CRC_BYTES;
    if (fr_index_get_u32(&tail) != fr_crc32(0, bytes.p, bytes.n - CRC_BYTES))
        return fr_fault(fault, FR_ECORRUPT, "index file: checksum does not match (cut or changed)");
    r.p += sizeof(magic);
    r.left -= sizeof(magic) + CRC_BYTES;
    enum fr_err e = check_head(&r, kind, dim, out_head, fault);
    if (e == FR_OK)
        *out_r = r;
    return e;
}
