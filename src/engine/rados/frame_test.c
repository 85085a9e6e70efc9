#include "engine/rados/frame.h"

#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "engine/rados/object_hash.h"

static const view meta = VIEW_INIT("meta"), body = VIEW_INIT("the body");
enum { BYTES = FRAME_HEADER_BYTES + 4 + 8 + FRAME_TRAILER_BYTES };

TEST(rados_frame_is_read_back)
{
    char bytes[BYTES];
    struct frame f;
    size_t needed;
    REQUIRE(journal_frame_bytes(meta.len, body.len) == BYTES);
    journal_frame_write(bytes, 0x1122334455667788, meta, body);
    REQUIRE(journal_frame_read(view_make(bytes, BYTES), &f, &needed) == FRAME_WHOLE);
    EXPECT_VIEW(f.meta, meta);
    EXPECT_NUMBER(f.append_id, 0x1122334455667788);
    EXPECT_NUMBER(f.body_bytes, body.len);
    EXPECT_NUMBER(f.bytes, BYTES);
    EXPECT_NUMBER(journal_frame_id_at(bytes + BYTES - FRAME_ID_BYTES), 0x1122334455667788);
    view body_and_crc = view_make(bytes + FRAME_HEADER_BYTES + meta.len, body.len + FRAME_BODY_CRC_BYTES);
    EXPECT(journal_frame_body_is_good(body_and_crc));
    bytes[FRAME_HEADER_BYTES + meta.len] ^= 1;
    EXPECT(!journal_frame_body_is_good(body_and_crc));
}

TEST(rados_frame_that_is_cut_says_how_much_it_needs)
{
    char bytes[BYTES];
    struct frame f;
    size_t needed;
    journal_frame_write(bytes, 7, meta, body);
    for (size_t len = 0; len < BYTES; len++) {
        REQUIRE(journal_frame_read(view_make(bytes, len), &f, &needed) == FRAME_CUT);
        EXPECT_NUMBER(needed, len < FRAME_HEADER_BYTES ? (int)FRAME_HEADER_BYTES : (int)BYTES);
    }
}

/* But for the body, which has a checksum of its own: a flipped bit anywhere is seen. */
TEST(rados_frame_that_is_damaged_is_seen)
{
    char bytes[BYTES];
    struct frame f;
    size_t needed;
    for (size_t i = 0; i < BYTES * 8; i++) {
        size_t at = i / 8;
        if (at >= FRAME_HEADER_BYTES + meta.len && at < BYTES - FRAME_ID_BYTES) continue;
        journal_frame_write(bytes, 7, meta, body);
        bytes[at] = (char)(bytes[at] ^ (1 << i % 8));
        EXPECT(journal_frame_read(view_make(bytes, BYTES), &f, &needed) != FRAME_WHOLE);
    }
    memset(bytes, 0, sizeof bytes);
    EXPECT(journal_frame_read(view_make(bytes, BYTES), &f, &needed) == FRAME_BROKEN);
}

/* As "ceph osd map POOL OBJECT NAMESPACE" shows them. */
TEST(rados_object_hash_is_that_of_ceph)
{
    EXPECT_NUMBER(object_hash(VIEW("zz.j"), VIEW("018f00000000000000000000000000ab")), 0x4659062b);
    EXPECT_NUMBER(object_hash(VIEW("a"), VIEW("b")), 0x44b2d16a);
    EXPECT_NUMBER(object_hash(VIEW("x"), VIEW("abc")), 0x52909b90);
    EXPECT_NUMBER(object_hash(VIEW("n"), VIEW("0123456789")), 0x94061b17);
    EXPECT_NUMBER(object_hash(VIEW("n"), VIEW("0123456789a")), 0x610b19ac);
    EXPECT_NUMBER(object_hash_order(1), 0x80000000);
    EXPECT_NUMBER(object_hash_order(0x80000002), 0x40000001);
}
