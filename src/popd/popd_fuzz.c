/*
 * A client that says anything, to the real session on the simulator and the memory engine. The first byte chooses how far
 * the conversation has come when it begins. Oracles: the sanitizers; the session ends; the answers are the same whether the
 * input comes at once or in small pieces; messages are removed only by QUIT.
 */
#include <stdio.h>

#include "base/check.h"
#include "popd/pop_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const beginnings[] = {
    "",
    "USER joe@example.test\r\n",
    "AUTH PLAIN\r\n",
    "USER joe@example.test\r\nPASS secret\r\n",
    "USER joe@example.test\r\nPASS secret\r\nDELE 2\r\n",
};

enum { MESSAGES = 3 };

static uint32_t converse(view input, size_t piece, buf *answers)
{
    struct popd_options options = popd_default_options();
    options.allows_plain_login = true;
    struct pop_world *w = pop_world_open(1, &options);
    for (int i = 0; i < MESSAGES; i++) pop_world_deliver(w, "joe@example.test", VIEW("Subject: x\r\n\r\n.y\r\nz"));
    pop_world_converse(w, input, piece, answers);
    uint32_t left = pop_world_count(w, "joe@example.test");
    pop_world_close(w);
    return left;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { INPUT_MAX = 8192, PIECES_MAX = 200 };
    if (size == 0 || size > INPUT_MAX) return 0;
    buf input CLEANUP(buf_done) = BUF_INIT, whole CLEANUP(buf_done) = BUF_INIT, cut CLEANUP(buf_done) = BUF_INIT;
    buf_append_cstr(&input, beginnings[data[0] % array_size(beginnings)]);
    buf_append(&input, view_make(data + 1, size - 1));
    uint32_t left = converse(buf_view(&input), 0, &whole);
    uint32_t left_of_cut = converse(buf_view(&input), 1 + input.len / PIECES_MAX, &cut);
    if (!view_equal(buf_view(&whole), buf_view(&cut)))
        fprintf(stderr, "at once:\n" VIEW_FMT "\nin pieces:\n" VIEW_FMT "\n", VIEW_ARG(buf_view(&whole)), VIEW_ARG(buf_view(&cut)));
    check(view_equal(buf_view(&whole), buf_view(&cut)) && left == left_of_cut);
    check(left == MESSAGES || view_find_nocase(buf_view(&input), VIEW("QUIT")) != VIEW_NONE);
    return 0;
}
