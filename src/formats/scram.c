#include "formats/scram.h"

#include <string.h>

#include "base/check.h"
#include "base/cursor.h"
#include "base/utf8.h"
#include "formats/transfer.h"

/* §7: %x21-2B / %x2D-7E, all that can be printed but a comma. */
static bool is_printable(unsigned char byte) { return byte >= 0x21 && byte <= 0x7e && byte != ','; }
/* cb-name: letters, digits, . and - */
static bool is_name(unsigned char byte) { return ascii_is_alpha((char)byte) || ascii_is_digit((char)byte) || byte == '.' || byte == '-'; }
/* value: any UTF-8 but NUL and comma. */
static bool is_value(unsigned char byte) { return byte != '\0' && byte != ','; }

/* saslname: "=2C" is a comma and "=3D" is an equals sign; no other "=". */
static bool take_saslname(struct cursor *c, struct arena *arena, view *ret_name)
{
    struct cursor saved = *c;
    view written;
    size_t len = 0;
    if (!take_while1(c, is_value, &written) || written.len > SCRAM_NAME_BYTES_MAX) return *c = saved, false;
    char *name = arena_alloc(arena, written.len);
    for (size_t i = 0; i < written.len; i++) {
        view code = view_slice(written, i, 3);
        if (written.at[i] != '=') name[len++] = written.at[i];
        else if (view_equal(code, VIEW("=2C"))) name[len++] = ',', i += 2;
        else if (view_equal(code, VIEW("=3D"))) name[len++] = '=', i += 2;
        else return *c = saved, false;
    }
    *ret_name = view_make(name, len);
    return true;
}

/* gs2-cbind-flag */
static bool take_flag(struct cursor *c, struct scram_first *f)
{
    if (take_byte(c, 'n')) f->binding = SCRAM_BINDS_NOT;
    else if (take_byte(c, 'y')) f->binding = SCRAM_BINDS_IF_SERVER_COULD;
    else if (take_view(c, VIEW("p=")) && take_while1(c, is_name, &f->binding_name)) f->binding = SCRAM_BINDS;
    else return false;
    return true;
}

/* "," attr-val, to the end or until `stops_at` (a letter). Nothing is mandatory but what is known: §5.1 on m. */
static bool take_extensions(struct cursor *c, char stops_at)
{
    for (unsigned count = 0; !cursor_at_end(c); count++) {
        struct cursor saved = *c;
        view value;
        int letter;
        if (count == SCRAM_EXTENSIONS_MAX || !take_byte(c, ',')) return *c = saved, false;
        letter = cursor_peek(c);
        if (letter < 0 || !ascii_is_alpha((char)letter)) return *c = saved, false;
        if (letter == stops_at) return *c = saved, true;
        (void)take_byte(c, (char)letter);
        if (letter == 'm' || !take_byte(c, '=') || !take_while1(c, is_value, &value)) return *c = saved, false;
    }
    return true;
}

static bool take_nonce(struct cursor *c, view *ret_nonce)
{
    struct cursor saved = *c;
    view nonce;
    if (!take_view(c, VIEW("r=")) || !take_while1(c, is_printable, &nonce) || nonce.len > 2 * SCRAM_NONCE_BYTES_MAX) return *c = saved, false;
    *ret_nonce = nonce;
    return true;
}

bool scram_first_parse(view message, struct arena *arena, struct scram_first *ret_first)
{
    struct cursor c = cursor_of(message);
    struct scram_first f = {0};
    if (message.len > SCRAM_MESSAGE_BYTES_MAX || !utf8_is_valid(message)) return false;
    if (!take_flag(&c, &f) || !take_byte(&c, ',')) return false;
    if (take_view(&c, VIEW("a=")) && !take_saslname(&c, arena, &f.authorization)) return false;
    if (!take_byte(&c, ',')) return false;
    f.header = view_slice(message, 0, cursor_position(&c));
    f.bare = view_from(message, cursor_position(&c));
    /* A mandatory extension is none that we know: "m=" fails here. */
    if (!take_view(&c, VIEW("n=")) || !take_saslname(&c, arena, &f.user) || !take_byte(&c, ',')) return false;
    if (!take_nonce(&c, &f.nonce) || f.nonce.len > SCRAM_NONCE_BYTES_MAX || !take_extensions(&c, 0)) return false;
    *ret_first = f;
    return true;
}

/* A value in base64, decoded. */
static bool take_base64(struct cursor *c, size_t max, buf *into)
{
    view text;
    return take_while1(c, is_printable, &text) && base64_decode(text, into) && into->len <= max;
}

bool scram_final_parse(view message, struct arena *arena, struct scram_final *ret_final)
{
    struct cursor c = cursor_of(message);
    struct scram_final f = {0};
    buf binding CLEANUP(buf_done) = BUF_INIT, proof CLEANUP(buf_done) = BUF_INIT;
    if (message.len > SCRAM_MESSAGE_BYTES_MAX || !utf8_is_valid(message)) return false;
    if (!take_view(&c, VIEW("c=")) || !take_base64(&c, SCRAM_BINDING_BYTES_MAX, &binding)) return false;
    if (!take_byte(&c, ',') || !take_nonce(&c, &f.nonce) || !take_extensions(&c, 'p')) return false;
    f.without_proof = view_slice(message, 0, cursor_position(&c));
    if (!take_view(&c, VIEW(",p=")) || !take_base64(&c, SCRAM_PROOF_BYTES, &proof) || proof.len != SCRAM_PROOF_BYTES || !cursor_at_end(&c)) return false;
    memcpy(f.proof, proof.at, SCRAM_PROOF_BYTES);
    f.binding = arena_keep(arena, buf_view(&binding));
    *ret_final = f;
    return true;
}

void scram_server_first_append(buf *into, view client_nonce, view server_nonce, view salt, uint32_t iterations)
{
    buf_append(into, VIEW("r="));
    buf_append(into, client_nonce);
    buf_append(into, server_nonce);
    buf_append(into, VIEW(",s="));
    base64_append(into, salt);
    buf_append(into, VIEW(",i="));
    buf_append_u64(into, iterations);
}

void scram_server_final_append(buf *into, view signature)
{
    buf_append(into, VIEW("v="));
    base64_append(into, signature);
}
