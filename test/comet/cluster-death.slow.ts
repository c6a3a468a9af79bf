// A node of a cluster dies with its workers: its leases of mailboxes return, answers of the others say
// that it is missing, and are complete when it counts as gone.
import t, { type Test } from 'tap';

import { RecordKind } from '../../lib/broker/log-batch.js';
import { EngineOrder, startCluster } from '../support/cluster.js';
import { SseClient, type Program } from '../support/comet-world.js';
import { ENGINES, type EngineKind } from '../support/engines.js';
import { until } from '../support/helpers.js';
import { IngestPeer, pollMailbox } from '../support/mailbox-peer.js';
import { without } from '../support/requirements.js';

const ARGS = ['--workers', '1', '--ingest', '127.0.0.1:0', '--mailbox-time', '600'];

interface Answer {
  readonly subscribers?: number;
  readonly complete?: boolean;
  readonly members?: readonly { readonly names: readonly string[] }[];
  readonly channels?: readonly { readonly channel: string }[];
  readonly next?: number | null;
}

async function ask(node: Program, path: string): Promise<Answer> {
  return (await node.query(path)) as Answer;
}

/** The name of the only connection that subscribes to a channel. */
async function memberOf(node: Program, channel: string): Promise<string> {
  return until('the member', async () => {
    const { complete, members } = await ask(node, `/presence?channel=${channel}`);
    return complete === true ? members?.[0]?.names[0] : undefined;
  });
}

/** All pages of the channels; each says whether it is complete. */
async function channelsAt(node: Program): Promise<{ names: string[]; isComplete: boolean }> {
  const names: string[] = [];
  let isComplete = true;
  for (let from: number | null = 0; from !== null;) {
    const page: Answer = await ask(node, `/channels?from=${from}`);
    names.push(...(page.channels ?? []).map(({ channel }) => channel));
    isComplete &&= page.complete === true;
    from = page.next ?? null;
  }
  return { names, isComplete };
}

async function subscribe(t: Test, node: Program, channels: string[]): Promise<void> {
  const client = new SseClient(node, channels);
  t.teardown(() => {
    client.close();
  });
  await client.open();
}

async function check(t: Test, { start, urlOf }: EngineKind): Promise<void> {
  const engine = await start(t);
  const nodes = await startCluster(t, { nodes: 3, port: engine.port, urlOf, args: ARGS });
  const [a, b, c] = nodes.map(({ program }) => program) as [Program, Program, Program];
  const order = await EngineOrder.follow(engine.log());
  await subscribe(t, a, ['both']);
  await subscribe(t, b, ['both', 'only']);
  const member = await memberOf(a, 'only');
  const application = await IngestPeer.open(t, a);
  await pollMailbox(t, b, 'jim');
  const worker = await b.server.pidOf(0);
  process.kill(worker, 'SIGSTOP');
  await application.deliver('jim', 'one', 'two');
  await until('the claim', () => order.count(RecordKind.claim) === 1);
  const poll = await pollMailbox(t, c, 'jim');
  b.server.child.kill('SIGKILL');
  process.kill(worker, 'SIGKILL');
  await b.server.ended;

  const disconnect = async (): Promise<unknown> =>
    (await c.request('/disconnect', { member })).json();
  await until('the error of a silent node', async () => {
    const text = JSON.stringify(await disconnect());
    return text.includes('has written no tick for 3 s') && text.includes('ERR_BUSY');
  });
  t.match(await ask(a, '/presence?channel=both'), { subscribers: 1, complete: false });
  t.equal((await channelsAt(c)).isComplete, false);
  t.notOk(poll.isEnded, 'the lease is that of the node that died');
  await until('a complete answer', async () => {
    const answer = await ask(a, '/presence?channel=both');
    return answer.complete === true && answer.subscribers === 1;
  });
  t.match(await disconnect(), { member, connections: 0 });
  await until('the message', () => poll.isEnded);
  t.equal(poll.text, 'one', 'the lease returned');
  const next = await pollMailbox(t, a, 'jim');
  await until('the next message', () => next.isEnded);
  t.equal(next.text, 'two', 'each once, in their order');
  const { names } = await channelsAt(c);
  t.notOk(names.includes('only'));
}

for (const kind of ENGINES) {
  const skip = without(kind.program);
  t.test(`a node that dies in a cluster with ${kind.name}`, { skip }, (t) => check(t, kind));
}
