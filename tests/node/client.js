// Sends with nodemailer, reads with imapflow; prints what it found as one line of JSON.
'use strict';
const { ImapFlow } = require('imapflow');
const nodemailer = require('nodemailer');

const user = 'hanako@example.test';

async function main() {
    const transport = nodemailer.createTransport({ host: 'localhost', port: Number(process.env.SMTP_PORT), requireTLS: true });
    const client = new ImapFlow({
        host: 'localhost', port: Number(process.env.IMAP_PORT), secure: false, doSTARTTLS: true,
        auth: { user, pass: process.env.PASSWORD }, logger: false,
    });
    await client.connect();
    const lock = await client.getMailboxLock('INBOX');
    const arrived = new Promise((resolve) => client.once('exists', () => resolve(true)));
    const idling = client.idle();
    await transport.sendMail({ from: 'you@example.org', to: user, subject: '便り', text: 'こんにちは',
        attachments: [{ filename: '写真.bin', content: Buffer.alloc(200000, 7) }] });
    const idle = await arrived;
    await client.noop();
    await idling;
    await client.messageFlagsAdd('1', ['\\Flagged']);
    const message = await client.fetchOne('1', { envelope: true, bodyStructure: true, flags: true, source: true });
    const { content } = await client.download('1', '1');
    const pieces = [];
    for await (const piece of content) pieces.push(piece);
    await client.mailboxCreate('保存/2026');
    await client.messageMove('1', '保存/2026');
    lock.release();
    const status = await client.status('保存/2026', { messages: true });
    console.log(JSON.stringify({
        subject: message.envelope.subject, text: Buffer.concat(pieces).toString().trim(), flagged: message.flags.has('\\Flagged'),
        moved: status.messages, idle,
    }));
    await client.logout();
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
