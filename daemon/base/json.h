/*
 * daemon/base/json.h - strict JSON (RFC 8259) into an arena tree, and a writer.
 *
 * Why:   serves events, config values, manifests and safetensors headers, all of them hostile. No
 *        malloc per value, no recursion over input, byte offsets in errors. Refused: duplicate keys
 *        in an object, invalid UTF-8, unpaired surrogates, control characters, leading zeros,
 *        NaN/Infinity, trailing bytes, depth over the limit.
 * Layer: lowest.
 */
#ifndef FR_BASE_JSON_H
#define FR_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/arena.h"
#include "daemon/base/buf.h"
#include "daemon/base/err.h"
#include "daemon/base/str.h"

#define FR_JSON_MAX_DEPTH 32

enum fr_json_type {
    FR_JSON_NULL,
    FR_JSON_BOOL,
    FR_JSON_NUMBER,
    FR_JSON_STRING,
    FR_JSON_ARRAY,
    FR_JSON_OBJECT
};

/** One value. Owner: the arena it was parsed into; strings without escapes point into the input,
 *  so the input must outlive the tree too. */
struct fr_json {
    enum fr_json_type type;
    bool is_int;       /* NUMBER written without fraction/exponent that fits i64 */
    bool b;            /* BOOL */
    int64_t i;         /* NUMBER with is_int */
    double num;        /* NUMBER, always set, finite */
    struct fr_str key; /* member name if the parent is an object */
    struct fr_str str; /* STRING: unescaped; NUMBER: the source text */
    size_t offset;     /* byte offset of the value in the input */
    size_t n;          /* ARRAY/OBJECT: number of children */
    const struct fr_json *child; /* first child */
    const struct fr_json *next;  /* next sibling */
};

struct fr_json_error {
    enum fr_err err;
    size_t offset;    /* byte offset of the first bad byte */
    const char *what; /* static text, e.g. "duplicate key" */
};

/**
 * Parse exactly one value followed by white space only.
 * @param out_root  set only on FR_OK, valid until the arena is reset or released.
 * @param je        nullable; filled on failure.
 * @errors FR_ESYNTAX FR_EUTF8 FR_EDEPTH FR_EDUPLICATE FR_ERANGE (number overflows double) FR_ENOMEM
 * @thread any, one arena one thread
 */
FR_MUST_CHECK enum fr_err fr_json_parse(struct fr_arena *ar,
                                        struct fr_str in,
                                        const struct fr_json **out_root,
                                        struct fr_json_error *je);

/** Member of an object, or NULL (also when `obj` is NULL or no object). O(members). */
const struct fr_json *fr_json_get(const struct fr_json *obj, const char *key);

/* ---- writer: appends to a buffer, inserts commas itself; errors are the buffer's ---- */

/** Owner: the caller's storage. Nesting over 64 is an internal error (sticky in the buffer). */
struct fr_jsonw {
    struct fr_buf *out;
    uint64_t first_bits; /* bit d set = nothing written yet at depth d */
    int depth;
    bool after_key;
};

void fr_jsonw_init(struct fr_jsonw *w, struct fr_buf *out);
void fr_jsonw_object(struct fr_jsonw *w);
void fr_jsonw_array(struct fr_jsonw *w);
void fr_jsonw_end(struct fr_jsonw *w, char close); /* '}' or ']' */
void fr_jsonw_key(struct fr_jsonw *w, const char *key);
void fr_jsonw_keys(struct fr_jsonw *w, struct fr_str key);
/** Escapes; a non-UTF-8 byte is written as U+FFFD. */
void fr_jsonw_str(struct fr_jsonw *w, struct fr_str s);
void fr_jsonw_z(struct fr_jsonw *w, const char *z);
void fr_jsonw_i64(struct fr_jsonw *w, int64_t v);
void fr_jsonw_u64(struct fr_jsonw *w, uint64_t v);
/** Shortest round-trip; a non-finite value is written as null. */
void fr_jsonw_f64(struct fr_jsonw *w, double v);
/** 9 significant digits: reads back to the same float. */
void fr_jsonw_f32(struct fr_jsonw *w, float v);
void fr_jsonw_bool(struct fr_jsonw *w, bool v);
void fr_jsonw_null(struct fr_jsonw *w);

/** True if the n bytes are valid UTF-8 (no overlong forms, no surrogates, <= U+10FFFF). */
bool fr_utf8_valid(struct fr_str s);
/** Bytes of the character that s begins with. @return 0: none, or not valid */
size_t fr_utf8_len(struct fr_str s);

#endif
