/*
 * daemon/base/leftright.h - publish a pair of instances to wait-free readers.
 *
 * Left-right (Ramalhete & Correia 2013): two instances; readers pin the active one for the length of
 * a sub-batch; the single writer changes the idle one, swaps, waits until no reader is left on the
 * old one, and then changes that too. Readers never wait; TSan-clean by construction.
 *
 *   reader:  v = version; arrive[v]++; use instance[active]; arrive[v]--
 *   writer:  change instance[1-active]; active = 1-active; drain the idle version's readers, flip the
 *            version, drain the other; change the instance that is idle now
 *
 * Rules: (1) pins are short and never held across I/O; (2) one writer at a time (caller's lock);
 *        (3) a pin is released by the thread that took it.
 * Layer: lowest.
 */
#ifndef FR_BASE_LEFTRIGHT_H
#define FR_BASE_LEFTRIGHT_H

#include <stdatomic.h>

/** Owner: the caller's storage. Thread: readers any; writer calls by one thread at a time. */
struct fr_leftright {
    _Atomic int active;  /* instance readers use: 0 or 1 */
    _Atomic int version; /* arrival counter readers use: 0 or 1 */
    char pad0[56];
    _Atomic long arrive0; /* readers in version 0 */
    char pad1[56];
    _Atomic long arrive1;
    char pad2[56];
};

struct fr_leftright_pin {
    int instance; /* which of the caller's two instances to read */
    int version;
};

void fr_leftright_init(struct fr_leftright *lr);
/** @thread any reader; wait-free */
struct fr_leftright_pin fr_leftright_pin(struct fr_leftright *lr);
void fr_leftright_unpin(struct fr_leftright *lr, struct fr_leftright_pin pin);
/** Instance no reader can be on: the writer's to change. @thread writer */
int fr_leftright_idle(const struct fr_leftright *lr);
/** Make the idle instance active and wait until no reader uses the other. @thread writer */
void fr_leftright_swap(struct fr_leftright *lr);

#endif
