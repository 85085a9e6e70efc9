#include "main/verb.h"

#define ADDRESS {"ADDRESS", "address", ARGUMENT_TEXT, NULL, true, false, "the account's address, user@example.jp"}
#define PASSWORD {"--password-stdin", "password", ARGUMENT_STDIN, NULL, false, false, \
                  "read the password from the first line of standard input; {PLAIN}, {CRYPT}, {ARGON2ID} or {SCRAM-SHA-256} before it: stored as it is"}
#define QUOTA {"--quota", "quota", ARGUMENT_TEXT, "SIZE", false, false, "most bytes of its mailboxes, with suffix K, M, G or T; 0: no limit"}
#define QUOTA_MESSAGES {"--quota-messages", "quota_messages", ARGUMENT_NUMBER, "N", false, false, "most messages in its mailboxes; 0: no limit"}
#define DISPLAY_NAME {"--name", "name", ARGUMENT_TEXT, "NAME", false, false, "display name"}
#define SENDING {"--sending", "sending", ARGUMENT_TEXT, "STANDING", false, false, "from which pool of addresses its mail leaves: good, new, suspicious or bulk; empty: by its age"}
#define SUSPENDED {"--suspended", "suspended", ARGUMENT_FLAG, NULL, false, false, \
                   "mail is deferred, logins are refused, and open sessions end: within half a minute, later on a node with thousands"}

#define ARCHIVE_AFTER {"--archive-after", "archive_after", ARGUMENT_TEXT, "AGE", false, false, \
                       "messages older than this go to the archive: 365d, 12h; never; tenant (as its tenant has it)"}

#define QUEUE_MESSAGE {"--message", "message", ARGUMENT_TEXT, "ID", false, false, "this message"}
#define QUEUE_FILTERS {"--sender", "sender", ARGUMENT_TEXT, "TEXT", false, false, "whose sender has this in it"}, \
                      {"--recipient", "recipient", ARGUMENT_TEXT, "TEXT", false, false, "with a recipient that has this in it"}, \
                      {"--domain", "domain", ARGUMENT_TEXT, "DOMAIN", false, false, "with a recipient in this domain"}, \
                      {"--account", "account", ARGUMENT_TEXT, "ADDRESS", false, false, "submitted by this account"}, \
                      {"--tenant", "tenant", ARGUMENT_TEXT, "TENANT", false, false, "of this tenant"}, \
                      {"--older", "older", ARGUMENT_TEXT, "AGE", false, false, "that came longer ago: 90s, 30m, 4h, 5d"}, \
                      {"--newer", "newer", ARGUMENT_TEXT, "AGE", false, false, "that came since"}, \
                      {"--answer", "answer", ARGUMENT_TEXT, "TEXT", false, false, "whose last answer has this in it"}
#define QUEUE_ALL {"--all", "all", ARGUMENT_FLAG, NULL, false, false, "all messages"}

const struct verb verbs[] = {
    {"serve", NULL, NULL, verb_serve, NULL, "run the server",
     "Without a configuration file the server keeps mail in the embedded store under\n.Ar DIR\n"
     "and listens on loopback at N+25 (SMTP), N+24 (LMTP), N+43 (IMAP), N+93 (IMAPS),\n"
     "N+10 (POP3), N+95 (POP3S) N+87 (submission), N+65 (submission over TLS)\n"
     "and N+80 (HTTP: metrics), with a self-made certificate.\n.Pp\nSIGTERM and SIGINT stop the server after the commands in progress; SIGHUP reads the\n"
     "configuration, the certificates and the log file anew; SIGUSR2 hands over to a new\nprogram at the same path without refusing a connection.",
     {{"--port-base", "port_base", ARGUMENT_NUMBER, "N", false, false, "where the ports begin without a configuration file; default 2000"},
      {"--loops", "loops", ARGUMENT_NUMBER, "N", false, false, "event loops; default: one per core"},
      {"--roles", "roles", ARGUMENT_TEXT, "ROLES", false, false, "of smtp, imap, pop, queue, http and maintenance, with commas; default: the configuration's, or all"}}},
    {"config", "check", NULL, verb_config_check, NULL, "check a configuration file: every error with file, line and what was expected", NULL, {{0}}},
    {"config", "show", NULL, verb_config_show, NULL, "show the settings in force, defaults included", NULL,
     {{"--port-base", "port_base", ARGUMENT_NUMBER, "N", false, false, "as for serve"}}},

    {"tenant", "add", "tenant.add", NULL, NULL, "add a tenant", NULL, {{"TENANT", "tenant", ARGUMENT_TEXT, NULL, true, false, "a-z 0-9 . - _"}}},
    {"tenant", "show", "tenant.show", NULL, "tenant archive_after created:date scram feedback", "show a tenant", NULL,
     {{"TENANT", "tenant", ARGUMENT_TEXT, NULL, true, false, "its name"}}},
    {"tenant", "set", "tenant.set", NULL, NULL, "change a tenant",
     "Messages go to the archive (store.archive_directory, store.archive_pool) in the rounds of maintenance, when they are older than the limit of\n"
     "their account or, if that has none, of its tenant. A longer limit brings nothing back.",
     {{"TENANT", "tenant", ARGUMENT_TEXT, NULL, true, false, "its name"},
      {"--archive-after", "archive_after", ARGUMENT_TEXT, "AGE", false, false, "messages older than this go to the archive: 365d, 12h; never"},
      {"--scram", "scram", ARGUMENT_TEXT, "on|off", false, false, "whether keys for SCRAM are kept of its accounts' passwords, beside their hashes; on unless set"},
      {"--feedback", "feedback", ARGUMENT_TEXT, "WHAT", false, false,
       "what domains with a feedback loop get when its users mark their mail as junk: off (unless set), header or message; addresses of users are hidden"}}},
    {"tenant", "list", "tenant.list", NULL, "tenant archive_after created:date", "list all tenants", NULL, {{0}}},
    {"tenant", "remove", "tenant.remove", NULL, NULL, "remove a tenant without domains", NULL, {{"TENANT", "tenant", ARGUMENT_TEXT, NULL, true, false, "its name"}}},

    {"domain", "add", "domain.add", NULL, NULL, "serve a domain", NULL,
     {{"DOMAIN", "domain", ARGUMENT_TEXT, NULL, true, false, "example.jp"},
      {"--tenant", "tenant", ARGUMENT_TEXT, "TENANT", false, false, "whose it is; default: default"},
      {"--catch-all", "catch_all", ARGUMENT_TEXT, "ADDRESS", false, false, "where mail to addresses that do not exist goes"}}},
    {"domain", "show", "domain.show", NULL, "domain tenant catch_all created:date", "show a domain", NULL, {{"DOMAIN", "domain", ARGUMENT_TEXT, NULL, true, false, "its name"}}},
    {"domain", "list", "domain.list", NULL, "domain tenant catch_all created:date", "list all domains", NULL, {{0}}},
    {"domain", "set", "domain.set", NULL, NULL, "change a domain", NULL,
     {{"DOMAIN", "domain", ARGUMENT_TEXT, NULL, true, false, "its name"},
      {"--catch-all", "catch_all", ARGUMENT_TEXT, "ADDRESS", false, false, "where mail to addresses that do not exist goes; empty: nowhere"}}},
    {"domain", "remove", "domain.remove", NULL, NULL, "stop serving a domain without addresses", NULL, {{"DOMAIN", "domain", ARGUMENT_TEXT, NULL, true, false, "its name"}}},
    {"domain", "dkim create", "domain.dkim_create", NULL, "selector algorithm state name record", "make the next keys of a domain, and show the DNS records to publish",
     "One RSA key of 2,048 bits and one Ed25519 key. They sign nothing before\n.Ic tayori domain dkim rotate .",
     {{"DOMAIN", "domain", ARGUMENT_TEXT, NULL, true, false, "its name"}}},
    {"domain", "dkim show", "domain.dkim_show", NULL, "selector algorithm state changed:date name record", "show the keys of a domain and their DNS records", NULL,
     {{"DOMAIN", "domain", ARGUMENT_TEXT, NULL, true, false, "its name"}}},
    {"domain", "dkim check", "domain.dkim_check", NULL, "selector algorithm state dns advice", "ask DNS for the records of a domain's keys",
     "A record is published, missing or different, or DNS cannot be asked.\nThe exit status is 1 when a key that signs, or is to sign next, is not published.",
     {{"DOMAIN", "domain", ARGUMENT_TEXT, NULL, true, false, "its name"}}},
    {"domain", "dkim rotate", "domain.dkim_rotate", NULL, "selector algorithm state advice", "sign with the next keys from now on",
     "Only when DNS has their records. The keys that signed before are old: their private halves are deleted, their records\n"
     "must stay in DNS for 30 days, until the last mail that they signed has arrived. Other nodes follow within a minute.",
     {{"DOMAIN", "domain", ARGUMENT_TEXT, NULL, true, false, "its name"},
      {"--unchecked", "unchecked", ARGUMENT_FLAG, NULL, false, false, "without asking DNS: for a network that sees other records than the world"}}},
    {"domain", "dkim remove", "domain.dkim_remove", NULL, NULL, "remove keys of a domain", "Without a key that is active mail of the domain goes out unsigned.",
     {{"DOMAIN", "domain", ARGUMENT_TEXT, NULL, true, false, "its name"},
      {"--selector", "selector", ARGUMENT_TEXT, "SELECTOR", false, false, "this key"},
      {"--all", "all", ARGUMENT_FLAG, NULL, false, false, "all keys"}}},

    {"account", "add", "account.add", NULL, "address account", "add an account", NULL, {ADDRESS, PASSWORD, QUOTA, QUOTA_MESSAGES, DISPLAY_NAME, SENDING, ARCHIVE_AFTER, SUSPENDED}},
    {"account", "show", "account.show", NULL,
     "address account tenant name standing sending quota:limit quota_messages messages bytes:size expunged_messages "
     "archive_after archived_messages archived_bytes:size created:date compacted:date compacted_by "
     "complaints last_complaint:date",
     "show an account and what it holds", NULL, {ADDRESS}},
    {"account", "list", "account.list", NULL, "address account standing quota:limit quota_messages name created:date", "list accounts", NULL,
     {{"--domain", "domain", ARGUMENT_TEXT, "DOMAIN", false, false, "only of this domain"}}},
    {"account", "set", "account.set", NULL, NULL, "change an account", NULL,
     {ADDRESS, PASSWORD, QUOTA, QUOTA_MESSAGES, DISPLAY_NAME, SENDING, ARCHIVE_AFTER, SUSPENDED, {"--active", "active", ARGUMENT_FLAG, NULL, false, false, "no longer suspended"}}},
    {"account", "remove", "account.remove", NULL, NULL, "remove an account with all its mail", NULL, {ADDRESS}},
    {"account", "load", "account.load", NULL, "line problem added failed", "add many accounts from lines of JSON",
     "Each line is an object such as\n"
     ".Ql {\\(dqaddress\\(dq:\\(dquser@example.jp\\(dq,\\(dqpassword\\(dq:\\(dq...\\(dq,\\(dqquota\\(dq:\\(dq5G\\(dq} .\n"
     "A password with a scheme prefix is stored as it is; one without is hashed with argon2id, which takes tens of\n"
     "milliseconds each. Lines that fail are told with their number and the others are loaded.",
     {{"FILE", "file", ARGUMENT_PATH, NULL, true, false, "the lines"},
      {"--update", "update", ARGUMENT_FLAG, NULL, false, false, "change accounts that exist already"}}},
    {"account", "digest", "account.digest", NULL, "address digest sequence", "show the digest of an account's mailboxes",
     "Equal digests mean equal mailboxes: names, UIDs, flags, dates, sizes and messages, wherever and in whatever\nway they are stored.", {ADDRESS}},
    {"account", "mailboxes", "account.mailboxes", NULL, "mailbox messages unseen bytes:size uidvalidity uidnext", "list an account's mailboxes", NULL, {ADDRESS}},
    {"account", "expunged", "account.expunged", NULL, "mailbox uid bytes:size date:date expunged:date", "list expunged messages that can be restored", NULL, {ADDRESS}},
    {"account", "restore", "account.restore", NULL, "restored", "bring expunged messages back, as new messages", NULL,
     {ADDRESS,
      {"--mailbox", "mailbox", ARGUMENT_TEXT, "NAME", false, false, "only those of this mailbox"},
      {"--hours", "hours", ARGUMENT_NUMBER, "N", false, false, "only those expunged in the last N hours"},
      {"--into", "into", ARGUMENT_TEXT, "NAME", false, false, "into this mailbox; default: where they were"}}},
    {"account", "compact", "account.compact", NULL, NULL, "fold an account's journal into packs and a snapshot now",
     "What is old goes to the archive, too.", {ADDRESS}},

    {"alias", "add", "alias.add", NULL, NULL, "add an alias", NULL,
     {{"ALIAS", "alias", ARGUMENT_TEXT, NULL, true, false, "the address"},
      {"TARGET", "targets", ARGUMENT_TEXT, NULL, true, true, "where its mail goes: addresses, aliases too"}}},
    {"alias", "show", "alias.show", NULL, "alias targets", "show an alias", NULL, {{"ALIAS", "alias", ARGUMENT_TEXT, NULL, true, false, "the address"}}},
    {"alias", "list", "alias.list", NULL, "alias targets", "list all aliases", NULL, {{0}}},
    {"alias", "set", "alias.set", NULL, NULL, "change an alias's targets", NULL,
     {{"ALIAS", "alias", ARGUMENT_TEXT, NULL, true, false, "the address"}, {"TARGET", "targets", ARGUMENT_TEXT, NULL, true, true, "all its targets from now on"}}},
    {"alias", "remove", "alias.remove", NULL, NULL, "remove an alias", NULL, {{"ALIAS", "alias", ARGUMENT_TEXT, NULL, true, false, "the address"}}},

    {"queue", "summary", "queue.summary", NULL, "messages recipients bytes:size held shards oldest:date", "show how much waits to be sent", NULL, {{0}}},
    {"queue", "list", "queue.list", NULL, "message sender recipient bytes:size received:date next_try:date tries state answer",
     "list what waits to be sent, a line for each recipient",
     "All of the cluster's: what this node does not own is read from the journals.", {QUEUE_MESSAGE, QUEUE_FILTERS}},
    {"queue", "top", "queue.top", NULL, "key recipients bytes:size oldest:date", "show who has most waiting", NULL,
     {{"--by", "by", ARGUMENT_TEXT, "KIND", false, false, "sender, account, tenant, destination or answer; default: sender"},
      {"--limit", "limit", ARGUMENT_NUMBER, "N", false, false, "how many; default 20"}, QUEUE_FILTERS}},
    {"queue", "show", "queue.show", NULL,
     "message sender account tenant bytes:size received:date class standing not_before:date deliver_by:date route recipient state tries next_try:date answer",
     "show one message and what came of each recipient",
     NULL, {{"ID", "message", ARGUMENT_TEXT, NULL, true, false, "the message"}, {"--header", "header", ARGUMENT_FLAG, NULL, false, false, "with its header (with --json)"}}},
    {"queue", "trace", "queue.trace", NULL, "at:date what recipient status host answer", "show all that happened to a message",
     "Also of one that is gone, until the journal is folded; the log has it for longer, by the same id.", {{"ID", "message", ARGUMENT_TEXT, NULL, true, false, "the message"}}},
    {"queue", "explain", "queue.explain", NULL, "class does rule source line", "tell what an answer of a server would lead to",
     "The answer is written as a server gives it:\n.Ql 421 4.7.0 Try again later .\n"
     "The first rule that matches decides; rules are those of outbound.rules, then the built-in ones.",
     {{"ANSWER", "answer", ARGUMENT_TEXT, NULL, true, false, "the text, quoted"},
      {"--mx", "mx", ARGUMENT_TEXT, "HOST", false, false, "of this server"},
      {"--domain", "domain", ARGUMENT_TEXT, "DOMAIN", false, false, "about a recipient in this domain"}}},
    {"queue", "rules", "queue.rules", NULL, "rule", "print the built-in rules about answers and limits of destinations",
     "A file of the same grammar is named by outbound.rules.", {{0}}},
    {"transport", "show", "transport.show", NULL, "host port addresses dnssec tls by detail", "show what TLS must be like with the servers of a domain, and why",
     "One row for each server, in the order in which they are tried. The column\n.Dq tls\nsays never, opportunistic (encrypted if it can be had),\nencrypted, or "
     "verified;\nthe column\n"
     ".Dq by\nwhat demands it: DANE, MTA-STS, a route. It asks DNS and, for a policy of MTA-STS that is new, its web server; it connects to no server.",
     {{"DOMAIN", "domain", ARGUMENT_TEXT, NULL, true, false, "of recipients"}}},
    {"transport", "reports", "transport.reports", NULL, "day domain policy successes failures details", "show what was counted of TLS with other servers",
     "Rows wait until their day is over and a report of it was sent; only domains that ask for reports are counted.",
     {{"--domain", "domain", ARGUMENT_TEXT, "DOMAIN", false, false, "of this domain alone"}}},
    {"transport", "send-reports", "transport.send_reports", NULL, "domains", "send the reports that wait now",
     "Happens by itself, some hours after midnight (UTC).", {{"--today", "today", ARGUMENT_FLAG, NULL, false, false, "today's too, as far as it is"}}},
    {"queue", "destinations", "queue.destinations", NULL, "domain wish waiting connections limit rests reason",
     "list where mail goes now, and which destinations rest for how many seconds",
     NULL, {{0}}},
    {"queue", "hold", "queue.hold", NULL, "messages", "send these messages no more until they are released", NULL, {QUEUE_MESSAGE, QUEUE_FILTERS, QUEUE_ALL}},
    {"queue", "release", "queue.release", NULL, "messages", "send held messages again", NULL, {QUEUE_MESSAGE, QUEUE_FILTERS, QUEUE_ALL}},
    {"queue", "retry", "queue.retry", NULL, "messages", "try these messages now", NULL, {QUEUE_MESSAGE, QUEUE_FILTERS, QUEUE_ALL}},
    {"queue", "expire", "queue.expire", NULL, "messages", "give these messages up and tell their senders", NULL, {QUEUE_MESSAGE, QUEUE_FILTERS, QUEUE_ALL}},
    {"queue", "remove", "queue.remove", NULL, "messages", "remove these messages and tell nobody", NULL, {QUEUE_MESSAGE, QUEUE_FILTERS, QUEUE_ALL}},
    {"queue", "redirect", "queue.redirect", NULL, "messages", "send these messages another way",
     "To a server\n.Pq Ar HOST:PORT , lmtp:HOST:PORT ,\nor to an address that takes the place of the recipients; notices go on naming the first one.",
     {QUEUE_MESSAGE, QUEUE_FILTERS, QUEUE_ALL, {"--to", "to", ARGUMENT_TEXT, "TARGET", true, false, "HOST:PORT, lmtp:HOST:PORT or an address"}}},
    {"pool", "list", "pool.list", NULL, "pool address hello sent limit refused", "list the addresses that mail leaves from, and what they have sent today",
     "What one has sent is counted while it is warmed up, for all nodes together; a day is one of UTC.", {{0}}},
    {"pool", "refused", "pool.refused", NULL, "pool address destination since:date until:date answer", "list destinations that refuse addresses of ours",
     "Mail for them leaves from other addresses of the pool, or waits. All nodes know it, and it outlives them.", {{0}}},
    {"pool", "clear", "pool.clear", NULL, "cleared", "use an address again where it was refused", "All nodes follow within ten seconds.",
     {{"ADDRESS", "address", ARGUMENT_TEXT, NULL, true, false, "as the list has it"},
      {"--destination", "destination", ARGUMENT_TEXT, "TEXT", false, false, "only where the names of the servers have this in them"}}},

    {"legacy", "list", "legacy.list", NULL, "key account peer hours first:date last:date", "list users who still try to send by port 25 without a password",
     "They are refused with a text that tells them what to do. Those of an account have its address; others tried from\n.Ic smtp . own_networks .\n"
     "Hours: in how many it was tried.", {{0}}},
    {"legacy", "forget", "legacy.forget", NULL, NULL, "remove one from the list", NULL, {{"KEY", "key", ARGUMENT_TEXT, NULL, true, false, "as the list has it"}}},
    {"report", "list", "report.list", NULL, "address messages reports last:date type reporter", "list accounts whose mail others have complained about",
     "From complaint reports (ARF) that came to addresses of\n.Ic reports . feedback .\n"
     "Messages: how many different ones were complained about; reports: complaints in all.", {{0}}},
    {"report", "show", "report.show", NULL, "message first:date last:date type reporter reports", "show which messages of an account were complained about",
     "The last 20. The log has each message by its id, and\n.Ic tayori queue trace\nwhat became of it, as long as that is kept.", {ADDRESS}},
    {"report", "forget", "report.forget", NULL, NULL, "forget the complaints about an account", NULL, {ADDRESS}},
    {"feedback", "add", "feedback.add", NULL, NULL, "register a domain that wants to be told when users mark its mail as junk",
     "Reports (ARF) go to the address, for mail with a good DKIM signature of the domain and an author in it, because of users whose tenant\nlets them be told:\n"
     ".Ic tayori tenant set\nwith\n.Fl -feedback .\nOne report for each message, at most 100 a day because of one account.",
     {{"DOMAIN", "domain", ARGUMENT_TEXT, NULL, true, false, "as it stands in d= of its signatures"},
      {"TO", "to", ARGUMENT_TEXT, NULL, true, false, "address that reports are sent to"}}},
    {"feedback", "list", "feedback.list", NULL, "domain to created:date", "list the domains that are told", NULL, {{0}}},
    {"feedback", "remove", "feedback.remove", NULL, NULL, "tell a domain no more", NULL, {{"DOMAIN", "domain", ARGUMENT_TEXT, NULL, true, false, "its name"}}},
    {"import", NULL, "import", NULL, "message problem imported failed", "bring mail from files into an account",
     "Dates and flags are kept: mbox has them in\n.Dq From\n"
     "lines and Status, X-Status and X-Keywords fields, Maildir in file names, modification times and dovecot-keywords.\n"
     "Single files have nothing but their modification times.\nMaildir++ folders become mailboxes.",
     {{"KIND", "kind", ARGUMENT_TEXT, NULL, true, false, "mbox, maildir or eml"},
      {"PATH", "path", ARGUMENT_PATH, NULL, true, false, "a file (mbox, eml) or a folder (maildir, eml)"},
      {"--to", "to", ARGUMENT_TEXT, "ADDRESS", true, false, "the account"},
      {"--mailbox", "mailbox", ARGUMENT_TEXT, "NAME", false, false, "into this mailbox, made if absent; default: INBOX"}}},
    {"export", NULL, "export", NULL, "exported", "write an account's mail to files",
     "Without\n.Fl -mailbox\na Maildir gets all mailboxes as Maildir++ folders; mbox and eml get the INBOX. Nothing is overwritten.",
     {{"KIND", "kind", ARGUMENT_TEXT, NULL, true, false, "mbox, maildir or eml"},
      {"PATH", "path", ARGUMENT_PATH, NULL, true, false, "a new file (mbox) or an empty or new folder"},
      {"--from", "from", ARGUMENT_TEXT, "ADDRESS", true, false, "the account"},
      {"--mailbox", "mailbox", ARGUMENT_TEXT, "NAME", false, false, "only this mailbox"}}},

    {"store", "verify", "store.verify", NULL, "about problem accounts messages objects garbage_objects problems", "check everything that is stored",
     "Every row's message is read, every object is referenced or known garbage, every counter is right. What is wrong is\ntold; the exit status is 1 then.", {{0}}},
    {"store", "backup", "store.backup", NULL, NULL, "copy the store while the server runs", NULL, {{"FOLDER", "folder", ARGUMENT_PATH, NULL, true, false, "a new folder"}}},
    {"store", "copy", "store.copy", NULL, "records objects bytes:size rows compared finished", "copy the store to another engine, or back, while the server runs",
     "Tenants, domains, addresses, accounts and all mail. What is there already is not copied again: run it once more to\n"
     "bring the copy up to date, or to go on where it was cut short. With\n.Fl -finish\n"
     "every account is then frozen in its turn, copied to its last message and compared with its copy; mail for it is\n"
     "deferred, and it can be read and not changed. When all are the same this store says that it is gone: stop its\n"
     "server and start that of the copy. If anything fails, all is thawed and nothing has happened.\n.Pp\n"
     "A store is named by the server's folder, as with\n.Fl -dir ,\n"
     "if it is the embedded one, and by a configuration file if it is in a cluster. Several nodes may serve it while it is\n"
     "copied; all but the one that finishes are stopped before.",
     {{"--from", "from", ARGUMENT_PATH, "STORE", false, false, "from this store; default: that of --dir and --config"},
      {"--to", "to", ARGUMENT_PATH, "STORE", true, false, "to this store: empty, or an earlier copy"},
      {"--finish", "finish", ARGUMENT_FLAG, NULL, false, false, "the last step: from then on the copy is the store"},
      {"--parallel", "parallel", ARGUMENT_NUMBER, "N", false, false, "accounts at a time, at most 64; default 8"}}},
    {"store", "release", "store.release", NULL, NULL, "serve a store again that was moved, or one that is an unfinished copy",
     "Mail that its copy has taken since is not in it.", {{0}}},
    {"store", "restore", NULL, verb_store_restore, NULL, "make a store from a backup, while no server runs", NULL,
     {{"FOLDER", "folder", ARGUMENT_PATH, NULL, true, false, "the backup"}}},
    {"cluster", "init", NULL, verb_cluster_init, NULL, "make the pools of a cluster, or check those that exist",
     "Makes what is missing of store.pool, store.object_pool and, if it is set, store.archive_pool, and looks at them: copies,\nerasure code, failure domain, placement groups. "
     "What exists is not changed; what is wrong is told with what to do about it, and the exit status is 1 then.\n"
     "It needs a Ceph user that may make pools: see doc/operations/cluster.md.",
     {{"--check", "check", ARGUMENT_FLAG, NULL, false, false, "only look"},
      {"--accounts", "accounts", ARGUMENT_NUMBER, "N", false, false,
       "how many accounts the store is made for: into how many objects rows and names are spread is fixed then; default: enough for 1 million that keep much mail"},
      {"--ec-profile", "profile", ARGUMENT_TEXT, "NAME", false, false, "name of the erasure code profile; default: tayori"},
      {"--k", "k", ARGUMENT_NUMBER, "N", false, false, "data chunks of a new profile; default 4"},
      {"--m", "m", ARGUMENT_NUMBER, "N", false, false, "coding chunks of a new profile: so many failure domains may be lost; default 2"},
      {"--failure-domain", "failure_domain", ARGUMENT_TEXT, "KIND", false, false, "what may be lost at once: host, rack, osd ...; default: host"},
      {"--device-class", "device_class", ARGUMENT_TEXT, "CLASS", false, false, "only OSDs of this class: ssd, hdd, nvme; default: all"},
      {"--size", "size", ARGUMENT_NUMBER, "N", false, false, "copies in the replicated pool; default 3"},
      {"--min-size", "min_size", ARGUMENT_NUMBER, "N", false, false, "copies with which it goes on; default 2"},
      {"--pg", "pg", ARGUMENT_NUMBER, "N", false, false, "placement groups of the replicated pool; default: by the number of OSDs"},
      {"--object-pg", "object_pg", ARGUMENT_NUMBER, "N", false, false, "placement groups of the object pool; default: by the number of OSDs"},
      {"--archive-device-class", "archive_device_class", ARGUMENT_TEXT, "CLASS", false, false,
       "the archive on OSDs of this class, by a profile of its own; default: as the object pool"},
      {"--archive-pg", "archive_pg", ARGUMENT_NUMBER, "N", false, false, "placement groups of the archive; default: by the number of OSDs"}}},
    {"cluster", "status", "cluster.status", NULL, "node state version level roles sessions accounts operations slow pressure leases started:date seen:date note",
     "show the nodes and the cluster beneath them",
     "The row\n.Dq (cluster)\nhas the feature level, and of Ceph its health and how full it is. A node is gone when it has not been heard of for 12\nseconds; "
     "its row goes away after 10 minutes.", {{0}}},
    {"cluster", "drain", "cluster.drain", NULL, NULL, "have a node take no more sessions and end those that it has",
     "Its listeners of mail close, /readyz says 503, its sessions end a few at a time. The order stands until it is undone, also\nwhen the node is started anew.",
     {{"NODE", "node", ARGUMENT_TEXT, NULL, true, false, "its name"},
      {"--over", "over", ARGUMENT_NUMBER, "SECONDS", false, false, "over how long sessions end; default: server.drain of the node"}}},
    {"cluster", "undrain", "cluster.undrain", NULL, NULL, "have a drained node serve again", NULL, {{"NODE", "node", ARGUMENT_TEXT, NULL, true, false, "its name"}}},
    {"cluster", "forget", "cluster.forget", NULL, NULL, "remove the row of a node that is gone for good", NULL, {{"NODE", "node", ARGUMENT_TEXT, NULL, true, false, "its name"}}},
    {"cluster", "level", "cluster.level", NULL, "level written program written_from:date", "show the feature level, or raise it",
     "With\n.Cm raise\nall nodes write formats of the new level some seconds later; programs that do not understand it cannot serve this store any\nmore. "
     "It is refused while a node in the registry does not understand it.",
     {{"ACTION", "action", ARGUMENT_TEXT, NULL, false, false, "raise"},
      {"--to", "to", ARGUMENT_NUMBER, "N", false, false, "to this level; default: the highest that this program knows"}}},
    {"store", "scrub", "store.scrub", NULL, "round state accounts of messages bytes:size problems nodes began:date ended:date account",
     "show how far the scrub is, or order one",
     "The scrub reads every message and checks every reference, over all accounts, at the pace of maintenance.scrub_rate, by all nodes that have the\n"
     "maintenance role; it can be left and gone on with. The column\n.Dq of\nhas the accounts of the round before. Accounts with problems are told; what they are stands in "
     "the log.",
     {{"ACTION", "action", ARGUMENT_TEXT, NULL, false, false, "start (a round now), pause or resume; default: only show"}}},
    {"store", "upkeep", "store.upkeep", NULL, "round state accounts of tended nodes began:date ended:date", "show how far the round of maintenance is, or order one",
     "A round looks at every account: long journals are folded, what was expunged before the retention period is purged, objects\nout of "
     "use are removed, old messages go to the archive.",
     {{"ACTION", "action", ARGUMENT_TEXT, NULL, false, false, "start (a round now), pause or resume; default: only show"}}},
    {"top", NULL, "server.top", NULL, "time:date sessions accounts longest_turn_us store slow purged:size reclaimed:size archived queue", "watch the server: a line each second",
     "The longest turn is that of an event loop in the last ten seconds or so: as long others on it have waited. Store and slow are operations of the\nstore under way, and "
     "those of them that are late. Purged is what of the expunged has waited out its retention since the line before,\nreclaimed what packs "
     "have shrunk by,\narchived how many messages went to the archive.",
     {{"--interval", "interval", ARGUMENT_NUMBER, "SECONDS", false, false, "between lines; default: 1"},
      {"--rows", "rows", ARGUMENT_NUMBER, "N", false, false, "so many lines; default: until it is interrupted"}}},
    {"server", "status", "server.status", NULL, "pid loops sessions longest_turn_us longest_turn_cpu_us", "show what the server says of itself", NULL, {{0}}},
    {"events", NULL, NULL, verb_events, NULL, "print the catalogue of log events and metrics", NULL, {{0}}},
    {"man", NULL, NULL, verb_man, NULL, "print a manual page",
     NULL, {{"PAGE", "page", ARGUMENT_TEXT, NULL, true, false, "tayori, a command such as account, or tayori.conf"}}},
    {"version", NULL, NULL, verb_version, NULL, "print the version", NULL, {{0}}},
};
const size_t verb_count = sizeof verbs / sizeof verbs[0];
