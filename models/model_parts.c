/*
 * models/model_parts.c - see model_parts.h.
 */
#include "models/model_parts.h"

#include "models/model_priv.h"

const struct fr_encoder *fr_model_encoder(const struct fr_model *m)
{
    return m->enc;
}

const struct fr_tensor *fr_model_tensors(const struct fr_model *m, int *out_n)
{
    *out_n = m->n_tensors;
    return m->tensor;
}

enum fr_err fr_model_config_text(const struct fr_model *m, struct fr_buf *out)
{
    struct fr_jsonw w;

    fr_jsonw_init(&w, out);
    fr_jsonw_object(&w);
    m->ops->describe(m, &w);
    fr_jsonw_end(&w, '}');
    return fr_buf_err(out);
}
