/*
 * tests/support/model_kinds.h - a small model of every kind, over two field sets: that of model_fixture.h, and a
 * user and an item for the kinds that are of such a pair.
 */
#ifndef FR_TESTS_SUPPORT_MODEL_KINDS_H
#define FR_TESTS_SUPPORT_MODEL_KINDS_H

#include <stdbool.h>

#include "tests/support/model_fixture.h"

#define MK_IDS 5

/** What the models are made over. Owns its memory. */
struct mk_world {
    struct fr_field_set fs, pair_fs;
    struct fr_cell user[MK_IDS], item[MK_IDS]; /* the ids that the kinds of a pair know */
    struct mf_list list;                       /* six candidates, what the others took a step on */
};

void mk_world_make(struct mk_world *w);

/** Over pair_fs: neumf, gmf, mlp, mf. */
bool mk_is_pair(enum fr_model_kind kind);

/** DeepFM has batch norm, AutoInt projected residuals, AutoInt+ layer norm too; the towers are mf_two_tower()'s.
 *  @param value  a second head, of the kinds that can have one. Owner: the caller, fr_model_free() */
struct fr_model *mk_model(const struct mk_world *w, enum fr_model_kind kind, enum fr_value_kind value);

#endif
