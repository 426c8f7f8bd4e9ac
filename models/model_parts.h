/*
 * models/model_parts.h - what a model is made of, for those who train on from it.
 * Layer: daemon/base/ and models/. Thread: a model is immutable, any.
 */
#ifndef FR_MODELS_MODEL_PARTS_H
#define FR_MODELS_MODEL_PARTS_H

#include "daemon/base/buf.h"
#include "models/encoder.h"
#include "models/model.h"
#include "models/tensor.h"

/** Fields, vocabularies, normalisers. Owner: the model. */
const struct fr_encoder *fr_model_encoder(const struct fr_model *m);
/** The weights, as the bundle has them. Owner: the model. */
const struct fr_tensor *fr_model_tensors(const struct fr_model *m, int *out_n);
/** Append the manifest's "config" object. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_model_config_text(const struct fr_model *m, struct fr_buf *out);

#endif
