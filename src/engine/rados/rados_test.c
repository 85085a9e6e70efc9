/* The contract of engines on the rados one, with a real cluster. */
#include "engine/rados/rados_test.h"
#include "engine/contract.h"

struct contract_run {
    struct contract contract;            /* first */
    struct engine_rados_options options;
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
    EXPECT_VIEW(view_of(engine_kind(r->contract.engine)), VIEW("rados"));
    r->run(&r->contract);
    engine_close(r->contract.engine);
}

static void run_case(void (*run)(struct contract *c))
{
    char name[RADOS_TEST_NAME_BYTES];
    struct contract_run r = {.contract.reopen = reopen, .run = run, .options = test_store(name)};
    test_run(run_contract, &r);
}

#define CASE(name) TEST_SLOW(rados_##name, 120) { run_case(contract_##name); }
ENGINE_CONTRACT(CASE)
