/*
 * daemon/cli/judge_stream.h - messages of `events` and `recommendations` made ready for the judge.
 *
 * Takes the JSON values in any number of partitions, numbers users and items, merges the partitions
 * by event time, and joins each list to the event that triggered it, by (partition, offset) or by the
 * trigger's event_id. Reads the message formats on its own: what it judges must not supply the reading.
 * Layer: daemon/cli, pure; base only. Thread: one at a time.
 */
#ifndef FR_CLI_JUDGE_STREAM_H
#define FR_CLI_JUDGE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/str.h"
#include "daemon/cli/judge.h"

struct fr_judge_stream;

/** How a list finds its trigger. */
enum fr_judge_match {
    FR_JUDGE_MATCH_AUTO,     /* by event_id if the list names one that exists, else by offset */
    FR_JUDGE_MATCH_OFFSET,   /* events and lists of the same topic */
    FR_JUDGE_MATCH_EVENT_ID  /* events from elsewhere (a file) */
};

/** What became of the messages. */
struct fr_judge_stream_counts {
    uint64_t events;       /* messages given */
    uint64_t events_bad;   /* not JSON, or a field is missing or of the wrong type */
    uint64_t events_other; /* impressions, events without an item, types that do not count */
    uint64_t events_again; /* an event_id that was there before */
    uint64_t lists;        /* messages given */
    uint64_t lists_bad;
    uint64_t lists_asked;  /* triggered by no event (answers to requests) */
    uint64_t lists_again;  /* a second list of the same trigger */
    uint64_t lists_lost;   /* the trigger is not among the counted events */
    int64_t skew_ms;       /* furthest an event's time lies behind an earlier one's of the merged order */
};

/**
 * @param types    event types that count, NULL-terminated; borrowed until _free.
 * @errors FR_ENOMEM
 * Owner: the caller; fr_judge_stream_free().
 */
FR_MUST_CHECK enum fr_err fr_judge_stream_new(const char *const *types, struct fr_judge_stream **out_js);

/**
 * One record of `events`; per partition in offset order.
 * @param partition  0..65535; 0 for a file
 * @param offset     0..2^48-1; the line from 0 for a file
 * @param record_ts  used if the message has no ts; < 0 = none (then such a message is bad)
 * @param fault      nullable; says what is bad about a message that was counted as bad
 * @errors FR_ESCHEMA  the message is bad: counted, the stream goes on
 *         FR_ENOMEM FR_EFULL
 */
FR_MUST_CHECK enum fr_err fr_judge_stream_event(struct fr_judge_stream *js,
                                                int32_t partition,
                                                int64_t offset,
                                                int64_t record_ts,
                                                struct fr_str value,
                                                struct fr_fault *fault);

/** One value of `recommendations`, in any order; of several for a trigger the first counts. As above. */
FR_MUST_CHECK enum fr_err
fr_judge_stream_list(struct fr_judge_stream *js, struct fr_str value, struct fr_fault *fault);

/** Lists will be judged, even if not one comes: then every label is a miss. */
void fr_judge_stream_expect_lists(struct fr_judge_stream *js);

/**
 * Merge and join; after this no more messages.
 * @param out_in  borrows from the stream until fr_judge_stream_free(); list_of is NULL if no list was
 *                ever given, nor expected.
 */
FR_MUST_CHECK enum fr_err fr_judge_stream_finish(struct fr_judge_stream *js,
                                                 enum fr_judge_match match,
                                                 struct fr_judge_input *out_in);

const struct fr_judge_stream_counts *fr_judge_stream_counts(const struct fr_judge_stream *js);

void fr_judge_stream_free(struct fr_judge_stream *js);

#endif
