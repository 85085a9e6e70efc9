/*
 * workload: what clients do in a world: they deliver, append, flag, copy, move, expunge, make and rename mailboxes, read,
 * watch, through the account room of whichever node; and note what they were told.
 */
#pragma once

#include "account/view.h"
#include "world.h"

enum { WORKLOAD_ACCOUNTS_MAX = 3 };

/* One thing asked for. Lives until the end of the process: its author may die. */
struct op {
    struct op *next;
    struct id account;
    struct record record;                /* of changes: the id names it in the history. Lists are the author's */
    struct id message;                   /* of deliveries and appends */
    bool is_message, is_told;            /* told: the author has its result */
    result code;
    struct outcome outcome;              /* OK: sets are copies below */
    buf source_uids, result_uids, unchanged_uids;   /* uint32_t each */
    unsigned line;
};

/* A message that somebody made: what its bytes must be. */
struct made {
    struct made *next;
    struct id message;
    uint64_t number;
    size_t bytes;
};

struct workload_options {
    unsigned accounts, nodes;
    unsigned sessions, actions_max;      /* in all; of each */
    unsigned together;                   /* sessions at a time */
    unsigned idlers;                     /* sessions that watch until the end */
    unsigned deliveries_percent;         /* of sessions */
    unsigned large_ppm;                  /* messages over the inline limit */
    unsigned names_percent;              /* actions about names of mailboxes, of actions of sessions */
    unsigned pause_max_ms;
    unsigned compact_records_max;        /* accounts compact by themselves after up to so many */
    unsigned kills;                      /* of nodes, at any step */
    unsigned power_cuts;                 /* the store and all nodes lose power */
    unsigned stops;                      /* of nodes, in peace, with sessions at work */
    unsigned fills;                      /* times that the store is full for a while */
    struct world_troubles troubles;
    unsigned short_deadlines_percent;    /* of deadlines */
    unsigned doublings;                  /* of the first mailbox, before anything else: rows in many blocks */
    int64_t retention_ms;                /* 0: longer than the scenario */
    int64_t archive_after_ms;            /* older messages of the first account go to the archive; 0: none do */
    uint64_t memory_bytes;               /* of accounts; 0: plenty */
    bool has_upkeep;                     /* some nodes have the maintenance role, and the others leave long accounts to them */
};

struct session;

struct workload {
    struct world world;
    struct workload_options options;
    struct id accounts[WORKLOAD_ACCOUNTS_MAX];
    struct op *ops;
    struct made *made;
    uint64_t next_number;
    struct session *sessions;            /* that live */
    struct upkeep *upkeep[WORLD_NODES_MAX];
    unsigned started, running;
    bool idlers_leave;
    unsigned told_ok, told_unknown, told_failed, checked_views;
};

void workload_open(struct workload *w, uint64_t seed, const struct workload_options *options, const struct memory_faults *faults, unsigned point_ppm);
/* Plays it to its end, with all nodes up and nobody at work but idlers. From the keeper. */
MAY_YIELD void workload_play(struct workload *w);
/* Idlers check that they were told of everything, and leave. From the keeper. */
MAY_YIELD void workload_end(struct workload *w);

const struct made *workload_made(const struct workload *w, struct id message);
/* Reads the whole message and compares. */
MAY_YIELD result workload_check_message(struct workload *w, struct account *a, uint32_t mailbox, const struct row *row);

/* upkeep.c: rounds of maintenance come to their end and find nothing wrong. From the keeper, when all is quiet. */
MAY_YIELD void judge_upkeep(struct workload *w);
/* Begins it on the node, if that has the role; ends it. On the node's first loop. */
void begin_upkeep(struct workload *w, unsigned node);
MAY_YIELD void end_upkeep(struct workload *w, unsigned node);
/* judge.c: what must hold when all is quiet. From the keeper. */
MAY_YIELD void judge(struct workload *w);
