/*
 * daemon/learn/benchmark_pairs.h - users and their items, by user: what benchmarks of implicit
 * feedback share.
 *
 * Layer: daemon/base/, models/, daemon/learn/. Thread: any; no shared state.
 */
#ifndef FR_LEARN_BENCHMARK_PAIRS_H
#define FR_LEARN_BENCHMARK_PAIRS_H

#include <stdbool.h>

#include "daemon/base/rng.h"
#include "daemon/learn/benchmark_data.h"
#include "daemon/learn/benchmark_detail.h"
#include "models/model.h"

/** Items of user u, ascending, each once: item[start[u]] .. item[start[u + 1]]. Owner: the caller's
 * zeroed storage; fr_benchmark_pairs_done(). */
struct fr_benchmark_pairs {
    uint32_t users; /* ids below this */
    uint32_t items; /* the same of items */
    size_t *start;  /* (users + 1) */
    uint32_t *item; /* (n) */
    size_t n;
};

enum fr_benchmark_layout { FR_BENCHMARK_PAIRS, FR_BENCHMARK_LISTS };

/** Read DIR/file and order it. @param users, items  room for at least so many ids. @errors as the
 * readers */
FR_MUST_CHECK enum fr_err fr_benchmark_pairs_read(const char *dir,
                                                  const char *file,
                                                  enum fr_benchmark_layout layout,
                                                  uint32_t users,
                                                  uint32_t items,
                                                  struct fr_benchmark_pairs *out,
                                                  struct fr_fault *fault);
void fr_benchmark_pairs_done(struct fr_benchmark_pairs *p);
/** True if user u has item i. */
bool fr_benchmark_pairs_has(const struct fr_benchmark_pairs *p, uint32_t u, uint32_t i);
/**
 * Move a random `share` of each user's items, rounded down, to `held` (at least `least` of them
 * when the user keeps as many); both stay ordered.
 * @param held  zeroed storage. @errors FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_benchmark_pairs_hold_out(struct fr_benchmark_pairs *p,
                                                      double share,
                                                      size_t least,
                                                      struct fr_rng *rng,
                                                      struct fr_benchmark_pairs *held);
/** Read a whole file of DIR. @param path (FR_BENCHMARK_PATH) its name, for errors. Owner of *text:
 * fr_free() */
#define FR_BENCHMARK_PATH 4096
FR_MUST_CHECK enum fr_err fr_benchmark_read_file(const char *dir,
                                                 const char *file,
                                                 char path[FR_BENCHMARK_PATH],
                                                 char **text,
                                                 size_t *n,
                                                 struct fr_fault *fault);
/** Two ID fields, `user` and `item`. Owner: fr_free(). @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_benchmark_pairs_fields(struct fr_field_set **out);
/** Count and time the model of a user and its items (ids below `items`, again and again if few). @param detail
 * nullable: nothing to do. @errors as fr_benchmark_time() */
FR_MUST_CHECK enum fr_err fr_benchmark_pairs_time(const struct fr_model *m,
                                                  const struct fr_field_set *fs,
                                                  uint32_t items,
                                                  struct fr_benchmark_detail *detail);
/** Note how many of the marked users and items the model does not know, if any.
 * @param user, item  (users) (items) by id: 1 where it is measured on. @errors as fr_model_encode() */
FR_MUST_CHECK enum fr_err fr_benchmark_pairs_unknown(const struct fr_model *m,
                                                     const uint8_t *user,
                                                     uint32_t users,
                                                     const uint8_t *item,
                                                     uint32_t items,
                                                     struct fr_benchmark_result *out);
/** The cell of an id; 0 is an absent one. */
static inline struct fr_cell fr_benchmark_cell(uint32_t id)
{
    return (struct fr_cell){(uint64_t)id + 1, 1};
}

#endif
