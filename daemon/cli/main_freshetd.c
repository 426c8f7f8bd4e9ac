/*
 * daemon/cli/main_freshetd.c - the daemon's main: command line, signals, the serving loop.
 *
 * Exit codes: 0 stopped by a signal; 1 could not start or had to end; 2 wrong command line.
 * SIGTERM, SIGINT: finish and leave; a second one: leave at once (a crash, which loses nothing).
 * SIGHUP: load configuration and models again.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/cpu.h"
#include "daemon/base/log.h"
#include "daemon/config.h"
#include "daemon/serve/app.h"
#include "models/gemm.h"
#include "models/gemm_core.h"

#define MAX_SETS 128

static volatile sig_atomic_t stop_signals, reload_signals;

static void on_stop(int sig)
{
    (void)sig;
    if (stop_signals++ > 0)
        _exit(1);
}

/* Something does not end. A crash loses nothing. */
static void on_alarm(int sig)
{
    static const char text[] = "freshetd: not ended within daemon.shutdown_timeout_ms: ending as a crash does\n";

    (void)sig;
    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
        _exit(1);
    _exit(1);
}

static void on_reload(int sig)
{
    (void)sig;
    reload_signals++;
}

struct options {
    const char *config;
    const char *set[MAX_SETS];
    int n_set;
};

static const char usage[] =
    "usage: freshetd [--config FILE] [--set section.key=value]...\n"
    "\n"
    "Consumes user events from Kafka, keeps features in Redis, publishes recommendations.\n"
    "\n"
    "  --config FILE   YAML configuration (`freshet config dump` shows every key)\n"
    "  --set K=V       override one key; also FRESHET_SECTION_KEY in the environment\n"
    "  --version       print the version\n"
    "  --help          this text\n"
    "\n"
    "Signals: TERM, INT stop; HUP loads models and configuration again.\n"
    "Exit status: 0 stopped by a signal, 1 failed, 2 wrong usage.\n";

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            (void)printf("freshetd %s\n", FR_VERSION);
            return 0;
        }
        if (i + 1 < argc && strcmp(argv[i], "--config") == 0) {
            o->config = argv[++i];
        } else if (i + 1 < argc && strcmp(argv[i], "--set") == 0 && o->n_set < MAX_SETS) {
            o->set[o->n_set++] = argv[++i];
        } else {
            (void)fprintf(stderr, "freshetd: unknown or incomplete option %s\n%s", argv[i], usage);
            return 2;
        }
    }
    return -1;
}

static enum fr_err load(const struct options *o, struct fr_config *cfg, struct fr_fault *fault)
{
    enum fr_err e = fr_config_init(cfg, fault);

    if (e != FR_OK)
        return e;
    if (o->config != NULL)
        e = fr_config_load_file(cfg, o->config, fault);
    if (e == FR_OK)
        e = fr_config_load_env(cfg, fault);
    for (int i = 0; i < o->n_set && e == FR_OK; i++)
        e = fr_config_set(cfg, o->set[i], fault);
    if (e == FR_OK)
        e = fr_config_check(cfg, fault);
    if (e != FR_OK)
        fr_config_done(cfg);
    return e;
}

static void reload(const struct options *o, struct fr_app *app)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_config next;
    enum fr_err e = load(o, &next, &fault);

    if (e == FR_OK) {
        e = fr_app_reload(app, &next, &fault);
        fr_config_done(&next);
    }
    if (e != FR_OK)
        fr_log(FR_LOG_ERROR, "app", "reload=refused error=%s reason=\"%s\"", fr_err_label(e), fault.msg);
}

static void set_signals(void)
{
    struct sigaction sa;

    memset(&sa, 0, sizeof(sa));
    (void)sigemptyset(&sa.sa_mask);
    sa.sa_handler = on_stop;
    (void)sigaction(SIGTERM, &sa, NULL);
    (void)sigaction(SIGINT, &sa, NULL);
    sa.sa_handler = on_reload;
    (void)sigaction(SIGHUP, &sa, NULL);
    sa.sa_handler = on_alarm;
    (void)sigaction(SIGALRM, &sa, NULL);
    sa.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &sa, NULL);
}

static int run(const struct options *o, struct fr_app *app)
{
    sig_atomic_t reloaded = 0;
    enum fr_err e = FR_OK;

    while (stop_signals == 0 && e == FR_OK) {
        e = fr_app_serve(app, 100);
        if (reload_signals != reloaded) {
            reloaded = reload_signals;
            reload(o, app);
        }
    }
    if (e != FR_OK)
        fr_log(FR_LOG_ERROR, "app", "ending=%s", fr_err_label(e));
    if (e == FR_ESTATE)
        _exit(1); /* the stuck thread cannot be waited for */
    return e == FR_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct options o = {NULL, {NULL}, 0};
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_config cfg;
    struct fr_app *app;
    enum fr_gemm_core_state kernels;
    int code = parse(argc, argv, &o);
    enum fr_err e;

    if (code >= 0)
        return code;
    kernels = fr_gemm_core_ensure(argv);
    set_signals();
    e = fr_cpu_check(&fault);
    if (e == FR_OK)
        e = load(&o, &cfg, &fault);
    fr_log(kernels == FR_GEMM_CORE_LOWER || kernels == FR_GEMM_CORE_KEPT ? FR_LOG_WARN : FR_LOG_INFO, "app",
           "cpu=%s blas=%s blas_kernels=%s", fr_cpu_level_name(fr_cpu_level()), fr_gemm_core(),
           fr_gemm_core_state_name(kernels));
    if (e == FR_OK)
        e = fr_app_start(&cfg, &app, &fault);
    if (e != FR_OK) {
        (void)fprintf(stderr, "freshetd: %s\n", fault.msg);
        return 1;
    }
    fr_log(FR_LOG_INFO, "app", "started=true version=%s http_port=%d", FR_VERSION, fr_app_http_port(app));
    code = run(&o, app);
    (void)alarm((unsigned)((fr_app_shutdown_timeout_ms(app) + 999) / 1000));
    fr_app_stop(app);
    return code;
}
