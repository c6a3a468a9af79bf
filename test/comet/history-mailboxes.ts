// Mailboxes with --history-dir: messages that no client received survive a restart and a kill of the
// manager, leases return, and each message is received once.
import { join } from 'node:path';

import t, { type Test } from 'tap';

import { Program } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { IngestPeer, pollMailbox } from '../support/mailbox-peer.js';

const OPTIONS = ['--workers', '1', '--max-connections', '100', '--mailbox-time', '600'];

function start(t: Test, directory: string): Promise<Program> {
  const args = [...OPTIONS, '--host', '127.0.0.1', '--ingest', '127.0.0.1:0'];
  return Program.start(t, { args: [...args, '--history-dir', directory] });
}

async function messages({ server }: Program): Promise<number | undefined> {
  return (await server.stats()).mailboxes?.['messages'];
}

/** Waits until the log has this number of messages that no client has received. */
async function untilLeft(program: Program, count: number): Promise<void> {
  await until(`${count} messages`, async () => (await messages(program)) === count);
}

async function received(t: Test, program: Program, id: string): Promise<string | null> {
  const poll = await pollMailbox(t, program, id);
  await until('a message', () => poll.isEnded);
  return poll.text;
}

/** Delivers a message whose poll has the lease, and never receives it. @returns The stopped worker. */
async function leased(t: Test, program: Program, application: IngestPeer): Promise<number> {
  await pollMailbox(t, program, 'leased');
  const worker = await program.server.pidOf(0);
  process.kill(worker, 'SIGSTOP');
  const position = async (): Promise<number> =>
    Number((await program.server.stats()).logState?.position);
  const before = await position();
  await application.deliver('leased', 'held');
  await until('the message and the claim', async () => (await position()) >= before + 2);
  return worker;
}

for (const isKill of [true, false]) {
  const name = isKill ? 'a kill of the manager, and leases return' : 'a restart';
  t.test(`messages of mailboxes survive ${name}; each is received once`, async (t) => {
    const directory = join(t.testdir({}), 'history');
    let program = await start(t, directory);
    const application = await IngestPeer.open(t, program);
    await application.deliver('jim', 'one', 'two', 'three');
    await application.deliver('bob', 'for bob');
    t.equal(await received(t, program, 'jim'), 'one');
    await untilLeft(program, 3);
    if (isKill) {
      const worker = await leased(t, program, application);
      program.server.child.kill('SIGKILL');
      process.kill(worker, 'SIGKILL');
      await program.server.assertEnded(null);
    } else {
      await application.deliver('leased', 'held');
      await program.server.stop();
    }

    program = await start(t, directory);
    await untilLeft(program, 4);
    t.equal(await received(t, program, 'jim'), 'two');
    t.equal(await received(t, program, 'leased'), 'held');
    await untilLeft(program, 2);
    const last = await pollMailbox(t, program, 'leased');
    await (await IngestPeer.open(t, program)).deliver('leased', 'later');
    await until('the later message', () => last.isEnded);
    t.equal(last.text, 'later', 'the message came once');
    await untilLeft(program, 2);
    await program.server.stop();

    program = await start(t, directory);
    await untilLeft(program, 2);
    t.equal(await received(t, program, 'jim'), 'three');
    t.equal(await received(t, program, 'bob'), 'for bob');
    await untilLeft(program, 0);
    await program.server.stop();
  });
}
