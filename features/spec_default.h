/*
 * features/spec_default.h - the declaration that ships: what the config file shows.
 *
 * Layer: features; included by features/spec.h.
 */
#ifndef FR_FEATURES_SPEC_DEFAULT_H
#define FR_FEATURES_SPEC_DEFAULT_H

struct fr_spec_input;

/** Shipped defaults: event types view, click, purchase, like, rating, skip, impression, impressions
 *  and fr_spec_default_lines(); an empty hash secret. Static storage. @thread any */
void fr_spec_input_default(struct fr_spec_input *in);

/** The shipped declaration lines. Static storage. @thread any */
const char *const *fr_spec_default_lines(int *out_n);

#endif
