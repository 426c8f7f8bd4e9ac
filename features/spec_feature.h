/*
 * features/spec_feature.h - compiles one declaration line into a feature and its field.
 *
 * The table of kinds, their arguments and defaults is here; the grammar is spec_line.h's, the
 * settings around it spec.h's. Layer: features; used by spec.c and its tests.
 */
#ifndef FR_FEATURES_SPEC_FEATURE_H
#define FR_FEATURES_SPEC_FEATURE_H

#include "daemon/base/err.h"
#include "daemon/base/str.h"

struct fr_spec;

/**
 * Append the feature of one line. The spec's settings and event types must be set already.
 * @param line_no  1-based, for messages.
 * @errors FR_ESYNTAX FR_EINVAL FR_ERANGE FR_EDUPLICATE FR_EFULL, text in `fault`; the spec may hold
 *         a field without a feature then and must be thrown away
 */
FR_MUST_CHECK enum fr_err
fr_spec_add_feature(struct fr_spec *spec, struct fr_str text, int line_no, struct fr_fault *fault);

#endif
