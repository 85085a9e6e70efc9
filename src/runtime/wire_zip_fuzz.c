/* What is packed is unpacked as it was, whatever the pieces and rests; and any bytes are unpacked in bounded memory. */
#include "base/check.h"
#include "runtime/wire_zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void unpack_anything(view input)
{
    struct wire_zip *z = wire_zip_new();
    buf out = BUF_INIT;
    buf_append(wire_zip_arrived(z), input);
    for (int i = 0; i < 64 && wire_zip_has_more(z); i++) {
        size_t before = out.len;
        if (wire_zip_unpack(z, &out) != OK) break;
        check(out.len - before <= 16 * 1024);
        buf_clear(&out);
    }
    buf_done(&out);
    wire_zip_free(z);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    view input = view_make(data, size);
    unpack_anything(input);
    if (size < 2) return 0;
    size_t piece = 1 + data[0];
    struct wire_zip *from = wire_zip_new(), *to = wire_zip_new();
    buf packed = BUF_INIT, out = BUF_INIT;
    for (size_t at = 0; at < size; at += piece) {
        buf_clear(&packed);
        wire_zip_pack(from, view_slice(input, at, piece), &packed);
        if (data[1] & 1) wire_zip_rest(from);
        buf_append(wire_zip_arrived(to), buf_view(&packed));
        while (wire_zip_has_more(to)) check(wire_zip_unpack(to, &out) == OK);
        if (data[1] & 2) wire_zip_rest(to);
    }
    check(view_equal(buf_view(&out), input));
    buf_done(&packed);
    buf_done(&out);
    wire_zip_free(from);
    wire_zip_free(to);
    return 0;
}
