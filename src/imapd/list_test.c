#include "base/test.h"
#include "imapd/test_server.h"

static struct transcript *with_mailboxes(struct test_server *t)
{
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a CREATE Fruit/Apple\nS: a OK *\nC: b CREATE Fruit/Banana\nS: b OK *\nC: c CREATE Sent (USE (\\Sent))\nS: c OK *\n"
                  "C: d CREATE \"&ZeVnLIqe-\"\nS: d OK *\n"
                  "C: e SUBSCRIBE Fruit/Banana\nS: e OK *\nC: f SUBSCRIBE Gone/Away\nS: f OK *\n");
    return c;
}

TEST(imapd_list_knows_levels_and_attributes)
{
    struct test_server *t = test_server_open(1, NULL);
    struct transcript *c = with_mailboxes(t);
    TRANSCRIPT(c, "C: a LIST \"\" \"\"\nS: * LIST (\\Noselect) \"/\" \"\"\nS: a OK *\n"
                  "C: b LIST \"\" *\nS: * LIST (\\HasNoChildren) \"/\" INBOX\nS: * LIST (\\HasChildren) \"/\" Fruit\n"
                  "S: * LIST (\\HasNoChildren) \"/\" Fruit/Apple\nS: * LIST (\\HasNoChildren) \"/\" Fruit/Banana\n"
                  "S: * LIST (\\HasNoChildren \\Sent) \"/\" Sent\nS: * LIST (\\HasNoChildren) \"/\" &ZeVnLIqe-\nS: b OK *\n"
                  "C: c LIST \"\" %/B%\nS: * LIST (\\HasNoChildren) \"/\" Fruit/Banana\nS: c OK *\n"
                  "C: d LIST Fruit/ A%\nS: * LIST (\\HasNoChildren) \"/\" Fruit/Apple\nS: d OK *\n"
                  "C: e LIST \"\" inbox\nS: * LIST (\\HasNoChildren) \"/\" INBOX\nS: e OK *\n"
                  "C: f ENABLE UTF8=ACCEPT\nS: * ENABLED UTF8=ACCEPT\nS: f OK *\n"
                  "C: g LIST \"\" \"\xe6\x97\xa5*\"\nS: * LIST (\\HasNoChildren) \"/\" \"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\"\nS: g OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_list_selects_and_returns_what_is_asked)
{
    struct test_server *t = test_server_open(2, NULL);
    struct transcript *c = with_mailboxes(t);
    TRANSCRIPT(c, "C: a LIST (SUBSCRIBED) \"\" *\nS: * LIST (\\HasNoChildren \\Subscribed) \"/\" Fruit/Banana\n"
                  "S: * LIST (\\NonExistent \\Subscribed) \"/\" Gone/Away\nS: a OK *\n"
                  "C: b LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %\nS: * LIST (\\HasChildren) \"/\" Fruit (\"CHILDINFO\" (\"SUBSCRIBED\"))\n"
                  "S: * LIST (\\NonExistent) \"/\" Gone (\"CHILDINFO\" (\"SUBSCRIBED\"))\nS: b OK *\n"
                  "C: c LIST (SPECIAL-USE) \"\" *\nS: * LIST (\\HasNoChildren \\Sent) \"/\" Sent\nS: c OK *\n"
                  "C: d LIST \"\" (INBOX Sent) RETURN (SUBSCRIBED STATUS (MESSAGES UNSEEN))\n"
                  "S: * LIST (\\HasNoChildren) \"/\" INBOX\nS: * STATUS INBOX (MESSAGES 0 UNSEEN 0)\n"
                  "S: * LIST (\\HasNoChildren \\Sent) \"/\" Sent\nS: * STATUS Sent (MESSAGES 0 UNSEEN 0)\nS: d OK *\n"
                  "C: e LSUB \"\" *\nS: * LSUB () \"/\" Fruit/Banana\nS: * LSUB () \"/\" Gone/Away\nS: e OK *\n"
                  "C: f LSUB \"\" %\nS: * LSUB (\\Noselect) \"/\" Fruit\nS: * LSUB (\\Noselect) \"/\" Gone\nS: f OK *\n"
                  "C: g UNSUBSCRIBE Gone/Away\nS: g OK *\nC: h LIST (SUBSCRIBED) \"\" %\nS: h OK *\n"
                  "C: i NAMESPACE\nS: * NAMESPACE ((\"\" \"/\")) NIL NIL\nS: i OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_mailboxes_are_made_renamed_and_deleted)
{
    struct test_server *t = test_server_open(3, NULL);
    struct transcript *c = with_mailboxes(t);
    TRANSCRIPT(c, "C: a CREATE Fruit\nS: a NO [ALREADYEXISTS] *\nC: b CREATE INBOX\nS: b NO [ALREADYEXISTS] *\n"
                  "C: c CREATE a//b\nS: c NO [CANNOT] *\nC: d CREATE x (USE (\\Flagged))\nS: d NO [USEATTR] *\n"
                  "C: e CREATE y/\nS: e OK *\nC: f CREATE &bad\nS: f NO [CANNOT] *\n"
                  "C: g DELETE INBOX\nS: g NO [CANNOT] *\nC: h DELETE nowhere\nS: h NO [NONEXISTENT] *\n"
                  "C: i RENAME Fruit Obst\nS: i OK *\nC: j LIST \"\" Obst*\nS: * LIST (\\HasChildren) \"/\" Obst\n"
                  "S: * LIST (\\HasNoChildren) \"/\" Obst/Apple\nS: * LIST (\\HasNoChildren) \"/\" Obst/Banana\nS: j OK *\n"
                  "C: k RENAME nowhere z\nS: k NO [NONEXISTENT] *\nC: l RENAME Obst Sent\nS: l NO [ALREADYEXISTS] *\n"
                  "C: m RENAME Obst Obst/x\nS: m NO *\n"
                  "C: n DELETE Obst\nS: n OK *\nC: o LIST \"\" Obst*\nS: * LIST (\\Noselect \\HasChildren) \"/\" Obst\n"
                  "S: * LIST (*) \"/\" Obst/Apple\nS: * LIST (*) \"/\" Obst/Banana\nS: o OK *\n"
                  "C: p SELECT Obst\nS: p NO [NONEXISTENT] *\nC: q DELETE Obst\nS: q NO [HASCHILDREN] *\n"
                  "C: r DELETE Obst/Apple\nS: r OK *\n"
                  "C: s SELECT Sent\nS~ s OK *\nC: t DELETE Sent\nS: t NO [INUSE] *\n"
                  "C: u APPEND INBOX {3+}\nC: abc\nS: u OK *\nC: v RENAME INBOX Old\nS: v OK *\n"
                  "C: w STATUS Old (MESSAGES)\nS: * STATUS Old (MESSAGES 1)\nS: w OK *\n"
                  "C: x STATUS INBOX (MESSAGES)\nS: * STATUS INBOX (MESSAGES 0)\nS: x OK *\n");
    transcript_close(c);
    test_server_close(t);
}
