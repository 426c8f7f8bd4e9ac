/*
 * tests/support/kafka_server.h - a real Apache Kafka for tests.
 *
 * Two ways to have one:
 *  - the broker that ctest starts once for all tests labelled `kafka` (fixture): kafka_server_shared();
 *    it is shared, so name topics and groups with kafka_server_unique() and never stop it;
 *  - a broker of the test's own, which may be killed and restarted: kafka_server_start() (about 3 s).
 * One combined KRaft node on loopback, auto.create.topics.enable=false, topics with replication 1,
 * group.initial.rebalance.delay 0. Driven through deploy/kafka/kafka.sh.
 */
#ifndef FR_TESTS_KAFKA_SERVER_H
#define FR_TESTS_KAFKA_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/** Owner: the caller. Thread: one at a time; see proc.h about the spawning thread. */
struct kafka_server;

/** All fields may be zero. */
struct kafka_server_opt {
    const char *const *properties; /* broker settings "key=value" added to the template, NULL-terminated */
};

/**
 * Bootstrap address of the shared broker ("127.0.0.1:port"): $FRESHET_TEST_KAFKA or what the fixture
 * wrote in the build folder. NULL when there is none; then kafka_server_skip_reason() says why.
 */
const char *kafka_server_shared(void);

/**
 * For main() of a kafka test: 0 = go on, 77 = return this; then "SKIP name: reason" has been printed.
 *     int rc = kafka_server_require("kafka.take"); if (rc) return rc;
 */
int kafka_server_require(const char *test_name);

/** Why no broker can be had: "download failed: ...", "no Java 17 or newer", "the fixture did not run". */
const char *kafka_server_skip_reason(void);

/** `<stem>-<pid>-<counter>-<random>` into out: a topic or group name no other test uses. @return out */
char *kafka_server_unique(const char *stem, char *out, size_t cap);

/** A broker of the test's own, ready for clients. NULL, with its last log lines on standard error, on failure. */
struct kafka_server *kafka_server_start(const struct kafka_server_opt *opt);

/** "127.0.0.1:port"; the same after a restart. */
const char *kafka_server_bootstrap(const struct kafka_server *ks);

/** Its folder (log segments, server.log). */
const char *kafka_server_dir(const struct kafka_server *ks);

/** Process id of the running broker, 0 when stopped. */
pid_t kafka_server_pid(const struct kafka_server *ks);

/** Controlled shutdown (SIGTERM) and wait; it is killed after 20 s. */
bool kafka_server_stop(struct kafka_server *ks);

/** SIGKILL and wait. */
bool kafka_server_kill9(struct kafka_server *ks);

/** Start again after stop or kill9 with the same port and folder, and wait until ready. */
bool kafka_server_restart(struct kafka_server *ks);

/** Kill, remove the folder, release. NULL is a no-op. */
void kafka_server_free(struct kafka_server *ks);

#endif
