/*
 * daemon/base/err.h - error codes and the set-up fault record.
 *
 * Why:   every fallible function returns enum fr_err; rows of err.def make the enum, the names, the
 *        texts, the metric labels and the retriable flag, so they cannot drift apart.
 * Layer: lowest; includes nothing of the project.
 */
#ifndef FR_BASE_ERR_H
#define FR_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

enum fr_err {
#define X(name, label, text, retriable) FR_##name,
#include "daemon/base/err.def"
#undef X
    FR_ERR_COUNT
};

#if defined(__GNUC__)
#define FR_MUST_CHECK __attribute__((warn_unused_result))
#define FR_PRINTF(fmt_arg, first_arg) __attribute__((format(printf, fmt_arg, first_arg)))
#else
#define FR_MUST_CHECK
#define FR_PRINTF(fmt_arg, first_arg)
#endif

#define FR_FAULT_MSG 400

/**
 * What went wrong in a set-up call (config, weight file, connect), for a person.
 * Owner: the caller. Thread: one at a time. An untouched fault has err == FR_OK.
 */
struct fr_fault {
    enum fr_err err;
    const char *src_file; /* our source file, static storage */
    int src_line;
    char msg[FR_FAULT_MSG]; /* NUL-terminated, names the field and the place in the input */
};

/** Symbolic name ("FR_EIO"); "FR_E?" for an unknown value. Static storage. @thread any */
const char *fr_err_name(enum fr_err e);

/** Metric label ("io"); from a closed set, never from input. Static storage. @thread any */
const char *fr_err_label(enum fr_err e);

/** Text for a person. Static storage. @thread any */
const char *fr_err_text(enum fr_err e);

/** True if the same call may succeed later unchanged. @thread any */
bool fr_err_retriable(enum fr_err e);

/**
 * Record a fault; `f` may be NULL. Returns `e`, so that `return fr_fault_set(...)` reads well.
 * Use the macro fr_fault(). A message that does not fit is cut at a UTF-8 boundary.
 */
enum fr_err
fr_fault_set(struct fr_fault *f, enum fr_err e, const char *file, int line, const char *fmt, ...)
    FR_PRINTF(5, 6);

#define fr_fault(f, e, ...) fr_fault_set((f), (e), __FILE__, __LINE__, __VA_ARGS__)

#endif
