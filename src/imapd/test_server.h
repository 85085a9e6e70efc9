/* test_server: an imapd with one account on a simulated node, for tests. */
#pragma once

#include "imapd/imapd.h"
#include "runtime/sim/sim.h"
#include "runtime/sim/transcript.h"

struct memory_store;

struct test_server {
    struct sim *sim;
    struct sim_node *node;
    struct memory_store *store;
    struct engine *engine;
    struct identity *identity;
    struct accounts *accounts;
    struct id account;                  /* joe's */
    struct imapd *imapd;
    struct imapd_options options;
};

/*
 * joe@example.test has the password "secret". `change` (may be NULL) sees the options before the imapd is made. With odd seeds few messages are very
 * many (accounts_options.turn_rows): five are stored by two records.
 */
struct test_server *test_server_open(uint64_t seed, void (*change)(struct imapd_options *options));
void test_server_close(struct test_server *t);
/* A client, greeted. */
struct transcript *test_server_connect(struct test_server *t);
/* A client, logged in. */
struct transcript *test_server_login(struct test_server *t);
/* Puts a message into a mailbox of joe's by APPEND with another client. */
void test_server_add(struct test_server *t, const char *mailbox, const char *flags, view message);
/* What joe may keep; for sessions that log in afterwards. */
void test_server_set_quota(struct test_server *t, uint64_t bytes);
void test_server_set_message_quota(struct test_server *t, uint64_t messages);
/* Folds joe's journal into packs and a snapshot. */
void test_server_compact(struct test_server *t);
