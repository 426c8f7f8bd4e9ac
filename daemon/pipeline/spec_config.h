/*
 * daemon/pipeline/spec_config.h - the compiled feature declaration that a configuration means.
 */
#ifndef FR_PIPELINE_SPEC_CONFIG_H
#define FR_PIPELINE_SPEC_CONFIG_H

#include "daemon/base/err.h"

struct fr_config;
struct fr_spec;

/**
 * Compile events.*, features.*, state.* and recommend.* of a configuration.
 * @param out_spec  set only on FR_OK; release with fr_spec_free().
 * @errors as fr_spec_compile(); FR_EFULL too many event types
 */
FR_MUST_CHECK enum fr_err fr_spec_from_config(const struct fr_config *cfg,
                                              struct fr_spec **out_spec,
                                              struct fr_fault *fault);

#endif
