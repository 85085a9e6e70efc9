/* A client's messages of SCRAM. Oracle: what is accepted keeps the limits, its pieces put together again are the message, and parse the same. */
#include "base/check.h"
#include "formats/scram.h"
#include "formats/transfer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void append_name(buf *into, view name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.at[i] == ',') buf_append(into, VIEW("=2C"));
        else if (name.at[i] == '=') buf_append(into, VIEW("=3D"));
        else buf_append_byte(into, name.at[i]);
    }
}

static void check_first(view message, struct arena *arena)
{
    struct scram_first f, again;
    buf text CLEANUP(buf_done) = BUF_INIT;
    if (!scram_first_parse(message, arena, &f)) return;
    check(f.user.len > 0 && f.user.len <= SCRAM_NAME_BYTES_MAX && f.nonce.len > 0 && f.nonce.len <= SCRAM_NONCE_BYTES_MAX);
    check(f.header.len + f.bare.len == message.len && (f.binding == SCRAM_BINDS) == (f.binding_name.len > 0));
    buf_append_byte(&text, f.binding == SCRAM_BINDS ? 'p' : f.binding == SCRAM_BINDS_NOT ? 'n' : 'y');
    if (f.binding == SCRAM_BINDS) buf_appendf(&text, "=" VIEW_FMT, VIEW_ARG(f.binding_name));
    buf_append_byte(&text, ',');
    if (f.authorization.len) buf_append(&text, VIEW("a=")), append_name(&text, f.authorization);
    buf_append(&text, VIEW(","));
    check(view_equal(buf_view(&text), f.header));
    buf_append(&text, VIEW("n="));
    append_name(&text, f.user);
    buf_appendf(&text, ",r=" VIEW_FMT, VIEW_ARG(f.nonce));
    check(view_starts(message, buf_view(&text)));
    check(scram_first_parse(buf_view(&text), arena, &again) && view_equal(again.user, f.user) && view_equal(again.nonce, f.nonce));
}

static void check_final(view message, struct arena *arena)
{
    struct scram_final f;
    buf text CLEANUP(buf_done) = BUF_INIT;
    if (!scram_final_parse(message, arena, &f)) return;
    check(f.binding.len > 0 && f.binding.len <= SCRAM_BINDING_BYTES_MAX && f.nonce.len > 0);
    buf_append(&text, f.without_proof);
    buf_append(&text, VIEW(",p="));
    base64_append(&text, view_make(f.proof, sizeof f.proof));
    check(view_equal(buf_view(&text), message));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    check_first(view_make(data, size), arena);
    check_final(view_make(data, size), arena);
    return 0;
}
