/*
 * scenario: what the simulator plays, one world for each seed.
 *
 * A scenario opens a world from its seed, lets things happen, and checks what must hold. FAIL() ends the process: each seed has
 * one of its own. A run prints nothing unless it fails or `scenario_is_verbose`.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct scenario {
    const char *name, *what;
    unsigned share;                      /* of the seeds, against the others */
    uint64_t (*run)(uint64_t seed);  /* the trace of the world */
};

extern const struct scenario scenario_accounts, scenario_calm, scenario_crashes, scenario_uncertain, scenario_deliveries, scenario_names, scenario_large, scenario_cluster, scenario_protocols, scenario_levels, scenario_queue;

extern bool scenario_is_verbose;

_Noreturn void scenario_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
#define FAIL(...) scenario_fail(__FILE__, __LINE__, __VA_ARGS__)
#define MUST(x) do { if (!(x)) FAIL("%s", #x); } while (0)
void scenario_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A point was passed, and whether the node died there: counted over all seeds. */
void scenario_count_point(const char *name, bool died);
