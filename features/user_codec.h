/*
 * features/user_codec.h - the stored user record (a public format: other services read it too).
 *
 * One MessagePack map. Keys are one- or two-byte strings, in this order when we write; a reader
 * takes any order and skips keys it does not know. Only the subset of daemon/base/msgpack.h occurs:
 * nil, integers within 2^53, float64, str, array, map.
 *
 *   key   type            meaning
 *   "v"   int             version, 1
 *   "f"   int             event time of the earliest event, ms
 *   "l"   int             event time of the newest event, ms
 *   "n"   int             events applied
 *   "ty"  [str]           T names of event types; "c", "r" and "h" refer to them by position
 *   "hl"  [int]           H = 2 half-lives, ms, > 0
 *   "L"   [int]           H landmarks, ms, one per half-life; each a multiple of it
 *   "c"   [number]        T*H forward-decayed weights, type-major, half-life-minor:
 *                           c[t*H + k]; value at time x = c * 2^(-(x - L[k]) / hl[k]),
 *                           where x earlier than "l" is taken as "l"
 *   "r"   [int]           T times of the newest event of the type, ms; 0 = never
 *   "h"   [str,int,int]*  history, newest first, flat: item id, index into "ty", event time in ms
 *   "d"   [int]           dedup ring, newest last: low 53 bits of the keyed hash of the event_id
 *   "g"   int | nil       offset of the newest trigger
 *   "gt"  int             its event time, ms; 0 without one
 *   "o"   int | nil       largest offset applied
 *
 * What an event does to it (in offset order; tests/support/check_state.py recomputes all of it):
 *   - The same event_id (its hash: SipHash-2-4 under the key of features.key, low 53 bits, 0 taken
 *     as 1) among "d" is a duplicate: only "o" moves.
 *   - Else, if it is later than "l" by more than the TTL, all but "g", "gt" and "o" is emptied first.
 *   - It counts in "n", "c", "r", "f" and "l" (an `impressions` event once), "d" gets its hash and
 *     keeps the newest events.dedup_window.
 *   - L[k] is the largest multiple of hl[k] that is not after "l"; an event at t weighs
 *     2^((t - L[k]) / hl[k]), also a late one.
 *   - If its type is in events.positive, (item, type, t) enters "h": ordered by time, of equal times
 *     the later offset first, cut to features.history.
 *   - If its type is in recommend.on and recommend.min_interval_ms has passed since "gt" (or "g" is
 *     nil), it is a trigger: "g" is its offset, "gt" the larger of "gt" and its time.
 *
 * Types in which the user never had an event are left out of "ty". An integral float64 may come
 * back from Redis' Lua as an integer: numbers are read from both. A record whose types or
 * half-lives differ from the config is still read: types go by name (unknown ones are dropped), a
 * changed half-life starts its counters at zero.
 *
 *   8E                                   map of 14
 *   A1 76  01                            "v": 1
 *   A1 66  CF xx*8                       "f": uint64
 *   ...
 *   A1 68  93 A2 69 37  00  CF xx*8      "h": ["i7", 0, ts]
 *
 * Layer: features; includes daemon/base/ and features/ only.
 */
#ifndef FR_FEATURES_USER_CODEC_H
#define FR_FEATURES_USER_CODEC_H

#include "daemon/base/arena.h"
#include "daemon/base/buf.h"
#include "daemon/base/err.h"
#include "daemon/base/str.h"
#include "features/spec.h"
#include "features/user.h"

#define FR_USER_RECORD_VERSION 1
#define FR_USER_RECORD_MAX (1u << 20) /* longer is corrupt */

/**
 * Decode hostile bytes. An empty string is an empty user.
 * @param record  borrowed: history ids point into it, so it must live as long as the user.
 * @param out_user  set only on FR_OK; in the arena; its seen set is empty (fr_seen_decode()).
 * @errors FR_ECORRUPT FR_EVERSION FR_ENOMEM; `fault` (nullable) names the key and the byte offset
 */
FR_MUST_CHECK enum fr_err fr_user_decode(const struct fr_spec *spec,
                                         struct fr_arena *ar,
                                         struct fr_str record,
                                         struct fr_user **out_user,
                                         struct fr_fault *fault);

/** Append the record to `out`; the caller checks fr_buf_err(). The same state gives the same bytes.
 */
void fr_user_encode(const struct fr_spec *spec, const struct fr_user *u, struct fr_buf *out);

/** Append the state as one JSON object for people and HTTP, decay applied as of now_ms (TTL too).
 */
void fr_user_to_json(const struct fr_spec *spec,
                     const struct fr_user *u,
                     struct fr_str user_id,
                     int64_t now_ms,
                     struct fr_buf *out);

#endif
