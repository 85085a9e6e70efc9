/* Messages of SCRAM: what RFC 5802 §7 allows, and what it does not. */
#include "formats/scram.h"

#include "base/check.h"
#include "base/test.h"

static bool reads_first(const char *message, struct scram_first *ret_first)
{
    static struct arena *arena;
    if (!arena) arena = arena_new(NULL, 1 << 20);
    struct scram_first ignored;
    return scram_first_parse(view_of(message), arena, ret_first ? ret_first : &ignored);
}

TEST(scram_reads_first_messages)
{
    struct scram_first f;
    REQUIRE(reads_first("n,,n=user,r=rOprNGfwEbeRWgbNEkqO", &f));
    EXPECT(f.binding == SCRAM_BINDS_NOT && f.authorization.len == 0);
    EXPECT_VIEW(f.header, VIEW("n,,"));
    EXPECT_VIEW(f.bare, VIEW("n=user,r=rOprNGfwEbeRWgbNEkqO"));
    REQUIRE(reads_first("p=tls-exporter,a=taro=2Cx,n=ta=3Dro@x.test,r=abc,x=ignored", &f));
    EXPECT(f.binding == SCRAM_BINDS);
    EXPECT_VIEW(f.binding_name, VIEW("tls-exporter"));
    EXPECT_VIEW(f.authorization, VIEW("taro,x"));
    EXPECT_VIEW(f.user, VIEW("ta=ro@x.test"));
    EXPECT_VIEW(f.nonce, VIEW("abc"));
    EXPECT(reads_first("y,,n=u,r=a", &f) && f.binding == SCRAM_BINDS_IF_SERVER_COULD);
}

TEST(scram_refuses_first_messages)
{
    static const char *const bad[] = {"", "n", "n,", "n,,", "n,,n=,r=a", "n,,n=u", "n,,n=u,r=", "x,,n=u,r=a", "p,,n=u,r=a", "p=,,n=u,r=a", "n,b=x,n=u,r=a",
                                      "n,,m=ext,n=u,r=a", "n,,n=u,r=a,m=ext", "n,,n=a=b,r=a", "n,,n=u=2,r=a", "n,,n=u,r=a b", "n,,n=u,r=a,", "n,,n=u,r=a,1=x", "n,,n=u\xff,r=a"};
    for (size_t i = 0; i < array_size(bad); i++)
        if (reads_first(bad[i], NULL)) test_fail(__FILE__, __LINE__, "\"%s\" was accepted", bad[i]);
    buf longer CLEANUP(buf_done) = BUF_INIT;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct scram_first f;
    buf_append(&longer, VIEW("n,,n=u,r="));
    for (int i = 0; i <= SCRAM_NONCE_BYTES_MAX; i++) buf_append_byte(&longer, 'x');
    EXPECT(!scram_first_parse(buf_view(&longer), arena, &f));
}

TEST(scram_reads_final_messages)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct scram_final f;
    REQUIRE(scram_final_parse(VIEW("c=biws,r=ab,x=y,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), arena, &f));
    EXPECT_VIEW(f.binding, VIEW("n,,"));
    EXPECT_VIEW(f.nonce, VIEW("ab"));
    EXPECT_VIEW(f.without_proof, VIEW("c=biws,r=ab,x=y"));
    EXPECT(!scram_final_parse(VIEW("c=biws,r=ab"), arena, &f) && !scram_final_parse(VIEW("c=biws,r=ab,p=AAAA"), arena, &f));
    EXPECT(!scram_final_parse(VIEW("c=b,r=ab,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), arena, &f));
    EXPECT(!scram_final_parse(VIEW("c=biws,r=ab,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=,x=y"), arena, &f));
    EXPECT(!scram_final_parse(VIEW("c=biws,r=ab,m=x,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), arena, &f));
}

TEST(scram_writes_what_a_server_says)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    scram_server_first_append(&text, VIEW("abc"), VIEW("def"), VIEW("salt"), 4096);
    EXPECT_VIEW(buf_view(&text), VIEW("r=abcdef,s=c2FsdA==,i=4096"));
    buf_clear(&text);
    scram_server_final_append(&text, VIEW("x"));
    EXPECT_VIEW(buf_view(&text), VIEW("v=eA=="));
}
