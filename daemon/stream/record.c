/*
 * daemon/stream/record.c - topic roles and names.
 */
#include "daemon/stream/record.h"

#include <string.h>

static const char *const role_names[FR_TOPIC_COUNT] = {
    "events", "requests", "items", "recommendations", "examples", "dead-letters"};

const char *fr_topic_role_name(enum fr_topic_role role)
{
    return (int)role >= 0 && role < FR_TOPIC_COUNT ? role_names[role] : "?";
}

static bool allowed(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

enum fr_err
fr_topic_names_set(struct fr_topic_names *names, enum fr_topic_role role, const char *name)
{
    size_t n = strlen(name);

    if ((int)role < 0 || role >= FR_TOPIC_COUNT || n == 0 || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return FR_EINVAL;
    if (n >= FR_TOPIC_NAME)
        return FR_ETOOLARGE;
    for (size_t i = 0; i < n; i++)
        if (!allowed(name[i]))
            return FR_EINVAL;
    memcpy(names->name[role], name, n + 1);
    return FR_OK;
}

enum fr_err fr_topic_names_init(struct fr_topic_names *names, const char *prefix)
{
    struct fr_topic_names fresh;
    size_t n = prefix == NULL ? 0 : strlen(prefix);

    memset(&fresh, 0, sizeof(fresh));
    for (int i = 0; i < FR_TOPIC_COUNT; i++) {
        char name[2 * FR_TOPIC_NAME];
        enum fr_err e;

        if (n >= FR_TOPIC_NAME)
            return FR_ETOOLARGE;
        if (n > 0)
            memcpy(name, prefix, n);
        memcpy(name + n, role_names[i], strlen(role_names[i]) + 1);
        e = fr_topic_names_set(&fresh, (enum fr_topic_role)i, name);
        if (e != FR_OK)
            return e;
    }
    *names = fresh;
    return FR_OK;
}

enum fr_topic_role fr_topic_names_find(const struct fr_topic_names *names, const char *name)
{
    for (int i = 0; i < FR_TOPIC_COUNT; i++)
        if (strcmp(names->name[i], name) == 0)
            return (enum fr_topic_role)i;
    return FR_TOPIC_COUNT;
}
