#include "trust/signer.h"

#include <stdlib.h>

#include "base/check.h"
#include "trust/digests.h"

enum { ARENA_BYTES = 1 << 20, FIELD_BYTES = 256 };

struct signer {
    enum dkim_kind kind;
    struct body_digests body;
    struct digest *header;               /* of the signed fields */
    buf names;                           /* h= */
};

/*
 * What is signed: RFC 6376 §5.4.1. Those of a message whose meaning they are, and which exist once, are signed once more than they exist, so
 * that none can be added; what mailing lists add stays possible.
 */
static const struct { view name; bool is_closed; enum dkim_kind kind; } signed_names[] = {
    {VIEW_INIT("from"), true, 0}, {VIEW_INIT("reply-to"), true, 0}, {VIEW_INIT("subject"), true, 0}, {VIEW_INIT("date"), true, 0},
    {VIEW_INIT("message-id"), true, 0}, {VIEW_INIT("to"), true, 0}, {VIEW_INIT("cc"), true, 0}, {VIEW_INIT("mime-version"), true, 0},
    {VIEW_INIT("content-type"), true, 0}, {VIEW_INIT("content-transfer-encoding"), true, 0}, {VIEW_INIT("sender"), false, 0},
    {VIEW_INIT("in-reply-to"), false, 0}, {VIEW_INIT("references"), false, 0}, {VIEW_INIT("resent-from"), false, 0}, {VIEW_INIT("resent-date"), false, 0},
    {VIEW_INIT("resent-to"), false, 0}, {VIEW_INIT("list-id"), false, 0}, {VIEW_INIT("list-unsubscribe"), false, 0}, {VIEW_INIT("list-unsubscribe-post"), false, 0},
    {VIEW_INIT("autocrypt"), false, 0}, {VIEW_INIT("x-complaint-id"), false, 0}, {VIEW_INIT("dkim-signature"), false, DKIM_ARC_MESSAGE},
};

/* False: more than a signature has. */
static bool choose_names(struct signer *s, const struct fields *f, view *names, size_t *ret_count)
{
    size_t count = 0;
    for (size_t i = 0; i < array_size(signed_names); i++) {
        if (signed_names[i].kind != 0 && signed_names[i].kind != s->kind) continue;
        /* A forwarder says what it saw; who sends says what there is and that there is no more. */
        bool is_closed = signed_names[i].is_closed && s->kind == DKIM_SIGNATURE;
        for (size_t n = fields_count(f, signed_names[i].name) + is_closed; n > 0; n--) {
            if (count == DKIM_NAMES_MAX) return false;
            names[count++] = signed_names[i].name;
            if (s->names.len) buf_append_byte(&s->names, ':');
            buf_append(&s->names, signed_names[i].name);
        }
    }
    *ret_count = count;
    return count > 0;
}

result signer_new(enum dkim_kind kind, view header, struct signer **ret_signer, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES);
    struct fields fields;
    view *names = arena_array(arena, view, DKIM_NAMES_MAX);
    size_t name_count;
    if (!fields_read(header, arena, &fields)) return fail(fault, INVALID, "the header has too many fields to be signed");
    struct signer *s = calloc(1, sizeof *s);
    check(s);
    s->kind = kind;
    if (!choose_names(s, &fields, names, &name_count)) {
        signer_free(s);
        return fail(fault, INVALID, "the header has too many fields to be signed, or none");
    }
    s->header = digest_new();
    fields_digest(&fields, names, name_count, true, s->header);
    body_digests_want(&s->body, true, true, false, 0);
    *ret_signer = s;
    return OK;
}

void signer_free(struct signer *s)
{
    if (!s) return;
    body_digests_done(&s->body);
    digest_free(s->header);
    buf_done(&s->names);
    free(s);
}

void signer_feed(struct signer *s, view body_piece) { body_digests_feed(&s->body, body_piece); }

result signer_append_field(const struct dkim_draft *draft, const struct signing_key *key, const struct digest *before, buf *into, struct fault *fault)
{
    buf field CLEANUP(buf_done) = BUF_INIT, canonical CLEANUP(buf_done) = BUF_INIT, signature CLEANUP(buf_done) = BUF_INIT;
    unsigned char value[DIGEST_BYTES_SHA256];
    struct digest *digest = digest_copy(before);
    dkim_draft_append(&field, draft);
    dkim_append_field(&canonical, buf_view(&field), true);
    canonical.len -= 2;
    digest_add(digest, buf_view(&canonical));
    digest_end(digest, value);
    result code = signing_key_sign(key, value, &signature, fault);
    if (code != OK) return code;
    dkim_draft_finish(&field, buf_view(&signature));
    buf_append(into, buf_view(&field));
    return OK;
}

result signer_finish(struct signer *s, const struct signer_order *order, buf *into, struct fault *fault)
{
    result code = OK;
    body_digests_end(&s->body);
    struct dkim_draft draft = {.kind = s->kind, .domain = order->domain, .names = buf_view(&s->names), .body_hash = view_make(s->body.list[0].value, DIGEST_BYTES_SHA256),
                               .signed_s = order->now_s, .instance = order->instance};
    for (size_t i = 0; i < order->key_count && code == OK; i++) {
        draft.selector = order->keys[i].selector;
        draft.algorithm = signing_key_algorithm(order->keys[i].key);
        code = signer_append_field(&draft, order->keys[i].key, s->header, into, fault);
    }
    return code;
}

result signer_sign_message(view message, const struct signer_order *order, buf *into, struct fault *fault)
{
    struct signer *s;
    view header, body;
    header_split(message, &header, &body);
    result code = signer_new(DKIM_SIGNATURE, header, &s, fault);
    if (code != OK) return code;
    signer_feed(s, body);
    code = signer_finish(s, order, into, fault);
    signer_free(s);
    return code;
}
