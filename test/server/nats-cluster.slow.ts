// Three nats-servers with three copies of the stream: the server that leads the stream is killed.
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import t, { type Test } from 'tap';

import type { NatsLog } from '../../lib/log/nats-log.js';
import { freePort, until } from '../support/helpers.js';
import { LogRecord, Node } from '../support/log-record.js';
import { natsLog, NatsServer } from '../support/nats.js';
import { without } from '../support/requirements.js';

async function startThree(t: Test): Promise<NatsServer[]> {
  const first = await freePort(3);
  const routes = [0, 1, 2].map((index) => `nats-route://127.0.0.1:${first + index}`).join(', ');
  return Promise.all(
    [0, 1, 2].map((index) =>
      NatsServer.start(t, {
        lines: [
          `server_name: server-${index}`,
          `cluster { name: three, listen: "127.0.0.1:${first + index}", routes: [${routes}] }`,
        ],
      }),
    ),
  );
}

/** A log with three copies, as soon as the servers have chosen a leader. */
async function open(t: Test, url: string): Promise<Node> {
  const [log, start] = await until('the servers to agree', async () => {
    const made: NatsLog = natsLog(url, { replicas: 3 });
    return made.open().then(
      (found) => [made, found] as const,
      () => null,
    );
  });
  t.teardown(() => log.close());
  const record = new LogRecord();
  log.read(0, record);
  return new Node(log, start, record);
}

t.test(
  'after the death of the leader nothing that was answered is lost',
  { skip: without('nats-server') },
  async (t) => {
    const servers = await startThree(t);
    const url = `nats://${servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}`;
    const nodes = [await open(t, url), await open(t, url)] as const;
    const answered: number[] = [];
    const appendSome = async (count: number): Promise<void> => {
      for (let done = 0; done < count;) {
        const seq = await nodes[0].append(`entry ${answered.length}`).catch(() => 0);
        if (seq === 0) continue;
        answered.push(seq);
        done += 1;
      }
    };
    await appendSome(20);
    const connection = await connect({ servers: `127.0.0.1:${servers[0]?.port ?? 0}` });
    const manager = await jetstreamManager(connection);
    const leader = (await manager.streams.info('megacomet')).cluster?.leader ?? '';
    await connection.close();
    const victim = servers[Number(leader.replace('server-', ''))];
    await victim?.kill();
    await appendSome(20);
    await victim?.run();
    await appendSome(20);
    for (const { record } of nodes) {
      await record.reached(answered.at(-1));
      t.same(
        record.seqs.filter((seq) => answered.includes(seq)),
        answered,
        'each answered entry once, in order',
      );
      t.same(
        record.breaks.filter(({ kind }) => kind === 'epoch' || kind === 'gap'),
        [],
        'the same epoch',
      );
    }
    t.same(nodes[0].record.entries, nodes[1].record.entries, 'both nodes read the same');
  },
);
