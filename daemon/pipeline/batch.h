/*
 * daemon/pipeline/batch.h - what travels through the stages: one lane's micro-batch.
 *
 *   records -> work (one an input record) -> triggers (one a list to make)
 *
 *   stage 1 ingest      work.kind, work.ev / work.req, or why it is a dead letter
 *   stage 2 features    state applied and cut: triggers
 *   stage 3 embed       trigger.vector
 *   stage 4 candidates  trigger.cand
 *   stage 5 score       trigger.list
 *   stage 6 emit        recommendation and example, produced
 *
 * Everything below lives in the lane's arena and dies with the batch, but for records, which go back
 * to the source.
 */
#ifndef FR_PIPELINE_BATCH_H
#define FR_PIPELINE_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/stream/record.h"
#include "features/event.h"
#include "features/request.h"
#include "features/row.h"

struct fr_part;
struct fr_item_generation;

enum fr_work_kind {
    FR_WORK_EVENT,
    FR_WORK_REQUEST,
    FR_WORK_DEAD, /* goes to the dead letters */
    FR_WORK_SKIP  /* nothing to do (an expired request) */
};

/** One input record. */
struct fr_work {
    struct fr_record rec;
    struct fr_part *part;
    enum fr_work_kind kind;
    struct fr_event ev;    /* EVENT */
    struct fr_request req; /* REQUEST */
    int64_t received_us;   /* wall */
    /* DEAD */
    enum fr_err why;
    const char *stage; /* static */
    const char *what;  /* arena or static; names field and place */
};

/** One item of the final list. */
struct fr_listed {
    uint32_t cand; /* index in trigger.cand */
    float score;
};

/** One list to make. Times in microseconds of wall clock. */
struct fr_trigger {
    const struct fr_work *work;
    struct fr_cut *cut;
    struct fr_item_generation *generation; /* inline ticks only; NULL = the pinned table's */
    bool regenerated; /* below R: state is ahead of the event */
    bool fallback;    /* models could not answer */
    float *vector;    /* (dim); NULL without a retrieval model or history */
    struct fr_candidate *cand;
    struct fr_str *cand_id; /* ids, parallel to cand: copies, valid after the pin is gone */
    uint32_t n_cand;
    struct fr_listed *list;
    uint32_t n_list;
    struct fr_cell *item_cells;  /* (n_cand, n_cells[ITEM]): rows as served */
    struct fr_cell *cross_cells; /* (n_cand, n_cells[CROSS]) */
    uint64_t generation_number;
    uint64_t index_generation;
    char retrieval[96]; /* name@version, or "" */
    char ranker[96];
    int64_t features_us, embedded_us, retrieved_us, scored_us;
};

/** Owner: the lane. Thread: the lane's. */
struct fr_batch {
    struct fr_work *work; /* (n), in order of arrival */
    int n;
    struct fr_trigger *trig; /* (n_trig), in order of work */
    int n_trig;
};

#endif
