// The two ends of mailboxes for tests: an application that delivers over --ingest, and clients that poll.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import type { Test } from 'tap';

import type { Endpoint, Program } from './comet-world.js';
import { until } from './helpers.js';

/** The command of MegaComet's application that puts a message into a mailbox. */
export function deliverCommand(id: Buffer | string, message: Buffer | string): Buffer {
  const zero = Buffer.alloc(1);
  return Buffer.concat([Buffer.of(2), Buffer.from(id), zero, Buffer.from(message), zero]);
}

/** An application that is connected to --ingest of a server. */
export class IngestPeer {
  readonly #socket: Socket;

  private constructor(
    readonly program: Program,
    socket: Socket,
  ) {
    this.#socket = socket;
  }

  static async open(t: Pick<Test, 'teardown'>, program: Program): Promise<IngestPeer> {
    const line = await program.server.logged(/^listening on/);
    const socket = connect(Number(line['ingestPort']), '127.0.0.1');
    socket.on('error', () => undefined);
    t.teardown(() => {
      socket.destroy();
    });
    await once(socket, 'connect');
    return new IngestPeer(program, socket);
  }

  /** Delivers messages, and waits until the server has accepted them. */
  async deliver(id: string, ...messages: string[]): Promise<void> {
    const accepted = async (): Promise<number> =>
      Number((await this.program.server.stats()).ingest?.['messagesTotal']);
    const wanted = (await accepted()) + messages.length;
    for (const message of messages) this.#socket.write(deliverCommand(id, message));
    await until('the messages in their mailbox', async () => (await accepted()) >= wanted);
  }
}

/** A client that waits for one message of its mailbox, and polls again after an empty answer. */
export class MailboxPoll {
  /** The message; null while it waits, and after an error. */
  text: string | null = null;
  isEnded = false;

  constructor(t: Pick<Test, 'teardown'>, { port }: Endpoint, id: string) {
    const abort = new AbortController();
    t.teardown(() => {
      abort.abort();
    });
    void this.#run(`http://127.0.0.1:${port}/${id}.js`, abort.signal);
  }

  async #run(url: string, signal: AbortSignal): Promise<void> {
    try {
      for (let text = ''; text === '';) {
        text = await (await fetch(url, { signal })).text();
        if (text !== '') this.text = text;
      }
    } catch {
      // The server died, or the test ended.
    }
    this.isEnded = true;
  }
}

/** Polls a mailbox, and waits until the server knows the poll. */
export async function pollMailbox(t: Test, program: Program, id: string): Promise<MailboxPoll> {
  const polls = async (): Promise<number> =>
    Number((await program.server.stats()).mailboxes?.['polls']);
  const before = await polls();
  const poll = new MailboxPoll(t, program, id);
  await until('the poll', async () => poll.isEnded || (await polls()) > before);
  return poll;
}
