/*
 * tests/support/json_schema.h - is this JSON text valid under one of deploy/schemas?
 *
 * The part of JSON Schema 2020-12 that our schemas use; an unknown keyword is a failure, so a
 * schema can't say something that is silently not checked. Validators of others are not packaged
 * for both Debians' minimal installs.
 */
#ifndef FR_TESTS_JSON_SCHEMA_H
#define FR_TESTS_JSON_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/str.h"

/** `name` is "events", "items", ...; `why` gets the reason (keyword and place) when false. */
bool json_schema_valid(const char *name, struct fr_str json, char *why, size_t cap);

#endif
