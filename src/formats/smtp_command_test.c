#include "formats/smtp_command.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"

enum { ARENA_BYTES = 64 * 1024 };

static bool parse(struct arena *arena, view line, struct smtp_command *command, enum smtp_status_name *status)
{
    *status = SMTP_DONE;
    return smtp_command_parse(line, arena, command, status);
}

TEST(smtp_command_reads_every_verb)
{
    static const struct { const char *line; enum smtp_verb verb; } cases[] = {
        {"HELO x", SMTP_VERB_HELO}, {"ehlo [192.0.2.1]", SMTP_VERB_EHLO}, {"Lhlo a b", SMTP_VERB_LHLO},
        {"MAIL FROM:<>", SMTP_VERB_MAIL}, {"mail from: <a@b>", SMTP_VERB_MAIL}, {"RCPT TO:<a@b>", SMTP_VERB_RCPT},
        {"DATA", SMTP_VERB_DATA}, {"DATA ", SMTP_VERB_DATA}, {"BDAT 0 LAST", SMTP_VERB_BDAT}, {"RSET", SMTP_VERB_RSET},
        {"VRFY a", SMTP_VERB_VRFY}, {"EXPN list", SMTP_VERB_EXPN}, {"HELP", SMTP_VERB_HELP}, {"NOOP x y", SMTP_VERB_NOOP},
        {"QUIT", SMTP_VERB_QUIT}, {"starttls", SMTP_VERB_STARTTLS}, {"AUTH PLAIN", SMTP_VERB_AUTH}, {"ETRN x", SMTP_VERB_ETRN},
    };
    struct arena *arena = arena_new(NULL, ARENA_BYTES);
    for (size_t i = 0; i < array_size(cases); i++) {
        struct smtp_command command;
        enum smtp_status_name status;
        if (!parse(arena, view_of(cases[i].line), &command, &status)) test_fail(__FILE__, __LINE__, "%s", cases[i].line);
        EXPECT_NUMBER(command.verb, cases[i].verb);
    }
    arena_free(arena);
}

TEST(smtp_command_says_what_is_wrong)
{
    static const struct { const char *line; enum smtp_status_name status; } cases[] = {
        {"", SMTP_UNKNOWN_COMMAND}, {"GET / HTTP/1.1", SMTP_UNKNOWN_COMMAND}, {"MAILFROM:<a@b>", SMTP_UNKNOWN_COMMAND},
        {"EHLO", SMTP_BAD_ARGUMENT}, {"MAIL", SMTP_BAD_SYNTAX}, {"MAIL TO:<a@b>", SMTP_BAD_SYNTAX},
        {"MAIL FROM:", SMTP_BAD_SENDER}, {"MAIL FROM:<a b@c>", SMTP_BAD_SENDER}, {"MAIL FROM:<a@b>x", SMTP_BAD_SENDER},
        {"RCPT TO:<>", SMTP_BAD_RECIPIENT}, {"RCPT TO:<a@b", SMTP_BAD_RECIPIENT},
        {"MAIL FROM:<a@b> FOO=1", SMTP_UNKNOWN_PARAMETER}, {"MAIL FROM:<a@b> NOTIFY=NEVER", SMTP_UNKNOWN_PARAMETER},
        {"RCPT TO:<a@b> SIZE=1", SMTP_UNKNOWN_PARAMETER}, {"MAIL FROM:<a@b> SIZE", SMTP_BAD_PARAMETER},
        {"MAIL FROM:<a@b> SIZE=", SMTP_BAD_PARAMETER}, {"MAIL FROM:<a@b> SIZE=-1", SMTP_BAD_PARAMETER},
        {"MAIL FROM:<a@b> SIZE=1 SIZE=1", SMTP_BAD_PARAMETER}, {"MAIL FROM:<a@b> BODY=9BIT", SMTP_BAD_PARAMETER},
        {"MAIL FROM:<a@b> SMTPUTF8=1", SMTP_BAD_PARAMETER}, {"MAIL FROM:<a@b> =", SMTP_BAD_PARAMETER},
        {"MAIL FROM:<a@b> ENVID=+4", SMTP_BAD_PARAMETER}, {"MAIL FROM:<a@b> ENVID=+0A", SMTP_BAD_PARAMETER},
        {"RCPT TO:<a@b> NOTIFY=NEVER,DELAY", SMTP_BAD_PARAMETER}, {"RCPT TO:<a@b> NOTIFY=DELAY,", SMTP_BAD_PARAMETER},
        {"RCPT TO:<a@b> ORCPT=a@b", SMTP_BAD_PARAMETER}, {"RCPT TO:<a@b> ORCPT=;a", SMTP_BAD_PARAMETER},
        {"DATA now", SMTP_BAD_ARGUMENT}, {"RSET x", SMTP_BAD_ARGUMENT}, {"AUTH", SMTP_BAD_ARGUMENT},
        {"AUTH PLAIN a b", SMTP_BAD_ARGUMENT}, {"VRFY", SMTP_BAD_ARGUMENT}, {"BDAT", SMTP_BAD_CHUNK_SIZE},
        {"BDAT -1", SMTP_BAD_CHUNK_SIZE}, {"BDAT 9223372036854775808", SMTP_BAD_CHUNK_SIZE}, {"BDAT 1 LAST x", SMTP_BAD_CHUNK_SIZE},
        {"BDAT 1LAST", SMTP_BAD_CHUNK_SIZE}, {"BDAT 0x10", SMTP_BAD_CHUNK_SIZE}, {"NOOP\r", SMTP_BAD_LINE},
        {"MAIL FROM:<a@b>\rRCPT", SMTP_BAD_LINE}, {"MAIL FROM:<a@b>\nRCPT", SMTP_BAD_LINE}, {"NOOP \x01", SMTP_BAD_LINE},
    };
    struct arena *arena = arena_new(NULL, ARENA_BYTES);
    for (size_t i = 0; i < array_size(cases); i++) {
        struct smtp_command command;
        enum smtp_status_name status;
        bool parsed = parse(arena, view_of(cases[i].line), &command, &status);
        if (parsed || status != cases[i].status)
            test_fail(__FILE__, __LINE__, "%s: %d, not %d", cases[i].line, (int)status, (int)cases[i].status);
    }
    struct smtp_command command;
    enum smtp_status_name status;
    EXPECT(!parse(arena, VIEW("NOOP \0"), &command, &status) && status == SMTP_BAD_LINE);
    arena_free(arena);
}

TEST(smtp_command_reads_the_parameters_of_mail)
{
    struct arena *arena = arena_new(NULL, ARENA_BYTES);
    struct smtp_command command;
    enum smtp_status_name status;
    view line = VIEW("MAIL FROM:<a@b> size=1234 BODY=BINARYMIME SMTPUTF8 RET=HDRS ENVID=q+2B1 AUTH=e+3Dmc2@b REQUIRETLS ");
    REQUIRE(parse(arena, line, &command, &status));
    const struct smtp_parameters *p = &command.parameters;
    EXPECT_NUMBER(p->size_bytes, 1234);
    EXPECT_NUMBER(p->body, SMTP_BODY_BINARYMIME);
    EXPECT_NUMBER(p->return_what, SMTP_RETURN_HEADERS);
    EXPECT_VIEW(p->envelope_id, VIEW("q+1"));
    EXPECT_VIEW(p->auth, VIEW("e=mc2@b"));
    EXPECT_NUMBER(p->given, SMTP_HAS_SIZE | SMTP_HAS_BODY | SMTP_HAS_SMTPUTF8 | SMTP_HAS_RET | SMTP_HAS_ENVID | SMTP_HAS_AUTH |
                                SMTP_HAS_REQUIRETLS);
    REQUIRE(parse(arena, VIEW("MAIL FROM:<> AUTH=<> SIZE=99999999999999999999"), &command, &status));
    EXPECT(command.path.is_null && command.parameters.auth.len == 0 && command.parameters.size_bytes == UINT64_MAX);
    arena_free(arena);
}

TEST(smtp_command_reads_the_parameters_of_rcpt)
{
    struct arena *arena = arena_new(NULL, ARENA_BYTES);
    struct smtp_command command;
    enum smtp_status_name status;
    REQUIRE(parse(arena, VIEW("RCPT TO:<a@b> NOTIFY=success,DELAY ORCPT=rfc822;Bob+2B@b"), &command, &status));
    EXPECT_NUMBER(command.parameters.notify, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY);
    EXPECT_VIEW(command.parameters.original_recipient_type, VIEW("rfc822"));
    EXPECT_VIEW(command.parameters.original_recipient, VIEW("Bob+@b"));
    REQUIRE(parse(arena, VIEW("RCPT TO:<a@b> ORCPT=utf-8;\\x{4FBF}@b NOTIFY=NEVER"), &command, &status));
    EXPECT_VIEW(command.parameters.original_recipient, VIEW("\\x{4FBF}@b"));
    EXPECT_NUMBER(command.parameters.notify, SMTP_NOTIFY_NEVER);
    arena_free(arena);
}

TEST(smtp_command_reads_bdat_and_auth)
{
    struct arena *arena = arena_new(NULL, ARENA_BYTES);
    struct smtp_command command;
    enum smtp_status_name status;
    REQUIRE(parse(arena, VIEW("BDAT 86 last"), &command, &status));
    EXPECT(command.chunk_size_bytes == 86 && command.is_last_chunk);
    REQUIRE(parse(arena, VIEW("BDAT 9223372036854775807"), &command, &status));
    EXPECT(command.chunk_size_bytes == INT64_MAX && !command.is_last_chunk);
    REQUIRE(parse(arena, VIEW("AUTH PLAIN ="), &command, &status));
    EXPECT(command.has_initial_response && command.initial_response.len == 0);
    REQUIRE(parse(arena, VIEW("AUTH LOGIN dGVzdA=="), &command, &status));
    EXPECT_VIEW(command.mechanism, VIEW("LOGIN"));
    EXPECT_VIEW(command.initial_response, VIEW("dGVzdA=="));
    arena_free(arena);
}

TEST(smtp_command_limits_the_line_and_the_number_of_parameters)
{
    static char line[SMTP_COMMAND_LINE_MAX + 16];
    struct arena *arena = arena_new(NULL, ARENA_BYTES);
    struct smtp_command command;
    enum smtp_status_name status;
    memset(line, 'x', sizeof line);
    memcpy(line, "NOOP ", 5);
    EXPECT(parse(arena, view_make(line, SMTP_COMMAND_LINE_MAX), &command, &status));
    EXPECT(!parse(arena, view_make(line, SMTP_COMMAND_LINE_MAX + 1), &command, &status) && status == SMTP_LINE_TOO_LONG);
    EXPECT_NUMBER(command.verb, SMTP_VERB_UNKNOWN);
    arena_free(arena);
}

TEST(smtp_command_reads_times_and_priorities)
{
    struct arena *arena = arena_new(NULL, ARENA_BYTES);
    struct smtp_command command;
    enum smtp_status_name status;
    REQUIRE(parse(arena, VIEW("MAIL FROM:<a@b> HOLDFOR=3600 BY=120;NT MT-PRIORITY=-3"), &command, &status));
    EXPECT_NUMBER(command.parameters.hold_seconds, 3600);
    EXPECT_NUMBER(command.parameters.by_seconds, 120);
    EXPECT_NUMBER(command.parameters.by_mode, SMTP_BY_NOTIFY | SMTP_BY_TRACE);
    EXPECT_NUMBER(command.parameters.priority, -3);
    REQUIRE(parse(arena, VIEW("MAIL FROM:<a@b> HOLDUNTIL=1970-01-02T01:00:01.5+01:00 BY=-5;n"), &command, &status));
    EXPECT_NUMBER(command.parameters.hold_until.ms, 86401000);
    EXPECT_NUMBER(command.parameters.by_seconds, -5);
    const view bad[] = {VIEW("MAIL FROM:<a@b> HOLDFOR="), VIEW("MAIL FROM:<a@b> HOLDFOR=1234567890"), VIEW("MAIL FROM:<a@b> HOLDUNTIL=2026-13-01T00:00:00Z"),
                        VIEW("MAIL FROM:<a@b> HOLDUNTIL=2026-12-01 00:00:00"), VIEW("MAIL FROM:<a@b> BY=0;R"), VIEW("MAIL FROM:<a@b> BY=-1;R"), VIEW("MAIL FROM:<a@b> BY=5"),
                        VIEW("MAIL FROM:<a@b> BY=5;X"), VIEW("MAIL FROM:<a@b> BY=5;RTT"), VIEW("MAIL FROM:<a@b> MT-PRIORITY=10"), VIEW("MAIL FROM:<a@b> MT-PRIORITY=-0"),
                        VIEW("MAIL FROM:<a@b> MT-PRIORITY="), VIEW("MAIL FROM:<a@b> HOLDFOR=0"), VIEW("MAIL FROM:<a@b> HOLDFOR=060"), VIEW("RCPT TO:<a@b> MT-PRIORITY=1")};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) EXPECT(!parse(arena, bad[i], &command, &status));
    buf xtext CLEANUP(buf_done) = BUF_INIT;
    smtp_xtext_append(&xtext, VIEW("a+b=c d@e"));
    EXPECT_VIEW(buf_view(&xtext), VIEW("a+2Bb+3Dc+20d@e"));
    arena_free(arena);
}
