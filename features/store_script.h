/*
 * features/store_script.h - the Redis function library, as text.
 *
 * Loaded by store_redis.c when the server does not have it, or has another version. `freshet_user`
 * is public: other services call it with FCALL_RO.
 * Layer: features.
 */
#ifndef FR_FEATURES_STORE_SCRIPT_H
#define FR_FEATURES_STORE_SCRIPT_H

/** Version that freshet_version answers. Raise it with every change of the text. */
#define FR_STORE_SCRIPT_VERSION "1"

/** Lua source for FUNCTION LOAD; NUL-terminated, static storage. */
extern const char fr_store_script[];

#endif
