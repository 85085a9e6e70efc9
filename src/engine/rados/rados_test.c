/* The contract of engines on the rados one, with a real cluster. */
#include "engine/rados/rados_test.h"
#include "engine/contract.h"
#include "engine/private.h"

struct contract_run {
    struct contract contract;            /* first */
    struct engine_rados_options options;
    void (*run)(struct contract *c);
    const char *name;
};

/* Families that are not there yet. */
static void skip_missing(const struct engine_methods *m, view name)
{
    struct { view family; bool is_there; } families[] = {{VIEW("journal"), m->read != NULL}, {VIEW("object"), m->object_read != NULL},
        {VIEW("table"), m->table_get != NULL}, {VIEW("signal"), m->append_start != NULL}, {VIEW("lease"), m->lease_acquire != NULL}};
    for (size_t i = 0; i < array_size(families); i++)
        if (view_starts(name, families[i].family) && !families[i].is_there) test_skip("this family is not there yet");
}

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
    skip_missing(r->contract.engine->methods, view_of(r->name));
    r->run(&r->contract);
    engine_close(r->contract.engine);
}

static void run_case(void (*run)(struct contract *c), const char *name_of_case)
{
    char name[RADOS_TEST_NAME_BYTES];
    struct contract_run r = {.contract.reopen = reopen, .run = run, .name = name_of_case, .options = test_store(name)};
    test_run(run_contract, &r);
}

#define CASE(name) TEST_SLOW(rados_##name, 120) { run_case(contract_##name, #name); }
ENGINE_CONTRACT(CASE)
