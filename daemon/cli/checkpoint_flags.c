/*
 * daemon/cli/checkpoint_flags.c - see checkpoint_flags.h.
 */
#include "daemon/cli/checkpoint_flags.h"

#include <stddef.h>
#include <unistd.h>

int fr_checkpoint_flags_check(const struct fr_checkpoint_flags *c, const char *command)
{
    if (c->file == NULL ? c->every_s >= 0 : c->file[0] == '\0')
        return fr_args_usage(command, "--checkpoint wants a file, and --checkpoint-every wants --checkpoint");
    return FR_ARGS_GO_ON;
}

double fr_checkpoint_flags_every(const struct fr_checkpoint_flags *c)
{
    return c->every_s < 0 ? 600 : (double)c->every_s;
}

void fr_checkpoint_flags_done(const struct fr_checkpoint_flags *c)
{
    if (c->file != NULL)
        (void)unlink(c->file);
}
