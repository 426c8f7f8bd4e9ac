/*
 * daemon/stream/codec.h - what the decoders of events, requests and items share.
 *
 * Hostile input: strict JSON, ids of 1..128 bytes without control characters, numbers in range.
 * Every refusal names the field and the byte offset. Unknown fields are ignored.
 */
#ifndef FR_STREAM_CODEC_H
#define FR_STREAM_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/arena.h"
#include "daemon/base/err.h"
#include "daemon/base/json.h"
#include "daemon/base/str.h"

#define FR_CODEC_MAX_BYTES 65536 /* larger values are refused unread */

/** Why a value was refused. Texts are static. */
struct fr_codec_error {
    enum fr_err err;
    size_t offset;     /* byte offset in the value */
    const char *field; /* dotted name, NULL = the value as a whole */
    const char *what;
};

/** Set and return `err`. */
enum fr_err fr_codec_fail(struct fr_codec_error *ce,
                          enum fr_err err,
                          const struct fr_json *at,
                          const char *field,
                          const char *what);

/** Parse one object. @errors FR_ETOOLARGE, the parser's, FR_ESCHEMA (no object, or null value) */
FR_MUST_CHECK enum fr_err fr_codec_object(struct fr_arena *ar,
                                          struct fr_str value,
                                          const struct fr_json **out_root,
                                          struct fr_codec_error *ce);

/** The same with another limit on the size. */
FR_MUST_CHECK enum fr_err fr_codec_object_max(struct fr_arena *ar,
                                              struct fr_str value,
                                              size_t max_bytes,
                                              const struct fr_json **out_root,
                                              struct fr_codec_error *ce);

/** The text of a record's key as an id: valid UTF-8, 1..128 bytes, no control characters. */
FR_MUST_CHECK enum fr_err fr_codec_key_id(struct fr_str key, struct fr_codec_error *ce);

/** An id: a string of 1..128 bytes, or an integer turned into its decimal text. Absent (or null):
 *  out->n = 0, and FR_ESCHEMA if required. */
FR_MUST_CHECK enum fr_err fr_codec_id(const struct fr_json *obj,
                                      const char *field,
                                      bool required,
                                      struct fr_str *out,
                                      struct fr_codec_error *ce);

/** The same for a value that stands in an array. */
FR_MUST_CHECK enum fr_err fr_codec_id_value(const struct fr_json *v,
                                            const char *field,
                                            struct fr_str *out,
                                            struct fr_codec_error *ce);

/** Epoch milliseconds; absent: `absent`. */
FR_MUST_CHECK enum fr_err fr_codec_ts(const struct fr_json *obj,
                                      const char *field,
                                      int64_t absent,
                                      int64_t *out,
                                      struct fr_codec_error *ce);

/** Integer in [min, max]; absent: *out stays. */
FR_MUST_CHECK enum fr_err fr_codec_int(const struct fr_json *obj,
                                       const char *field,
                                       int64_t min,
                                       int64_t max,
                                       int64_t *out,
                                       struct fr_codec_error *ce);

/** The record's key must be the id that the value names. */
FR_MUST_CHECK enum fr_err
fr_codec_key(struct fr_str key, struct fr_str id, struct fr_codec_error *ce);

/** Array of ids with their keyed hashes; *out_n = 0 when absent. */
struct fr_request_item;
struct fr_spec;
FR_MUST_CHECK enum fr_err fr_codec_items(struct fr_arena *ar,
                                         const struct fr_spec *spec,
                                         const struct fr_json *obj,
                                         const char *field,
                                         uint32_t max,
                                         const struct fr_request_item **out,
                                         uint32_t *out_n,
                                         struct fr_codec_error *ce);

#endif
