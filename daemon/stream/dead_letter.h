/*
 * daemon/stream/dead_letter.h - a record that cannot be processed, as it goes to `dead-letters`.
 *
 * Key, value and headers as they came, plus UTF-8 string headers that say why:
 *   freshet.errors.topic .partition .offset .stage .code .message .group .attempt
 * The timestamp is the original's, never later than now (a broker refuses a whole batch over one
 * timestamp an hour ahead).
 */
#ifndef FR_STREAM_DEAD_LETTER_H
#define FR_STREAM_DEAD_LETTER_H

#include "daemon/base/arena.h"
#include "daemon/stream/sink.h"
#include "daemon/stream/source.h"

#define FR_DEAD_LETTER_HEADERS 8 /* ours */
#define FR_DEAD_LETTER_MAX_HEADERS                                                                 \
    136 /* of a dead letter: 128 originals; further ones are left out */

/** Owner: the caller; borrowed. */
struct fr_dead_letter_input {
    const struct fr_source *src; /* nullable: then the record's headers are not copied */
    const struct fr_record *rec;
    const char *topic;
    const char *stage;
    enum fr_err code;
    const char *message;
    const char *group;
    int64_t now_ms;
};

/** @param out  borrows from the record and the arena. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_dead_letter_build(const struct fr_dead_letter_input *in,
                                               struct fr_arena *ar,
                                               struct fr_outgoing *out);

#endif
