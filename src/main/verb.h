/*
 * verb: what can be said on the command line: `tayori account add ADDRESS --password-stdin`.
 *
 * One table makes the parser, --help, the manual pages (man.c) and, for most, the request to the server. Verbs without
 * a command have a function of their own.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum argument_kind {
    ARGUMENT_TEXT,
    ARGUMENT_PATH,               /* made absolute: the server has a working directory of its own */
    ARGUMENT_NUMBER,
    ARGUMENT_FLAG,
    ARGUMENT_STDIN,              /* a flag: the first line of standard input becomes the text */
};

struct verb_argument {
    const char *name;            /* "ADDRESS", or "--quota" */
    const char *key;             /* in the request */
    enum argument_kind kind;
    const char *value;           /* what stands for an option's value in texts: "SIZE" */
    bool is_required, is_many;   /* many: the rest of the line, as an array */
    const char *help;
};

enum { VERB_ARGUMENTS_MAX = 16 };

struct invocation;
struct arena;

struct verb {
    const char *noun, *verb;     /* verb NULL: the noun stands alone; it may be two words */
    const char *command;         /* NULL: `run` */
    int (*run)(const struct invocation *call);
    const char *columns;         /* of the answer's table: "address quota:size created:date" */
    const char *help;            /* one line */
    const char *description;     /* mdoc text of the manual page; NULL: the line is enough */
    struct verb_argument arguments[VERB_ARGUMENTS_MAX];
};

extern const struct verb verbs[];
extern const size_t verb_count;

struct invocation {
    struct arena *arena;         /* of everything here; lives as long as the program */
    const struct verb *verb;
    json_t *request;             /* the arguments by key, and "command" */
    const char *folder;          /* --dir, absolute */
    const char *config_file;     /* --config; NULL */
    bool wants_json;
};

/* Sends the request, or runs it here when no server runs, and shows the answers. The exit status. */
int verb_request(const struct invocation *call);

/* The functions of verbs that have their own. Exit statuses: 0, 1 failed, 2 wrong usage. */
int verb_serve(const struct invocation *call);
int verb_config_check(const struct invocation *call);
int verb_config_show(const struct invocation *call);
int verb_cluster_init(const struct invocation *call);
int verb_store_restore(const struct invocation *call);
int verb_events(const struct invocation *call);
int verb_man(const struct invocation *call);
int verb_version(const struct invocation *call);

void verb_show_help(const struct verb *v, FILE *out);
void verb_show_all(FILE *out);
/* All verbs of one noun. */
void verb_show_noun(const char *noun, FILE *out);

/* Shows answers: a table for people, lines of JSON for programs, progress on a terminal. */
struct render;
struct render *render_new(const char *columns, bool wants_json);
/* Rows are shown as they come. */
void render_each_row(struct render *r);
void render_answer(struct render *r, const json_t *answer);
/* 0 after a done answer, else 1. Frees. */
int render_end(struct render *r);
