/*
 * daemon/cli/compare.h - several bundles on one benchmark or stream: measured, timed, set beside one another.
 *
 *   bundles ──evaluate──► measures, sums by user, µs ──resamples──► intervals, differences to the
 *   first ──► table, JSON, CSV, picture
 *
 * A bundle that cannot be measured keeps its place with the reason; the others are shown all the
 * same. Layer: daemon/cli. Thread: one at a time.
 */
#ifndef FR_CLI_COMPARE_H
#define FR_CLI_COMPARE_H

#include <stdio.h>

#include "daemon/base/buf.h"
#include "daemon/base/json.h"
#include "daemon/learn/benchmark_detail.h"

#define FR_COMPARE_MAX 64
#define FR_COMPARE_WHY 400

/** One bundle. */
struct fr_compare_bundle {
    const char *path; /* borrowed, untrusted */
    struct fr_str label; /* of the path: its last part where that tells the bundles apart */
    enum fr_err err;
    char why[FR_COMPARE_WHY]; /* of an error */
    enum fr_model_kind kind;
    struct fr_benchmark_metric metric[FR_BENCHMARK_METRICS];
    struct fr_benchmark_interval interval[FR_BENCHMARK_METRICS]; /* of metric[i]; NaN: none */
    int n_metrics;
    char note[FR_BENCHMARK_NOTES][FR_BENCHMARK_NOTE];
    int n_notes;
    int64_t trained_to_ms; /* 0: not known */
    uint64_t bytes; /* of the bundle's files */
    struct fr_benchmark_detail detail;
};

/** What all are measured on. Borrowed. */
struct fr_compare_on {
    const char *name;  /* "frappe" */
    const char *main;  /* the measure that sorts and is drawn: "auc" */
    const char *where; /* "the test file" */
    enum fr_err (*evaluate)(void *ctx,
                            const char *bundle,
                            struct fr_benchmark_detail *detail, /* zeroed; filled, the bundle timed */
                            struct fr_benchmark_result *out,
                            struct fr_fault *fault);
    void *ctx;
    bool stream;      /* not a benchmark: */
    int64_t known_ms; /* a bundle trained on newer events than this has seen what it is measured on */
    void (*about)(void *ctx, struct fr_jsonw *w); /* nullable: more members of the JSON object */
};

enum fr_compare_sort { FR_COMPARE_GIVEN, FR_COMPARE_QUALITY, FR_COMPARE_SPEED };

/** Owner: fr_compare_free(). */
struct fr_compare {
    struct fr_compare_on on;
    int resamples; /* 0: no intervals */
    uint64_t seed;
    struct fr_compare_bundle bundle[FR_COMPARE_MAX]; /* as given */
    int n;
    int order[FR_COMPARE_MAX]; /* in which they are shown; failed ones last */
    int n_good;                /* of them measured */
    int first;                 /* what the others are set against; -1: none */
    int main;                  /* on.main: index of metric[] */
};

/** @param path  (n) borrowed, 1..FR_COMPARE_MAX. @errors FR_ENOMEM FR_EINVAL */
FR_MUST_CHECK enum fr_err fr_compare_new(
    const struct fr_compare_on *on, const char *const *path, int n, struct fr_compare **out);
/** NULL is a no-op. */
void fr_compare_free(struct fr_compare *c);
/** Measure bundle i; a failure is kept there. */
void fr_compare_measure(struct fr_compare *c, int i);
/** When all are measured: intervals and the order. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_compare_finish(struct fr_compare *c, enum fr_compare_sort sort);

/** Is a a better value of that measure than b? NaN never is. */
bool fr_compare_better(const char *measure, double a, double b);
/** The bundle with the best value of metric i, or -1: there are not two to choose from. */
int fr_compare_best(const struct fr_compare *c, int i);
/** The same of microseconds. */
int fr_compare_fastest(const struct fr_compare *c);

/** Was it trained on events that it is measured on? */
bool fr_compare_seen(const struct fr_compare *c, const struct fr_compare_bundle *one);

/** compare_print.c: what a person should know of the measures; what all bundles have in common once. */
void fr_compare_notes(const struct fr_compare *c, FILE *out);
/** For people. @errors FR_ENOMEM FR_EIO */
FR_MUST_CHECK enum fr_err fr_compare_print(const struct fr_compare *c, FILE *out);
/** One object. */
void fr_compare_json(const struct fr_compare *c, struct fr_buf *out);
/** A header and a line a bundle; measures that a bundle does not have are empty. */
void fr_compare_csv(const struct fr_compare *c, struct fr_buf *out);
/** Main measure against microseconds. */
void fr_compare_svg(const struct fr_compare *c, struct fr_buf *out);

#endif
