/*
 * tests/support/golden.h - reader of the .frg files in tests/golden and the comparer of tensors.
 *
 *   8 bytes "FRGOLD1\n" | u32 JSON length | u32 CRC-32 of the rest | JSON directory | data,
 * little-endian
 *
 * Made by tests/golden/make_golden.py. The comparer is itself tested (test_models_golden.c): a
 * value off by ten tolerances and a NaN on either side must fail.
 */
#ifndef FR_TESTS_SUPPORT_GOLDEN_H
#define FR_TESTS_SUPPORT_GOLDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/arena.h"
#include "daemon/base/json.h"

#define GOLDEN_MAX 128

struct golden_tensor {
    char name[96];
    char dtype[4];
    size_t dim[4];
    int ndim;
    size_t n; /* elements */
    const void *data;
};

/** Owner: golden_close(). */
struct golden {
    struct fr_arena *ar;
    char *file;
    const struct fr_json *meta;
    struct golden_tensor t[GOLDEN_MAX];
    int n;
};

/** Open tests/golden/<name>; ends the test with a message on any defect of the file. */
void golden_open(struct golden *g, const char *name);
void golden_close(struct golden *g);
/** By name; ends the test if missing. */
const struct golden_tensor *golden_get(const struct golden *g, const char *name);
/** NULL if missing. */
const struct golden_tensor *golden_find(const struct golden *g, const char *name);
const float *golden_f32(const struct golden *g, const char *name, size_t n);
/** Integer, number, boolean or list members of the meta data. */
long golden_meta_int(const struct golden *g, const char *key);
double golden_meta_num(const struct golden *g, const char *key);

/**
 * |got - want| <= atol + rtol |want| for all n; a value that is not finite on either side fails
 * (tested on the bits). Prints the name, the first bad index, the number of bad ones and the
 * largest error.
 */
bool golden_close_enough(
    const char *name, const float *got, const float *want, size_t n, double atol, double rtol);

/** Compare with tensor `name` of the file (its size must be n); fails the test on a difference. */
void golden_check(
    const struct golden *g, const char *name, const float *got, size_t n, double atol, double rtol);

#endif
