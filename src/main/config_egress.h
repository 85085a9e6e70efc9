/* config_egress: the sections `egress "name" { ... }`, for config.c. */
#pragma once

#include <confuse.h>
#include <stdio.h>

#include "main/config.h"

/* The grammar of a section. Static. */
cfg_opt_t *config_egress_options(void);
/* A section as a pool; texts in the arena. The empty view, or what is wrong. */
view config_egress_read(cfg_t *section, struct arena *arena, struct egress_pool *ret_pool);
void config_egress_show(const struct egress_pool *p, FILE *out);
