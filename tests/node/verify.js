// Reads a message on standard input and says as JSON what mailauth makes of its signatures; DNS is at 127.0.0.1, port DNS_PORT.
const { Resolver } = require('dns').promises;
const { authenticate } = require('mailauth');

async function main() {
    const chunks = [];
    for await (const chunk of process.stdin) chunks.push(chunk);
    const dns = new Resolver({ timeout: 2000, tries: 2 });
    dns.setServers([`127.0.0.1:${process.env.DNS_PORT}`]);
    const got = await authenticate(Buffer.concat(chunks), {
        ip: '192.0.2.1', helo: 'out.example.test', sender: process.env.SENDER || '', mta: 'judge.example.test', trustReceived: false,
        disableDmarc: true, disableBimi: true, resolver: (name, type) => dns.resolve(name, type)
    });
    const dkim = got.dkim.results.filter(one => one.signingDomain).map(one => ({
        domain: one.signingDomain, selector: one.selector, algorithm: one.algo, result: one.status.result, comment: one.status.comment || ''
    }));
    console.log(JSON.stringify({ dkim, arc: got.arc && got.arc.status ? got.arc.status.result : 'none' }));
}

main().catch(error => {
    console.error(error);
    process.exit(1);
});
