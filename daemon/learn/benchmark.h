/*
 * daemon/learn/benchmark.h - what all benchmarks have in common, and the table of them.
 *
 *   files --train--> bundle, measures, curve        files + bundle --evaluate--> measures
 *
 * A new benchmark is one row in benchmark.c and one file benchmark_<its kind of data>.[ch]; its settings
 * and presets are rows of benchmark_preset.c. The test file decides nothing: hyper-parameters and epochs
 * are chosen on rows held out from train. Layer: daemon/base/, models/, daemon/learn/.
 */
#ifndef FR_LEARN_BENCHMARK_H
#define FR_LEARN_BENCHMARK_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/str.h"
#include "daemon/learn/benchmark_preset.h"
#include "models/model.h"

#define FR_BENCHMARK_METRICS 16
#define FR_BENCHMARK_NOTES 4
#define FR_BENCHMARK_NOTE 320

/** Under its usual name: "auc", "logloss", "hr@10". Static storage. NaN = does not apply. */
struct fr_benchmark_metric {
    const char *name;
    double value;
};

/** How training goes: after some steps, and (with `valid` not NaN) after each epoch. */
typedef void (*fr_benchmark_tell_fn)(void *ctx, int epoch, uint64_t rows, uint64_t of, double loss, double valid);

/** What to train and how. Borrowed for the call. */
struct fr_benchmark_run {
    const char *dir; /* the data */
    const char *out; /* the bundle */
    const char *from; /* nullable: a bundle of the same kind, fields and shapes to go on from */
    enum fr_model_kind kind;
    struct fr_benchmark_settings set;
    uint64_t seed;
    int threads;
    int64_t created_ms;
    fr_benchmark_tell_fn tell; /* nullable */
    void *tell_ctx;
    const char *checkpoint; /* nullable: go on from this file if it is there; kept up to date; the caller removes it */
    double checkpoint_s;    /* within an epoch, every so many seconds */
    void (*note)(void *tell_ctx, const char *text); /* nullable: what a person should know, one line */
};

/** What came of it. An evaluation fills kind and metrics. */
struct fr_benchmark_result {
    enum fr_model_kind kind;
    int64_t trained_to_ms; /* of a bundle measured on a stream: the newest event it was trained on */
    struct fr_benchmark_metric metric[FR_BENCHMARK_METRICS]; /* on the test file */
    int n_metrics;
    char note[FR_BENCHMARK_NOTES][FR_BENCHMARK_NOTE]; /* what a person should know of the measures, a line each */
    int n_notes;
    double seconds;         /* of training, validation left out */
    double rows_per_second; /* the same */
    int epochs, best_epoch; /* done; kept, from 1 */
    const char *valid_name; /* what valid[] is: "auc"; NULL: nothing was held out */
    double loss[FR_BENCHMARK_EPOCHS_MAX], valid[FR_BENCHMARK_EPOCHS_MAX], lr[FR_BENCHMARK_EPOCHS_MAX];
};

/** benchmark_detail.h */
struct fr_benchmark_detail;

/** A benchmark. */
struct fr_benchmark {
    const char *name;
    const char *files;   /* what DIR holds */
    const char *valid;   /* the measure that validation rows choose by */
    unsigned kinds;      /* bit per fr_model_kind */
    /** Train, write the bundle, measure it. @errors as the readers, the trainer, the bundle */
    enum fr_err (*train)(const struct fr_benchmark_run *run, struct fr_benchmark_result *out, struct fr_fault *fault);
    /** Measure a bundle on the test file. @param detail  nullable, zeroed: filled for a comparison, and the bundle is
     *  timed. @errors FR_ESCHEMA made for other fields; as the readers */
    enum fr_err (*evaluate)(const char *dir, const char *bundle, struct fr_benchmark_detail *detail,
                            struct fr_benchmark_result *out, struct fr_fault *fault);
};

/** @return NULL: no such benchmark */
const struct fr_benchmark *fr_benchmark_find(struct fr_str name);
/** The i-th, from 0. @return NULL past the last */
const struct fr_benchmark *fr_benchmark_at(int i);
/** When the weights' mean takes, and how much of the newest. */
struct fr_benchmark_average {
    size_t every; /* steps */
    float share;  /* (0, 1]; 0 = there is no mean */
};
/** `average` of the settings in steps: some 50 takes an epoch are smooth and cost next to nothing. */
struct fr_benchmark_average fr_benchmark_average(const struct fr_benchmark_settings *s, size_t rows);
/** Append a measure. More than FR_BENCHMARK_METRICS are dropped. */
void fr_benchmark_add(struct fr_benchmark_result *r, const char *name, double value);
/** Append a note, cut where it does not fit. More than FR_BENCHMARK_NOTES are dropped. */
void fr_benchmark_note(struct fr_benchmark_result *r, const char *fmt, ...) FR_PRINTF(2, 3);

#endif
