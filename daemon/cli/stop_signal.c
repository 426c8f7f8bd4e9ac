/*
 * daemon/cli/stop_signal.c - see stop_signal.h.
 */
#include "daemon/cli/stop_signal.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t first_signal, again, is_patient;

static void on_stop(int sig)
{
    if (first_signal == 0)
        first_signal = sig;
    else if (is_patient != 0)
        again = 1;
    else
        _exit(130);
}

void fr_stop_signal_install(bool patient)
{
    struct sigaction sa;

    is_patient = patient;
    memset(&sa, 0, sizeof(sa));
    (void)sigemptyset(&sa.sa_mask);
    sa.sa_handler = on_stop;
    (void)sigaction(SIGINT, &sa, NULL);
    (void)sigaction(SIGTERM, &sa, NULL);
    (void)sigaction(SIGHUP, &sa, NULL);
    sa.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &sa, NULL);
}

bool fr_stop_signal_asked(void)
{
    return first_signal != 0;
}

bool fr_stop_signal_urgent(void)
{
    return again != 0;
}

void fr_stop_signal_sleep(int ms)
{
    struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};

    if (!fr_stop_signal_asked())
        (void)nanosleep(&ts, NULL);
}

int fr_stop_signal_status(void)
{
    return first_signal == 0 ? 0 : 128 + first_signal;
}
