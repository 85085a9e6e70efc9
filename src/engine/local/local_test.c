/* The contract of engines on the local one, with real files. */
#include <stdio.h>

#include "engine/contract.h"
#include "engine/local/local_test.h"

struct contract_run {
    struct contract contract;            /* first */
    struct engine_local_options options;
    void (*run)(struct contract *c);
};

static void reopen(struct contract *c)
{
    colour_pretend_coroutine();
    struct contract_run *r = (struct contract_run *)(void *)c;
    engine_close(c->engine);
    c->engine = test_open(&r->options);
}

static void run_contract(void *argument)
{
    colour_pretend_coroutine();
    struct contract_run *r = argument;
    r->contract.engine = test_open(&r->options);
    EXPECT_VIEW(view_of(engine_kind(r->contract.engine)), VIEW("local"));
    r->run(&r->contract);
    engine_close(r->contract.engine);
}

static void run_case(void (*run)(struct contract *c))
{
    char folder[LOCAL_TEST_FOLDER_BYTES];
    char archive[LOCAL_TEST_FOLDER_BYTES + 8];
    struct contract_run r = {.contract.reopen = reopen, .run = run, .options = test_options(test_make_folder(folder), true)};
    snprintf(archive, sizeof archive, "%s/cold", folder);
    r.options.archive_folder = archive;
    test_run(run_contract, &r);
    test_remove_folder(folder);
}

#define CASE(name) TEST_SLOW(local_##name, 60) { run_case(contract_##name); }
ENGINE_CONTRACT(CASE)
