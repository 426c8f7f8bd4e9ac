/*
 * models/mf.h - matrix factorisation with biases: z = b + b_u + b_i + p_u . q_i, score =
 * sigmoid(z).
 *
 * An unknown id is row 0: zero as trained here, so a new user gets [0, 1, 0] (items by their bias,
 * popular first) and a new item stands where the average item does.
 *
 * Source: Rendle et al. 2020, "Neural Collaborative Filtering vs. Matrix Factorization Revisited",
 * arXiv:2005.09683. Fields as models/ncf.h; an absent id is a zero vector without bias.
 * Retrieval: an index wants unit vectors, so the inner product is turned into a cosine (Bachrach et
 * al. 2014, section 3.1): with M the largest length of an item's [q, b], user [p, 1, 0] / |[p, 1]|
 * item [q, b, sqrt(M^2 - |q|^2 - b^2)] / M          (d + 2) orders items as z does; the factor
 * between is the user's own, so the cosine over tau is no logit. Logits (fr_model_score_case,
 * self-tests) are z. Layer: daemon/base/ and models/. Check: tests/unit/test_models_mf.c.
 */
#ifndef FR_MODELS_MF_H
#define FR_MODELS_MF_H

#include "models/encoder.h"
#include "models/model.h"
#include "models/tensor.h"

#define FR_MF_MAX_DIM 510

/**
 * Build the inference form.
 * @param take_enc  owned by the model on FR_OK (then NULL). @param dim  d, 1..FR_MF_MAX_DIM
 * @param t         bias (1), linear.<table>.weight (rows, 1), embedding.<table>.weight (rows, d);
 * copied.
 * @errors FR_ENOTFOUND FR_EMISMATCH FR_ENONFINITE FR_EINVAL FR_ENOMEM
 */
FR_MUST_CHECK enum fr_err fr_mf_new(struct fr_encoder **take_enc,
                                    int dim,
                                    const struct fr_tensor *t,
                                    int n,
                                    struct fr_model **out_m,
                                    struct fr_fault *fault);

#endif
