/*
 * daemon/config.h - the configuration: one struct made from config.def.
 *
 * Sources, later ones win: defaults, YAML file, FRESHET_SECTION_KEY in the environment, --set.
 * Unknown section or key, a key given twice, a wrong unit and a value out of range are refused with
 * file:line, the nearest key and the allowed range. Secrets come from files and are never dumped.
 */
#ifndef FR_CONFIG_H
#define FR_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/buf.h"
#include "daemon/base/err.h"

struct fr_config_list {
    char **v;
    int n;
};

#define FR_CONFIG_T_STR char *
#define FR_CONFIG_T_INT int64_t
#define FR_CONFIG_T_MS int64_t
#define FR_CONFIG_T_BYTES int64_t
#define FR_CONFIG_T_F64 double
#define FR_CONFIG_T_BOOL bool
#define FR_CONFIG_T_ENUM int
#define FR_CONFIG_T_LIST struct fr_config_list

/** Owner: the caller's storage, fr_config_done(). Immutable once loaded: any thread may read. */
struct fr_config {
#define X(section, key, TYPE, def, min, max, unit, reload, help) FR_CONFIG_T_##TYPE section##_##key;
#include "daemon/config.def"
#undef X
};

enum fr_repeat { FR_REPEAT_ALLOW, FR_REPEAT_LAST, FR_REPEAT_FOREVER };

/** All defaults. @errors FR_ENOMEM */
FR_MUST_CHECK enum fr_err fr_config_init(struct fr_config *c, struct fr_fault *fault);

/** Release strings; safe on a zeroed struct. */
void fr_config_done(struct fr_config *c);

/** Apply a YAML file. @errors FR_ENOTFOUND FR_ESYNTAX FR_ESCHEMA FR_ERANGE FR_EDUPLICATE FR_ENOMEM */
FR_MUST_CHECK enum fr_err
fr_config_load_file(struct fr_config *c, const char *path, struct fr_fault *fault);

/** As above from memory; `name` stands for the path in messages. */
FR_MUST_CHECK enum fr_err fr_config_load_text(struct fr_config *c,
                                              const char *name,
                                              const char *text,
                                              size_t n,
                                              struct fr_fault *fault);

/** Apply every FRESHET_SECTION_KEY of the environment; lists are split at ','. A name that begins with a known
 *  section and is no key is refused (FR_ESCHEMA), others are left alone. */
FR_MUST_CHECK enum fr_err fr_config_load_env(struct fr_config *c, struct fr_fault *fault);

/** Take every FRESHET_SECTION_KEY out of this process's environment, so that its children run on what they
 *  are given only. @thread main, before others start */
void fr_config_drop_env(void);

/** Apply one "section.key=value"; lists are split at ','. */
FR_MUST_CHECK enum fr_err
fr_config_set(struct fr_config *c, const char *assignment, struct fr_fault *fault);

/** Checks across keys (recommend.on within events.types, ...). */
FR_MUST_CHECK enum fr_err fr_config_check(const struct fr_config *c, struct fr_fault *fault);

/** The effective configuration as commented YAML that loads again. */
void fr_config_dump(const struct fr_config *c, struct fr_buf *out);

/** JSON schema (draft 2020-12) of the YAML file. */
void fr_config_schema(struct fr_buf *out);

/** Reference of all keys as Markdown. */
void fr_config_manual(struct fr_buf *out);

/** Write the keys whose values differ and whose column "reload" is `reloadable`, as "a.b, c.d".
 *  @return how many */
int fr_config_diff(const struct fr_config *cur,
                   const struct fr_config *next,
                   bool reloadable,
                   struct fr_buf *out);

#endif
