/* test_vectors: a world with a resolver, and third-party vectors of DKIM and ARC, for the tests of this room. */
#pragma once

#include "base/buf.h"
#include "runtime/resolver.h"
#include "runtime/sim/sim.h"

struct vectors {
    struct sim *sim;
    struct sim_node *node;
    struct resolver *resolver;
};
/* Runs run(argument, world) in a coroutine of a node. */
void vectors_run(void (*run)(struct vectors *v, void *argument), void *argument);
/* A TXT record of any length. */
void vectors_put_txt(struct vectors *v, view name, view text);
/* A file of the shared test data, with CRLF line ends if `fixes_lines`. Fails the test when it is not there. */
void vectors_read(const char *path, bool fixes_lines, buf *into);
void vectors_fix_lines(view text, buf *into);

/* A document of the ARC suite: a small part of YAML. Values are block scalars, folded scalars or words. */
struct yaml_case {
    view name;
    buf message;                         /* CRLF */
    view values[12];
    view keys[12];
    size_t count;
};
view yaml_value(const struct yaml_case *c, const char *key);
/*
 * Calls each(argument, case) for every case of every document, after all txt-records of its document are in the resolver's world;
 * `private_key` is the document's, PEM, or empty.
 */
void yaml_each(struct vectors *v, const char *path, void (*each)(struct vectors *v, const struct yaml_case *c, view domain, view selector, view private_key));
