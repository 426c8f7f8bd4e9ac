/*
 * daemon/connect.c - see connect.h.
 */
#include "daemon/connect.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "features/store_redis.h"

#define PASSWORD_MAX 512

enum fr_err
fr_connect_names(const struct fr_config *cfg, struct fr_topic_names *out, struct fr_fault *fault)
{
    const char *const own[FR_TOPIC_COUNT] = {cfg->topics_events,          cfg->topics_requests,
                                             cfg->topics_items,           cfg->topics_recommendations,
                                             cfg->topics_examples,        cfg->topics_dead_letters};

    memset(out, 0, sizeof(*out));
    for (int i = 0; i < FR_TOPIC_COUNT; i++) {
        char name[2 * FR_TOPIC_NAME];
        enum fr_err e;
        int n = snprintf(name, sizeof(name), "%s%s", cfg->topics_prefix, own[i]);
        if (n < 0 || (size_t)n >= sizeof(name))
            return fr_fault(fault, FR_ETOOLARGE, "topics.prefix and topics.%s are too long together",
                            fr_topic_role_name((enum fr_topic_role)i));
        e = fr_topic_names_set(out, (enum fr_topic_role)i, name);
        if (e != FR_OK)
            return fr_fault(fault, e, "\"%.100s\" is not a topic name (letters, digits, '.', '_', '-')",
                            name);
    }
    return FR_OK;
}

/* "name=value" entries, split in a copy. */
static enum fr_err split(const struct fr_config_list *l,
                         struct fr_kafka_setting *props,
                         char *at,
                         struct fr_fault *fault)
{
    for (int i = 0; i < l->n; i++) {
        size_t n = strlen(l->v[i]);
        char *eq;
        memcpy(at, l->v[i], n + 1);
        eq = strchr(at, '=');
        if (eq == NULL)
            return fr_fault(fault, FR_ESCHEMA, "kafka.properties: \"%.100s\" is not name=value", at);
        *eq = '\0';
        props[i] = (struct fr_kafka_setting){at, eq + 1};
        at += n + 1;
    }
    return FR_OK;
}

enum fr_err fr_connect_kafka(const struct fr_config *cfg,
                             const char *client_id,
                             struct fr_kafka_conn *out,
                             struct fr_kafka_setting **out_props,
                             char **out_text,
                             struct fr_fault *fault)
{
    const struct fr_config_list *l = &cfg->kafka_properties;
    size_t bytes = 1;
    enum fr_err e;

    for (int i = 0; i < l->n; i++)
        bytes += strlen(l->v[i]) + 1;
    *out_props = fr_calloc((size_t)l->n + 1, sizeof(**out_props));
    *out_text = fr_calloc(bytes, 1);
    if (*out_props == NULL || *out_text == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    e = split(l, *out_props, *out_text, fault);
    if (e != FR_OK)
        return e;
    *out = (struct fr_kafka_conn){cfg->kafka_brokers, client_id, *out_props, l->n};
    return fr_kafka_conn_check(out, fault);
}

static enum fr_err read_password(const char *path, char out[PASSWORD_MAX], struct fr_fault *fault)
{
    char *text;
    size_t n;
    enum fr_err e;

    out[0] = '\0';
    if (path[0] == '\0')
        return FR_OK;
    e = fr_file_read(path, PASSWORD_MAX - 1, &text, &n, fault);
    if (e != FR_OK)
        return e;
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    memcpy(out, text, n);
    out[n] = '\0';
    memset(text, 0, n);
    fr_free(text);
    return FR_OK;
}

enum fr_err fr_connect_store(const struct fr_config *cfg, struct fr_store **out, struct fr_fault *fault)
{
    char password[PASSWORD_MAX];
    struct fr_store_redis_config c = {.address = cfg->redis_address,
                                      .user = cfg->redis_user,
                                      .password = password,
                                      .db = (int)cfg->redis_db,
                                      .prefix = cfg->redis_prefix,
                                      .group = cfg->kafka_group,
                                      .connect_timeout_ms = (int)cfg->redis_connect_timeout_ms,
                                      .command_timeout_ms = (int)cfg->redis_command_timeout_ms};
    enum fr_err e = read_password(cfg->redis_password_file, password, fault);

    if (e == FR_OK)
        e = fr_store_redis_new(&c, out, fault);
    memset(password, 0, sizeof(password));
    return e;
}
